"""The same lens in symbols: from the formula of a loss L(p) to its weight and emphasis mode, by sympy.

p stands for p_y. With z the logits and q the one-hot label, dp_y/dz = p_y (q - p), so dL/dz = p_y |L'| (p - q)
and its L1 norm is w = 2 p_y (1 - p_y) |L'(p_y)|.
"""

import sympy as sp

from robustdl_lib.registry import METHODS, Spec, SpecError

p = sp.Symbol("p", positive=True)


def knob(name: str) -> sp.Symbol:
    """Return the symbol of a knob; all of them are positive."""
    return sp.Symbol(name, positive=True)


def formula(method: str, *, values: bool = False) -> sp.Expr:
    """Return the registered formula: L(p) of a loss, w(p) of a weighting; knobs as symbols, or as numbers.

    Raises SpecError for a method without a formula in p_y alone (a target).
    """
    spec = METHODS.parse(method)
    if "formula" not in spec.entry.meta:
        raise SpecError(f"method {spec.name!r} has no formula in p_y alone, its role is {spec.entry.meta['role']}")
    names = {name: knob(name) for name in spec.entry.defaults()}
    expression = sp.sympify(spec.entry.meta["formula"], locals={"p": p, **names})
    return expression.subs(_numbers(spec)) if values else expression


def slope(method: str, *, values: bool = False) -> sp.Expr:
    """Return |L'(p)| = -L'(p) of a loss that falls with p. Source: Talk, eq. 2. Raises SpecError for a weighting."""
    if METHODS.parse(method).entry.meta["role"] == "weight":
        raise SpecError(f"method {method!r} has no loss to differentiate: it states its weight")
    return sp.simplify(-sp.diff(formula(method, values=values), p))


def weight(method: str, *, values: bool = False) -> sp.Expr:
    """Return w(p) = 2 p (1 - p) |L'(p)| of a loss, or the formula of a weighting. Source: Talk, eq. 3 and 4."""
    if METHODS.parse(method).entry.meta["role"] == "weight":
        return formula(method, values=values)
    return 2 * (1 - p) * sp.powsimp(sp.simplify(p * slope(method, values=values)))


def mode(method: str, *, values: bool = False) -> sp.Expr:
    """Return psi = argmax w(p): where d log w / dp vanishes inside (0, 1), else 0; nan for a flat w.

    Source: Talk, eq. 3 and 4. Raises SpecError where the root has no closed form.
    """
    if not weight(method, values=values).has(p):
        return sp.nan
    stationary = sp.together(sp.simplify(sp.diff(sp.expand_log(sp.log(weight(method, values=values))), p)))
    try:
        roots = [root for root in sp.solve(sp.numer(stationary), p) if root.is_positive and root != 1]
    except NotImplementedError:
        raise SpecError(f"the emphasis mode of {method!r} has no closed form, use gradients.emphasis_mode") from None
    return sp.simplify(roots[0]) if roots else sp.Integer(0)


def _numbers(spec: Spec) -> dict[sp.Symbol, sp.Expr]:
    return {knob(name): sp.nsimplify(value) for name, value in spec.values.items()}
