import numpy as np
import pytest
from clouds import correlated_points
from scipy.spatial.distance import cdist

from helpers.files import InputError
from helpers.latent import covariance


def test_whitened_points_are_uncorrelated_and_their_lengths_are_mahalanobis_distances():
    z = correlated_points(10_000)
    normal = covariance.fit_normal(z)
    coordinates = covariance.whiten(normal, z)
    assert coordinates.dtype == np.float32
    assert np.cov(coordinates, rowvar=False) == pytest.approx(np.eye(6), abs=1e-4)
    expected = cdist(z, z.mean(axis=0)[None], "mahalanobis", VI=np.linalg.inv(np.cov(z, rowvar=False)))[:, 0]
    assert np.linalg.norm(coordinates, axis=1) == pytest.approx(expected, rel=1e-3)


def test_unwhitening_leads_back():
    z = correlated_points()
    normal = covariance.fit_normal(z)
    again = covariance.unwhiten(normal, covariance.whiten(normal, z))
    assert again.dtype == np.float32
    assert again == pytest.approx(z, abs=1e-4)


def test_fewer_points_than_dimensions_keep_to_their_plane():
    z = correlated_points(5, dimensions=8)
    normal = covariance.fit_normal(z)
    assert normal.axes.shape == (4, 8)
    assert normal.axes.T @ normal.axes == pytest.approx(np.cov(z, rowvar=False), abs=1e-4)
    assert covariance.unwhiten(normal, covariance.whiten(normal, z)) == pytest.approx(z, abs=1e-4)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.ones((1, 4)), "at least 2 rows of z, here are 1"),
        (np.ones((9, 4)), "all rows are the same"),
        (np.ones(4), r"as an array of numbers \(n, d\); this is of the shape \(4,\)"),
        (np.full((9, 4), np.nan), "training has diverged"),
    ],
)
def test_points_without_a_covariance_get_one_clear_sentence(z, message):
    with pytest.raises(InputError, match=message):
        covariance.fit_normal(z)
