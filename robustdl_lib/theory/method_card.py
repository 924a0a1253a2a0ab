"""One method under the lens: what it is, what it does to the gradient, and how it compares with all the others.

A method is a spec such as ``"gce:q=0.7"``, or a function in a file of one's own, ``path/to/my_loss.py:my_loss``.
"""

import math
import re
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch

from robustdl_lib.registry import METHODS, MethodFacts, Spec, SpecError
from robustdl_lib.theory import gradients

LATE = 0.75
"""The share of training done at which a method is shown that looks at the time."""

NOTHING = ("nothing", "q", False)
"""What a method without a memory keeps, its target, and whether the memory turns the direction."""
TABLE = ("method", "role", "formula", "psi", "sigma", "off", "bounded", "symmetric", "left", "source")


def method(text: str, num_classes: int = 3) -> str:
    """Return the canonical spec that ``text`` means: a spec, or ``path/to/file.py:function[:knob=value]``.

    A function (logits [N, C], target [N, C]) -> [N] from a file is registered under its own name (after the file's
    where that is taken), so that tables and figures know it, and tried on ``num_classes`` classes. Raises SpecError,
    in one sentence, for an unknown spec, a file or function that is not there, a file that fails and a function that
    is no loss.
    """
    path, suffix, name = text.partition(".py:")
    if not suffix:
        return str(METHODS.parse(text))
    name, colon, knobs = name.partition(":")
    before = dict(METHODS.entries)
    file = Path(path).name
    _forget(file, name)
    try:
        entered = _enter(_function(Path(f"{path}.py"), name), file, name)
        spec = str(METHODS.parse(f"{entered}{colon}{knobs}"))
        _try(spec, text, num_classes)
    except SpecError:
        METHODS.entries.clear()
        METHODS.entries.update(before)
        raise
    return spec


def facts(spec: str, *, num_classes: int = 10, progress: float = LATE) -> pd.DataFrame:
    """Return what there is to know of a method as rows of text: columns quantity, value, meaning.

    num_classes >= 2, progress t/T in [0, 1]. Raises SpecError on a bad spec.
    """
    context: dict[str, Any] = {"num_classes": num_classes, "progress": progress}
    family, robust = gradients.family(spec, **context), gradients.robustness(spec, **context)
    parsed = METHODS.parse(spec)
    density = gradients.emphasis_density(spec, **context)
    below = density[density["p"] <= 0.5]
    half = float(np.trapezoid(below["density"], below["p"]))
    found = [
        ("role", parsed.entry.facts.role, "what it replaces: the loss, the weight or the target"),
        *_formulas(parsed),
        ("emphasis mode psi", _number(gradients.emphasis_mode(spec, **context)), "the p_y with the largest weight"),
        ("emphasis variance", _number(gradients.emphasis_variance(spec, **context)), "of the weights, p_y uniform"),
        ("emphasis below 1/2", _share(half, 0), "share that goes to examples with p_y < 1/2"),
        ("weight at p_y = 0", _share(robust.left_at_zero, 2), "of the largest weight: what contradicted labels keep"),
        ("in the family w(p)(p - q)", _answer(family.member), "a pure weighting: it never turns the direction"),
        ("off the family by", _share(family.distance), "of its L1 norm, over random predictions; may exceed 100 %"),
        ("bounded", _answer(robust.bounded), _least(robust)),
        ("symmetric", _answer(robust.symmetric), "sum over the labels constant: tolerates symmetric noise"),
        (
            "gross-error sensitivity",
            _number(robust.sensitivity),
            "largest |psi(x)| of a residual x = 1 - p_y",
        ),
        ("redescending", _answer(robust.redescending), "no influence left at x = 1"),
    ]
    return pd.DataFrame(found, columns=["quantity", "value", "meaning"])


def table(*, num_classes: int = 10, progress: float = LATE) -> pd.DataFrame:
    """Return a row a registered method at its defaults, as text: columns :data:`TABLE`.

    ``off`` is the distance from the family w(p_y) (p - q), as :class:`robustdl_lib.theory.gradients.Family` has it;
    ``left`` the share of the largest weight that p_y = 0 keeps.
    """
    context: dict[str, Any] = {"num_classes": num_classes, "progress": progress}
    rows = []
    for name, entry in METHODS.entries.items():
        robust = gradients.robustness(name, **context)
        rows.append(
            {
                "method": str(METHODS.parse(name)),
                "role": entry.facts.role,
                "formula": _short(entry.facts),
                "psi": _number(gradients.emphasis_mode(name, **context)),
                "sigma": _number(gradients.emphasis_variance(name, **context)),
                "off": _share(gradients.family(name, **context).distance),
                "bounded": _answer(robust.bounded),
                "symmetric": _answer(robust.symmetric),
                "left": _share(robust.left_at_zero),
                "source": entry.source,
            }
        )
    return pd.DataFrame(rows, columns=TABLE)


def traits(specs: Sequence[str], *, num_classes: int = 10, progress: float = LATE) -> pd.DataFrame:
    """Return what each method is, a row a spec: columns method, target, acts on, psi, keeps, symmetric, bounded.

    target: what takes the place of the label q; ``acts on``: the magnitude alone, or the direction too; psi: the
    emphasis mode; keeps: its memory. A weighting has no loss, so neither bounded nor symmetric is asked of it (-).
    Raises SpecError on a bad spec.
    """
    rows: list[dict[str, Any]] = []
    context: dict[str, Any] = {"num_classes": num_classes, "progress": progress}
    for spec in map(METHODS.parse, specs):
        robust, member = gradients.robustness(str(spec), **context), gradients.family(str(spec), **context).member
        memory = spec.entry.facts.memory
        keeps, target, turns = getattr(memory, "described", ("a memory", "q", True)) if memory else NOTHING
        rows.append(
            {
                "method": spec.label,
                "target": target if memory else target_words(spec),
                "acts on": "magnitude" if member and not turns else "direction too",
                "psi": round(gradients.emphasis_mode(str(spec), **context), 2),
                "keeps": keeps,
                "symmetric": _answer(robust.symmetric),
                "bounded": _answer(robust.bounded),
            }
        )
    return pd.DataFrame(rows, index=list(specs))


def target_words(spec: Spec) -> str:
    """Return the target that takes the place of q, from the registered loss in symbols; q where that says none."""
    facts = spec.entry.facts
    found = re.fullmatch(r"-S\(\((.+)\) \* log\(p\)\)", str(facts.whole))
    return found.group(1) if found and facts.role == "target" else "q"


def lens_rows(spec: str = "gce", *, num_classes: int = 10, progress: float = LATE) -> pd.DataFrame:
    """Return loss, influence, weight and emphasis density of a method and of CCE: columns method, panel, p, value."""
    context: dict[str, Any] = {"num_classes": num_classes, "progress": progress}
    points = [k / 400 for k in range(401)]
    parts = []
    for one in dict.fromkeys([spec, "cce"]):
        drawn = {
            "loss": gradients.loss_curve(one, points, **context)["loss"],
            "influence": gradients.influence(one, [1 - p for p in points], **context)["psi"],
            "weight": gradients.weight_curve(one, points, **context)["weight"],
            "density": gradients.emphasis_density(one, points, **context)["density"],
        }
        parts += [pd.DataFrame({"method": one, "panel": n, "p": points, "value": v}) for n, v in drawn.items()]
    return pd.concat(parts, ignore_index=True)


def atlas_rows(progress: float = LATE) -> pd.DataFrame:
    """Return the emphasis density of every registered method at its defaults: columns method, p, density, mode.

    A method that looks at the time is seen at ``progress``; one that remembers, without a memory.
    """
    points = [k / 200 for k in range(201)]
    parts = []
    for name in METHODS:
        density = gradients.emphasis_density(name, points, progress=progress)
        parts.append(density.assign(method=name, mode=gradients.emphasis_mode(name, progress=progress)))
    return pd.concat(parts, ignore_index=True)[["method", "p", "density", "mode"]]


def _function(path: Path, name: str) -> Callable[..., Any]:
    if not path.is_file():
        raise SpecError(f"there is no file {path}")
    loader = SourceFileLoader(path.stem, str(path))
    module = ModuleType(path.stem)
    try:
        loader.exec_module(module)
    except Exception as error:
        raise SpecError(f"{path} fails when it is read: {_said(error)}") from error
    found = getattr(module, name, None)
    if not callable(found):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise SpecError(f"{path} has no function {name!r}, found {', '.join(own) or 'none'}")
    return found


def _forget(file: str, name: str) -> None:
    """Take out what an earlier reading of a file entered and this one enters again: it may have been edited since."""
    for known, entry in list(METHODS.entries.items()):
        given = entry.source == f"{file}.py"
        registers = not given and getattr(entry.function, "__module__", "") == file
        if registers or (given and known in (name, f"{file}.{name}")):
            del METHODS.entries[known]


def _enter(function: Callable[..., Any], file: str, name: str) -> str:
    """Register a function of one's own, unless its file did so, and return the name under which it is known."""
    inner = getattr(function, "__wrapped__", function)
    for known, entry in METHODS.entries.items():
        if entry.function in (function, inner):
            return known
    name = name if name not in METHODS else f"{file}.{name}"
    METHODS.register(name, label=name, source=f"{file}.py", role="loss")(function)
    return name


def _try(spec: str, text: str, num_classes: int) -> None:
    logits = torch.randn(4, num_classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    try:
        gradients.logit_gradient(spec, logits, torch.tensor([0, 1, num_classes - 1, 0]))
    except ValueError as error:
        raise SpecError(f"{text} is no loss: {error}") from error
    except Exception as error:
        raise SpecError(f"{text} fails as a loss (logits [N, C], target [N, C]) -> [N]: {_said(error)}") from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"


def _formulas(spec: Spec) -> list[tuple[str, str, str]]:
    """Return the registered formula as a row, where there is one."""
    facts = spec.entry.facts
    if not facts.formula:
        return [("loss", facts.whole, "S sums over the classes")] if facts.whole else []
    return [("weight w(p)" if facts.role == "weight" else "loss L(p)", _short(facts), "p stands for p_y")]


def _short(facts: MethodFacts) -> str:
    """Return what the registry says of the loss or weight, in one line."""
    return str(facts.says or facts.formula or facts.whole or "")


def _least(robust: gradients.Robustness) -> str:
    if robust.supremum is None:
        return "a weighting has no loss"
    return "no upper limit" if math.isinf(robust.supremum) else f"the loss is at most {robust.supremum:.4g}"


def _answer(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "-"}[value]


def _share(value: float, digits: int = 1) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}%}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else "unbounded" if math.isinf(value) else f"{value:.4g}"
