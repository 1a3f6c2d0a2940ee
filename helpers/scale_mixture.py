"""One elliptical scale mixture: a normal direction times a random scale per image, and what it predicts.

`white` (n, r) are coordinates of variance 1 without correlation, from `whitening.whiten`, in the order of the
principal components. A scale mixture is x = s · g with g standard normal and the mean of s² 1.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import polygamma

from helpers.marginals import moments
from helpers.normality import squared_distances
from helpers.pieces import map_rows


class LogScales(NamedTuple):
    """Mean, spread, skewness and excess kurtosis of ln s over images; both last are 0 if s is lognormal."""

    mean: float
    spread: float
    skewness: float
    excess_kurtosis: float


class ScaledKurtosis(NamedTuple):
    """Excess kurtosis of the components (r,) before and after dividing by the scale; `expected` after it."""

    before: np.ndarray
    after: np.ndarray
    expected: float


class BlockScales(NamedTuple):
    """Scales of blocks of components: how they vary, and whether they are one and the same.

    log_scales (n, b): ln s of each image, from each block alone. spread (b,): their standard deviation
    without the noise of the estimate. correlation (b, b): of the log scales as estimated. shared (b, b): the
    same without the noise; 1 for one common scale, 0 for independent ones; NaN where a block has no spread.
    """

    log_scales: np.ndarray
    spread: np.ndarray
    correlation: np.ndarray
    shared: np.ndarray


def image_scales(white):
    """Scale s of each image: √(d² / r) of its squared Mahalanobis distance d² over r components, (n,)."""
    return np.sqrt(squared_distances(white) / white.shape[1])


def kurtosis_from_spread(spread, dimensions):
    """Excess kurtosis of every component that the standard deviation of d² implies in one scale mixture.

    With v the variance of s², d² has the variance 2r + r(r + 2)v, and each component excess kurtosis 3v.
    """
    return 3 * (spread**2 - 2 * dimensions) / (dimensions * (dimensions + 2))


def spread_from_kurtosis(excess_kurtosis, dimensions):
    """Standard deviation of d² that the components' excess kurtosis implies in one scale mixture."""
    return np.sqrt(2 * dimensions + dimensions * (dimensions + 2) * excess_kurtosis / 3)


def kurtosis_after_scaling(white):
    """Excess kurtosis of the components before and after dividing each image by its scale: `ScaledKurtosis`.

    The scale that divides a component is measured on all others, so that no large value hides itself. In
    every elliptical distribution the quotient follows Student's t with r − 1 degrees of freedom, whose excess
    kurtosis is `expected`; more is left where one scale does not explain everything. Only directions
    count, so `surrogates.elliptical_surrogate` has the null distribution. Needs r > 5.
    """
    r = white.shape[1]

    def divide(rows):
        return rows / np.sqrt((squared_distances(rows)[:, None] - np.square(rows)) / (r - 1))

    scaled = map_rows(divide, white, r)
    return ScaledKurtosis(moments(white).excess_kurtosis, moments(scaled).excess_kurtosis, 6 / (r - 5))


def log_scales(scales):
    """Distribution of ln s of the scales (n,): `LogScales`."""
    logs = np.log(scales)
    shape = stats.skew(logs), stats.kurtosis(logs)
    return LogScales(float(logs.mean()), float(logs.std()), *map(float, shape))


def block_scales(white, blocks):
    """Scales of the images from each of `blocks`, index arrays or slices of components: `BlockScales`.

    Blocks without common components, e.g. even and odd ones. From m components of a normal direction ln s is
    off by a noise of variance ψ'(m / 2) / 4, that of the logarithm of chi², independent of s; taking it away
    leaves the scales' own variances (Spearman's 1904 correction for attenuation).
    """
    parts = [white[:, block] for block in blocks]
    logs = np.log(np.stack([image_scales(part) for part in parts], axis=1))
    noise = np.array([polygamma(1, part.shape[1] / 2) / 4 for part in parts])
    covariance = np.atleast_2d(np.cov(logs, rowvar=False))
    own = covariance.diagonal() - noise
    spread = np.sqrt(np.where(own > 0, own, np.nan))
    shared = covariance / np.outer(spread, spread)
    np.fill_diagonal(shared, 1)
    return BlockScales(logs, spread, np.corrcoef(logs, rowvar=False), shared)


def rank_correlations(scales, quantities):
    """Spearman's rank correlation of scales (n,) with each of `quantities`, name → (n,): name → rho."""
    return {name: float(stats.spearmanr(scales, values).statistic) for name, values in quantities.items()}
