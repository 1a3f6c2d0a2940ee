"""Noise like the z-points, and statistics beside those of noise."""

import numpy as np
import pytest
from clouds import correlated_points

from helpers.latent import covariance, marginals, neighbours, normality, surrogates


def test_surrogate_has_mean_and_covariance_of_the_data():
    z = correlated_points()
    noise = surrogates.gaussian_surrogate(z, 100_000, np.random.default_rng(2))
    assert noise.dtype == np.float32
    assert noise.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=0.05)
    assert np.allclose(np.cov(noise, rowvar=False), np.cov(z, rowvar=False), atol=0.2)


def test_surrogate_of_fewer_points_than_dimensions_stays_in_their_plane():
    z = correlated_points(n=4, dimensions=6)
    noise = surrogates.gaussian_surrogate(z, 20, np.random.default_rng(2)) - z.mean(axis=0)
    assert np.linalg.matrix_rank(noise, tol=1e-3) == 3


def test_uniform_box_fills_the_box_of_the_data_and_no_more():
    z = correlated_points()
    box = surrogates.uniform_box(z, 50_000, np.random.default_rng(0))
    assert (box >= z.min(axis=0)).all()
    assert (box <= z.max(axis=0)).all()
    assert np.allclose(box.mean(axis=0), (z.min(axis=0) + z.max(axis=0)) / 2, atol=0.2)


def test_matched_surrogate_has_exactly_mean_and_covariance_of_the_data():
    z = correlated_points(500)
    noise = surrogates.matched_surrogate(z, 500, np.random.default_rng(2))
    assert noise.dtype == np.float32
    assert noise.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=1e-4)
    assert np.allclose(np.cov(noise, rowvar=False), np.cov(z, rowvar=False), atol=1e-3)
    again = surrogates.matched_surrogate(z, 500, np.random.default_rng(3))
    assert np.abs(noise - again).mean() > 1


def test_matched_surrogate_of_fewer_points_than_dimensions_stays_in_their_plane():
    z = correlated_points(n=20, dimensions=30)
    noise = surrogates.matched_surrogate(z, 20, np.random.default_rng(2))
    assert np.allclose(np.cov(noise, rowvar=False), np.cov(z, rowvar=False), atol=1e-3)
    assert np.linalg.matrix_rank(np.concatenate([noise, z]) - z.mean(axis=0), tol=1e-3) == 19


def heavy_tailed(n, d, rng):
    """Points (n, d) of an elliptical distribution, Student's t with 8 degrees of freedom."""
    return rng.standard_normal((n, d)) / np.sqrt(rng.chisquare(8, (n, 1)) / 8)


def test_elliptical_surrogate_keeps_moments_and_tails_and_draws_directions_anew():
    z = (heavy_tailed(4000, 6, np.random.default_rng(1)) @ np.diag(np.arange(1, 7)) + 3).astype("f4")
    noise = surrogates.elliptical_surrogate(z, 4000, np.random.default_rng(2))
    assert noise.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=1e-4)
    assert np.allclose(np.cov(noise, rowvar=False), np.cov(z, rowvar=False), atol=1e-3)
    normal = covariance.fit_normal(z)
    white = covariance.whiten(normal, noise)
    distances, others = (np.sort(covariance.mahalanobis_distances(normal, points)) for points in (noise, z))
    assert distances == pytest.approx(others, rel=0.05)
    directions = white / np.linalg.norm(white, axis=1, keepdims=True)
    assert np.abs(directions.mean(axis=0)).max() < 0.05
    again = surrogates.elliptical_surrogate(z, 7, np.random.default_rng(2))
    assert np.array_equal(again, noise[:7])
    assert surrogates.elliptical_surrogate(z, 9000, np.random.default_rng(2)).shape == (9000, 6)


def test_elliptical_surrogate_of_fewer_points_than_dimensions_and_of_a_point_at_the_mean_is_finite():
    few = correlated_points(n=20, dimensions=30)
    noise = surrogates.elliptical_surrogate(few, 20, np.random.default_rng(2))
    assert np.allclose(np.cov(noise, rowvar=False), np.cov(few, rowvar=False), atol=1e-2)
    central = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1.0]])
    assert np.isfinite(surrogates.elliptical_surrogate(central, 5, np.random.default_rng(0))).all()


@pytest.mark.parametrize("degrees", [8, np.inf])
def test_truly_elliptical_clouds_are_hardly_rejected_by_elliptical_surrogates(degrees):
    rejected = np.zeros(2)

    def measure(points):
        white = covariance.whiten(covariance.fit_normal(points), points)
        return normality.mardia_kurtosis(white), neighbours.levina_bickel_dimension(white)

    for seed in range(30):
        rng = np.random.default_rng(seed)
        z = heavy_tailed(200, 24, rng) if degrees == 8 else rng.standard_normal((200, 24))
        drawn = [measure(surrogates.elliptical_surrogate(z, 200, rng)) for _ in range(19)]
        found = map(surrogates.compare_values, measure(z), np.transpose(drawn))
        rejected += [comparison.p_value <= 0.05 for comparison in found]
    assert max(rejected) <= 6  # of 30: more has a chance of 0.1 % at a level of 5 %


def bent(n, rng):
    """Points (n, 4) whose third component bends with the first and whose fourth is skewed."""
    y = rng.standard_normal((n, 4)) * [8, 4, 1, 0.3]
    y[:, 2] += 0.02 * y[:, 0] ** 2
    y[:, 3] = 0.3 * rng.standard_exponential(n)
    return y @ np.linalg.qr(rng.standard_normal((4, 4)))[0] + 5


def test_sign_flips_keep_magnitudes_scales_and_covariance_and_take_curvature_and_skewness_away():
    z = bent(20_000, np.random.default_rng(0))
    flipped = surrogates.sign_flip_surrogate(z, len(z), np.random.default_rng(1))
    assert flipped.dtype == np.float32
    normal = covariance.fit_normal(z)
    y, others = (covariance.whiten(normal, points) for points in (z, flipped))
    assert np.abs(others) == pytest.approx(np.abs(y), abs=1e-3)  # row by row, so every scale as well
    assert np.cov(others, rowvar=False) == pytest.approx(np.eye(4), abs=0.05)
    assert np.abs(marginals.moments(y).skewness).max() > 1.5
    assert np.abs(marginals.moments(others).skewness).max() < 0.1
    assert abs(np.corrcoef(y[:, 0] ** 2, y[:, 2])[0, 1]) > 0.7
    assert abs(np.corrcoef(others[:, 0] ** 2, others[:, 2])[0, 1]) < 0.05
    assert marginals.moments(others).excess_kurtosis == pytest.approx(
        marginals.moments(y).excess_kurtosis, abs=0.3
    )


def test_sign_flips_of_fewer_and_of_more_rows_are_rows_of_the_data():
    z = correlated_points(50)
    y = np.abs(covariance.whiten(covariance.fit_normal(z), z))
    for n in (20, 130):
        flipped = surrogates.sign_flip_surrogate(z, n, np.random.default_rng(1))
        others = np.abs(covariance.whiten(covariance.fit_normal(z), flipped))
        nearest = np.abs(others[:, None] - y[None]).max(axis=2).argmin(axis=1)
        assert others == pytest.approx(y[nearest], abs=1e-3)
        assert len(np.unique(nearest)) == n or n > len(z)


@pytest.mark.parametrize(("shape", "sees"), [("scales", False), ("bent", True)])
def test_sign_flips_tell_curvature_from_scales(shape, sees):
    rng, p_values = np.random.default_rng(0), []
    for _ in range(10):
        z = bent(500, rng) if shape == "bent" else np.diag([8, 4, 1, 0.3]) @ heavy_tailed(500, 4, rng).T
        z = z if shape == "bent" else z.T

        def skewness(points):
            return normality.mardia_skewness(covariance.whiten(covariance.fit_normal(points), points))

        found = surrogates.compare_with_surrogates(skewness, z, 19, rng, surrogates.sign_flip_surrogate)
        p_values.append(found.p_value)
    assert (np.mean(np.array(p_values) <= 0.05) > 0.9) == sees


def test_comparison_holds_what_it_promises():
    z = correlated_points(200, 4, seed=0)
    found = surrogates.compare_with_surrogates(
        lambda points: points[:, 0].max(), z, 19, np.random.default_rng(0)
    )
    assert found.value == z[:, 0].max()
    assert found.surrogate_values.shape == (19,)
    others = found.surrogate_values
    assert found.z_score == pytest.approx((found.value - others.mean()) / others.std(ddof=1))
    assert 0.05 <= found.p_value <= 1
    far = surrogates.compare_with_surrogates(
        lambda points: points[0, 0] - 1e6 * (points is z), z, 19, np.random.default_rng(0)
    )
    assert far.p_value == 0.05


@pytest.mark.parametrize("seed", range(3))
def test_heavy_tails_differ_from_gaussian_noise_but_not_from_elliptical(seed):
    rng = np.random.default_rng(seed)
    scale = np.exp(0.4 * rng.standard_normal((3000, 1)))
    cloud = (rng.standard_normal((3000, 5)) * scale).astype(np.float32)

    def share_near_the_middle(points):
        return np.mean(np.abs(points[:, 0]) < 0.5)

    gaussian = surrogates.compare_with_surrogates(share_near_the_middle, cloud, 20, rng)
    elliptical = surrogates.compare_with_surrogates(
        share_near_the_middle, cloud, 20, rng, surrogates.elliptical_surrogate
    )
    assert gaussian.z_score > 5
    assert abs(elliptical.z_score) < 4


def test_comparison_of_an_undefined_statistic_is_nan():
    z = correlated_points(50, 2) + 1000
    found = surrogates.compare_with_surrogates(
        lambda points: neighbours.clark_evans(points, 0.1), z, 3, np.random.default_rng(0)
    )
    assert np.isnan([found.value, found.z_score, found.p_value]).all()
