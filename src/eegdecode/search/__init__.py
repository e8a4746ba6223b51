"""Searches of settings: Optuna over the overrides of ``scripts/train.py``, judged inside the training trials."""
