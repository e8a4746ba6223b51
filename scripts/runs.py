"""Look after run folders: python scripts/runs.py status|retry [FOLDER ...] | prune [LIBRARY]."""

import argparse
import os
import sys
from pathlib import Path

RUNS = Path(os.environ.get("EEGDECODE_RUNS", "data/runs"))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="runs.py",
        description="status: what is done, failed, in work or waiting, with the command of each job that needs one; "
        "retry: type these commands again; prune: remove shared runs that no run folder holds any more.",
    )
    parser.add_argument("task", choices=("status", "retry", "prune"))
    parser.add_argument("folders", nargs="*", type=Path, help=f"default: {RUNS}; of prune: {RUNS / '.finished'}")
    words = parser.parse_args()
    try:
        if words.task == "prune":
            from eegdecode.reporting.library import Library

            gone = Library((words.folders or [RUNS / ".finished"])[0]).prune()
            print(*gone, f"{len(gone)} files removed", sep="\n")
            return
        from eegdecode.reporting import jobs

        found = jobs.list_jobs(words.folders or [RUNS])
        if words.task == "status":
            print(*found, jobs.summary(found), sep="\n")
            sys.exit(any(job.state == "failed" for job in found))
        failures = list(jobs.retry(found))
        sys.exit("\n".join(f"error: {failure}" for failure in failures) or 0)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
