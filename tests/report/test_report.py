"""The report: its files, its words, its exit codes, and the committed one in step with the committed rows."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from helpers.report_lines import synthetic

from robustdl_lib import cli, paths, store
from robustdl_lib.config import profile_config
from robustdl_lib.report import claims, report, verdicts

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "results" / "reference" / "report" / "quick"
README = (ROOT / "README.md").read_text()
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run) -> Run:
    """Call the command ``report``."""
    return partial(run, "report")


def train(method: str, seed: int, last: float, noise: str = "symmetric:0.4") -> None:
    """Store a run of this machine that never was."""
    cfg = profile_config("quick", method=method, noise=noise, seed=seed, noise_seed=seed)
    rows = pd.DataFrame({"epoch": range(1, 6), "test_acc": last, "val_acc": last, "clean_acc": 0.9, "fit_wrong": 0.2})
    rows = rows.assign(corrected=0.5, entropy_clean=0.1, entropy_wrong=0.2, p_clean=0.8, p_wrong=0.3)
    store.save(paths.shelf("runs", "quick"), cfg, rows, {}, {"seconds": 1.0, "noise_rate": 0.4})


def test_without_runs_the_report_is_made_and_says_so(run: Run, tmp_path: Path) -> None:
    code, out, err = run()
    folder = tmp_path / "results" / "report" / "quick"
    assert (code, err) == (0, "")
    assert {path.name for path in folder.iterdir()} == {"report.csv", "report.html"}
    assert out.endswith(f"report: {folder / 'report.html'}\n")
    assert "Published numbers and their counterparts here: 146 no run yet, 19 not comparable." in out
    assert re.search(r"^ +DM ends above CCE +symmetric:0.4 +22.1 +21.7 +3 +- ", out, re.MULTILINE)
    rows = pd.read_csv(folder / "report.csv")
    assert tuple(rows.columns) == report.COLUMNS
    assert rows["part"].value_counts().to_dict()["number"] == 165


def test_a_claim_that_does_not_hold_here_is_red_and_strict_says_so(run: Run) -> None:
    for seed in range(3):
        train("cce", seed, 0.90 + 0.01 * seed)
        train("mse", seed, 0.70 + 0.01 * seed)
    code, out, _ = run()
    assert code == 0
    assert re.search(r"MSE ends above CCE .* holds +does not hold$", out, re.MULTILINE)
    assert re.search(r"this machine: .*[1-9] do(es)? not hold", out)
    assert re.search(r"Red lines: [1-9]", out)
    assert run("--strict")[0] == report.RED
    rows = report.assemble()
    assert "last/symmetric-0.4/mse-cce" in set(report.red(rows)["id"])


@pytest.mark.parametrize("verdict", [verdicts.HOLDS, verdicts.UNSURE, verdicts.NO_RUN, verdicts.FAILS])
def test_strict_is_content_without_red(run: Run, monkeypatch: pytest.MonkeyPatch, verdict: str) -> None:
    monkeypatch.setattr(report, "assemble", lambda *_: synthetic(verdict=verdict))
    assert run("--strict")[0] == (report.RED if verdict == verdicts.FAILS else 0)


def test_the_machine_is_compared_with_the_spread_of_both(run: Run) -> None:
    reference = claims.profile_rows("reference")
    lasts = claims.measures(reference[(reference["noise"] == "symmetric:0.4") & (reference["method"] == "cce")])["last"]
    for seed, last in enumerate(lasts):
        train("cce", seed, last / 100)
        train("mse", seed, 0.5)
    rows = report.assemble().set_index("id")
    same, apart = rows.loc["machine/symmetric-0.4/cce"], rows.loc["machine/symmetric-0.4/mse"]
    assert (same["difference"], same["verdict"]) == (pytest.approx(0, abs=1e-3), verdicts.INSIDE)
    assert same["tolerance"] == pytest.approx(verdicts.between(lasts.std(), 3, lasts.std(), 3), rel=1e-3)
    assert apart["verdict"] == verdicts.OUTSIDE
    assert rows.loc["machine/symmetric-0.4/gce", "verdict"] == verdicts.NO_RUN


def test_every_line_is_printed_where_that_is_asked(run: Run) -> None:
    few, many = run()[1], run("--every")[1]
    assert "AT, " not in few
    assert "CCE, last" not in few
    assert len(many.splitlines()) > 260
    assert re.search(r"CCE, last +symmetric:0.4 +60.9 +- .* no run yet", many)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--profile", "quik"), "unknown profile 'quik': there is smoke, quick"),
        (("--shelf", "attic"), "unknown shelf 'attic': there is runs, reference"),
        (("--strikt",), "--strikt"),
    ],
)
def test_bad_words_are_refused_in_one_sentence(run: Run, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    code, _, err = run(*words)
    assert code in (1, 2)
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("report.csv"))


def test_a_place_that_cannot_be_written_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("ROBUSTDL_RESULTS", str(blocked))
    code, _, err = run()
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: cannot write to")


def test_help_says_what_the_exit_codes_are() -> None:
    helped = " ".join(cli.app.commands["report"].get_help(click.Context(cli.app.commands["report"])).split())
    assert "exit code is 0 whatever the verdicts are" in helped
    assert f"Exit with {report.RED}" in helped


def test_the_counts_of_the_lead_are_those_of_the_lines() -> None:
    rows = report.assemble("quick", "reference")
    for part, sentence in zip(report.PARTS, report.lead(rows), strict=False):
        numbers = [
            int(text) for text in re.findall(r"(\d+) (?=hold|does|do not|within|outside|no run|not|one)", sentence)
        ]
        assert sum(numbers) == (rows["part"] == part).sum()


def test_a_profile_without_committed_rows_has_no_run_yet() -> None:
    rows = report.assemble("smoke", "reference")
    assert set(rows.loc[rows["part"] == "claim", "verdict"]) == {verdicts.NO_RUN}
    assert "machine" not in set(rows["part"])


def test_one_seed_is_only_called_so() -> None:
    rows = report.assemble("small", "reference")
    found = set(rows.loc[rows["part"] == "claim", "verdict"])
    assert found <= {verdicts.LONE, verdicts.NO_RUN}
    assert verdicts.LONE in found


def test_the_committed_report_is_what_the_committed_rows_give() -> None:
    ours = report.assemble("quick", "reference")
    theirs = pd.read_csv(COMMITTED / "report.csv", keep_default_na=False, na_values=[""])
    again = "renew it: python -m robustdl_lib report --shelf reference"
    assert ours["id"].tolist() == theirs["id"].tolist(), again
    assert ours["verdict"].tolist() == theirs["verdict"].tolist(), again
    for name in ("published", "reference", "difference", "tolerance"):
        np.testing.assert_allclose(ours[name].astype(float), theirs[name].astype(float), rtol=1e-4, atol=1e-6)
    page = (COMMITTED / "report.html").read_text()
    assert page.count("<tr data-kinds=") == len(theirs)


def test_the_committed_report_knows_nothing_of_this_machine(run: Run, tmp_path: Path) -> None:
    train("cce", 0, 0.9)
    code, _, _ = run("--shelf", "reference")
    assert code == 0
    made = tmp_path / "results" / "reference" / "report" / "quick"
    pd.testing.assert_frame_equal(pd.read_csv(made / "report.csv"), pd.read_csv(COMMITTED / "report.csv"), rtol=1e-4)
    assert pd.read_csv(made / "report.csv")["here"].isna().all()


def test_numbers_are_written_as_their_unit_asks() -> None:
    lines = [synthetic(unit=unit, published=0.12345, reference=np.nan) for unit in ("points", "share", "p")]
    shown = report.readable(pd.concat(lines, ignore_index=True))
    assert shown["published"].tolist() == ["0.1", "0.123", "0.1235"]
    assert shown["ours"].tolist() == ["-", "-", "-"]
    assert shown["difference"].tolist() == ["+2.0", "+2.000", "+2.0000"]


def test_the_readme_counts_the_verdicts_of_the_committed_claims() -> None:
    rows = pd.read_csv(COMMITTED / "report.csv")
    found = rows.loc[rows["part"] == "claim", "verdict"].value_counts()
    told = re.search(r"(\d+) claims hold, (\d+) lie within\s+the spread, and (\d+) do not hold", README)
    assert told
    counted = [int(number) for number in told.groups()]
    assert counted == [found[verdicts.HOLDS], found[verdicts.UNSURE], found[verdicts.FAILS]]
    assert sum(counted) == found.sum()
