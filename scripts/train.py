"""Train, test and report one experiment: python scripts/train.py [group=choice ...] [key=value ...]."""

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

failures = []  # of the jobs of a multirun (-m): one that fails does not stop the others

def in_words(error: Exception) -> str:
    cause = (isinstance(error, InstantiationException) and error.__cause__) or error
    if isinstance(cause, MissingMandatoryValue):
        return f"{str(cause).splitlines()[0]}; give it: {cause.full_key}=..."
    known = isinstance(cause, ValueError | OSError)
    told = " ".join([str(cause if known else error), *getattr(cause, "__notes__", [])])
    return told if known else f"{told} ({type(cause).__name__}); HYDRA_FULL_ERROR=1 shows where it happened"


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(cfg: DictConfig) -> None:
    context = HydraConfig.get()
    choices = {group: name for group, name in context.runtime.choices.items() if "/" not in group}
    if context.mode == RunMode.MULTIRUN and cfg.out_dir:
        cfg.out_dir = str(Path(cfg.out_dir, f"{context.job.num}_{choices['model']}"))
    try:
        from eegdecode.experiment import run_experiment  # here, so that --help and a typo answer at once

        logging.basicConfig(format="%(message)s")
        logging.getLogger("eegdecode").setLevel(logging.INFO)
        parts = hydra.utils.instantiate(cfg, _convert_="all")
        results = run_experiment(**parts, choices=choices, config=OmegaConf.to_yaml(cfg, resolve=True))
        if not results.complete:
            failures.append(f"{results.folder}: not all runs are done")
    except Exception as error:
        if "HYDRA_FULL_ERROR" in os.environ:
            raise
        failures.append(in_words(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
    sys.exit("\n".join(f"error: {failure}" for failure in failures) or 0)
