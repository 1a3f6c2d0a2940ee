"""Work in pieces: the same results as at once, in little memory."""

import tracemalloc

import numpy as np
import pytest

from helpers import (
    latent,
    mixtures,
    normality,
    pieces,
    planes,
    scale_mixture,
    surrogates,
    trimming,
    whitening,
)

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
    covariance = pieces.covariance_about(points.mean(axis=0), points)
    np.testing.assert_allclose(covariance, np.cov(points, rowvar=False), rtol=1e-12)


def whole_joint_test(z):
    return normality.joint_test(z, 2, np.random.default_rng(2))


def elliptical_kurtosis(z):
    return scale_mixture.kurtosis_after_scaling(whitening.whiten(whitening.fit_gaussian(z), z))


# Peaks beside z, in multiples of its size: noise in float64 takes 2, each cloud that is kept 1.
STATISTICS = {
    "principal components": (lambda z: latent.transform_pca(latent.fit_pca(z), z), 1.5),
    "Gaussian fits": (lambda z: latent.fit_gaussians(z, 0.25), 1),
    "Gaussian surrogate": (lambda z: surrogates.gaussian_surrogate(z, MANY, np.random.default_rng(2)), 2.2),
    "matched surrogate": (lambda z: surrogates.matched_surrogate(z, MANY, np.random.default_rng(2)), 4),
    "elliptical": (lambda z: surrogates.elliptical_surrogate(z, MANY, np.random.default_rng(2)), 5.5),
    "trimmed": (lambda z: trimming.trimmed_surrogate(z, MANY, np.random.default_rng(2), 1.6), 7),
    "joint test": (whole_joint_test, 7),
    "scales": (elliptical_kurtosis, 3.3),
    "explorer": (planes.prepare_space, 6.6),
    "mixture": (mixtures.fit_mixture, 4),
    "bootstrap": (mixtures.fit_bootstrap, 4),
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
