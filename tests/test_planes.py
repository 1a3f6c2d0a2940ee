"""Planes through a cloud: what is left after trimming, its density and ellipse, and points of a plane."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial.distance import mahalanobis
from scipy.stats import gaussian_kde

from helpers.ellipses import coverage
from helpers.explorer import space as space_module
from helpers.explorer.space import Settings
from helpers.files import InputError
from helpers.latent.covariance import fit_pca, transform_pca
from helpers.latent.fits import trim_outliers

FACTS = (1.0, 1.35, 1.7, np.inf)


@pytest.fixture(scope="module")
def z():
    """3,500 heavy-tailed, correlated points of six dimensions off the origin."""
    rng = np.random.default_rng(3)
    scales = np.exp(0.3 * rng.standard_normal((3500, 1)))
    mixing = rng.standard_normal((6, 6)) + 2 * np.eye(6)
    return (scales * rng.standard_normal((3500, 6)) @ mixing + rng.uniform(-4, 4, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def space(z):
    return space_module.prepare_space(z)


def test_trimming_leaves_the_same_points_as_the_mask(z, space):
    counts = []
    for fact in FACTS:
        left = space_module.count_left(space.data, fact)
        expected = z[trim_outliers(z, fact)]
        found = space.data.coordinates["original"][:, :left].T
        assert np.array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])
        counts.append(left)
    assert 0 < counts[0] < counts[1] < counts[2] < counts[3] == len(z)
    assert space_module.count_left(space.data, space.data.deviations[41]) == 42  # a point on the limit stays


def test_pca_coordinates_belong_to_the_same_points(z, space):
    rebuilt = space.data.coordinates["PCA"].T @ space.pca.components + space.pca.mean
    assert np.allclose(rebuilt, space.data.coordinates["original"].T, atol=1e-4)
    assert all(rows.flags.c_contiguous for rows in space.data.coordinates.values())


@pytest.mark.parametrize("coordinates", space_module.COORDINATES)
@pytest.mark.parametrize("fact", [1.35, np.inf])
def test_a_section_has_density_ellipse_and_share_of_the_points_left(z, space, coordinates, fact):
    section = space_module.cut_cloud(space.data, Settings(coordinates, 4, 1, fact))
    plane, mean = section.plane, section.normal.mean
    covariance = section.normal.axes.T @ section.normal.axes
    kept = z[trim_outliers(z, fact)]
    points = (transform_pca(fit_pca(z), kept) if coordinates == "PCA" else kept)[:, [4, 1]]
    assert mean == pytest.approx(points.mean(axis=0), abs=1e-4)
    assert covariance == pytest.approx(np.cov(points.T), rel=1e-4, abs=1e-4)
    for n_std in (0.5, 2, 3):
        expected = coverage(points, mean, covariance, n_std)
        assert space_module.share_within(section, n_std) == pytest.approx(expected, abs=1.5 / len(points))
    rows, columns = np.arange(5, space_module.CELLS, 13), np.arange(2, space_module.CELLS, 17)
    positions = np.stack(np.meshgrid(plane.x[columns], plane.y[rows]), axis=0).reshape(2, -1)
    expected = gaussian_kde(points.T)(positions).reshape(len(rows), len(columns))
    found = plane.density[np.ix_(rows, columns)]
    assert np.abs(found - expected).max() < 0.002 * plane.density.max()


def test_contours_enclose_what_ellipses_enclose_of_a_normal_plane(space):
    plane = space_module.cut_cloud(space.surrogate, Settings()).plane
    density = RegularGridInterpolator((plane.y, plane.x), plane.density)
    at_points = density(space.surrogate.coordinates["PCA"][[1, 0]].T)
    shares = sorted(np.mean(at_points >= level) for level in plane.levels)
    assert shares == pytest.approx([0.393, 0.865, 0.989], abs=0.012)


def test_scatter_plots_part_the_same_points_into_left_and_trimmed(space):
    whole = space_module.cut_cloud(space.data, Settings(fact=np.inf))
    trimmed = space_module.cut_cloud(space.data, Settings(fact=1.35))
    assert whole.shown.shape == (2, space_module.SCATTERED_POINTS)
    assert whole.dropped.shape == (2, 0)
    assert np.array_equal(np.hstack([trimmed.shown, trimmed.dropped]), whole.shown)
    share = space_module.count_left(space.data, 1.35) / len(space.data.deviations)
    assert trimmed.shown.shape[1] / space_module.SCATTERED_POINTS == pytest.approx(share, abs=0.03)
    assert trimmed.dropped.shape[1] > 0


def test_the_surrogate_has_mean_and_covariance_of_the_cloud_and_limits_of_its_own(z, space):
    surrogate = space.surrogate.coordinates["original"]
    assert surrogate.mean(axis=1) == pytest.approx(z.mean(axis=0), abs=1e-3)
    assert np.cov(surrogate) == pytest.approx(np.cov(z.T), rel=1e-3, abs=1e-3)
    own = trim_outliers(surrogate.T, 1.35)
    assert space_module.count_left(space.surrogate, 1.35) == own.sum()
    assert own[: own.sum()].all()
    assert own.mean() > trim_outliers(z, 1.35).mean()  # the cloud has the heavier tails


@pytest.mark.parametrize("coordinates", space_module.COORDINATES)
def test_a_picked_point_lies_where_it_was_picked_and_at_the_mean_otherwise(z, space, coordinates):
    settings = Settings(coordinates, 3, 0, pick_first=1.5, pick_second=-2)
    point = space_module.point_of_plane(space, settings)
    assert point.dtype == np.float32
    pca = fit_pca(z)
    if coordinates == "PCA":
        found, spread = (point - pca.mean) @ pca.components.T, np.sqrt(pca.explained_variance)
        expected = np.zeros(6)
    else:
        found, spread = point, z.std(axis=0, ddof=1, dtype=np.float64)
        expected = z.mean(axis=0, dtype=np.float64)
    expected[[3, 0]] += np.array([1.5, -2]) * spread[[3, 0]]
    assert found == pytest.approx(expected, abs=1e-4)
    assert space_module.place_in_plane(space, settings) == pytest.approx(expected[[3, 0]], abs=1e-4)


def test_mahalanobis_distances_are_those_of_scipy(z, space):
    inverse, mean = np.linalg.inv(np.cov(z.T.astype(np.float64))), z.mean(axis=0, dtype=np.float64)
    for settings in (Settings("original", 2, 5, pick_first=3, pick_second=1), Settings(pick_first=-2)):
        point = space_module.point_of_plane(space, settings)
        expected = mahalanobis(point, mean, inverse)
        assert space_module.picked_distance(space, settings) == pytest.approx(expected, rel=1e-4)
    assert space_module.picked_distance(space, Settings(pick_first=3, pick_second=4)) == pytest.approx(
        5, rel=1e-4
    )
    distances = [mahalanobis(point, mean, inverse) for point in z]
    assert space.median_distance == pytest.approx(np.median(distances), rel=1e-4)


@pytest.mark.parametrize("coordinates", space_module.COORDINATES)
@pytest.mark.parametrize("shape", [(3500, 6), (12, 20)])
def test_nearest_points_are_those_of_all_distances(z, coordinates, shape):
    points = z if shape[1] == 6 else np.random.default_rng(0).standard_normal(shape).astype(np.float32) + 9
    space = space_module.prepare_space(points)
    for picks in ((0, 0), (1.5, -0.5), (-4, 5)):
        settings = Settings(coordinates, 2, 5, 1.35, 2.0, *picks)
        expected = np.linalg.norm(points - space_module.point_of_plane(space, settings), axis=1)
        rows, distances = space_module.nearest_points(space, settings, 3)
        assert rows.tolist() == np.argsort(expected)[:3].tolist()
        assert distances == pytest.approx(expected[rows], rel=1e-5)


def test_fewer_points_than_dimensions_leave_as_many_principal_axes_as_there_are():
    z = np.random.default_rng(0).standard_normal((12, 20)).astype(np.float32)
    space = space_module.prepare_space(z)
    shapes = {name: rows.shape for name, rows in space.data.coordinates.items()}
    assert shapes == {"original": (20, 12), "PCA": (11, 12)}
    section = space_module.cut_cloud(space.data, Settings("PCA", 10, 0))
    assert np.isfinite(section.plane.density).all()
    with pytest.raises(InputError, match="0 to 10"):
        space_module.require_plane(space, Settings("PCA", 11, 0))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(first=6), "component 6; choose 0 to 5"),
        (Settings(second=-1), "component -1"),
        (Settings(first=0.5), "component 0.5"),
        (Settings(first="0"), "component 0;"),
        (Settings(first=2, second=2), "two axes"),
        (Settings(coordinates="polar"), "polar"),
    ],
)
def test_what_is_no_plane_gets_one_sentence(space, settings, words):
    with pytest.raises(InputError, match=words):
        space_module.require_plane(space, settings)


def test_too_few_points_get_one_sentence(z, space):
    with pytest.raises(InputError, match=r"fact 0.1 leaves \d of 3,500 points"):
        space_module.cut_cloud(space.data, Settings(fact=0.1))
    with pytest.raises(InputError, match="at least 10"):
        space_module.prepare_space(z[:9])


def test_the_same_seed_prepares_the_same_space(z, space):
    again, other = space_module.prepare_space(z), space_module.prepare_space(z, seed=2)
    for name in ("data", "surrogate"):
        same, first = getattr(again, name), getattr(space, name)
        assert np.array_equal(same.coordinates["PCA"], first.coordinates["PCA"])
        assert np.array_equal(same.shown, first.shown)
    assert not np.array_equal(other.surrogate.coordinates["PCA"], space.surrogate.coordinates["PCA"])
