"""All methods in one table, and the claims of the talk as comparisons that rows decide.

A claim is that one method lies above others in something that rows measure. It is asked seed by seed, since runs of
one seed share their noise, and judged as every claim of the report is (:mod:`robustdl_lib.report.verdicts`). Nothing here is
trained: what a shelf lacks is left out, and said.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robustdl_lib.registry import METHODS, Spec
from robustdl_lib.report import verdicts
from robustdl_lib.report.claims import measures
from robustdl_lib.runs import sweeps
from robustdl_lib.theory import gradients

LATE = 0.75
"""The share of training done at which a method is described that looks at the time."""
KEPT = {
    "EarlyLearning": ("predictions, averaged", "q", True),
    "SoftLabels": ("corrected labels", "the kept labels", True),
    "Teacher": ("a trained teacher", "q, and the teacher's", True),
    "Shape": ("a learned number", "q", False),
}
"""By a memory's class: what it keeps from step to step, what the target is then, whether that turns the direction."""
NOTHING = ("nothing", "q", False)
OUTCOMES = ("last", "sd", "oracle", "selected", "fit_wrong", "corrected")


@dataclass(frozen=True)
class Claim:
    """What the talk says, as an inequality: ``first`` lies above each of ``others``, by ``sign`` = -1 below.

    first: (method's name, measurement of :func:`robustdl_lib.report.claims.measures`); others: such pairs. ``where`` names the
    rows: here, or a noise of :data:`robustdl_lib.studies.sweeps.WORKED_NOISES`, or human.
    """

    slide: str
    words: str
    first: tuple[str, str]
    others: tuple[tuple[str, str], ...]
    sign: int = 1
    where: str = "here"


def _each(column: str, *names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, column) for name in names)


FOUR = ("cce", "ls", "cp", "boot_soft")
CLAIMS = (
    Claim("11", "CCE comes to believe wrong labels more than DM does", ("cce", "p_wrong"), _each("p_wrong", "dm")),
    Claim("11", "CCE loses more from its best epoch to its last than DM", ("cce", "lost"), _each("lost", "dm")),
    Claim("11", "DM ends above CCE on the test set", ("dm", "last"), _each("last", "cce")),
    Claim("16", "a loss may be non-symmetric: GCE ends above MAE", ("gce", "last"), _each("last", "mae")),
    Claim("16", "a loss may be unbounded: SCE ends above MAE", ("sce", "last"), _each("last", "mae")),
    Claim("16", "no loss is needed: DM ends above GCE and MSE", ("dm", "last"), _each("last", "gce", "mse")),
    Claim("23", "wrong labels have a lower p_y than clean ones", ("cce", "p_clean"), _each("p_wrong", "cce")),
    Claim("33", "LS penalises low entropy", ("ls", "entropy_clean"), _each("entropy_clean", "cce")),
    Claim("33", "CP penalises low entropy", ("cp", "entropy_clean"), _each("entropy_clean", "cce")),
    Claim("33", "Boot-soft rewards low entropy", ("boot_soft", "entropy_clean"), _each("entropy_clean", "cce"), -1),
    Claim("33", "ProSelfLC rewards low entropy", ("proselflc", "entropy_clean"), _each("entropy_clean", "cce"), -1),
    Claim("33", "rewarding beats penalising: Boot-soft above LS, CP", ("boot_soft", "last"), _each("last", "ls", "cp")),
    Claim(
        "36", "ProSelfLC fits fewer clean labels than CCE", ("proselflc", "clean_acc"), _each("clean_acc", "cce"), -1
    ),
    Claim(
        "36", "ProSelfLC fits the fewest wrong of the five", ("proselflc", "fit_wrong"), _each("fit_wrong", *FOUR), -1
    ),
    Claim("37", "ProSelfLC corrects the most of the five", ("proselflc", "corrected"), _each("corrected", *FOUR)),
    Claim("37", "ProSelfLC ends best of the five", ("proselflc", "last"), _each("last", *FOUR)),
    Claim("38", "ProSelfLC ends surest of the five", ("proselflc", "entropy_wrong"), _each("entropy_wrong", *FOUR), -1),
    *(
        claim
        for where in ("asymmetric", "instance", "human")
        for claim in (
            Claim("11", "DM ends above CCE", ("dm", "last"), _each("last", "cce"), where=where),
            Claim("36", "ProSelfLC fits fewer wrong", ("proselflc", "fit_wrong"), _each("fit_wrong", "cce"), -1, where),
            Claim("37", "ProSelfLC ends above CCE", ("proselflc", "last"), _each("last", "cce"), where=where),
        )
    ),
)
"""Those of slides 36 to 38 are of CIFAR-100 with asymmetric noise; here they are asked of the rows at hand."""


def held(name: str, profile: str = "quick", *, shelf: str = "reference", **setting: Any) -> pd.DataFrame:
    """Return the rows of those runs of a sweep that a shelf holds; nothing is trained, and there may be none.

    Raises SpecError for an unknown sweep and ConfigError for a bad setting.
    """
    chosen = sweeps.Setting(profile=profile, **setting)
    return sweeps.rows(sweeps.found(sweeps.plan(name, chosen), sweeps.shelves(name, chosen.home, shelf)))


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
        keeps, target, turns = KEPT.get(memory.__name__, ("a memory", "q", True)) if memory else NOTHING
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


def outcomes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a method, best ``last`` first: columns :data:`OUTCOMES` in per cent, mean over seeds.

    sd is the standard deviation of ``last`` over seeds, NaN for one. rows: run rows of one noise.
    """
    groups = measures(rows).groupby("method", sort=False)
    table = groups[["last", "oracle", "selected", "fit_wrong", "corrected"]].mean()
    table.insert(1, "sd", groups["last"].std())
    return table.sort_values("last", ascending=False)


def judged(rows: Mapping[str, pd.DataFrame], claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Return a row a claim: columns slide, claim, rows, by, seeds, verdict.

    rows: run rows by the words of :attr:`Claim.where`. ``by`` is the margin in points to the nearest other, mean over
    seeds; the verdict is that of :func:`verdict`.
    """
    known = {where: measures(frame) for where, frame in rows.items()}
    found = []
    for claim in claims:
        by = margins(known.get(claim.where, pd.DataFrame()), claim)
        least = by.mean().min() if len(by) else math.nan
        said = {"slide": claim.slide, "claim": claim.words, "rows": claim.where, "by": least, "seeds": len(by)}
        found.append(said | {"verdict": verdict(by)})
    return pd.DataFrame(found)


def margins(table: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return a row a seed and a column an other method: by how many points the claim holds, negative where it fails.

    table: :func:`measures` of one noise. Empty where the first method or one of the others is not in it.
    """
    first = _by_seed(table, *claim.first)
    lines = {f"{name} {column}": _by_seed(table, name, column) for name, column in claim.others}
    if not len(first) or not all(len(line) for line in lines.values()):
        return pd.DataFrame()
    return pd.DataFrame({words: claim.sign * (first - line) for words, line in lines.items()}).dropna()


def verdict(by: pd.DataFrame) -> str:
    """Return one of the words of :mod:`robustdl_lib.report.verdicts` from the margins of a claim, a column an other method.

    It holds where the first method lies beyond each other by more than the seeds' spread, and does not hold where one
    of the others lies beyond it by more than that; one seed is only called so, and without rows there is no run yet.
    """
    words = [verdicts.of_claim(list(by[name])) for name in by] or [verdicts.NO_RUN]
    return verdicts.FAILS if verdicts.FAILS in words else words[0] if len(set(words)) == 1 else verdicts.UNSURE


def _by_seed(table: pd.DataFrame, name: str, column: str) -> pd.Series:
    """Return a measurement of the first spec of a method, indexed by seed; empty where there is none."""
    if not len(table):
        return pd.Series(dtype=float)
    specs = [spec for spec in dict.fromkeys(table["method"]) if METHODS.parse(spec).name == name]
    mine = table[table["method"] == specs[0]] if specs else table.iloc[:0]
    return mine.set_index("seed")[column].dropna()


def _answer(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "-"}[value]
