"""The type checker of the tests: shapes and types of every call, an int wherever a float is meant."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
