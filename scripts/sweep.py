"""Search settings: python scripts/sweep.py sweep=NAME [n_trials=...] [override ...], or status|retry|report.

The same command goes on with a stopped search, and joins one that runs: on this machine or, with storage=journal or
a database, on others. Options beside n_trials, as sampler, pruner and objectives, and how a space is written:
configs/search/sttransformer_search.yaml. An override is one of scripts/train.py.
"""

import logging
import sys
from pathlib import Path

from hydra import initialize_config_dir

from composed import compose_training, refused
from eegdecode.launching.record import interrupted
from errors import in_words
from words import unknown_setting

CONFIGS = Path(__file__).resolve().parents[1] / "configs"

if __name__ == "__main__":
    if not sys.argv[1:] or sys.argv[1] in ("-h", "--help"):
        sys.exit(print(f"{__doc__}\nSearches:", ", ".join(sorted(p.stem for p in (CONFIGS / "search").glob("*.yaml")))))
    logging.basicConfig(format="%(message)s")
    try:
        from eegdecode.search.commands import obey  # here, so that --help answers at once
        from eegdecode.search.settings import OPTIONS

        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
            failures = obey(sys.argv[1:], configs=CONFIGS / "search", compose=compose_training)
    except KeyboardInterrupt:
        interrupted("finished trials are kept; the same command goes on where it stopped")
    except Exception as error:
        if getattr(error, "name", None) == "optuna":    # README's first command does not bring it
            sys.exit('error: searches need pip install -c constraints.txt -e ".[sweep]"')
        said = refused and unknown_setting(refused, "train", beside=OPTIONS)
        sys.exit(f"error: {said or in_words(error)}")
    sys.exit("\n".join(f"error: {failure}" for failure in failures) or 0)
