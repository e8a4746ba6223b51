"""The story of a checkpoint: it is read, trials are prepared as those of its training, and it answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Dataset
from eegdecode.identity import describe
from eegdecode.reporting.answers import answer_sentences, answer_table, differences, is_answers
from eegdecode.reporting.checkpoints import plain_name, read_checkpoint
from eegdecode.reporting.disk import make_folder, write_text
from eegdecode.reporting.ensembles import BY, check_way, combine
from eegdecode.reporting.folders import PRETRAINING
from eegdecode.reporting.seen import known_by_name_alone, known_trials, read_marks

log = logging.getLogger(__name__)


def predict(
    *, checkpoint: str, dataset: Dataset, preprocess: Preprocess, decode: Callable, by: str | None = None,
    out: str | None = None,
) -> str:    # fmt: skip
    """Predict trials and write a table, a row a trial.

    Parameters
    ----------
    checkpoint : path
        Of a single run or an ensemble.
    dataset, preprocess
        As instantiated from ``configs/``. Labels may be unknown: then marks of cues have names of their own.
    decode : callable
        (weights, about, trials) -> logits (R, n, K), R members.
    by : {"probabilities", "logits"} or None
        What members average; None: what the checkpoint says.
    out : path or None
        The table; None takes ``data/predictions/<data set>/<checkpoint>.csv``.

    Returns
    -------
    str
        What was found, in words.
    """
    weights, about = read_checkpoint(checkpoint)
    marks = read_marks(about, f"checkpoint={checkpoint}")
    if about.get("kind") == PRETRAINING:
        raise ValueError(
            f"checkpoint={checkpoint} is a pretrained encoder, which has no head to answer with: fine-tune it by "
            "train.py model.init_from=RUN_FOLDER"
        )
    typed, by = by, check_way(by or about.get("by", BY[0]))
    if out is not None and Path(out).is_dir():
        raise ValueError(f"out={out} is a folder; give the name of a table, out={Path(out, 'answers.csv')}")
    if out is not None and Path(out).is_file() and not is_answers(Path(out)):
        raise ValueError(f"out={out} is there and holds no predictions, which would replace it: give another name")
    if typed and not about.get("members"):
        log.warning("by=%s does nothing: %s is of one run, and not of an ensemble", typed, checkpoint)
    trials = load_trials(dataset, preprocess, labelled=False)
    for text in differences(about, describe(preprocess), tmin=trials.signal.tmin):
        log.warning("%s", text)
    members = decode(weights, about, trials)
    logits = combine(members, by=by)
    classes, known = about["model"]["classes"], known_trials(marks, trials.meta, dataset=trials.dataset)
    if known_by_name_alone(marks, trials.meta, dataset=trials.dataset):
        log.warning(
            "the checkpoint has learned from trials of these names, but of no such signals. Are they the same, cut or "
            "filtered otherwise, their answers are no test; are these other people, say so by another dataset.name=... "
            "(simulated people: dataset.seed)"
        )
    table = answer_table(logits, trials.meta, classes=classes, named=trials.classes, known=known)
    path = Path(out or Path("data", "predictions", trials.dataset, f"{plain_name(checkpoint)}.csv"))
    make_folder(path.parent)
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return "\n".join([*answer_sentences(table, about, classes=classes, by=by), f"Table: {path}"])
