import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from helpers import density
from helpers.ellipses import unit_vectors

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
    assert np.cov(points.T) * density.widening(2_000) == pytest.approx(smoothed, rel=0.02)


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
    inverse = np.linalg.inv(np.cov(points.T))
    centred = plane.ellipses - points.mean(axis=0)
    distances = np.sqrt(np.einsum("kmi,ij,kmj->km", centred, inverse, centred))
    assert distances == pytest.approx(np.repeat([[1.0], [2.0], [3.0]], distances.shape[1], axis=1))
    others = density.plane_density(points, (2,), ellipses_of=points + 7)
    assert others.ellipses[0].mean(axis=0) - points.mean(axis=0) == pytest.approx([7, 7], abs=0.1)


@pytest.mark.parametrize("n", [3_200, 20_000])
def test_contours_hold_the_stated_share_of_points(n):
    held, stated = [], np.array([0.9889, 0.8647, 0.3935])
    for seed in range(8):
        points = normal(n, seed)
        x, y, values, levels, _ = density.plane_density(points, (1, 2, 3))
        read_off = RegularGridInterpolator((y, x), values)(points[:, ::-1])
        held.append([np.mean(read_off >= level) for level in levels])
    assert np.mean(held, axis=0) == pytest.approx(stated, abs=0.007)


def core_and_outliers(core_angle, outlier_angle, n=20_000):
    """A core of axis ratio 1.6 at one angle, and a tenth as many far outliers stretched at another."""
    rng, clouds = np.random.default_rng(0), []
    for angle, size, widths in ((core_angle, n, [1.3, 0.8]), (outlier_angle, n // 10, [4.5, 1.0])):
        clouds.append(rng.standard_normal((size, 2)) * widths @ unit_vectors(angle))
    return np.concatenate(clouds)


@pytest.mark.parametrize("core_angle", [75, -40, 88])
def test_the_core_rests_while_outliers_turn_the_axes(core_angle):
    one, other = (density.core_turn(core_and_outliers(core_angle, angle)) for angle in (-10, 20))
    for found in (one, other):
        assert density.axes_angle(found.core, core_angle) < 7
        assert density.axes_angle(found.core, found.own + found.axes) < 1e-6
        assert found.axis_ratio > 1.3
        assert -90 < found.core <= 90
    assert density.axes_angle(one.axes, other.axes) > 20
    assert density.axes_angle(one.own, other.own) > 15


def test_each_plane_is_ranked_among_its_own_noise():
    noise = np.column_stack([np.arange(19) + 1, np.arange(19) * 5])
    assert density.rank_planes([18.5, 18.5], noise) == pytest.approx([2 / 20, 16 / 20])
    assert density.rank_planes([30, 0], noise).tolist() == [1 / 20, 1]


def test_planes_are_named_by_their_components():
    assert density.pairs_among([4, 7, 9]).tolist() == [[4, 7], [4, 9], [7, 9]]
    assert len(density.pairs_among(range(10))) == 45
    y = RNG.standard_normal((4_000, 4)) * [1, 1, 1, 9]
    found = density.compare_contours(y, density.pairs_among(range(4)))
    assert found.overlap.shape == (6, 4)
    assert (found.axis_ratio[[2, 4, 5]] > 6).all()
    assert (found.axis_ratio[[0, 1, 3]] < 1.3).all()
