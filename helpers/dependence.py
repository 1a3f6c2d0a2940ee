"""What covariances leave open: the form of densities, and dependence without correlation."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.special import ndtr

CHANCE = 3.0  # standard errors of a count: what stays below is no second peak


def single_peaked(counts):
    """Mask (d,) of the number densities (b, d) that rise to one peak and fall after it, but for chance.

    A step in the wrong direction counts when it is larger than three times the root of the two counts that it
    leads from and to. For VIII-015.
    """
    rises = np.diff(counts, axis=0)
    before_peak = np.arange(len(rises))[:, None] < counts.argmax(axis=0)
    wrong = np.where(before_peak, -rises, rises)
    return ~(wrong > CHANCE * np.sqrt(counts[:-1] + counts[1:])).any(axis=0)


def kolmogorov_distances(standardised):
    """Largest difference (d,) between the distribution of each component (n, d) and the standard normal one.

    0 to 1; also called the Kolmogorov-Smirnov statistic. For IX-005.
    """
    n = len(standardised)
    middles = (np.arange(n) + 0.5) / n
    return np.array([np.abs(ndtr(np.sort(x)) - middles).max() for x in standardised.T]) + 0.5 / n


def off_diagonal(matrix):
    """Entries (d(d − 1)/2,) above the diagonal of a symmetric matrix (d, d)."""
    return matrix[np.triu_indices(len(matrix), 1)]


def size_correlations(y):
    """Pearson's rho (d, d) of the distances |y_j − mean_j| of the components of y (n, d) from their means.

    0 off the diagonal for independent components; above 0 where points far out along one axis tend to be far
    out along the other, even if the components themselves are uncorrelated. For VIII-020, VIII-022.
    """
    return np.corrcoef(np.abs(y - y.mean(axis=0, dtype=np.float64)), rowvar=False)


def distance_correlations(y):
    """Squared distance correlation (d, d) of all pairs of components of y (n, d), not biased by a small n.

    0 on average for independent components, whatever their distributions; 1 where one component is a multiple
    of the other. It sees every kind of dependence, Pearson's rho the linear one only. Needs n x n distances
    of each component: ask for some hundred points. Source: Székely and Rizzo 2013; for VIII-021.
    """
    centred = [u_centred(squareform(pdist(column[:, None]))) for column in y.T.astype(np.float64)]
    products = np.array([[np.vdot(one, other) for other in centred] for one in centred])
    spread = np.sqrt(np.diag(products))
    return products / np.outer(spread, spread)


def u_centred(distances):
    """Distances (n, n) minus the means of rows and columns, such that no product of two is biased."""
    n, sums = len(distances), distances.sum(axis=0)
    centred = distances - (sums + sums[:, None]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return centred


def henze_zirkler(points):
    """Henze and Zirkler's statistic T of points (n, d): near 1 at many dimensions, whatever they are.

    Needs n × n distances, and more points than dimensions. Source: Henze and Zirkler 1990; for D-010.
    """
    n, d = points.shape
    centred = points - points.mean(axis=0, dtype=np.float64)
    root = np.linalg.cholesky(centred.T @ centred / n)
    whitened = solve_triangular(root, centred.T, lower=True).T
    beta_squared = ((2 * d + 1) * n / 4) ** (2 / (d + 4)) / 2
    pairs = np.exp(-beta_squared / 2 * cdist(whitened, whitened, "sqeuclidean")).sum() / n
    to_centre = np.exp(-beta_squared / 2 / (1 + beta_squared) * np.square(whitened).sum(axis=1)).sum()
    cross = 2 * (1 + beta_squared) ** (-d / 2) * to_centre
    return float(pairs - cross + n * (1 + 2 * beta_squared) ** (-d / 2))
