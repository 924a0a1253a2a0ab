"""The solutions: every question that a notebook ends with has one and no other, and what they are trained on."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pytest
from helpers.cases import smoke

from robustdl_lib import data, sweeps
from robustdl_lib.studies import exercises
from robustdl_lib.studies.adverse import SCORES
from robustdl_lib.training import cross_validation

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ASKING = sorted(NOTEBOOKS.glob("[0-9]*.py"))
HEADING = re.compile(r"^## (\d\d)\.(\d+) \[[^\]]+\]\(\.\./(\w+)\.ipynb\)$", re.MULTILINE)
COUNT = 120


def markdown(path: Path) -> str:
    """Return all the prose of a notebook, its cells parted by blank lines."""
    return "\n\n".join(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "markdown")


def asked(path: Path) -> dict[tuple[str, int], str]:
    """Return the exercises of a notebook by its number and theirs, each as one line of words."""
    listed = markdown(path).partition("## Exercises\n")[2]
    items = re.split(r"^(\d+)\. ", listed, flags=re.MULTILINE)[1:]
    return {
        (path.stem[:2], int(number)): " ".join(text.split())
        for number, text in zip(items[::2], items[1::2], strict=True)
    }


def answered(text: str) -> list[tuple[str, int, str, str]]:
    """Return number of notebook and exercise, the linked notebook, and the quoted words of each solution, in order."""
    parts = re.split(r"^(?=### |## )", text, flags=re.MULTILINE)
    found = []
    for part in parts:
        if heading := HEADING.match(part.partition("\n")[0]):
            quoted = re.findall(r"^> (.+)$", part, re.MULTILINE)
            found.append((heading[1], int(heading[2]), heading[3], " ".join(" ".join(quoted).split())))
    return found


ASKED = {key: text for path in ASKING for key, text in asked(path).items()}
ANSWERED = [solution for path in ASKING for solution in answered(markdown(NOTEBOOKS / "solutions" / path.name))]


def test_every_question_has_a_solution_and_every_solution_a_question() -> None:
    """Whoever adds, drops or renumbers an exercise is told to do so here too."""
    solved = [(notebook, number) for notebook, number, _, _ in ANSWERED]
    assert sorted(solved) == sorted(ASKED)
    assert len(set(solved)) == len(solved)


def test_each_notebook_has_a_file_of_solutions_and_links_to_it() -> None:
    assert [path.name for path in sorted((NOTEBOOKS / "solutions").glob("*.py"))] == [path.name for path in ASKING]
    assert all(f"](solutions/{path.stem}.ipynb)" in markdown(path) for path in ASKING)
    for path in ASKING:
        numbers = {number for number, *_ in answered(markdown(NOTEBOOKS / "solutions" / path.name))}
        assert numbers == {path.stem[:2]}


def test_a_solution_quotes_its_question_and_links_to_it() -> None:
    """Exercises that changed places have the same numbers, so the quoted text is compared too."""
    for notebook, number, link, quoted in ANSWERED:
        assert link.startswith(notebook)
        assert (NOTEBOOKS / f"{link}.py").is_file()
        assert len(quoted.split()) >= 4
        assert quoted.replace("](../", "](") in ASKED[notebook, number], (notebook, number)


def test_what_is_not_a_solution_is_not_taken_for_one() -> None:
    text = (
        "## Topic\n\n## 03.2 [Name](../03_name.ipynb)\n\n> half of\n> a question\n\nA text.\n\n"
        "### Not one\n\n> quoted\n"
    )
    assert answered(text) == [("03", 2, "03_name", "half of a question")]


def test_the_sweep_has_three_seeds_of_whatever_it_compares() -> None:
    configs = sweeps.plan("exercises", sweeps.Setting())
    apart: dict[str, set[int]] = {}
    for cfg in configs:
        apart.setdefault(cfg.replace(seed=0, noise_seed=0).run_id, set()).add(cfg.seed)
    assert set(map(frozenset, apart.values())) == {frozenset({0, 1, 2})}
    assert sweeps.shelves("exercises", "quick", "reference")[1].name == "quick_exercises"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every training have few examples, one after the other in this process."""
    load = data.load

    def less(cfg: Any, source: Any = None) -> data.Data:
        whole = load(cfg, source)
        val, test = (cross_validation.take(part, np.arange(30)) for part in (whole.val, whole.test))
        return replace(whole, train=cross_validation.take(whole.train, np.arange(COUNT)), val=val, test=test)

    monkeypatch.setattr(exercises.data, "load", less)
    monkeypatch.setattr(exercises, "cpu_count", lambda: 1)


def test_suspects_are_corrected_where_the_suggestion_is_sure_and_dropped_elsewhere() -> None:
    mean = np.array([[0.95, 0.05, 0.0], [0.95, 0.05, 0.0], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    after, stays = exercises.careful(np.array([0, 1, 1, 2]), mean)
    assert after[stays].tolist() == [0, 0, 2]
    assert stays.tolist() == [True, True, False, True]


def test_a_second_look_ranks_acts_and_looks_again(few: None) -> None:
    table = exercises.second_look(profile="smoke", seeds=1)
    ranked = table[table["part"] == "ranking"]
    assert set(map(tuple, ranked[["noise", "method", "score"]].to_numpy())) == {
        (noise, method, score)
        for noise in exercises.NOISE_SPECS
        for method in exercises.RANKERS
        for score in ("p_y", "margin")
    }
    careful, second = (table[table["part"] == part] for part in ("careful", "second"))
    assert set(careful["noise"]) == set(second["noise"]) == {"symmetric:0.4", "asymmetric:0.4"}
    assert (careful["examples"] <= COUNT).all()
    assert (second["found"] <= second["left"]).all()
    assert (second["found"] + second["spoilt"] <= second["acted"]).all()


def test_every_kind_is_scored_after_both_budgets_and_so_are_blends(few: None) -> None:
    table = exercises.doubts(profile="smoke", seeds=1)
    assert set(table["score"]) == {*SCORES, "product"}
    assert set(table.loc[table["part"] == "blend", "noise"]) == {"ambiguous", "ambiguous:how=blend"}
    assert set(table.loc[table["part"] == "kinds", "method"]) == {"cce", "gce", "dm"}
    assert table["auroc"].dropna().between(0, 1).all()


def test_longer_training_says_what_is_predicted_after_each_epoch(few: None) -> None:
    table = exercises.longer_mae(profile="smoke", longer=3)
    np.testing.assert_allclose(table.groupby(["epochs", "epoch"])["share"].sum(), 1)
    assert table.groupby("epochs")["epoch"].max().to_dict() == {2: 2, 3: 3}


def test_the_audit_of_the_digits_names_the_most_suspicious(few: None) -> None:
    table = exercises.digits_audited(top=3, epochs=1)
    assert table["rank"].tolist() == [1, 2, 3]
    assert {"row", "given", "suggested", "mean_p_y", "p_y"} <= set(table)


def test_a_confident_contradiction_is_a_high_product() -> None:
    rows = exercises._doubted(smoke(noise="adverse:wrong=0.2,ood=0.1,ambiguous=0.1", examples=200, epochs=1), "kinds")
    assert rows.loc[rows["score"] == "product", "mean"].between(0, 1).all()
    assert {"clean", "mislabelled", "out of distribution", "ambiguous"} == set(rows["kind"])
