"""Predict trials by a checkpoint: python scripts/predict.py checkpoint=PATH [dataset=...] [preprocess=...]."""

import logging
import sys

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, MissingMandatoryValue

PARTS = ("checkpoint", "dataset", "preprocess", "decode", "by", "out")


@hydra.main(version_base="1.3", config_path="../configs", config_name="predict")
def main(cfg: DictConfig) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("eegdecode").setLevel(logging.INFO)
    try:
        from eegdecode.prediction import predict  # here, so that --help and a typo answer at once

        parts = hydra.utils.instantiate(cfg, _convert_="all")
        print(predict(**{part: parts[part] for part in PARTS}))
    except (InstantiationException, MissingMandatoryValue) as error:
        cause = error.__cause__ or error
        missing = isinstance(cause, MissingMandatoryValue)
        sys.exit(f"error: {str(cause).splitlines()[0]}" + (f"; give it: {cause.full_key}=..." if missing else ""))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
