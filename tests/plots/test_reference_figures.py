"""The committed figures are those that the committed rows draw: their data compared with tolerance."""

import json
from pathlib import Path

import pandas as pd
import pytest

from robustdl_lib import cli, sweeps
from robustdl_lib.registry import FIGURES

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "figures" / "reference" / "quick"
SHELF = ROOT / "results" / "reference" / "quick"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    runs = sweeps.found(sweeps.plan("figures", sweeps.Setting(profile="quick")), [SHELF])
    for figure in FIGURES:
        cli.draw(figure, runs, folder)
    return folder


@pytest.mark.parametrize("figure", list(FIGURES))
def test_data_are_what_the_rows_give(drawn, figure):
    """But for methods that were added since: `make reference` brings them in."""
    ours, theirs = (pd.read_csv(place / f"{figure}.csv") for place in (drawn, COMMITTED))
    if "method" in ours:
        ours = ours[ours["method"].isin(theirs["method"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("figure", list(FIGURES))
def test_each_says_what_it_was_drawn_from(figure):
    record = json.loads((COMMITTED / f"{figure}.json").read_text())
    assert record["caption"]
    assert record["source"]
    if FIGURES.entry(figure).facts.rows in ("runs", "p_y"):
        runs = record["provenance"]["runs"]
        assert len(runs) >= 9
        assert all((SHELF / run_id / "history.csv").is_file() for run_id in runs)
        assert record["provenance"]["data_sha256"]


def test_nothing_else_lies_there():
    assert {path.stem for path in COMMITTED.iterdir()} == set(FIGURES)
