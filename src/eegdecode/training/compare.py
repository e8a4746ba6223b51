"""Do sources fit? Asked once, on a few trials, before any training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from eegdecode.runs import Run
from eegdecode.training.electrodes import other_channels
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.preflight import small_task
from eegdecode.training.settings import DeepSettings
from eegdecode.training.sources import check_classes, check_source, model_of
from eegdecode.training.transfer import sort_out, weights_of
from eegdecode.trials import Trials

log = logging.getLogger(__name__)


def compare_sources(
    settings: DeepSettings, model: partial, trials: Trials, runs: Sequence[Run], *, frontend: FrontEnd
) -> dict[str, str]:    # fmt: skip
    """Build the network of a run that is trained, and of one that is not, with what they start from.

    Returns
    -------
    dict
        For log and report: how much is ``loaded``, what is ``new``, what of the source is ``not_used``, what learns,
        and where these channels are others, how they are told apart.
    """
    told: dict[str, str] = {}
    for run in {len(run.split.train) > 0: run for run in runs if run.source}.values():
        assert run.source is not None
        check_source(run.source, model=model, frontend=frontend, signal=trials.signal)
        new_head = settings.new_head and len(run.split.train) > 0
        if not new_head:
            check_classes(run.source, trials.classes)
        ensemble = small_task(settings, model, trials, run, frontend=frontend).ensemble
        shapes = {name: tuple(t.shape[1:]) for name, t in ensemble.state().items() if name not in ensemble.computed}
        given = {name: w.shape for name, w in weights_of(run.source, but=ensemble.computed).items()}
        fit = sort_out(shapes, given, names=ensemble.names, new_head=new_head, model=model_of(run.source))
        if len(run.split.train) or not told:
            told = {**fit.words(), "learns": f"{len(ensemble.params)} of {len(ensemble.names)} weights"}
        if run.source.about["model"].get("ch_names") not in (None, list(trials.signal.ch_names)):
            told["channels"] = other_channels(run.source.about["model"], trials.signal)
    told["front_end"] = "the source's"
    log.info("model.init_from: %s", ", ".join(f"{name.replace('_', ' ')}: {words}" for name, words in told.items()))
    return told
