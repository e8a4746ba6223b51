"""Train, test and report one experiment: python scripts/train.py [group=choice ...] [key=value ...]."""

import logging
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

failures = []  # of the jobs of a multirun (-m): one that fails does not stop the others


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
        config = OmegaConf.to_yaml(cfg, resolve=True)
        results = run_experiment(**hydra.utils.instantiate(cfg, _convert_="all"), choices=choices, config=config)
        if not results.complete:
            failures.append(f"{results.folder}: not all runs are done")
    except InstantiationException as error:
        failures.append(str(error.__cause__ or error))
    except MissingMandatoryValue as error:
        failures.append(f"{str(error).splitlines()[0]}; give it: {error.full_key}=...")
    except (ValueError, OSError) as error:
        failures.append(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
    sys.exit("\n".join(f"error: {failure}" for failure in failures) or 0)
