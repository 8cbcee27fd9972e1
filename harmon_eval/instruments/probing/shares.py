"""From the ranks of test images to top-1 and top-5 accuracy, by probe, set and feature part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

RANK, FACT = "rank", "fact "


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The test images that the probes classified, with the set as stratum."""
    import pandas as pd

    columns = [str(name) for name in rows if str(name).startswith((RANK, FACT))]
    if not columns:
        return pd.DataFrame()
    asked = rows[(rows["split"] == "val") & rows[columns].notna().any(axis=1)]
    return asked[["group", *columns]].assign(stratum=asked["source"])


def shares(frame: pd.DataFrame) -> dict[str, float]:
    """Percent of test images whose class is ranked first, or among the first five if there are more
    than five classes.

    Probes on other feature parts report only top-1, as the mean over sets."""
    import pandas as pd

    metrics: dict[str, float] = {}
    if frame.empty:
        return metrics
    codes, sources = pd.factorize(frame["stratum"].to_numpy(), sort=True)
    places = {str(source): codes == code for code, source in enumerate(sources)}
    classes = frame[f"{FACT}classes"].to_numpy()
    for column in (str(name) for name in frame if str(name).startswith(RANK)):
        ranks, end = frame[column].to_numpy(), column.removeprefix(RANK)
        for first in (1,) if "@" in end else (1, 5):
            every = {
                source: 100 * float(np.mean(ranks[own] < first))
                for source, own in places.items()
                if classes[own][0] > first
            }
            if every:
                metrics[f"top{first}{end}"] = float(np.mean(list(every.values())))
            if len(sources) > 1 and "@" not in end:
                metrics |= {f"top{first}{end}/{name}": share for name, share in every.items()}
    return metrics
