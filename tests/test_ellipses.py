import numpy as np
import pytest
from scipy.stats import chi2

from helpers import ellipses
from helpers.files import InputError
from helpers.latent import pieces

COVARIANCES = [
    [[4.0, 0.0], [0.0, 1.0]],
    [[1.0, 0.0], [0.0, 4.0]],
    [[2.0, 1.9], [1.9, 2.0]],
    [[9.0, -2.9], [-2.9, 1.0]],
    [[1e-4, 0.9], [0.9, 1e4]],
]


def random_covariances(count, seed=0):
    factors = np.random.default_rng(seed).standard_normal((count, 2, 2))
    return factors @ factors.transpose(0, 2, 1)


def correlated_points(n=3000, dimensions=7, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, dimensions)) @ rng.standard_normal((dimensions, dimensions)) + 5
    z[:, 1] = z[:, 0] + 0.03 * z[:, 1]  # nearly on a line
    return z.astype("f4")


def mahalanobis(points, mean, cov):
    offsets = points - mean
    return np.sqrt(np.sum(offsets @ np.linalg.inv(cov) * offsets, axis=1))


def test_ellipse_of_a_diagonal_covariance_lies_along_the_axes():
    flat = ellipses.confidence_ellipse([1, 2], [[4, 0], [0, 1]], 3)
    assert flat.centre.tolist() == [1, 2]
    assert flat.half_axes == pytest.approx([6, 3])
    assert flat.angle == 0
    upright = ellipses.confidence_ellipse([1, 2], [[1, 0], [0, 4]], 3)
    assert upright.half_axes == pytest.approx([6, 3])
    assert upright.angle == 90


@pytest.mark.parametrize("angle", [-89, -45, -1, 0, 30, 45, 90])
def test_angle_and_half_axes_of_a_turned_covariance_come_back(angle):
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = np.array([[cosine, -sine], [sine, cosine]])
    found = ellipses.confidence_ellipse([0, 0], turned @ np.diag([25, 4]) @ turned.T, 2)
    assert found.angle == pytest.approx(angle)
    assert found.half_axes == pytest.approx([10, 4])


@pytest.mark.parametrize("cov", [*COVARIANCES, *random_covariances(20)])
def test_pearsons_recipe_and_the_covariance_give_the_same_ellipse(cov):
    mean, n_std = np.array([3.0, -1.0]), 2.5
    by_covariance = ellipses.confidence_ellipse(mean, cov, n_std)
    outlines = ellipses.ellipse_outline(by_covariance), ellipses.ellipse_from_pearson(mean, cov, n_std)
    for outline in outlines:
        assert outline.shape == (200, 2)
        assert mahalanobis(outline, mean, cov) == pytest.approx(np.full(200, n_std), rel=1e-6)
        assert outline[-1] == pytest.approx(outline[0])
    # Both wind once around the centre, with the same angles in the plane where the ellipse is a circle.
    assert ellipses.relative_radius(outlines[1], by_covariance) == pytest.approx(np.ones(200))
    whitening = np.linalg.inv(np.linalg.cholesky(cov))
    for outline in outlines:
        turns = np.unwrap(np.arctan2(*((outline - mean) @ whitening.T).T))
        assert abs(turns[-1] - turns[0]) == pytest.approx(2 * np.pi)


@pytest.mark.parametrize("rho", [-0.999, -0.5, 0.0, 0.3, 0.999])
def test_the_axes_of_pearsons_recipe_factorise_the_covariance(rho):
    """A map of the unit circle draws the ellipse of A·Aᵀ: here exactly the covariance."""
    sigma, half_axes = np.diag([0.2, 7.0]), np.diag(np.sqrt([1 + rho, 1 - rho]))
    drawn = sigma @ ellipses.unit_vectors(45).T @ half_axes
    assert drawn @ drawn.T == pytest.approx(sigma @ np.array([[1, rho], [rho, 1]]) @ sigma)


def test_relative_radius_is_one_on_the_ellipse_and_grows_linearly():
    ellipse = ellipses.confidence_ellipse([2, 3], COVARIANCES[2], 1.5)
    outline = ellipses.ellipse_outline(ellipse, 50)
    assert ellipses.relative_radius(outline, ellipse) == pytest.approx(np.ones(50))
    outside = ellipse.centre + 3 * (outline - ellipse.centre)
    assert ellipses.relative_radius(outside, ellipse) == pytest.approx(np.full(50, 3))


@pytest.mark.parametrize("cov", COVARIANCES[:4])
@pytest.mark.parametrize("n_std", [0.5, 2, 3])
def test_coverage_of_normal_points_is_the_expected_one_whatever_the_shape(cov, n_std):
    points = np.random.default_rng(0).multivariate_normal([1, -2], cov, 100_000)
    share = ellipses.coverage(points, [1, -2], cov, n_std)
    assert share == pytest.approx(ellipses.expected_coverage(n_std), abs=0.005)
    assert share == np.mean(mahalanobis(points, [1, -2], cov) <= n_std)


def test_coverage_counts_the_edge_as_inside():
    assert ellipses.coverage(np.array([[1.0, 0], [2, 0], [2.001, 0], [0, 2]]), [0, 0], np.eye(2), 2) == 0.75


def test_expected_coverage_is_chi_squared_with_two_degrees_of_freedom():
    n_std = np.array([0, 1, 2, 2.5, 3, 10])
    assert ellipses.expected_coverage(n_std) == pytest.approx(chi2(2).cdf(n_std**2), abs=1e-15)
    assert ellipses.expected_coverage(2) == pytest.approx(0.8647, abs=1e-4)


@pytest.mark.parametrize(
    ("cov", "message"),
    [
        ([[1, 1], [1, 1]], "straight line"),
        ([[1, -2], [-2, 4]], "straight line"),
        ([[1, 2], [2, 1]], "straight line"),
        ([[1, 0], [0, 0]], "no spread"),
        ([[1, 0], [0, 1e-33]], "no spread"),
        ([[-1, 0], [0, 1]], "no spread"),
        ([[1, 0.5], [0.4, 1]], "symmetric"),
        ([[1, np.nan], [np.nan, 1]], "finite"),
        ([1, 2], r"array of numbers \(2, 2\)"),
    ],
)
def test_covariances_without_an_ellipse_get_one_clear_sentence(cov, message):
    for function in (ellipses.confidence_ellipse, ellipses.ellipse_from_pearson):
        with pytest.raises(InputError, match=message):
            function([0, 0], cov, 2)
    with pytest.raises(InputError, match=message):
        ellipses.coverage(np.zeros((3, 2)), [0, 0], cov, 2)


@pytest.mark.parametrize("chunks", [(8192, 8), (700, 3)])
def test_all_pairs_agree_with_one_pair_at_a_time(chunks, monkeypatch):
    monkeypatch.setattr(pieces, "CHUNK_ROWS", chunks[0])
    monkeypatch.setattr(ellipses, "CHUNK_PARTNERS", chunks[1])
    z, n_stds = correlated_points(), [1, 2, 3]
    found = ellipses.pair_coverages(z, n_stds)
    assert list(zip(found.first, found.second, strict=True)) == [
        (i, j) for i in range(7) for j in range(i + 1, 7)
    ]
    assert found.coverage.shape == (21, 3)
    pearson = np.corrcoef(z, rowvar=False, dtype=np.float64)
    assert found.rho == pytest.approx(pearson[found.first, found.second])
    assert found.rho[0] > 0.99
    for pair in range(21):
        points = z[:, [found.first[pair], found.second[pair]]].astype(np.float64)
        mean, cov = points.mean(axis=0), np.cov(points, rowvar=False)
        expected = ellipses.confidence_ellipse(mean, cov, 1)
        assert found.half_axes[pair] == pytest.approx(expected.half_axes)
        assert found.angle[pair] == pytest.approx(expected.angle)
        for number, n_std in enumerate(n_stds):
            exact = ellipses.coverage(points, mean, cov, n_std)
            assert abs(found.coverage[pair, number] - exact) * len(z) < 1.5  # one point on the edge at most


def test_float32_hardly_moves_the_coverage_of_a_narrow_ellipse():
    rng, n = np.random.default_rng(0), 200_000
    z = rng.standard_normal((n, 2))
    z[:, 1] = 0.999 * z[:, 0] + np.sqrt(1 - 0.999**2) * z[:, 1]
    found = ellipses.pair_coverages(z, [1, 2]).coverage[0]
    mean, cov = z.mean(axis=0), np.cov(z, rowvar=False)
    exact = [ellipses.coverage(z, mean, cov, n_std) for n_std in (1, 2)]
    assert found == pytest.approx(exact, abs=5e-5)


def test_coverage_of_heavy_tails_differs_from_the_normal_one():
    z = np.random.default_rng(0).standard_t(4, (20_000, 3))
    found = ellipses.pair_coverages(z, [1, 3]).coverage.mean(axis=0)
    assert found[0] > ellipses.expected_coverage(1) + 0.05
    assert found[1] < ellipses.expected_coverage(3) - 0.005


def test_unusable_z_points_get_one_clear_sentence():
    z = correlated_points(100)
    constant, collinear, broken = z.copy(), z.copy(), z.copy()
    constant[:, 3] = 0.1
    collinear[:, 4] = 2 * z[:, 2] - 1
    broken[5, 5] = np.inf
    for bad, message in (
        (constant, "component 3 has the same value"),
        (collinear, "Components 2 and 4 lie on a straight line"),
        (broken, "not finite"),
        (z[:2], "at least 3 rows"),
        (z[:, :1], "at least 2 columns"),
    ):
        with pytest.raises(InputError, match=message):
            ellipses.pair_coverages(bad, [2])


def test_an_ellipse_may_lie_about_the_origin():
    mean = np.array([1e-17, -3e-18])  # of principal components, but for rounding
    ellipse = ellipses.confidence_ellipse(mean, np.eye(2), 1)
    assert np.array_equal(ellipse.centre, mean)
    assert ellipses.coverage(np.zeros((3, 2)), mean, np.eye(2), 1) == 1
