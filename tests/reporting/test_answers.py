"""What is said of a checkpoint's answers."""

import numpy as np
import pandas as pd

from eegdecode.reporting.answers import answer_sentences, answer_table


def test_windows_of_a_cue_are_no_independent_guesses():
    """Of 40 windows of two cues half right is no more than of two coins."""
    meta = pd.DataFrame({
        "trial": [f"t{i}" for i in range(40)], "subject": "1", "session": "0", "run": "0", "label": [0] * 20 + [1] * 20,
    })    # fmt: skip
    logits = np.tile([1.0, 0.0], (40, 1))
    words = {"classes": ("a", "b"), "named": ("a", "b"), "known": np.zeros(40, bool)}
    for table, says in (
        (meta, "on 40 trials (chance 50.0 %, guessing exceeds 62.5 %"),
        (meta.assign(group=["c0"] * 20 + ["c1"] * 20),
         "on 40 trials, windows of 2 cues (chance 50.0 %, guessing exceeds 100.0 %"),
    ):    # fmt: skip
        answers = answer_table(logits, table, **words)
        (said,) = answer_sentences(answers, {"run": "sub-1"}, classes=("a", "b"), by="probabilities")[1:]
        assert says in said
