"""The compiled step gives what the plain one gives: in a process without the type checker, which cannot be traced."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import json, sys
from functools import partial

import numpy as np, pandas as pd
from torch._dynamo.testing import CompileCounterWithBackend

from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.runs import Run, Split
from eegdecode.training import loop
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore
from eegdecode.trials import Signal, Trials

small = partial(STTransformer, width=8, heads=2, depth=1, drop=0.0)
model = {"eegnet": partial(EEGNet, drop=0.0), "sttransformer": small}[sys.argv[1]]
rows, rng = np.arange(40), np.random.default_rng(0)
y = rows % 3
X = rng.normal(size=(40, 4, 128)).astype(np.float32)
X[rows, y] *= 2
meta = pd.DataFrame({"trial": rows.astype(str), "subject": "1", "session": "0", "run": "0", "label": y})
signal = Signal(tuple("abcd"), 128.0, 0.0, np.full((4, 3), np.nan))
trials = Trials(X, meta, signal, ("a", "b", "c"), "toy", {}, pd.DataFrame())
splits = [Split(train=r[:23], val=r[23:30], test=r[30:], subject=str(i), session="0", fold=0, protocol="toy")
          for i, r in enumerate(np.roll(rows, 9 * i) for i in range(6))]
stacks = [[Run(split, seed=0) for split in part] for part in (splits[:3], splits[3:])]

def train(**settings):
    trainer = DeepTrainer(epochs=4, batch_size=12, device="cpu", ensemble="vectorise", **settings)    # 12 and 11 trials
    return list(trainer.fit(model, trials, stacks, frontend=ZScore(), on_epoch=lambda run, row: None))

counter = CompileCounterWithBackend("aot_eager_decomp_partition")    # what inductor gets, run without a compiler
loop.BACKEND = counter
plain, compiled = train(), train(compile=True)
apart = [np.abs(one.logits["test"] - other.logits["test"]).max() for one, other in zip(plain, compiled)]
moved = np.abs(plain[0].history["running_loss"].diff().iloc[1:]).min()
print(json.dumps({"apart": float(max(apart)), "moved": float(moved), "graphs": counter.frame_count}))
"""


@pytest.mark.parametrize("network", ["eegnet", "sttransformer"])
def test_the_compiled_step_gives_the_same(network):
    """Two stacks of two batch sizes: compiled once for each size, and not again for the second stack."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", CODE, network]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["moved"] > 1e-3
    assert seen["apart"] < 1e-4
    assert seen["graphs"] == 5, "networks for two batch sizes, Adam's first step and the others, and the gradients"
