"""Choices and settings that are none, told before Hydra does."""

import re
from pathlib import Path

import pytest

from eegdecode.launching.options import check_options

CONFIGS = Path(__file__).parents[2] / "configs"


def test_null_is_no_choice():
    for words, said in (
        (["augment=null"], "augment=null chooses nothing; did you mean augment=none?"),
        (["model=null"], "model=null chooses nothing; leave it out"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            check_options(words, CONFIGS)
    check_options(["augment=none", "out_dir=null", "trainer.epochs=null"], CONFIGS)
