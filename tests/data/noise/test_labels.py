"""Given and true labels become counts: the realised matrix, the rate, and what is missing or of no class."""

import numpy as np

from robustdl_lib.data.noise.labels import MISSING, NO_CLASS, describe


def test_the_matrix_and_the_rate_are_counts() -> None:
    clean = np.array([0, 0, 0, 0, 1, 1])
    drawn = describe(np.array([0, 0, 1, MISSING, 1, 1]), clean, 3)
    assert drawn.transition.tolist() == [[0.5, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert drawn.rate == 1 / 6
    assert drawn.mislabelled.tolist() == [False, False, True, False, False, False]


def test_any_label_of_an_example_without_a_class_is_wrong_and_in_no_row() -> None:
    drawn = describe(np.array([0, 1]), np.array([NO_CLASS, 1]), 2)
    assert drawn.mislabelled.tolist() == [True, False]
    assert drawn.transition.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert drawn.kind.tolist() == [0, 0]
