"""Cross entropy on real photographs: what docs/SETTINGS.md says of the committed run is what its rows show."""

import re
from pathlib import Path

from robustdl_lib import store, summary

ROOT = Path(__file__).parents[2]
HOME = ROOT / "results" / "reference" / "small_epochs-120"


def test_cross_entropy_memorises_photographs_and_falls() -> None:
    [run] = store.all_runs(HOME)
    assert (run.config.dataset, run.config.noise, run.config.method) == ("cifar10", "symmetric:0.4", "cce")
    [reading] = summary.final_readings(run.frame()).to_dict("records")
    assert reading["oracle"] - reading["last"] >= 5
    assert reading["fit_wrong"] > 30
    text = " ".join((ROOT / "docs" / "SETTINGS.md").read_text().split())
    told = re.search(
        r"best at ([\d.]+) % \(epoch (\d+)\), ends at ([\d.]+) %, and has fitted ([\d.]+) % of the wrong labels", text
    )
    assert told
    shown = [f"{reading['oracle']:.1f}", str(reading["oracle_epoch"]), f"{reading['last']:.1f}"]
    assert list(told.groups()) == [*shown, f"{reading['fit_wrong']:.1f}"]
