"""The sweeps of the papers' own setting: other rates, other noises, one more protocol, ProSelfLC without parts.

They belong to the profiles :data:`robustdl_lib.config.PAPER`, for CIFAR-10 (DM's half) and CIFAR-100 (ProSelfLC's).
The most important runs come first. All sweeps except ``figures`` take only the first seed by default.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from robustdl_lib.config import PAPER, SPECS, ConfigError, RunConfig
from robustdl_lib.registry import SWEEPS
from robustdl_lib.runs import sweeps
from robustdl_lib.runs.setting import MODIFICATION, WEIGHTING, Setting

HALVES = ("cifar10", "cifar100")
"""The data of DM's half and of ProSelfLC's."""
MODES = {
    0.0: ("dm:beta=2,lam=0", "dm:beta=12,lam=0.5", "dm:beta=16,lam=1", "dm:beta=24,lam=2"),
    0.2: ("dm:beta=12,lam=0.5", "dm:beta=16,lam=1", "dm:beta=24,lam=2", "dm:beta=2,lam=0"),
    0.4: ("dm:beta=16,lam=1", "dm:beta=12,lam=0.5", "dm:beta=20,lam=2", "dm:beta=2,lam=0"),
    0.6: ("dm:beta=12,lam=2", "dm:beta=12,lam=1", "dm:beta=12,lam=0.5", "dm:beta=2,lam=0"),
    0.8: ("dm:beta=12,lam=2", "dm:beta=8,lam=1", "dm:beta=8,lam=0.5", "dm:beta=2,lam=0"),
}
"""DM by noise rate, the paper's best knobs first; one lambda for each mode.

Source: DM (arXiv 1905.11233), Table 9; lambda 0 and the values without noise are the talk's (slides 21 and 23).
"""
EQUAL_WEIGHTS = "dm:beta=0"
"""DM that weighs all examples alike: Table 9's first line."""
SYMMETRIC = (0.2, 0.4, 0.6)
PAIRS = (0.2, 0.3)
"""The rates of ProSelfLC's Tables 4 and 5, symmetric and asymmetric; the sweep figures has .4 of the latter."""
DYNAMICS = "asymmetric_pairs:0.4"
"""The noise of ProSelfLC's Figure 3 and of the talk's slides 36 to 38."""
TABLE_7 = ("cce", "gce", "mse", "mae", "dm:beta=12,lam=0.5", "dm:beta=16,lam=1")
PEOPLE = {"cifar10": ("human:worst", "human:aggregate"), "cifar100": ("human:fine",)}
WEIGHTED = ("gce", "dm:beta=12,lam=0.5", "sce:a=6,b=0.1")
"""Methods of DM's half that are compared with ProSelfLC's on CIFAR-100."""
TABLE_1 = ("gce", "dm:beta=12,lam=0.5", "mse", "mae")
"""The methods of DM's Table 1 on CIFAR-100, except cross entropy."""
IMAE_6 = ("imae", "mae")
"""The methods of IMAE's Table 6 (arXiv 1903.12141) at a rate of .8."""
PARTS = (
    *("proselflc:B=8", "proselflc:B=8,trust=global", "proselflc:B=8,trust=local", "boot_soft:eps=0.5"),
    *("proselflc:B=8,detach=True", "proselflc:B=8,T=0.5", "proselflc:B=8,T=0.5,detach=True"),
    "boot_soft:eps=0.5,detach=True",
)
"""ProSelfLC whole, its trust by time, by confidence, fixed; then its target detached, sharpened, both; both fixed."""
ORDER = (
    *(("figures", "cifar10", "symmetric:0.4"), ("figures", "cifar100", DYNAMICS), ("dm_table_7", "cifar10", "")),
    *(("paper_rates", "cifar10", ""), ("paper_rates", "cifar100", ""), ("paper_parts", "cifar100", "")),
    *(("paper_noises", "cifar10", ""), ("paper_noises", "cifar100", "")),
)
"""The sweeps with their data sets and noises, the most important first."""


@SWEEPS.register(
    "paper_rates",
    label="the papers' methods at the other rates",
    source="DM, Table 9; ProSelfLC, Tables 4-5",
    papers=True,
)
def paper_rates(*, setting: Setting) -> list[RunConfig]:
    """Return the other noise rates of the papers' tables, and DM with each emphasis mode at each of its rates."""
    alone = _alone(setting, *HALVES)
    if alone.config().dataset == "cifar100":
        noises = [f"symmetric:{rate:g}" for rate in SYMMETRIC] + [f"asymmetric_pairs:{rate:g}" for rate in PAIRS]
        return _across(alone, setting.methods or MODIFICATION, [*noises, "none"])
    rates = {rate: f"symmetric:{rate:g}" if rate else "none" for rate in MODES}
    others = {rate: noise for rate, noise in rates.items() if rate != 0.4}  # the figures' own
    if setting.methods:
        return _across(alone, setting.methods, others.values())
    first = [cfg for rate, noise in others.items() for cfg in _across(alone, _best(rate), [noise])]
    modes = [cfg for rate, noise in rates.items() for cfg in _across(alone, MODES[rate], [noise])]
    alike = _across(alone, [EQUAL_WEIGHTS], [noise for rate, noise in rates.items() if rate])
    return first + modes + alike + _across(alone, IMAE_6, [rates[0.8]])


@SWEEPS.register(
    "paper_noises", label="the papers' methods under noises of their own", source="docs/PAPERS.md", papers=True
)
def paper_noises(*, setting: Setting) -> list[RunConfig]:
    """Return noises and methods without a published number for these networks: people's labels, ELR, SCE."""
    alone = _alone(setting, *HALVES)
    dataset = alone.config().dataset
    if dataset == "cifar100":
        more = _across(alone, setting.methods or WEIGHTED, [DYNAMICS])
        people = _across(alone, setting.methods or (*MODIFICATION, *WEIGHTED), PEOPLE[dataset])
        return more + people + _across(alone, setting.methods or TABLE_1, [f"symmetric:{r:g}" for r in SYMMETRIC])
    more = _across(alone, setting.methods or ("elr", "sce"), [alone.config().noise])
    noises = ["asymmetric:0.4", *PEOPLE.get(dataset, ())]
    return _across(alone, setting.methods or (*WEIGHTING, "elr", "sce"), noises) + more


@SWEEPS.register("dm_table_7", label="the rate of DM's Table 7", source="DM, Table 7", apart=True, papers=True)
def dm_table_7(*, setting: Setting) -> list[RunConfig]:
    """Return the methods of DM's Table 7 at its learning rate, 0.01; everything else is as in its Table 9."""
    return _alone(setting, HALVES[0]).configs(setting.methods or TABLE_7, lr=0.01)


@SWEEPS.register(
    "paper_parts",
    label="ProSelfLC, its parts taken away",
    source="ProSelfLC (arXiv 2005.03788, 2207.00118)",
    papers=True,
)
def paper_parts(*, setting: Setting) -> list[RunConfig]:
    """Return ProSelfLC on CIFAR-100: trust by time, by confidence, fixed; target detached or not, sharpened or not."""
    return _across(_alone(replace(setting, dataset=setting.dataset or HALVES[1]), HALVES[1]), PARTS, [DYNAMICS])


def plans(profile: str, device: str = "auto") -> list[tuple[str, Setting]]:
    """Return the sweeps of a papers' profile in their order, each with its setting; raises ConfigError for another."""
    _alone(Setting(profile), HALVES[0])
    return [(name, Setting(profile, noise or None, dataset=dataset, device=device)) for name, dataset, noise in ORDER]


def pictures(profile: str, dataset: str = "", noise: str = "") -> dict[str, list[RunConfig]]:
    """Return the figures' folders of a papers' profile, by name, with their runs: of one noise, and clean CCE.

    The profile's own setting has the profile's name. With a data set or a noise only the folders of it; raises
    ConfigError if the profile has none.
    """
    folders: dict[str, list[RunConfig]] = {}
    for name, setting in plans(profile):
        planned = [] if SWEEPS.entry(name).facts.apart else sweeps.plan(name, setting)
        for one in dict.fromkeys(cfg.noise for cfg in planned if cfg.noise != "none"):
            if name == "paper_rates" and one == setting.config().noise:
                continue  # the figures sweep draws it: a DM of each mode would crowd the figure
            folder = _folder(replace(setting, noise=one)) + ("_parts" if name == "paper_parts" else "")
            shown = [cfg for cfg in planned if cfg.noise == one] + setting.configs(["cce"], noise="none")
            folders[folder] = list(dict.fromkeys(folders.get(folder, []) + shown))
    wanted = {name: str(SPECS[name].parse(spec)) for name, spec in (("dataset", dataset), ("noise", noise)) if spec}
    chosen = {
        folder: configs
        for folder, configs in folders.items()
        if all(getattr(configs[0], name) == value for name, value in wanted.items())
    }
    if not chosen:
        raise ConfigError(
            f"the profile {profile} has no {' with '.join(wanted.values())}: there is {', '.join(folders)}"
        )
    return chosen


def _folder(setting: Setting) -> str:
    """Return the name of a setting's folder of figures; the profile's own setting has the profile's name."""
    return setting.profile if setting.config() == Setting(setting.profile).config() else setting.slug


def _alone(setting: Setting, *datasets: str) -> Setting:
    """Return the setting with the first seed, unless seeds are given.

    Raises ConfigError for another profile, for a data set that the sweep does not have, and if a noise is given: a
    sweep of the papers has its own.
    """
    if setting.profile not in PAPER:
        raise ConfigError(f"the papers' sweeps are of the profiles {' and '.join(PAPER)}, found {setting.profile!r}")
    if (dataset := setting.config().dataset) not in datasets:
        raise ConfigError(f"this sweep of the papers is of {' and '.join(datasets)}, found {dataset!r}")
    if setting.noise:
        raise ConfigError(f"this sweep names its noises itself, found {setting.noise!r}: the sweep figures takes any")
    return setting if setting.seeds else replace(setting, seeds=sweeps.SEEDS[:1])


def _best(rate: float) -> tuple[str, ...]:
    return ("cce", "gce", MODES[rate][0], "proselflc")


def _across(setting: Setting, methods: Sequence[str], noises: Iterable[str]) -> list[RunConfig]:
    return [cfg for noise in noises for cfg in setting.configs(methods, noise=noise)]
