"""Results in the formats of other tools, and their logs as runs.

``finished`` reads a run once; each format is one file with a function ``write``. ``incoming`` makes
runs of the logs of other tools; each of those is one file with a function ``read``.
"""
