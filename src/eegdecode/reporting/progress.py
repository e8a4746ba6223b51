"""What is seen while runs train: a bar with loss, rate and time left, or plain lines in a log file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eegdecode.pretrained import Pretrained
from eegdecode.runs import Prediction, Run


class ProgressBar:
    """A bar over the epochs of all runs. Where the screen is a file, one line for each finished run.

    Parameters
    ----------
    epochs : mapping
        Name of each run to train -> its epochs, at most.
    verdicts : mapping, optional
        Name of a run -> what it suffers from, as soon as that is known (see `LiveDiagnosis`).
    n_reused : int
        Runs that were finished before and are not trained again; they are mentioned once.
    console : rich.console.Console, optional
    """

    def __init__(
        self, epochs: Mapping[str, int], *, verdicts: Mapping[str, str] | None = None, n_reused: int = 0,
        console: Console | None = None,
    ) -> None:    # fmt: skip
        self.console, self.verdicts = console or Console(), {} if verdicts is None else verdicts
        n_runs = len(epochs)
        self.n_runs, self.n_done, self.epochs = n_runs, 0, epochs
        self._seen: Counter[str] = Counter()    # epochs of the runs in work
        self._total = sum(epochs.values())
        if n_reused:
            self.console.print(f"{n_reused} of {n_reused + n_runs} runs were finished before and are not trained again")
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=self.console, disable=not self.console.is_terminal or n_runs == 0,
        )    # fmt: skip
        self._task = self._bar.add_task("epochs", total=self._total, status="")

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:    # fmt: skip
        self._bar.stop()

    def epoch(self, run: Run, row: Mapping[str, float]) -> None:
        """Show an epoch of a run."""
        passed, self._seen[run.name()] = self._seen[run.name()], int(row["epoch"])
        losses = [f"{label} {row[name]:.3f}" for label, name in (("train", "train_loss"), ("val", "val_loss"))
                  if row.get(name) == row.get(name) and name in row]    # fmt: skip
        rate = [f"lr {row['lr']:.1e}"] if "lr" in row else []
        verdict = [f"[yellow]{self.verdicts[run.name()]}[/]"] if run.name() in self.verdicts else []
        status = "  ".join([f"sub {run.split.subject}", *losses, *rate, *verdict])
        self._bar.update(self._task, advance=self._seen[run.name()] - passed, status=status)

    def done(self, prediction: Prediction | Pretrained) -> None:
        """Count a finished run; epochs that an early stop saved are taken off the total."""
        self.n_done += 1
        name = prediction.run.name()
        self._total -= self.epochs[name] - self._seen.pop(name, 0)
        self._bar.update(self._task, total=self._total)
        if not self.console.is_terminal or prediction.status != "done":
            text = f"[{self.n_done}/{self.n_runs}] {prediction.run.name()}  {prediction.seconds:.1f} s"
            self.console.print(f"{text}  {prediction.status}", highlight=False, markup=False, soft_wrap=True)
