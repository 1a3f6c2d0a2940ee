"""Each component by itself, and the radius: number densities, moments, peaks."""

from bisect import bisect_left
from collections import namedtuple

import numpy as np
from scipy.integrate import quad
from scipy.optimize import isotonic_regression
from scipy.special import ndtr

from helpers.files import InputError
from helpers.latent.covariance import SMALLEST_VARIANCE
from helpers.latent.pieces import asks, row_lengths, row_slices

MOST_INTERVALS = 10_000  # intervals of a number density; the posts need about 150
VALLEY = 0.9  # roots of the number of points, that no one peak explains: flat densities exceed it in 0.3 %
Moments = namedtuple("Moments", "skewness excess_kurtosis skewness_error kurtosis_error")


@asks(z="n d")
def number_densities(z, width):
    """Number density of every component of z (n, d) on common intervals of `width`.

    Returns their centres (b,) and counts (b, d), int64. The intervals are aligned to multiples of `width`,
    and reach from the smallest to the largest of all values. InputError for too many. Source: CII-021.
    """
    ends = np.array([z.min(), z.max()])
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


@asks(values="n")
def number_density(values, width):
    """Counts of `values` (n,) in intervals of `width`, as in `number_densities`: (centres, counts)."""
    centres, counts = number_densities(values[:, None], width)
    return centres, counts[:, 0]


def mode(values, width):
    """Centre of the fullest interval of `width`: where the number density of `values` (n,) peaks."""
    centres, counts = number_density(values, width)
    return float(centres[np.argmax(counts)])


@asks(counts="b d")
def single_peaked(counts):
    """Mask (d,) of the number densities (b, d) that rise to one peak and fall after it, but for chance.

    What no one peak explains of a density is compared with chance, VALLEY times the root of its points. Of
    two normal distributions at ±1.5 standard deviations, with a valley of 64 %, 99 % are found out at n =
    3,200, and all at 12,840. A relative of the dip of Hartigan and Hartigan 1985. For VIII-015.
    """
    return np.array([_unexplained(column) <= VALLEY * np.sqrt(column.sum()) for column in counts.T], bool)


def _unexplained(counts):
    """Largest difference of cumulative counts (b,) from those of the nearest density with one peak."""
    counts = counts.astype(np.float64)

    def miss(*sides):  # of densities that rise towards the peak, which lies at their ends
        gaps = [np.cumsum(side - isotonic_regression(side).x) for side in sides if len(side)]
        return max((np.abs(gap).max() for gap in gaps), default=0)

    place = bisect_left(range(len(counts)), True, key=lambda at: miss(counts[:at]) >= miss(counts[at:][::-1]))
    return min(miss(counts[:at], counts[at:][::-1]) for at in (max(place - 1, 0), place))


def ups_and_downs(values, width):
    """All rises and falls of the number density of `values` (n,), in units of those of a single clean peak.

    1 is one peak, with no step the wrong way. Source: CII-041, CII-042, IX-047.
    """
    _, counts = number_density(values, width)
    return float(np.abs(np.diff(counts, prepend=0, append=0)).sum() / (2 * counts.max()))


@asks(z="n>=4 d")
def moments(z):
    """Skewness and excess kurtosis (d,) of the components of z (n, d), and their standard errors: `Moments`.

    0 for a Gaussian, NaN for constant components. The errors are those of n > 3 independent normal values,
    exactly. Sources: Fisher 1930; IX-012, IX-044, IX-045.
    """
    n, mean = len(z), z.mean(axis=0, dtype=np.float64)
    powers = np.zeros((3, z.shape[1]))
    for rows in row_slices(n):
        centred = z[rows] - mean
        square = np.square(centred)
        powers += [square.sum(axis=0), (square * centred).sum(axis=0), np.square(square).sum(axis=0)]
    second, third, fourth = powers / n
    second = np.where(second <= SMALLEST_VARIANCE * second.max(), np.nan, second)
    return Moments(
        skewness=third / second**1.5,
        excess_kurtosis=fourth / second**2 - 3,
        skewness_error=float(np.sqrt(6 * (n - 2) / ((n + 1) * (n + 3)))),
        kurtosis_error=float(np.sqrt(24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5)))),
    )


@asks(standardised="n d")
def kolmogorov_distances(standardised):
    """Largest difference (d,) between the distribution of each component (n, d) and the standard normal one.

    0 to 1; also called the Kolmogorov-Smirnov statistic. SciPy's test, which finds p-values as well and
    rounds to float32 where the points are, takes four times as long. For IX-005.
    """
    n = len(standardised)
    middles = (np.arange(n) + 0.5) / n
    return np.array([np.abs(ndtr(np.sort(x)) - middles).max() for x in standardised.T]) + 0.5 / n


@asks(z="n d")
def radii(z):
    """Distances of z-points (n, z_dim) from the origin of the latent space, float32 (n,). Source: XIII."""
    return row_lengths(lambda rows: rows, z)


@asks(radii="n")
def radius_statistics(radii, width):
    """Mean, spread (standard deviation), min, max and mode (at intervals of `width`) of radii (n,)."""
    statistics = {"mean": radii.mean(), "spread": radii.std(), "min": radii.min(), "max": radii.max()}
    return {name: float(value) for name, value in statistics.items()} | {"mode": mode(radii, width)}


@asks(mean="d, may vanish", covariance="d d")
def predicted_radius(mean, covariance):
    """Mean and spread of the radius R of a normal distribution with mean (d,) and covariance (d, d), exact.

    R² has the mean |mean|² + tr C. That of R is the integral over t > 0 of (1 − φ(t)) t^(−3/2) / 2√π, where
    φ(t) is the mean of exp(−t R²), which normal distributions have in closed form. Source: CII-044, CII-045.
    """
    variances, axes = np.linalg.eigh(covariance)
    variances, squared_means = variances.clip(0), (mean @ axes) ** 2
    square = float(squared_means.sum() + variances.sum())
    if not square:
        return 0.0, 0.0

    def integrand(u):  # of u = ln(t · square), where it is smooth and falls off on both sides
        widened = 1 + 2 * np.exp(u) / square * variances
        log_phi = -np.log(widened).sum() / 2 - np.exp(u) / square * (squared_means / widened).sum()
        return -np.expm1(log_phi) * np.exp(-u / 2)

    radius = quad(integrand, -60, 60, points=[0], limit=500)[0] * np.sqrt(square / np.pi) / 2
    return float(radius), float(np.sqrt(max(square - radius**2, 0)))
