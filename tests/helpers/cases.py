"""The methods, batches and configurations that tests in every room use."""

import math
from typing import Any

import torch

from robustdl_lib import RunConfig
from robustdl_lib.registry import METHODS, NOISES, Entry

GRID = ["dm:beta=2,lam=0", "dm:beta=8,lam=0.5", "dm:beta=16,lam=1", "dm:beta=20,lam=2", "gce:q=0.3", "imae:T=2"]
SHARES = ["ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "boot_hard:eps=0.5", "proselflc:B=16,T=0.5"]
DETACHED = ["cp:eps=0.25,detach=True", "boot_soft:eps=0.5,detach=True", "proselflc:detach=True"]
SHAPES = ["barron:alpha=2", "barron:alpha=0", "barron:alpha=-2", "barron:alpha=-inf", "barron:alpha=4,c=0.1"]
CUT = ["tgce:q=0.3,k=0.1", "tgce:q=1,k=0.8", "hampel:a=0.1,b=0.2,c=0.6", "hampel:a=0.3,b=0.9,c=2"]
MIXED = ["sce:a=6,b=0.1", "nce_rce:a=10,b=0.1"]
FAMILIES = ["normal:beta=12,psi=0.2", "exponential:beta=5", "beta:a=1,n=2", "beta:a=2,n=3", "beta:a=4,n=1.5"]
NORMED = ["dm:beta=8,lam=1,norm=integral", "imae:norm=none", "beta:a=1,n=2,norm=integral", "normal:norm=none"]
PENALTIES = ["cp:hinge=0.5", "cp:eps=0.25,anneal=True", "cp:hinge=0.3,detach=True", "pseudo:weight=1,start=0,end=0.5"]
TRUSTS = [
    *("proselflc:trust=global", "proselflc:trust=local,detach=True", "proselflc:confidence=max,B=12"),
    *("proselflc:T=0.5,anneal=True", "proselflc:T=0.2,detach=True", "proselflc:trust=local,confidence=max,T=0.5"),
]
REMEMBERED = [
    *("elr:lam=7,beta=0.9", "joint:stage=2", "joint:start=0,window=2,alpha=0.8,beta=0.4", "kd:teacher=gce:q=0.5"),
    *("kd:alpha=0.5,T=1", "adaptive:alpha=0.5,c=0.1"),
]
MORE = [*SHAPES, *CUT, *MIXED, *FAMILIES, *NORMED, *PENALTIES, *TRUSTS, *REMEMBERED]
SPECS = [*METHODS, *GRID, *SHARES, *DETACHED, *MORE]
"""Every registered method at its defaults, and more settings of those that ship with the library."""


def fact(spec: str, name: str) -> Any:
    """Return a fact of a spec's method, such as its role."""
    return getattr(METHODS.parse(spec).entry.facts, name)


def specs_of(*roles: str, among: list[str] = SPECS) -> list[str]:
    """Return the specs whose methods have one of these roles."""
    return [spec for spec in among if fact(spec, "role") in roles]


IN_P_ALONE = [spec for spec in SPECS if fact(spec, "formula")]
"""Losses and weightings with a formula: functions of p_y only."""
ALONE = [spec for spec in SPECS if not fact(spec, "knows_batch")]
"""Methods whose loss of an example does not depend on the other examples of its batch."""


def recalled_for(spec: str, logits: torch.Tensor, seed: int = 0) -> torch.Tensor | None:
    """Return random values of the kind that the memory of ``spec`` recalls for these examples; None without memory."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(logits.shape, generator=generator, dtype=torch.float64).to(logits.dtype)
    recalled = {
        "elr": 0.9 * torch.softmax(noise, 1),
        "joint": torch.softmax(noise, 1),
        "kd": 3 * noise,
        "adaptive": torch.tensor(0.7, dtype=logits.dtype),
    }
    return recalled.get(METHODS.parse(spec).name)


def smoke(**changes: object) -> RunConfig:
    """Return the smoke profile's configuration on the processor, with ``changes``."""
    return RunConfig(**{"model": "resnet8", "epochs": 2, "device": "cpu", **changes})


def noise_spec(name: str, rate: float = 0.4) -> str:
    """Return a spec of a registered noise, with its rate if it has one."""
    return f"{name}:rate={rate}" if "rate" in NOISES.entry(name).knobs.model_fields else name


def knob_ends(entry: Entry) -> list[dict[str, float]]:
    """Return settings with one knob at an end of its range: the last value inside if the range is open."""
    settings: list[dict[str, float]] = []
    for name, info in entry.knobs.model_fields.items():
        for limit in info.metadata:
            ends = {"ge": 0.0, "le": 0.0, "gt": math.inf, "lt": -math.inf}
            for bound_name, towards in ends.items():
                if (bound := getattr(limit, bound_name, None)) is not None:
                    settings.append({name: math.nextafter(bound, towards) if towards else info.annotation(bound)})
            if getattr(limit, "allow_inf_nan", False):
                settings.append({name: -math.inf})
    return settings


def random_batch(
    seed: int, count: int = 64, classes: int = 10, scale: float = 3.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float64 logits [count, classes] and labels [count], the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(count, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (count,), generator=generator)


def extreme_batch(dtype: torch.dtype = torch.float64, size: float = 80.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits with entries of +-size, so that p_y is almost 0, almost 1, and everything between."""
    steps = torch.linspace(-size, size, 41, dtype=torch.float64)
    one = torch.zeros(41, 5, dtype=torch.float64)
    one[:, 0] = steps
    against = torch.stack([steps, -steps, steps / 2, -steps / 2, torch.zeros_like(steps)], dim=1)
    corners = size * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 5)
    logits = torch.cat([one, against, corners]).to(dtype)
    return logits, torch.arange(len(logits)) % 2


def one_sentence(error: BaseException, *words: str) -> str:
    """Check that a refusal is one sentence that contains ``words``, and return it."""
    message = str(error)
    assert message
    assert "\n" not in message
    assert not message.rstrip(".").count(". ")
    missing = [word for word in words if word not in message]
    assert not missing, f"{message!r} does not say {missing}"
    return message
