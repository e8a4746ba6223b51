import warnings

import pytest


@pytest.fixture
def peers():
    """The networks of braindecode; a test of them is skipped without the extra."""
    warnings.simplefilter("ignore")    # of its imports
    return pytest.importorskip("braindecode.models", exc_type=ImportError)
