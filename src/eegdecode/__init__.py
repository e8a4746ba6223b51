"""EEG decoding experiments that are honest by construction."""

import os

__version__ = "0.1.0"

# Threads of torch that wait for each other turn this often before they let go of their core. libgomp's own 300,000
# make a training beside other work several times as slow (notebooks/benchmarks/threads.md). It is read when torch is
# loaded, so it stands here; who has set either variable knows better.
SPINS = "1000"
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
