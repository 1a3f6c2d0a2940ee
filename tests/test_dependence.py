import numpy as np
import pytest
from scipy import stats

from helpers.latent import covariance, marginals, normality

RNG = np.random.default_rng(0)


def test_bells_have_one_peak_and_two_bells_have_two():
    one = RNG.standard_normal((20_000, 3))
    two = one + 4 * RNG.integers(0, 2, (20_000, 3))
    assert marginals.single_peaked(marginals.number_densities(one, 0.25)[1]).all()
    assert not marginals.single_peaked(marginals.number_densities(two, 0.25)[1]).any()


def share_with_one_peak(z):
    return marginals.single_peaked(marginals.number_densities(z, 0.25)[1]).mean()


@pytest.mark.parametrize("n", [3200, 12_840])
def test_two_peaks_are_seen_across_a_shallow_valley(n):
    rng = np.random.default_rng(0)
    two = rng.standard_normal((n, 150)) + 1.5 * rng.choice([-1, 1], (n, 150))  # the valley is at 64 %
    assert share_with_one_peak(two) < 0.03
    assert share_with_one_peak(two[:, :50] * [2]) == 0  # wider intervals hide nothing


@pytest.mark.parametrize("n", [400, 5000])
def test_one_peak_of_any_shape_and_a_flat_density_have_no_second_one_but_by_chance(n):
    rng = np.random.default_rng(0)
    flat, shape = rng.uniform(-1.7, 1.7, (n, 400)), (n, 100)
    assert share_with_one_peak(flat) > 0.98
    for one in (rng.standard_normal(shape), rng.standard_t(3, shape), rng.standard_exponential(shape)):
        assert share_with_one_peak(one) == 1
    assert marginals.single_peaked(np.array([[0, 5], [7, 5], [0, 0]])).all()  # one or two intervals


def test_kolmogorov_distances_against_scipy():
    z = RNG.standard_t(4, (300, 3))
    expected = [stats.kstest(column, "norm").statistic for column in z.T]
    assert marginals.kolmogorov_distances(z) == pytest.approx(expected, abs=1e-12)


def test_sizes_go_together_in_a_scale_mixture_only():
    normal = RNG.standard_normal((40_000, 2))
    scaled = normal * RNG.gamma(4, 0.25, (40_000, 1))
    assert abs(covariance.size_correlations(normal)[0, 1]) < 0.02
    assert abs(np.corrcoef(scaled.T)[0, 1]) < 0.03
    # For s·|u|, s·|v| with |u|, |v| independent of mean √(2/π): var(s)·m² / (E(s²) − E(s)²·m²), m² = 2/π
    expected = 0.25 * (2 / np.pi) / (1.25 - 2 / np.pi)
    assert covariance.size_correlations(scaled)[0, 1] == pytest.approx(expected, abs=0.03)


def test_distance_correlation_of_independent_components_is_zero_on_average():
    values = [covariance.distance_correlations(RNG.standard_normal((100, 2)))[0, 1] for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_distance_correlation_sees_what_pearson_does_not():
    x = np.linspace(-1, 1, 500)
    y = np.column_stack([x, x**2, -3 * x])
    found = covariance.distance_correlations(y)
    assert abs(np.corrcoef(y.T)[0, 1]) < 0.1
    assert found[0, 1] > 0.15
    assert found[0, 2] == pytest.approx(1)
    assert np.allclose(np.diag(found), 1)


def test_distance_correlation_of_a_normal_pair_against_its_closed_form():
    rho = 0.6
    y = RNG.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 1500)
    # Székely, Rizzo and Bakirov 2007, theorem 7
    above = rho * np.arcsin(rho) + np.sqrt(1 - rho**2) - rho * np.arcsin(rho / 2) - np.sqrt(4 - rho**2) + 1
    expected = above / (1 + np.pi / 3 - np.sqrt(3))
    assert covariance.distance_correlations(y)[0, 1] == pytest.approx(expected, abs=0.06)


def test_henze_zirkler_against_its_definition():
    points = RNG.standard_normal((30, 2)) @ np.array([[2, 1], [0, 1]])
    n, d = points.shape
    beta = ((2 * d + 1) * n / 4) ** (1 / (d + 4)) / np.sqrt(2)
    centred = points - points.mean(axis=0)
    inverse = np.linalg.inv(np.cov(points.T, bias=True))
    total = 0.0
    for one in centred:
        for other in centred:
            total += np.exp(-(beta**2) / 2 * (one - other) @ inverse @ (one - other)) / n
        distance = one @ inverse @ one
        total -= 2 * (1 + beta**2) ** (-d / 2) * np.exp(-(beta**2) / 2 / (1 + beta**2) * distance)
    assert normality.henze_zirkler(points) == pytest.approx(
        total + n * (1 + 2 * beta**2) ** (-d / 2), rel=1e-9
    )


def test_henze_zirkler_says_nothing_at_256_dimensions_and_something_at_two():
    shape = 400, 256
    clouds = [RNG.standard_normal(shape), RNG.exponential(size=shape), RNG.uniform(size=shape)]
    assert [normality.henze_zirkler(points) for points in clouds] == pytest.approx([1, 1, 1], abs=0.005)
    flat = [points[:, :2] for points in clouds]
    normal, exponential, _ = (normality.henze_zirkler(points) for points in flat)
    assert exponential > 5 * normal
