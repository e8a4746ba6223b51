"""The store: every finished run goes to disk at once; nothing is lost and nothing is trained twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from eegdecode.identity import digest, pool_digest, run_key, split_digest
from eegdecode.reporting import outcomes, tables
from eegdecode.reporting.checkpoints import checkpoint_belongs, describe_run, write_checkpoint
from eegdecode.reporting.disk import append_text, make_folder, sweep_temporaries, write_json, write_text, write_whole
from eegdecode.reporting.folders import (
    SUMMARY,
    TRAINING,
    by_name,
    experiment_key,
    hold,
    mark_folder,
    refuse_other_kind,
    release,
)
from eegdecode.reporting.library import Library
from eegdecode.reporting.outcomes import ANSWERED, DamagedError, Outcome, outcome_of, shapes_of
from eegdecode.reporting.predictions import write_predictions
from eegdecode.reporting.results import Results, load_results
from eegdecode.reporting.sharing import Sharing
from eegdecode.runs import Prediction, Run

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
    prepared : mapping
        Settings of the preprocessing, noted in checkpoints.
    library : Library, optional
        Where finished runs are looked for first and published. With it, runs are shared with other processes.

    Notes
    -----
    ``finished/<key>.npz`` is the truth: tables, summary and ``predictions.npz`` are made of these files and
    can be made again. Adding a run costs the same whether it is the first or the ten-thousandth.
    """

    def __init__(
        self, out_dir: Path | str, *, runs: Sequence[Run], meta: pd.DataFrame, classes: Sequence[str],
        fingerprints: Mapping[str, str], context: Mapping[str, Any], facts: Mapping[str, Any],
        prepared: Mapping[str, Any] | None = None, library: Library | None = None,
    ) -> None:    # fmt: skip
        self.folder = make_folder(Path(out_dir))
        refuse_other_kind(self.folder, kind=TRAINING)
        if not hold(self.folder):
            raise BlockingIOError(f"another process uses {self.folder}: wait for it or give another out_dir")
        self.meta, self.classes, self.facts = meta, tuple(classes), dict(facts)
        self.prepared = dict(prepared or {})
        self.runs = by_name(runs)
        identity = {"meta": meta, "fingerprints": fingerprints, "context": context}
        self.keys = {name: run_key(run, **identity) for name, run in self.runs.items()}
        self.sharing = library and Sharing(
            library, self.folder, keys=self.keys, fits=self._fits, taken=self._append_rows
        )
        self.numbers = sorted({name for run in runs for name in run.numbers})
        self.watched = bool(self.facts.get("watch_test"))
        self._said: set[str] = set()
        self._labels = meta["label"].to_numpy(np.int64)
        self._cues, _ = pd.factorize(meta["group"] if "group" in meta else meta["trial"])
        for place in (make_folder(self.folder / "finished"), make_folder(self.folder / "failed"), self.folder):
            sweep_temporaries(place)
        sweep_temporaries(self.folder / "checkpoints")
        splits = list({id(run.split): run.split for run in runs}.values())
        mark_folder(
            self.folder, self.runs.values(), self.numbers, classes=self.classes, facts=self.facts,
            key=experiment_key(runs, **identity),
            data_hash=digest(dict(fingerprints)),
            split_hash=split_digest(splits, meta=meta),
            pool_hash=pool_digest(splits, meta=meta),
            test_hash=pool_digest(splits, meta=meta, training=False),
        )    # fmt: skip
        self._write_tables()

    def unfinished(self) -> list[Run]:
        """Runs without a finished result under their key, here or in the library; failed ones are tried again."""
        absent = []
        for name, run in self.runs.items():
            outcome = self._read("finished", name)
            if outcome is None:
                absent.append(run)
            elif self.sharing:    # the library may have been full, or another one, when the run was trained
                self.sharing.end(run, outcome)
        return self.sharing.take(absent) if self.sharing else absent

    def claim(self, runs: Sequence[Run]) -> list[Run]:
        """Those of some runs that this process is to train now, see `Sharing`; all where nothing is shared."""
        return self.sharing.claim(runs) if self.sharing else list(runs)

    def wait(self, runs: Sequence[Run]) -> list[Run]:
        """Those of some runs that another process had in work and left undone, see `Sharing`."""
        return self.sharing.wait(runs) if self.sharing else []

    def add(self, prediction: Prediction) -> None:
        """Write one run at once: the checkpoint, then the outcome that makes it count, then the rows."""
        run = prediction.run
        name = run.name()
        if name not in self.keys:
            raise ValueError(f"{name} is not a run of this experiment")
        outcome = outcome_of(prediction, key=self.keys[name], n_classes=len(self.classes), folder=str(self.folder))
        if outcome.checkpoint:
            self._write_checkpoint(prediction, outcome)
        kind = "finished" if outcome.done else "failed"
        outcomes.write_outcome(self.folder / kind / f"{outcome.key}.npz", outcome)
        if outcome.done:
            (self.folder / "failed" / f"{outcome.key}.npz").unlink(missing_ok=True)
        else:
            log.warning("%s %s; the same command, started again, tries it again", name, outcome.status)
        if self.sharing:
            self.sharing.end(run, outcome)
        self._append_rows(run, outcome)

    def close(self) -> None:
        """Let other processes train what this one has not."""
        if self.sharing:
            self.sharing.library.close()

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
        if not self._fits(run, outcome):
            self._complain(f"{kind}/{key}.npz: the logits have another shape; {name} is trained anew")
            return None
        weights = outcome.checkpoint
        if weights and not checkpoint_belongs(self.folder / "checkpoints", weights, key):
            self._complain(f"no whole checkpoint of {name} under these settings; it is trained anew")
            return None
        return outcome

    def _fits(self, run: Run, outcome: Outcome) -> bool:
        return {part: outcome.logits[part].shape for part in ANSWERED} == shapes_of(run, len(self.classes))

    def _append_rows(self, run: Run, outcome: Outcome) -> None:
        append_text(self.folder / "scores.csv", self._score_line(run, outcome))
        append_text(self.folder / "history.csv", tables.history_text(run, outcome, self.numbers, watched=self.watched))

    def _complain(self, text: str) -> None:
        """Say it once."""
        if text not in self._said:
            self._said.add(text)
            log.warning(text)

    def _score_line(self, run: Run, outcome: Outcome) -> str:
        labels = {part: self._labels[getattr(run.split, part)] for part in ANSWERED}
        cues = len(np.unique(self._cues[run.split.test]))
        about = {"labels": labels, "n_classes": len(self.classes), "test_cues": cues, "facts": self.facts}
        row = tables.score_row(run, outcome, **about)
        return tables.row_text(row, tables.score_columns(self.numbers, watched=self.watched))

    def _write_checkpoint(self, prediction: Prediction, outcome: Outcome) -> None:
        told = describe_run(
            prediction.run, outcome.key, model=prediction.model, meta=self.meta, facts=self.facts,
            classes=list(self.classes), best_epoch=prediction.best_epoch, preprocess=self.prepared,
        )    # fmt: skip
        write_checkpoint(self.folder / "checkpoints", outcome.checkpoint, prediction.weights, told)
