"""The same lens in symbols: from a loss to its derivative, its weight and its emphasis mode, by sympy.

p stands for p_y. With z the logits and q the one-hot label, dp_y/dz = p_y (q - p), so dL/dz = p_y |L'| (p - q)
and its L1 norm is w = 2 p_y (1 - p_y) |L'(p_y)|. A method that is no function of p_y alone is written ``whole``, over
vectors: S(...) sums over the classes; :func:`logit_gradient` differentiates that for any number of classes.
"""

from typing import Any

import sympy as sp

from robustdl_lib.registry import METHODS, Spec, SpecError

p = sp.Symbol("p", positive=True)
S = sp.Function("S")
VECTORS = ("p", "q", "p_T", "t", "m", "r")
"""Probabilities, target, probabilities at temperature T, what is recalled, onehot(argmax p), what is mixed in."""


def knob(name: str, *, positive: bool = True) -> sp.Symbol:
    """Return the symbol of a knob: positive, or only real for one that takes negative values."""
    return sp.Symbol(name, positive=True) if positive else sp.Symbol(name, real=True)


def formula(method: str, *, values: bool = False) -> sp.Expr:
    """Return the registered formula: L(p) of a loss, w(p) of a weighting; knobs as symbols, or as numbers.

    Raises SpecError for a method without a formula in p_y alone.
    """
    spec = METHODS.parse(method)
    if not spec.entry.facts.formula:
        raise SpecError(f"method {spec.name!r} has no formula in p_y alone, its role is {spec.entry.facts.role}")
    expression = sp.sympify(spec.entry.facts.formula, locals={"p": p, **_knobs(spec)})
    return expression.subs(_numbers(spec)) if values else expression


def slope(method: str, *, values: bool = False) -> sp.Expr:
    """Return |L'(p)| = -L'(p) of a loss that falls with p. Source: Talk, eq. 2. Raises SpecError for a weighting."""
    if METHODS.parse(method).entry.facts.role == "weight":
        raise SpecError(f"method {method!r} has no loss to differentiate: it states its weight")
    return _tidy(-sp.diff(formula(method, values=values), p))


def weight(method: str, *, values: bool = False) -> sp.Expr:
    """Return w(p) = 2 p (1 - p) |L'(p)| of a loss, or the formula of a weighting. Source: Talk, eq. 3 and 4."""
    if METHODS.parse(method).entry.facts.role == "weight":
        return formula(method, values=values)
    return 2 * (1 - p) * _tidy(p * slope(method, values=values))


def mode(method: str, *, values: bool = False) -> sp.Expr:
    """Return psi = argmax w(p): where d log w / dp vanishes inside (0, 1), else 0; nan for a flat w.

    For a weight that is 0 up to a threshold it is the larger of the threshold and the mode of the rest.
    Source: Talk, eq. 3 and 4. Raises SpecError where the root has no closed form.
    """
    found = sp.piecewise_fold(weight(method, values=values))
    threshold = sp.Integer(0)
    if isinstance(found, sp.Piecewise):
        threshold, found = _truncated(method, found)
    if not found.has(p):
        return sp.nan
    return sp.simplify(sp.Max(threshold, _peak(method, found))) if threshold else _peak(method, found)


def derivation(method: str) -> list[tuple[str, sp.Expr]]:
    """Return the steps from a loss, or from a stated weight, to the emphasis mode, as (words, expression).

    The steps of a loss: L, L', the factor p |L'| of (p - q) in dL/dz, w, d log w / dp and psi; the last is left out
    where it has no closed form. Source: Talk, eq. 1 to 4. Raises SpecError as :func:`formula`.
    """
    steps: list[tuple[str, sp.Expr]] = []
    if METHODS.parse(method).entry.facts.role != "weight":
        steps = [("loss L(p)", formula(method)), ("derivative dL/dp", -slope(method))]
        steps += [("factor of (p - q) in dL/dz", _tidy(p * slope(method)))]
    found = weight(method)
    steps += [("weight w(p)", found)] + ([] if found.has(sp.Piecewise) else [("d log w / dp", _stationary(found))])
    try:
        return [*steps, ("emphasis mode psi", mode(method))]
    except SpecError:
        return steps


def whole(method: str) -> sp.Expr:
    """Return the loss over vectors: S(...) sums over the classes; a loss of p_y alone has p_y = S(q p).

    The symbols are those of :data:`VECTORS`, the knobs, C, and e, the trust. Raises SpecError where there is none.
    """
    spec = METHODS.parse(method)
    vectors = {name: sp.Symbol(name) for name in VECTORS}
    plain = all(spec.values[name] == value for name, value in spec.entry.facts.whole_for.items())
    if (text := spec.entry.facts.whole) and plain:
        return sp.sympify(text, locals={**vectors, "S": S, "C": knob("C"), "e": knob("e"), **_knobs(spec)})
    if spec.entry.facts.role == "loss" and spec.entry.facts.formula:
        return formula(method).subs(p, S(vectors["q"] * vectors["p"]))
    raise SpecError(f"method {str(spec)!r} has no loss in symbols")


def elements(classes: int) -> dict[str, list[sp.Symbol]]:
    """Return the symbols that stand for each vector of :data:`VECTORS`, one a class."""
    return {name: [sp.Symbol(f"{name}{j + 1}", positive=True) for j in range(classes)] for name in VECTORS}


def logit_gradient(method: str, classes: int = 3) -> list[sp.Expr]:
    """Return dL/dz_k, k = 1 ... C, in the symbols of :func:`elements`, the knobs and the trust e.

    By the chain rule dp_i/dz_k = p_i (delta_ik - p_k), and 1/T times that for p_T. What the target takes in, r, is
    p_T (p without a temperature) and flows, unless the spec says ``detach``. Raises SpecError as :func:`whole`.
    """
    spec, vectors = METHODS.parse(method), elements(classes)
    source = "p_T" if "T" in spec.values else "p"
    mixed = dict(zip(vectors["r"], vectors[source], strict=True))
    loss = _summed(whole(method), vectors).subs(knob("C"), classes)
    if not spec.values.get("detach"):
        loss = loss.subs(mixed)
    gradient = []
    for k in range(classes):
        flows = _flow(loss, vectors["p"], k) + _flow(loss, vectors["p_T"], k) / knob("T")
        gradient.append(flows.subs(mixed))
    return gradient


def _tidy(expression: sp.Expr) -> sp.Expr:
    return sp.expand_log(sp.powsimp(sp.simplify(expression)), force=True)  # b log(c), not log(c**b)


def _summed(expression: sp.Expr, vectors: dict[str, list[sp.Symbol]]) -> sp.Expr:
    """Write each S(...) as a sum over the classes."""

    def add(inside: sp.Expr) -> sp.Expr:
        classes = range(len(vectors["p"]))
        return sum(inside.subs({sp.Symbol(name): parts[j] for name, parts in vectors.items()}) for j in classes)

    return expression.replace(S, add)


def _flow(loss: sp.Expr, probs: list[sp.Symbol], k: int) -> sp.Expr:
    return sum(sp.diff(loss, p_i) * p_i * (int(i == k) - probs[k]) for i, p_i in enumerate(probs))


def _truncated(method: str, found: sp.Piecewise) -> tuple[sp.Expr, sp.Expr]:
    """Return the threshold up to which the weight is 0, and the weight beyond it."""
    below, condition = found.args[0]
    if len(found.args) != 2 or below != 0 or p not in condition.args:
        raise _no_closed_form(method)
    return (condition.rhs if condition.lhs == p else condition.lhs), found.args[1][0]


def _stationary(found: sp.Expr) -> sp.Expr:
    return sp.together(_tidy(sp.diff(sp.expand_log(sp.log(found)), p)))


def _peak(method: str, found: sp.Expr) -> sp.Expr:
    numerator = sp.numer(_stationary(found))
    if found.free_symbols == {p} and numerator.is_polynomial(p):
        return _numeric_peak(found, numerator)
    if numerator.is_polynomial(p) and sp.degree(numerator, p) > 2:
        raise _no_closed_form(method)
    try:
        roots = [root for root in sp.solve(numerator, p) if root != 1 and root.is_positive is not False]
        roots.sort(key=lambda root: not root.is_positive)  # first those that are surely inside
    except NotImplementedError:
        raise _no_closed_form(method) from None
    if not roots:
        return sp.Integer(0)
    peak = sp.simplify(roots[0])
    return peak if peak.is_positive else sp.Max(0, peak)


def _numeric_peak(found: sp.Expr, numerator: sp.Expr) -> sp.Expr:
    """Return where a weight without symbols is largest: a root of its derivative inside (0, 1), or an end."""
    linear = sp.degree(numerator, p) < 2  # with coefficients that need not be rational
    roots = sp.solve(numerator, p) if linear else sp.Poly(numerator, p).real_roots()
    candidates = [sp.Integer(0), sp.Integer(1), *(root for root in dict.fromkeys(roots) if 0 < root < 1)]
    heights = {
        at: sp.limit(found, p, at, "-" if at == 1 else "+") if at in (0, 1) else found.subs(p, at) for at in candidates
    }
    return max(candidates, key=lambda at: float(heights[at]))


def _no_closed_form(method: str) -> SpecError:
    return SpecError(f"the emphasis mode of {method!r} has no closed form, use gradients.emphasis_mode")


def _knobs(spec: Spec) -> dict[str, sp.Symbol]:
    """Return a symbol for each knob that is a number, real where it may be negative."""
    numbers = {name: value for name, value in spec.values.items() if isinstance(value, int | float)}
    return {name: knob(name, positive=_positive(spec, name)) for name in numbers}


def _positive(spec: Spec, name: str) -> bool:
    limits = [getattr(limit, word, None) for limit in _limits(spec, name) for word in ("ge", "gt")]
    return any(limit is not None and limit >= 0 for limit in limits) or not limits


def _limits(spec: Spec, name: str) -> list[Any]:
    return spec.entry.knobs.model_fields[name].metadata


def _numbers(spec: Spec) -> dict[sp.Symbol, sp.Expr]:
    symbols = _knobs(spec)
    return {symbol: sp.nsimplify(spec.values[name]) for name, symbol in symbols.items()}
