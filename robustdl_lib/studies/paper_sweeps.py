"""The sweeps of the papers' own setting, beyond the figures': other rates, other noises, one protocol more, parts away.

They belong to the profiles :data:`robustdl_lib.config.PAPER`, for CIFAR-10 (DM's half) and CIFAR-100 (ProSelfLC's), and
name what matters most first, so that a sweep that is stopped has left off what matters least. All but ``figures`` take
the first seed alone where none is said.
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
"""DM by noise rate, the knobs that end best in the paper first; a lambda of each mode.

Source: DM (arXiv 1905.11233), Table 9; lambda 0 is the talk's (slides 21 and 23), as are all without noise.
"""
ALIKE = "dm:beta=0"
"""DM that weighs all examples alike: Table 9's first line."""
SYMMETRIC = (0.2, 0.4, 0.6)
PAIRS = (0.2, 0.3)
"""The rates of ProSelfLC's Tables 4 and 5, symmetric and asymmetric; .4 of the latter is the figures'."""
DYNAMICS = "asymmetric_pairs:0.4"
"""The noise of ProSelfLC's Figure 3 and of the talk's slides 36 to 38."""
TABLE_7 = ("cce", "gce", "mse", "mae", "dm:beta=12,lam=0.5", "dm:beta=16,lam=1")
PEOPLE = {"cifar10": ("human:worst", "human:aggregate"), "cifar100": ("human:fine",)}
WEIGHTED = ("gce", "dm:beta=12,lam=0.5", "sce:a=6,b=0.1")
"""Methods of DM's half beside those of ProSelfLC's, on CIFAR-100."""
TABLE_1 = ("gce", "dm:beta=12,lam=0.5", "mse", "mae")
"""What DM's Table 1 has on CIFAR-100 besides cross entropy."""
IMAE_6 = ("imae", "mae")
"""What IMAE's Table 6 (arXiv 1903.12141) has at a rate of .8."""
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
"""The sweeps with their data sets and noises, what matters most first."""


@SWEEPS.register(
    "paper_rates",
    label="the papers' methods at the other rates",
    source="DM, Table 9; ProSelfLC, Tables 4-5",
    papers=True,
)
def paper_rates(*, setting: Setting) -> list[RunConfig]:
    """The other noise rates of the papers' tables, and a DM of each emphasis mode at each rate of DM's."""
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
    alike = _across(alone, [ALIKE], [noise for rate, noise in rates.items() if rate])
    return first + modes + alike + _across(alone, IMAE_6, [rates[0.8]])


@SWEEPS.register(
    "paper_noises", label="the papers' methods under noises of their own", source="docs/PAPERS.md", papers=True
)
def paper_noises(*, setting: Setting) -> list[RunConfig]:
    """Noises and methods for which nobody has published a number with these networks: people's labels, ELR, SCE."""
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
    """The methods of DM's Table 7 at its learning rate, 0.01; all else is as in its Table 9."""
    return _alone(setting, HALVES[0]).configs(setting.methods or TABLE_7, lr=0.01)


@SWEEPS.register(
    "paper_parts",
    label="ProSelfLC, its parts taken away",
    source="ProSelfLC (arXiv 2005.03788, 2207.00118)",
    papers=True,
)
def paper_parts(*, setting: Setting) -> list[RunConfig]:
    """ProSelfLC on CIFAR-100: trust by time, by confidence, fixed; target detached and not, sharpened and not."""
    return _across(_alone(replace(setting, dataset=setting.dataset or HALVES[1]), HALVES[1]), PARTS, [DYNAMICS])


def plans(profile: str, device: str = "auto") -> list[tuple[str, Setting]]:
    """Return the sweeps of a papers' profile in their order, each with its setting; raises ConfigError for another."""
    _alone(Setting(profile), HALVES[0])
    return [(name, Setting(profile, noise or None, dataset=dataset, device=device)) for name, dataset, noise in ORDER]


def pictures(profile: str, dataset: str = "", noise: str = "") -> dict[str, list[RunConfig]]:
    """Return what is drawn of a papers' profile: a folder's name, and the runs of one noise that its figures show.

    With a data set or a noise those of it alone; raises ConfigError where the profile has none.

    The profile's own setting has the profile's name. Each folder has cross entropy on clean labels besides.
    """
    found: dict[str, list[RunConfig]] = {}
    for name, setting in plans(profile):
        planned = [] if SWEEPS.entry(name).facts.apart else sweeps.plan(name, setting)
        for one in dict.fromkeys(cfg.noise for cfg in planned if cfg.noise != "none"):
            if name == "paper_rates" and one == setting.config().noise:
                continue  # the figures' own: a DM of each mode would crowd them
            folder = _folder(replace(setting, noise=one)) + "_parts" * (name == "paper_parts")
            shown = [cfg for cfg in planned if cfg.noise == one] + setting.configs(["cce"], noise="none")
            found[folder] = list(dict.fromkeys(found.get(folder, []) + shown))
    wanted = {name: str(SPECS[name].parse(said)) for name, said in (("dataset", dataset), ("noise", noise)) if said}
    chosen = {
        folder: configs
        for folder, configs in found.items()
        if all(getattr(configs[0], name) == value for name, value in wanted.items())
    }
    if not chosen:
        raise ConfigError(f"the profile {profile} has no {' with '.join(wanted.values())}: there is {', '.join(found)}")
    return chosen


def _folder(setting: Setting) -> str:
    """Return the name of a setting's folder of figures; the profile's own setting has the profile's name."""
    return setting.profile if setting.config() == Setting(setting.profile).config() else setting.slug


def _alone(setting: Setting, *datasets: str) -> Setting:
    """Return the setting with the first seed where none is said.

    Raises ConfigError for another profile, a data set that the sweep does not have, and a noise that is said: a sweep
    of the papers names its own.
    """
    if setting.profile not in PAPER:
        raise ConfigError(f"the papers' sweeps are of the profiles {' and '.join(PAPER)}, found {setting.profile!r}")
    if (found := setting.config().dataset) not in datasets:
        raise ConfigError(f"this sweep of the papers is of {' and '.join(datasets)}, found {found!r}")
    if setting.noise:
        raise ConfigError(f"this sweep names its noises itself, found {setting.noise!r}: the sweep figures takes any")
    return setting if setting.seeds else replace(setting, seeds=sweeps.SEEDS[:1])


def _best(rate: float) -> tuple[str, ...]:
    return ("cce", "gce", MODES[rate][0], "proselflc")


def _across(setting: Setting, methods: Sequence[str], noises: Iterable[str]) -> list[RunConfig]:
    return [cfg for noise in noises for cfg in setting.configs(methods, noise=noise)]
