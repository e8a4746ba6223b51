"""Diagnosis: what the curves of a training say, as an experienced engineer would read them."""
