"""Trimmed z-points: how many are left, what independent Gaussians would leave, and noise trimmed alike."""

import numpy as np
from scipy.special import erf

from helpers.latent import fit_pca, largest_deviations, principal_axes, trim_outliers
from helpers.pieces import map_rows
from helpers.surrogates import draw_noise, match_moments
from helpers.workspace import InputError

SPARE_DRAWS = 1.2  # times the points that independent Gaussians would need to leave as many as wanted
SMALLEST_SHARE = 0.01  # of points left: below it, trimmed noise takes too many draws


def survivor_counts(z, facts, fits=None):
    """Number of z-points (n, d) that `latent.trim_outliers` keeps for each of `facts`: int (len(facts),).

    All facts at once, by the largest deviation of each point. Source: IX-022, IX-072 to IX-076.
    """
    return np.searchsorted(np.sort(largest_deviations(z, fits)), np.asarray(facts), side="right")


def independent_survivors(n, d, facts):
    """Number of n points that d independent Gaussians would leave on average for `facts`: float64.

    Each keeps the share erf(2 · fact · √ln 2). Dependent Gaussians of the same widths leave at least as many
    (Šidák 1967). Source: D-004.
    """
    return n * erf(2 * np.sqrt(np.log(2)) * np.asarray(facts)) ** d


def trimmed_surrogate(core, n, rng, fact):
    """Draw n <= len(core) of as many points (n, d), float32, that are normal but for trimming with `fact`.

    The surrogate of a `core` that `latent.trim_outliers` has left: normal noise with the core's mean and
    covariance is trimmed by the same rule, with Gaussians fitted to the noise itself; what is left gets
    exactly the core's mean and covariance, as in `surrogates.matched_surrogate`. That trimming makes all
    variances smaller by the same few percent matters to no statistic that is free of units. Raises InputError
    where hardly any point would be left. Source: IX-018, IX-081.
    """
    share = independent_survivors(1, core.shape[1], fact)
    if share < SMALLEST_SHARE:
        raise InputError(
            f"Of normal noise, fact {fact} leaves less than 1 % of the points; choose a larger one."
        )
    pca = fit_pca(core)
    axes, kept, draws = principal_axes(pca), [], len(core) / share
    while len(kept) < len(core):
        draws *= SPARE_DRAWS
        noise = draw_noise(int(draws) + 1, len(axes), rng)
        cloud = map_rows(lambda rows: pca.mean + rows @ axes, noise, len(pca.mean))
        kept = np.flatnonzero(trim_outliers(cloud, fact))[: len(core)]
        cloud = None  # larger than the core, and not needed any more
    noise = noise[kept]
    return match_moments(noise, pca.mean, axes)[:n]
