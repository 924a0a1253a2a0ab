"""Rankings of suspects: their formulas by hand, ties by row, cleanlab's numbers, and refusals."""

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from helpers.cases import one_sentence
from sklearn.metrics import roc_auc_score

from robustdl_lib.audit import suspects


def noisy_problem(seed: int = 0, count: int = 400, classes: int = 4, rate: float = 0.3) -> tuple[np.ndarray, ...]:
    """Return given labels, true labels and probabilities of a good, honest network."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, classes, count)
    wrong = rng.random(count) < rate
    labels = np.where(wrong, (clean + rng.integers(1, classes, count)) % classes, clean)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), clean] += 4
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, clean, probs


def test_dynamics_average_over_the_epochs_they_name() -> None:
    p = np.array([[0.1, 1.0], [0.2, 0.5], [0.6, 0.0]])
    assert suspects.dynamics(p) == pytest.approx([0.3, 0.5])
    assert suspects.dynamics(p, "first half") == pytest.approx([0.15, 0.75])
    assert suspects.dynamics(p, "second half") == pytest.approx([0.4, 0.25])
    assert suspects.dynamics(p, "last") == pytest.approx([0.6, 0.0])
    assert suspects.dynamics(p[:2], "first half") == pytest.approx(p[0])
    for epochs in suspects.EPOCHS:
        assert suspects.dynamics(p[:1], epochs) == pytest.approx(p[0])


def test_dynamics_refuse_other_shapes_and_epochs() -> None:
    for shape in ((3,), (0, 3), (2, 3, 4)):
        with pytest.raises(ValueError, match="shape") as refusal:
            suspects.dynamics(np.zeros(shape))
        one_sentence(refusal.value, "[epochs, N]", str(shape))
    with pytest.raises(ValueError, match="best") as refusal:
        suspects.dynamics(np.zeros((2, 3)), "best")  # type: ignore[arg-type]
    one_sentence(refusal.value, "first half")


def test_margin_is_the_lead_over_the_best_other_class() -> None:
    logits = np.array([[3.0, 1.0, 0.0], [3.0, 1.0, 2.5], [-1.0, -1.0, -5.0]])
    assert suspects.margin(logits, np.array([0, 2, 1])) == pytest.approx([2.0, -0.5, 0.0])


def test_the_given_probability_is_picked_row_by_row() -> None:
    values = np.arange(6.0).reshape(2, 3)
    assert suspects.given(values, np.array([2, 0])).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("labels", [[0, -1], [0, 3]])
def test_labels_outside_the_classes_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="0 to 2") as refusal:
        suspects.given(np.zeros((2, 3)), np.array(labels))
    one_sentence(refusal.value, "missing")


def test_shapes_that_do_not_fit_and_values_that_are_no_numbers_are_refused() -> None:
    for labels, values in ((np.zeros(3, int), np.zeros((2, 3))), (np.zeros(2, int), np.zeros((2, 1)))):
        with pytest.raises(ValueError, match="two classes or more") as refusal:
            suspects.checked(labels, values)
        one_sentence(refusal.value)
    with pytest.raises(ValueError, match="1 rows hold values that are not finite") as refusal:
        suspects.checked(np.zeros(2, int), np.array([[0.0, 1.0], [np.nan, 1.0]]))
    one_sentence(refusal.value)


def test_a_ranking_is_stable_with_ties_by_row() -> None:
    score = np.array([0.5, 0.1, 0.5, 0.1, 0.0])
    assert suspects.ranking(score).tolist() == [4, 1, 3, 0, 2]
    assert suspects.ranking(np.full(1000, 0.3)).tolist() == list(range(1000))
    assert suspects.worst(score, 2).tolist() == [False, True, False, False, True]
    assert suspects.worst(score, 0).sum() == 0
    assert suspects.worst(score, 5).all()


def test_a_ranking_refuses_what_has_no_place() -> None:
    with pytest.raises(ValueError, match="NaN") as refusal:
        suspects.ranking(np.array([0.1, np.nan]))
    one_sentence(refusal.value)
    for count in (-1, 3):
        with pytest.raises(ValueError, match="0 to 2") as refusal:
            suspects.worst(np.zeros(2), count)
        one_sentence(refusal.value, str(count))


def test_the_suggestion_is_the_largest_and_the_lowest_of_equals() -> None:
    assert suspects.suggest(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])).tolist() == [1, 0]


def test_what_the_probabilities_contradict_is_what_has_another_argmax() -> None:
    probs = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.1, 0.1, 0.8]])
    assert suspects.contradicted(np.array([1, 2, 0]), probs).tolist() == [False, True, True]
    with pytest.raises(ValueError, match="0 to 2"):
        suspects.contradicted(np.array([0, 1, 3]), probs)


def test_entropy_is_0_for_certainty_and_1_for_none() -> None:
    probs = np.array([[1.0, 0.0, 0.0], [1 / 3] * 3, [0.5, 0.5, 0.0]])
    assert suspects.entropy(probs) == pytest.approx([0.0, 1.0, np.log(2) / np.log(3)])


def test_confident_learning_is_cleanlabs_and_finds_the_wrong_labels(no_warnings: None) -> None:
    labels, clean, probs = noisy_problem()
    found = suspects.confident_learning(labels, probs)
    assert found["score"].to_numpy() == pytest.approx(suspects.given(probs, labels))
    assert (found["flagged"].to_numpy() == find_label_issues(labels, probs, n_jobs=1)).all()
    judged = suspects.hits(found["flagged"].to_numpy(), labels != clean)
    assert min(judged.values()) > 0.9


def test_the_number_of_wrong_labels_is_estimated_without_the_truth(no_warnings: None) -> None:
    for rate in (0.0, 0.1, 0.4):
        labels, clean, probs = noisy_problem(rate=rate, count=2000)
        assert suspects.estimated_wrong(labels, probs) == pytest.approx((labels != clean).sum(), abs=80)


def test_a_class_without_a_label_and_probabilities_of_0_are_borne(no_warnings: None) -> None:
    labels, probs = np.array([0, 0, 1, 1, 0]), np.eye(3)[[0, 0, 1, 0, 0]]
    found = suspects.confident_learning(labels, probs)
    assert suspects.ranking(found["score"].to_numpy())[0] == 3
    assert 0 <= suspects.estimated_wrong(labels, probs) <= 1


def test_logits_are_not_taken_for_probabilities() -> None:
    for probs in (np.array([[2.0, 1.0], [0.0, 0.0]]), np.array([[1.5, -0.5], [0.5, 0.5]])):
        with pytest.raises(ValueError, match="the sum 1") as refusal:
            suspects.confident_learning(np.array([0, 1]), probs)
        one_sentence(refusal.value, "logits")


def test_quality_by_hand() -> None:
    wrong = np.array([True, False, True, False, False])
    score = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    row = suspects.quality({"a": score}, wrong).iloc[0]
    assert row["acted"] == 2
    assert (row["precision"], row["recall"], row["precision_at_wrong"]) == (0.5, 0.5, 0.5)
    assert row["auroc"] == pytest.approx(5 / 6)
    assert row["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    row = suspects.quality({"a": score}, wrong, {"a": np.arange(5) < 3}).iloc[0]
    assert row["acted"] == 3
    assert (row["precision"], row["recall"], row["precision_at_wrong"]) == pytest.approx((2 / 3, 1.0, 0.5))


def test_quality_keeps_the_order_of_rankers_and_agrees_with_scikit_learn() -> None:
    labels, clean, probs = noisy_problem(seed=1)
    wrong, good = labels != clean, suspects.given(probs, labels)
    scores = {"good": good, "blind": np.zeros(len(labels)), "inverted": -good}
    table = suspects.quality(scores, wrong).set_index("ranker")
    assert list(table.index) == list(scores)
    assert table["auroc"]["good"] == pytest.approx(roc_auc_score(wrong, 1 - good))
    assert table["auroc"]["blind"] == 0.5
    assert table["auroc"]["good"] + table["auroc"]["inverted"] == pytest.approx(1.0)
    assert table["average_precision"]["blind"] == pytest.approx(wrong.mean())


def test_quality_without_a_wrong_label_is_not_a_number() -> None:
    row = suspects.quality({"a": np.array([0.1, 0.2])}, np.zeros(2, bool)).iloc[0]
    numbers = ["precision", "recall", "auroc", "average_precision", "precision_at_wrong"]
    assert np.isnan(row[numbers].astype(float)).all()
    with pytest.raises(ValueError, match="scores 2 labels, of which 3") as refusal:
        suspects.quality({"a": np.zeros(2)}, np.zeros(3, bool))
    one_sentence(refusal.value)


def test_precision_and_recall_in_order_of_the_ranking() -> None:
    curve = suspects.precision_recall(np.array([0.3, 0.1, 0.2]), np.array([True, True, False]))
    assert curve["k"].tolist() == [1, 2, 3]
    assert curve["precision"].tolist() == pytest.approx([1.0, 0.5, 2 / 3])
    assert curve["recall"].tolist() == pytest.approx([0.5, 0.5, 1.0])
    assert suspects.precision_recall(np.zeros(2), np.zeros(2, bool))["recall"].isna().all()
