"""A spec means one thing: it is read, checked, and written back in one canonical form."""

import math
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from helpers.cases import knob_ends, noise_spec, one_sentence
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from robustdl_lib import losses, weights
from robustdl_lib.registry import METHODS, MODELS, NOISES, TABLES, Entry, Registry, SpecError, add, additions

ENTRIES = [entry for table in TABLES for entry in table.entries.values()]


def table_of(entry: Entry) -> Registry:
    return next(table for table in TABLES if table.kind == entry.kind)


def inside(info: FieldInfo) -> st.SearchStrategy[Any]:
    """Draw from what a knob declares: any number in its range, and short ones such as people write; any choice."""
    if get_origin(info.annotation) is Literal:
        return st.sampled_from(get_args(info.annotation))
    if info.annotation not in (float, int):
        return st.booleans() if info.annotation is bool else st.just(info.default)
    bounds = {word: value for limit in info.metadata for word, value in vars_of(limit).items()}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if info.annotation is int:
        return st.integers(low, high)
    closed = {"exclude_min": "gt" in bounds, "exclude_max": "lt" in bounds}
    within = st.floats(low, high, allow_subnormal=False, allow_infinity=low is None and high is not None, **closed)
    if low is None or high is None:  # open on one side, and infinite there: Barron's alpha
        return within | st.just(-math.inf if low is None else high)
    short = st.floats(low, high).map(lambda x: round(x, 3)).filter(lambda x: low < x < high)
    return short | within


def vars_of(limit: object) -> dict[str, float]:
    return {word: getattr(limit, word) for word in ("ge", "gt", "le", "lt") if hasattr(limit, word)}


@st.composite
def knobbed(draw: st.DrawFn) -> tuple[Entry, dict[str, Any]]:
    """Draw a method and values of its knobs: in order where they must increase."""
    entry = draw(st.sampled_from([entry for entry in METHODS.entries.values() if entry.knobs.model_fields]))
    values = {name: draw(inside(info)) for name, info in entry.knobs.model_fields.items()}
    rising = entry.facts.increasing
    ordered = sorted(values[name] for name in rising)
    assume(len(set(ordered)) == len(ordered))
    return entry, {**values, **dict(zip(rising, ordered, strict=True))}


@given(knobbed())
def test_a_canonical_spec_reads_back_as_the_same_values(drawn: tuple[Entry, dict[str, Any]]) -> None:
    entry, values = drawn
    text = f"{entry.name}:" + ",".join(f"{name}={value}" for name, value in values.items() if value != "")
    parsed = METHODS.parse(text)
    again = METHODS.parse(str(parsed))
    assert parsed.values == values
    assert again.values == values
    assert str(again) == str(parsed)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_entry_has_words_for_readers(entry: Entry) -> None:
    assert entry.label
    assert entry.source or entry.name == "none"
    assert entry.name == entry.name.strip().lower()
    assert not set(entry.name) & set(":,= ")
    assert entry.function.__doc__ or entry.kind == "model"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_a_name_alone_is_canonical_unless_a_knob_is_required(entry: Entry) -> None:
    table = table_of(entry)
    if any(info.is_required() for info in entry.knobs.model_fields.values()):
        with pytest.raises(SpecError, match="is missing"):
            table.parse(entry.name)
    else:
        assert str(table.parse(entry.name)) == entry.name
        shown = [f"{knob} = " for knob in entry.facts.shows]
        words, _, knobs = table.parse(entry.name).label.partition(" (") if shown else (entry.label, "", "")
        assert words == entry.label
        assert all(knob in knobs for knob in shown)


@pytest.mark.parametrize(
    ("table", "text", "canonical"),
    [
        (METHODS, "gce:q=0.70", "gce"),
        (METHODS, "gce:0.5", "gce:q=0.5"),
        (METHODS, " gce : q = .5 ", "gce:q=0.5"),
        (METHODS, "dm:lam=1,beta=16", "dm:beta=16,lam=1"),
        (METHODS, "dm:beta=16,lam=0.50", "dm:beta=16"),
        (METHODS, "cp:detach=true", "cp:detach=True"),
        (METHODS, "barron:alpha=-inf", "barron:alpha=-inf"),
        (METHODS, "barron:-Infinity", "barron:alpha=-inf"),
        (METHODS, "barron:alpha=-2.0,c=0.50", "barron:alpha=-2"),
        (METHODS, "kd:teacher=gce:q=0.50", "kd:teacher=gce:q=0.5"),
        (METHODS, "kd:teacher=gce:0.5,T=2", "kd:T=2,teacher=gce:q=0.5"),
        (METHODS, "kd:teacher=gce:q=0.7", "kd:teacher=gce"),
        (METHODS, "kd:teacher=cce", "kd"),
        (METHODS, "kd:network=resnet20", "kd:network=resnet20"),
        (METHODS, "joint:stage=2,window=10", "joint:stage=2"),
        (METHODS, "dm:norm=batch,beta=8", "dm:beta=8"),
        (METHODS, "proselflc:confidence=max,trust=local", "proselflc:trust=local,confidence=max"),
        (METHODS, "hampel:c=0.8,a=0.1,b=0.2", "hampel:a=0.1,b=0.2,c=0.8"),
        (NOISES, "symmetric:rate=0.40", "symmetric:0.4"),
        (NOISES, "symmetric:4e-1", "symmetric:0.4"),
    ],
)
def test_spellings_of_one_setting_are_one_spec(table: Registry, text: str, canonical: str) -> None:
    assert str(table.parse(text)) == canonical


@pytest.mark.parametrize(
    ("table", "text", "words"),
    [
        (METHODS, "gec", ["unknown method 'gec'", "did you mean 'gce'", "cce, mae, mse"]),
        (METHODS, "zzz", ["unknown method", *METHODS]),
        (METHODS, "gce:w=1", ["'gce'", "no parameter 'w'", "q"]),
        (METHODS, "cce:q=1", ["no parameter 'q'", "none"]),
        (METHODS, "gce:q=0", ["q = '0'", "greater than or equal to"]),
        (METHODS, "gce:q=1.5", ["q = '1.5'", "less than or equal to 1"]),
        (METHODS, "gce:q=much", ["q = 'much'", "number"]),
        (METHODS, "gce:q=nan", ["q = 'nan'"]),
        (METHODS, "dm:beta=inf", ["beta = 'inf'"]),
        (METHODS, "gce:q=", ["q = ''"]),
        (METHODS, "gce:", ["nothing follows the colon", "q"]),
        (METHODS, "gce:q=0.5,q=0.6", ["q is given twice"]),
        (METHODS, "dm:16,1", ["'1' is not knob=value", "beta, lam"]),
        (METHODS, "cp:detach=perhaps", ["detach = 'perhaps'"]),
        (METHODS, "", ["name:knob=value"]),
        (METHODS, "barron:alpha=5", ["alpha = '5'", "less than or equal to 4"]),
        (METHODS, "barron:alpha=inf", ["alpha = 'inf'", "less than or equal to 4"]),
        (METHODS, "barron:alpha=nan", ["alpha = 'nan'"]),
        (METHODS, "barron:c=-inf", ["c = '-inf'"]),
        (METHODS, "hampel:a=0.6", ["'hampel'", "a must be less than b", "a = 0.6", "b = 0.5"]),
        (METHODS, "hampel:a=0.5,b=0.5", ["a must be less than b"]),
        (METHODS, "hampel:c=0.3", ["b must be less than c", "c = 0.3"]),
        (METHODS, "pseudo:start=0.6", ["start must be less than end"]),
        (METHODS, "kd:teacher=gec", ["'kd'", "unknown method 'gec'", "did you mean 'gce'"]),
        (METHODS, "kd:teacher=gce:q=2", ["'kd'", "q = '2'"]),
        (METHODS, "kd:network=resnet21", ["unknown model 'resnet21'"]),
        (METHODS, "joint:stage=3", ["stage = '3'", "less than or equal to 2"]),
        (METHODS, "joint:stage=1.5", ["stage = '1.5'", "integer"]),
        (METHODS, "dm:norm=sum", ["norm = 'sum'", "'batch', 'integral' or 'none'"]),
        (METHODS, "proselflc:trust=some", ["trust = 'some'", "'both', 'global' or 'local'"]),
        (NOISES, "symmetric:1.2", ["rate = '1.2'", "less than 1"]),
        (NOISES, "symmetric:1", ["less than 1"]),
        (NOISES, "symmetric:-0.1", ["greater than or equal to 0"]),
        (NOISES, "symetric:0.4", ["did you mean 'symmetric'"]),
        (MODELS, "resnet57", ["unknown model 'resnet57'", "resnet56"]),
    ],
)
def test_a_bad_spec_is_refused_in_one_sentence(table: Registry, text: str, words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        table.parse(text)
    one_sentence(caught.value, *words)


@pytest.mark.parametrize("progress", ["progress", "num_classes", "rng", "flips"])
def test_what_the_caller_supplies_is_no_knob(progress: str) -> None:
    assert all(progress not in entry.knobs.model_fields for entry in ENTRIES)


def test_a_duplicate_name_is_refused_with_the_names_in_use() -> None:
    with pytest.raises(SpecError) as caught:
        METHODS.register("cce", label="again", source="nowhere", role="loss")
    one_sentence(caught.value, "'cce' is registered twice", "gce")


def test_a_decorated_function_refuses_what_its_spec_refuses() -> None:
    logits, target = torch.zeros(1, 3), torch.eye(3)[:1]
    for call in (lambda: losses.gce(logits, target, q=0.0), lambda: weights.dm(logits, target, beta=-1.0)):
        with pytest.raises(SpecError):
            call()


def test_a_registry_is_a_mapping_from_names_to_functions() -> None:
    assert METHODS["cce"] is METHODS.entries["cce"].function
    assert "gce" in METHODS
    assert "nothing" not in METHODS
    assert list(METHODS) == list(METHODS.entries)
    assert len(METHODS) == len(METHODS.entries)


@pytest.mark.parametrize(
    "name", ["none", *(name for name in NOISES if NOISES.entry(name).defaults() == {"rate": None})]
)
def test_a_single_required_knob_is_written_without_its_name(name: str) -> None:
    assert "=" not in str(NOISES.parse(noise_spec(name)))


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("cce", "CCE"),
        ("dm", "DM (beta = 12, lam = 0.5)"),
        ("dm:beta=16,lam=1", "DM (beta = 16, lam = 1)"),
        ("gce:q=0.5", "GCE (q = 0.5)"),
        ("proselflc:B=12,T=0.5", "ProSelfLC (B = 12, T = 0.5)"),
        ("boot_soft:eps=0.5,detach=True", "Boot-soft (eps = 0.5, detach = True)"),
        ("barron:alpha=-inf", "Barron (alpha = -inf, c = 0.5)"),
        ("kd:teacher=gce:q=0.5", "KD (teacher = gce:q=0.5)"),
        ("joint:stage=2", "Joint (stage = 2)"),
        ("dm:norm=none", "DM (beta = 12, lam = 0.5, norm = none)"),
    ],
)
def test_a_label_names_the_knobs_that_matter_or_differ(spec: str, label: str) -> None:
    assert METHODS.parse(spec).label == label


def test_only_what_comes_from_outside_is_sent_to_other_processes() -> None:
    assert additions() == []

    @METHODS.register("halved", label="halved", source="here", role="loss")
    def halved(logits: torch.Tensor, target: torch.Tensor, *, by: float = 2.0) -> torch.Tensor:
        """Cross entropy, divided."""
        return losses.cce(logits, target) / by

    sent = additions()
    assert [entry.name for entry in sent] == ["halved"]
    del METHODS.entries["halved"]
    add(sent)
    assert METHODS.parse("halved:by=4").values == {"by": 4.0}


def test_the_ends_of_the_ranges_are_found_for_the_tests_that_sweep_them() -> None:
    ends = knob_ends(METHODS.entry("gce"))
    assert {"q": 1.0} in ends
    assert any(0 < end["q"] < 0.01 for end in ends)
    assert {"eps": math.nextafter(1.0, 0.0)} in knob_ends(METHODS.entry("ls"))
    assert {"stage": 2} in knob_ends(METHODS.entry("joint"))
    assert {"alpha": -math.inf} in knob_ends(METHODS.entry("barron"))


def test_a_decorated_function_refuses_knobs_that_do_not_increase_also_beside_its_defaults() -> None:
    logits, target = torch.zeros(1, 3), torch.eye(3)[:1]
    for knobs in ({"a": 0.7}, {"a": 0.3, "b": 0.2}, {"c": 0.45}):
        with pytest.raises(SpecError) as caught:
            losses.hampel(logits, target, **knobs)
        one_sentence(caught.value, "must be less than", "found")


def test_knobs_of_ones_own_method_must_increase_where_its_entry_says_so() -> None:
    @METHODS.register("rising", label="rising", source="here", role="loss", increasing=("low", "high"))
    def rising(logits: torch.Tensor, target: torch.Tensor, *, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Cross entropy, held between two values."""
        return losses.cce(logits, target).clamp(low, high)

    assert METHODS.parse("rising:low=2,high=3").values == {"low": 2.0, "high": 3.0}
    with pytest.raises(SpecError) as caught:
        METHODS.parse("rising:low=2")
    one_sentence(caught.value, "'rising'", "low = 2 and high = 1")


@pytest.mark.parametrize("name", list(METHODS))
def test_what_an_entry_says_of_its_knobs_is_of_knobs_that_it_has(name: str) -> None:
    entry = METHODS.entry(name)
    knobs = set(entry.knobs.model_fields)
    assert set(entry.facts.shows) <= knobs
    assert set(entry.facts.increasing) <= knobs
    assert set(entry.facts.spans) <= knobs
    assert entry.facts.role in ("loss", "weight", "target")
    for knob, ends in entry.facts.spans.items():
        for end in ends:  # the ends of a slider are values of the knob
            entry.knobs.model_validate({knob: end})
