"""The store: every finished run goes to disk at once; nothing is lost and nothing is trained twice."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from eegdecode.reporting import outcomes, tables
from eegdecode.reporting.checkpoints import checkpoint_belongs, file_name, write_checkpoint
from eegdecode.reporting.disk import (
    append_text,
    make_folder,
    sweep_temporaries,
    write_json,
    write_text,
    write_whole,
)
from eegdecode.reporting.folders import MARKER, SUMMARY, experiment_key, hold, release
from eegdecode.reporting.outcomes import PARTS, DamagedError, Outcome
from eegdecode.reporting.predictions import write_predictions
from eegdecode.reporting.results import Results, load_results
from eegdecode.reporting.transfer import origin
from eegdecode.runs import Prediction, Run, digest, pool_digest, run_key, split_digest

log = logging.getLogger(__name__)


class Store:
    """Finished runs of one experiment in one folder.

    Parameters
    ----------
    out_dir : path
        The run folder; created, and locked for this process.
    runs : sequence of Run
        All runs of the experiment; their order is that of the tables.
    meta, classes, fingerprints
        From `Trials`: the table that the splits point into, class names, digests of the data.
    context : mapping
        JSON types: everything that defines the runs beside data, split, seed and numbers. Change it and runs
        are trained anew.
    facts : mapping
        What is only noted in rows and summary: ``dataset`` and ``model`` (required), ``transductive``,
        ``select``, ``watch_test``, versions, device, commit, command and the like. Change it
        and finished runs still count.

    Notes
    -----
    ``finished/<key>.npz`` is the truth: tables, summary and ``predictions.npz`` are made of these files and
    can be made again. Adding a run costs the same whether it is the first or the ten-thousandth.
    """

    def __init__(
        self,
        out_dir: Path | str,
        *,
        runs: Sequence[Run],
        meta: pd.DataFrame,
        classes: Sequence[str],
        fingerprints: Mapping[str, str],
        context: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        self.folder = make_folder(Path(out_dir))
        if not hold(self.folder):
            raise BlockingIOError(f"another process uses {self.folder}: wait for it or give another out_dir")
        self.meta, self.classes, self.facts = meta, tuple(classes), dict(facts)
        self.runs = _by_name(runs)
        self.keys = {
            name: run_key(run, meta=meta, fingerprints=fingerprints, context=context)
            for name, run in self.runs.items()
        }
        self.numbers = sorted({name for run in runs for name in run.numbers})
        self.watched = bool(self.facts.get("watch_test"))
        self._said: set[str] = set()
        self._labels = meta["label"].to_numpy(np.int64)
        for name in ("finished", "failed"):
            sweep_temporaries(make_folder(self.folder / name))
        splits = list({id(run.split): run.split for run in runs}.values())
        self._mark(
            key=experiment_key(runs, meta=meta, fingerprints=fingerprints, context=context),
            data_hash=digest(dict(fingerprints)),
            split_hash=split_digest(splits, meta=meta),
            pool_hash=pool_digest(splits, meta=meta),
            test_hash=pool_digest(splits, meta=meta, training=False),
        )
        self._write_tables()

    def unfinished(self) -> list[Run]:
        """Runs without a finished result under their key here; failed and damaged ones are tried again."""
        return [run for name, run in self.runs.items() if self._read("finished", name) is None]

    def add(self, prediction: Prediction) -> None:
        """Write one run at once: the checkpoint, then the outcome that makes it count, then the rows."""
        run = prediction.run
        name = run.name()
        if name not in self.keys:
            raise ValueError(f"{name} is not a run of this experiment")
        outcome = _outcome_of(prediction, self.keys[name], len(self.classes))
        if outcome.checkpoint:
            self._write_checkpoint(prediction, outcome)
        kind = "finished" if outcome.done else "failed"
        outcomes.write_outcome(self.folder / kind / f"{outcome.key}.npz", outcome)
        if outcome.done:
            (self.folder / "failed" / f"{outcome.key}.npz").unlink(missing_ok=True)
        else:
            log.warning("%s %s; the same command, started again, tries it again", name, outcome.status)
        append_text(self.folder / "scores.csv", self._score_line(run, outcome))
        append_text(self.folder / "history.csv", tables.history_text(run, outcome, self.numbers, watched=self.watched))

    def score(self) -> Results:
        """Write tables, ``predictions.npz`` and ``summary.json`` of what is finished; also half-way."""
        finished = self._write_tables()
        write_predictions(self.folder / "predictions.npz", finished, meta=self.meta, classes=self.classes)
        results = load_results(self.folder)
        if others := results.summary["n_other_runs"]:
            log.warning("%s also holds %d finished runs of other settings: left out", self.folder, others)
        write_json(self.folder / SUMMARY, results.summary)
        if results.summary["complete"]:
            release(self.folder)
        return results

    def _mark(self, **identity: str) -> None:
        """Note what this folder's experiment is: enough to summarise it without its runs, data or code."""
        columns = ("subject", *self.numbers)
        counts = Counter(
            (run.split.subject, *(run.numbers.get(name) for name in self.numbers))
            for run in self.runs.values()
        )
        expected = [{**dict(zip(columns, values, strict=True)), "n": n} for values, n in counts.items()]
        about = {"numbers": self.numbers, "classes": self.classes, "facts": self.facts, "expected": expected}
        write_json(self.folder / MARKER, {**identity, **about})

    def _write_tables(self) -> list[tuple[str, Run, Mapping[str, np.ndarray]]]:
        """Write both tables anew, whole and in order; gives key, run and logits of what is finished."""
        finished = []
        lines = [tables.csv_text([tables.score_columns(self.numbers, watched=self.watched)])]

        def write(file: IO[bytes]) -> None:
            file.write(tables.csv_text([tables.history_columns(self.numbers, watched=self.watched)]).encode())
            for run, outcome in self._tried():
                lines.append(self._score_line(run, outcome))
                file.write(tables.history_text(run, outcome, self.numbers, watched=self.watched).encode())
                if outcome.done:
                    finished.append((outcome.key, run, outcome.logits))

        write_whole(self.folder / "history.csv", write)
        write_text(self.folder / "scores.csv", "".join(lines))
        return finished

    def _tried(self) -> Iterator[tuple[Run, Outcome]]:
        """Every run that was finished or failed, in the order of the experiment."""
        for name, run in self.runs.items():
            outcome = self._read("finished", name) or self._read("failed", name)
            if outcome is not None:
                yield run, outcome

    def _read(self, kind: str, name: str) -> Outcome | None:
        """The outcome of a run, None where there is none that can be trusted (then it is trained anew)."""
        run, key = self.runs[name], self.keys[name]
        try:
            outcome = outcomes.read_outcome(self.folder / kind / f"{key}.npz")
        except FileNotFoundError:
            return None
        except DamagedError as error:
            self._complain(f"{error}; {name} is trained anew")
            return None
        shapes = _shapes(run, len(self.classes))
        if any(outcome.logits[part].shape != shapes[part] for part in PARTS):
            self._complain(f"{kind}/{key}.npz: logits are not of shape {shapes}; {name} is trained anew")
            return None
        weights = outcome.checkpoint
        if weights and not checkpoint_belongs(self.folder / "checkpoints", weights, key):
            self._complain(f"no whole checkpoint of {name} under these settings; it is trained anew")
            return None
        return outcome

    def _complain(self, text: str) -> None:
        """Say it once."""
        if text not in self._said:
            self._said.add(text)
            log.warning(text)

    def _score_line(self, run: Run, outcome: Outcome) -> str:
        labels = {part: self._labels[getattr(run.split, part)] for part in PARTS}
        row = tables.score_row(run, outcome, labels=labels, n_classes=len(self.classes), facts=self.facts)
        return tables.row_text(row, tables.score_columns(self.numbers, watched=self.watched))

    def _write_checkpoint(self, prediction: Prediction, outcome: Outcome) -> None:
        run = prediction.run
        about = {
            "key": outcome.key,
            **origin(run, self.meta),
            "model": dict(prediction.model),
            "classes": list(self.classes),
            "best_epoch": outcome.best_epoch,
            "facts": self.facts,
        }
        write_checkpoint(self.folder / "checkpoints", outcome.checkpoint, prediction.weights, about)


def _by_name(runs: Sequence[Run]) -> dict[str, Run]:
    if not runs:
        raise ValueError("an experiment needs at least one run")
    named = {run.name(): run for run in runs}
    if len(named) < len(runs):
        twice = next(name for name, n in Counter(run.name() for run in runs).items() if n > 1)
        raise ValueError(f"two runs have the same name: {twice}")
    return named


def _shapes(run: Run, n_classes: int) -> dict[str, tuple[int, int]]:
    return {part: (len(getattr(run.split, part)), n_classes) for part in PARTS}


def _floats(logits: np.ndarray) -> np.ndarray:
    """At least single precision; doubles (of classical pipelines) stay doubles, so their scores are exact."""
    return np.asarray(logits, np.result_type(logits, np.float32))


def _outcome_of(prediction: Prediction, key: str, n_classes: int) -> Outcome:
    """What is kept of a prediction; one that is called done but holds NaN has failed."""
    run, status = prediction.run, prediction.status
    logits = {part: _floats(prediction.logits[part]) for part in PARTS}
    if status == "done" and any(np.isnan(array).any() for array in logits.values()):
        status = "failed: the logits hold NaN"
    shapes = {part: logits[part].shape for part in PARTS}
    if status == "done" and shapes != _shapes(run, n_classes):
        raise ValueError(f"{run.name()}: logits have shapes {shapes}, expected {_shapes(run, n_classes)}")
    history = prediction.history
    return Outcome(
        key=key,
        logits=logits,
        history=history.to_numpy(np.float64),
        columns=tuple(map(str, history.columns)),
        best_epoch=int(prediction.best_epoch),
        n_params=int(prediction.n_params),
        seconds=float(prediction.seconds),
        status=status,
        costs={name: float(value) for name, value in prediction.costs.items()},
        chosen=prediction.chosen,
        checkpoint=file_name(run.name(), key) if prediction.weights and status == "done" else "",
    )
