"""What every search of a test has."""

import pytest
from tests.search import stub


@pytest.fixture
def trials(monkeypatch):
    """Small trials in place of a data set's."""
    return stub.without_data(monkeypatch.setattr)
