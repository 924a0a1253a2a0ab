"""What a reader can change of a sweep, and what each profile takes where nothing is said: its methods and seeds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robustdl_lib import files
from robustdl_lib.config import PAPER, ConfigError, RunConfig, profile_config
from robustdl_lib.registry import METHODS
from robustdl_lib.training.compute import resolve_device

METHODS_SHOWN = (
    "cce",
    "mae",
    "mse",
    "gce",
    "imae",
    "dm:beta=12,lam=0.5",
    "ls:eps=0.25",
    "cp:eps=0.25",
    "boot_soft:eps=0.5",
    "boot_hard:eps=0.5",
    "proselflc",
)
SEEDS = (0, 1, 2)
WEIGHTING = (
    *("cce", "mae", "mse", "gce", "imae", "dm:beta=12,lam=0.5", "dm:beta=16,lam=1"),
    *("ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "proselflc"),
)
"""What the profiles of the papers compare on CIFAR-10: DM's Tables 7 and 9, and the methods of the other papers."""
MODIFICATION = ("cce", "ls:eps=0.25", "cp:eps=0.5", "boot_soft:eps=0.5", "proselflc:B=8")
"""What they compare on CIFAR-100: ProSelfLC's Tables 4 and 5, by the knobs of its Figure 3."""
REPEATED = {
    "cifar10": ("cce", "mse", "gce", "dm:beta=12,lam=0.5", "dm:beta=16,lam=1", "proselflc"),
    "cifar100": MODIFICATION,
}
"""The methods that those profiles train with every seed, since their order is claimed; others with the first alone."""
_SMALL = tuple(spec for spec in METHODS_SHOWN if spec not in ("mse", "imae", "boot_hard:eps=0.5"))


def methods_of(profile: str, dataset: str) -> tuple[str, ...]:
    """Return the methods that a profile compares on a data set where nothing is said."""
    if profile in PAPER:
        return MODIFICATION if dataset == "cifar100" else WEIGHTING
    return _SMALL if profile == "small" else METHODS_SHOWN


def seeds_of(profile: str, dataset: str, method: str) -> tuple[int, ...]:
    """Return the seeds that a profile trains a method with where nothing is said: one where a run takes long."""
    many = map(METHODS.parse, REPEATED.get(dataset, ()))
    few = profile == "small" or (profile in PAPER and METHODS.parse(method) not in many)
    return SEEDS[:1] if few else SEEDS


@dataclass(frozen=True)
class Setting:
    """What a reader can change of a sweep; ``None`` keeps the profile's own value.

    Raises :class:`~robustdl_lib.config.ConfigError` or SpecError, before any work, for a value that cannot be.
    """

    profile: str = "quick"
    noise: str | None = None
    methods: Sequence[str] | None = None
    dataset: str | None = None
    seeds: Sequence[int] | None = None
    epochs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, single in (("methods", str), ("seeds", int)):
            if isinstance(given := getattr(self, name), single):
                given = [given]
            if given is not None and not len(given):
                raise ConfigError("a sweep needs at least one method and one seed")
            object.__setattr__(self, name, given if given is None else list(dict.fromkeys(given)))
        resolve_device(self.config().device)
        self.headline_configs()

    def changes(self) -> dict[str, Any]:
        """Return what differs from the profile's own setting, as keywords of :func:`run`."""
        names = ("noise", "methods", "dataset", "seeds", "epochs", "device")
        return {name: value for name in names if (value := getattr(self, name)) not in (None, "auto")}

    def config(self, **changes: object) -> RunConfig:
        """Return the profile's configuration in this setting, with ``changes``."""
        names = ("noise", "dataset", "epochs", "device")
        given = {**{name: getattr(self, name) for name in names}, **changes}
        return profile_config(self.profile, **{name: value for name, value in given.items() if value is not None})

    def configs(self, methods: Sequence[str], **changes: object) -> list[RunConfig]:
        """Return a configuration for each seed and method; a seed decides weights, order and noise together.

        The first seed of all methods comes first: a sweep that is stopped has compared them once.
        """
        dataset, given = self.config().dataset, self.seeds
        chosen = {spec: seeds_of(self.profile, dataset, spec) if given is None else given for spec in methods}
        seeds = dict.fromkeys(seed for found in chosen.values() for seed in found)
        return [
            self.config(method=method, seed=seed, noise_seed=seed, **changes)
            for seed in seeds
            for method in methods
            if seed in chosen[method]
        ]

    def headline_configs(self) -> list[RunConfig]:
        """Return the configurations of the methods to compare, in this setting's noise."""
        return self.configs(self.methods or methods_of(self.profile, self.config().dataset))

    @property
    def home(self) -> str:
        """The folder of a shelf that holds the runs: the profile's, or one of its own where the budget differs."""
        return self.profile + (f"_epochs-{self.epochs}" if self.epochs else "")

    @property
    def slug(self) -> str:
        """A folder's name: the profile, then what was changed, such as ``quick_symmetric-0.6``."""
        methods = "+".join(dict.fromkeys(self.config(method=method).method for method in self.methods or ()))
        if len(methods) > 60:
            methods = f"methods-{hashlib.sha256(methods.encode()).hexdigest()[:8]}"
        seeds = "seeds-" + "-".join(map(str, self.seeds)) if self.seeds else ""
        parts = [
            self.profile,
            self.dataset and self.config().dataset,
            self.noise and self.config().noise,
            methods,
            seeds,
            self.epochs and f"epochs-{self.epochs}",
        ]
        return files.file_name("_".join(part for part in parts if part))
