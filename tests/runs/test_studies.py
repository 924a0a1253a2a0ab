"""Studies on disk: kept with their checksum, computed where they lack, refused where the reference is damaged."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from helpers.cases import one_sentence

from robustdl_lib import cli, paths
from robustdl_lib.registry import STUDIES, SpecError
from robustdl_lib.runs import studies

TABLE = pd.DataFrame({"name": ["none", "b"], "value": [1 / 3, 2.0]})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A study ``counted`` that says how often it was computed."""
    calls: list[float] = []

    @STUDIES.register("counted", label="A count.", source="a test")
    def count(*, scale: float = 1.0) -> pd.DataFrame:
        calls.append(scale)
        return TABLE.assign(value=TABLE["value"] * scale)

    return calls


def test_a_study_is_kept_and_read_back(counted: list[float]) -> None:
    made = studies.run("counted")
    pd.testing.assert_frame_equal(studies.rows("counted", "runs"), made)
    assert made["name"].tolist() == ["none", "b"]
    assert made["value"].tolist() == [0.333333, 2.0]
    assert counted == [1.0]


def test_beside_the_rows_lies_what_they_rest_on(counted: list[float]) -> None:
    studies.run("counted:scale=2")
    said = json.loads((paths.results() / "runs" / "studies" / "counted-scale=2.json").read_text())
    assert said["study"] == "counted:scale=2"
    assert said["caption"] == "A count."
    assert {"git_revision", "versions", "device", "seconds"} <= set(said["provenance"])


def test_what_the_runs_lack_is_computed_once(counted: list[float]) -> None:
    first = studies.rows("counted", "runs")
    pd.testing.assert_frame_equal(studies.rows("counted", "runs"), first)
    assert counted == [1.0]


@pytest.mark.parametrize("damage", ["", "name,value\nnone,9\n"])
def test_damaged_rows_are_computed_again_or_refused(counted: list[float], damage: str) -> None:
    for shelf in ("runs", "reference"):
        studies.run("counted", shelf)
        (studies.place(shelf, writing=True) / "counted.csv").write_text(damage)
    with pytest.warns(UserWarning, match="counted.csv"):
        assert studies.rows("counted", "runs")["value"].tolist() == [0.333333, 2.0]
    with pytest.raises(studies.NoStudy) as refusal:
        studies.rows("counted")
    one_sentence(refusal.value, "counted.csv", "study counted --into reference")


def test_a_reference_that_is_not_there_names_its_command(counted: list[float]) -> None:
    with pytest.raises(studies.NoStudy) as refusal:
        studies.rows("counted:scale=3")
    one_sentence(refusal.value, "study counted:scale=3 --into reference")
    assert counted == []


def test_an_unknown_study_is_refused() -> None:
    with pytest.raises(SpecError) as refusal:
        studies.run("nope")
    one_sentence(refusal.value, "nope")


def test_nothing_is_computed_where_it_could_not_be_kept(
    counted: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROBUSTDL_RESULTS", str(tmp_path / "file"))
    with pytest.raises(OSError, match="cannot write"):
        studies.run("counted")
    assert counted == []


@pytest.mark.parametrize("name", cli.STUDIES)
def test_every_study_has_committed_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBUSTDL_RESULTS")
    rows = studies.rows(name)
    said = json.loads((studies.place("reference") / f"{name}.json").read_text())
    assert len(rows)
    assert said["provenance"]["git_revision"]


def test_make_studies_computes_every_study() -> None:
    """The first line of the target and its loop over CIFAR's name them all."""
    target = (paths.ROOT / "Makefile").read_text().partition("\nstudies: ")[2].partition("\n\n")[0]
    named = {word for names in re.findall(r"for name in (.*?);", target) for word in names.split()}
    assert named == set(cli.STUDIES)
