"""Train, test and report one experiment: python scripts/train.py [group=choice ...] [key=value ...]."""

import logging
import os
import sys
import time

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

failures, compared = [], set()  # jobs of a multirun: one that fails does not stop the others; folders of comparisons
os.environ.setdefault("EEGDECODE_STARTED", time.strftime("%Y-%m-%d_%H-%M-%S"))  # also of jobs in other processes

def in_words(error: Exception) -> str:
    cause = (isinstance(error, InstantiationException) and error.__cause__) or error
    if isinstance(cause, MissingMandatoryValue):
        return f"{str(cause).splitlines()[0]}; give it: {cause.full_key}=..."
    how = "" if isinstance(cause, ValueError | OSError) else f"({type(cause).__name__}); HYDRA_FULL_ERROR=1 shows where"
    return " ".join([str(error if how else cause), *getattr(cause, "__notes__", []), *([how] if how else [])])
@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(cfg: DictConfig) -> None:
    context = HydraConfig.get()
    choices = {group: name for group, name in context.runtime.choices.items() if "/" not in group}
    if cfg.logger.get("group", "") is None and not OmegaConf.is_missing(context.job, "num"):
        cfg.logger.group = cfg.out_dir or f"{choices['dataset']} {os.environ['EEGDECODE_STARTED']}"
    if cfg.out_dir and not OmegaConf.is_missing(context.job, "num"):  # of a multirun
        swept = [choices[group] for group in context.sweeper.params or ()]  # by the experiment itself: a comparison
        compared.update([cfg.out_dir] if swept else [])
        cfg.out_dir = "/".join([cfg.out_dir, *(swept or [f"{context.job.num}_{choices['model']}"])])
    try:
        from eegdecode.experiment import run_experiment  # here, so that --help and a typo answer at once
        logging.basicConfig(format="%(message)s")
        logging.getLogger("eegdecode").setLevel(logging.INFO)
        parts = hydra.utils.instantiate(cfg, _convert_="all")
        results = run_experiment(**parts, choices=choices, config=OmegaConf.to_yaml(cfg, resolve=True))
        if not results.complete:
            failures.append(f"{results.folder}: not all runs are done; the same command tries the others again")
    except Exception as error:
        if "HYDRA_FULL_ERROR" in os.environ:
            raise
        failures.append(f"{cfg.out_dir}: {in_words(error)}" if compared else in_words(error))
    except KeyboardInterrupt:
        sys.exit(130)

if __name__ == "__main__":
    main()
    print("".join(f"Report: python scripts/report.py {folder}\n" for folder in compared), end="")
    sys.exit("\n".join(f"error: {failure}" for failure in failures) or 0)
