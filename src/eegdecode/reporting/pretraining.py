"""The folder of a pretraining: a checkpoint for each run, written at once, and tables and figures made of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eegdecode.pretrained import Pretrained
from eegdecode.reporting.checkpoints import checkpoint_belongs, describe_run, file_name, write_checkpoint
from eegdecode.reporting.disk import make_folder, read_json, sweep_temporaries, write_json, write_text
from eegdecode.reporting.folders import MARKER, PRETRAINING, SUMMARY, hold, refuse_other_kind, release
from eegdecode.reporting.style import CHANCE, RUNNING, TRAIN, VAL, new_figure, save, styled
from eegdecode.runs import Run

LINES = {    # column of a history -> what it is, colour, line
    "running_loss": ("training (as trained)", RUNNING, "--"), "train_loss": ("training (dropout off)", TRAIN, "-"),
    "val_loss": ("validation", VAL, "-"), "val_mean": ("mean of all trials", CHANCE, ":"),
    "val_repeat": ("repeating what was seen", CHANCE, "-."),
}    # fmt: skip
LOSSES, ASIDE = "losses.png", "other_settings"
log = logging.getLogger(__name__)


class PretrainingFolder:
    """Pretrained encoders of one command in one folder.

    Parameters
    ----------
    folder : path
        Created, and locked for this process.
    keys : mapping
        Name of each run -> its key, see `eegdecode.identity.run_key`. A checkpoint of the same key is not made again.
    key : str
        Of the experiment.
    facts : mapping
        What is only noted.
    prepared : mapping, optional
        How trials are preprocessed; checkpoints tell it to the networks that start from them.
    """

    def __init__(
        self, folder: Path | str, *, keys: Mapping[str, str], key: str, meta: pd.DataFrame, facts: Mapping[str, Any],
        prepared: Mapping[str, Any] | None = None,
    ) -> None:    # fmt: skip
        self.prepared = dict(prepared or {})
        self.folder, self.keys, self.meta, self.facts = make_folder(Path(folder)), keys, meta, dict(facts)
        refuse_other_kind(self.folder, kind=PRETRAINING)
        if not hold(self.folder):
            raise BlockingIOError(f"another process uses {self.folder}: wait for it or give another out_dir")
        self.checkpoints, self.figures = (make_folder(self.folder / name) for name in ("checkpoints", "figures"))
        sweep_temporaries(self.checkpoints)
        self._set_aside()
        write_json(self.folder / MARKER, {"key": key, "kind": PRETRAINING, "facts": self.facts})
        write_json(self.folder / SUMMARY, self._counts(self._found()))    # a kill must leave no word of being complete

    def unfinished(self, runs: Sequence[Run]) -> list[Run]:
        """Runs without a whole checkpoint under their key."""
        found = self._found()
        return [run for run in runs if run.name() not in found]

    def add(self, result: Pretrained) -> None:
        """Write the checkpoint of a run, and draw what it tells; one that failed is only said."""
        name = result.run.name()
        if result.status != "done":
            log.warning("%s %s; the same command, started again, tries it again", name, result.status)
            return
        about = describe_run(
            result.run, self.keys[name], model=result.model, meta=self.meta, facts=self.facts, kind=PRETRAINING,
            preprocess=self.prepared,
            classes=list(result.model["classes"]), best_epoch=int(result.history["epoch"].iloc[-1]),
            n_params=result.n_params, seconds=result.seconds, history=result.history.to_dict("list"),
        )    # fmt: skip
        with styled():
            save(draw_examples(result.examples, title=name), self.figures / f"{file_name(name, self.keys[name])}.png")
        write_checkpoint(self.checkpoints, file_name(name, self.keys[name]), result.weights, about)

    def finish(self) -> dict[str, Any]:
        """Write ``history.csv``, ``summary.json`` and the figure of the losses, of what is finished; also half-way."""
        found = self._found()
        parts = [pd.DataFrame(about["history"]).astype(float).assign(run=name) for name, about in found.items()]
        history = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run"])
        write_text(self.folder / "history.csv", history.to_csv(index=False))
        summary = self._counts(found)
        if parts:
            last = history.groupby("run").last().mean(numeric_only=True)
            summary |= {name: float(last[name]) for name in last.index if name.startswith(("train_", "val_"))}
            with styled():
                save(draw_losses(history), self.figures / LOSSES)
        write_json(self.folder / SUMMARY, summary)
        if summary["n_done"] == summary["n_expected"]:
            release(self.folder)
        return summary

    def _set_aside(self) -> None:
        """Move what other settings left away, and back what earlier runs of these settings left there.

        A network that starts from this folder must not meet other settings, and what is trained is not trained again.
        """
        mine, aside = {file_name(name, key) for name, key in self.keys.items()}, self.folder / ASIDE
        here = [path for path in (*_files(self.checkpoints), *_files(self.figures)) if path.name != LOSSES]
        others = [path for path in here if path.stem not in mine]
        for path in others:
            path.replace(make_folder(aside) / path.name)
        if others:
            (self.figures / LOSSES).unlink(missing_ok=True)    # of the others, too
            log.warning("%s held checkpoints of other settings: they are in %s now", self.folder, ASIDE)
        for path in _files(aside):
            back = (self.figures if path.suffix == ".png" else self.checkpoints) / path.name
            if path.stem in mine and not back.exists():
                path.replace(back)

    def _found(self) -> dict[str, dict[str, Any]]:
        """What the finished runs tell of themselves, by their names."""
        return {name: about for name in self.keys if (about := self._about(name)) is not None}

    def _counts(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {"n_done": len(found), "n_expected": len(self.keys), "facts": self.facts}

    def _about(self, name: str) -> dict[str, Any] | None:
        file = file_name(name, self.keys[name])
        whole = checkpoint_belongs(self.checkpoints, file, self.keys[name])
        return read_json(self.checkpoints / f"{file}.json") if whole else None


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def last_words(folder: Path, summary: Mapping[str, Any]) -> str:
    """What is said at the end: the error, beside what telling the mean or repeating gives."""
    part = "val" if summary.get("val_loss") == summary.get("val_loss") and "val_loss" in summary else "train"
    lines = [f"{summary['n_done']} of {summary['n_expected']} encoders in {folder}"]
    if f"{part}_loss" in summary:
        which = "validation" if part == "val" else "training"
        lines.append(
            f"error on {which} trials {summary[f'{part}_loss']:.3f}; of the mean {summary[f'{part}_mean']:.3f}, "
            f"of repeating what was seen {summary[f'{part}_repeat']:.3f}"
        )
        if summary[f"{part}_loss"] >= min(summary[f"{part}_mean"], summary[f"{part}_repeat"]):
            lines.append("nothing was learned that a constant does not tell: more trainer.updates, or another task")
        lines.append(f"fine-tune it: python scripts/train.py ... model.init_from={folder}")
    return "\n".join(lines)


def draw_losses(history: pd.DataFrame) -> Figure:
    """Mean errors of all runs over the epochs, with those of the two trivial answers."""
    figure = new_figure(5.0, 3.2)
    ax = figure.subplots()
    mean = history.groupby("epoch").mean(numeric_only=True)
    for column, (name, colour, line) in LINES.items():
        column = column if mean[column].notna().any() else column.replace("val_", "train_")
        if name != "validation" or column == "val_loss":
            ax.plot(mean.index, mean[column], color=colour, ls=line, label=name)
    ax.set(xlabel="epoch (passes over the training trials)", ylabel="mean squared error (deviation 1)")
    ax.set_ylim(top=min(3.0, ax.get_ylim()[1]))    # what repeating costs may be far above
    ax.set_title(f"Reconstruction ({history['run'].nunique()} runs)")
    ax.legend()
    return figure


def draw_examples(examples: Mapping[str, np.ndarray], *, title: str) -> Figure:
    """Some hidden pieces, true above, told below: power as an image, waves as lines of a few channels."""
    n = len(examples["truth"])
    figure = new_figure(1.0 + 1.9 * n, 4.2)
    axes = figure.subplots(2, n, squeeze=False, sharex=True, sharey=True)
    axis, image = examples["axis"], axis_is_frequency(examples["axis"])
    for (row, what), column in ((each, i) for each in enumerate(("truth", "told")) for i in range(n)):
        ax, piece = axes[row, column], examples[what][column]
        if image:
            step = (axis[-1] - axis[0]) / max(1, len(axis) - 1) or 1.0
            extent = (-0.5, piece.shape[1] - 0.5, axis[0] - step / 2, axis[-1] + step / 2)
            ax.imshow(piece, origin="lower", aspect="auto", extent=extent, cmap="RdBu_r", vmin=-2, vmax=2)
            ax.grid(False)
        else:
            ax.plot(axis, piece[:, :3] + 4 * np.arange(min(3, piece.shape[1])), lw=0.8)
        if column == 0:
            ax.set_ylabel(f"{'true' if row == 0 else 'told'}\n" + ("frequency (Hz)" if image else "channels"))
        ax.set_xlabel(("channel" if image else "time (s)") if row else "")
    what = "log power in deviations, red: more" if image else "normalised signal"
    figure.suptitle(f"{title}: hidden pieces ({what})", x=0.01, ha="left", fontsize=9)
    return figure


def axis_is_frequency(axis: np.ndarray) -> bool:
    """Frequencies in Hz begin above 0, times in s at 0."""
    return bool(axis[0] > 0)
