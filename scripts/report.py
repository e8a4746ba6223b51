"""Compare finished runs: python scripts/report.py FOLDER ... [out=data/reports/PARENT_NAME] [metric=accuracy]."""

import argparse
import sys
from pathlib import Path

from eegdecode.launching.record import interrupted
from options import read_options

OPTIONS = ("out", "metric")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="report.py",
        description="Compare finished runs: tables, tests and figures, from their folders alone.",
        epilog="example: python scripts/report.py data/runs/compare_simulated out=data/reports/simulated",
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="run folders, or folders with run folders below")
    parser.add_argument("options", nargs="*", metavar="out=... metric=...",
                        help="where to write (default: data/reports/PARENT_NAME of the first folder); what to compare "
                        "by: accuracy (default), balanced_accuracy, kappa, f1_macro, auroc")    # fmt: skip
    words = parser.parse_args()
    given = [*words.folders, *words.options]
    folders = [word for word in given if "=" not in word or Path(word).exists()]
    options = read_options(parser, [word for word in given if word not in folders], OPTIONS)
    if not folders:
        parser.error("give at least one folder")
    two = Path(folders[0]).resolve().parts[-2:]    # runs of one name lie in several places
    options.setdefault("out", str(Path("data", "reports", "_".join(two))))
    try:
        from eegdecode.reporting.comparison.write import write_comparison  # here, so that --help answers at once

        print(write_comparison(folders, **options))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        interrupted("the report is not finished; the same command writes it anew")


if __name__ == "__main__":
    main()
