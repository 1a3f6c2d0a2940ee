"""The likelihood ladder on clouds whose density is known."""

import numpy as np
import pytest
from scipy.special import logsumexp

from helpers.files import InputError
from helpers.latent import normality
from helpers.sampling import mixtures

N, HELD_OUT, D = 4000, 3000, 24
WIDTHS = np.linspace(4, 1, D)
CURVATURE = ("curvature", "curvature, one scale", "curvature, block scales")


def split(points):
    """Points to learn from and held-out ones, turned out of their axes."""
    turn = np.linalg.qr(np.random.default_rng(9).standard_normal((D, D)))[0]
    return np.split((points * WIDTHS @ turn + 2).astype("f4"), [N])


def mean_and_error(gains):
    return gains.mean(), gains.std() / np.sqrt(len(gains))


def ladder_of(points, directions=None):
    return {
        rung: mean_and_error(gains)
        for rung, gains in normality.likelihood_ladder(*split(points), directions).items()
    }


def normal(rng, d=D):
    return rng.standard_normal((N + HELD_OUT, d))


def test_a_normal_cloud_gains_by_nothing_but_its_covariance():
    z, held_out = split(normal(np.random.default_rng(0)))
    rungs = normality.likelihood_ladder(z, held_out)
    assert "independent normals" in rungs
    for rung, gains in rungs.items():
        mean, error = mean_and_error(gains)
        assert gains.shape == (HELD_OUT,)
        if rung == "independent normals":
            assert mean < -1
        else:
            assert abs(mean) < 4 * error + 0.02


def test_covariance_gains_what_its_determinant_says():
    z, held_out = split(normal(np.random.default_rng(1)))
    covariance = np.cov(z, rowvar=False)
    truth = np.linalg.slogdet(covariance)[1] - np.log(np.diag(covariance)).sum()
    found = normality.likelihood_ladder(z, held_out)["independent normals"]
    mean, error = mean_and_error(found)
    assert mean == pytest.approx(truth / 2, abs=4 * error + 0.1)


@pytest.mark.parametrize("k", [D, 6])
def test_scales_gain_what_a_mixture_of_known_spread_is_worth(k):
    rng, sigma = np.random.default_rng(0), 0.3
    points = normal(rng) * np.exp(sigma * rng.standard_normal((N + HELD_OUT, 1)) - sigma**2)
    found = ladder_of(points, np.eye(D, k))
    draws = np.exp(sigma * np.linspace(-5, 5, 401) - sigma**2)
    weights = np.exp(-(np.linspace(-5, 5, 401) ** 2) / 2)
    # in k dimensions, of N(0, 1) times such a scale; on the lengths of points drawn anew
    lengths = rng.chisquare(k, 20_000) * np.exp(2 * sigma * rng.standard_normal(20_000) - 2 * sigma**2)
    logs = lengths[:, None] / 2 * (1 - draws**-2) - k * np.log(draws)
    truth, spread = mean_and_error(logsumexp(logs, axis=1, b=weights / weights.sum()))
    mean, error = found["one scale"]
    assert truth > 0.1
    assert mean == pytest.approx(truth, abs=4 * np.hypot(error, spread))
    assert found["block scales"][0] == pytest.approx(mean, abs=0.1 * mean + 0.02)
    assert found["curvature"][0] < 0.02


def test_blocks_gain_where_each_has_a_scale_of_its_own():
    rng = np.random.default_rng(0)
    points = normal(rng)
    points[:, 8:] *= np.exp(0.3 * rng.standard_normal((N + HELD_OUT, 1)))
    points[:, :8] *= np.exp(0.3 * rng.standard_normal((N + HELD_OUT, 1)))
    found = ladder_of(points)
    assert found["block scales"][0] > found["one scale"][0] + 5 * found["block scales"][1]


def test_curvature_gains_what_a_known_bend_is_worth_and_scales_do_not():
    rng = np.random.default_rng(0)
    points = normal(rng)
    points[:, 20] = 0.5 * points[:, 20] + 0.4 * (points[:, 0] ** 2 - 1) + 0.4 * points[:, 1] * points[:, 2]
    found = ladder_of(points)
    truth = np.log((0.25 + 2 * 0.16 + 0.16) / 0.25) / 2
    for rung in CURVATURE:
        assert found[rung][0] == pytest.approx(truth, abs=4 * found[rung][1] + 0.03)
    assert found["one scale"][0] < 0.15 * truth


def test_given_directions_are_all_that_counts():
    rng = np.random.default_rng(0)
    points = normal(rng)
    points[:, 20] = 0.5 * points[:, 20] + 0.6 * (points[:, 0] ** 2 - 1)
    with_bend, without = np.eye(D)[:, [*range(15), 20]], np.eye(D)[:, :16]
    assert ladder_of(points, with_bend)["curvature"][0] > 0.5
    assert abs(ladder_of(points, without)["curvature"][0]) < 0.02
    assert "independent normals" not in ladder_of(points, without)


@pytest.mark.parametrize("k", [1, 2, 3, 15, 16])
def test_few_components_have_a_ladder_too(k):
    found = ladder_of(normal(np.random.default_rng(0)), np.eye(D, k))
    assert max(abs(mean) for mean, _ in found.values()) < 0.03


def test_too_few_points_for_a_density_get_one_clear_sentence():
    with pytest.raises(InputError, match="A density in 24 dimensions needs more than 25 z-points"):
        normality.likelihood_ladder(normal(np.random.default_rng(0))[:25], np.ones((3, D)))
    z, held_out = split(normal(np.random.default_rng(0)))
    with pytest.raises(InputError, match="directions"):
        normality.likelihood_ladder(z, held_out, np.eye(D + 1, 2))


def test_a_component_that_is_a_product_of_others_leaves_a_density():
    points = normal(np.random.default_rng(0))
    points[:, 20] = points[:, 0] * points[:, 1]
    found = ladder_of(points)
    assert found["curvature"][0] > 3


def test_a_mixture_gains_what_its_clusters_are_worth():
    rng = np.random.default_rng(0)
    points = normal(rng, d=5)
    sides = rng.choice([-1, 1], len(points))
    points[:, 0] += 3 * sides
    points[:, 1:] *= np.linspace(0.9, 0.6, 4)
    z, held_out = np.split(points, [N])
    fitted = mixtures.fit_mixture(z, n_components=2)
    gains = mixtures.mixture_gains(fitted, held_out)
    x, spread = held_out[:, 0], np.sqrt(10)
    truth = np.logaddexp(-((x - 3) ** 2) / 2, -((x + 3) ** 2) / 2) - np.log(2) + (x / spread) ** 2 / 2
    truth += np.log(spread)
    assert gains.mean() == pytest.approx(truth.mean(), abs=0.03)
    assert np.corrcoef(gains, truth)[0, 1] > 0.99
    assert mixtures.mixture_gains(fitted, held_out, np.eye(5, 1)).mean() == pytest.approx(
        gains.mean(), abs=0.03
    )
    assert abs(mixtures.mixture_gains(fitted, held_out, np.eye(5)[:, 2:]).mean()) < 0.02
