"""The data wing: recordings become trials. The only room that knows mne and moabb."""
