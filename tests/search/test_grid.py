"""Every combination once, whoever takes it, the default among them."""

import pandas as pd
import pytest
from filelock import FileLock, Timeout
from tests.search import stub

from eegdecode.search import objective
from eegdecode.search.work import run_search

SPACE = {"trainer.lr": {"choice": [0.1, 0.01, 0.001]}, "trainer.depth": {"int": [1, 3]}}


def test_a_point_is_known_before_another_worker_may_take_one(tmp_path, trials, monkeypatch):
    """Else two might take the same one, and as many trials as there are points would leave another one out."""
    suggest, fit, taken = objective.suggest, stub.StubTrainer.fit, []

    def under_lock(space, trial):
        with pytest.raises(Timeout):
            FileLock(tmp_path / ".dealing").acquire(timeout=0)
        taken.append(trial.number)
        return suggest(space, trial)

    def beside_others(self, *args, **about):
        with FileLock(tmp_path / ".dealing").acquire(timeout=0):
            yield from fit(self, *args, **about)

    monkeypatch.setattr(objective, "suggest", under_lock)
    monkeypatch.setattr(stub.StubTrainer, "fit", beside_others)
    assert run_search(stub.search(tmp_path, SPACE, sampler="grid", n_trials=4), stub.compose) == []
    assert taken == [0, 1, 2, 3]


def test_the_default_is_one_of_the_points_and_marked(tmp_path, trials):
    """So that the report has its validation score, and says so where it wins."""
    run_search(stub.search(tmp_path, SPACE, sampler="grid", n_trials=99), stub.compose)
    found = pd.read_csv(tmp_path / "trials.csv")
    assert len(found) == len(found[["trainer.lr", "trainer.depth"]].drop_duplicates()) == 9
    (default,) = found[found["default"]].to_dict("records")
    assert (default["trainer.lr"], default["trainer.depth"]) == (0.001, 2)
    assert f"| default | {100 * default['score']:.1f} |" in (tmp_path / "report.md").read_text()
