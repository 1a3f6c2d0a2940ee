import numpy as np
import pytest
from scipy.linalg import sqrtm

from helpers import scores


def normal(seed, n=4_000, d=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


def test_frechet_distance_against_the_matrix_square_root():
    a, b = normal(1), normal(2)
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(axis=0) - b.mean(axis=0)
    textbook = shift @ shift + np.trace(sum(covariances) - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    assert scores.frechet_distance(a, b) == pytest.approx(textbook, rel=1e-8)
    assert scores.frechet_distance(b, a) == pytest.approx(textbook, rel=1e-8)


def test_frechet_distance_of_known_normals():
    a = normal(3)
    assert scores.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert scores.frechet_distance(a, a + 2) == pytest.approx(4 * a.shape[1], rel=1e-8)
    spread = np.trace(np.cov(a, rowvar=False))
    doubled = a.mean(axis=0) + 2 * (a - a.mean(axis=0))
    assert scores.frechet_distance(a, doubled) == pytest.approx(spread, rel=1e-8)


def test_frechet_distance_takes_features_of_few_images():
    a, b = normal(4, n=5, d=20), normal(5, n=5, d=20)
    assert 0 < scores.frechet_distance(a, b) < np.inf
