import numpy as np
import pytest
from scipy import stats

from helpers.latent import covariance, normality, surrogates
from helpers.latent.covariance import fit_normal, whiten

SCALE_VARIANCE = 0.2  # of s², as in the trial with CelebA
HALVES = (slice(0, None, 2), slice(1, None, 2))


def mixture(n, r, rng, scales=1):
    """Points (n, r) of covariance 1 with lognormal s² of mean 1, one for each of `scales` equal blocks."""
    spread = np.sqrt(np.log(1 + SCALE_VARIANCE))
    squares = np.exp(spread * rng.standard_normal((n, scales)) - spread**2 / 2)
    return rng.standard_normal((n, r)) * np.sqrt(squares).repeat(r // scales, axis=1)


def test_image_scales_are_relative_lengths():
    assert normality.image_scales(np.array([[3.0, 4.0], [0, 0.0]])).tolist() == [np.sqrt(12.5), 0]


def test_kurtosis_that_a_spread_of_chi_square_and_a_larger_one_imply():
    assert normality.kurtosis_from_spread(np.sqrt(512), 256) == pytest.approx(0)
    assert normality.kurtosis_from_spread(118, 256) == pytest.approx(0.61, abs=0.005)
    assert normality.kurtosis_from_spread(np.sqrt(512 + 256 * 258 * 0.73 / 3), 256) == pytest.approx(0.73)


def test_spread_predicts_the_kurtosis_of_a_mixture_with_one_scale():
    white = mixture(100_000, 40, np.random.default_rng(0))
    spread = covariance.squared_distances(white).std()
    found = normality.kurtosis_after_scaling(white)
    predicted = normality.kurtosis_from_spread(spread, 40)
    assert np.median(found.before) == pytest.approx(predicted, rel=0.05)
    assert predicted == pytest.approx(3 * SCALE_VARIANCE, rel=0.05)


@pytest.mark.parametrize("r", [12, 64])
def test_dividing_by_the_scale_of_all_other_components_leaves_students_t(r):
    white = mixture(60_000, r, np.random.default_rng(0))
    found = normality.kurtosis_after_scaling(white)
    assert found.expected == pytest.approx(stats.t(r - 1).stats("k"))
    assert found.after.mean() == pytest.approx(found.expected, rel=0.1, abs=0.01)
    assert found.before.mean() == pytest.approx(3 * SCALE_VARIANCE, rel=0.1)


def test_one_scale_does_not_explain_a_mixture_with_two():
    found = normality.kurtosis_after_scaling(mixture(60_000, 40, np.random.default_rng(0), scales=2))
    assert np.median(found.after) > found.expected + 0.2


def test_log_scales_of_a_lognormal_scale():
    logs = np.random.default_rng(0).normal(-0.1, 0.3, 200_000)
    found = normality.log_scales(np.exp(logs))
    assert found == pytest.approx((-0.1, 0.3, 0, 0), abs=0.02)
    assert normality.log_scales(np.random.default_rng(0).gamma(5, 1, 10_000)).skewness < -0.3


@pytest.mark.parametrize("blocks", [HALVES, (slice(0, 20), slice(40, None))])
def test_blocks_share_the_scale_of_a_mixture_with_one(blocks):
    found = normality.block_scales(mixture(20_000, 64, np.random.default_rng(0)), blocks)
    assert found.log_scales.shape == (20_000, 2)
    assert found.shared[0, 1] == pytest.approx(1, abs=0.03)
    assert found.spread == pytest.approx(np.sqrt(np.log(1 + SCALE_VARIANCE)) / 2, rel=0.03)
    assert found.correlation[0, 1] < 0.9  # what the noise of few components makes of it


def test_blocks_with_scales_of_their_own_share_none():
    white = mixture(20_000, 60, np.random.default_rng(0), scales=3)
    found = normality.block_scales(white, np.array_split(np.arange(60), 3))
    assert found.shared == pytest.approx(np.eye(3), abs=0.05)
    mixed = normality.block_scales(white, [slice(0, 20), slice(10, 40)])
    assert 0.3 < mixed.shared[0, 1] < 1.2


def test_blocks_of_normal_points_have_no_scale_to_share():
    found = normality.block_scales(np.random.default_rng(4).standard_normal((5000, 64)), HALVES)
    assert np.isnan(found.spread).any() or found.spread.max() < 0.05
    assert abs(found.correlation[0, 1]) < 0.05


def test_rank_correlations_follow_the_order_alone():
    scales = np.random.default_rng(0).gamma(5, 1, 100)
    quantities = {"same order": scales**3, "reverse": -scales, "other": np.random.default_rng(1).random(100)}
    found = normality.rank_correlations(scales, quantities)
    assert found["same order"] == pytest.approx(1)
    assert found["reverse"] == pytest.approx(-1)
    assert found["other"] == pytest.approx(stats.spearmanr(scales, quantities["other"])[0])


WIDTHS = np.linspace(4, 1, 16)  # so that principal components keep the order of the components


def remaining_kurtosis(points):
    """Median excess kurtosis that dividing by the scale leaves."""
    white = whiten(fit_normal(points), points)
    return np.median(normality.kurtosis_after_scaling(white).after)


def test_elliptical_surrogates_tell_one_scale_from_two():
    p_values = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one = surrogates.compare_with_surrogates(
            remaining_kurtosis, WIDTHS * mixture(1000, 16, rng), 19, rng, surrogates.elliptical_surrogate
        )
        p_values.append(one.p_value)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.2  # 4 of 20: more has a chance of 0.3 % at a level of 5 %
    rng = np.random.default_rng(0)
    two = surrogates.compare_with_surrogates(
        remaining_kurtosis,
        WIDTHS * mixture(2000, 16, rng, scales=2),
        19,
        rng,
        surrogates.elliptical_surrogate,
    )
    assert two.p_value == 0.05
    assert two.z_score > 3
