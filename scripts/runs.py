"""Look after run folders: python scripts/runs.py status|retry [FOLDER ...] | prune [LIBRARY]."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="runs.py",
        description="status: what is done, failed, in work or waiting, with the command of each job that needs one; "
        "retry: type these commands again; prune: remove shared runs that no run folder holds any more.",
    )
    parser.add_argument("task", choices=("status", "retry", "prune"))
    parser.add_argument("folders", nargs="*", type=Path, help="default: data/runs; of prune: data/runs/.finished")
    words = parser.parse_args()
    try:
        from eegdecode.reporting import jobs, library  # here, so that --help answers at once

        if words.task == "prune":
            opened = library.open_library(str(words.folders[0]) if words.folders else "auto")
            gone = opened.prune() if opened else []
            print(*gone, f"{len(gone)} files removed", sep="\n")
            return
        places = words.folders or [library.runs_root()]
        found = jobs.list_jobs(places)
        empty = jobs.without_jobs(places, found)
        if words.task == "status":
            print(*found, *empty, jobs.summary(found), sep="\n")
            sys.exit(any(job.state == "failed" for job in found))
        failures = [*empty, *jobs.retry(found)]
        sys.exit("\n".join(f"error: {failure}" for failure in failures) or 0)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:    # whatever was typed again has said what is kept
        sys.exit(130)


if __name__ == "__main__":
    main()
