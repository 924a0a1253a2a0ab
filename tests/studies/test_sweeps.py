"""The sweeps behind the figures: what each of them trains."""

from robustdl_lib import sweeps
from robustdl_lib.registry import METHODS, SWEEPS
from robustdl_lib.runs.setting import METHODS_SHOWN, SEEDS, Setting
from robustdl_lib.studies.sweeps import TALK_METHODS, WORKED_METHODS, WORKED_NOISES


def test_the_figures_sweep_holds_every_method_and_the_clean_reference_for_three_seeds() -> None:
    configs = sweeps.plan("figures", Setting("quick"))
    assert len(configs) == 3 * (len(sweeps.METHODS_SHOWN) + 1)
    assert len(sweeps.METHODS_SHOWN) >= 8
    assert {METHODS.parse(method).name for method in sweeps.METHODS_SHOWN} <= set(METHODS)
    assert {(cfg.seed, cfg.noise_seed) for cfg in configs} == {(0, 0), (1, 1), (2, 2)}
    assert {cfg.method for cfg in configs if cfg.noise == "none"} == {"cce"}
    assert len({cfg.run_id for cfg in configs}) == len(configs)


def test_the_other_sweeps_hold_what_their_pages_show() -> None:
    setting = Setting()
    worked, talk = sweeps.plan("worked", setting), sweeps.plan("talk_noise", setting)
    assert {(cfg.noise, cfg.method) for cfg in worked} == {
        (n, str(METHODS.parse(m))) for n in WORKED_NOISES for m in WORKED_METHODS
    }
    assert {cfg.method for cfg in talk} == {str(METHODS.parse(spec)) for spec in TALK_METHODS}
    assert {cfg.noise for cfg in talk} == {WORKED_NOISES[0]}
    shown = {METHODS.parse(spec).name for spec in METHODS_SHOWN}
    beyond = {METHODS.parse(cfg.method).name for cfg in sweeps.plan("relatives", setting)}
    assert beyond == set(METHODS) - shown - {"pseudo"}
    assert all(cfg.seed in SEEDS for cfg in [*worked, *talk])
    assert SWEEPS.entry("disguise").facts.apart
