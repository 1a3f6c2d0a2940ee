"""Clusters and maps of z-points: arrays in, arrays out."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import openTSNE
from sklearn.cluster import MiniBatchKMeans
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from helpers.latent import fit_pca, transform_pca
from helpers.workspace import InputError

REPORT_EVERY = 50  # t-SNE iterations between two reports
MANY_POINTS = 2000  # from here on an FFT is faster than Barnes-Hut, and more than one processor pays off
INTERVAL_LENGTH = 2  # of the FFT's mesh in units of a map: twice openTSNE's own, in half the time
START_SPREAD = 1e-4  # standard deviation of a map's first axis before the first iteration
START_JITTER = 0.01  # of that spread: parts points at one place, and gives each seed a map of its own


class Elbow(NamedTuple):
    """Number of clusters at the elbow of an inertia curve, and how pronounced the elbow is."""

    clusters: int
    strength: float


def embed_tsne(
    points, perplexity=30, early_exaggeration=12, seed=1, iterations=1000, engine="openTSNE", report=None
):
    """t-SNE map (n, 2), float32, of points (n, d).

    The first quarter of the iterations exaggerates. `report`, if given, is called with
    (iteration, iterations). The same seed gives the same map on one machine. Raises InputError where
    there are too few points for the perplexity. Source: XIII-033, XIII-034; van der Maaten and
    Hinton 2008.
    """
    if engine not in ENGINES:
        raise InputError(f"There is no t-SNE engine '{engine}'; choose one of {', '.join(ENGINES)}.")
    if 3 * perplexity >= len(points):
        raise InputError(
            f"t-SNE with perplexity {perplexity} needs more than {3 * perplexity:.0f} points, here are "
            f"{len(points)}; lower the perplexity."
        )
    if (points == points[0]).all():
        raise InputError("t-SNE cannot arrange points that are all the same.")
    start = transform_pca(fit_pca(points), points, 2)
    start /= start[:, 0].std()
    start += START_JITTER * np.random.default_rng(seed).standard_normal(start.shape, dtype=np.float32)
    start *= START_SPREAD
    report = report or (lambda iteration, iterations: None)
    embedding = ENGINES[engine](points, start, perplexity, early_exaggeration, seed, iterations, report)
    report(iterations, iterations)
    return np.asarray(embedding, dtype=np.float32)


def embed_with_opentsne(points, start, perplexity, early_exaggeration, seed, iterations, report):
    """t-SNE by openTSNE (Poličar et al. 2024), with exact neighbours and repulsion through an FFT.

    At 256 dimensions exact neighbours are found faster than approximate ones up to some ten thousand points.
    Source of the FFT: Linderman et al. 2019.
    """
    many = len(points) >= MANY_POINTS
    tsne = openTSNE.TSNE(
        perplexity=perplexity,
        initialization=start,
        neighbors="exact",
        negative_gradient_method="fft" if many else "bh",
        ints_in_interval=INTERVAL_LENGTH,
        n_jobs=-1 if many else 1,
        random_state=seed,
    )
    embedding = tsne.prepare_initial(points)
    early = iterations // 4
    for done, steps, exaggeration in ((0, early, early_exaggeration), (early, iterations - early, 1)):
        embedding.optimize(
            n_iter=steps,
            exaggeration=exaggeration,
            momentum=0.8,
            inplace=True,
            propagate_exception=True,
            callbacks=[progress(report, done, iterations)],
            callbacks_every_iters=REPORT_EVERY,
        )
    return embedding


def progress(report, done, iterations):
    """Callback of openTSNE that tells `report` of iterations, `done` of which an earlier phase has made."""

    def callback(iteration, error, embedding):
        if done + iteration < iterations:  # `embed_tsne` reports the end
            report(done + iteration, iterations)  # returns None: anything true would end the optimisation

    return callback


def embed_with_scikit_learn(points, start, perplexity, early_exaggeration, seed, iterations, report):
    """t-SNE by scikit-learn: exact neighbours, Barnes-Hut. It cannot report on its way."""
    tsne = TSNE(
        perplexity=perplexity,
        early_exaggeration=early_exaggeration,
        max_iter=iterations,
        init=start,
        n_jobs=-1,
        random_state=seed,
    )
    return tsne.fit_transform(points)


ENGINES = {"openTSNE": embed_with_opentsne, "scikit-learn": embed_with_scikit_learn}


def neighbour_preservation(points, embedding, n_neighbours=10, sample=1000, seed=1):
    """Mean share of each point's nearest neighbours in points (n, d) that are so in embedding (n, 2) too.

    `sample` points, drawn with `seed`, are asked; neighbours are sought among all. 1: all kept; a map
    without any relation to the points keeps n_neighbours / (n − 1).
    """
    rows = np.random.default_rng(seed).permutation(len(points))[:sample]
    before = nearest_rows(points, rows, n_neighbours)
    after = nearest_rows(embedding, rows, n_neighbours)
    return float((before[:, :, None] == after[:, None, :]).sum(axis=(1, 2)).mean() / n_neighbours)


def nearest_rows(points, rows, n_neighbours):
    """Row numbers (len(rows), n_neighbours) of the points nearest to those of `rows`, themselves left out."""
    search = NearestNeighbors(n_neighbors=n_neighbours + 1).fit(points)
    found = search.kneighbors(points[rows], return_distance=False)
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True  # many identical points: the search may not return the point itself
    return found[~own].reshape(len(rows), n_neighbours)


def inertia_curve(z, cluster_counts, seed=1, batch_size=1024):
    """Inertia (sum of squared distances to the nearest centre) of MiniBatchKMeans for each cluster count.

    z is (n, d); returns float64 (len(cluster_counts),). Source: XIII-028.
    """
    if max(cluster_counts) > len(z):
        raise InputError(f"{max(cluster_counts)} clusters cannot be made of {len(z)} points; ask for fewer.")

    def inertia(count):
        return MiniBatchKMeans(count, batch_size=batch_size, n_init=1, random_state=seed).fit(z).inertia_

    # Within one run of k-means on small batches, threads wait for each other longer than they compute.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.array(list(pool.map(inertia, cluster_counts)))


def elbow(cluster_counts, inertias):
    """Where an inertia curve lies farthest below the straight line between its ends, on log-log axes.

    Points without clusters give nearly a power law, which is straight on such axes; on linear axes it would
    bend, and every cloud would seem to have an elbow. The strength is ln(line / curve) there: 0 means none,
    0.7 that the inertia is half of what the line says. Compare it with the strength of a surrogate.
    """
    x, y = np.log(cluster_counts), np.log(inertias)
    line = y[0] + (y[-1] - y[0]) * (x - x[0]) / (x[-1] - x[0])
    depth = line - y
    return Elbow(int(cluster_counts[depth.argmax()]), float(depth.max()))
