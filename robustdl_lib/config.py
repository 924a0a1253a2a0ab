"""A run's whole description: one flat, frozen, typed record, and the profiles that fill it."""

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from robustdl_lib.registry import DATASETS, METHODS, MODELS, NOISES, SPLITS, Registry, SpecError, first_error

SPECS: dict[str, Registry] = {
    "dataset": DATASETS,
    "noise": NOISES,
    "method": METHODS,
    "model": MODELS,
    "split": SPLITS,
}
EXECUTION_FIELDS = frozenset({"device"})


class ConfigError(ValueError):
    """A configuration that cannot be run; its message is one sentence."""


class RunConfig(BaseModel):
    """One training run. Specs are stored in their canonical form, so ``gce:q=0.70`` and ``gce`` are one run.

    Raises :class:`ConfigError`, in one sentence, for an unknown field, spec, or value out of its range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: str = Field("digits", description="data set, one of the registered names")
    noise: str = Field("symmetric:0.4", description="label noise, a spec such as symmetric:0.4")
    method: str = Field("cce", description="training method, a spec such as gce:q=0.7")
    model: str = Field("resnet20", description="network, such as resnet20")
    examples: Annotated[int, Field(ge=1)] | None = Field(None, description="training examples; without it, all")
    split: str = Field("stratified", description="how test and validation are cut, such as clustered:distance=0.3")
    validation: Literal["noisy", "clean"] = Field("noisy", description="whether the validation set carries the noise")
    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(40, description="passes over the training set")
    batch_size: Annotated[int, Field(ge=1)] = Field(128, description="examples in a step")
    lr: Annotated[float, Field(gt=0)] = Field(0.1, description="peak learning rate of SGD")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="momentum of SGD")
    weight_decay: Annotated[float, Field(ge=0)] = Field(5e-4, description="L2 penalty's factor")
    schedule: Literal["onecycle", "cosine", "step", "constant"] = Field("onecycle", description="learning rate in time")
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), description="progress at which the step schedule divides the learning rate by 10"
    )
    record_every: Annotated[int, Field(ge=1)] = Field(1, description="epochs between two rows; the last has a row")
    augment: bool = Field(True, description="random crops, and flips where the data set allows them")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 on a GPU that has it")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="initial weights and order of examples")
    noise_seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="which labels are wrong")
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="which examples train and which validate")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(first_error(error, type(self))) from None

    @field_validator(*SPECS)
    @classmethod
    def _canonical_spec(cls, spec: str, info: Any) -> str:
        return str(SPECS[info.field_name].parse(spec))

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError(f"device = {device!r}: there is auto, cpu, cuda, cuda:1")
        return device

    def canonical_json(self) -> str:
        """The fields that decide the result and differ from their defaults, as JSON with sorted keys.

        Defaults are left out so that a field added later does not orphan what was trained before it; where a
        run is executed (``device``) does not name it.
        """
        values = self.model_dump(mode="json", exclude=set(EXECUTION_FIELDS), exclude_defaults=True)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @property
    def run_id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of :meth:`canonical_json`."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]

    def differs(self, other: "RunConfig") -> set[str]:
        """Return the names of the fields in which two configurations differ."""
        return {name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)}

    def replace(self, **changes: Any) -> "RunConfig":
        """Return a copy with ``changes``, checked like a new one."""
        return type(self)(**{**self.model_dump(), **changes})


PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {"dataset": "digits", "model": "resnet8", "epochs": 2},
    "quick": {"dataset": "digits", "model": "resnet20", "epochs": 50},
    "small": {"dataset": "cifar10", "examples": 10_000, "model": "resnet20", "epochs": 15},
    "paper": {
        **{"dataset": "cifar10", "model": "resnet56", "epochs": 284, "weight_decay": 1e-4},
        **{"schedule": "step", "milestones": (0.32, 0.48)},
    },
}
PROFILES["paper-short"] = {**PROFILES["paper"], "epochs": 64}
"""The papers' data and networks; the second by a schedule of the same shape over 64 epochs.

Source: DM (arXiv 1905.11233): rate 0.1, batches of 128, 100,000 steps, the rate divided by 10 after 32,000 and 48,000;
284 epochs of 45,000 examples are 99,968 steps.
"""
PAPER = ("paper", "paper-short")
"""The profiles of the papers' own setting, which need a GPU: their committed rows serve where there is none."""
_CIFAR100: dict[str, Any] = {
    **{"dataset": "cifar100", "model": "resnet44", "batch_size": 256, "weight_decay": 5e-4},
    **{"milestones": (0.5, 0.7333)},
}
PROTOCOLS: dict[tuple[str, str], dict[str, Any]] = {
    ("paper", "cifar100"): {**_CIFAR100, "epochs": 170},
    ("paper-short", "cifar100"): _CIFAR100,
}
"""What a profile takes for another data set than its own.

Source: ProSelfLC (arXiv 2005.03788) and its code: batches of 256, 30,000 steps, the rate divided by 10 after 15,000 and
22,000; 170 epochs of 45,000 examples are 29,920 steps.
"""


def profile_config(profile: str, **changes: Any) -> RunConfig:
    """Return the profile's configuration, or its protocol for another data set, with ``changes``.

    Raises :class:`ConfigError` for an unknown profile.
    """
    if profile not in PROFILES:
        raise ConfigError(f"unknown profile {profile!r}: there is {', '.join(PROFILES)}")
    plain = RunConfig(**{**PROFILES[profile], **changes})
    protocol = PROTOCOLS.get((profile, plain.dataset))
    return RunConfig(**{**PROFILES[profile], **protocol, **changes}) if protocol else plain


__all__ = ["PAPER", "PROFILES", "PROTOCOLS", "ConfigError", "RunConfig", "SpecError", "profile_config"]
