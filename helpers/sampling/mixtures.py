"""Samplers that learn where z-points lie close together: a Gaussian mixture, and a bootstrap within it."""

import warnings
from collections import namedtuple

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from helpers.latent.covariance import fit_normal, squared_distances, unwhiten, whiten
from helpers.latent.neighbours import nearest_distances
from helpers.latent.normality import image_scales
from helpers.latent.pieces import asks, require_array, row_slices

COMPONENTS = 10  # of a mixture; Ghosh et al. 2020 ('From variational to deterministic autoencoders') take 10
POINTS_PER_DIMENSION = 10  # z-points of each component, on average, for each dimension of the mixture
MOST_POINTS = 50_000  # z-points that a mixture is fitted to; more would take minutes and gigabytes
MOST_STEPS = 40  # of expectation and maximisation; about 20 are usual
SMALLEST_GAIN = 1e-2  # of a step in nats per z-point, below which the fit has ended
FLOOR = 1e-6  # added to variances, in units of the first principal component's, so that none vanishes
SMALLEST_SCALE = 1e-6  # of a z-point and of the scales' spread, so that both have a logarithm or a quotient
CALIBRATION_POINTS = 500  # draws, and z-points, whose distances to the nearest z-point are compared
NEAREST = 0.05  # of them, whose distances decide: copies would be among these
CALIBRATION_STEPS = 7  # halvings of the interval [0, 1] in which the share of noise is sought
SEED = 1  # of starts and calibrations, so that the same z-points give the same fit
# Normal distributions of the first q features: weights (k,), means (k, q) and roots (k, q, q); root · rootᵀ
# is a component's covariance. All further features are standard normal in all components.
Mixture = namedtuple("Mixture", "weights means roots")
# Features are the log scale and r directions, all of variance 1. `log_scale` holds mean and spread of the log
# scales, `labels` (n,) the z-points' components and `deviations` (n, 1 + r) their features minus the
# components' means; `noise` is a share from 0 to 1.
Bootstrap = namedtuple("Bootstrap", "normal log_scale mixture labels deviations noise")


def fit_mixture(z_points, n_components=COMPONENTS):
    """Gaussian mixture for z_points (n, d): a normal distribution and a `Mixture` of whitened coordinates.

    The mixture describes the first q principal components, q such that each of its components has ten
    z-points per dimension; further principal components are uncorrelated with these, and stay normal. The
    covariances are shrunk (`shrink`). Without both, few points in many dimensions would make each
    component a flat disc through its own points. Raises InputError with fewer than ten points per component.
    """
    normal, units = _fit_whole(z_points, n_components)
    return normal, fit_components(whiten(normal, z_points), units, n_components)[0]


def draw_mixture(fitted, n, rng):
    """z-vectors from a Gaussian mixture."""
    normal, mixture = fitted
    noise = rng.standard_normal((n, len(normal.axes)), dtype=np.float32)
    labels = rng.choice(len(mixture.weights), n, p=mixture.weights)
    return unwhiten(normal, _centres(mixture, labels, len(normal.axes)) + _shape(mixture, labels, noise))


def mixture_gains(fitted, z_points, directions=None):
    """Nats (n,) by which a Gaussian mixture exceeds the normal distribution at each of z_points (n, d).

    The mixture's rung of `normality.likelihood_ladder`; `directions` (r, k) as there.
    """
    normal, (weights, means, roots) = fitted
    r, q = len(normal.axes), means.shape[1]
    directions = np.eye(r) if directions is None else directions
    directions = require_array(directions, f"{r} k", "mixture_gains", "directions")
    points, leading, logs = whiten(normal, z_points) @ directions, directions[:q], []
    for weight, mean, root in zip(weights, means, roots, strict=True):
        covariance = np.eye(points.shape[1]) + leading.T @ (root @ root.T - np.eye(q)) @ leading
        logs.append(np.log(weight) + multivariate_normal(mean @ leading, covariance).logpdf(points))
    normal_log = squared_distances(points) + points.shape[1] * np.log(2 * np.pi)
    return logsumexp(logs, axis=0) + normal_log / 2


@asks(z_points="n d")
def fit_bootstrap(z_points, n_components=COMPONENTS):
    """Smoothed bootstrap of scales and directions of z_points (n, d) within a Gaussian mixture, calibrated.

    A z-point's scale is that of `normality.image_scales`, its direction what whitened coordinates are when
    divided by it. Their mixture is that of `fit_mixture`, with the log scale as first feature. A draw takes
    the features of a z-point, moves them towards the mean of their component, and adds noise with the
    component's covariance, so much that the features keep theirs. The share of noise is sought such that the
    5 % of draws nearest to a z-point are as far from it as the nearest 5 % of left-out z-points: no closer to
    copies than new images are. Still, about half of the draws from 12,840 faces of CelebA may be traced to
    the z-point they come from, the nearest of all; hardly so in images. All noise would be the mixture.
    Source: our own; Silverman and Young 1987 for the smoothed bootstrap.
    """
    normal, units = _fit_whole(z_points, n_components)
    features, log_scale = split_scales(whiten(normal, z_points))
    mixture, labels = fit_components(features, np.append(1, units), n_components)
    for rows in row_slices(len(features)):  # in place: they are as large as the z-points
        features[rows] -= _centres(mixture, labels[rows], features.shape[1])
    bootstrap = Bootstrap(normal, log_scale, mixture, labels, deviations=features, noise=1.0)
    return bootstrap._replace(noise=_calibrate(bootstrap, z_points))


def draw_bootstrap(bootstrap, n, rng):
    """z-vectors from a smoothed bootstrap of scales and directions."""
    rows, (mean, spread) = rng.integers(len(bootstrap.labels), size=n), bootstrap.log_scale
    labels, deviations = bootstrap.labels[rows], bootstrap.deviations[rows]
    noise = _shape(bootstrap.mixture, labels, rng.standard_normal(deviations.shape, dtype=np.float32))
    features = _centres(bootstrap.mixture, labels, deviations.shape[1])
    features += np.float32(np.sqrt(1 - bootstrap.noise**2)) * deviations + np.float32(bootstrap.noise) * noise
    return unwhiten(bootstrap.normal, np.exp(mean + spread * features[:, :1]) * features[:, 1:])


@asks(coordinates="n r")
def split_scales(coordinates):
    """Standardised log scale and direction, (n, 1 + r), of whitened (n, r); the logs' mean and spread."""
    scales = image_scales(coordinates)[:, None].clip(SMALLEST_SCALE)
    logs = np.log(scales)
    mean, spread = float(logs.mean()), max(float(logs.std()), SMALLEST_SCALE)
    features = np.empty((len(coordinates), 1 + coordinates.shape[1]), dtype=np.float32)
    features[:, :1] = (logs - mean) / spread
    np.divide(coordinates, scales.astype(np.float32), out=features[:, 1:])
    return features, (mean, spread)


def _calibrate(bootstrap, z_points):
    """Share of noise at which the nearest draws are as far from a z-point as the nearest left-out ones."""
    step = max(len(z_points) // CALIBRATION_POINTS, 4)
    held_out = nearest_distances(z_points[::step], np.delete(z_points, slice(None, None, step), axis=0))
    wanted, low, high = np.quantile(held_out, NEAREST), 0.0, 1.0
    for _ in range(CALIBRATION_STEPS):
        noise, rng = (low + high) / 2, np.random.default_rng(SEED)
        drawn = draw_bootstrap(bootstrap._replace(noise=noise), CALIBRATION_POINTS, rng)
        near = np.quantile(nearest_distances(drawn, z_points), NEAREST) < wanted
        low, high = (noise, high) if near else (low, noise)
    return high


def _fit_whole(z_points, n_components):
    """Normal distribution of the z-points; spread (r,) along its axes in units of the first one's."""
    fewest = POINTS_PER_DIMENSION * n_components
    z_points = require_array(z_points, f"n>={fewest} d", f"A mixture of {n_components} components")
    normal = fit_normal(z_points)
    spread = np.linalg.norm(normal.axes, axis=1)
    return normal, spread / spread[0]


def fit_components(features, units, n_components):
    """Mixture for the leading features (n, p), and a component (n,) of each row, drawn by its probability.

    The features have variance 1; times `units` (p,) they have the proportions in which k-means finds the
    clusters that the fit starts with. Of more than MOST_POINTS rows the fit sees so many, drawn at random.
    """
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(features))[:MOST_POINTS])
    units = units[: len(chosen) // (POINTS_PER_DIMENSION * n_components)]
    mixture = GaussianMixture(
        n_components, tol=SMALLEST_GAIN, reg_covar=FLOOR, max_iter=MOST_STEPS, random_state=SEED
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that still gains a little is good enough
        mixture.fit(features[chosen, : len(units)] * units)
    weights = mixture.weights_ / mixture.weights_.sum()
    roots = np.linalg.cholesky(shrink(weights, mixture.covariances_, len(chosen)))
    rng, labels = np.random.default_rng(SEED), np.empty(len(features), dtype=np.int64)
    for rows in row_slices(len(features)):
        sums = np.cumsum(mixture.predict_proba(features[rows, : len(units)] * units), axis=1)
        labels[rows] = (sums < rng.uniform(size=(len(sums), 1)) * sums[:, -1:]).sum(axis=1)
    return Mixture(weights, mixture.means_ / units, roots / units[:, None]), labels


def shrink(weights, covariances, n):
    """Covariances (k, q, q) of clusters of n points, drawn towards their mean by the share q / (q + n / k).

    The same for all, so that the covariance of the whole stays. `weights` (k,): the clusters' shares.
    """
    clusters, dimensions = covariances.shape[:2]
    share = dimensions / (dimensions + n / clusters)
    return (1 - share) * covariances + share * np.einsum("k,kij->ij", weights, covariances)


def _centres(mixture, labels, p):
    """Means (n, p), float32, of the components `labels` (n,)."""
    beyond = p - mixture.means.shape[1]
    return np.pad(mixture.means, ((0, 0), (0, beyond))).astype(np.float32)[labels]


def _shape(mixture, labels, noise):
    """Normal noise (n, p) with the covariances of the components `labels` (n,)."""
    shaped, q = noise.copy(), mixture.means.shape[1]
    for label, root in enumerate(mixture.roots.astype(np.float32)):
        rows = labels == label
        shaped[rows, :q] = noise[rows, :q] @ root.T
    return shaped
