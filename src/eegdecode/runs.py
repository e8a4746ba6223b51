"""Splits, runs and predictions: what training takes and what it gives back, and the identity of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

PARTS = ("train", "val", "test")
COSTS = ("multiply_adds", "peak_memory_mb", "energy_wh")    # of one trial's forward pass; MB (1e6 bytes); Wh of a run
DIVERGED = "failed: loss is"    # how the status of a run begins whose rate was too high: no crash, but a bad setting
WATCHED = "leaky_test_accuracy"    # column of a history: test accuracy after each epoch, which nothing may choose by


@dataclass(frozen=True, eq=False)
class Split:
    """Who may learn from what in one fold: positions in the table of trials, never signals.

    Attributes
    ----------
    train, val, test : ndarray of int
        Row numbers of ``Trials.meta``, disjoint. ``val`` may be empty; it is taken from training trials.
    subject, session : str
        Whom the test trials belong to (``"1"``, ``"1test"``; several are joined by ``+``).
    fold : int
        Number of the fold among those of the same subject and session.
    protocol : str
        Name of the protocol that made the split.
    trials : int or None
        Training trials of each class, where the protocol counts them; of 0 there are none to train on.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    subject: str
    session: str
    fold: int
    protocol: str
    trials: int | None = None

    @property
    def unlearned(self) -> np.ndarray:
        """Rows that no network which a run starts from may have learned from."""
        return self.test

    def __post_init__(self) -> None:
        for name in ("test",) if self.trials == 0 else ("train", "test"):
            if len(getattr(self, name)) == 0:
                raise ValueError(f"{self.protocol}: no {name} trials for subject {self.subject}, fold {self.fold}")
        everyone = np.concatenate([self.train, self.val, self.test])
        if len(np.unique(everyone)) != len(everyone):
            raise ValueError(f"{self.protocol}: a trial stands on two sides of the split (subject {self.subject})")


@dataclass(frozen=True, eq=False)
class Source:
    """The trained network that a run starts from (``model.init_from``).

    Attributes
    ----------
    weights : mapping of str to ndarray
        As in `Prediction`.
    about : mapping
        What its checkpoint tells of it.
    digest : str
        Of the checkpoint's bytes: part of the run's identity.
    """

    weights: Mapping[str, np.ndarray]
    about: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, eq=False)
class Run:
    """One training: a split, a seed, and the numbers in which it differs from its neighbours.

    Attributes
    ----------
    numbers : mapping of str to float
        Swept numbers: ``lr`` and ``weight_decay`` replace the trainer's, ``drop`` the network's; and the split's
        ``trials``.
    source : Source or None
        What its network starts from; None: its own seed.
    """

    split: Split
    seed: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    source: Source | None = None

    def name(self) -> str:
        """Readable and unique within an experiment: ``sub-1_ses-1test_fold-0_seed-0_lr-0.001``."""
        split = self.split
        head = f"sub-{split.subject}_ses-{split.session}_fold-{split.fold}_seed-{self.seed}"
        return "_".join([head, *(f"{key}-{value:g}" for key, value in sorted(self.numbers.items()))])


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one finished run leaves behind; every score can be recomputed from it.

    Attributes
    ----------
    logits : mapping of str to ndarray
        ``"val"`` and ``"test"`` -> (n, K), in the order of ``run.split.val`` and ``run.split.test``. For a
        classifier that gives probabilities: their logarithm. An empty validation part has shape (0, K).
    history : DataFrame
        One row an epoch, or of many epochs every few and the last one: ``epoch`` (from 1), ``lr``,
        ``running_loss`` (of that epoch, as trained, dropout on), ``train_loss``, ``train_accuracy`` (in
        evaluation mode), ``val_loss``, ``val_accuracy`` (NaN without validation trials),
        ``grad_norm``, ``steps`` (updates so far), ``dead_share``, ``flow`` (which weights get a gradient) and
        ``input_scale``, see `eegdecode.training.flow`. Empty for a classical pipeline. With
        ``trainer.watch_test`` also `WATCHED`.
    best_epoch : int
        The epoch whose weights made the logits; 0 for a classical pipeline.
    n_params : int
        Trainable parameters; 0 for a classical pipeline.
    seconds : float
        Wall-clock seconds of the training, divided by the number of runs that were trained together.
    weights : mapping of str to ndarray
        What a checkpoint holds: parameters, buffers and the fitted front end. Empty for a classical pipeline.
    model : mapping
        What is needed to build the network again and to answer as it did (JSON types): its description and that of
        the front end, sizes, channels, classes, whether batch norm adapts.
    costs : mapping of str to float
        What the training took beside time: `COSTS`, NaN or absent where unknown.
    chosen : str
        What a search inside the training trials took, ``classify__C=10``; empty where nothing was searched.
    status : str
        ``"done"``, or what went wrong, e.g. ``"failed: loss is NaN in epoch 3"``: `DIVERGED`. Failed runs have NaN
        logits.
    """

    run: Run
    logits: Mapping[str, np.ndarray]
    history: pd.DataFrame
    best_epoch: int
    n_params: int
    seconds: float
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    chosen: str = ""
    status: str = "done"


Claim = Callable[[Sequence[Run]], list[Run]]    # those of some runs to train now: others may have them in work
OnEpoch = Callable[[Run, Mapping[str, float]], None]    # is told what was measured after an epoch of a run
