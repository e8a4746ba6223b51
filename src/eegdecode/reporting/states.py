"""States of trainings in work, on disk: one file for runs that are trained side by side, whole or absent."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eegdecode.identity import digest
from eegdecode.reporting.disk import make_folder, sweep_temporaries, write_whole
from eegdecode.reporting.outcomes import DamagedError
from eegdecode.runs import Run

FOLDER = "in_work"
Kept = tuple[Mapping[str, np.ndarray], Mapping[str, Any]]    # as `eegdecode.training.states.State`
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DiskStates:
    """States of the runs of one experiment. Worker processes have a copy each.

    A file is named after the last of its runs, whose result comes last: with that it goes. It is used for exactly the
    runs, in their order, under the keys that it was written for: no other data, settings, sources or version of torch.

    Attributes
    ----------
    folder : Path
        ``in_work`` below the run folder.
    keys : mapping
        Name of each run of the experiment -> its key.
    """

    folder: Path
    keys: Mapping[str, str]

    def write(self, runs: Sequence[Run], state: Kept) -> None:
        """Write the state of runs in place of their last one.

        Raises
        ------
        OSError
            If there is no room or no permission.
        """
        keys = [[run.name(), self.keys[run.name()]] for run in runs]
        arrays, facts = state
        header = json.dumps({"runs": keys, "facts": facts}).encode()
        packed = {f"array/{name}": array for name, array in arrays.items()}
        make_folder(self.folder)
        whole = {"header": np.frombuffer(header, np.uint8), **packed}
        write_whole(self._path(runs[-1]), lambda file: np.savez(file, allow_pickle=False, **whole))

    def read(self, runs: Sequence[Run]) -> Kept | None:
        """The state of runs; None where there is none that can be trusted."""
        try:
            named, kept = _read(self._path(runs[-1]))
        except (FileNotFoundError, DamagedError):    # `begin` has said it
            return None
        if [name for name, _ in named] != [run.name() for run in runs]:
            log.warning(
                "%s: its state was left by a training of %d runs side by side, now they are %d: trained from the start",
                runs[-1].name(), len(named), len(runs),
            )    # fmt: skip
            return None
        return kept if all(self.keys.get(name) == key for name, key in named) else None

    def begin(self, todo: Iterable[Run]) -> None:
        """Say which trainings go on and which states are not used, and why; remove what is damaged or finished."""
        names = {run.name() for run in todo}
        sweep_temporaries(self.folder)
        for path in sorted(self.folder.glob("*.npz")):
            try:
                named, kept = _read(path)
            except DamagedError as error:
                log.warning("%s; its training begins anew", error)
                path.unlink(missing_ok=True)
                continue
            last = named[-1][0] + (f" and {len(named) - 1} beside it" if len(named) > 1 else "")
            if not all(self.keys.get(name) == key for name, key in named):
                log.warning("%s: the state in %s is of other data, settings or versions: not used", last, path)
            elif names.issuperset(name for name, _ in named):
                log.info("%s: goes on after epoch %d", last, kept[1]["epoch"])
            else:    # a kill hit between the result and `drop`
                path.unlink(missing_ok=True)

    def drop(self, run: Run) -> None:
        """Remove the state of a run that is finished, and the folder with its last file."""
        with suppress(OSError):
            self._path(run).unlink(missing_ok=True)
            self.folder.rmdir()    # refused while there are others

    def _path(self, last: Run) -> Path:
        return self.folder / f"{digest(last.name())}.npz"


def _read(path: Path) -> tuple[list[list[str]], Kept]:
    """Names and keys of the runs, and their state."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as packed:
            header = json.loads(packed["header"].tobytes())    # every array carries a checksum
            arrays = {name.removeprefix("array/"): packed[name] for name in packed.files if name != "header"}
            return header["runs"], (arrays, header["facts"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedError(f"the state {path} is damaged ({type(error).__name__}: {error})") from error
