"""A worker of a search that another process kills: see `test_work`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.search import stub

import eegdecode.search.study
from eegdecode.search.work import run_search

if __name__ == "__main__":
    folder, storage, n_trials = sys.argv[1:]
    eegdecode.search.study.GRACE = 6
    stub.without_data(setattr)
    search = stub.search(
        folder, typed=["trainer.pause=0.1"], storage=storage if storage != "sqlite" else None, n_trials=int(n_trials)
    )
    sys.exit("\n".join(run_search(search, stub.compose)) or 0)
