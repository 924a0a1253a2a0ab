"""The sweeps behind slide 23: DM's emphasis mode at five noise rates.

Two questions are kept apart: which lambda and beta a validation set with clean labels selects, as in the paper
(``val``), and which the test set selects, an oracle (``last``).
"""

from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.registry import SWEEPS
from robustdl_lib.report.emphasis_modes import readings, sharpest
from robustdl_lib.runs import sweeps
from robustdl_lib.runs.sweeps import Setting

RATES = (0.0, 0.2, 0.4, 0.6, 0.8)
BETAS = {0.0: (0.5, 2.0), 0.5: (4.0, 8.0, 12.0), 1.0: (4.0, 8.0, 12.0), 2.0: (8.0, 12.0, 16.0)}
"""The values of beta for each lambda: the flat end of the grids of DM (arXiv 1905.11233), and below it."""


@SWEEPS.register("noise_rates", label="DM's emphasis mode at five noise rates", source="Talk, slide 23", apart=True)
def noise_rates(*, setting: Setting) -> list[RunConfig]:
    """Return the search: every lambda and beta of DM at each symmetric rate, with the setting's first seed.

    Without noise one beta of each lambda is enough, because all give similar results. The setting's own noise is
    ignored. The validation set has clean labels, as in DM's search: under much noise a noisy set of this size ranks
    methods by chance. Training does not use it: the network is bit for bit that of a run with noisy validation.
    """
    grid = [(lam, beta) for lam, betas in BETAS.items() for beta in betas]
    middle = [(lam, betas[(len(betas) - 1) // 2]) for lam, betas in BETAS.items()]
    pairs = [(rate, *pair) for rate in RATES for pair in (grid if rate else middle)]
    first = (setting.seeds or sweeps.SEEDS)[0]
    return [_config(setting, *pair, seed=first) for pair in pairs]


@SWEEPS.register("noise_rates_judged", label="the same, judged over seeds", source="Talk, slide 23", apart=True)
def noise_rates_judged(*, setting: Setting) -> list[RunConfig]:
    """Return the judgement: for each rate and lambda the best beta of the search, with the other seeds of the setting.

    Raises ConfigError if runs of the search are missing.
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
