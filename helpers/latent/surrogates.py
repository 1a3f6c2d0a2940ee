"""Clouds of noise that resemble the z-points: the null hypotheses of the series, and ranks among them."""

from collections import namedtuple

import numpy as np
from scipy.special import polygamma

from helpers.files import InputError
from helpers.latent.covariance import fit_normal, mahalanobis_distances, unwhiten, whiten
from helpers.latent.fits import independent_survivors, trim_outliers
from helpers.latent.pieces import asks, covariance_about, map_rows, row_lengths

SPARE_DRAWS = 1.2  # times the points that independent Gaussians would need to leave as many as wanted
SMALLEST_SHARE = 0.01  # of points left: below it, trimmed noise takes too many draws
SMALLEST_SPREAD = 1e-12  # variance of logarithms: less is rounding, as where all distances are the same
CURVE_WAVES = 3  # half waves of a planted filament
CLUSTER_DISTANCE = 3.0  # between planted clusters, in units of their diameter
Comparison = namedtuple("Comparison", "value surrogate_values z_score p_value")  # all float but values (m,)


@asks(z="n>=2 d")
def gaussian_surrogate(z, n, rng):
    """Draw n points (n, z_dim), float32, from the normal distribution with mean and covariance of z.

    The null hypothesis of the series: what it shows as well is no structure of the data.
    """
    mean, d = z.mean(axis=0, dtype=np.float64), z.shape[1]
    variances, vectors = np.linalg.eigh(covariance_about(mean, z))
    axes = (vectors * np.sqrt(np.abs(variances))).T
    return map_rows(lambda rows: mean + rng.standard_normal((len(rows), d)) @ axes, range(n), d)


def matched_surrogate(z, n, rng):
    """Draw n <= len(z) of as many normal points as z has, whose own mean and covariance are those of z.

    Points of `gaussian_surrogate` have them only on average: estimating the covariance once more makes it
    more uneven, which distances between few points in many dimensions feel. If z is normal, z and its
    matched surrogates are exchangeable, so a rank among them is an exact p-value, whatever the statistic.
    """
    normal = fit_normal(z)
    return match_moments(draw_noise(len(z), len(normal.axes), rng), normal)[:n]


@asks(core="n>=2 d, varied")
def trimmed_surrogate(core, n, rng, fact):
    """Draw n <= len(core) of as many points (n, d), float32, that are normal but for trimming with `fact`.

    The surrogate of a `core` that `trim_outliers` has left: normal noise with the core's mean and covariance
    is trimmed by the same rule, with Gaussians fitted to the noise itself; what is left gets exactly the
    core's mean and covariance, as in `matched_surrogate`. That trimming makes all variances smaller matters
    to no statistic without units. InputError where hardly any point would be left. Source: IX-018, IX-081.
    """
    share = independent_survivors(1, core.shape[1], fact)
    if share < SMALLEST_SHARE:
        raise InputError(f"Of normal noise, fact {fact} leaves less than 1 %; choose a larger one.")
    normal, kept, draws = fit_normal(core), [], len(core) / share
    while len(kept) < len(core):
        draws *= SPARE_DRAWS
        noise = draw_noise(int(draws) + 1, len(normal.axes), rng)
        kept = np.flatnonzero(trim_outliers(unwhiten(normal, noise, np.float64), fact))[: len(core)]
    noise = noise[kept]
    return match_moments(noise, normal)[:n]


def match_moments(noise, normal):
    """Points (n, d), float32, with exactly mean and covariance of `normal`, made of noise (n, r).

    The noise has as many columns as `normal` has axes, and needs more points than these.
    """
    centre = noise.mean(axis=0, dtype=np.float64)
    # With L·Lᵀ the covariance of the noise, noise·L⁻ᵀ has covariance 1, and its directions stay random.
    root = np.linalg.cholesky(covariance_about(centre, noise))
    matrix = np.linalg.solve(root.T, normal.axes)
    return map_rows(lambda rows: normal.mean + (rows - centre) @ matrix, noise, len(normal.mean))


def elliptical_surrogate(z, n, rng):
    """Draw n points (n, z_dim), float32, with elliptic contours, and tails, mean and covariance of z.

    The second null hypothesis: what differs from the Gaussian surrogate and not from this one is no filament.
    Directions are drawn evenly, and Mahalanobis distances of z. As the cloud gets exactly mean and covariance
    of z, which makes distances from them more even, the distances are those from the covariance of all other
    points, less the spread that its estimate gives their logarithms.

    An approximate null. At 5 %, elliptical clouds of 800 points in 48 dimensions are rejected in 3 to 5 % of
    cases by the dimension of whitened points, in 0 to 5 % by Mardia's measures, in 7 to 10 % by the kurtosis
    after scaling; where few far points decide on the covariance (Student's t, 8 degrees) in 12 % by the
    dimension of points that are not whitened, and in 78 and 38 % if all variances are equal as well.
    """
    normal, m = fit_normal(z), max(n, len(z))
    squares, directions = mahalanobis_distances(normal, z) ** 2, draw_noise(m, len(normal.axes), rng)
    squares = squares.clip(SMALLEST_SPREAD)
    logs = np.log(squares / (1 - squares * len(z) / (len(z) - 1) ** 2).clip(SMALLEST_SHARE))
    noise = polygamma(1, (len(z) - len(normal.axes)) / 2) / max(np.var(logs), SMALLEST_SPREAD)
    distances = np.exp((logs.mean() + np.sqrt(max(1 - noise, 0)) * (logs - logs.mean())) / 2)
    drawn = rng.permutation(distances) if m == len(z) else rng.choice(distances, m)
    directions *= (drawn / row_lengths(lambda rows: rows.astype(np.float64), directions))[:, None]
    return match_moments(directions, normal)[:n]


@asks(z="n>=2 d, varied")
def sign_flip_surrogate(z, n, rng):
    """Draw n points (n, z_dim), float32: those of z, with random signs of their principal coordinates.

    The third null hypothesis: it keeps all magnitudes |y_ij|, so every model of scales, one or many, tails
    and coverage of ellipses, and on average the covariance; curvature, skewness and clusters off the centre
    are gone. What differs from it is shape. Row i belongs to z_i if n = len(z); else rows are drawn, each
    once if z has so many. The axes are those of z itself: exact as far as these are known.
    """
    normal = fit_normal(z)
    rows = np.arange(n) if n == len(z) else rng.choice(len(z), n, replace=n > len(z))

    def flip(numbers):
        white = whiten(normal, z[numbers])
        return unwhiten(normal, white * rng.choice(np.float32([-1, 1]), white.shape), np.float64)

    return map_rows(flip, rows, z.shape[1])


@asks(z="n d")
def uniform_box(z, n, rng):
    """Draw n points (n, z_dim), float32, evenly from the box between each component's extremes in z."""
    low, high, d = z.min(axis=0), z.max(axis=0), z.shape[1]
    return map_rows(lambda rows: rng.uniform(low, high, (len(rows), d)), range(n), d)


def draw_noise(n, d, rng):
    """Standard normal points (n, d): float64 numbers kept as float32, which takes half the memory."""
    return map_rows(lambda rows: rng.standard_normal((len(rows), d)), range(n), d)


def compare_with_surrogates(statistic, z, n_surrogates, rng, surrogate=matched_surrogate):
    """`Comparison` of a `statistic` (array to float) of z (n, d) with that of surrogate(z, n, rng).

    z_score is the distance from the surrogates' mean in their standard deviations. p_value is two-sided by
    rank: the share, z counted in, of values at least as far from the mean of all as that of z; its smallest
    value is 1 / (1 + n_surrogates). With matched surrogates it is exact for normal z, whatever
    n, d and statistic. Both are NaN where a statistic is NaN.
    """
    value = float(statistic(z))
    return compare_values(value, [float(statistic(surrogate(z, len(z), rng))) for _ in range(n_surrogates)])


@asks(surrogate_values="m, NaN too")
def compare_values(value, surrogate_values):
    """`Comparison` of a statistic of the data with that of surrogates (m,); z_score is NaN if these agree."""
    spread = np.std(surrogate_values, ddof=1) if np.ptp(surrogate_values) else np.nan
    values = np.append(surrogate_values, value)
    deviations = np.abs(values - values.mean())
    p_value = np.nan if np.isnan(deviations).any() else (deviations >= deviations[-1]).mean()
    z_score = (value - surrogate_values.mean()) / spread
    return Comparison(float(value), surrogate_values, float(z_score), float(p_value))


def plant_filaments(n, d, n_filaments, thickness, rng):
    """Draw n points (n, d), float32, along smooth curves with a Gaussian `thickness`: a positive control.

    Each curve is a sum of a few waves about a random centre, of a variance of about 1; `thickness` is the
    standard deviation of each component about it. No statistic sees filaments whose points lie farther apart
    along them than random points lie from each other.
    """
    centres = rng.standard_normal((n_filaments, d)) * np.sqrt(0.5)
    waves = rng.standard_normal((n_filaments, CURVE_WAVES, d)) / np.sqrt(CURVE_WAVES)
    filament = rng.integers(n_filaments, size=n)
    phases = np.pi * np.multiply.outer(rng.uniform(size=n), np.arange(1, CURVE_WAVES + 1))

    def draw(rows):
        curves = np.einsum("nw,nwd->nd", np.cos(phases[rows]), waves[filament[rows]])
        return centres[filament[rows]] + curves + thickness * rng.standard_normal(curves.shape)

    return map_rows(draw, range(n), d)


def plant_network(n, d, n_filaments, thickness, rng, meeting=True):
    """Draw n points (n, d), float32, along `n_filaments` curves, and the numbers (n,) of their curves.

    `meeting`: the curves of `plant_filaments` are shifted to one common centre, where a network's meet.
    """
    sizes = np.bincount(np.arange(n) % n_filaments)
    curves = [plant_filaments(size, d, 1, thickness, rng) for size in sizes]
    if meeting:
        curves = [curve - curve.mean(axis=0) for curve in curves]
    return np.concatenate(curves), np.repeat(np.arange(n_filaments), sizes)


def plant_clusters(n, d, n_clusters, rng):
    """Draw n points (n, d), float32, in equal round clusters far from each other, and their numbers (n,)."""
    centres = CLUSTER_DISTANCE * rng.standard_normal((n_clusters, d))
    points = draw_noise(n, d, rng)
    for number, centre in enumerate(centres):
        points[number::n_clusters] += centre
    return points, np.arange(n) % n_clusters
