"""Filaments or noise: statistics of nearest neighbours, and their comparison with Gaussian surrogates."""

import numpy as np
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from helpers.pieces import row_slices

TWO_NN_KEPT = 0.9  # share of points whose ratio is fitted: the largest ratios scatter most (Facco et al.)
CURVE_WAVES = 3  # half waves of a planted filament


def centre_distances(points2d, centre):
    """Distance (n,) of points (n, 2) from `centre` in the maximum norm, whose circles are squares."""
    return np.abs(points2d - np.asarray(centre)).max(axis=1)


def window(points2d, half_side, centre=(0, 0)):
    """Mask (n,) of the points (n, 2) in the square of `half_side` about `centre` (CII-065)."""
    return centre_distances(points2d, centre) <= half_side


def widen_window(points2d, half_side, wanted=200, centre=(0, 0)):
    """Smallest half side >= `half_side` of a square about `centre` that holds `wanted` points, or all."""
    distances = np.sort(centre_distances(points2d, centre))
    return float(max(half_side, distances[min(wanted, len(distances)) - 1]))


def clark_evans(points2d, half_side, centre=(0, 0)):
    """Nearest-neighbour ratio of the points in a square: 1 for complete spatial randomness.

    Mean distance of the points in the square to their nearest neighbour, over 1 / (2 √density), which
    random points have on average. Below 1: clusters or filaments; above 1: regular. A density that varies
    across a wide square lowers it too, by as much as for a surrogate. Neighbours outside the square count,
    so its edge introduces no bias. NaN without points there. Source: Clark and Evans 1954; for CII-066.
    """
    inside = points2d[window(points2d, half_side, centre)]
    if len(inside) == 0 or len(points2d) < 2:
        return float("nan")
    distances = cKDTree(points2d).query(inside, k=2)[0][:, 1]
    return float(2 * distances.mean() * np.sqrt(len(inside)) / (2 * half_side))


def ripley_l(points2d, radii, half_side, centre=(0, 0)):
    """Ripley's L(r) − r, (len(radii),), of the points in a square: 0 for complete spatial randomness.

    Above 0: more neighbours within r than random points have. Neighbours outside the square count too, so
    its edge introduces no bias. NaN without points there. Source: Ripley 1977, Besag 1977; for CII-066.
    """
    radii = np.asarray(radii, dtype=np.float64)
    inside = points2d[window(points2d, half_side, centre)]
    if len(inside) == 0:
        return np.full(len(radii), np.nan)
    pairs = cKDTree(points2d).count_neighbors(cKDTree(inside), radii) - len(inside)
    return np.sqrt(pairs * (2 * half_side) ** 2 / len(inside) ** 2 / np.pi) - radii


def neighbour_distances(points, n_neighbours):
    """Ascending distances (n, n_neighbours) of points (n, d) to their nearest others, without duplicates."""
    search = NearestNeighbors(n_neighbors=n_neighbours).fit(points)
    distances = search.kneighbors()[0].astype(np.float64)
    return distances[distances[:, 0] > 0]


def two_nn_dimension(points):
    """Intrinsic dimension of points (n, d) from the ratio of the distances to the two nearest neighbours.

    The line through the origin that fits −ln(1 − F) against the ln ratio, the largest tenth left out; about
    1 for points on curves. Source: Facco et al. 2017 (TwoNN); for CII-069.
    """
    distances = neighbour_distances(points, 2)
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))
    kept = ratios[: int(TWO_NN_KEPT * len(ratios))]
    share = np.arange(1, len(kept) + 1) / len(ratios)
    return float(-np.log(1 - share) @ kept / (kept @ kept))


def levina_bickel_dimension(points, n_neighbours=20):
    """Intrinsic dimension of points (n, d) by maximum likelihood over each point's nearest neighbours.

    Looks at a larger scale than TwoNN, and so sees through thin noise. Source: Levina and Bickel 2004, with
    the inverse averaging of MacKay and Ghahramani 2005; for CII-069.
    """
    distances = neighbour_distances(points, n_neighbours)
    logs = np.log(distances[:, -1:] / distances[:, :-1])
    return float(1 / logs.mean())


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
