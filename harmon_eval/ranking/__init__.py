"""Runs beside published results, in tables shaped like a paper's.

``entries`` gathers numbers, ``tables`` puts them into columns, ``formats`` writes them out.

Not called ``leaderboard``, which is the function of the Python API.
"""
