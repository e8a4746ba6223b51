"""Train, test and report one experiment: python scripts/train.py [group=choice ...] [key=value ...]."""

import logging
import sys
import time

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from eegdecode.launching.record import compared, fail, failures, interrupted, job_folder, words_of
from errors import in_words, kept
from swept import swept_beside
from typed import parts_of
from words import words_checked

STARTED = time.strftime("%Y-%m-%d_%H-%M-%S")


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(cfg: DictConfig) -> None:
    context = HydraConfig.get()
    choices = {group: name for group, name in context.runtime.choices.items() if "/" not in group}
    number = None if OmegaConf.is_missing(context.job, "num") else context.job.num  # of a multirun in this process
    if cfg.logger.get("group", "") is None and number is not None:
        cfg.logger.group = cfg.out_dir or f"{choices['dataset']} {STARTED}"
    swept, typed = context.sweeper.params or (), context.overrides.task
    if cfg.out_dir and number is not None:
        cfg.out_dir = job_folder(cfg.out_dir, number=number, choices=choices, swept=swept, beside=swept_beside(typed))
    command = None if number is None else ["python", sys.argv[0], *words_of(typed, cfg.out_dir, swept)]
    try:
        from eegdecode.experiment import run_experiment  # here, so that --help and a typo answer at once
        logging.basicConfig(format="%(message)s")
        logging.getLogger("eegdecode").setLevel(logging.INFO)
        parts, config = parts_of(cfg, run_experiment, typed), OmegaConf.to_yaml(cfg, resolve=True)
        results = run_experiment(**parts, choices=choices, config=config)
        if not results.complete:
            fail(f"{results.folder}: not all runs are done; the same command tries the others again", command=command)
    except Exception as error:
        reason = kept(in_words(error), cfg.out_dir, command)
        fail(f"{cfg.out_dir}: {reason}" if compared else reason, command=command)
    except KeyboardInterrupt:
        interrupted("finished runs are kept; the same command goes on where it stopped")


if __name__ == "__main__":
    with words_checked("train"):
        main()
    print("".join(f"Report: python scripts/report.py {folder}\n" for folder in compared), end="")
    sys.exit("\n".join(f"error: {failure}" for failure in failures) or 0)
