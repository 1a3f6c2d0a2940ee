import numpy as np
import pytest
from scipy.stats import gaussian_kde

from helpers import density, ellipses
from helpers.files import InputError

N = 2000


def normal_points(n=N, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2))


def mixed(matrix, shift=(0, 0)):
    return normal_points() @ np.array(matrix, dtype=float).T + shift


CLOUDS = {
    "normal": normal_points(),
    "correlated": mixed([[1, 0], [0.95, 0.31]]),
    "nearly on a line": mixed([[1, 0], [-1, 0.014]]),
    "unequal units far from the origin": mixed([[1e-3, 0], [5e-4, 1e2]], shift=(1e3, -5e5)),
    "two peaks": mixed([[0.3, 0], [0, 0.3]]) + 3 * np.sign(normal_points(seed=1)),
    "one-sided": np.random.default_rng(0).exponential(size=(N, 2)),
    "heavy tails": np.random.default_rng(0).standard_t(2, (N, 2)),
    "no variance": np.random.default_rng(0).standard_cauchy((N, 2)),
    "far outliers": np.concatenate([normal_points(), [[3000, 0], [0, -9000]]]),
    "many points in one place": np.concatenate([np.zeros((N, 2)), normal_points(20)]),
    "few points": normal_points(4),
}


def scipys_density(points, x, y):
    grid = np.meshgrid(x, y)
    return gaussian_kde(points.T)(np.reshape(grid, (2, -1))).reshape(grid[0].shape)


def elliptic_density(covariance, mean=(0.0, 0.0), reach=5.0, grid=200):
    """Normal density itself on a grid: what an estimate would be without noise."""
    x, y = np.array(mean)[:, None] + np.sqrt(np.diag(covariance))[:, None] * np.linspace(-reach, reach, grid)
    offsets = np.stack(np.meshgrid(x, y), axis=-1) - mean
    distances = np.einsum("...i,ij,...j", offsets, np.linalg.inv(covariance), offsets)
    return x, y, np.exp(-distances / 2) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))


def turned_covariance(angle, long, short):
    directions = ellipses.unit_vectors(angle)
    return directions.T @ np.diag([long**2, short**2]) @ directions


@pytest.mark.parametrize("name", CLOUDS)
def test_density_agrees_with_scipys(name):
    points = CLOUDS[name]
    x, y, found = density.kde_2d(points)
    assert x.shape == y.shape == (200,)
    assert found.shape == (200, 200)
    assert found.dtype == np.float64
    expected = scipys_density(points, x[::5], y[::4])
    assert np.abs(found[::4, ::5] - expected).max() < 0.001 * expected.max()


@pytest.mark.parametrize("grid", [30, 77, 300])
def test_accuracy_does_not_depend_on_the_grid(grid):
    points = CLOUDS["two peaks"]
    x, y, found = density.kde_2d(points.astype("f4"), grid)
    assert found.shape == (grid, grid)
    expected = scipys_density(points, x[::9], y[::9])
    assert np.abs(found[::9, ::9] - expected).max() < 0.0005 * found.max()


@pytest.mark.parametrize("name", ["normal", "correlated", "two peaks", "one-sided", "heavy tails"])
def test_density_is_positive_and_integrates_to_one_on_its_grid(name):
    points = CLOUDS[name]
    x, y, found = density.kde_2d(points)
    assert found.min() >= 0
    assert found.sum() * (x[1] - x[0]) * (y[1] - y[0]) == pytest.approx(1, abs=1e-3)
    bandwidth = points.std(axis=0, ddof=1) * N ** (-1 / 6)
    assert points[:, 0].min() - x[0] == pytest.approx(4 * bandwidth[0])
    assert y[-1] - points[:, 1].max() == pytest.approx(4 * bandwidth[1])


def test_nothing_wraps_around_from_one_side_to_the_other():
    """A wall of points on one side only: what it loses must not appear on the other one."""
    wall = np.random.default_rng(0).exponential(0.05, (N, 2))
    wall[0] = 1
    x, y, found = density.kde_2d(wall)
    assert (x[-1], y[-1]) > (1, 1)
    expected = scipys_density(wall, x[-20:], y)
    assert np.abs(found[:, -20:] - expected).max() < 1e-4 * found.max()
    assert found[:100, -1].max() < 1e-4 * found.max()


def test_density_moves_and_stretches_with_the_points():
    x, y, found = density.kde_2d(CLOUDS["two peaks"], 60)
    moved_x, moved_y, moved = density.kde_2d(CLOUDS["two peaks"] * [10, 0.1] + [100, -7], 60)
    assert moved_x == pytest.approx(10 * x + 100)
    assert moved_y == pytest.approx(0.1 * y - 7)
    assert moved == pytest.approx(found, abs=1e-9 * found.max())


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.ones((50, 2)), "component 0 has the same value"),
        (normal_points() * [1, 0] + [0, 0.1], "component 1 has the same value"),
        (normal_points()[:, :1] * [1, 2] + [0, 1], "straight line"),
        ((normal_points()[:, :1] * [1, 2] + [0, 1]).astype("f4"), "straight line"),
        (normal_points(2), "at least 3 rows of points, here are 2"),
        (np.random.default_rng(0).random((50, 3)), "2 columns of points, here are 3"),
        (np.array([[0, 0], [1, np.nan], [2, 3], [5, 1]]), "not finite"),
        (np.concatenate([np.zeros((300_000, 2)), [[1, 0], [0, 1]]]), "very far from all others"),
    ],
)
def test_points_without_a_density_get_one_clear_sentence(points, message):
    with pytest.raises(InputError, match=message):
        density.kde_2d(points)


@pytest.mark.parametrize("angle", [0, 30])
def test_levels_of_a_normal_density_are_the_known_ones(angle):
    """The region that holds p has the edge density (1 − p) of the peak."""
    _, _, values = elliptic_density(turned_covariance(angle, 3, 1))
    levels = density.contour_levels(values, [0.393, 0.95, 0.8])
    assert (np.diff(levels) > 0).all()
    assert levels / values.max() == pytest.approx([0.05, 0.2, 0.607], rel=0.02)


def test_contours_enclose_their_share_of_the_points():
    points = mixed([[1, 0], [0.7, 0.5]])
    values = density.kde_2d(points)[2]
    at_points = gaussian_kde(points.T)(points.T)
    for share in (0.3, 0.6, 0.9):
        level = density.contour_levels(values, share)[0]
        # Points lie denser than their smoothed density tells: a bandwidth of 0.28 sigma widens by 4 %.
        assert np.mean(at_points > level) == pytest.approx(share, abs=0.04)
        assert values[values > level].sum() / values.sum() == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("shares", [[0.0], [0.5, 1.0], [-1], [np.nan]])
def test_impossible_shares_get_one_clear_sentence(shares):
    with pytest.raises(InputError, match="between 0 and 1"):
        density.contour_levels(np.ones((5, 5)), shares)


@pytest.mark.parametrize("angle", [-60, 0, 20, 45])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_ellipse_of_a_normal_contour_is_its_confidence_ellipse(angle, share):
    covariance, mean = turned_covariance(angle, 3, 1), (5.0, -2.0)
    x, y, values = elliptic_density(covariance, mean)
    found = density.contour_ellipse(x, y, values, density.contour_levels(values, share)[0])
    expected = ellipses.confidence_ellipse(mean, covariance, np.sqrt(-2 * np.log(1 - share)))
    assert found.angle == pytest.approx(expected.angle, abs=0.1)
    assert found.centre == pytest.approx(expected.centre, abs=0.01)
    assert found.half_axes == pytest.approx(expected.half_axes, rel=0.02)


def test_a_region_of_hardly_any_positions_has_no_ellipse():
    x, y, values = elliptic_density(np.eye(2))
    with pytest.raises(InputError, match="take a finer grid"):
        density.contour_ellipse(x, y, values, np.sort(values, axis=None)[-3])


def test_angles_between_axes_know_no_direction():
    for angle, other, expected in ((10, 30, 20), (89, -89, 2), (0, 180, 0), (-45, 45, 90), (90, 0, 90)):
        assert density.axes_angle(angle, other) == pytest.approx(expected)


def test_alignment_of_a_turned_and_shifted_contour_in_its_reference():
    x, y, values = elliptic_density(turned_covariance(25, 3, 1), mean=(0.6, 0.4))
    angle, offset, axis_ratio = density.contour_alignment(
        x, y, values, 0.4, mean=(0, 0), cov=np.diag([9.0, 1.0])
    )
    assert angle == pytest.approx(25, abs=0.1)
    assert offset == pytest.approx(np.hypot(0.6 / 3, 0.4 / 1), abs=0.01)
    assert axis_ratio == pytest.approx(3, rel=0.02)


def test_a_core_turned_against_the_whole_cloud_is_seen():
    """Nine tenths along one direction; the few outer points alone turn the covariance (IX-079)."""
    core = normal_points(9000) * [2, 1]
    outer = normal_points(1000, seed=1) @ turned_covariance(60, 4, 1)
    points = np.concatenate([core, outer])
    mean, cov = points.mean(axis=0), np.cov(points, rowvar=False)
    angle, _, _ = density.contour_alignment(*density.kde_2d(points), 0.4, mean, cov)
    core_mean, core_cov = core.mean(axis=0), np.cov(core, rowvar=False)
    own_angle, own_offset, _ = density.contour_alignment(*density.kde_2d(core), 0.4, core_mean, core_cov)
    assert angle > 20
    assert own_angle < 5
    assert own_offset < 0.1
