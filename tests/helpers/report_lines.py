"""Lines of a report that never were computed."""

from typing import Any

import numpy as np
import pandas as pd

from robustdl_lib.report import report, verdicts


def synthetic(**changes: Any) -> pd.DataFrame:
    """Return one line of a report, of a claim."""
    line = dict.fromkeys(report.COLUMNS, "") | {"part": "claim", "group": "A group", "id": "x", "claim": "A claim"}
    line |= {"unit": "points", "published": 1.0, "reference": 2.0, "seeds": 3, "here": np.nan, "difference": 2.0}
    line |= {"tolerance": 1.0, "verdict": verdicts.HOLDS, "verdict_here": verdicts.NONE, "source": "A paper"}
    return pd.DataFrame([line | changes])
