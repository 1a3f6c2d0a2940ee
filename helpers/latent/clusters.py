"""k-means and its elbow, gaps in maps, and how faithful maps are to the points."""

import os
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, Delaunay, procrustes
from scipy.stats import spearmanr
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.neighbors import kneighbors_graph
from threadpoolctl import threadpool_limits

from helpers.files import InputError
from helpers.latent.neighbours import nearest_rows
from helpers.latent.pieces import asks, require_array

ISLAND_NEIGHBOURS = 20  # each point of a map is joined to so many others
MOST_CELLS = 10**7  # of a map: 80 MB
SMALLEST_SPREAD = 1e-12  # of an effect size's denominator, so that equal numbers have the effect 0

Elbow = namedtuple("Elbow", "clusters strength")  # the number of clusters there, and how pronounced it is
Islands = namedtuple("Islands", "number share")  # groups beside the largest one; share of all points on them
Aligned = namedtuple("Aligned", "reference embedding agreement")  # two maps, centred and scaled; 1: the same


def k_means(points, n_clusters, seed, n_init=3):
    """k-means on small batches of points (n, d), the best of `n_init` starts."""
    if not 1 <= n_clusters <= len(points):
        raise InputError(f"{n_clusters:g} clusters cannot be made of {len(points)} points; ask for fewer.")
    return MiniBatchKMeans(n_clusters, batch_size=1024, n_init=n_init, random_state=seed).fit(points)


@asks(z="n d")
def inertia_curve(z, cluster_counts, seed=1):
    """Inertia (k,), the sum of squared distances to the nearest centre, for k cluster counts (XIII-028)."""
    # Within one run of k-means on small batches, threads wait for each other longer than they compute.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.array(list(pool.map(lambda count: k_means(z, count, seed, 1).inertia_, cluster_counts)))


@asks(cluster_counts="k>=2, positive, ascending", inertias="k, positive")
def elbow(cluster_counts, inertias):
    """`Elbow`: where an inertia curve lies farthest below the line between its ends, on log-log axes.

    Points without clusters give nearly a power law, which is straight on such axes; on linear axes it would
    bend, and every cloud would seem to have an elbow. The strength is ln(line / curve) there: 0 means none,
    0.7 that the inertia is half of what the line says. Compare it with the strength of a surrogate.
    """
    x, y = np.log(cluster_counts), np.log(inertias)
    depth = y[0] + (y[-1] - y[0]) * (x - x[0]) / (x[-1] - x[0]) - y
    return Elbow(int(cluster_counts[depth.argmax()]), float(depth.max()))


@asks(z="n>=3 d, varied")
def silhouette(z, n_clusters, seed=1, sample=2000):
    """Mean silhouette of `n_clusters` clusters of k-means in z (n, d), over `sample` points.

    1: far from the next cluster, 0: between two; up to 0.25: no structure. Kaufman, Rousseeuw 1990; XIII-041.
    """
    labels, sample = k_means(z, n_clusters, seed).labels_, min(sample, len(z))
    if not 1 < len(np.unique(labels)) < sample:
        raise InputError(f"k-means finds no two clusters of several points among {sample} points; take more.")
    return float(silhouette_score(z, labels, sample_size=sample, random_state=seed))


@asks(points="n d", labels="n, integers too")
def kmeans_recovery(points, labels, seed=1):
    """How well k-means, told their number, finds the groups `labels` (n,) of points (n, d) again.

    Adjusted Rand index (Hubert and Arabie 1985): 1 wholly, 0 as by chance. For XIII-032.
    """
    return float(adjusted_rand_score(labels, k_means(points, int(labels.max()) + 1, seed).labels_))


@asks(points2d="n>=3 2")
def empty_share(points2d, points_per_cell):
    """Share of empty cells within the convex hull of the points (n, 2).

    The cells are squares that would hold `points_per_cell` points each if these filled the hull evenly; those
    count whose centre is inside. Random points leave exp(−points_per_cell) empty, but for the edge. CII-052.
    """
    hull = ConvexHull(points2d)
    side = np.sqrt(hull.volume * points_per_cell / len(points2d))  # volume: the area, in the plane
    if np.ptp(points2d, axis=0).prod() > MOST_CELLS * side**2:
        raise InputError("The points lie nearly on one line; empty_share asks for points that fill a plane.")
    extremes = zip(points2d.min(axis=0), points2d.max(axis=0), strict=True)
    edges = [np.arange(low, high + side, side) for low, high in extremes]
    counts, *_ = np.histogram2d(*points2d.T, bins=edges)
    centres = np.stack(np.meshgrid(*(edge[:-1] + side / 2 for edge in edges), indexing="ij"), axis=-1)
    inside = Delaunay(points2d[hull.vertices]).find_simplex(centres) >= 0
    if not inside.any():
        raise InputError("Among these points lies no whole cell; take more points, or fewer in each cell.")
    return float(np.mean(counts[inside] == 0))


@asks(points2d="n>=2 2")
def islands(points2d, n_neighbours=ISLAND_NEIGHBOURS):
    """`Islands` of a map (n, 2): groups of points beside the largest one, each cut off from all others.

    Every point is joined to its nearest neighbours. Of random points the twentieth is about five times as far
    away as the nearest, so that a gap must be broad against the spacing on its shores. XIII-040, XIII-041.
    """
    joints = kneighbors_graph(points2d, min(n_neighbours, len(points2d) - 1))
    sizes = np.sort(np.bincount(connected_components(joints, directed=False)[1]))[:-1]
    return Islands(len(sizes), float(sizes.sum() / len(points2d)))


@asks(points="n d", embedding="n e")
def neighbour_preservation(points, embedding, n_neighbours=10, sample=1000, seed=1):
    """Mean share of each point's nearest neighbours in points (n, d) that are so in embedding (n, 2) too.

    `sample` points, drawn with `seed`, are asked; neighbours are sought among all. 1: all kept; a map
    without any relation to the points keeps n_neighbours / (n − 1).
    """
    rows = np.random.default_rng(seed).permutation(len(points))[:sample]
    before, after = (nearest_rows(space, rows, n_neighbours) for space in (points, embedding))
    return float((before[:, :, None] == after[:, None, :]).sum(axis=(1, 2)).mean() / n_neighbours)


@asks(points="n>=2 d", embedding="n e")
def neighbour_distance(points, embedding, sample=1000, seed=1):
    """Distance in `points` (n, d) of nearest neighbours in `embedding` (n, 2), over that of random pairs.

    Medians over `sample` points. 1: what is close in the map is as far apart as any two points. For XIII-042.
    """
    rng = np.random.default_rng(seed)
    rows, others = rng.permutation(len(points))[:sample], rng.permutation(len(points))[:sample]
    nearest = nearest_rows(embedding, rows, 1)[:, 0]
    near, random = (np.linalg.norm(points[rows] - points[mates], axis=1) for mates in (nearest, others))
    typical = np.median(random[rows != others]) if np.any(rows != others) else 0
    if not typical > 0:
        raise InputError("Half of all pairs of points are at one place; take more, or other, points.")
    return float(np.median(near) / typical)


@asks(points="n>=2 d", embedding="n e")
def distance_correlation(points, embedding, pairs=10_000, seed=1):
    """Spearman's rank correlation between distances in `points` (n, d) and in `embedding` (n, 2).

    Over random `pairs`; 1 if the map keeps the order of all distances. For CII-053.
    """
    one, other = np.random.default_rng(seed).integers(len(points), size=(2, pairs))
    distances = [np.linalg.norm(space[one] - space[other], axis=1) for space in (points, embedding)]
    distances = [d[one != other] for d in distances]
    for of_pairs in distances:
        require_array(of_pairs, "p>=2, varied", "distance_correlation", "distances")
    return float(spearmanr(*distances).statistic)


@asks(reference="n d, varied", embedding="n d, varied")
def align(reference, embedding):
    """Shift, scale, rotate and, if need be, mirror `embedding` (n, d) onto `reference` (n, d): `Aligned`.

    The agreement is the share of the reference's spread that the rotated map explains (Procrustes; XIII-073).
    """
    one, other, disparity = procrustes(reference, embedding)
    return Aligned(one, other, float(1 - disparity))


@asks(embedding="n e", attributes="n a, 0/1, integers too")
def attribute_contrasts(embedding, attributes, n_neighbours=10):
    """Correlation (a,) of each attribute (n, a), 0/1, with its mean over a point's neighbours in a map.

    0: scattered at random over the embedding (n, 2), or had by all or no points; 1: in areas of its own.
    """
    around = attributes[nearest_rows(embedding, np.arange(len(embedding)), n_neighbours)].mean(axis=1)
    own, around = attributes - attributes.mean(axis=0), around - around.mean(axis=0)
    scale = np.sqrt((own**2).sum(axis=0) * (around**2).sum(axis=0))
    return (own * around).sum(axis=0) / np.where(scale > 0, scale, 1)


@asks(values="n>=2", surrogate_values="m>=2")
def effect_size(values, surrogate_values):
    """Difference of the means in units of the pooled standard deviation over repetitions (Cohen 1988)."""
    spread = np.sqrt((np.var(values, ddof=1) + np.var(surrogate_values, ddof=1)) / 2)
    return float((np.mean(values) - np.mean(surrogate_values)) / max(spread, SMALLEST_SPREAD))
