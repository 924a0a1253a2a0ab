"""Published numbers with their sources: one data file, ``published.csv``, a row a number, checked when it is read.

``table`` names where a number stands, ``label`` its row there; ``method`` is our spec of it, in which a knob that the
paper does not state is left out. A number that is computed from a formula has no data set, network or noise.
"""

import math
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from robustdl_lib.registry import DATASETS, METHODS, MODELS, NOISES, first_error

FILE = Path(__file__).parent / "published.csv"
Quantity = Literal[
    "last",
    "oracle",
    "reported",
    "fit_given",
    "fit_true",
    "clean_acc",
    "fit_wrong",
    "corrected",
    "entropy_clean",
    "entropy_wrong",
    "p_wrong",
    "emphasis_mode",
    "weight_max",
    "weight_integral",
    "emphasis_variance",
]
TITLES = {
    "dm_table_9": "CIFAR-10, ResNet-56, symmetric noise (DM, Table 9)",
    "imae_table_6": "CIFAR-10, ResNet-56, symmetric noise (IMAE, Table 6)",
    "dm_table_7": "CIFAR-10, ResNet-56, symmetric .4, rate .01 (DM, Table 7)",
    "resnet56_clean": "CIFAR-10, ResNet-56, clean labels",
    "dm_fits": "CIFAR-10, ResNet-56, symmetric .4: given and true labels fitted (DM)",
    "proselflc_tables_4_5": "CIFAR-100, ResNet-44 (ProSelfLC, Tables 4 and 5)",
    "dm_table_1": "CIFAR-100, ResNet-44, best checkpoint (DM, Table 1)",
    "proselflc_figure_3": "CIFAR-100, ResNet-44, asymmetric .4 (ProSelfLC, Figure 3)",
    "elr_table_1": "CIFAR-10, ResNet-34 (ELR, Table 1)",
    "dividemix": "CIFAR-10, PreAct-ResNet-18, best (DivideMix)",
    "talk_slide_23": "The optimised emphasis mode, by noise rate (talk, slide 23)",
    "talk_slide_11": "Average p_y of wrong labels at the end (talk, slide 11)",
    "emphasis_modes": "Emphasis modes psi (talk, slide 21)",
    "emphasis_shapes": "Emphasis of DM and of losses: maximum, integral, variance",
}
"""Each table's name and words, in the order of reports."""
EXACT = ("emphasis_modes", "emphasis_shapes")
"""The tables whose numbers are computed from formulas, without a run."""


class BadPublished(ValueError):
    """A row of published numbers that cannot be used; the message names the file, the line and what is wrong."""


class Number(BaseModel):
    """One published number: where it stands, what it is, what it was measured on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9_./=-]+$")
    table: str
    label: str = Field(min_length=1)
    dataset: str
    network: str
    noise: str
    method: str = Field(min_length=1)
    quantity: Quantity
    value: str = Field(pattern=r"^-?\d+(\.\d+)?$")
    unit: Literal["%", "share", "p", "1"]
    lr: str = Field(pattern=r"^(\d+(\.\d+)?)?$")
    read_off_figure: Literal["yes", "no"]
    source: str = Field(min_length=8)
    url: Annotated[str, Field(pattern=r"^(https://arxiv\.org/abs/\d{4}\.\d{5})?$")]

    @model_validator(mode="after")
    def _is_known(self) -> "Number":
        if self.table not in TITLES:
            raise ValueError(f"table = {self.table!r}: there is {', '.join(TITLES)}")
        if self.noise:
            DATASETS.parse(self.dataset)
            NOISES.parse(self.noise)
        if self.network in MODELS or not self.network:  # of other networks the method is in the source's words
            METHODS.parse(self.method)
        if self.unit == "%" and not 0 <= float(self.value) <= 100:
            raise ValueError(f"value = {self.value!r}: a per cent lies in [0, 100]")
        if self.unit in ("share", "p") and not 0 <= float(self.value) <= 1:
            raise ValueError(f"value = {self.value!r}: a {self.unit} lies in [0, 1]")
        return self


def read(path: Path | None = None) -> pd.DataFrame:
    """Return the published numbers, a row each, in the order of the file, by default the project's own.

    Columns are the fields of :class:`Number`, with ``value`` and ``lr`` as numbers (NaN where no rate is stated),
    ``read_off_figure`` as True or False, and ``digit``, the unit of the last digit that is written. Raises
    :class:`BadPublished`, in one sentence, for a row that cannot be used and for an id that stands twice.
    """
    return (_own() if path is None else _read(path)).copy()


def value(name: str) -> float:
    """Return the published number of this id; raises :class:`BadPublished` where there is none."""
    found = _own().set_index("id")["value"]
    if name not in found:
        raise BadPublished(f"there is no published number {name!r} in {FILE.name}")
    return float(found[name])


def table(name: str, quantity: str | None = None) -> pd.DataFrame:
    """Return a published table as it reads on paper: a row a method, by its label there.

    Its columns are the noises, or the quantities where there is one noise; ``quantity`` chooses one of several.
    The unit stands in ``attrs["unit"]``, the sources in ``attrs["source"]``. Raises :class:`BadPublished` for an
    unknown table or quantity, and for a table of several noises and quantities of which none was chosen.
    """
    rows = _chosen(name, quantity)
    across = "noise" if rows["noise"].nunique() > 1 else "quantity"
    if across == "noise" and rows["quantity"].nunique() > 1:
        found = ", ".join(rows["quantity"].unique())
        raise BadPublished(f"the table {name} holds several quantities, choose one of {found}")
    wide = rows.pivot(index="label", columns=across, values="value")
    wide = wide.loc[rows["label"].unique(), rows[across].unique()].rename_axis(index="method", columns=None)
    wide.attrs = {name: "; ".join(rows[name].unique()) for name in ("unit", "source")}
    return wide


def ours(network: str) -> bool:
    """Return whether a network of a published number is one of this library's, so that rows of it can be compared."""
    return network in MODELS


def _chosen(name: str, quantity: str | None) -> pd.DataFrame:
    rows = _own()
    if name not in TITLES:
        raise BadPublished(f"there is no published table {name!r}: there is {', '.join(TITLES)}")
    rows = rows[rows["table"] == name]
    if quantity is not None and quantity not in set(rows["quantity"]):
        known = ", ".join(rows["quantity"].unique())
        raise BadPublished(f"the table {name} has no {quantity!r}: there is {known}")
    return rows if quantity is None else rows[rows["quantity"] == quantity]


@cache
def _own() -> pd.DataFrame:
    return _read(FILE)


def _read(path: Path) -> pd.DataFrame:
    texts = pd.read_csv(path, dtype=str, keep_default_na=False)
    numbers = [_checked(path, line, row) for line, row in enumerate(texts.to_dict("records"), start=2)]
    found = pd.DataFrame([number.model_dump() for number in numbers], columns=list(Number.model_fields))
    if twice := sorted(found.loc[found["id"].duplicated(), "id"]):
        raise BadPublished(f"{path.name} names {twice[0]!r} twice; every number has an id of its own")
    digits = found["value"].map(lambda text: 10.0 ** -len(re.sub(r"^[^.]*\.?", "", text)))
    rates = found["lr"].map(lambda text: float(text) if text else math.nan)
    read_off = found["read_off_figure"] == "yes"
    return found.assign(value=found["value"].astype(float), lr=rates, read_off_figure=read_off, digit=digits)


def _checked(path: Path, line: int, row: dict[Any, Any]) -> Number:
    try:
        return Number(**row)
    except ValidationError as error:
        raise BadPublished(f"{path.name}, line {line}: {first_error(error, Number)}") from None
