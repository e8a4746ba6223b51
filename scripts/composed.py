"""What Hydra makes of overrides of train.py, as plain data for a search."""

from hydra import compose
from hydra.errors import HydraException
from omegaconf import OmegaConf

from quotes import check_quotes
from typed import parts_of

refused = []    # the overrides that Hydra did not take, for `unknown_setting` to say why


def compose_training(overrides):
    from eegdecode.experiment import run_experiment  # here, so that --help answers at once
    from eegdecode.search.check import Composed

    refused.clear()    # of the last composition alone
    check_quotes(overrides)
    try:
        cfg = compose("train", list(overrides), return_hydra_config=True)
    except HydraException:
        refused[:] = overrides
        raise
    if cfg.hydra.sweeper.params:
        raise ValueError("experiment=... compares models or protocols, and a search is of one: leave it out, and type "
                         "model=... and protocol=...")    # fmt: skip
    choices = {group: name for group, name in cfg.hydra.runtime.choices.items() if name and "/" not in group}
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    plain, text = OmegaConf.to_container(cfg, resolve=True), OmegaConf.to_yaml(cfg, resolve=True)
    assert isinstance(plain, dict)
    config = {str(key): value for key, value in plain.items()}
    return Composed(config, choices, text, lambda typed=(), varied=(): parts_of(cfg, run_experiment, typed, varied))
