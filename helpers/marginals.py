"""Components of z-points singly and in pairs: shape of each density, linear correlation of each pair."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from helpers.latent import SMALLEST_VARIANCE, require_finite
from helpers.pieces import row_slices

SHAPIRO_ROWS = 2000  # points that Shapiro-Wilk sees; its p-value holds up to 5,000


class OffDiagonal(NamedTuple):
    """Elements beside the diagonal: mean and largest magnitude, share with more than a threshold."""

    mean: float
    largest: float
    share_above: float


class Moments(NamedTuple):
    """Skewness and excess kurtosis of each component (d,), 0 for a Gaussian, and their standard errors."""

    skewness: np.ndarray
    excess_kurtosis: np.ndarray
    skewness_error: float
    kurtosis_error: float


class ShapiroWilk(NamedTuple):
    """Statistic W of each component (d,), 1 for a perfectly Gaussian sample, and its p-value (d,)."""

    w: np.ndarray
    p_value: np.ndarray


def off_diagonal_statistics(matrix, threshold=0.3):
    """How far a correlation matrix (d, d), d > 1, is from diagonal: `OffDiagonal`. For VIII-012, IX-034."""
    magnitudes = np.abs(matrix[np.triu_indices(len(matrix), 1)])
    above = np.mean(magnitudes > threshold)
    return OffDiagonal(float(magnitudes.mean()), float(magnitudes.max()), float(above))


def strongest_pairs(matrix, number):
    """Pairs of components (number, 2) with the largest magnitudes in `matrix` (d, d), and their correlations.

    The strongest comes first; i < j in each pair. Source: VIII-017.
    """
    pairs = np.stack(np.triu_indices(len(matrix), 1), axis=1)
    correlations = matrix[tuple(pairs.T)]
    order = np.argsort(-np.abs(correlations), kind="stable")[:number]
    return pairs[order], correlations[order]


def moments(z):
    """Skewness and excess kurtosis of each component of z (n, d): `Moments`, NaN for constant components.

    The standard errors are those of n > 3 independent normal values, exactly. Sources: Fisher 1930; IX-012,
    IX-044, IX-045.
    """
    n, mean = len(z), z.mean(axis=0, dtype=np.float64)
    require_finite(mean)
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


def shapiro_wilk(z, rng, rows=SHAPIRO_ROWS):
    """Shapiro-Wilk's test of each component of z (n, d) over `rows` points drawn at random: `ShapiroWilk`.

    W is the effect size: 1 − W is the share of variance that the line in a quantile plot leaves. With many
    points the p-value says only that there are many. Sources: Shapiro and Wilk 1965; IX-005, VIII-015.
    """
    chosen = z[rng.permutation(len(z))[:rows]].astype(np.float64)
    return ShapiroWilk(*np.array([stats.shapiro(values) for values in chosen.T]).T)
