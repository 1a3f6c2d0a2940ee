import numpy as np
import pytest
from clouds import correlated_points
from scipy.optimize import curve_fit
from sklearn.decomposition import PCA

from helpers.files import InputError
from helpers.latent import covariance, marginals, neighbours
from helpers.latent import fits as fits_module
from helpers.latent.pieces import CHUNK_ROWS
from helpers.sampling import paths


def test_radii_are_euclidean_norms():
    z = correlated_points(50)
    assert marginals.radii(z) == pytest.approx(np.sqrt((z.astype(np.float64) ** 2).sum(axis=1)), rel=1e-5)
    assert marginals.radii(np.array([[3.0, 4.0]]))[0] == 5


def test_number_density_counts_low_included_high_excluded():
    centres, counts = marginals.number_density(np.array([0.5, 0.5, 0.99, 1.0, 2.6]), 0.5)
    assert centres.tolist() == [0.75, 1.25, 1.75, 2.25, 2.75]
    assert counts.tolist() == [3, 1, 0, 0, 1]


def test_number_density_agrees_with_numpy_and_keeps_every_point():
    values = np.random.default_rng(1).normal(0, 3, 10_000)
    centres, counts = marginals.number_density(values, 0.25)
    expected, _ = np.histogram(values, np.append(centres - 0.125, centres[-1] + 0.125))
    assert counts.tolist() == expected.tolist()
    assert counts.sum() == 10_000


def test_mode_is_the_centre_of_the_fullest_interval():
    values = np.random.default_rng(1).normal(16.8, 2, 200_000)
    assert marginals.mode(values, 0.5) == pytest.approx(16.75, abs=0.5)


def test_nearest_distances_equal_a_full_search():
    points, queries = correlated_points(2 * CHUNK_ROWS + 5, seed=1), correlated_points(30, seed=2)
    full = np.array([np.linalg.norm(points - query, axis=-1).min() for query in queries])
    assert neighbours.nearest_distances(queries, points) == pytest.approx(full, abs=1e-3)
    distant, near = np.array([[0, 200]], np.uint8), np.array([[3, 204]], np.uint8)  # thumbnails are bytes
    assert neighbours.nearest_distances(distant, np.vstack([near + 50, near])).tolist() == [5]


def test_random_steps_have_the_given_lengths_and_no_common_direction():
    z, lengths = correlated_points(3000), np.linspace(0.5, 2, 3000)
    steps = paths.random_steps(z, lengths, np.random.default_rng(0)) - z
    assert np.linalg.norm(steps, axis=1) == pytest.approx(lengths, rel=1e-3)
    assert np.abs((steps / lengths[:, None]).mean(axis=0)).max() < 0.05


def test_number_densities_agree_with_those_of_single_components():
    z = correlated_points(3000)
    centres, counts = marginals.number_densities(z, 0.25)
    assert counts.dtype == np.int64
    assert counts.sum(axis=0).tolist() == [3000] * 6
    for component, values in enumerate(z.T):
        own_centres, own_counts = marginals.number_density(values, 0.25)
        start = np.searchsorted(centres, own_centres[0] - 0.1)
        assert counts[start : start + len(own_counts), component].tolist() == own_counts.tolist()


def test_values_at_the_ends_of_intervals_are_counted_above_them():
    z = np.array([[-0.5, 0.0], [0.25, 0.1], [0.0, 0.7]], dtype="f4")
    centres, counts = marginals.number_densities(z, 0.25)
    assert centres.tolist() == [-0.375, -0.125, 0.125, 0.375, 0.625]
    assert counts.T.tolist() == [[1, 0, 1, 1, 0], [0, 0, 2, 0, 1]]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_fits_recover_centres_and_sigmas_of_normal_components(dtype):
    centres, sigmas = np.linspace(-4, 4, 12), np.linspace(0.4, 5, 12)
    z = np.random.default_rng(0).normal(centres, sigmas, (100_000, 12)).astype(dtype)
    fits = fits_module.fit_gaussians(z, 0.25)
    assert (np.abs(fits.centre - centres) < 0.02 * sigmas).all()
    assert fits.sigma == pytest.approx(sigmas, rel=0.025)  # an interval of 0.25 widens 0.4 by 1.6 %
    assert fits.amplitude == pytest.approx(100_000 * 0.25 / sigmas / np.sqrt(2 * np.pi), rel=0.03)
    assert fits.r_squared.min() > 0.99


def test_fits_agree_with_scipys_one_by_one():
    rng = np.random.default_rng(0)
    z = np.stack([rng.normal(1, 2, 2000), rng.standard_t(3, 2000), rng.gamma(2, 1, 2000)], axis=1)
    z = np.column_stack(
        [z, np.where(rng.random(2000) < 0.3, rng.normal(-3, 1, 2000), rng.normal(3, 1, 2000))]
    )
    fits, (x, counts) = fits_module.fit_gaussians(z, 0.25), marginals.number_densities(z, 0.25)

    def curve(x, centre, sigma, amplitude):
        return amplitude * np.exp(-((x - centre) ** 2) / 2 / sigma**2)

    for component, y in enumerate(counts.T):
        expected, _ = curve_fit(curve, x, y, p0=(x[y.argmax()], 1, y.max()))
        assert [field[component] for field in fits[:3]] == pytest.approx(expected, rel=1e-4)


def test_a_component_with_two_peaks_gets_a_bad_fit():
    rng = np.random.default_rng(0)
    sides = np.where(rng.random(20_000) < 0.5, -1, 1)
    z = np.stack([rng.normal(0, 2, 20_000), rng.normal(4 * sides, 1), rng.normal(2 * sides, 1)], axis=1)
    good, far, near = fits_module.fit_gaussians(z, 0.25).r_squared
    assert good > 0.99
    assert far < 0.7
    assert near < 0.9


def test_fits_of_few_or_constant_points_stay_finite():
    z = np.random.default_rng(0).standard_normal((128, 256)).astype("f4")
    z[:, 7] = 0.1
    fits = fits_module.fit_gaussians(z, 0.25)
    assert all(np.isfinite(field).all() for field in fits)
    assert fits.sigma[7] < 0.25
    assert fits.sigma.mean() == pytest.approx(1, abs=0.15)


def test_unusable_z_points_get_one_clear_sentence():
    z = correlated_points(50)
    with pytest.raises(InputError, match=r"10,000 intervals of width 0\.25; choose wider"):
        marginals.number_densities(z * 1e4, 0.25)
    z[3, 2] = np.nan
    for function in (covariance.fit_pca, lambda z: fits_module.fit_gaussians(z, 0.25)):
        with pytest.raises(InputError, match="training has diverged"):
            function(z)


def test_half_width_is_where_a_gaussian_has_half_its_peak():
    assert np.exp(-(fits_module.half_width(3.0) ** 2) / 2 / 3**2) == pytest.approx(0.5)


def test_trimming_keeps_points_whose_every_component_is_near_its_centre():
    fits = fits_module.GaussianFits(np.array([0, 5.0]), np.array([1, 2.0]), None, None)
    width = 2 * np.sqrt(2 * np.log(2))  # FWHM in sigma
    z = np.array([[0, 5], [1.5 * width, 5], [0, 5 + 3 * width], [1.51 * width, 5], [0, 5 - 3.02 * width]])
    z[2] *= 1 - 1e-12  # on the edge, but for rounding
    assert fits_module.trim_outliers(z, 1.5, fits).tolist() == [True, True, True, False, False]
    assert fits_module.largest_deviations(z, fits) == pytest.approx([0, 1.5, 1.5, 1.51, 1.51])


def test_trimming_by_fitted_gaussians_agrees_with_a_loop_over_components():
    rng = np.random.default_rng(0)
    z = (rng.standard_t(4, (20_000, 5)) * [0.5, 1, 2, 3, 4] + 2).astype("f4")  # several chunks of rows
    fits, kept = fits_module.fit_gaussians(z, 0.25), np.ones(len(z), dtype=bool)
    for j in range(5):
        reach = 1.3 * 2.354820045 * fits.sigma[j]
        kept &= (z[:, j] >= fits.centre[j] - reach) & (z[:, j] <= fits.centre[j] + reach)
    assert 0.5 < kept.mean() < 0.95
    assert fits_module.trim_outliers(z, 1.3).tolist() == kept.tolist()


def test_fitted_widths_trim_more_of_heavy_tails_than_standard_deviations_would():
    z = np.random.default_rng(0).standard_t(3, (20_000, 4)).astype("f4")
    moments = fits_module.GaussianFits(z.mean(axis=0), z.std(axis=0), None, None)
    assert fits_module.trim_outliers(z, 1.3).sum() < fits_module.trim_outliers(z, 1.3, moments).sum() - 400


def test_what_cannot_be_trimmed_gets_one_clear_sentence():
    z, fits = correlated_points(200), fits_module.GaussianFits(np.zeros(3), np.ones(3), None, None)
    with pytest.raises(InputError, match=r"fact, the half-width .* must be positive, not -1"):
        fits_module.trim_outliers(z, -1)
    with pytest.raises(InputError, match="describe 3 components, the z-points have 6"):
        fits_module.trim_outliers(z, 1.5, fits)
    z[3, 2] = np.nan
    with pytest.raises(InputError, match="training has diverged"):
        fits_module.trim_outliers(z, 1.5, fits_module.GaussianFits(np.zeros(6), np.ones(6), None, None))


def test_broad_and_off_centre_components_come_in_order():
    fits = fits_module.GaussianFits(
        centre=np.array([0, 0.5, -9, 0.1, 3.0]),
        sigma=np.array([1, 1, 5, 9, 1.0]),
        amplitude=None,
        r_squared=None,
    )
    assert fits_module.broad_components(fits).tolist() == [3, 2]
    assert fits_module.broad_components(fits, factor=6).tolist() == [3]
    assert fits_module.off_centre_components(fits).tolist() == [2, 4]
    assert fits_module.off_centre_components(fits, factor=100).tolist() == []


def test_pca_agrees_with_scikit_learns():
    z = correlated_points(20_000, dimensions=40)
    pca, other = covariance.fit_pca(z), PCA(svd_solver="full").fit(z.astype(np.float64))
    assert pca.mean == pytest.approx(other.mean_, rel=1e-6)
    assert pca.explained_variance == pytest.approx(other.explained_variance_, rel=1e-6)
    assert pca.explained_variance_ratio == pytest.approx(other.explained_variance_ratio_, rel=1e-6)
    assert np.abs(np.sum(pca.components * other.components_, axis=1)) == pytest.approx(np.ones(40), abs=1e-6)
    ours, theirs = covariance.transform_pca(pca, z, 5), other.transform(z)[:, :5]
    assert ours.dtype == np.float32
    assert np.abs(ours) == pytest.approx(np.abs(theirs), abs=1e-3)


def test_signs_of_pca_are_fixed():
    z = correlated_points(300, dimensions=10)
    for points in (z, z[::-1], -z):
        components = covariance.fit_pca(points).components
        assert (components.max(axis=1) == np.abs(components).max(axis=1)).all()


def test_pca_of_fewer_points_than_dimensions_has_one_component_less_than_points():
    z = correlated_points(20, dimensions=30)
    pca = covariance.fit_pca(z)
    assert pca.components @ pca.components.T == pytest.approx(np.eye(30), abs=1e-9)
    assert (pca.explained_variance[:19] > 1e-6).all()
    assert (pca.explained_variance[19:] < 1e-9).all()
    assert covariance.components_for_variance(pca, 1.0) == 19
    assert len(covariance.principal_axes(pca)) == 19


def test_components_for_variance_is_the_smallest_number_that_suffices():
    ratios = np.array([0.5, 0.3, 0.15, 0.05])
    pca = covariance.Pca(None, None, None, ratios)
    assert [covariance.components_for_variance(pca, share) for share in (0.4, 0.5, 0.51, 0.8, 1)] == [
        1,
        1,
        2,
        2,
        4,
    ]


@pytest.mark.parametrize(("offset", "strength"), [(0, 0), (0, 1), (2, 1), (10, 0.5)])
def test_predicted_radius_agrees_with_a_simulation(offset, strength):
    rng = np.random.default_rng(0)
    mean = offset * rng.standard_normal(16)
    mixing = np.eye(16) + strength * rng.standard_normal((16, 16)) / 4
    radii = marginals.radii(rng.standard_normal((200_000, 16)) @ mixing.T + mean)
    predicted_mean, predicted_spread = marginals.predicted_radius(mean, mixing @ mixing.T)
    assert predicted_mean == pytest.approx(radii.mean(), rel=0.002)
    assert predicted_spread == pytest.approx(radii.std(), rel=0.02)


def test_predicted_radius_of_the_standard_normal_distribution_is_nearly_16():
    mean, spread = marginals.predicted_radius(np.zeros(256), np.eye(256))
    assert mean == pytest.approx(15.984, abs=0.001)  # mean of the chi distribution with 256 degrees
    assert spread == pytest.approx(0.707, abs=0.001)
