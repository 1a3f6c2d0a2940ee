"""Noise like the z-points, and statistics beside those of noise."""

import numpy as np
import pytest
from clouds import correlated_points

from helpers.latent import covariance, neighbours, surrogates


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


def test_elliptical_surrogate_keeps_distances_and_draws_directions_anew():
    z = correlated_points(4000) * np.random.default_rng(1).gamma(2, 1, (4000, 1)).astype("f4")
    pca = covariance.fit_pca(z)

    def whitened(points):
        return (points - pca.mean) @ pca.components.T / np.sqrt(pca.explained_variance)

    noise = surrogates.elliptical_surrogate(z, 4000, np.random.default_rng(2))
    distances, others = (np.sort(np.linalg.norm(whitened(points), axis=1)) for points in (noise, z))
    assert distances == pytest.approx(others, rel=1e-3)
    directions = whitened(noise) / np.linalg.norm(whitened(noise), axis=1, keepdims=True)
    assert np.abs(directions.mean(axis=0)).max() < 0.05
    assert surrogates.elliptical_surrogate(z, 7, np.random.default_rng(2)).shape == (7, 6)


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
