from functools import partial

import numpy as np
import pytest
from scipy.stats import chi2, kstest, norm, truncnorm
from scipy.stats import uniform as uniform_distribution

from helpers.files import InputError
from helpers.latent import covariance as covariance_module
from helpers.sampling import samplers
from helpers.sampling.samplers import SAMPLERS, Sampler

ABOUT_NORMAL = ["gaussian", "truncated", "elliptical", "ellipses", "ellipses_evenly"]


def correlated_points(n=4000, dimensions=6, seed=0):
    """Points with heavy tails, far from the origin."""
    rng = np.random.default_rng(seed)
    scales = np.exp(0.3 * rng.standard_normal((n, 1)))
    points = scales * rng.standard_normal((n, dimensions)) @ rng.standard_normal((dimensions, dimensions))
    return (points + 5).astype("f4")


def covariance(points):
    return np.cov(points, rowvar=False, dtype=np.float64)


def relative_difference(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(other)


def standard_normal_of(dimensions):
    return covariance_module.Normal(np.zeros(dimensions), np.eye(dimensions))


def on_principal_axes(z, drawn):
    return covariance_module.whiten(covariance_module.fit_normal(z), drawn)


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_have_the_promised_form_and_depend_on_the_seed_alone(name):
    z, sampler = correlated_points(300), SAMPLERS[name]
    before = z.copy()
    drawn = sampler(z, 40, np.random.default_rng(1))
    assert drawn.shape == (40, 6)
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()
    assert np.array_equal(z, before)
    in_two_steps = sampler.draw(sampler.fit(z), 40, np.random.default_rng(1))
    assert np.array_equal(drawn, in_two_steps)
    assert not np.isclose(drawn, sampler(z, 40, np.random.default_rng(2))).any()
    assert len(np.unique(drawn[:, 0])) == 40
    assert sampler(z, 1, np.random.default_rng(1)).shape == (1, 6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_fewer_points_than_dimensions_are_enough(name):
    z = correlated_points(120, dimensions=150)
    drawn = SAMPLERS[name](z, 50, np.random.default_rng(0))
    assert drawn.shape == (50, 150)
    assert np.isfinite(drawn).all()
    if name in [*ABOUT_NORMAL, "mixture", "bootstrap"]:
        joined = np.concatenate([drawn, z]).astype(np.float64) - z.mean(axis=0)
        assert np.linalg.matrix_rank(joined, tol=1e-2) == 119  # the plane of the points


@pytest.mark.parametrize("name", SAMPLERS)
def test_points_that_are_no_numbers_get_one_clear_sentence(name):
    z = correlated_points(300)
    z[7, 2] = np.inf
    with pytest.raises(InputError, match="training has diverged"):
        SAMPLERS[name].fit(z)
    with pytest.raises(InputError, match=r"as an array of numbers \(n, d\); this is of the shape \(6,\)"):
        SAMPLERS[name].fit(z[0])


@pytest.mark.parametrize("name", SAMPLERS)
def test_too_few_points_get_one_clear_sentence(name):
    with pytest.raises(InputError, match=r"needs at least \d+ rows of z\w*, here are 0; take more"):
        SAMPLERS[name].fit(np.empty((0, 6)))


@pytest.mark.parametrize("name", [*ABOUT_NORMAL, "zero_mean", "mixture", "bootstrap"])
def test_equal_points_get_one_clear_sentence(name):
    with pytest.raises(InputError, match="all rows are the same"):
        SAMPLERS[name].fit(np.ones((200, 6)))


@pytest.mark.parametrize("name", ["mixture", "bootstrap"])
def test_a_mixture_names_the_points_that_it_needs(name):
    with pytest.raises(
        InputError, match="A mixture of 10 components needs at least 100 rows of z_points, here are 99"
    ):
        SAMPLERS[name].fit(correlated_points(99))


@pytest.mark.parametrize("name", ["gaussian", "elliptical", "mixture", "bootstrap"])
def test_draws_have_mean_and_covariance_of_the_data(name):
    z = correlated_points()
    drawn = SAMPLERS[name](z, 100_000, np.random.default_rng(0))
    assert drawn.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=0.02 * float(z.std()))
    assert relative_difference(covariance(drawn), covariance(z)) < 0.03


def test_independent_draws_have_means_and_variances_and_no_correlations():
    z = correlated_points()
    drawn = SAMPLERS["independent"](z, 100_000, np.random.default_rng(0))
    assert drawn.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=0.05)
    assert relative_difference(covariance(drawn), np.diag(z.var(axis=0))) < 0.02
    assert kstest((drawn[:, 0] - z[:, 0].mean()) / z[:, 0].std(), norm.cdf).pvalue > 0.01


def test_zero_mean_draws_have_the_covariance_and_the_mean_zero():
    z = correlated_points()
    drawn = SAMPLERS["zero_mean"](z, 100_000, np.random.default_rng(0))
    assert drawn.mean(axis=0) == pytest.approx(np.zeros(6), abs=0.05)
    assert relative_difference(covariance(drawn), covariance(z)) < 0.03


def test_normal_and_uniform_draws_have_their_distributions():
    rng, z = np.random.default_rng(0), correlated_points(50)
    assert kstest(SAMPLERS["normal"](z, 5000, rng).ravel(), norm.cdf).pvalue > 0.01
    for half_width in (1.5, 10):
        sampler = Sampler(samplers.fit_dimension, partial(samplers.draw_uniform, half_width=half_width))
        even = uniform_distribution(-half_width, 2 * half_width).cdf
        assert kstest(sampler(z, 5000, rng).ravel(), even).pvalue > 0.01


@pytest.mark.parametrize("share", [0.5, 1])
def test_intervals_hold_the_share_of_each_components_values(share):
    z = correlated_points()
    low, high = samplers.fit_intervals(z, share)
    assert ((z >= low) & (z <= high)).mean(axis=0) == pytest.approx(np.full(6, share), abs=1e-3)
    drawn = samplers.SAMPLERS["intervals"].draw(np.stack([low, high]), 5000, np.random.default_rng(0))
    for component in range(6):
        even = uniform_distribution(low[component], high[component] - low[component]).cdf
        assert kstest(drawn[:, component], even).pvalue > 0.01


def test_elliptical_draws_keep_the_distances_and_draw_even_directions():
    z = correlated_points()
    measured = np.linalg.norm(on_principal_axes(z, z), axis=1)
    drawn = on_principal_axes(z, SAMPLERS["elliptical"](z, 20_000, np.random.default_rng(0)))
    distances = np.linalg.norm(drawn, axis=1)
    assert kstest(distances, measured).pvalue > 0.01
    assert np.abs(drawn / distances[:, None]).mean(axis=0) == pytest.approx(np.full(6, 0.34), abs=0.01)
    inner = distances < np.median(distances)
    assert np.abs((drawn / distances[:, None])[inner].mean(axis=0)).max() < 0.03


@pytest.mark.parametrize("share", [0.1, 0.5, 1])
def test_truncated_draws_are_normal_within_the_radius_of_that_share(share):
    z = correlated_points()
    radius = np.quantile(np.linalg.norm(on_principal_axes(z, z), axis=1), share)
    sampler = Sampler(samplers.fit_elliptical, partial(samplers.draw_truncated, share=share))
    drawn = sampler(z, 50_000, np.random.default_rng(0))
    distances = np.linalg.norm(on_principal_axes(z, drawn), axis=1)
    assert distances.max() <= radius * (1 + 1e-4)
    truncated = lambda squares: chi2.cdf(squares, 6) / chi2.cdf(radius**2, 6)  # noqa: E731
    assert kstest(distances**2, truncated).pvalue > 0.01
    shrunk = chi2.cdf(radius**2, 8) / chi2.cdf(radius**2, 6)  # variance of a truncated normal vector
    assert relative_difference(covariance(drawn), shrunk * covariance(z)) < 0.03
    assert drawn.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=0.02 * float(z.std()))


def inside_pair_by_pair(coordinates, n_std):
    """The definition: the sum of two squares is at most n_std² for every pair."""
    squares = coordinates.astype(np.float64) ** 2
    pairs = squares[:, :, None] + squares[:, None, :]
    first, second = np.triu_indices(coordinates.shape[1], 1)
    return (pairs[:, first, second] <= n_std**2).all(axis=1)


def test_inside_all_ellipses_agrees_with_the_definition():
    coordinates = np.random.default_rng(0).standard_normal((2000, 12))
    for n_std in (2, 2.5, 3):
        expected = inside_pair_by_pair(coordinates, n_std)
        assert 0 < expected.mean() < 1
        assert np.array_equal(samplers.inside_all_ellipses(coordinates, n_std), expected)
    assert samplers.inside_all_ellipses(np.array([[1.9], [2.1]]), 2).tolist() == [True, False]


@pytest.mark.parametrize("evenly", [False, True])
@pytest.mark.parametrize("n_std", [2, 3])
def test_the_ellipse_method_stays_inside_the_ellipses_of_all_pairs(n_std, evenly):
    z = correlated_points(dimensions=20)
    sampler = Sampler(
        covariance_module.fit_normal, partial(samplers.draw_in_ellipses, n_std=n_std, evenly=evenly)
    )
    coordinates = on_principal_axes(z, sampler(z, 5000, np.random.default_rng(0)))
    assert inside_pair_by_pair(coordinates, n_std * (1 + 1e-5)).all()
    assert coordinates.mean(axis=0) == pytest.approx(np.zeros(20), abs=0.06)
    # The order is drawn anew for each vector, so no component gets less room than another.
    variances = coordinates.var(axis=0)
    assert variances == pytest.approx(np.full(20, variances.mean()), rel=0.1)


@pytest.mark.parametrize("evenly", [False, True])
def test_the_ellipse_method_fills_the_interval_that_earlier_components_leave(evenly):
    drawn = samplers.draw_in_ellipses(standard_normal_of(2), 40_000, np.random.default_rng(0), 2.0, evenly)
    # Of two components one is drawn freely, the other within what is left; each comes first by half.
    x = np.linspace(-2, 2, 41)[1:-1]
    grid = np.linspace(-2, 2, 802)[1:-1]
    left = np.sqrt(4 - grid**2)
    if evenly:
        first = uniform_distribution(-2, 4).cdf(x)
        second = np.mean([uniform_distribution(-a, 2 * a).cdf(x) for a in left], axis=0)
    else:
        first, weights = truncnorm(-2, 2).cdf(x), norm.pdf(grid)
        given = np.array([(norm.cdf(x.clip(-a, a)) - norm.cdf(-a)) / (1 - 2 * norm.cdf(-a)) for a in left])
        second = weights @ given / weights.sum()
    for component in drawn.T:
        measured = np.searchsorted(np.sort(component), x) / len(component)
        assert measured == pytest.approx((first + second) / 2, abs=0.012)


@pytest.mark.parametrize(("n_std", "share"), [(3, 0.00027), (4, 0.434), (5, 0.975)])
def test_share_of_normal_draws_inside_all_ellipses_of_256_components(n_std, share):
    assert samplers.normal_share_inside(n_std, 256) == pytest.approx(share, rel=0.01)


@pytest.mark.parametrize("dimensions", [2, 3, 20])
def test_share_inside_all_ellipses_agrees_with_draws(dimensions):
    draws = np.random.default_rng(0).standard_normal((100_000, dimensions))
    for n_std in (1.5, 2, 3):
        exact = samplers.normal_share_inside(n_std, dimensions)
        assert samplers.inside_all_ellipses(draws, n_std).mean() == pytest.approx(exact, abs=0.006)
    assert samplers.normal_share_inside(2, 2) == pytest.approx(1 - np.exp(-2))


def test_the_ellipse_method_is_not_the_normal_distribution():
    drawn = samplers.draw_in_ellipses(standard_normal_of(256), 2000, np.random.default_rng(0), n_std=3)
    assert samplers.inside_all_ellipses(drawn, 3 * (1 + 1e-5)).all()
    assert drawn.var() < 0.85
