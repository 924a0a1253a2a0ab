"""Points, targets, fields and ends of the simplex are those of the registered methods."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cases import SPECS
from torch.nn.functional import softmax

from robustdl_lib import targets
from robustdl_lib.registry import METHODS, SpecError
from robustdl_lib.theory import simplex
from robustdl_lib.theory.gradients import logit_gradient

TARGETS = ["ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "boot_hard:eps=0.5", "proselflc", "proselflc:T=0.5"]


def points(count=40, classes=3, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), count)


def logits_of(p):
    return torch.from_numpy(np.log(p))


def test_a_point_of_the_triangle_is_the_mean_of_its_corners_by_probability():
    p = points()
    flat = simplex.flatten(p)
    assert flat.shape == (40, 2)
    np.testing.assert_allclose(flat, p @ simplex.flatten(np.eye(3)), atol=1e-15)


def test_the_triangle_is_equilateral_with_the_given_label_on_top():
    corners = simplex.flatten(np.eye(3)) * [1, np.sqrt(3)]
    sides = [np.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(sides, 2.0)
    assert corners[0, 1] > corners[1:, 1].max()
    assert corners[1, 0] < corners[2, 0]


@pytest.mark.parametrize("count", [1, 4, 11])
def test_the_grid_covers_the_triangle_at_a_distance_from_its_sides(count):
    p = simplex.grid(count, edge=0.03)
    assert p.shape == ((count + 1) * (count + 2) // 2, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert p.min() == pytest.approx(0.03)
    assert p.max() == pytest.approx(0.94)


@pytest.mark.parametrize("spec", TARGETS)
def test_targets_are_those_of_the_registered_functions(spec):
    p, q = points(), torch.eye(3, dtype=torch.float64)[:1].expand(40, -1)
    parsed = METHODS.parse(spec)
    expected = parsed.entry.function(q, logits_of(p), progress=0.9, **parsed.knobs)
    np.testing.assert_allclose(simplex.target(spec, p, 0.9), expected.numpy(), atol=1e-12)


def test_targets_by_hand():
    q, p = np.eye(3)[0], np.array([0.2, 0.7, 0.1])
    by_hand = {
        "cce": q,
        "dm:beta=8,lam=1": q,
        "ls:eps=0.3": 0.7 * q + 0.1,
        "cp:eps=0.3": 0.7 * q - 0.3 * p,
        "boot_soft:eps=0.3": 0.7 * q + 0.3 * p,
        "boot_hard:eps=0.3": np.array([0.7, 0.3, 0.0]),
    }
    for spec, expected in by_hand.items():
        np.testing.assert_allclose(simplex.target(spec, p)[0], expected, atol=1e-12)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if METHODS.parse(spec).entry.facts.role != "loss"])
def test_the_motion_is_the_softmax_jacobian_times_the_step(spec):
    p = points(8, 5)
    labels = torch.zeros(8, dtype=torch.long)
    step = -logit_gradient(spec, logits_of(p), labels, 0.9).numpy()
    np.testing.assert_allclose(simplex.step(spec, p, 0.9), step, rtol=1e-7, atol=1e-9)
    jacobian = np.stack([np.diag(row) - np.outer(row, row) for row in p])
    np.testing.assert_allclose(
        simplex.motion(spec, p, 0.9), np.einsum("nij,nj->ni", jacobian, step), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("spec", ["cce", "ls:eps=0.5", "proselflc:T=0.5,detach=True"])
def test_the_motion_is_what_a_small_step_does(spec):
    p, small = points(), 1e-6
    moved = softmax(logits_of(p) + small * torch.from_numpy(simplex.step(spec, p)), dim=1).numpy()
    np.testing.assert_allclose((moved - p) / small, simplex.motion(spec, p), atol=1e-5)
    np.testing.assert_allclose(simplex.motion(spec, p).sum(axis=1), 0.0, atol=1e-12)


@pytest.mark.parametrize("spec", [*simplex.LENGTHS, "cp:eps=0.25,detach=True", "proselflc:detach=True"])
def test_losses_weightings_and_detached_targets_point_where_cross_entropy_does(spec):
    p = points()
    np.testing.assert_allclose(simplex.separation(spec, p)["cosine"], 1.0, atol=1e-9)
    ours, plain = simplex.motion(spec, p), simplex.motion("cce", p)
    ratio = np.linalg.norm(ours, axis=1) / np.linalg.norm(plain, axis=1)
    np.testing.assert_allclose(ours, ratio[:, None] * plain, rtol=1e-5, atol=1e-9)


def test_a_detached_target_is_cross_entropy_times_what_is_left_of_the_label():
    p = points()
    plain = simplex.separation("cce", p)["norm"]
    np.testing.assert_allclose(plain, 2 * (1 - p[:, 0]))
    np.testing.assert_allclose(simplex.separation("boot_soft:eps=0.3,detach=True", p)["norm"], 0.7 * plain)
    own = targets.proselflc_trust(logits_of(p), 0.9).numpy()
    np.testing.assert_allclose(simplex.separation("proselflc:detach=True", p, 0.9)["norm"], (1 - own) * plain)


@pytest.mark.parametrize("spec", simplex.DIRECTIONS)
def test_other_targets_turn_the_step_somewhere(spec):
    assert simplex.separation(spec, points())["cosine"].min() < 0.99


def test_where_there_is_no_step_there_is_no_direction(no_warnings):
    assert np.isnan(simplex.separation("ls:eps=0.75", [[0.5, 0.25, 0.25]])["cosine"]).all()


def test_steps_end_where_theory_says():
    assert simplex.attractors("cce").tolist() == [[1, 0, 0]]
    assert simplex.attractors("boot_soft:eps=0.5").tolist() == [[1, 0, 0]]
    assert simplex.attractors("ls:eps=0.3").tolist() == [[0.8, 0.1, 0.1]]
    assert simplex.attractors("boot_hard:eps=0.6").tolist() == [[1, 0, 0], [0.4, 0.6, 0], [0.4, 0, 0.6]]
    assert len(simplex.attractors("proselflc:T=0.2,detach=True")) == 3


def test_steps_of_the_confidence_penalty_end_where_its_derivative_is_zero():
    (end,) = simplex.follow("cp:eps=0.5", [[0.3, 0.6, 0.1]], steps=2000)
    assert np.abs(simplex.step("cp:eps=0.5", [end])).max() < 1e-9
    np.testing.assert_allclose(end.round(2), simplex.attractors("cp:eps=0.5")[0])


def test_the_number_of_classes_decides_whether_proselflc_keeps_a_second_end():
    assert [len(simplex.attractors("proselflc", 0.9, num_classes=count)) for count in (3, 10)] == [1, 3]
    assert [len(simplex.attractors("proselflc", 0.1, num_classes=count)) for count in (3, 10)] == [1, 1]


def test_following_leaves_the_number_of_threads():
    torch.set_num_threads(2)
    simplex.follow("cce", points(), steps=1)
    assert torch.get_num_threads() == 2


def test_meaning_is_class_sum_and_likeness():
    learner = [simplex.LEARNER]
    said = pd.concat([simplex.meaning(spec, learner).assign(method=spec) for spec in ["cce", *TARGETS]])
    said = said.set_index("method")
    assert said["alike"].to_dict() == {
        "cce": True,
        "ls:eps=0.25": True,
        "cp:eps=0.25": True,
        **dict.fromkeys(TARGETS[2:], False),
    }
    assert (said["semantic"] == [0, 0, 0, 0, 0, 1, 1]).all()
    np.testing.assert_allclose(said["sum"], [1, 1, 0.5, 1, 1, 1, 1])


def test_target_rows_hold_the_label_the_learner_and_the_way_of_proselflc():
    rows = simplex.target_rows([0.1, 0.6, 0.3])
    point = rows.set_index("series")[list(simplex.POINT)]
    assert point.loc["label"].tolist() == [1, 0, 0]
    assert point.loc["learner"].tolist() == [0.1, 0.6, 0.3]
    for spec in simplex.TARGETS:
        np.testing.assert_allclose(point.loc[spec], simplex.target(spec, [[0.1, 0.6, 0.3]])[0])
    way = rows[rows["series"] == "proselflc"]
    assert way["progress"].iloc[[0, -1]].tolist() == [0, 1]
    assert way["p1"].is_monotonic_decreasing
    ours, whole = simplex.flatten(way[list(simplex.POINT)]) - [0, 1], simplex.flatten([0.1, 0.6, 0.3]) - [0, 1]
    np.testing.assert_allclose(ours[:, 0] * whole[1], ours[:, 1] * whole[0], atol=1e-12)


def test_field_rows_hold_steps_and_ends():
    rows = simplex.field_rows(["mae", "ls:eps=0.5"], 0.5)
    assert set(rows["progress"]) == {0.5}
    for spec, part in rows.groupby("method"):
        steps, ends = (part[part["kind"] == kind] for kind in ("step", "end"))
        np.testing.assert_allclose(steps[list(simplex.POINT)], simplex.grid())
        np.testing.assert_allclose(steps[list(simplex.MOTION)], simplex.motion(spec, simplex.grid()))
        np.testing.assert_allclose(steps[["cosine", "norm"]], simplex.separation(spec, simplex.grid()))
        np.testing.assert_allclose(ends[list(simplex.POINT)], simplex.attractors(spec))
        assert (ends[[*simplex.MOTION, "cosine", "norm"]] == 0).all(axis=None)


def test_the_table_is_the_separation_at_the_named_places():
    table = simplex.separation_table(["cce", "cp:eps=0.5"])
    assert list(table.index) == ["cce", "cp:eps=0.5"]
    for place, p in simplex.PLACES.items():
        found = simplex.separation("cp:eps=0.5", [p]).iloc[0]
        np.testing.assert_allclose(table.loc["cp:eps=0.5", place][found.index].astype(float), found)


def runs():
    """Return rows of the sweep's four arms that never were: two seeds, two epochs."""
    kinds = [("cce", 0.1, 5e-4), ("boot_soft:eps=0.5", 0.1, 5e-4), ("boot_soft:eps=0.5,detach=True", 0.1, 5e-4)]
    rows = [
        {
            "method": m,
            "peak_lr": lr,
            "weight_decay": wd,
            "seed": seed,
            "epoch": epoch,
            "p_wrong": 0.1 * i + seed * epoch,
        }
        for i, (m, lr, wd) in enumerate([*kinds, ("cce", 0.05, 1e-3)])
        for seed in (0, 1)
        for epoch in (1, 2)
    ]
    return pd.DataFrame(rows)


def test_arms_are_named_by_what_differs():
    assert list(simplex.arms(runs())["arm"].unique()) == [
        "CCE",
        "Boot-soft (eps = 0.5)",
        "Boot-soft (eps = 0.5, detach = True)",
        "CCE, rate x 0.5, decay x 2",
    ]


def test_distance_compares_seed_by_seed():
    rows = simplex.arms(runs())
    rows.loc[(rows["arm"] == "CCE") & (rows["seed"] == 1), "p_wrong"] += 0.4
    gap = simplex.apart(rows, "CCE", "Boot-soft (eps = 0.5)", "p_wrong")
    assert list(gap.index) == [1, 2]
    np.testing.assert_allclose(gap, (0.1 + 0.3) / 2)


def test_an_unknown_method_is_refused():
    with pytest.raises(SpecError, match="nonsense"):
        simplex.target("nonsense", points())
