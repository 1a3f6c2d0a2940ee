"""Work in pieces: the same results as at once, in little memory."""

import tracemalloc

import numpy as np
import pytest

from helpers.explorer import space
from helpers.latent import covariance as covariance_module
from helpers.latent import fits, marginals, neighbours, normality, pieces, surrogates
from helpers.sampling import mixtures

MANY, DIMENSIONS = 60_000, 64


@pytest.mark.parametrize("n", [0, 1, 9, 10, 25])
def test_slices_cover_all_rows_once(n, monkeypatch):
    monkeypatch.setattr(pieces, "CHUNK_ROWS", 10)
    rows = [row for part in pieces.row_slices(n) for row in range(n)[part]]
    assert rows == list(range(n))


def test_rows_are_mapped_and_covariances_summed_as_at_once(monkeypatch):
    monkeypatch.setattr(pieces, "CHUNK_ROWS", 7)
    points = np.random.default_rng(1).normal(3, 2, (50, 4))
    doubled = pieces.map_rows(lambda rows: rows[:, :2] * 2, points, 2)
    assert doubled.dtype == np.float32
    np.testing.assert_array_equal(doubled, (points[:, :2] * 2).astype(np.float32))
    for clouds in ([points], [points[:20], points[20:]]):
        covariance = pieces.covariance_about(points.mean(axis=0), *clouds)
        np.testing.assert_allclose(covariance, np.cov(points, rowvar=False), rtol=1e-12)
    lengths = pieces.row_lengths(lambda rows: 2 * rows, points)
    np.testing.assert_allclose(lengths, 2 * np.linalg.norm(points, axis=1), rtol=1e-12)
    assert pieces.row_lengths(lambda rows: rows, points[:0]).shape == (0,)


def whole_joint_test(z):
    return normality.joint_test(z, 2, np.random.default_rng(2))


def elliptical_kurtosis(z):
    return normality.kurtosis_after_scaling(covariance_module.whiten(covariance_module.fit_normal(z), z))


def drawn(surrogate, *more):
    return lambda z: surrogate(z, MANY, np.random.default_rng(2), *more)


# Peaks beside z, in multiples of its size: each cloud, and noise of which one is made, takes 1.
STATISTICS = {
    "principal components": (lambda z: covariance_module.transform_pca(covariance_module.fit_pca(z), z), 1.5),
    "radii": (marginals.radii, 0.3),
    "number density of all": (lambda z: marginals.number_density(z.ravel(), 0.25), 0.3),
    "nearest": (lambda z: neighbours.nearest_distances(z[:500], z), 0.3),
    "Gaussian fits": (lambda z: fits.fit_gaussians(z, 0.25), 1),
    "Gaussian surrogate": (drawn(surrogates.gaussian_surrogate), 1.8),
    "matched surrogate": (drawn(surrogates.matched_surrogate), 2.9),
    "elliptical": (drawn(surrogates.elliptical_surrogate), 2.9),
    "sign flips": (drawn(surrogates.sign_flip_surrogate), 2.2),
    "likelihood ladder": (lambda z: normality.likelihood_ladder(z[:20_000], z[:1000]), 4),
    "trimmed": (drawn(surrogates.trimmed_surrogate, 1.6), 3.7),
    "box": (drawn(surrogates.uniform_box), 1.5),
    "planted clusters": (lambda z: surrogates.plant_clusters(*z.shape, 40, np.random.default_rng(2)), 1.6),
    "planted filaments": (
        lambda z: surrogates.plant_filaments(*z.shape, 20, 0.005, np.random.default_rng(2)),
        2.9,
    ),
    "joint test": (whole_joint_test, 5),
    "scales": (elliptical_kurtosis, 3.1),
    "explorer": (space.prepare_space, 6),
    "mixture": (mixtures.fit_mixture, 3.6),
    "bootstrap": (mixtures.fit_bootstrap, 3.6),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_many_points_need_little_memory(name, monkeypatch):
    """On many points, statistics peak at a few times the size of the points."""
    monkeypatch.setattr(mixtures, "MOST_POINTS", MANY // 4)
    function, bar = STATISTICS[name]
    z = np.random.default_rng(1).standard_normal((MANY, DIMENSIONS), dtype=np.float32)
    tracemalloc.start()
    try:
        function(z)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / z.nbytes < bar
