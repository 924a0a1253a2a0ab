"""A configuration is refused in one sentence or has one name for ever."""

from typing import Any

import pytest
from helpers.cases import one_sentence
from pydantic import ValidationError

from robustdl_lib.config import EXECUTION_FIELDS, PROFILES, ConfigError, RunConfig, profile_config
from robustdl_lib.registry import METHODS, MODELS, NOISES

REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"method": "gec"}, ["unknown method 'gec'", "gce"]),
    ({"method": "gce:w=1"}, ["no parameter 'w'", "q"]),
    ({"noise": "salt"}, ["unknown noise 'salt'", "symmetric"]),
    ({"noise": "symmetric:1.2"}, ["1.2", "less than 1"]),
    ({"noise": "symmetric"}, ["rate", "missing"]),
    ({"dataset": "digitz"}, ["unknown data set 'digitz'", "did you mean 'digits'"]),
    ({"model": "resnet21"}, ["unknown model 'resnet21'", "resnet20"]),
    ({"epoch": 3}, ["'epoch'", "epochs"]),
    ({"epochs": 0}, ["epochs = 0", "greater than or equal to 1"]),
    ({"epochs": 1.5}, ["epochs = 1.5", "integer"]),
    ({"batch_size": 0}, ["batch_size = 0"]),
    ({"lr": 0}, ["lr = 0", "greater than 0"]),
    ({"lr": float("nan")}, ["lr = nan", "finite"]),
    ({"lr": "fast"}, ["lr = 'fast'", "number"]),
    ({"momentum": 1.0}, ["momentum = 1.0", "less than 1"]),
    ({"weight_decay": -1e-4}, ["weight_decay", "greater than or equal to 0"]),
    ({"schedule": "linear"}, ["schedule = 'linear'", "onecycle", "cosine", "step", "constant"]),
    ({"milestones": (0.5, 1.0)}, ["milestones", "less than 1"]),
    ({"precision": "float16"}, ["precision = 'float16'", "bfloat16"]),
    ({"seed": -1}, ["seed = -1"]),
    ({"noise_seed": 2**63}, ["noise_seed"]),
    ({"split_seed": 2**32}, ["split_seed"]),
    ({"device": "tpu"}, ["device = 'tpu'", "cuda", "cpu"]),
    ({"method": 3}, ["method", "string"]),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_configuration_that_cannot_run_is_refused_in_one_sentence(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**fields)
    one_sentence(caught.value, *words)


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        profile_config("fast")
    one_sentence(caught.value, "'fast'", *PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_a_configuration_that_can_be_changed(profile: str) -> None:
    assert profile_config(profile).replace(epochs=3) == profile_config(profile, epochs=3)


def test_configurations_differ_in_the_fields_that_are_not_equal() -> None:
    assert RunConfig().differs(RunConfig(lr=0.01, device="cpu", method="cce")) == {"lr", "device"}
    assert RunConfig().differs(RunConfig()) == set()


def test_a_run_id_is_pinned_so_that_what_was_trained_is_found_again() -> None:
    assert RunConfig().run_id == "44136fa355b3678a"
    changed = RunConfig(method="dm:beta=16,lam=1", noise="none", epochs=50, seed=2, noise_seed=2)
    assert changed.canonical_json() == (
        '{"epochs":50,"method":"dm:beta=16,lam=1","noise":"none","noise_seed":2,"seed":2}'
    )
    assert changed.run_id == "765189ebb4579af6"


def test_defaults_that_run_ids_rest_on_are_pinned() -> None:
    kept = {"dataset": "digits", "noise": "symmetric:0.4", "method": "cce", "model": "resnet20", "epochs": 40}
    rest = {"batch_size": 128, "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "onecycle"}
    more = {"milestones": (0.5, 0.75), "augment": True, "precision": "auto"}
    seeds = {"seed": 0, "noise_seed": 0, "split_seed": 0, "device": "auto"}
    assert RunConfig().model_dump().items() >= {**kept, **rest, **more, **seeds}.items()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"method": "gce:q=0.70"}, {"method": "gce"}),
        ({"method": "dm:lam=1,beta=16"}, {"method": "dm:beta=16.0,lam=1.0"}),
        ({"noise": "symmetric:rate=0.40"}, {"noise": "symmetric:.4"}),
        ({"epochs": "40"}, {"epochs": 40}),
    ],
)
def test_one_setting_spelled_twice_is_one_run(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert RunConfig(**one) == RunConfig(**other)
    assert RunConfig(**one).run_id == RunConfig(**other).run_id


CHANGES: dict[str, Any] = {
    "noise": "none",
    "method": "gce",
    "model": "resnet8",
    "epochs": 41,
    "batch_size": 64,
    "lr": 0.2,
    "momentum": 0.8,
    "weight_decay": 1e-4,
    "schedule": "step",
    "milestones": (0.3,),
    "augment": False,
    "record_every": 2,
    "precision": "float32",
    "seed": 1,
    "noise_seed": 1,
    "split_seed": 1,
    "examples": 1000,
    "split": "random",
    "validation": "clean",
}


@pytest.mark.parametrize("field", sorted(set(RunConfig.model_fields) - EXECUTION_FIELDS - {"dataset"}))
def test_every_field_that_decides_the_result_is_in_the_run_id(field: str) -> None:
    assert RunConfig(**{field: CHANGES[field]}).run_id != RunConfig().run_id


def test_where_a_run_is_executed_is_not_in_its_id() -> None:
    assert set(EXECUTION_FIELDS) == {"device"}
    assert len({RunConfig(device=device).run_id for device in ("auto", "cpu", "cuda", "cuda:1")}) == 1


def test_a_configuration_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RunConfig().epochs = 3


def test_a_copy_is_checked_like_a_new_one() -> None:
    with pytest.raises(ConfigError):
        RunConfig().replace(epochs=0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_configuration_that_reads_back(method: str) -> None:
    cfg = RunConfig(method=method)
    assert RunConfig(**cfg.model_dump(mode="json")) == cfg


@pytest.mark.parametrize("model", MODELS)
def test_every_model_makes_a_configuration(model: str) -> None:
    assert RunConfig(model=model).model == model


@pytest.mark.parametrize("noise", ["none", "symmetric:0.999999999999999", "asymmetric:1e-20", "symmetric_all:0"])
def test_a_noise_at_the_end_of_its_range_reads_back(noise: str) -> None:
    cfg = RunConfig(noise=noise)
    assert RunConfig(**cfg.model_dump(mode="json")) == cfg
    assert NOISES.parse(cfg.noise).values == NOISES.parse(noise).values
