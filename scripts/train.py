"""Train, test and report one experiment: python scripts/train.py [group=choice ...] [key=value ...]."""

import logging
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(cfg: DictConfig) -> None:
    try:
        from eegdecode.experiment import run_experiment  # here, so that --help and a typo answer at once

        logging.basicConfig(format="%(message)s")
        logging.getLogger("eegdecode").setLevel(logging.INFO)
        choices = {group: name for group, name in HydraConfig.get().runtime.choices.items() if "/" not in group}
        config = OmegaConf.to_yaml(cfg, resolve=True)
        results = run_experiment(**hydra.utils.instantiate(cfg, _convert_="all"), choices=choices, config=config)
    except InstantiationException as error:
        sys.exit(f"error: {error.__cause__ or error}")
    except MissingMandatoryValue as error:
        sys.exit(f"error: {str(error).splitlines()[0]}; give it: {error.full_key}=...")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if results.complete else 1)


if __name__ == "__main__":
    main()
