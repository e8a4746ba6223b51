"""The report of a search, from the files of its folder alone."""
