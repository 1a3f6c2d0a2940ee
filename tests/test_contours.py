import numpy as np
import pytest

from helpers import density

RNG = np.random.default_rng(0)
MEAN = np.array([3, -1])
COVARIANCE = np.array([[4.0, 1.5], [1.5, 1.0]])


def normal(n=40_000, seed=0):
    return np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, n)


def test_contours_of_a_normal_plane_are_its_ellipses():
    found = density.compare_contours(normal(), [(0, 1)])
    assert found.overlap.shape == (1, 4)
    assert found.overlap.min() > 0.93
    assert found.angle[0] < 3
    assert found.offset[0] < 0.05
    # the inner contour has the shape of the ellipse, whose axes are the roots of the eigenvalues
    assert found.axis_ratio[0] == pytest.approx(
        np.sqrt(np.divide(*np.linalg.eigvalsh(COVARIANCE)[::-1])), rel=0.1
    )


def test_narrow_tilted_planes_are_seen_as_well_as_round_ones():
    narrow = normal() @ np.array([[1.0, 1.0], [0.0, 0.01]])  # rho above 0.999
    assert np.corrcoef(narrow.T)[0, 1] > 0.999
    round_one, thin = (density.compare_contours(cloud, [(0, 1)]) for cloud in (normal(), narrow))
    assert thin.overlap == pytest.approx(round_one.overlap, abs=0.02)
    assert thin.angle[0] < 0.1
    half = density.overlap_of_clouds(narrow[:20_000], narrow[20_000:], 2)
    assert half == pytest.approx(density.overlap_of_clouds(normal()[:20_000], normal()[20_000:], 2), abs=0.02)


def test_other_shapes_overlap_less_and_say_how():
    box = RNG.uniform(-1, 1, (40_000, 2))
    assert density.compare_contours(box, [(0, 1)]).overlap[0, 3] < 0.85
    shifted = np.concatenate(
        [normal(), normal(8_000) + np.array([6, 0])]
    )  # a fifth of the points pulls the mean
    assert density.compare_contours(shifted, [(0, 1)]).offset[0] > 0.25
    turned = np.concatenate([normal(30_000), (normal(6_000) - MEAN) * [3, -3] + MEAN])
    assert density.compare_contours(turned, [(0, 1)]).angle[0] > 10


def test_the_kernel_s_own_width_is_allowed_for():
    points = normal(2_000)
    x, y, found = density.kde_2d(points, 200)
    cell = (x[1] - x[0]) * (y[1] - y[0])
    weights = found.ravel() * cell
    positions = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    centred = positions - weights @ positions
    smoothed = centred.T @ (weights[:, None] * centred)
    assert density.widened_covariance(points) == pytest.approx(smoothed, rel=0.02)


def test_overlap_is_common_area_over_area_of_both():
    one, other = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    one[:, :6], other[:, 4:] = True, True
    assert density.overlap(one, other) == 0.2
    assert density.overlap(one, one) == 1
    assert density.overlap(one, ~one) == 0


def test_a_cloud_overlaps_with_itself_and_less_with_others():
    points = normal(3_000)
    assert density.overlap_of_clouds(points, points, 2) > 0.97
    again = density.overlap_of_clouds(points, normal(3_000, seed=1), 2)
    assert 0.8 < again < 0.97
    assert density.overlap_of_clouds(points, points + 40, 2) == 0


def test_a_plane_for_a_picture_has_levels_and_ellipses_of_the_same_shares():
    points = normal(5_000)
    plane = density.plane_density(points, (1, 2, 3))
    assert (np.diff(plane.levels) > 0).all()
    for level, n_std in zip(plane.levels, (3, 2, 1), strict=True):
        assert plane.density[plane.density >= level].sum() / plane.density.sum() == pytest.approx(
            1 - np.exp(-(n_std**2) / 2), abs=0.01
        )
    inverse = np.linalg.inv(np.cov(points.T))
    centred = plane.ellipses - points.mean(axis=0)
    distances = np.sqrt(np.einsum("kmi,ij,kmj->km", centred, inverse, centred))
    assert distances == pytest.approx(np.repeat([[1.0], [2.0], [3.0]], distances.shape[1], axis=1))
    others = density.plane_density(points, (2,), ellipses_of=points + 7)
    assert others.ellipses[0].mean(axis=0) - points.mean(axis=0) == pytest.approx([7, 7], abs=0.1)


def test_planes_are_named_by_their_components():
    assert density.pairs_among([4, 7, 9]).tolist() == [[4, 7], [4, 9], [7, 9]]
    assert len(density.pairs_among(range(10))) == 45
    y = RNG.standard_normal((4_000, 4)) * [1, 1, 1, 9]
    found = density.compare_contours(y, density.pairs_among(range(4)))
    assert found.overlap.shape == (6, 4)
    assert (found.axis_ratio[[2, 4, 5]] > 6).all()
    assert (found.axis_ratio[[0, 1, 3]] < 1.3).all()
