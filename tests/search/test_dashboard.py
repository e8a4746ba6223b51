"""optuna-dashboard reads a search as it lies on disk, opened as the README types it."""

import io
import json
from wsgiref.util import setup_testing_defaults

import pytest
from tests.search import stub

from eegdecode.search.work import run_search

dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed: '.[dashboard]'")


def answer(app, path):
    environ, told = {"PATH_INFO": path, "wsgi.input": io.BytesIO()}, []
    setup_testing_defaults(environ)
    body = b"".join(app(environ, lambda status, *_: told.append(status)))
    assert told == ["200 OK"], body
    return json.loads(body)


@pytest.mark.parametrize(("storage", "file", "kind"), [
    (None, "sqlite:///{}/study.db", None), ("journal", "{}/study.journal", "JournalFileStorage"),
])    # fmt: skip
def test_the_dashboard_shows_every_trial_of_a_search(tmp_path, monkeypatch, storage, file, kind):
    from optuna_dashboard._storage_url import get_storage  # what its command does with what is typed

    stub.without_data(monkeypatch.setattr)
    run_search(stub.search(tmp_path, storage=storage, n_trials=4), stub.compose)
    app = dashboard.wsgi(get_storage(file.format(tmp_path), kind))
    (study,) = answer(app, "/api/studies")["study_summaries"]
    assert study["study_name"] == "toy_search"
    shown = answer(app, f"/api/studies/{study['study_id']}")
    assert [trial["state"] for trial in shown["trials"]] == ["Complete"] * 4
    assert {param["name"] for trial in shown["trials"] for param in trial["params"]} == set(stub.SPACE)
