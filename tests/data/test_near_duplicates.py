"""Descriptions of images, pairs that are near, and their clusters: those of brute force, exact at small distances."""

import numpy as np
import pytest
from helpers.cases import one_sentence

from robustdl_lib import data
from robustdl_lib.data import near_duplicates


@pytest.fixture(scope="module")
def digits():
    source = data.load_source("digits")
    return near_duplicates.features(source.images), source.labels


def vectors(count, dimension=12, seed=0):
    found = np.random.default_rng(seed).normal(size=(count, dimension))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_features_see_no_brightness_and_no_contrast():
    images = np.random.default_rng(0).integers(40, 100, (5, 3, 32, 32), dtype=np.uint8)
    described = near_duplicates.features(images)
    assert described.shape == (5, 192)
    assert described.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(near_duplicates.features(images * 2 + 30), described, atol=1e-5)
    darker = images.copy()
    darker[:, 0] //= 4
    assert (np.linalg.norm(near_duplicates.features(darker) - described, axis=1) > 0.1).all(), "a colour cast is seen"


def test_features_are_correlations_of_area_means():
    images = np.random.default_rng(1).integers(0, 256, (2, 1, 16, 24), dtype=np.uint8)
    first, second = (image[0].reshape(8, 2, 8, 3).mean(axis=(1, 3)).ravel() for image in images)
    r = np.corrcoef(first, second)[0, 1]
    _, apart = near_duplicates.nearest(*near_duplicates.features(images)[:, None])
    assert apart[0] == pytest.approx(np.sqrt(2 - 2 * r), abs=1e-6)


def test_areas_share_the_pixels_that_they_cut_through():
    line = np.zeros((1, 1, 9, 9), dtype=np.uint8)
    line[0, 0, :, 1] = 180
    row = near_duplicates._areas(9) @ line[0, 0].astype(float) @ near_duplicates._areas(9).T
    np.testing.assert_allclose(row[0], [20, 140, *[0] * 6], atol=1e-9)
    np.testing.assert_allclose(near_duplicates._areas(5).sum(axis=1), 1)


def test_an_image_without_contrast_is_the_zero_vector_and_like_its_like(no_warnings):
    images = np.stack([np.full((3, 9, 9), value, dtype=np.uint8) for value in (7, 200)])
    described = near_duplicates.features(images)
    assert not described.any()
    pairs, apart = near_duplicates.near_duplicates(described, distance=0.1)
    assert pairs.tolist() == [[0, 1]]
    assert apart.tolist() == [0.0]
    _, apart = near_duplicates.nearest(described, vectors(3, 192))
    np.testing.assert_allclose(apart, 1)


@pytest.mark.parametrize("images", [np.zeros((4, 8, 8), np.uint8), np.zeros((4, 1, 8, 8), np.float32)])
def test_features_refuse_what_are_no_images(images):
    with pytest.raises(ValueError, match="uint8") as refusal:
        near_duplicates.features(images)
    one_sentence(refusal.value)


@pytest.mark.parametrize("block", [3, 7, 512])
def test_pairs_and_nearest_are_those_of_brute_force_whatever_the_block(monkeypatch, block):
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    a, b = vectors(40), vectors(30, seed=1)
    exact = np.linalg.norm(a[:, None].astype(float) - b[None].astype(float), axis=2)
    pairs, apart = near_duplicates.near_duplicates(a, b, distance=0.9)
    assert 5 < len(pairs) < 1000
    np.testing.assert_array_equal(pairs, np.argwhere(exact <= 0.9))
    np.testing.assert_allclose(apart, exact[exact <= 0.9], rtol=1e-12)
    which, nearest = near_duplicates.nearest(a, b)
    np.testing.assert_array_equal(which, exact.argmin(axis=1))
    np.testing.assert_allclose(nearest, exact.min(axis=1), rtol=1e-12)
    within = np.linalg.norm(a[:, None].astype(float) - a[None].astype(float), axis=2)
    pairs, _ = near_duplicates.near_duplicates(a, distance=0.9)
    np.testing.assert_array_equal(pairs, np.argwhere(np.triu(within <= 0.9, k=1)))


def test_small_distances_are_exact_where_float32_products_are_not():
    a = vectors(1, 192)
    b = a + np.float32(1e-5) * vectors(1, 192, seed=3)
    exact = np.linalg.norm(a.astype(float) - b)
    for _, apart in (near_duplicates.near_duplicates(a, b, distance=1e-3), near_duplicates.nearest(a, b)):
        assert apart[0] == pytest.approx(exact, rel=1e-12)


def test_the_nearest_of_many_is_found_where_float32_calls_them_equal():
    a, steps = vectors(1, 192), np.linspace(3e-4, 1e-5, 60, dtype=np.float32)[:, None]
    b = a + steps * vectors(60, 192, seed=5)
    exact = np.linalg.norm(a.astype(float) - b, axis=1)
    which, _ = near_duplicates.nearest(a, b)
    assert which[0] == exact.argmin() == 59


def test_of_equals_the_first_is_nearest():
    b = vectors(6)
    assert near_duplicates.nearest(b, np.concatenate([b, b]))[0].tolist() == list(range(6))


@pytest.mark.parametrize("block", [5, 512])
def test_clusters_are_single_linkage_at_every_smaller_distance_too(monkeypatch, block, digits):
    from scipy.cluster.hierarchy import fcluster, linkage

    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    some = digits[0][:150]
    tree = linkage(some.astype(float), "single")
    edges = near_duplicates.linkage(some, 0.6)
    assert len(edges) < len(some)
    for distance in (0.25, 0.35, 0.45, 0.6):
        expected = fcluster(tree, distance, "distance")
        for found in (near_duplicates.clusters(some, distance), near_duplicates.groups_of(edges, distance, len(some))):
            assert len(set(zip(found, expected, strict=True))) == len(set(found)) == len(set(expected))
            assert found.min() == 0


def test_copies_at_distance_zero_are_of_one_cluster():
    twice = np.concatenate([vectors(5), vectors(5)])
    assert near_duplicates.clusters(twice, 0.01).tolist() == [0, 1, 2, 3, 4] * 2


def test_the_digits_at_the_documented_distance_look_alike_within_their_class(digits):
    described, labels = digits
    pairs, _ = near_duplicates.near_duplicates(described, distance=0.3)
    assert len(pairs) > 500
    assert (labels[pairs[:, 0]] == labels[pairs[:, 1]]).all()
