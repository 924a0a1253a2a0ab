"""Published numbers: typed here once more, counted table by table, and refused where a row cannot be right."""

from collections import Counter
from pathlib import Path

import pytest
from helpers.cases import one_sentence

from robustdl_lib.registry import METHODS, MODELS
from robustdl_lib.report import published
from robustdl_lib.report.published import BadPublished

CELLS = {
    "dm_table_9": 5 * 4 * 2,
    "imae_table_6": 2 * 2 * 2,
    "dm_table_7": 5,
    "resnet56_clean": 2,
    "dm_fits": 2 * 2,
    "proselflc_tables_4_5": 5 * 7,
    "dm_table_1": 5 * 3,
    "proselflc_figure_3": 5 * 6,
    "elr_table_1": 3 * 5,
    "dividemix": 4,
    "talk_slide_23": 5,
    "talk_slide_11": 2,
    "emphasis_modes": 9,
    "emphasis_shapes": 7 * 3 + 4,
}
"""How many numbers each table has: rows times columns, times two where best and final stand in one cell."""


def test_every_cell_of_every_table_is_there() -> None:
    assert dict(Counter(published.read()["table"])) == CELLS
    assert list(CELLS) == list(published.TITLES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dm_table_9/symmetric-0.4/cce/last", 60.9),
        ("dm_table_9/symmetric-0.8/dm-lam-0.5/oracle", 51.6),
        ("dm_table_9/symmetric-0.6/dm-lam-2/last", 72.5),
        ("imae_table_6/symmetric-0.4/imae/last", 81.5),
        ("dm_table_7/symmetric-0.4/gce/last", 80.7),
        ("resnet56_clean/none/cce/last", 92.4),
        ("dm_fits/symmetric-0.4/dm-lam-1/fit_true", 88.9),
        ("proselflc_tables_4_5/asymmetric_pairs-0.4/proselflc/last", 67.9),
        ("proselflc_tables_4_5/none/boot-soft/last", 69.1),
        ("dm_table_1/symmetric-0.6/mse/oracle", 18.0),
        ("proselflc_figure_3/asymmetric_pairs-0.4/cp/entropy_wrong", 0.839),
        ("elr_table_1/asymmetric-0.4/elr/reported", 90.1),
        ("talk_slide_23/symmetric-0.6/dm/emphasis_mode", 0.6667),
    ],
)
def test_numbers_are_those_of_the_papers(name: str, value: float) -> None:
    assert published.value(name) == value


def test_a_table_reads_as_on_paper() -> None:
    last = published.table("dm_table_9", "last")
    assert list(last.columns) == [f"symmetric:{rate}" for rate in (0.2, 0.4, 0.6, 0.8)]
    assert last.index.tolist() == ["CCE", "DM beta = 0", "DM lam = 0.5", "DM lam = 1", "DM lam = 2"]
    assert last.loc["DM lam = 1"].tolist() == [86.7, 83.3, 70.0, 31.5]
    assert last.attrs == {"unit": "%", "source": "DM, arXiv 1905.11233, Table 9"}
    figure = published.table("proselflc_figure_3")
    assert figure.loc["ProSelfLC"].tolist() == [0.894, 0.144, 0.750, 0.019, 0.034, 0.678]


def test_what_is_read_off_a_figure_says_so_and_each_number_has_a_source() -> None:
    rows = published.read()
    assert set(rows.loc[rows["read_off_figure"], "table"]) == {"proselflc_figure_3", "talk_slide_23", "talk_slide_11"}
    assert rows["source"].str.contains("arXiv|talk|derived").all()
    papers = rows["source"].str.contains("arXiv")
    assert rows.loc[papers, "url"].str.startswith("https://arxiv.org/abs/").all()
    assert [row["url"][-10:] in row["source"] for row in rows[papers].to_dict("records")].count(False) == 0


def test_our_spec_is_said_for_every_network_of_ours() -> None:
    rows = published.read()
    ours = rows[rows["network"].map(published.ours)]
    assert set(ours["network"]) == {"resnet56", "resnet44"} <= set(MODELS)
    assert all(METHODS.parse(spec) for spec in ours["method"])
    assert set(rows.loc[~rows["network"].map(published.ours), "network"]) == {"ResNet-34", "PreAct-ResNet-18", ""}


def test_the_last_digit_is_that_of_the_text() -> None:
    digits = published.read().set_index("id")["digit"]
    assert digits["dm_table_9/symmetric-0.4/cce/last"] == pytest.approx(0.1)
    assert digits["emphasis_shapes/dm-12-0.5/emphasis_variance"] == 1
    assert digits["emphasis_modes/gce"] == pytest.approx(1e-4)


def test_rows_that_are_read_can_be_changed_without_harm() -> None:
    rows = published.read()
    rows["value"] = 0.0
    assert published.value("dm_table_7/symmetric-0.4/dm/last") == 83.8


GOOD = 'x/cce,dm_table_7,CCE,cifar10,resnet56,symmetric:0.4,cce,last,61.7,%,0.01,no,"DM, Table 7",'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("61.7", "6l.7", ["numbers.csv, line 3", "value", "6l.7"]),
        ("61.7", "617", ["a per cent lies in [0, 100]", "617"]),
        (",cce,last", ",ccee,last", ["unknown method 'ccee'", "did you mean 'cce'?"]),
        ("symmetric:0.4", "symmetric:1.4", ["rate = '1.4'"]),
        ("cifar10", "cifar11", ["unknown data set 'cifar11'"]),
        ("dm_table_7", "dm_table_70", ["dm_table_70", "there is dm_table_9"]),
        (",last,", ",final,", ["quantity", "'final'"]),
        (",no,", ",maybe,", ["read_off_figure", "'maybe'"]),
        ('"DM, Table 7"', "", ["source"]),
        ('Table 7",', 'Table 7",http://example.org', ["url"]),
    ],
)
def test_a_bad_row_is_refused_in_one_sentence(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    head = published.FILE.read_text().splitlines()[0]
    path = tmp_path / "numbers.csv"
    path.write_text("\n".join([head, GOOD, GOOD.replace("x/cce", "y/cce").replace(old, new, 1)]) + "\n")
    with pytest.raises(BadPublished) as refusal:
        published.read(path)
    one_sentence(refusal.value, *words)


def test_an_id_that_stands_twice_and_a_column_too_few_are_refused(tmp_path: Path) -> None:
    head = published.FILE.read_text().splitlines()[0]
    path = tmp_path / "numbers.csv"
    path.write_text("\n".join([head, GOOD, GOOD]) + "\n")
    with pytest.raises(BadPublished) as refusal:
        published.read(path)
    one_sentence(refusal.value, "'x/cce' twice")
    path.write_text("id,table\nx,dm_table_7\n")
    with pytest.raises(BadPublished, match="missing"):
        published.read(path)


def test_what_is_not_there_is_refused_by_name() -> None:
    calls = {
        "dm_table_9": lambda: published.table("dm_table_9"),
        "dm_table_99": lambda: published.table("dm_table_99"),
        "no 'corrected'": lambda: published.table("dm_table_9", "corrected"),
        "dm_table_9/nothing": lambda: published.value("dm_table_9/nothing"),
    }
    for words, call in calls.items():
        with pytest.raises(BadPublished) as refusal:
            call()
        one_sentence(refusal.value, words)
