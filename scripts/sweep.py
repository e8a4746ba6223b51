"""Search settings: python scripts/sweep.py sweep=NAME [n_trials=...] [override ...], or status|retry|report.

The same command goes on with a stopped search, and joins one that runs: on this machine or, with storage=journal or
a database, on others.
"""

import logging
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from eegdecode.launching.record import interrupted
from errors import in_words
from quotes import check_quotes
from typed import parts_of

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def compose_training(overrides):
    from eegdecode.search.check import Composed

    check_quotes(overrides)
    cfg = compose("train", list(overrides), return_hydra_config=True)
    choices = {group: name for group, name in cfg.hydra.runtime.choices.items() if name and "/" not in group}
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    plain, text = OmegaConf.to_container(cfg, resolve=True), OmegaConf.to_yaml(cfg, resolve=True)
    assert isinstance(plain, dict)
    config = {str(key): value for key, value in plain.items()}
    return Composed(config, choices, text, lambda: parts_of(cfg))


if __name__ == "__main__":
    if not sys.argv[1:] or sys.argv[1] in ("-h", "--help"):
        sys.exit(print(__doc__, "Searches:", ", ".join(sorted(p.stem for p in (CONFIGS / "search").glob("*.yaml")))))
    logging.basicConfig(format="%(message)s")
    try:
        from eegdecode.search.commands import obey  # here, so that --help answers at once

        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
            failures = obey(sys.argv[1:], configs=CONFIGS / "search", compose=compose_training)
    except KeyboardInterrupt:
        interrupted("finished trials are kept; the same command goes on where it stopped")
    except Exception as error:
        if getattr(error, "name", None) == "optuna":    # README's first command does not bring it
            sys.exit('error: searches need pip install -c constraints.txt -e ".[sweep]"')
        sys.exit(f"error: {in_words(error)}")
    sys.exit("\n".join(f"error: {failure}" for failure in failures) or 0)
