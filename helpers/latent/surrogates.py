"""Clouds of noise that resemble the z-points: the null hypotheses of the series, and ranks among them."""

from typing import NamedTuple

import numpy as np

from helpers.files import InputError
from helpers.latent.covariance import fit_pca, principal_axes
from helpers.latent.fits import independent_survivors, trim_outliers
from helpers.latent.pieces import covariance_about, map_rows, row_lengths, row_slices

SPARE_DRAWS = 1.2  # times the points that independent Gaussians would need to leave as many as wanted
SMALLEST_SHARE = 0.01  # of points left: below it, trimmed noise takes too many draws
CURVE_WAVES = 3  # half waves of a planted filament
CLUSTER_DISTANCE = 3.0  # between planted clusters, in units of their diameter


class Comparison(NamedTuple):
    """A statistic of the data beside the same statistic of m surrogates (m,)."""

    value: float
    surrogate_values: np.ndarray
    z_score: float
    p_value: float


def gaussian_surrogate(z, n, rng):
    """Draw n points (n, z_dim), float32, from the normal distribution with mean and covariance of z.

    The null hypothesis of the series: what such noise shows as well is no structure of the data.
    """
    mean = z.mean(axis=0, dtype=np.float64)
    variances, vectors = np.linalg.eigh(covariance_about(mean, z))
    axes, points = (vectors * np.sqrt(np.abs(variances))).T, np.empty((n, len(mean)), dtype=np.float32)
    for rows in row_slices(n):
        points[rows] = mean + rng.standard_normal(points[rows].shape) @ axes
    return points


def elliptical_surrogate(z, n, rng):
    """Draw n points (n, z_dim), float32, with mean, covariance and Mahalanobis distances of z.

    The second null hypothesis: only the directions are drawn anew, evenly. So the cloud keeps the tails of
    the data and has elliptic contours everywhere; what differs from the Gaussian surrogate and not from
    this one is no filament. With as many points as z has, each distance occurs once.
    """
    pca = fit_pca(z)
    axes = principal_axes(pca)
    inverse = (axes / np.square(axes).sum(axis=1, keepdims=True)).T
    distances = row_lengths(lambda rows: (rows - pca.mean) @ inverse, z)
    directions = draw_noise(n, len(axes), rng)
    drawn = rng.permutation(distances) if n == len(z) else rng.choice(distances, n)
    directions *= (drawn / row_lengths(lambda rows: rows.astype(np.float64), directions))[:, None]
    return map_rows(lambda rows: pca.mean + rows @ axes, directions, z.shape[1])


def matched_surrogate(z, n, rng):
    """Draw n <= len(z) of as many normal points as z has, whose own mean and covariance are those of z.

    Points of `gaussian_surrogate` have them only on average: estimating the covariance once more makes it
    more uneven, which distances between few points in many dimensions feel. If z is normal, z and its
    matched surrogates are exchangeable, so a rank among them is an exact p-value, whatever the statistic.
    """
    pca = fit_pca(z)
    axes = principal_axes(pca)
    return match_moments(draw_noise(len(z), len(axes), rng), pca.mean, axes)[:n]


def draw_noise(n, d, rng):
    """Standard normal points (n, d): float64 numbers kept as float32, which takes half the memory."""
    noise = np.empty((n, d), dtype=np.float32)
    for rows in row_slices(n):
        noise[rows] = rng.standard_normal(noise[rows].shape)
    return noise


def match_moments(noise, mean, axes):
    """Points (n, d), float32, with this `mean` and the covariance of `axes` (r, d), made of noise (n, r).

    The axes are as in `principal_axes`. The noise needs more points than axes.
    """
    centre = noise.mean(axis=0, dtype=np.float64)
    # With L·Lᵀ the covariance of the noise, noise·L⁻ᵀ has covariance 1, and its directions stay random.
    root = np.linalg.cholesky(covariance_about(centre, noise))
    matrix = np.linalg.solve(root.T, axes)
    return map_rows(lambda rows: mean + (rows - centre) @ matrix, noise, len(mean))


def uniform_box(z, n, rng):
    """Draw n points (n, z_dim), float32, evenly from the box between each component's extremes in z."""
    ends, points = (z.min(axis=0), z.max(axis=0)), np.empty((n, z.shape[1]), dtype=np.float32)
    for rows in row_slices(n):
        points[rows] = rng.uniform(*ends, size=points[rows].shape)
    return points


def compare_with_surrogates(statistic, z, n_surrogates, rng, surrogate=matched_surrogate):
    """`statistic` (array to float) of z (n, d) beside that of surrogates, drawn by surrogate(z, n, rng).

    z_score is the distance from the surrogates' mean in their standard deviations. p_value is two-sided by
    rank: the share, z counted in, of values at least as far from the mean of all as that of z; its smallest
    value is 1 / (1 + n_surrogates). With matched Gaussian surrogates it is exact for normal z, whatever n, d
    and statistic. Both are NaN where a statistic is NaN.
    """
    value = float(statistic(z))
    return compare_values(value, [float(statistic(surrogate(z, len(z), rng))) for _ in range(n_surrogates)])


def compare_values(value, surrogate_values):
    """`Comparison` of a statistic of the data with the same statistic of surrogates (m,)."""
    others = np.asarray(surrogate_values)
    values = np.append(others, value)
    deviations = np.abs(values - values.mean())
    p_value = np.nan if np.isnan(deviations).any() else (deviations >= deviations[-1]).mean()
    z_score = (value - others.mean()) / others.std(ddof=1)
    return Comparison(float(value), others, float(z_score), float(p_value))


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


def plant_filaments(n, d, n_filaments, thickness, rng):
    """Draw n points (n, d), float32, along smooth curves with a Gaussian `thickness`: a positive control.

    Each curve is a sum of a few waves about a random centre; its components have a variance of about 1, in
    the units of `thickness`, which is the standard deviation of each component about the curve. No statistic
    sees filaments whose points lie farther apart along them than random points lie from each other.
    """
    centres = rng.standard_normal((n_filaments, d)) * np.sqrt(0.5)
    waves = rng.standard_normal((n_filaments, CURVE_WAVES, d)) / np.sqrt(CURVE_WAVES)
    filament = rng.integers(n_filaments, size=n)
    phases = np.pi * np.multiply.outer(rng.uniform(size=n), np.arange(1, CURVE_WAVES + 1))
    points = np.empty((n, d), dtype=np.float32)
    for rows in row_slices(n):
        curves = np.einsum("nw,nwd->nd", np.cos(phases[rows]), waves[filament[rows]])
        points[rows] = centres[filament[rows]] + curves + thickness * rng.standard_normal(curves.shape)
    return points


def plant_clusters(n, d, n_clusters, rng):
    """Draw n points (n, d), float32, in equal round clusters far from each other, and their numbers (n,)."""
    centres = CLUSTER_DISTANCE * rng.standard_normal((n_clusters, d))
    labels, points = np.arange(n) % n_clusters, draw_noise(n, d, rng)
    for rows in row_slices(n):
        points[rows] += centres[labels[rows]]
    return points, labels


def plant_network(n, d, n_filaments, thickness, rng, meeting=True):
    """Draw n points (n, d), float32, along `n_filaments` curves, and the numbers (n,) of their curves.

    Curves as `structure.plant_filaments` draws them. `meeting`: all are shifted to one common centre, so that
    they run through the same region, as a network does; else each keeps a centre of its own.
    """
    sizes = np.bincount(np.arange(n) % n_filaments)
    curves = [plant_filaments(size, d, 1, thickness, rng) for size in sizes]
    if meeting:
        curves = [curve - curve.mean(axis=0) for curve in curves]
    return np.concatenate(curves), np.repeat(np.arange(n_filaments), sizes)
