import numpy as np
import pytest
from scipy import stats

from helpers.files import InputError
from helpers.latent import covariance, marginals


def test_off_diagonal_statistics_of_a_small_matrix():
    matrix = np.array([[1, 0.5, -0.1], [0.5, 1, 0.3], [-0.1, 0.3, 1]])
    found = covariance.off_diagonal_statistics(matrix, threshold=0.2)
    assert found == pytest.approx((0.3, 0.5, 2 / 3))
    assert covariance.off_diagonal_statistics(matrix, threshold=0.5).share_above == 0
    assert covariance.off_diagonal_statistics(np.eye(4)) == (0, 0, 0)


def test_strongest_pairs_come_in_order_with_their_signs():
    z = np.random.default_rng(0).standard_normal((50_000, 6))
    z[:, 4] = 0.5 * z[:, 4] - z[:, 1]
    z[:, 5] = z[:, 5] + 0.5 * z[:, 0]
    pairs, correlations = covariance.strongest_pairs(np.corrcoef(z, rowvar=False), 2)
    assert pairs.tolist() == [[1, 4], [0, 5]]
    assert correlations == pytest.approx([-1 / np.sqrt(1.25), 0.5 / np.sqrt(1.25)], abs=0.01)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_moments_agree_with_scipys(dtype):
    rng = np.random.default_rng(0)
    z = np.stack([rng.normal(500, 0.5, 20_000), rng.gamma(2, 3, 20_000), rng.uniform(size=20_000)], axis=1)
    found, z = marginals.moments(z.astype(dtype)), z.astype(dtype).astype("f8")
    assert found.skewness == pytest.approx(stats.skew(z), abs=1e-6)
    assert found.excess_kurtosis == pytest.approx(stats.kurtosis(z), abs=1e-6)


@pytest.mark.parametrize("n", [20, 200])
def test_standard_errors_of_moments_hold_for_normal_values(n):
    found = marginals.moments(np.random.default_rng(0).standard_normal((n, 40_000)))
    assert found.skewness.std() == pytest.approx(found.skewness_error, rel=0.02)
    assert found.excess_kurtosis.std() == pytest.approx(found.kurtosis_error, rel=0.04)


def test_a_constant_component_has_no_moments():
    z = np.random.default_rng(0).standard_normal((100, 3)).astype("f4")
    z[:, 1] = 0.1
    assert np.isnan(marginals.moments(z).skewness).tolist() == [False, True, False]
    z[0, 0] = np.inf
    with pytest.raises(InputError, match="training has diverged"):
        marginals.moments(z)


def test_ups_and_downs_count_a_second_peak():
    assert marginals.ups_and_downs(np.array([0.5, 1.5, 1.5, 2.5]), 1) == 1
    assert marginals.ups_and_downs(np.array([0.5, 0.5, 2.5, 2.5]), 1) == 2  # nothing in between
