import numpy as np
import pytest
from scipy.spatial import geometric_slerp

from helpers.files import InputError
from helpers.latent import covariance
from helpers.sampling import paths

SHARES = np.linspace(0, 1, 7)


def two_points(dimensions=5, seed=0):
    return np.random.default_rng(seed).standard_normal((2, dimensions))


def test_a_line_in_a_plane_changes_two_coordinates_evenly():
    start = np.arange(5.0)
    path = paths.line_in_plane(start, (3, 1), [(-1, 2), (5, 4)], [0, 0.5, 1])
    assert path.dtype == np.float32
    assert path.tolist() == [[0, 2, 2, -1, 4], [0, 3, 2, 2, 4], [0, 4, 2, 5, 4]]


def test_a_line_in_a_plane_of_principal_components_changes_only_these():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((300, 6)) @ rng.standard_normal((6, 6)) + 4
    pca = covariance.fit_pca(z)
    path = paths.line_in_plane(z[0], (0, 2), [(-3, 1), (3, 2)], SHARES, pca)
    coordinates = covariance.transform_pca(pca, path)
    assert coordinates[:, 0] == pytest.approx(np.linspace(-3, 3, 7), abs=1e-4)
    assert coordinates[:, 2] == pytest.approx(np.linspace(1, 2, 7), abs=1e-4)
    others = [1, 3, 4, 5]
    start = covariance.transform_pca(pca, z[:1])[0, others]
    assert coordinates[:, others] == pytest.approx(np.tile(start, (7, 1)), abs=1e-4)


def test_linear_interpolation_goes_straight_from_end_to_end():
    start, end = two_points()
    path = paths.interpolate_linear(start, end, SHARES)
    assert path.dtype == np.float32
    assert path == pytest.approx(np.linspace(start, end, 7), abs=1e-6)


def test_interpolation_of_many_pairs_takes_a_share_each():
    starts, ends = np.random.default_rng(0).standard_normal((2, 7, 5))
    for interpolate in (paths.interpolate_linear, paths.interpolate_spherical):
        rows = interpolate(starts, ends, SHARES)
        for row, start, end, share in zip(rows, starts, ends, SHARES, strict=True):
            assert row == pytest.approx(interpolate(start, end, [share])[0], abs=1e-6)


def test_spherical_interpolation_agrees_with_scipys_on_the_unit_sphere():
    start, end = (point / np.linalg.norm(point) for point in two_points())
    path = paths.interpolate_spherical(start, end, SHARES)
    assert path.dtype == np.float32
    assert path == pytest.approx(geometric_slerp(start, end, SHARES), abs=1e-6)


def test_spherical_interpolation_changes_the_distance_from_its_centre_evenly():
    (start, end), centre = two_points(), np.full(5, 0.7)
    path = paths.interpolate_spherical(start, 3 * end, SHARES, centre)
    distances = np.linalg.norm(path - centre, axis=1)
    assert distances == pytest.approx(np.linspace(distances[0], distances[-1], 7), rel=1e-5)
    assert path[[0, -1]] == pytest.approx(np.stack([start, 3 * end]), abs=1e-5)


def test_spherical_interpolation_in_one_direction_is_straight():
    start = np.array([1.0, 2.0, 2.0])
    path = paths.interpolate_spherical(start, 4 * start, SHARES)
    assert path == pytest.approx(paths.interpolate_linear(start, 4 * start, SHARES), rel=1e-5)


def test_an_arc_without_a_direction_gets_one_clear_sentence():
    start = np.array([1.0, 2.0, 2.0])
    with pytest.raises(InputError, match="Two opposite points have no arc"):
        paths.interpolate_spherical(start, -start, SHARES)
    with pytest.raises(InputError, match="cannot begin or end at its centre"):
        paths.interpolate_spherical(start, 2 * start, SHARES, centre=start)


def test_attribute_vectors_are_differences_of_means():
    rng = np.random.default_rng(0)
    z, attributes = rng.standard_normal((500, 6)).astype("f4"), rng.integers(0, 2, (500, 3)).astype(np.int8)
    z += 2 * attributes[:, 1:2] * np.array([0, 0, 1, 0, 0, -1], dtype="f4")
    vectors = paths.attribute_vectors(z, attributes)
    assert vectors.dtype == np.float32
    for attribute, vector in zip(attributes.T, vectors, strict=True):
        expected = z[attribute == 1].mean(axis=0) - z[attribute == 0].mean(axis=0)
        assert vector == pytest.approx(expected, abs=1e-5)
    assert vectors[1] == pytest.approx([0, 0, 2, 0, 0, -2], abs=0.3)


@pytest.mark.parametrize("value", [0, 1])
def test_an_attribute_that_all_or_none_have_gets_one_clear_sentence(value):
    z, attributes = np.ones((4, 3), dtype="f4"), np.array([[0, value], [1, value], [0, value], [1, value]])
    with pytest.raises(InputError, match="All or none of the 4 images have attribute 1; take more"):
        paths.attribute_vectors(z, attributes)


def test_steps_along_a_direction():
    path = paths.steps_along(np.ones(2), np.array([2.0, -1.0]), [-1, 0, 0.5])
    assert path.dtype == np.float32
    assert path.tolist() == [[-1, 2], [1, 1], [2, 0.5]]


def test_random_walks_keep_their_directions_and_have_the_given_lengths():
    start, lengths = np.random.default_rng(1).standard_normal(40), np.array([0.0, 1.5, 4.0])
    walks = paths.random_walks(start, lengths, 200, np.random.default_rng(0))
    assert walks.dtype == np.float32
    assert walks.shape == (200, 3, 40)
    steps = walks - start
    assert np.linalg.norm(steps, axis=2) == pytest.approx(np.tile(lengths, (200, 1)), rel=1e-4, abs=1e-6)
    assert steps[:, 2] / 4 == pytest.approx(steps[:, 1] / 1.5, abs=1e-4)
    assert np.abs((steps[:, 2] / 4).mean(axis=0)).max() < 0.05
    again = paths.random_walks(start, lengths, 200, np.random.default_rng(0))
    assert np.array_equal(walks, again)
