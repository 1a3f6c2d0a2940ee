"""Statistics of z-points: arrays in, arrays out."""

from typing import NamedTuple

import numpy as np
from scipy.integrate import quad
from sklearn.neighbors import NearestNeighbors

from helpers.fitting import gaussian, levenberg_marquardt
from helpers.workspace import InputError

CHUNK_ROWS = 8192  # z-points that are worked on at once: 16 MB in float64 at 256 dimensions
MOST_INTERVALS = 10_000  # intervals of a number density; the posts need about 150
SMALLEST_VARIANCE = 1e-9  # of the first component's: less is rounding, as beyond n − 1 components of n points


class GaussianFits(NamedTuple):
    """A Gaussian per component, each field float64 (z_dim,): centre, sigma, peak, goodness of fit."""

    centre: np.ndarray
    sigma: np.ndarray
    amplitude: np.ndarray
    r_squared: np.ndarray


class Pca(NamedTuple):
    """Principal components: mean (d,), unit vectors as rows (d, d), variances (d,), their shares (d,)."""

    mean: np.ndarray
    components: np.ndarray
    explained_variance: np.ndarray
    explained_variance_ratio: np.ndarray


def radii(z):
    """Distances of z-points (n, z_dim) from the origin of the latent space, float32 (n,). Source: XIII."""
    return np.linalg.norm(z, axis=1)


def number_density(values, width):
    """Counts of `values` (n,) in intervals of `width` aligned to multiples of it: (centres, counts)."""
    first = np.floor(values.min() / width)
    numbers = (np.floor(values / width) - first).astype(np.int64)
    counts = np.bincount(numbers)
    return (first + np.arange(len(counts)) + 0.5) * width, counts


def mode(values, width):
    """Centre of the fullest interval of `width`: where the number density of `values` (n,) peaks."""
    centres, counts = number_density(values, width)
    return float(centres[np.argmax(counts)])


def radius_statistics(radii, width):
    """Mean, spread (standard deviation), min, max and mode (at intervals of `width`) of radii (n,)."""
    return {
        "mean": float(radii.mean()),
        "spread": float(radii.std()),
        "min": float(radii.min()),
        "max": float(radii.max()),
        "mode": mode(radii, width),
    }


def gaussian_surrogate(z, n, rng):
    """Draw n points (n, z_dim), float32, from the normal distribution with mean and covariance of z.

    The null hypothesis of the series: what such noise shows as well is no structure of the data.
    """
    mean, covariance = z.mean(axis=0, dtype=np.float64), np.cov(z, rowvar=False, dtype=np.float64)
    return rng.multivariate_normal(mean, covariance, size=n, method="eigh").astype(np.float32)


def elliptical_surrogate(z, n, rng):
    """Draw n points (n, z_dim), float32, with mean, covariance and Mahalanobis distances of z.

    The second null hypothesis: only the directions are drawn anew, evenly. So the cloud keeps the tails of
    the data and has elliptic contours everywhere; what differs from the Gaussian surrogate and not from
    this one is no filament. With as many points as z has, each distance occurs once.
    """
    pca = fit_pca(z)
    axes = principal_axes(pca)
    coordinates = (z - pca.mean) @ (axes / np.square(axes).sum(axis=1, keepdims=True)).T
    distances = np.linalg.norm(coordinates, axis=1)
    directions = rng.standard_normal((n, len(axes)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    drawn = rng.permutation(distances) if n == len(z) else rng.choice(distances, n)
    return (pca.mean + (drawn[:, None] * directions) @ axes).astype(np.float32)


def matched_surrogate(z, n, rng):
    """Draw n <= len(z) of as many normal points as z has, whose own mean and covariance are those of z.

    Points of `gaussian_surrogate` have them only on average: estimating the covariance once more makes it
    more uneven, which distances between few points in many dimensions feel. If z is normal, z and its
    matched surrogates are exchangeable, so a rank among them is an exact p-value, whatever the statistic.
    """
    pca = fit_pca(z)
    axes = principal_axes(pca)
    noise = rng.standard_normal((len(z), len(axes)))
    noise -= noise.mean(axis=0)
    # With L·Lᵀ the covariance of the noise, noise·L⁻ᵀ has covariance 1, and its directions stay random.
    root = np.linalg.cholesky(noise.T @ noise / (len(z) - 1))
    return (pca.mean + noise[:n] @ np.linalg.solve(root.T, axes)).astype(np.float32)


def uniform_box(z, n, rng):
    """Draw n points (n, z_dim), float32, evenly from the box between each component's extremes in z."""
    return rng.uniform(z.min(axis=0), z.max(axis=0), size=(n, z.shape[1])).astype(np.float32)


def nearest_distances(queries, points):
    """Distance of each query (m, z_dim) to the nearest of `points` (n, z_dim): float32 (m,)."""
    return NearestNeighbors(n_neighbors=1, algorithm="brute").fit(points).kneighbors(queries)[0][:, 0]


def random_steps(z, lengths, rng):
    """Each z-point (n, z_dim) moved by its length (n,) in a direction drawn evenly from the sphere."""
    directions = rng.standard_normal(z.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return (z + lengths[:, None] * directions).astype(np.float32)


def number_densities(z, width):
    """Number density of every component of z (n, d) on common intervals of `width`.

    Returns their centres (b,) and counts (b, d), int64. The intervals are aligned to multiples of `width` as
    in `number_density`, and reach from the smallest to the largest value of all components. Raises
    InputError where z is not finite or too wide for the intervals. Source: CII-021.
    """
    ends = np.array([z.min(), z.max()])
    require_finite(ends)
    if ends[1] - ends[0] > MOST_INTERVALS * width:
        raise InputError(
            f"z-points from {ends[0]:.3g} to {ends[1]:.3g} need more than {MOST_INTERVALS:,} intervals of "
            f"width {width:g}; choose wider ones."
        )
    first, last = np.floor(ends / width).astype(np.int64)
    intervals, components = last - first + 1, z.shape[1]
    counts, offsets = np.zeros(components * intervals, dtype=np.int64), np.arange(components) * intervals
    for start in range(0, len(z), CHUNK_ROWS):
        numbers = np.floor(z[start : start + CHUNK_ROWS] / width).astype(np.int64) - first
        counts += np.bincount((numbers + offsets).ravel(), minlength=len(counts))
    return (first + np.arange(intervals) + 0.5) * width, counts.reshape(components, intervals).T


def require_finite(values):
    """Raise InputError where one of `values` is not a finite number."""
    if not np.isfinite(values).all():
        raise InputError(
            "Some z-points are not finite numbers: the training has diverged; train again with a smaller "
            "learning rate."
        )


def fit_gaussians(z, width):
    """Least-squares Gaussian amplitude · exp(−(x − centre)² / 2 sigma²) of each component's number density.

    z is (n, d); x are the centres of intervals of `width` as in `number_densities`. All d components are
    fitted at once. r_squared is the share of the counts' variance over the intervals that the curve
    explains: 1 for a Gaussian without noise, clearly less for two peaks or few points. A component narrower
    than an interval cannot be resolved: its sigma stops at a quarter of `width`. Source: CII-022 to CII-034,
    VIII-010.
    """
    centres, counts = number_densities(z, width)
    peak, mean = counts.max(axis=0), centres @ counts / len(z)
    offsets = centres[:, None] - mean
    spread = np.sqrt((offsets**2 * counts).sum(axis=0) / len(z)).clip(width / 2)
    x, y = offsets / spread, counts / peak  # so that all fits start at amplitude 1, centre 0, sigma 1
    amplitude, centre, log_sigma = levenberg_marquardt(x, y, np.log(width / 4 / spread))
    residual = np.square(y - gaussian(x, amplitude, centre, log_sigma)).sum(axis=0)
    return GaussianFits(
        centre=mean + centre * spread,
        sigma=np.exp(log_sigma) * spread,
        amplitude=amplitude * peak,
        r_squared=1 - residual / np.square(y - y.mean(axis=0)).sum(axis=0),
    )


def half_width(sigma):
    """Half width at half maximum of a Gaussian: sigma · √(2 ln 2), the 'half-width' of CII-022."""
    return sigma * np.sqrt(2 * np.log(2))


def broad_components(fits, factor=2.0):
    """Indices of components whose sigma exceeds `factor` times the median sigma, widest first (CII-023)."""
    indices = np.flatnonzero(fits.sigma > factor * np.median(fits.sigma))
    return indices[np.argsort(-fits.sigma[indices], kind="stable")]


def off_centre_components(fits, factor=1.0):
    """Indices of components centred more than `factor` median sigmas off zero, farthest first (CII-036)."""
    indices = np.flatnonzero(np.abs(fits.centre) > factor * np.median(fits.sigma))
    return indices[np.argsort(-np.abs(fits.centre[indices]), kind="stable")]


def fit_pca(z):
    """Principal components of z-points (n, d), by the eigenvectors of their covariance matrix.

    All fields are float64. Each component's entry of largest magnitude is positive, so that signs do not
    depend on the machine. With n <= d points only n − 1 components have a variance. Source: IX-028 to IX-033.
    """
    mean = z.mean(axis=0, dtype=np.float64)
    require_finite(mean)
    covariance = np.zeros((z.shape[1], z.shape[1]))
    for start in range(0, len(z), CHUNK_ROWS):
        centred = z[start : start + CHUNK_ROWS] - mean
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance / (len(z) - 1))
    values, components = values[::-1].clip(0), vectors.T[::-1]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return Pca(mean, components * np.sign(largest), values, values / values.sum())


def transform_pca(pca, z, n_components=None):
    """Coordinates (n, n_components), float32, of z-points (n, d) along the first principal components."""
    components = pca.components[:n_components].astype(np.float32)
    return (z - pca.mean.astype(np.float32)) @ components.T


def principal_axes(pca):
    """Principal components times their standard deviations: (r, d), those without any variance left out.

    For uncorrelated x (n, r) of variance 1, pca.mean + x @ axes has mean and covariance of the data.
    """
    kept = pca.explained_variance > SMALLEST_VARIANCE * pca.explained_variance[0]
    return np.sqrt(pca.explained_variance[kept])[:, None] * pca.components[kept]


def components_for_variance(pca, share):
    """Smallest number of principal components that hold `share` (0 to 1) of the variance (IX-031)."""
    return int((np.cumsum(pca.explained_variance_ratio) < share - 1e-12).sum()) + 1


def predicted_radius(mean, covariance):
    """Mean and spread of the radius R of a normal distribution with mean (d,) and covariance (d, d), exact.

    R² has the mean |mean|² + tr C. That of R is the integral over t > 0 of (1 − φ(t)) t^(−3/2) / 2√π, where
    φ(t) is the mean of exp(−t R²), which normal distributions have in closed form. Source: CII-044, CII-045.
    """
    variances, axes = np.linalg.eigh(covariance)
    variances, squared_means = variances.clip(0), (mean @ axes) ** 2
    square = float(squared_means.sum() + variances.sum())

    def integrand(u):  # of u = ln(t · square), where it is smooth and falls off on both sides
        widened = 1 + 2 * np.exp(u) / square * variances
        log_phi = -np.log(widened).sum() / 2 - np.exp(u) / square * (squared_means / widened).sum()
        return -np.expm1(log_phi) * np.exp(-u / 2)

    radius = quad(integrand, -60, 60, points=[0], limit=500)[0] * np.sqrt(square / np.pi) / 2
    return float(radius), float(np.sqrt(max(square - radius**2, 0)))
