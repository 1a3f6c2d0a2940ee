import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import kstest, norm

from helpers.latent import covariance, neighbours
from helpers.sampling import mixtures
from helpers.sampling.samplers import SAMPLERS

CENTRES = np.array([[-6.0, 0, 0, 0, 1], [6, 0, 0, 0, 1], [0, 9, 0, 0, 1]])
SPREADS = np.array([[1, 1, 1, 1, 1], [2, 0.5, 1, 1, 1], [1, 1, 0.3, 1, 2]])
WEIGHTS = [0.5, 0.3, 0.2]


def three_clusters(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=WEIGHTS)
    return (CENTRES[labels] + SPREADS[labels] * rng.standard_normal((n, 5))).astype("f4")


def scales_that_depend_on_direction(n, dimensions=20, seed=0):
    """Points twice as far out where the first component is positive, with heavy tails."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n, dimensions)) * np.linspace(3, 1, dimensions)
    scales = np.where(points[:, :1] > 0, 2, 1) * np.exp(0.2 * rng.standard_normal((n, 1)))
    return (scales * points + 4).astype("f4")


def nearest_cluster(points):
    return np.argmin(np.linalg.norm((points[:, None] - CENTRES) / SPREADS, axis=2), axis=1)


def test_a_mixture_finds_planted_clusters_again():
    normal, mixture = mixtures.fit_mixture(three_clusters(6000), n_components=3)
    assert mixture.weights.sum() == pytest.approx(1)
    assert np.sort(mixture.weights)[::-1] == pytest.approx(WEIGHTS, abs=0.02)
    drawn = mixtures.draw_mixture((normal, mixture), 40_000, np.random.default_rng(0))
    labels = nearest_cluster(drawn)
    assert np.bincount(labels) / len(drawn) == pytest.approx(WEIGHTS, abs=0.02)
    for label, (centre, spread) in enumerate(zip(CENTRES, SPREADS, strict=True)):
        cluster = drawn[labels == label]
        assert cluster.mean(axis=0) == pytest.approx(centre, abs=0.12)
        assert cluster.std(axis=0) == pytest.approx(spread, rel=0.06)
        for values, middle, width in zip(cluster.T, centre, spread, strict=True):
            assert kstest(values, norm(middle, width).cdf).statistic < 0.04


@pytest.mark.parametrize(("n", "dimensions"), [(100, 1), (450, 4), (4000, 30)])
def test_a_mixture_has_as_many_dimensions_as_the_points_allow(n, dimensions):
    z = np.random.default_rng(0).standard_normal((n, 30)).astype("f4")
    _, mixture = mixtures.fit_mixture(z)
    assert mixture.means.shape == (10, dimensions)
    assert mixture.roots.shape == (10, dimensions, dimensions)


def test_components_that_the_mixture_leaves_out_are_normal():
    z = three_clusters(450)
    normal, mixture = mixtures.fit_mixture(z, n_components=15)
    assert mixture.means.shape == (15, 3)
    drawn = covariance.whiten(
        normal, mixtures.draw_mixture((normal, mixture), 20_000, np.random.default_rng(0))
    )
    for values in drawn[:, 3:].T:
        assert kstest(values, norm.cdf).pvalue > 0.01
    assert kstest(drawn[:, 0], norm.cdf).pvalue < 1e-6
    assert np.cov(drawn, rowvar=False) == pytest.approx(np.eye(5), abs=0.05)


def test_shrinking_keeps_the_covariance_of_the_whole():
    rng = np.random.default_rng(0)
    covariances = np.stack([np.cov(rng.standard_normal((30, 4)), rowvar=False) for _ in range(3)])
    weights = np.array(WEIGHTS)
    shrunk = mixtures.shrink(weights, covariances, 60)
    whole = np.einsum("k,kij->ij", weights, covariances)
    assert np.einsum("k,kij->ij", weights, shrunk) == pytest.approx(whole)
    share = 4 / (4 + 60 / 3)
    assert shrunk - whole == pytest.approx((1 - share) * (covariances - whole))


def test_fits_do_not_depend_on_chance():
    z = three_clusters(600)
    for fit in (mixtures.fit_mixture, mixtures.fit_bootstrap):
        for one, other in zip(_arrays(fit(z)), _arrays(fit(z)), strict=True):
            assert np.array_equal(one, other)


def _arrays(fitted):
    return [leaf for item in fitted for leaf in (_arrays(item) if isinstance(item, tuple) else [item])]


def test_scales_and_directions_make_up_the_coordinates():
    coordinates = np.random.default_rng(0).standard_normal((500, 8)).astype("f4")
    features, (mean, spread) = mixtures.split_scales(coordinates)
    assert features.dtype == np.float32
    assert (features[:, 0].mean(), features[:, 0].std()) == pytest.approx((0, 1), abs=1e-4)
    assert np.linalg.norm(features[:, 1:], axis=1) == pytest.approx(np.full(500, np.sqrt(8)), rel=1e-5)
    assert np.exp(mean + spread * features[:, :1]) * features[:, 1:] == pytest.approx(coordinates, abs=1e-4)


def test_points_at_the_mean_or_with_equal_scales_stay_finite():
    for coordinates in (np.vstack([np.zeros(4), np.eye(4)]), np.eye(4)):
        features, _ = mixtures.split_scales(coordinates)
        assert np.isfinite(features).all()


def test_a_bootstrap_without_noise_gives_the_points_and_with_noise_alone_the_mixture():
    z = scales_that_depend_on_direction(1000)
    bootstrap = mixtures.fit_bootstrap(z)
    again = mixtures.draw_bootstrap(bootstrap._replace(noise=0.0), 50, np.random.default_rng(0))
    assert cKDTree(z).query(again)[0].max() < 1e-3
    noise = bootstrap._replace(noise=1.0)
    others = noise._replace(deviations=np.zeros_like(noise.deviations))
    one, other = (mixtures.draw_bootstrap(b, 50, np.random.default_rng(0)) for b in (noise, others))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("dimensions", [10, 60])
def test_a_bootstraps_draws_are_as_new_as_new_points(dimensions):
    z = scales_that_depend_on_direction(4000, dimensions)
    fresh = scales_that_depend_on_direction(2000, dimensions, seed=1)
    drawn = SAMPLERS["bootstrap"](z, 2000, np.random.default_rng(0))
    drawn, fresh = (neighbours.nearest_distances(points, z) for points in (drawn, fresh))
    for quantile, bar in ((0.05, 0.1), (0.5, 0.08)):  # the nearest ones and the median
        assert np.quantile(drawn, quantile) / np.quantile(fresh, quantile) == pytest.approx(1, abs=bar)


def contrast_of_sides(points):
    """How much farther out points lie where the first component is positive."""
    lengths = np.linalg.norm(points[:, 1:] - 4, axis=1)
    return np.median(lengths[points[:, 0] > 4]) / np.median(lengths[points[:, 0] < 4])


def test_a_bootstrap_knows_that_the_scale_depends_on_the_direction():
    z = scales_that_depend_on_direction(4000)
    names, rng = ("gaussian", "elliptical", "bootstrap"), np.random.default_rng(0)
    contrasts = {name: contrast_of_sides(SAMPLERS[name](z, 10_000, rng)) for name in names}
    assert contrast_of_sides(z) == pytest.approx(2, abs=0.05)
    assert contrasts["gaussian"] < 1.1
    assert contrasts["elliptical"] < 1.2
    assert contrasts["bootstrap"] > 1.6


def test_a_bootstrap_leaves_the_gap_between_clusters_empty():
    z, rng = three_clusters(3000), np.random.default_rng(0)
    gap = {
        name: np.mean(np.abs(SAMPLERS[name](z, 10_000, rng)[:, :2] - [0, 3]).max(axis=1) < 1.5)
        for name in ("gaussian", "bootstrap")
    }
    assert gap["gaussian"] > 0.03
    assert gap["bootstrap"] < 0.005
