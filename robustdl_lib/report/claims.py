"""Claims of the talk and its papers that rows can test: which quantity of which method exceeds which, and by how much.

The claims are rows of ``claims.csv``. Each is a number for each seed that should be more than ``least``: a quantity of
the method ``first``, minus that of ``second`` if there is one. Both share the seed's noise, order and split, so they
are subtracted seed by seed. Published numbers are of the papers' data and networks: elsewhere compare signs, not sizes.
Claims with a ``slide`` are those of notebook 12; claims with ``report`` are in the report.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from robustdl_lib import paths
from robustdl_lib.config import PAPER, PROTOCOLS, ConfigError, profile_config
from robustdl_lib.registry import DATASETS, METHODS, NOISES, first_error
from robustdl_lib.report import published, summary, verdicts
from robustdl_lib.runs import store
from robustdl_lib.theory import gradients

FILE = Path(__file__).parent / "claims.csv"
SETTINGS = ("dm:beta=12,lam=0.5", "ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5")
"""The knobs of those methods that are not tested at their defaults: what the figures show."""
SETTINGS_OF = {"cifar100": ("cp:eps=0.5", "proselflc:B=8")}
"""Those that are others on a data set."""
RATES = ("noise_rates", "noise_rates_judged")
"""The sweeps over noise rates: of the first seed every DM, of the others the best beta of each lambda."""
LARGEST = "symmetric:0.8"
"""The largest rate of those sweeps."""
WHERE = {"symmetric": "here"}
PLACES = ("here", "asymmetric", "instance", "human")
"""The rows that notebook 12 asks: of the setting's own noise, of three others by their names."""
RISE = "mode_rise"
"""The quantity of a claim about a sweep over noise rates, which :func:`rising` tests."""
APART = {"noise", "method", "seed", "noise_seed", "device"}
"""Fields in which the runs of one profile may differ and still be told of together; both seeds are one number."""
Quantity = Literal[
    "last",
    "lost",
    "late",
    "mode_rise",
    "p_wrong",
    "p_y_gap",
    "clean_acc",
    "fit_wrong",
    "corrected",
    "entropy_clean",
    "entropy_wrong",
]


class Claim(BaseModel):
    """One claim: what should be more than ``least``, under which noise, who says so, and the published numbers.

    ``first`` or ``second`` may name several methods, separated by spaces: then each pair is compared.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("own", min_length=1)
    group: str = Field("own", min_length=1)
    words: str = Field(min_length=1)
    source: str = Field("own", min_length=1)
    quantity: Quantity
    first: str
    second: str = ""
    noise: str = "symmetric:0.4"
    least: float = 0.0
    published: str = ""
    published_second: str = ""
    note: str = ""
    slide: str = ""
    report: bool = True

    @model_validator(mode="after")
    def _is_known(self) -> "Claim":
        NOISES.parse(self.noise)
        for method in (*self.first.split(), *self.second.split()):
            METHODS.parse(method)
        for number in filter(None, (self.published, self.published_second)):
            published.value(number)
        return self

    def values(self, runs: pd.DataFrame, dataset: str) -> list[float]:
        """Return the claim's quantity, one a seed, from rows of :func:`measures`; none where a method is missing."""
        runs = runs[(runs["dataset"] == dataset) & (runs["noise"] == self.noise)]
        first = _by_seed(runs, setting(self.first, dataset), self.quantity)
        less = _by_seed(runs, setting(self.second, dataset), self.quantity) if self.second else 0.0
        return [float(value) for value in (first - less).dropna()]

    def dataset(self, profile: str) -> str | None:
        """Return the data set that a profile tests the claim on, or None where it does not.

        That is the profile's own, if it can have this noise. The profiles of the papers test a claim where its numbers
        were published, and not under another noise.
        """
        own = profile_config(profile).dataset
        if profile in PAPER and self.published:
            number = published.read().set_index("id").loc[self.published]
            return str(number["dataset"]) if NOISES.parse(number["noise"]) == NOISES.parse(self.noise) else None
        return own if _has(own, self.noise) else None

    @property
    def where(self) -> str:
        """The name under which notebook 12 has the rows of the claim's noise."""
        name = NOISES.parse(self.noise).name
        return WHERE.get(name, name)

    def claimed(self) -> float:
        """Return the published difference in points; NaN where it was not published as numbers."""
        return _points(self.published) - (_points(self.published_second) if self.published_second else 0.0)


def read(path: Path = FILE) -> list[Claim]:
    """Return the claims of a file, by default the project's own, in their order.

    Raises ConfigError, in one sentence, for a claim that cannot be used and for a name that stands twice.
    """
    found: dict[str, Claim] = {}
    for line, row in enumerate(pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records"), start=2):
        try:
            claim = Claim(**{str(name): text for name, text in row.items()})
        except ValidationError as error:
            raise ConfigError(f"{path.name}, line {line}: {first_error(error, Claim)}") from None
        if claim.name in found:
            raise ConfigError(f"{path.name}, line {line}: {claim.name!r} stands there twice; give it another name")
        found[claim.name] = claim
    return list(found.values())


def profile_rows(shelf: str, profile: str = "quick") -> pd.DataFrame:
    """Return the rows of a shelf's runs that differ from the profile's setting in noise, method and seeds alone.

    A profile with protocols for several data sets has a setting for each. A seed decides order and noise together, as
    in sweeps: a run with another draw of noise has no partner. ``shelf``: ``reference`` or ``runs``. Raises ConfigError
    for an unknown profile.
    """
    own = profile_config(profile)
    others = [profile_config(profile, dataset=dataset) for name, dataset in PROTOCOLS if name == profile]
    runs = [
        run
        for run in store.all_runs(paths.shelf(shelf, profile))
        if any(run.config.differs(plain) <= APART for plain in (own, *others))
        and run.config.seed == run.config.noise_seed
    ]
    return pd.concat([run.frame() for run in runs], ignore_index=True) if runs else store.no_rows()


def measures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run, in per cent: :func:`robustdl_lib.report.summary.final_readings` and five columns more.

    rows: of :func:`robustdl_lib.runs.store.load_runs`. ``lost`` is the best epoch's test accuracy minus the
    last's, ``p_clean`` and ``p_wrong`` are the average p_y of clean and of wrong labels, ``p_y_gap`` is their
    difference, and ``late`` by how much of training half of the final fit of wrong labels comes after half of that of
    clean labels.
    """
    names = ["p_clean", "p_wrong"]
    if rows.empty:
        return pd.DataFrame(columns=[*summary.COLUMNS, *names, "late", "lost", "p_y_gap"])
    runs = [(run_id, history.sort_values("epoch")) for run_id, history in rows.groupby("run_id", sort=False)]
    more = [(run_id, *(100 * history[names].iloc[-1]), _late(history)) for run_id, history in runs]
    readings = summary.final_readings(rows)
    readings = readings.merge(pd.DataFrame(more, columns=["run_id", *names, "late"]), on="run_id")
    lost, gap = readings["oracle"] - readings["last"], readings["p_clean"] - readings["p_wrong"]
    return readings.assign(lost=lost, p_y_gap=gap)


def judged(rows: Mapping[str, pd.DataFrame], claims: Sequence[Claim] = ()) -> pd.DataFrame:
    """Return a row a claim of notebook 12, or of ``claims``: columns slide, claim, rows, by, seeds, verdict.

    rows: run rows by the name of :data:`WHERE`, whatever the rate of their noise. ``by`` is the margin in points to the
    nearest other method, mean over seeds. A claim against several methods holds if it holds against each, and does not
    hold if it does not against one.
    """
    asked = claims or sorted((claim for claim in _own() if claim.slide), key=lambda c: (PLACES.index(c.where), c.slide))
    known = {where: measures(frame) for where, frame in rows.items()}
    lines = []
    for claim in asked:
        by = margins(known.get(claim.where, pd.DataFrame()), claim)
        least = by.mean().min() if len(by) else np.nan
        verdict = verdicts.of_several([list(by[pair]) for pair in by])
        line = {"slide": claim.slide, "claim": claim.words, "rows": claim.where, "by": least, "seeds": len(by)}
        lines.append(line | {"verdict": verdict})
    return pd.DataFrame(lines)


def margins(table: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return a row a seed and a column a pair of methods: by how many points the claim holds, negative if it fails.

    table: :func:`measures` of one noise, of which the first spec of each method counts. Empty if a method is missing.
    """
    pairs = [(one, other) for one in claim.first.split() for other in claim.second.split() or [""]]
    lines = {}
    for one, other in pairs:
        first, second = _of_method(table, one, claim.quantity), _of_method(table, other, claim.quantity)
        if first.empty or (other and second.empty):
            return pd.DataFrame()
        lines[f"{one} {other}"] = first - second if other else first
    return pd.DataFrame(lines).dropna()


def evaluated(ours: pd.DataFrame, here: pd.DataFrame, profile: str = "quick") -> pd.DataFrame:
    """Return a line a claim: what was published, what our rows say, what this machine's say, and the verdicts.

    ours, here: rows of :func:`measures` of the committed reference and of this machine, in this profile; either may be
    empty. A claim about a noise that the profile's data do not have has no line.
    """
    known = [(claim, claim.dataset(profile)) for claim in _own() if claim.report and claim.quantity != RISE]
    return pd.DataFrame(
        [_line(claim, claim.values(ours, on), claim.values(here, on), on) for claim, on in known if on is not None]
    )


def rate_rows(shelf: str, profile: str = "quick") -> pd.DataFrame:
    """Return the rows of a shelf's search over noise rates and of its judgement with more seeds; none without them.

    The profiles of the papers have them among their own.
    """
    if profile in PAPER:
        found = profile_rows(shelf, profile)
        return found[found["dataset"] == profile_config(profile).dataset]
    runs = [run for name in RATES for run in store.all_runs(paths.shelf(shelf, f"{profile}_{name}"))]
    return pd.concat([run.frame() for run in runs], ignore_index=True) if runs else store.no_rows()


def rising(ours: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """Return the line of the claim that the emphasis mode rises with the noise rate, or no line without rows.

    ours, here: :func:`rate_rows`. Each seed chooses a DM at each rate by its validation set after the last epoch;
    the claim's quantity is 100 times psi = lam / (lam + 1) at its noise, less psi on clean labels.
    """
    values, theirs = _rises(ours), _rises(here)
    if not values and not theirs:
        return pd.DataFrame()
    on = str((ours if len(ours) else here)["dataset"].iloc[0])
    return pd.DataFrame([_line(claim, values, theirs, on) for claim in _own() if claim.quantity == RISE])


def exact() -> pd.DataFrame:
    """Return a line for each number of an emphasis curve, computed now; within half of the last digit it holds."""
    numbers = published.read()
    return pd.DataFrame([_exact(row) for row in numbers[numbers["table"].isin(published.EXACT)].to_dict("records")])


@cache
def _own() -> tuple[Claim, ...]:
    return tuple(read())


def _has(dataset: str, noise: str) -> bool:
    """Return whether a noise can be had on a data set: one that flips look-alikes needs to know them."""
    needs = {
        "human": "human",
        "asymmetric": "flips",
        "asymmetric_pairs": "superclasses",
        "asymmetric_cycle": "superclasses",
    }
    needed = needs.get(NOISES.parse(noise).name)
    return needed is None or bool(getattr(DATASETS.parse(dataset).entry.facts, needed))


def _line(claim: Claim, ours: list[float], here: list[float], dataset: str) -> dict[str, Any]:
    urls = published.read().set_index("id")["url"]
    mean = float(np.mean(ours)) if ours else np.nan
    return {
        "part": "claim",
        "group": claim.group,
        "id": claim.name,
        "claim": claim.words,
        "setting": claim.noise if dataset == "digits" else f"{dataset}, {claim.noise}",
        "unit": "points",
        "published": claim.claimed() if claim.published else np.nan,
        "reference": mean,
        "seeds": len(ours),
        "here": float(np.mean(here)) if here else np.nan,
        "difference": mean - claim.least,
        "tolerance": verdicts.half_width(ours),
        "verdict": verdicts.of_claim(ours, claim.least),
        "verdict_here": verdicts.of_claim(here, claim.least) if here else verdicts.NONE,
        "source": claim.source,
        "url": urls.get(claim.published, ""),
        "note": claim.note,
    }


def _rises(rows: pd.DataFrame) -> list[float]:
    """Return 100 times psi at :data:`LARGEST` less psi on clean labels, one a seed that has both."""
    specs = {str(spec): METHODS.parse(str(spec)) for spec in rows["method"].unique()}
    modes = {name: spec.values["lam"] / (spec.values["lam"] + 1) for name, spec in specs.items() if spec.name == "dm"}
    chosen = rows[rows["method"].isin(modes) & rows["noise"].isin(["none", LARGEST])]
    if chosen.empty:
        return []
    last = chosen.sort_values("epoch").groupby("run_id").last()
    best = last.loc[last.groupby(["seed", "noise"])["val_acc"].idxmax()].pivot(
        index="seed", columns="noise", values="method"
    )
    psi = best.reindex(columns=["none", LARGEST]).dropna().map(modes.__getitem__)
    return [100 * float(value) for value in psi[LARGEST] - psi["none"]]


def _exact(row: dict[Any, Any]) -> dict[str, Any]:
    ours = _curve(row["method"], row["quantity"])
    off, width = ours - row["value"], row["digit"] / 2
    verdict = verdicts.HOLDS if verdicts.of_number(off, width) == verdicts.INSIDE else verdicts.FAILS
    return {
        "part": "exact",
        "group": published.TITLES[row["table"]],
        "id": row["id"],
        "claim": f"{row['label']}: {row['quantity'].replace('_', ' ')}",
        "setting": "computed",
        "unit": row["unit"],
        "published": row["value"],
        "reference": ours,
        "seeds": 0,
        "here": ours,
        "difference": off,
        "tolerance": width,
        "verdict": verdict,
        "verdict_here": verdict,
        "source": row["source"],
        "url": row["url"],
        "note": "",
    }


def setting(name: str, dataset: str = "") -> str:
    """Return the spec of a method that is tested, with its knobs of :data:`SETTINGS`; its defaults elsewhere."""
    specs = [METHODS.parse(spec) for spec in (*SETTINGS_OF.get(dataset, ()), *SETTINGS)]
    return next((str(spec) for spec in specs if spec.name == name), name)


def _by_seed(runs: pd.DataFrame, method: str, quantity: str) -> pd.Series:
    chosen = runs[runs["method"] == method]
    return chosen.set_index("seed")[quantity].astype(float)


def _of_method(table: pd.DataFrame, name: str, quantity: str) -> pd.Series:
    """Return a quantity of the first spec of a method, indexed by seed; empty if there is none."""
    methods = table["method"].unique() if len(table) else []
    specs = [spec for spec in methods if METHODS.parse(spec).name == name]
    return _by_seed(table, specs[0], quantity).dropna() if specs else pd.Series(dtype=float)


def _points(number: str) -> float:
    unit = published.read().set_index("id")["unit"][number]
    return published.value(number) * (1.0 if unit == "%" else 100.0)


def _late(history: pd.DataFrame) -> float:
    if history["fit_wrong"].isna().all():
        return np.nan
    names = ("fit_wrong", "clean_acc")
    halves = [history["epoch"][history[name] >= history[name].iloc[-1] / 2].iloc[0] for name in names]
    return 100.0 * float(halves[0] - halves[1]) / float(history["epoch"].max())


@cache
def _curve(spec: str, quantity: str) -> float:
    if quantity == "emphasis_mode":
        return gradients.emphasis_mode(spec, num_classes=2)  # these weights depend on p_y alone: any number will do
    p, weight = _weights(spec)
    area = float(np.trapezoid(weight, p))
    variance = float(np.trapezoid((weight - area) ** 2, p))
    return {"weight_max": float(weight.max()), "weight_integral": area, "emphasis_variance": variance}[quantity]


@cache
def _weights(spec: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    curve = gradients.weight_curve(spec, num_classes=2)
    return curve["p"].to_numpy(), curve["weight"].to_numpy()
