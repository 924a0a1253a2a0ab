"""Commands that draw: the same bytes twice, the comparison with the reference, missing rows, a method just added."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from robustdl_lib import cli, losses, paths, store, summary, sweeps
from robustdl_lib.registry import METHODS

ROOT = Path(__file__).parents[2]
WORDS = ("figures", "--profile", "smoke", "--seeds", "0")


@pytest.mark.parametrize("figure", ["headline", "p_y_histograms", "weight_curves", "data_and_model"])
def test_a_figure_is_drawn_twice_with_the_same_bytes(run, places: Path, smoke_runs: Path, figure: str) -> None:
    """A figure of each kind of rows: runs, p_y, computed, a study."""
    drawn = []
    for _ in range(2):
        code, out, err = run(*WORDS, "--only", figure, "--quiet")
        folder = places / "figures" / "smoke_seeds-0"
        assert (code, out, err) == (0, f"1 figures: {folder}\n", "")
        drawn.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {f"{figure}{ending}" for ending in (".png", ".svg", ".csv", ".json")}


def test_the_comparison_with_the_reference_is_printed(run, places: Path, smoke_runs: Path) -> None:
    code, out, _ = run(*WORDS, "--only", "headline")
    assert code == 0
    assert "There is no committed reference for this setting." in out
    assert re.search(r"^Realised share of wrong labels under symmetric:0.4: \d\d\.\d%$", out, re.MULTILINE)
    shutil.copytree(smoke_runs, paths.shelf("reference", "smoke", writing=True))
    distance = run(*WORDS, "--only", "headline")[1].partition("Distance of the last epoch")[2].splitlines()[1:-1]
    assert distance[0].split()[:4] == ["noise", "label", "here", "reference"]
    assert len(distance) == 13
    assert all(" 0.0 " in line for line in distance[1:])


def test_figures_without_their_rows_keep_no_other_from_being_drawn(
    run, places: Path, smoke_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ROOT", places)
    for more, kind in (((), "error"), (("--partial",), "note")):
        code, out, err = run(*WORDS, "--only", "border headline", "--quiet", *more)
        assert code == (kind == "error")
        assert out.startswith("1 figures: ")
        assert err.startswith(f"{kind}: not drawn, rows are missing: border; the first: {places}")
        assert err.endswith("python -m robustdl_lib study border --into reference makes it\n")
        assert len(list(places.glob("figures/*/headline.png"))) == 1


def test_missing_runs_are_refused_or_named(run, smoke_runs: Path) -> None:
    words = ("figures", "--profile", "smoke", "--methods", "cce mae", "--seeds", "0 1", "--only", "headline", "--quiet")
    code, _, err = run(*words)
    assert code == 1
    assert err.endswith(
        "3 of 6 runs are not in " + str(smoke_runs) + ": train them first, by the command sweep figures\n"
    )
    code, _, err = run(*words, "--partial")
    assert code == 0
    assert err.endswith(": cce on symmetric:0.4, seed 1; mae on symmetric:0.4, seed 1; cce on none, seed 1\n")


def test_a_loss_added_at_run_time_is_in_the_figures_the_lens_the_tables_and_the_page(run, places: Path) -> None:
    """One decorated function, and no other file is touched."""
    METHODS.register("late", label="Late", source="a test", role="loss", formula="(1 - p)**2 / 2")(
        lambda logits, target: losses.mse(logits, target) / 2
    )
    for figure in ("atlas", "weight_curves"):
        cli.draw(figure, [], places)
        assert "late" in set(pd.read_csv(places / f"{figure}.csv")["method"])
        assert 'id="late/' in (places / f"{figure}.svg").read_text()
    assert run("inspect", "late")[1].startswith("Late (a test)")
    table = run("methods")[1]
    assert re.search(r"^ *late +loss +0.3333 ", table, re.MULTILINE)
    assert {line.split()[0] for line in table.splitlines()[1:]} == set(METHODS)
    assert re.search(r"^  late ", run("list")[1], re.MULTILINE)
    run("explorer", str(places / "explorer.html"))
    assert "Late" in (places / "explorer.html").read_text()


def test_the_committed_reference_is_whole_and_shows_what_the_project_claims() -> None:
    """The quick profile's result: last epoch, mean over three seeds, 40 % symmetric noise."""
    assert sweeps.lacking(sweeps.plan("figures", sweeps.Setting()), [ROOT / "results" / "reference" / "quick"]) == []
    table = summary.headline(store.load_runs(shelf="reference", profile="quick")).set_index(["noise", "method"])
    noisy = table.loc["symmetric:0.4"]
    assert len(noisy) >= 8
    assert (table["seeds"] == 3).all()
    assert noisy.loc["cce", "lost"] >= 5
    robust = [noisy.loc[[m for m in noisy.index if m.startswith(name)], "last_mean"].max() for name in ("dm", "gce")]
    assert min(robust) >= noisy.loc["cce", "last_mean"] + 5
    assert table.loc[("none", "cce"), "last_mean"] > noisy["last_mean"].max()
