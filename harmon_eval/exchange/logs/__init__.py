"""Logs of other tools, read without trust into one form (``log``).

Each tool is one file with ``read(place)``, which gives a ``Log``, or None for what is not its log.
"""
