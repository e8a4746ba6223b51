"""Predict trials by a checkpoint: python scripts/predict.py checkpoint=PATH [dataset=...] [preprocess=...]."""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from errors import told_in_words
from typed import parts_of
from words import words_checked

TAKEN = ("checkpoint", "dataset", "preprocess", "decode", "by", "out")


@hydra.main(version_base="1.3", config_path="../configs", config_name="predict")
def main(cfg: DictConfig) -> None:
    with told_in_words("no table was written; prepared subjects are kept in the cache"):
        from eegdecode.prediction import predict  # here, so that --help and a typo answer at once

        parts = parts_of(cfg, predict, HydraConfig.get().overrides.task)
        print(predict(**{part: parts[part] for part in TAKEN}))


if __name__ == "__main__":
    with words_checked("predict"):
        main()
