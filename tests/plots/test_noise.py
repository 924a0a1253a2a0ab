"""The heat maps of label noise show the matrices that the labels realise."""

import pytest

from robustdl_lib import data
from robustdl_lib.plots.noise import transitions
from robustdl_lib.plots.rows import transition_rows
from robustdl_lib.registry import FIGURES


def test_the_rows_are_the_draw_that_training_sees(digits: data.Data) -> None:
    rows = transition_rows(["symmetric:0.4"])
    realised = rows.pivot(index="true", columns="given", values="realised").to_numpy()
    assert realised == pytest.approx(digits.noise.transition.numpy())
    assert rows.groupby("true")["asked"].sum().to_numpy() == pytest.approx(1.0)


def test_every_cell_says_its_share_and_the_titles_their_rates() -> None:
    rows = transition_rows(["asymmetric:0.4", "symmetric_all:0.4"])
    figure = transitions(rows)
    titles = [ax.get_title() for ax in figure.axes]
    assert "asymmetric:0.4\nasked 20.0 %" in titles[0]
    assert "symmetric_all:0.4\nasked 36.0 %" in titles[1]
    shown = [text.get_text() for text in figure.axes[0].texts]
    first = rows[rows["spec"] == "asymmetric:0.4"].sort_values(["true", "given"])["realised"]
    assert shown == [f"{100 * value:.0f}" if value >= 0.005 else "" for value in first]


def test_a_noise_without_a_matrix_shows_what_came_out_alone() -> None:
    rows = transition_rows(["instance:0.4"])
    assert rows["asked"].isna().all()
    title = transitions(rows).axes[0].get_title()
    assert title.startswith("instance:0.4\nrealised 4")


def test_it_is_registered_with_its_rows() -> None:
    assert FIGURES.entry("transitions").facts.rows()["spec"].nunique() == 3
