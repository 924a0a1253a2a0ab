"""The lens: a spec or a function in a file becomes a table and rows; what is no loss is refused in one sentence."""

import math
from pathlib import Path

import numpy as np
import pytest
from helpers.cases import one_sentence

from robustdl_lib import gradients, losses, sweeps
from robustdl_lib.plots import rows as frames
from robustdl_lib.registry import METHODS, SpecError
from robustdl_lib.theory import method_card

OWN = """
import torch

def halved(logits, target):
    return -(target * torch.log_softmax(logits, dim=1)).sum(dim=1) / 2

def powered(logits, target, *, q: float = 0.5):
    return (1 - (target * torch.softmax(logits, dim=1)).sum(dim=1) ** q) / q

def averaged(logits, target):
    return halved(logits, target).mean()

def constant(logits, target):
    return torch.zeros(len(logits))

def broken(logits, target):
    return logits @ target

def gce(logits, target):
    return halved(logits, target)

number = 3
"""
REGISTERED = """
from robustdl_lib.methods.losses import cce
from robustdl_lib.registry import METHODS

@METHODS.register("tripled", label="Tripled", source="a test", role="loss", formula="-3 * log(p)")
def tripled(logits, target):
    return 3 * cce(logits, target)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path / "mine.py"


def facts(spec: str, **context: object) -> dict[str, str]:
    table = method_card.facts(spec, **context)
    assert list(table.columns) == ["quantity", "value", "meaning"]
    return dict(zip(table["quantity"], table["value"], strict=True))


def test_a_spec_comes_back_in_its_canonical_form() -> None:
    assert method_card.method("gce:0.70") == "gce"


def test_a_function_in_a_file_becomes_a_method_of_every_table_and_figure(own: Path) -> None:
    spec = method_card.method(f"{own}:halved")
    assert spec == "halved"
    np.testing.assert_allclose(
        gradients.weight_curve(spec)["weight"], gradients.weight_curve("cce")["weight"] / 2, atol=1e-15
    )
    assert spec in set(method_card.table()["method"])
    assert spec in set(method_card.atlas_rows()["method"])
    assert spec in set(frames.weight_rows()["method"])
    assert spec in set(frames.emphasis_rows()["method"])
    assert sweeps.Setting(profile="smoke", methods=[spec]).headline_configs()[0].method == spec


def test_knobs_of_ones_own_function_are_set_as_those_of_any_method(own: Path) -> None:
    assert method_card.method(f"{own}:powered:q=0.7") == "powered:q=0.7"
    np.testing.assert_allclose(
        gradients.weight_curve("powered:q=0.7", [0.1, 0.5])["weight"],
        gradients.weight_curve("gce", [0.1, 0.5])["weight"],
        rtol=1e-9,
    )


def test_a_name_that_is_taken_gets_the_name_of_its_file(own: Path) -> None:
    assert method_card.method(f"{own}:gce") == "mine.gce"
    assert method_card.method(f"{own}:gce") == "mine.gce"
    assert METHODS["gce"] is not METHODS["mine.gce"]


def test_a_method_that_its_file_registers_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "three.py").write_text(REGISTERED)
    assert method_card.method(f"{tmp_path / 'three.py'}:tripled") == "tripled"
    assert METHODS.entry("tripled").label == "Tripled"


def test_an_edited_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "draft.py"
    for power in (2, 3, 4):
        path.write_text(f"""
def draft(logits, target):
    return (1 - (target * logits.softmax(1)).sum(1)) ** {power}

def other(logits, target):
    return draft(logits, target) / 2
""")
        assert method_card.method(f"{path}:draft") == "draft"
        assert gradients.emphasis_mode("draft") == pytest.approx(1 / (power + 1), abs=1e-6)
        assert method_card.method(f"{path}:other") == "other"
        assert "draft" in METHODS
    path.write_text(REGISTERED)
    assert method_card.method(f"{path}:tripled") == "tripled"
    path.write_text(REGISTERED.replace("3 *", "4 *").replace("-3", "-4"))
    assert method_card.method(f"{path}:tripled") == "tripled"
    assert gradients.weight_curve("tripled", [0.5])["weight"][0] == pytest.approx(4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "has no function 'nothing', found halved, powered, averaged, constant, broken, gce"),
        ("number", "has no function 'number'"),
        ("averaged", "must return one number an example, [4], found []"),
        ("constant", "must depend on the logits"),
        ("broken", "fails as a loss (logits [N, C], target [N, C]) -> [N]: RuntimeError: "),
        ("powered:r=1", "no parameter 'r', the parameters are: q"),
    ],
)
def test_what_is_no_loss_is_refused_in_one_sentence(own: Path, name: str, said: str) -> None:
    before = dict(METHODS.entries)
    with pytest.raises(SpecError) as caught:
        method_card.method(f"{own}:{name}")
    one_sentence(caught.value, said)
    assert METHODS.entries == before


@pytest.mark.parametrize(
    ("text", "said"),
    [("def f(:", "SyntaxError"), ("import not_there", "ModuleNotFoundError"), ("1 / 0", "ZeroD")],
)
def test_a_file_that_fails_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(SpecError) as caught:
        method_card.method(f"{tmp_path / 'bad.py'}:f")
    assert said in str(caught.value)
    assert str(tmp_path / "bad.py") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no file"):
        method_card.method(f"{tmp_path / 'none.py'}:f")


@pytest.mark.parametrize("spec", list(METHODS))
def test_every_method_has_its_facts(spec: str) -> None:
    found = facts(spec, progress=0.5, num_classes=5)
    assert found["role"] == METHODS.entry(spec).facts.role
    assert set(found.values()) != {"-"}
    assert all("nan" not in value for value in found.values())


def test_the_facts_are_those_of_the_lens() -> None:
    found = facts("gce")
    assert found["loss L(p)"] == "(1 - p**q) / q"
    assert found["emphasis mode psi"] == "0.4118"
    assert found["in the family w(p)(p - q)"] == "yes"
    assert found["bounded"] == "yes"
    assert found["symmetric"] == "no"
    assert found["gross-error sensitivity"] == "unbounded"
    assert facts("mae")["symmetric"] == "yes"
    assert facts("dm")["bounded"] == "-"
    assert facts("ls")["in the family w(p)(p - q)"] == "no"
    assert facts("cce")["emphasis below 1/2"] == "75%"


def test_a_flat_weight_has_no_mode() -> None:
    assert facts("dm:beta=0")["emphasis mode psi"] == "-"


def test_the_table_has_a_row_for_each_method_also_for_one_added_at_run_time() -> None:
    METHODS.register("late", label="Late", source="a test", role="loss")(losses.mae)
    table = method_card.table().set_index("method")
    assert list(table.reset_index().columns) == list(method_card.TABLE)
    assert list(table.index) == list(METHODS)
    assert table.loc["late", "psi"] == table.loc["mae", "psi"]
    assert table.loc["late", "source"] == "a test"


def test_the_rows_of_a_figure_are_the_curves_of_the_method_and_of_cce() -> None:
    rows = method_card.lens_rows("mse")
    assert list(dict.fromkeys(rows["method"])) == ["mse", "cce"]
    part = rows[rows["method"] == "mse"].pivot(index="p", columns="panel", values="value")
    p = part.index.to_numpy()
    np.testing.assert_allclose(part["loss"], (1 - p) ** 2, atol=1e-10)
    np.testing.assert_allclose(part["weight"], 4 * p * (1 - p) ** 2, atol=1e-10)
    np.testing.assert_allclose(part["influence"], 2 * (1 - p), rtol=1e-4, atol=1e-9)  # p = 0 is held at 1e-12
    np.testing.assert_allclose(part["influence"][1:], 2 * (1 - p[1:]), atol=1e-9)
    np.testing.assert_allclose(part["density"], part["weight"] * 3, rtol=1e-6, atol=1e-9)
    assert rows[rows["method"] == "cce"]["panel"].nunique() == 4


def test_a_weighting_has_no_loss_to_draw() -> None:
    rows = method_card.lens_rows("dm")
    stated = rows[(rows["method"] == "dm") & (rows["panel"] == "loss")]
    assert len(stated) == 401
    assert stated["value"].isna().all()


def test_the_atlas_shows_every_method_with_its_mode() -> None:
    rows = method_card.atlas_rows(progress=0.0)
    assert list(dict.fromkeys(rows["method"])) == list(METHODS)
    assert rows.groupby("method")["mode"].nunique().max() == 1
    modes = rows.groupby("method")["mode"].first()
    assert modes["gce"] == pytest.approx(7 / 17, abs=1e-6)
    assert not math.isnan(modes["dm"])


def test_traits_say_what_the_lens_finds() -> None:
    table = method_card.traits(["cce", "mae", "dm", "ls:eps=0.25", "proselflc", "kd"])
    assert list(table["acts on"]) == [*["magnitude"] * 3, *["direction too"] * 3]
    assert list(table["symmetric"]) == ["no", "yes", "-", "no", "no", "no"]
    assert table.loc["ls:eps=0.25", "target"] == "(1 - eps) * q + eps / C"
    assert table.loc["dm", "psi"] == pytest.approx(1 / 3, abs=0.01)
    assert table.loc["kd", "keeps"] == "a trained teacher"


def test_every_memory_says_what_it_keeps() -> None:
    memories = [entry.facts.memory for entry in METHODS.entries.values() if entry.facts.memory]
    assert all(len(memory.described) == 3 for memory in memories)
