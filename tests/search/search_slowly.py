"""A worker of a search that other processes kill, or whose database they stop: see `stub.start`."""

import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from tests.search import stub

from eegdecode.search import alive, database, journal
from eegdecode.search.work import run_search
from errors import in_words

if __name__ == "__main__":
    folder, *words = sys.argv[1:]
    options = {name: yaml.safe_load(value) for name, _, value in (word.partition("=") for word in words)}
    alive.GRACE = options.pop("grace", 6)
    journal.LOCKED = 3
    database.SILENCE, database.CONNECT, database.LONGEST = 2.0, 2, 1.0
    stub.without_data(setattr)
    search = stub.search(folder, typed=["trainer.pause=0.1"], **options)
    try:
        sys.exit("\n".join(run_search(search, stub.compose)) or 0)
    except Exception as error:
        sys.exit(f"error: {in_words(error)}")
