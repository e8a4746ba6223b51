"""Prepare a data set and tell what is in it: python scripts/prepare.py dataset=... | cache=list|prune|check."""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from errors import told_in_words
from typed import parts_of
from words import words_checked


@hydra.main(version_base="1.3", config_path="../configs", config_name="prepare")
def main(cfg: DictConfig) -> None:
    with told_in_words("prepared subjects are kept in the cache; the same command prepares the others"):
        from eegdecode.card import prepare, tend_cache  # here, so that --help and a typo answer at once

        if cfg.cache is not None:
            print(tend_cache(cfg.cache))
            return
        parts = parts_of(cfg, prepare, HydraConfig.get().overrides.task)
        parts = {key: value for key, value in parts.items() if key not in ("cache", "device")}
        print(prepare(**parts, name=HydraConfig.get().runtime.choices["dataset"]))


if __name__ == "__main__":
    with words_checked("prepare"):
        main()
