"""Pretrain encoders on unlabelled trials: python scripts/pretrain.py [task=masked|forecast] [key=value ...]."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from errors import told_in_words
from typed import parts_of
from words import words_checked


@hydra.main(version_base="1.3", config_path="../configs", config_name="pretrain")
def main(cfg: DictConfig) -> None:
    choices = {group: name for group, name in HydraConfig.get().runtime.choices.items() if "/" not in group}
    with told_in_words("finished encoders are kept; the same command goes on where it stopped"):
        from eegdecode.pretraining import pretrain  # here, so that --help and a typo answer at once

        parts = parts_of(cfg, pretrain, HydraConfig.get().overrides.task)
        said, complete = pretrain(**parts, choices=choices, config=OmegaConf.to_yaml(cfg, resolve=True))
        print(said)
        if not complete:
            sys.exit("error: not all encoders are done; the same command tries the others again")


if __name__ == "__main__":
    with words_checked("pretrain"):
        main()
