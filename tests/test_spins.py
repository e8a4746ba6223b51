"""Threads that wait let go of their core soon, unless the user says otherwise."""

import os
import subprocess
import sys

import pytest

import eegdecode

BOTH = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
SHOW = "import sys, os, eegdecode; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, eegdecode.SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_spins_are_set_before_torch_reads_them_and_what_a_user_set_stays(given, expected):
    environment = {name: value for name, value in os.environ.items() if name not in BOTH} | given
    done = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, "False"]
