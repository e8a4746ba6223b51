"""Alignment: the trials of each subject or session are re-centred, so that the same map of channels fits all.

Every group of trials has a reference covariance R; its trials become ``R^(-1/2) x``, whose mean covariance is
the identity in every group (He & Wu, 2020, Transfer learning for brain-computer interfaces: a Euclidean space
data alignment approach; Zanini et al., 2018, for the Riemannian mean). No label is used.

A trial can also be re-centred by itself, or by a point between R and its own covariance C (``own``): the one that
far along the geodesic of positive definite matrices (Bhatia, 2007, Positive definite matrices, section 6.1), so that
its logarithm, seen from R, shrinks by ``1 - own`` in every direction. It needs nothing of a new subject. What it takes
away differs between heads and trials; what it leaves is how a rhythm stands out over frequencies and time. A point on
the straight line between R and C would flatten loud directions alone: a mu rhythm that is loud in one person could
halve without being seen (across nine simulated people 53.7 % on the line, 61.7 on the geodesic; one seed, half-way).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from eegdecode.runs import Source, Split
from eegdecode.training.frontend import CSP, FrontEnd, LinearMap, Moments, ZScore
from eegdecode.training.spd import inverse_root, part_way_root, riemannian_mean, signal_space

REFERENCES = ("all", "first", "train")
UNKNOWN = 1e-3    # of the largest power of aligned trials, which is about the same everywhere: a direction that was off
RIDGE = 1e-3    # of the mean variance, added before a Riemannian mean: a short trial's covariance is singular


@dataclass(frozen=True)
class Align:
    """Align groups of trials, then apply another front end.

    Parameters
    ----------
    then : FrontEnd
        Fitted on the aligned training trials.
    by : sequence of str
        Columns of the table of trials that make a group: ``[subject]``, ``[subject, session]``, or ``[]``: all are one.
    metric : {"euclid", "riemann"}
        Which mean of the trials' covariances is the reference.
    reference : {"all", "first", "train"}
        From which trials. ``"all"``: all of the group, which for a group under test are test trials (transductive); of
        subjects without a trial in the run, none. ``"first"``: of a group without training trials the first
        ``n_first``, which serve those after them; the first ones themselves get the reference of all training trials.
        So no trial depends on a later one. ``"train"``: training trials alone; a group without any gets the reference
        of all.
    n_first : int
        Trials, without labels, that a new subject gives before it is aligned, with ``reference="first"``.
    own : float
        How far each trial is re-centred by its own covariance C: 0, by R alone; 1, by C alone.
    """

    then: FrontEnd = field(default_factory=ZScore)
    by: Sequence[str] = ("subject",)
    metric: str = "euclid"
    reference: str = "all"
    n_first: int = 20
    own: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("metric", ("euclid", "riemann")), ("reference", REFERENCES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"frontend.{name}={getattr(self, name)!r} is not one of: {', '.join(choices)}")
        if self.n_first < 1:
            raise ValueError(f"frontend.n_first must be at least 1, got {self.n_first}")
        if self.reference != "first" and self.n_first != type(self).n_first:
            raise ValueError(f"frontend.n_first={self.n_first} is of frontend.reference=first, and that is "
                             f"{self.reference}: type both, or leave frontend.n_first out")    # fmt: skip
        if not 0 <= self.own <= 1:
            raise ValueError(f"frontend.own must be in [0, 1], got {self.own}")
        if isinstance(self.by, str) or not set(self.by) <= {"subject", "session", "run"}:
            raise ValueError(f"frontend.by={self.by!r} must be a list out of subject, session, run, or []")

    @property
    def per_trial(self) -> bool:
        """Whether each trial is first divided by its own deviation."""
        return self.then.per_trial

    @property
    def transductive(self) -> bool:
        """Whether a trial's map depends on test trials that come with it or after it."""
        return self.reference == "all"

    @property
    def first_trials(self) -> int | None:
        """Trials of a new subject that are used, without labels, for those after them."""
        return self.n_first if self.reference == "first" else None

    def fit(self, moments: Moments, y: Int[np.ndarray, " trial"]) -> LinearMap:
        """Fit as if all trials were of one group; the trainer calls `fit_groups`."""
        matrix = inverse_root(self.mean(moments.second))
        fitted = self.then.fit(_moved(moments, matrix[None]), y)
        return replace(fitted, filters=(fitted.filters @ matrix).astype(np.float32))

    def fit_groups(self, moments: Moments, y: Int[np.ndarray, " trial"], meta: pd.DataFrame, split: Split) -> LinearMap:
        """Fit on the moments of all trials: references by the rule, ``then`` on training trials."""
        references, of_trial = self.references(moments, meta, split)
        matrices, which = self._roots(references, of_trial, moments, split)
        aligned = _moved(moments[split.train], matrices[which[split.train]])
        known = signal_space(aligned.second.mean(0), least=UNKNOWN)
        if known.shape[1] == len(known):
            fitted = self.then.fit(aligned, y[split.train])
        else:    # the little there is would be blown up, and drown the others where it is on; so it would in new trials
            only = known @ known.T
            fitted = self.then.fit(_moved(aligned, only[None]), y[split.train])
            fitted = replace(fitted, filters=(fitted.filters @ only).astype(np.float32))
        filters = (fitted.filters @ matrices).astype(np.float32)
        return self._fitted(fitted, filters, which, references, of_trial, meta, split)

    def take_groups(
        self, weights: Mapping[str, np.ndarray], moments: Moments, meta: pd.DataFrame, split: Split
    ) -> LinearMap:    # fmt: skip
        """Take what a source has learned, and align the groups of these trials by the rule.

        The reference of all training trials is the source's, and where ``by`` is empty it is that of every trial.
        Subjects and sessions have references of their own, as they had in the source: that is what alignment is for.
        """
        references, of_trial = self.references(moments, meta, split, given=weights["frontend.reference"])
        matrices, which = self._roots(references, of_trial, moments, split)
        electrodes = not isinstance(self.then, CSP)
        fitted = LinearMap(weights["frontend.then"], weights["frontend.offset"], electrodes=electrodes)
        filters = (fitted.filters @ matrices).astype(np.float32)
        return self._fitted(fitted, filters, which, references, of_trial, meta, split)

    def _fitted(
        self, fitted: LinearMap, filters: np.ndarray, which: np.ndarray, references: np.ndarray, of_trial: np.ndarray,
        meta: pd.DataFrame, split: Split,
    ) -> LinearMap:    # fmt: skip
        """Put together the map of a run, with what new trials and other runs need of it."""
        groups = dict(zip(group_names(meta, self.by)[split.train], of_trial[split.train], strict=True))
        places = [*groups.values(), len(references) - 1]
        own = {"frontend.references": references[places]} if self.own else {"frontend.filters": filters[places]}
        kept = {**own, "frontend.then": fitted.filters, "frontend.reference": references[-1]}
        return replace(fitted, filters=filters, which=which, kept=kept, groups=tuple(groups))

    def maps(
        self, moments: Moments, meta: pd.DataFrame, split: Split
    ) -> tuple[Float[np.ndarray, "map chan chan"], Int[np.ndarray, " trial"]]:
        """Return the map of each group and, last, that of all training trials; and which one each trial gets."""
        return self._roots(*self.references(moments, meta, split), moments, split)

    def references(
        self, moments: Moments, meta: pd.DataFrame, split: Split, *, given: Float[np.ndarray, "chan chan"] | None = None
    ) -> tuple[Float[np.ndarray, "map chan chan"], Int[np.ndarray, " trial"]]:
        """Return the reference of each group and, last, that of all training trials; and which one each trial gets.

        ``given`` is the reference of all training trials where another run has measured it.
        """
        groups = np.zeros(len(meta), int)
        if self.by:
            groups = meta.groupby(list(self.by), sort=False).ngroup().to_numpy()
        n_groups, n_chans = int(groups.max()) + 1, moments.mean.shape[1]
        mine = meta["subject"].iloc[np.concatenate([split.train, split.val, split.test])].unique()
        known = meta["subject"].isin(mine).to_numpy()    # the key of a run tells of no other subject's trials
        which = groups.astype(np.int64)
        means = np.tile(np.eye(n_chans), (n_groups + 1, 1, 1))
        means[-1] = self.mean(moments.second[split.train]) if given is None else given
        if given is not None and not self.by:    # all are of one group, which is the other run's
            which[:], n_groups = n_groups, 0
        for group in range(n_groups):
            rows = np.flatnonzero((groups == group) & known)
            trained = np.intersect1d(rows, split.train)
            if self.reference == "all":
                source = rows
            elif len(trained):
                source = trained
            else:
                source = rows[: self.n_first] if self.reference == "first" else rows[:0]
                which[rows[: self.n_first] if self.reference == "first" else rows] = n_groups
            if len(source):
                means[group] = self.mean(moments.second[source])
        return means, which

    def _roots(
        self, references: Float[np.ndarray, "reference chan chan"], which: Int[np.ndarray, " trial"],
        moments: Moments, split: Split,
    ) -> tuple[Float[np.ndarray, "map chan chan"], Int[np.ndarray, " trial"]]:    # fmt: skip
        """Return the map of each reference, or with `own` of each trial of the run."""
        if not self.own:
            return inverse_root(references), which
        rows = np.concatenate([split.train, split.val, split.test])    # those of a run, not the whole set
        maps = self.own_maps(moments.second[rows], references, which[rows])
        which = np.zeros_like(which)
        which[rows] = np.arange(len(rows))
        return maps, which

    def own_maps(
        self, second: Float[np.ndarray, "trial chan chan"], references: Float[np.ndarray, "reference chan chan"],
        which: Int[np.ndarray, " trial"],
    ) -> Float[np.ndarray, "trial chan chan"]:    # fmt: skip
        """Return the map of each trial: what it is re-centred by becomes the identity."""
        return part_way_root(inverse_root(references)[which], second, self.own)

    def mean(self, second: Float[np.ndarray, "trial chan chan"]) -> Float[np.ndarray, "chan chan"]:
        """Return the mean covariance of some trials."""
        if self.metric == "euclid":
            return second.mean(0)
        ridge = RIDGE * np.einsum("ncc->n", second) / second.shape[1]
        return riemannian_mean(second + ridge[:, None, None] * np.eye(second.shape[1]))


def group_names(meta: pd.DataFrame, by: Sequence[str]) -> np.ndarray:
    """Name of the group of each trial, ``subject/session``; empty where all are one group."""
    columns = [meta[name].astype(str) for name in by]
    return np.array(["/".join(row) for row in zip(*columns, strict=True)] if columns else [""] * len(meta), object)


def fit_frontend(
    frontend: FrontEnd, moments: Moments, y: np.ndarray, meta: pd.DataFrame, split: Split, *,
    source: Source | None = None,
) -> LinearMap:    # fmt: skip
    """Fit any front end for a run. Labels are those of training trials alone.

    A run that starts from a source takes the source's front end: the network knows signals behind it alone, and a few
    trials measure a mean, a deviation or a CSP filter badly.
    """
    if source is not None:
        weights = source.weights
        if isinstance(frontend, Align):
            return frontend.take_groups(weights, moments, meta, split)
        electrodes = not isinstance(frontend, CSP)
        return LinearMap(weights["frontend.filters"], weights["frontend.offset"], electrodes=electrodes)
    if isinstance(frontend, Align):
        return frontend.fit_groups(moments, y, meta, split)
    return frontend.fit(moments[split.train], y[split.train])


def align_trials(
    frontend: Align, X: Float32[np.ndarray, "trial chan time"], meta: pd.DataFrame, split: Split, moments: Moments
) -> Float32[np.ndarray, "trial chan time"]:    # fmt: skip
    """Align trials for a pipeline that brings its own front end; what comes ``then`` is the pipeline's business."""
    matrices, which = frontend.maps(moments, meta, split)
    return (matrices.astype(np.float32)[which] @ X).astype(np.float32)


def _moved(moments: Moments, matrices: Float[np.ndarray, "some chan chan"]) -> Moments:
    """Moments of the trials after their maps."""
    mean = (matrices @ moments.mean[:, :, None])[:, :, 0]
    return Moments(mean, matrices @ moments.second @ matrices.transpose(0, 2, 1))
