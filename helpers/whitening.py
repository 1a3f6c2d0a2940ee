"""z-points in their own coordinates, uncorrelated and of variance 1, and back."""

from typing import NamedTuple

import numpy as np

from helpers.latent import fit_pca, principal_axes, require_finite
from helpers.pieces import map_rows
from helpers.workspace import InputError


class Normal(NamedTuple):
    """A normal distribution: mean (d,), and axes (r, d) whose product axesᵀ · axes is the covariance."""

    mean: np.ndarray
    axes: np.ndarray


def require_points(z_points, fewest, purpose):
    """Raise InputError unless z_points are finite, of shape (n, d), and n is at least `fewest`.

    `purpose` begins the sentence of the message: what needs so many points.
    """
    if np.ndim(z_points) != 2:
        raise InputError(
            f"z-points come as an array (n, z_dim), this one has the shape {np.shape(z_points)}."
        )
    if len(z_points) < fewest:
        raise InputError(
            f"{purpose} needs at least {fewest} z-points, here are {len(z_points)}; encode more images."
        )
    require_finite(z_points)


def fit_gaussian(z_points, *others):
    """Normal distribution with mean and covariance of z_points (n, d); its axes are principal ones.

    With `others`, further points (m, d), that of all points together. A singular covariance, as that of
    n <= d points, leaves r < d axes: what is drawn stays in the plane of the points. Raises InputError with
    fewer than two different points.
    """
    require_points(z_points, 2, "A covariance")
    if np.all(z_points == z_points[0]):
        raise InputError("All z-points are the same point, so they have no covariance; encode other images.")
    pca = fit_pca(z_points, *others)
    return Normal(pca.mean, principal_axes(pca))


def whiten(normal, z_points):
    """Coordinates (n, r), float32, of z_points (n, d) along principal axes, in standard deviations.

    Their mean is 0 and their covariance 1 where `normal` was fitted to these points; their length is the
    Mahalanobis distance.
    """
    directions = (normal.axes / np.square(normal.axes).sum(axis=1, keepdims=True)).T
    return map_rows(lambda rows: (rows - normal.mean) @ directions, z_points, len(normal.axes))


def unwhiten(normal, coordinates):
    """z-vectors (n, d), float32, at coordinates (n, r) along the axes, in standard deviations."""
    axes, mean = normal.axes.astype(np.float32), normal.mean.astype(np.float32)
    return map_rows(lambda rows: rows.astype(np.float32) @ axes + mean, coordinates, len(mean))
