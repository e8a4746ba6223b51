"""Settings that count with a word of another one alone. Apart, for a grid of jobs is read without torch."""

COUNTS_WITH = {    # a setting -> whose it is, and the word with which it counts
    "plateau_patience": ("schedule", "plateau"), "plateau_factor": ("schedule", "plateau"),
    "ema_decay": ("average", "ema"), "swa_share": ("average", "swa"), "layer_factor": ("fine_tune", "layerwise"),
}    # fmt: skip
