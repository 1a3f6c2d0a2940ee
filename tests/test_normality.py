from functools import partial

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import mahalanobis
from scipy.special import beta

from helpers.files import InputError
from helpers.latent import covariance, fits, normality, surrogates
from helpers.latent.covariance import fit_normal, whiten

DIMENSIONS = 32
MIXING = np.random.default_rng(99).standard_normal((DIMENSIONS, DIMENSIONS)) / 3


def normal_cloud(n, rng, scale_variance=0.0):
    """n points (n, 32) of one normal distribution, or of a gamma scale mixture with its covariance."""
    points = rng.standard_normal((n, DIMENSIONS))
    if scale_variance:
        points *= np.sqrt(rng.gamma(1 / scale_variance, scale_variance, (n, 1)))
    return (points @ MIXING + 1).astype("f4")


def white(points):
    return whiten(fit_normal(points), points)


def rejections(tests):
    """Share of p-values <= 0.05 by statistic, and of the joint test."""
    shares = {
        name: np.mean([test.comparisons[name].p_value <= 0.05 for test in tests])
        for name in tests[0].comparisons
    }
    return shares | {"joint": np.mean([test.p_value <= 0.05 for test in tests])}


def test_squared_distances_are_mahalanobis_distances():
    z = normal_cloud(200, np.random.default_rng(0)).astype("f8")
    mean, inverse = z.mean(axis=0), np.linalg.inv(np.cov(z, rowvar=False))
    expected = [mahalanobis(point, mean, inverse) ** 2 for point in z]
    assert covariance.squared_distances(white(z)) == pytest.approx(expected, rel=1e-4)


def test_distance_from_chi_square_is_kolmogorovs():
    squares = np.random.default_rng(0).chisquare(30, 500)
    expected = stats.kstest(squares, stats.chi2(DIMENSIONS).cdf).statistic
    assert normality.chi_square_distance(squares, DIMENSIONS) == pytest.approx(expected)
    lower = stats.kstest(squares, stats.chi2(28).cdf).statistic
    assert normality.chi_square_distance(squares, 28) == pytest.approx(lower)


def test_mardias_measures_agree_with_their_definition():
    z = np.random.default_rng(0).gamma(2, 1, (300, 5))
    centred = z - z.mean(axis=0)
    products = (
        centred @ np.linalg.inv(centred.T @ centred / 300) @ centred.T
    )  # Mardia divides by n, not n − 1
    kurtosis = np.mean(np.diag(products) ** 2) / (5 * 7) * 301 / 299 - 1
    assert normality.mardia_kurtosis(white(z)) == pytest.approx(kurtosis, abs=1e-5)
    skewness = np.mean((products * 299 / 300) ** 3)
    assert normality.mardia_skewness(white(z)) == pytest.approx(skewness, rel=1e-5)


@pytest.mark.parametrize(("n", "d"), [(100, 32), (400, 8)])
def test_normal_points_have_no_mardia_kurtosis_on_average(n, d):
    rng = np.random.default_rng(0)
    found = [normality.mardia_kurtosis(white(rng.standard_normal((n, d)))) for _ in range(200)]
    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(200))


def test_kurtosis_and_spread_of_a_scale_mixture_are_those_of_its_scale():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((100_000, 16)) * np.sqrt(rng.gamma(5, 0.2, (100_000, 1)))
    squares = covariance.squared_distances(white(points))
    assert normality.mardia_kurtosis(white(points)) == pytest.approx(0.2, abs=0.01)
    expected = np.sqrt((2 * 16 + 16 * 18 * 0.2) / 32)
    assert normality.spread_ratio(squares, 16) == pytest.approx(expected, rel=0.02)
    assert normality.spread_ratio(rng.chisquare(16, 100_000), 16) == pytest.approx(1, abs=0.01)


def test_features_of_normal_points_have_the_radius_on_a_normal_scale():
    features = normality.radial_features(np.random.default_rng(0).standard_normal((20_000, 32)))
    assert features.shape == (20_000, 9)
    radius, magnitude = features[:, 0], features[:, 6]
    assert (radius.mean(), radius.std()) == pytest.approx((0, 1), abs=0.02)
    assert abs(stats.skew(radius)) < 0.03
    assert magnitude.mean() == pytest.approx(np.sqrt(32) / np.pi * beta(16, 0.5), rel=0.001)
    longer = normality.radial_features(3 * np.random.default_rng(0).standard_normal((20_000, 32)))
    assert np.allclose(longer[:, 2:], features[:, 2:], atol=1e-6)  # all others see directions only


def test_features_of_few_components_stay_finite():
    for points in (np.zeros((5, 3)), np.ones((5, 1)), np.ones((4, 2))):
        assert np.isfinite(normality.radial_features(points)).all()


def other_clouds(n, rng):
    """Clouds that are not normal, each in a way of its own."""
    bent = rng.standard_normal((n, 8))
    bent[:, 1::2] += 0.5 * bent[:, ::2] ** 2
    two_scales = rng.standard_normal((n, 2, 4)) * np.sqrt(rng.gamma(10, 0.1, (n, 2, 1)))
    return {
        "heavy tails": rng.standard_t(6, (n, 8)),
        "skewed": rng.gamma(6, 1, (n, 8)),
        "bent": bent,
        "two scales": two_scales.reshape(n, 8),
        "uniform": rng.uniform(size=(n, 8)),
    }


@pytest.mark.parametrize("name", ["heavy tails", "skewed", "bent", "two scales", "uniform"])
def test_classifier_and_joint_test_see_many_kinds_of_difference(name):
    rng = np.random.default_rng(3)
    z = other_clouds(3000, rng)[name]
    found = normality.joint_test(z, 19, rng)
    accuracy = found.comparisons["classifier accuracy"]
    assert found.p_value == 0.05
    assert accuracy.p_value == 0.05
    assert accuracy.value > 0.51


def test_classifier_answers_at_random_where_nothing_differs():
    rng = np.random.default_rng(0)
    clouds = [normal_cloud(500, rng) for _ in range(40)]
    found = [normality.classifier_accuracy(z, surrogates.matched_surrogate(z, 500, rng), rng) for z in clouds]
    assert np.mean(found) == pytest.approx(0.5, abs=0.015)


def test_classifier_tells_an_elliptical_scale_mixture_from_a_mixture_with_two_scales():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((4000, 32)) * np.sqrt(rng.gamma(5, 0.2, (4000, 1))) * np.linspace(4, 1, 32)
    two = np.hstack([cloud[rng.permutation(4000)] for cloud in (one[:, :16], one[:, 16:])])
    accuracies = [
        normality.classifier_accuracy(z, surrogates.elliptical_surrogate(z, 4000, rng), rng)
        for z in (one, two)
    ]
    assert accuracies[0] < 0.52
    assert accuracies[1] > 0.55


def test_joint_test_holds_what_it_promises():
    z = normal_cloud(100, np.random.default_rng(0))
    found = normality.joint_test(z, 9, np.random.default_rng(1))
    assert tuple(found.comparisons) == normality.JOINT + normality.MARGINAL
    assert found.comparisons["Mardia kurtosis"].value == normality.mardia_kurtosis(white(z))
    skewness, kurtosis = stats.skew(z.astype("f8")), stats.kurtosis(z.astype("f8"))
    assert found.comparisons["largest |skewness|"].value == pytest.approx(np.abs(skewness).max())
    assert found.comparisons["largest |excess kurtosis|"].value == pytest.approx(np.abs(kurtosis).max())
    assert all(comparison.surrogate_values.shape == (9,) for comparison in found.comparisons.values())
    assert found.largest in normality.JOINT
    again = normality.joint_test(z, 9, np.random.default_rng(1))
    assert again.p_value == found.p_value


def test_points_without_distances_get_a_clear_sentence():
    with pytest.raises(InputError, match=r"30 z-points of 32 components .* first 7 principal components"):
        normality.joint_test(normal_cloud(30, np.random.default_rng(0)), 3, np.random.default_rng(0))


def test_each_test_rejects_two_to_nine_percent_of_normal_samples():
    tests = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        tests.append(normality.joint_test(normal_cloud(300, rng), 19, rng))
    for name, share in rejections(tests).items():
        assert 0.02 <= share <= 0.09, (name, share)


def test_joint_test_finds_a_scale_mixture_that_marginal_tests_hardly_see():
    tests, p_values = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        z = normal_cloud(2000, rng, scale_variance=0.02)
        tests.append(normality.joint_test(z, 19, rng))
        p_values.append([stats.shapiro(values).pvalue for values in z.T])
    shares, p_values = rejections(tests), np.array(p_values)
    assert shares["joint"] >= 0.95
    assert np.mean(p_values <= 0.05) < 0.1  # single components, Shapiro-Wilk
    assert np.mean(p_values.min(axis=1) <= 0.05 / DIMENSIONS) <= 0.2  # any component, Bonferroni
    assert max(shares[name] for name in normality.MARGINAL) <= 0.45


def test_joint_test_finds_one_component_with_two_peaks():
    tests = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points = rng.standard_normal((1000, 16)) * np.linspace(3, 1, 16)
        points[:, 0] = 3 * (rng.choice([-1.5, 1.5], 1000) + rng.standard_normal(1000))
        turn = np.linalg.qr(rng.standard_normal((16, 16)))[0]
        tests.append(normality.joint_test(points @ turn, 19, rng))
    shares = rejections(tests)
    assert shares["joint"] >= 0.9
    assert max(shares[name] for name in normality.RADIAL) <= 0.5  # these alone would hardly see it


def trimmed_test(z, rng, fact=1.25):
    core = z[fits.trim_outliers(z, fact)]
    return normality.joint_test(core, 19, rng, partial(surrogates.trimmed_surrogate, fact=fact))


def test_trimmed_normal_samples_raise_no_alarm_against_trimmed_surrogates():
    rngs = [np.random.default_rng(seed) for seed in range(40)]
    tests = [trimmed_test(normal_cloud(400, rng), rng) for rng in rngs]
    assert all(share <= 0.175 for share in rejections(tests).values())  # 7 of 40: more has a chance of 0.1 %


def test_trimming_leaves_a_normal_core_of_outliers_and_no_normal_core_of_a_scale_mixture():
    rng = np.random.default_rng(1)
    z = normal_cloud(3000, rng)
    z[:300] = 1 + 5 * (z[:300] - 1)
    outliers, mixture = trimmed_test(z, rng), trimmed_test(normal_cloud(3000, rng, scale_variance=0.05), rng)
    assert normality.joint_test(z, 19, rng).p_value == 0.05
    assert outliers.p_value > 0.05
    assert mixture.p_value == 0.05


def test_held_out_distances_have_the_truth_s_spread_which_in_sample_ones_lose():
    rng = np.random.default_rng(0)
    n, d, sigma = 1000, 128, 0.211

    def draw(m, sigma):
        return MIXED * np.exp(sigma * rng.standard_normal((m, 1))) * rng.standard_normal((m, d)) + 1

    MIXED = np.linspace(5, 1, d)
    squared = np.exp(2 * sigma**2), np.exp(8 * sigma**2)  # means of s² and of its square
    truth = np.sqrt((squared[1] / squared[0] ** 2 * d * (d + 2) - d**2) / (2 * d))
    z = draw(n, sigma)
    inside = normality.spread_ratio(covariance.squared_distances(white(z)), d)
    outside = normality.spread_ratio(normality.held_out_squares(z, draw(20_000, sigma)), d)
    assert truth == pytest.approx(3.6, abs=0.1)
    assert inside < 0.85 * truth
    assert outside == pytest.approx(truth, rel=0.1)
    normal = normality.held_out_squares(draw(n, 0), draw(20_000, 0))
    assert normal.mean() == pytest.approx(d, rel=0.01)
    with pytest.raises(InputError, match="need more than 34 z-points"):
        normality.held_out_squares(normal_cloud(34, rng), normal_cloud(3, rng))
