"""Settings: what each profile takes where nothing is said, and in which order its runs are trained."""

import pytest

from robustdl_lib.config import PAPER, PROFILES
from robustdl_lib.registry import METHODS
from robustdl_lib.runs import setting
from robustdl_lib.runs.setting import Setting


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dataset", ["digits", "cifar10", "cifar100"])
def test_every_profile_compares_known_methods_with_cross_entropy_first(profile: str, dataset: str) -> None:
    methods = setting.methods_of(profile, dataset)
    assert methods[0] == "cce"
    assert len({str(METHODS.parse(spec)) for spec in methods}) == len(methods)


def test_a_paper_compares_its_own_methods_on_its_own_data() -> None:
    assert setting.methods_of("paper", "cifar10") == setting.WEIGHTING
    assert setting.methods_of("paper", "cifar100") == setting.MODIFICATION
    assert "boot_hard:eps=0.5" in setting.methods_of("quick", "digits")
    assert "mse" not in setting.methods_of("small", "cifar10")


@pytest.mark.parametrize("profile", PAPER)
@pytest.mark.parametrize(
    ("dataset", "method", "count"),
    [
        ("cifar10", "cce", 3),
        ("cifar10", "mse", 3),
        ("cifar10", "dm:lam=0.5,beta=12", 3),
        ("cifar10", "mae", 1),
        ("cifar10", "ls:eps=0.25", 1),
        ("cifar100", "ls:eps=0.25", 3),
        ("cifar100", "sce:a=6,b=0.1", 1),
        ("digits", "cce", 1),
    ],
)
def test_methods_whose_order_is_claimed_have_all_seeds(profile: str, dataset: str, method: str, count: int) -> None:
    assert len(setting.seeds_of(profile, dataset, method)) == count


@pytest.mark.parametrize(("profile", "count"), [("quick", 3), ("smoke", 3), ("small", 1)])
def test_the_other_profiles_treat_all_methods_alike(profile: str, count: int) -> None:
    assert {len(setting.seeds_of(profile, "digits", spec)) for spec in setting.METHODS_SHOWN} == {count}


def test_the_first_seed_of_all_methods_is_trained_before_a_second_of_any() -> None:
    configs = Setting("paper").headline_configs()
    seeds = [cfg.seed for cfg in configs]
    assert seeds == sorted(seeds)
    assert [cfg.method for cfg in configs if cfg.seed == 0] == [str(METHODS.parse(m)) for m in setting.WEIGHTING]
    assert {cfg.method for cfg in configs if cfg.seed == 2} == {
        str(METHODS.parse(spec)) for spec in setting.REPEATED["cifar10"]
    }


def test_seeds_that_are_said_are_taken_for_every_method() -> None:
    configs = Setting("paper", methods=["cce", "mae"], seeds=[4, 5]).headline_configs()
    assert [(cfg.seed, cfg.method) for cfg in configs] == [(4, "cce"), (4, "mae"), (5, "cce"), (5, "mae")]


def test_a_device_that_is_said_goes_along() -> None:
    assert Setting("smoke", device="cpu").changes() == {"device": "cpu"}
    assert {cfg.device for cfg in Setting("smoke", device="cpu").headline_configs()} == {"cpu"}
