"""What a finished pretraining leaves behind, as `Prediction` is what a training does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.runs import Run


@dataclass(frozen=True, eq=False)
class Pretrained:
    """One pretrained encoder.

    Attributes
    ----------
    run : Run
        Its test trials were not looked at: they are those of the networks that start from it.
    weights : mapping of str to ndarray
        Parameters and buffers under the names that the network has which is fine-tuned, without what got no gradient
        (its head), those of the decoder beside them, and the fitted front end.
    history : DataFrame
        A row an epoch, or every few: ``epoch``, ``lr``, ``steps``, ``running_loss`` (as trained), and in evaluation
        mode of training and validation trials (NaN where there are none) the error of the network (``train_loss``,
        ``val_loss``), of the mean (``train_mean``, ...) and of repeating what was seen (``train_repeat``, ...): mean
        squared errors of numbers of deviation 1.
    model : mapping
        As in `Prediction`.
    examples : mapping of str to ndarray
        Some pieces, ``truth`` and ``told``, (n, frequency or time, C), and the ``axis`` in Hz or s.
    """

    run: Run
    weights: Mapping[str, np.ndarray]
    history: pd.DataFrame
    model: Mapping[str, Any]
    examples: Mapping[str, np.ndarray]
    n_params: int
    seconds: float
    status: str = "done"
