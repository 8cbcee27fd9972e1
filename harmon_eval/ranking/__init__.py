"""Show runs beside published results, in tables like those in papers.

``entries`` gathers numbers, ``tables`` arranges them in columns, ``formats`` writes the output.

This package is not called ``leaderboard``, because the Python API has a function of that name.
"""
