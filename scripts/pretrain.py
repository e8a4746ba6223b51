"""Pretrain encoders on unlabelled trials: python scripts/pretrain.py [task=masked|forecast] [key=value ...]."""

import logging
import os
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from errors import in_words


@hydra.main(version_base="1.3", config_path="../configs", config_name="pretrain")
def main(cfg: DictConfig) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("eegdecode").setLevel(logging.INFO)
    choices = {group: name for group, name in HydraConfig.get().runtime.choices.items() if "/" not in group}
    try:
        from eegdecode.pretraining import pretrain  # here, so that --help and a typo answer at once

        parts = hydra.utils.instantiate(cfg, _convert_="all")
        print(pretrain(**parts, choices=choices, config=OmegaConf.to_yaml(cfg, resolve=True)))
    except Exception as error:
        if "HYDRA_FULL_ERROR" in os.environ:
            raise
        sys.exit(f"error: {in_words(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
