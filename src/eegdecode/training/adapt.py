"""Batch norm by the statistics of the trials under test: a shift from session to session that moves them is undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int

from eegdecode.training.task import Task

MOST = 512    # trials that go through a network at once; of a longer session each such piece has its own statistics


@torch.no_grad()
def predict_adapted(
    task: Task, rows: Sequence[Int[np.ndarray, " n"]], sessions: Int[np.ndarray, " trial"]
) -> list[np.ndarray]:    # fmt: skip
    """Logits of each run for its own rows, (n, K), batch norm by the mean and variance of the rows of one session.

    Adaptive batch normalisation (Li et al., Revisiting batch normalization for practical domain adaptation, 2016;
    arXiv 1603.04779, algorithm 1): layer by layer, for each layer's input is already normalised anew. No label is used,
    but a trial's answer depends on the others of its session, which come after it too: transductive. A single trial
    has no statistics; it is answered as without adaptation.
    """
    found = []
    for run, mine in enumerate(rows):
        one = task.take(np.array([run]))    # copies, whose running statistics may move
        logits = task.predict(rows)[run] if not len(mine) else one.predict([mine])[0]
        for piece in normed_together(sessions[mine]):
            x = one.signals[torch.as_tensor(mine[piece], device=one.y.device)[None]]
            logits[piece] = one.ensemble(x, train=False, adapt=True)[0].float().cpu().numpy()
        found.append(logits)
    return found


def normed_together(sessions: Int[np.ndarray, " trial"]) -> Iterator[Int[np.ndarray, " some"]]:
    """Places of trials that share their statistics: those of a session, or a piece of a long one; none alone."""
    for session in np.unique(sessions):
        places = np.flatnonzero(sessions == session)
        yield from (piece for piece in np.array_split(places, -(-len(places) // MOST)) if len(piece) > 1)
