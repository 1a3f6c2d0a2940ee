"""The normal distribution of a cloud: principal components, whitening, distances; and pairs of components."""

from collections import namedtuple

import numpy as np
from scipy.spatial.distance import pdist, squareform

from helpers.files import InputError
from helpers.latent.pieces import CONSTANT, asks, covariance_about, map_rows, require_array, row_lengths

SMALLEST_VARIANCE = 1e-9  # of the first component's: less is rounding, as beyond n − 1 components of n points
# Principal components: mean (d,), unit vectors as rows (d, d), variances (d,), their shares (d,).
Pca = namedtuple("Pca", "mean components explained_variance explained_variance_ratio")
Normal = namedtuple("Normal", "mean axes")  # (d,), and orthogonal ones (r, d): axesᵀ · axes is the covariance
OffDiagonal = namedtuple("OffDiagonal", "mean largest share_above")  # share above a threshold


@asks(z="n>=2 d, varied")
def fit_pca(z, *others):
    """Principal components of z-points (n, d), by the eigenvectors of their covariance matrix.

    With `others`, further points (m, d), those of all points together. All fields are float64. Each
    component's entry of largest magnitude is positive, so that signs do not depend on the machine. With
    n <= d points only n − 1 components have a variance. Source: IX-028 to IX-033.
    """
    clouds = z, *(require_array(cloud, f"* {z.shape[1]}", "fit_pca", "others") for cloud in others)
    mean = sum(cloud.sum(axis=0, dtype=np.float64) for cloud in clouds) / sum(map(len, clouds))
    values, vectors = np.linalg.eigh(covariance_about(mean, *clouds))
    values, components = values[::-1].clip(0), vectors.T[::-1]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return Pca(mean, components * np.sign(largest), values, values / values.sum())


def transform_pca(pca, z, n_components=None):
    """Coordinates (n, n_components), float32, of z-points (n, d) along the first principal components."""
    z = require_array(z, f"* {len(pca.mean)}", "transform_pca")
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


def fit_normal(z_points, *others):
    """Normal distribution with mean and covariance of z_points (n, d); its axes are principal ones.

    With `others`, further points (m, d), that of all together. A singular covariance, as that of n <= d
    points, leaves r < d axes: draws stay in the plane of the points. InputError if all points are the same.
    """
    pca = fit_pca(z_points, *others)
    return Normal(pca.mean, principal_axes(pca))


def whiten(normal, z_points):
    """Coordinates (n, r), float32, of z_points (n, d) along principal axes, in standard deviations.

    Of points that `normal` was fitted to: with mean 0 and covariance 1. Lengths are Mahalanobis distances.
    """
    z_points = require_array(z_points, f"* {len(normal.mean)}", "whiten")
    directions = _whitening(normal)
    return map_rows(lambda rows: (rows - normal.mean) @ directions, z_points, len(normal.axes))


def unwhiten(normal, coordinates, dtype=np.float32):
    """z-vectors (n, d), float32, calculated in `dtype`, at coordinates (n, r) in standard deviations."""
    coordinates = require_array(coordinates, f"* {len(normal.axes)}", "unwhiten", "coordinates")
    axes, mean = normal.axes.astype(dtype), normal.mean.astype(dtype)
    return map_rows(lambda rows: rows.astype(dtype) @ axes + mean, coordinates, len(mean))


def mahalanobis_distances(normal, z_points):
    """Mahalanobis distances (n,), float64, of z_points (n, d) from the mean, in little memory."""
    z_points = require_array(z_points, f"* {len(normal.mean)}", "mahalanobis_distances")
    directions = _whitening(normal)
    return row_lengths(lambda rows: (rows - normal.mean) @ directions, z_points)


@asks(white="n r")
def squared_distances(white):
    """Squared Mahalanobis distances (n,), float64, of whitened points (n, r) from their mean."""
    return np.einsum("nr,nr->n", white, white, dtype=np.float64)


def _whitening(normal):
    """Matrix (d, r) that leads from the mean to coordinates along the axes, in standard deviations."""
    return (normal.axes / np.square(normal.axes).sum(axis=1, keepdims=True)).T


@asks(z="n>=3 d>=2, all varied")
def pearson_matrix(z):
    """Means (d,), standard deviations (d,) and Pearson's rho (d, d) of the components of z (n, d)."""
    mean = z.mean(axis=0, dtype=np.float64)
    covariance = covariance_about(mean, z)
    sigma = np.sqrt(np.diag(covariance))
    return mean, sigma, covariance / np.outer(sigma, sigma)


@asks(matrix="d d")
def off_diagonal(matrix):
    """Entries (d(d − 1)/2,) above the diagonal of a symmetric matrix (d, d)."""
    return matrix[np.triu_indices(len(matrix), 1)]


@asks(matrix="d>=2 d")
def off_diagonal_statistics(matrix, threshold=0.3):
    """Magnitudes beside the diagonal of a matrix (d, d), d > 1, in three numbers. For VIII-012, IX-034."""
    sizes = np.abs(off_diagonal(matrix))
    return OffDiagonal(float(sizes.mean()), float(sizes.max()), float(np.mean(sizes > threshold)))


def strongest_pairs(matrix, number):
    """Pairs i < j (number, 2) of largest magnitude in `matrix` (d, d), in order; their values (VIII-017)."""
    correlations = off_diagonal(matrix)
    order = np.argsort(-np.abs(correlations), kind="stable")[:number]
    return np.stack(np.triu_indices(len(matrix), 1), axis=1)[order], correlations[order]


@asks(y="n>=2 d, all varied")
def size_correlations(y):
    """Pearson's rho (d, d) of the distances |y_j − mean_j| of the components of y (n, d) from their means.

    0 for independent components; above 0 where points far out along one axis tend to be far out along the
    other, even if the components themselves are uncorrelated. For VIII-020, VIII-022.
    """
    sizes = np.abs(y - y.mean(axis=0, dtype=np.float64))
    require_array(sizes, "n d, all varied", "size_correlations", "distances")
    return np.atleast_2d(np.corrcoef(sizes, rowvar=False))


@asks(y="n>=4 d, all varied")
def distance_correlations(y):
    """Squared distance correlation (d, d) of all pairs of components of y (n, d), not biased by a small n.

    0 on average for independent components, whatever their distributions; 1 where one component is a multiple
    of the other. It sees every kind of dependence, Pearson's rho the linear one only. Needs n x n distances
    of each component: ask for some hundred points. Source: Székely and Rizzo 2013; for VIII-021.
    """
    n, centred = len(y), []
    for column in y.T.astype(np.float64):
        distances = squareform(pdist(column[:, None]))
        sums = distances.sum(axis=0)
        # Minus the means of rows and columns, such that no product of two is biased.
        centred.append(distances - (sums + sums[:, None]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2)))
        np.fill_diagonal(centred[-1], 0)
    products = np.array([[np.vdot(one, other) for other in centred] for one in centred])
    spread = np.sqrt(np.diag(products))
    if (spread <= CONSTANT * n * np.ptp(y, axis=0)).any():
        raise InputError("A component is the same in all points but one; leave it out.")
    return products / np.outer(spread, spread)
