"""z-vectors drawn at random, in many ways with one signature.

A sampler is a pair of functions: fit(z_points) makes of the encoder's z-points (n, z_dim) what is to be
known of them, draw(fitted, n, rng) makes n new z-vectors (n, z_dim), float32, of it. Called with
(z_points, n, rng) a sampler does both. A sampler with other settings is one more pair:
Sampler(fit_gaussian, partial(draw_in_ellipses, n_std=4)).
"""

from collections import namedtuple
from functools import partial

import numpy as np
from scipy.integrate import quad
from scipy.special import erf, ndtr, ndtri
from scipy.stats import chi2

from helpers.latent.covariance import Normal, fit_normal, squared_distances, unwhiten, whiten
from helpers.latent.pieces import asks
from helpers.latent.surrogates import uniform_box
from helpers.sampling.mixtures import draw_bootstrap, draw_mixture, fit_bootstrap, fit_mixture

HALF_WIDTH = 2.0  # of the interval that all components share; XIII shows 2 and 10, post IV finds 1.5 best
INTERVAL_SHARE = 0.99  # of a component's values in its interval; VIII takes the interval by eye
ELLIPSE_STD = 3.0  # half-axes of the confidence ellipses in standard deviations; VIII-064: above 2.5
TRUNCATED_SHARE = 0.5  # of the z-points lie within the radius to which the normal distribution is truncated


class Sampler(namedtuple("Sampler", "fit draw")):
    """A way to draw z-vectors: fit(z_points) → fitted, draw(fitted, n, rng) → (n, z_dim), float32."""

    def __call__(self, z_points, n, rng):
        """Draw n z-vectors (n, z_dim), float32, after fitting to z_points (m, z_dim)."""
        return self.draw(self.fit(z_points), n, rng)


@asks(z_points="n d")
def fit_dimension(z_points):
    """Number of components of z_points (n, z_dim): all that N(0, 1) and one common interval ask for."""
    return z_points.shape[1]


@asks(z_points="n>=2 d")
def fit_intervals(z_points, share=INTERVAL_SHARE):
    """Ends (2, d) of the interval that holds the middle `share` (0 to 1) of each component (VIII-008)."""
    return np.quantile(z_points, [(1 - share) / 2, (1 + share) / 2], axis=0)


@asks(z_points="n>=2 d")
def fit_independent(z_points):
    """Normal distribution with the components' means and variances, and without their correlations."""
    return Normal(z_points.mean(axis=0, dtype=np.float64), np.diag(z_points.std(axis=0, dtype=np.float64)))


def fit_zero_mean(z_points):
    """Normal distribution with the covariance of z_points about their mean, but with mean 0.

    What fitting a Gaussian means in some programs; it forgets that the region lies off the origin.
    """
    normal = fit_normal(z_points)
    return normal._replace(mean=np.zeros_like(normal.mean))


def fit_elliptical(z_points):
    """Normal distribution of z_points (n, d), at least 2, and their Mahalanobis distances (n,).

    With n <= d points all distances are the same, whatever the points.
    """
    normal = fit_normal(z_points)
    return normal, np.sqrt(squared_distances(whiten(normal, z_points)))


def draw_standard_normal(z_dim, n, rng):
    """Components from N(0, 1), independent of each other (XIII-101)."""
    return rng.standard_normal((n, z_dim), dtype=np.float32)


def draw_uniform(z_dim, n, rng, half_width=HALF_WIDTH):
    """Components spread evenly over [−half_width, half_width] (XIII-102, XIII-103)."""
    return rng.uniform(-half_width, half_width, (n, z_dim)).astype(np.float32)


def draw_gaussian(normal, n, rng):
    """z-vectors from a normal distribution."""
    return unwhiten(normal, rng.standard_normal((n, len(normal.axes)), dtype=np.float32))


def draw_elliptical(fitted, n, rng):
    """z-vectors in directions drawn evenly, each of which draws a measured Mahalanobis distance by itself."""
    normal, distances = fitted
    return _at_distances(normal, rng.choice(distances, n), rng)


def draw_truncated(fitted, n, rng, share=TRUNCATED_SHARE):
    """z-vectors from the normal distribution within a Mahalanobis radius that holds `share` of the z-points.

    Its squared distance follows chi², with a degree of freedom an axis: quantiles up to the squared radius.
    """
    normal, distances = fitted
    squared = chi2(len(normal.axes))
    quantiles = rng.uniform(size=n) * squared.cdf(np.quantile(distances, share) ** 2)
    return _at_distances(normal, np.sqrt(squared.ppf(quantiles)), rng)


def _at_distances(normal, distances, rng):
    """z-vectors (n, d) at Mahalanobis distances (n,) from the mean, in directions drawn evenly."""
    directions = rng.standard_normal((len(distances), len(normal.axes)), dtype=np.float32)
    directions *= (distances / np.linalg.norm(directions, axis=1))[:, None]
    return unwhiten(normal, directions)


def draw_in_ellipses(normal, n, rng, n_std=ELLIPSE_STD, evenly=False):
    """z-vectors inside the confidence ellipses of all pairs of principal components: the method of post X.

    The half-axes are n_std standard deviations. One component after another is drawn from its normal
    distribution, or `evenly`, on the interval |y| <= a · √(1 − max (y_i / a_i)²) that the ellipses with all
    earlier components leave. Each vector has an order of its own: in units of the half-axes all
    components are alike, so the order is drawn by shuffling the finished values. Later ones have less room
    than earlier ones: this is not the normal distribution. Source: VIII-062, VIII-063, IX-082.
    """
    coordinates, largest = np.empty((len(normal.axes), n)), np.zeros(n)
    for row in coordinates:
        limits = np.sqrt(n_std**2 - largest)
        shares = rng.uniform(size=n)
        if evenly:
            row[:] = (2 * shares - 1) * limits
        else:
            outside = ndtr(-limits)
            row[:] = ndtri(outside + shares * (1 - 2 * outside)).clip(-limits, limits)
        np.maximum(largest, row**2, out=largest)
    return unwhiten(normal, rng.permuted(coordinates.T, axis=1))


@asks(coordinates="n r")
def inside_all_ellipses(coordinates, n_std):
    """Mask (n,) of whitened points (n, r) that lie in the n_std ellipses of all pairs of components.

    That is so if the two largest of their squared coordinates have a sum of at most n_std².
    """
    second = max(coordinates.shape[1] - 2, 0)
    return np.partition(np.square(coordinates), second, axis=1)[:, second:].sum(axis=1) <= n_std**2


def normal_share_inside(n_std, dimensions):
    """Share of the normal distribution in `dimensions` >= 2 inside the n_std ellipses of all pairs.

    Exact: integral over the largest coordinate m; all others are below m and √(n_std² − m²). VIII-063.
    """

    def density(m):
        others = erf(np.sqrt(max(n_std**2 - m**2, 0) / 2)) ** (dimensions - 1)
        return dimensions * np.sqrt(2 / np.pi) * np.exp(-(m**2) / 2) * others

    corner = n_std / np.sqrt(2)  # up to here the ellipses leave room for a second one as large
    return float(erf(corner / np.sqrt(2)) ** dimensions + quad(density, corner, n_std)[0])


SAMPLERS = {
    "normal": Sampler(fit_dimension, draw_standard_normal),
    "uniform": Sampler(fit_dimension, draw_uniform),
    "intervals": Sampler(fit_intervals, uniform_box),
    "independent": Sampler(fit_independent, draw_gaussian),
    "ellipses": Sampler(fit_normal, draw_in_ellipses),
    "ellipses_evenly": Sampler(fit_normal, partial(draw_in_ellipses, evenly=True)),
    "gaussian": Sampler(fit_normal, draw_gaussian),
    "truncated": Sampler(fit_elliptical, draw_truncated),
    "zero_mean": Sampler(fit_zero_mean, draw_gaussian),
    "mixture": Sampler(fit_mixture, draw_mixture),
    "elliptical": Sampler(fit_elliptical, draw_elliptical),
    "bootstrap": Sampler(fit_bootstrap, draw_bootstrap),
}
