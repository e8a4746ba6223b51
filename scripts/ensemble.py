"""Make one checkpoint of the seeds of each split: python scripts/ensemble.py FOLDER [by=probabilities] [out=FOLDER]."""

import argparse
import sys
from pathlib import Path

from eegdecode.launching.record import interrupted
from options import read_options

OPTIONS = ("by", "out")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="ensemble.py",
        description="Make one checkpoint of the seeds of each split of a run folder; predict.py takes it.",
        epilog="example: python scripts/ensemble.py data/runs/simulated/eegnet/2026-01-01_12-00-00",
    )
    parser.add_argument("folder", metavar="FOLDER", help="a run folder with several seeds")
    parser.add_argument("options", nargs="*", metavar="by=... out=...",
                        help="what the members average: probabilities (default) or logits; where to write (default: "
                        "ensembles/ in the run folder)")    # fmt: skip
    words = parser.parse_args()
    options = read_options(parser, words.options, OPTIONS)
    try:
        from eegdecode.reporting.stacking import save_ensembles  # here, so that --help answers at once

        print(save_ensembles(Path(words.folder), **options))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        interrupted("checkpoints that were written are whole; the same command writes all of them")


if __name__ == "__main__":
    main()
