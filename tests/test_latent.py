import numpy as np
import pytest

from helpers import latent, scores


def correlated_points(n=4000, dimensions=6, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, dimensions)) @ rng.standard_normal((dimensions, dimensions)) + 3).astype(
        "f4"
    )


def test_radii_are_euclidean_norms():
    z = correlated_points(50)
    assert latent.radii(z) == pytest.approx(np.sqrt((z.astype(np.float64) ** 2).sum(axis=1)), rel=1e-5)
    assert latent.radii(np.array([[3.0, 4.0]]))[0] == 5


def test_number_density_counts_low_included_high_excluded():
    centres, counts = latent.number_density(np.array([0.5, 0.5, 0.99, 1.0, 2.6]), 0.5)
    assert centres.tolist() == [0.75, 1.25, 1.75, 2.25, 2.75]
    assert counts.tolist() == [3, 1, 0, 0, 1]


def test_number_density_agrees_with_numpy_and_keeps_every_point():
    values = np.random.default_rng(1).normal(0, 3, 10_000)
    centres, counts = latent.number_density(values, 0.25)
    expected, _ = np.histogram(values, np.append(centres - 0.125, centres[-1] + 0.125))
    assert counts.tolist() == expected.tolist()
    assert counts.sum() == 10_000


def test_mode_is_the_centre_of_the_fullest_interval():
    values = np.random.default_rng(1).normal(16.8, 2, 200_000)
    assert latent.mode(values, 0.5) == pytest.approx(16.75, abs=0.5)


def test_surrogate_has_mean_and_covariance_of_the_data():
    z = correlated_points()
    noise = latent.gaussian_surrogate(z, 100_000, np.random.default_rng(2))
    assert noise.dtype == np.float32
    assert noise.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=0.05)
    assert np.allclose(np.cov(noise, rowvar=False), np.cov(z, rowvar=False), atol=0.2)


def test_surrogate_of_fewer_points_than_dimensions_stays_in_their_plane():
    z = correlated_points(n=4, dimensions=6)
    noise = latent.gaussian_surrogate(z, 20, np.random.default_rng(2)) - z.mean(axis=0)
    assert np.linalg.matrix_rank(noise, tol=1e-3) == 3


def test_uniform_box_fills_the_box_of_the_data_and_no_more():
    z = correlated_points()
    box = latent.uniform_box(z, 50_000, np.random.default_rng(0))
    assert (box >= z.min(axis=0)).all()
    assert (box <= z.max(axis=0)).all()
    assert np.allclose(box.mean(axis=0), (z.min(axis=0) + z.max(axis=0)) / 2, atol=0.2)


def test_nearest_distances_equal_a_full_search():
    points, queries = correlated_points(200, seed=1), correlated_points(30, seed=2)
    full = np.linalg.norm(queries[:, None] - points[None], axis=-1).min(axis=1)
    assert latent.nearest_distances(queries, points) == pytest.approx(full, abs=1e-3)


def test_random_steps_have_the_given_lengths_and_no_common_direction():
    z, lengths = correlated_points(3000), np.linspace(0.5, 2, 3000)
    steps = latent.random_steps(z, lengths, np.random.default_rng(0)) - z
    assert np.linalg.norm(steps, axis=1) == pytest.approx(lengths, rel=1e-3)
    assert np.abs((steps / lengths[:, None]).mean(axis=0)).max() < 0.05


def test_relative_error():
    z = np.array([[3.0, 4.0], [0.0, 2.0]])
    assert scores.relative_error(z + np.array([0, 1.0]), z).tolist() == [0.2, 0.5]


def test_explained_variance_share_of_perfect_and_mean_answers():
    images = np.random.default_rng(0).random((20, 8, 8, 3))
    mean_image = images.mean(axis=0)
    assert scores.explained_variance_share(images, images, mean_image) == 1
    assert scores.explained_variance_share(images, np.broadcast_to(mean_image, images.shape), mean_image) == 0
    half = (images + mean_image) / 2
    assert scores.explained_variance_share(images, half, mean_image) == pytest.approx(0.75)
