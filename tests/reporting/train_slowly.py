"""A training that another process kills: see `test_kill_in_the_middle`."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.reporting.conftest import CLASSES, make_meta, make_prediction, make_runs

from eegdecode.reporting.store import Store

if __name__ == "__main__":
    meta = make_meta(n_subjects=3)
    store = Store(
        sys.argv[1],
        runs=make_runs(meta, n_seeds=6),
        meta=meta,
        classes=CLASSES,
        fingerprints=dict.fromkeys(meta["subject"].unique(), "0"),
        context={},
        facts={"dataset": "simulated", "model": "eegnet"},
    )
    for run in store.unfinished():
        time.sleep(0.05)
        with (store.folder / "trained.txt").open("a") as file:
            file.write(run.name() + "\n")
        store.add(make_prediction(run, meta))
    store.score()
