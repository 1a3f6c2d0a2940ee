"""Nearest neighbours: dimensions and regions of a cloud; filaments, voids and shape of a plane."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Voronoi, cKDTree
from scipy.special import gammaln
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from helpers.files import InputError
from helpers.latent.pieces import asks, require_array, row_lengths, row_slices

TWO_NN_KEPT = 0.9  # share of points whose ratio is fitted: the largest ratios scatter most (Facco et al.)
VOID_GRID = 200  # positions along each side of a square at which its emptiness is looked at


@asks(queries="n d, integers too", points="m d, integers too")
def nearest_distances(queries, points):
    """Distance of each query (m, d) to the nearest of `points` (n, d): float32 (m,)."""
    queries, nearest = queries.astype(np.float32, copy=False), np.full(len(queries), np.inf, dtype=np.float32)
    for rows in row_slices(len(points)):
        piece = points[rows].astype(np.float32, copy=False)
        search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(piece)
        np.minimum(nearest, search.kneighbors(queries)[0][:, 0], out=nearest)
    return nearest


def nearest_rows(points, rows, n_neighbours):
    """Row numbers (len(rows), n_neighbours) of the points nearest to those of `rows`, themselves left out."""
    points = require_array(points, f"n>={n_neighbours + 1} d", "nearest_rows", "points")
    search = NearestNeighbors(n_neighbors=n_neighbours + 1).fit(points)
    found = search.kneighbors(points[rows], return_distance=False)
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True  # many identical points: the search may not return the point itself
    return found[~own].reshape(len(rows), n_neighbours)


def neighbour_distances(points, n_neighbours):
    """Ascending distances (n, n_neighbours) of points (n, d) to their nearest others, without duplicates."""
    points = require_array(points, f"n>={n_neighbours + 1} d", "neighbour_distances", "points")
    search = NearestNeighbors(n_neighbors=n_neighbours).fit(points)
    distances = search.kneighbors()[0].astype(np.float64)
    return distances[distances[:, 0] > 0]


@asks(points="n>=3 d")
def two_nn_dimension(points):
    """Intrinsic dimension of points (n, d) from the ratio of the distances to the two nearest neighbours.

    The line through the origin that fits −ln(1 − F) against the ln ratio, the largest tenth left out; about
    1 for points on curves. Source: Facco et al. 2017 (TwoNN); for CII-069.
    """
    distances = neighbour_distances(points, 2)
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))
    kept = ratios[: int(TWO_NN_KEPT * len(ratios))]
    share = np.arange(1, len(kept) + 1) / len(ratios)
    if not kept.any():
        raise InputError("The two nearest neighbours are equally far from all points; take other points.")
    return float(-np.log(1 - share) @ kept / (kept @ kept))


def levina_bickel_dimension(points, n_neighbours=20):
    """Intrinsic dimension of points (n, d) by maximum likelihood over each point's nearest neighbours.

    Looks at a larger scale than TwoNN, and so sees through thin noise. Source: Levina and Bickel 2004, with
    the inverse averaging of MacKay and Ghahramani 2005; for CII-069.
    """
    distances = neighbour_distances(points, n_neighbours)
    logs = np.log(distances[:, -1:] / distances[:, :-1])
    if not logs.any():
        raise InputError("All neighbours are equally far from all points; take other points.")
    return float(1 / logs.mean())


def count_regions(points, neighbour_counts):
    """Regions that points (n, d) fall into when each is joined to its k nearest others, for each k.

    1: all hang together. Few neighbours break up any cloud: compare with a surrogate. For VIII-005.
    """
    most = max(neighbour_counts)
    n = len(points := require_array(points, f"n>={most + 1} d", "count_regions", "points"))
    nearest, regions = NearestNeighbors(n_neighbors=most).fit(points).kneighbors(return_distance=False), []
    for k in neighbour_counts:
        joined = csr_array((np.ones(n * k), nearest[:, :k].ravel(), k * np.arange(n + 1)), (n, n))
        regions.append(connected_components(joined, directed=False, return_labels=False))
    return regions


@asks(points="n>=2 d, varied")
def density_between_halves(points, seed=1):
    """Density half-way between the two halves of a cloud (n, d), relative to that at the halves' centres.

    k-means splits the points; they are counted along the line through the two centres, in strips of a fifth
    of their distance. A normal cloud is 1.4 times as dense there; below 1 there is a valley. For VIII-005.
    """
    first, second = KMeans(2, n_init=3, random_state=seed).fit(points).cluster_centers_
    along = (points - first) @ (second - first) / np.sum((second - first) ** 2)  # 0 and 1 at the centres
    at_first, between, at_second = (np.mean(np.abs(along - place) < 0.1) for place in (0, 0.5, 1))
    if not at_first + at_second:
        raise InputError("No points lie near the centres of the two halves; take more points.")
    return float(2 * between / (at_first + at_second))


@asks(z="n>=2 d, all varied")
def log10_volume_share(z, share=0.95):
    """How much of the box between the extremes of z (n, d) an ellipsoid fills at most: decimal logarithm.

    The ellipsoid about the mean holds `share` of the points; its axes run along the components in proportion
    to their standard deviations. What lies outside the box counts too, up to the whole box (0). For CII-074.
    """
    dimensions, mean, spread = z.shape[1], z.mean(axis=0), z.std(axis=0, dtype=np.float64)
    distances = row_lengths(lambda rows: (rows - mean) / spread, z)
    log_axes = np.log(np.quantile(distances, share) * spread / np.ptp(z, axis=0))
    log_unit_ball = dimensions / 2 * np.log(np.pi) - gammaln(dimensions / 2 + 1)
    return float(min((log_unit_ball + log_axes.sum()) / np.log(10), 0))


@asks(points2d="* 2")
def window(points2d, half_side, centre=(0, 0)):
    """Mask (n,) of the points (n, 2) in the square of `half_side` about `centre` (CII-065)."""
    return maximum_norm(points2d, centre) <= half_side


@asks(points2d="n 2")
def widen_window(points2d, half_side, wanted=200, centre=(0, 0)):
    """Smallest half side >= `half_side` of a square about `centre` that holds `wanted` points, or all."""
    distances = np.sort(maximum_norm(points2d, centre))
    return float(max(half_side, distances[min(wanted, len(distances)) - 1]))


def maximum_norm(points2d, centre):
    """Distance (n,) of points (n, 2) from `centre` in the maximum norm, whose circles are squares."""
    return np.abs(points2d - np.asarray(centre)).max(axis=1)


@asks(points2d="n 2")
def clark_evans(points2d, half_side, centre=(0, 0)):
    """Nearest-neighbour ratio of the points in a square: 1 for complete spatial randomness.

    Mean distance of the points in the square to their nearest neighbour, over 1 / (2 √density), which
    random points have on average. Below 1: clusters, filaments or, as in a surrogate, a varying density;
    above 1: regular. Neighbours outside the square count, so its edge introduces no bias. NaN without points
    there. Source: Clark and Evans 1954; for CII-066.
    """
    inside = points2d[window(points2d, half_side, centre)]
    if len(inside) == 0 or len(points2d) < 2:
        return float("nan")
    distances = cKDTree(points2d).query(inside, k=2)[0][:, 1]
    return float(2 * distances.mean() * np.sqrt(len(inside)) / (2 * half_side))


@asks(points2d="n 2", radii="m, positive")
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


@asks(points2d="n 2")
def void_share(points2d, half_side, centre=(0, 0)):
    """Share of a square's area farther than 1 / (2 √density) from all points (n, 2).

    That length is the mean distance to the nearest neighbour at complete spatial randomness, where the
    share is exp(−π/4) = 0.456; points on few lines leave more of the square empty. NaN without points
    there. Source: the empty-space function, Diggle 2003; for CII-071.
    """
    inside = points2d[window(points2d, half_side, centre)]
    if len(inside) == 0:
        return float("nan")
    steps = ((np.arange(VOID_GRID) + 0.5) / VOID_GRID * 2 - 1) * half_side
    positions = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) + np.asarray(centre)
    return float((cKDTree(points2d).query(positions)[0] > half_side / np.sqrt(len(inside))).mean())


@asks(points2d="n>=3 2")
def largest_empty_circles(points2d, half_side, count, centre=(0, 0)):
    """Centres (m, 2) and radii (m,) of the largest circles without a point, largest first, m <= `count`.

    The centres lie in the square of `half_side` about `centre`, and none lies in an earlier circle; all
    of points2d (n, 2) keep circles empty. The candidates are the corners of the Voronoi cells. For CII-075.
    """
    corners = Voronoi(points2d).vertices
    corners = corners[maximum_norm(corners, centre) <= half_side]
    radii = cKDTree(points2d).query(corners)[0]
    chosen = []
    for candidate in np.argsort(-radii, kind="stable"):
        if len(chosen) == count:
            break
        gaps = np.linalg.norm(corners[chosen] - corners[candidate], axis=1)
        if np.all(gaps > radii[chosen]):
            chosen.append(candidate)
    return corners[chosen], radii[chosen]


@asks(points2d="n>=3 2, all varied")
def core_radii(points2d, n_sectors=8):
    """Median distance from the mean in each of n equal sectors of the whitened plane: (n_sectors,).

    All equal where the contours are ellipses, as the covariance is taken out first; a square's are longer at
    its corners. The first sector lies about the second axis. NaN where a sector holds no point. VIII-016.
    """
    centred = points2d - points2d.mean(axis=0, dtype=np.float64)
    inverse = np.linalg.inv(np.cov(centred, rowvar=False))
    whitened = centred @ np.linalg.cholesky(inverse)
    turns = np.arctan2(*whitened.T) / (2 * np.pi)
    sectors = np.floor(turns * n_sectors + 0.5).astype(int) % n_sectors
    distances = np.linalg.norm(whitened, axis=1)
    return np.array([np.median(distances[sectors == sector]) for sector in range(n_sectors)])
