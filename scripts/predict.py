"""Predict trials by a checkpoint: python scripts/predict.py checkpoint=PATH [dataset=...] [preprocess=...]."""

import logging
import os
import sys

import hydra
from omegaconf import DictConfig

from errors import in_words

PARTS = ("checkpoint", "dataset", "preprocess", "decode", "by", "out")


@hydra.main(version_base="1.3", config_path="../configs", config_name="predict")
def main(cfg: DictConfig) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("eegdecode").setLevel(logging.INFO)
    try:
        from eegdecode.prediction import predict  # here, so that --help and a typo answer at once

        parts = hydra.utils.instantiate(cfg, _convert_="all")
        print(predict(**{part: parts[part] for part in PARTS}))
    except Exception as error:
        if "HYDRA_FULL_ERROR" in os.environ:
            raise
        sys.exit(f"error: {in_words(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
