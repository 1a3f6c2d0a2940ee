"""Statistics of z-points: arrays in, arrays out."""

from typing import NamedTuple

import numpy as np
from scipy.integrate import quad
from sklearn.neighbors import NearestNeighbors

from helpers.fitting import gaussian, levenberg_marquardt
from helpers.pieces import covariance_about, map_rows, row_lengths, row_slices
from helpers.workspace import InputError

INTERVAL = 0.25  # width of the posts' number densities of z (VIII-031)
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
    return row_lengths(lambda rows: rows, z)


def number_density(values, width):
    """Counts of `values` (n,) in intervals of `width` aligned to multiples of it: (centres, counts)."""
    first, last = np.floor(np.array([values.min(), values.max()]) / width)
    counts = np.zeros(int(last - first) + 1, dtype=np.int64)
    for rows in row_slices(len(values)):
        numbers = (np.floor(values[rows] / width) - first).astype(np.int64)
        counts += np.bincount(numbers, minlength=len(counts))
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


def nearest_distances(queries, points):
    """Distance of each query (m, d) to the nearest of `points` (n, d): float32 (m,)."""
    queries, nearest = queries.astype(np.float32, copy=False), np.full(len(queries), np.inf, dtype=np.float32)
    for rows in row_slices(len(points)):
        piece = points[rows].astype(np.float32, copy=False)
        search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(piece)
        np.minimum(nearest, search.kneighbors(queries)[0][:, 0], out=nearest)
    return nearest


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
    for rows in row_slices(len(z)):
        numbers = np.floor(z[rows] / width).astype(np.int64) - first
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


def largest_deviations(z, fits=None):
    """Largest distance of a component of each z-point (n, d) from its centre, in FWHM: float64 (n,).

    Centre and FWHM, the full width at half maximum, are those of a Gaussian fitted to the component's number
    density, not mean and standard deviation, which outliers move: `fits`, by default `fit_gaussians` on
    intervals of 0.25. FWHM is 2.355 sigma. Source: IX-018, IX-019.
    """
    fits = fit_gaussians(z, INTERVAL) if fits is None else fits
    if z.shape[1] != len(fits.centre):
        raise InputError(
            f"The Gaussians describe {len(fits.centre)} components, the z-points have {z.shape[1]}."
        )
    widths = 2 * half_width(fits.sigma)
    pieces = (np.abs(z[rows] - fits.centre) / widths for rows in row_slices(len(z)))
    deviations = np.concatenate([piece.max(axis=1) for piece in pieces])
    require_finite(deviations)
    return deviations


def trim_outliers(z, fact, fits=None):
    """Mask (n,) of the z-points (n, d) whose every component lies within centre ± fact · FWHM.

    Centres and widths are those of `largest_deviations`. Raises InputError unless fact is positive.
    Source: IX-018.
    """
    if not fact > 0:
        raise InputError(f"fact, the half-width of the region that is kept, must be positive, not {fact}.")
    return largest_deviations(z, fits) <= fact


def broad_components(fits, factor=2.0):
    """Indices of components whose sigma exceeds `factor` times the median sigma, widest first (CII-023)."""
    indices = np.flatnonzero(fits.sigma > factor * np.median(fits.sigma))
    return indices[np.argsort(-fits.sigma[indices], kind="stable")]


def off_centre_components(fits, factor=1.0):
    """Indices of components centred more than `factor` median sigmas off zero, farthest first (CII-036)."""
    indices = np.flatnonzero(np.abs(fits.centre) > factor * np.median(fits.sigma))
    return indices[np.argsort(-np.abs(fits.centre[indices]), kind="stable")]


def fit_pca(z, *others):
    """Principal components of z-points (n, d), by the eigenvectors of their covariance matrix.

    With `others`, further points (m, d), those of all points together. All fields are float64. Each
    component's entry of largest magnitude is positive, so that signs do not depend on the machine. With
    n <= d points only n − 1 components have a variance. Source: IX-028 to IX-033.
    """
    clouds = z, *others
    mean = sum(cloud.sum(axis=0, dtype=np.float64) for cloud in clouds) / sum(map(len, clouds))
    require_finite(mean)
    values, vectors = np.linalg.eigh(covariance_about(mean, *clouds))
    values, components = values[::-1].clip(0), vectors.T[::-1]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return Pca(mean, components * np.sign(largest), values, values / values.sum())


def transform_pca(pca, z, n_components=None):
    """Coordinates (n, n_components), float32, of z-points (n, d) along the first principal components."""
    components, mean = pca.components[:n_components].astype(np.float32), pca.mean.astype(np.float32)
    return map_rows(lambda rows: (rows - mean) @ components.T, z, len(components))


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
