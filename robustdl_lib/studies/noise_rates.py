"""The emphasis mode against the noise rate: the runs that measure what slide 23 shows, and what they say.

Two questions are kept apart. What DM would choose: lambda and beta by a validation set with clean labels, as the paper
searched them (``val``); and what the test set would have it choose, an oracle (``last``).
"""

from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.registry import SWEEPS
from robustdl_lib.report.emphasis_modes import readings, sharpest
from robustdl_lib.runs import sweeps
from robustdl_lib.runs.sweeps import Setting

RATES = (0.0, 0.2, 0.4, 0.6, 0.8)
BETAS = {0.0: (0.5, 2.0), 0.5: (4.0, 8.0, 12.0), 1.0: (4.0, 8.0, 12.0), 2.0: (8.0, 12.0, 16.0)}
"""The sharpness beta tried for each lambda: the flatter end of the grids of DM (arXiv 1905.11233), and below it."""


@SWEEPS.register("noise_rates", label="DM's emphasis mode at five noise rates", source="Talk, slide 23", apart=True)
def noise_rates(*, setting: Setting) -> list[RunConfig]:
    """The search: every lambda and beta of DM at each symmetric rate, with the setting's first seed.

    Without noise, where all end about alike, one beta of each lambda is enough.
    The rates are these whatever the setting's own noise. The validation set has clean labels, as where DM's knobs were
    searched: under much noise a noisy one of this size ranks methods by chance. Training does not see it, and ends with
    the bits of a run with noisy validation.
    """
    grid = [(lam, beta) for lam, betas in BETAS.items() for beta in betas]
    middle = [(lam, betas[(len(betas) - 1) // 2]) for lam, betas in BETAS.items()]
    pairs = [(rate, *pair) for rate in RATES for pair in (grid if rate else middle)]
    first = (setting.seeds or sweeps.SEEDS)[0]
    return [_config(setting, *pair, seed=first) for pair in pairs]


@SWEEPS.register("noise_rates_judged", label="the same, judged over seeds", source="Talk, slide 23", apart=True)
def noise_rates_judged(*, setting: Setting) -> list[RunConfig]:
    """The judgement: of each rate and lambda the beta that the search found, with the other seeds of the setting.

    Raises ConfigError where the search is not done.
    """
    plan, places = noise_rates(setting=setting), sweeps.shelves("noise_rates", setting.home, "reference")
    if missing := sweeps.lacking(plan, places):
        raise ConfigError(f"{len(missing)} of {len(plan)} runs of the sweep noise_rates are missing: train it first")
    best = sharpest(readings(sweeps.rows(sweeps.found(plan, places))))
    pairs = best[["rate", "lam", "beta"]].itertuples(index=False, name=None)
    seeds = (setting.seeds or sweeps.SEEDS)[1:]
    return [_config(setting, rate, lam, beta, seed) for rate, lam, beta in pairs for seed in seeds]


def _config(setting: Setting, rate: float, lam: float, beta: float, seed: int) -> RunConfig:
    noise = f"symmetric:{rate:g}" if rate else "none"
    method = f"dm:beta={beta:g},lam={lam:g}"
    return setting.config(noise=noise, method=method, validation="clean", seed=seed, noise_seed=seed)
