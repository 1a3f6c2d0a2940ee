"""Statistics and maps of many z-points: `python -m benchmarks.bench_latent`.

Takes the z-points in CELEBA_Z (a .npy file, or a folder with z_points.npy), topped up with normal points of
the same mean and covariance where there are too few; without it, points of a Gaussian mixture. The bars in
seconds are for two cores that nothing else uses; the ratio to scikit-learn holds on a busy machine too.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from benchmarks import tables
from helpers.latent import clusters, covariance, maps, surrogates
from helpers.latent import fits as fits_module
from helpers.monitor import readings

WIDTH = 0.25  # of an interval of number densities
STATISTICS_POINTS = 170_000
COMPARED_POINTS = 20_000  # in maps of both engines
MANY_POINTS = 165_000  # in the map whose memory is measured
DIMENSIONS, MIXTURE_COMPONENTS = 256, 10  # of the mixture that stands in for real z-points
BAR_FITS, BAR_PCA = 3, 1  # s
BAR_FASTER, BAR_WORSE = 3, 0.02  # t-SNE against scikit-learn: times, neighbour preservation
BAR_BYTES = 3e9  # peak memory of the process that maps MANY_POINTS


def z_points(n):
    """Return n z-points (n, d), float32: real ones in random order as far as they reach, then drawn ones."""
    rng = np.random.default_rng(0)
    if "CELEBA_Z" in os.environ:
        path = Path(os.environ["CELEBA_Z"])
        z = rng.permutation(np.load(path / "z_points.npy" if path.is_dir() else path))[:n]
        return np.concatenate([z, surrogates.gaussian_surrogate(z, n - len(z), rng)])
    centres = rng.standard_normal((MIXTURE_COMPONENTS, DIMENSIONS), dtype=np.float32)
    labels = rng.integers(MIXTURE_COMPONENTS, size=n)
    return centres[labels] + rng.standard_normal((n, DIMENSIONS), dtype=np.float32)


def timed(function, *arguments):
    """Result of a function and the seconds it took."""
    started = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - started


def fit_one_by_one(z):
    """The obvious program: NumPy's histogram and SciPy's fit for one component after the other."""

    def curve(x, centre, sigma, amplitude):
        return amplitude * np.exp(-((x - centre) ** 2) / 2 / sigma**2)

    edges = np.arange(np.floor(z.min() / WIDTH), np.floor(z.max() / WIDTH) + 2) * WIDTH
    for values in z.T:
        counts, _ = np.histogram(values, edges)
        curve_fit(curve, edges[:-1] + WIDTH / 2, counts, p0=(values.mean(), values.std(), counts.max()))


def measure_statistics(z):
    """Rows (what, value, unit, bar) on densities, fits and PCA, and whether a bar was missed."""
    _, fits = timed(fits_module.fit_gaussians, z, WIDTH)
    _, peer_fits = timed(fit_one_by_one, z)
    _, pca = timed(covariance.fit_pca, z)
    _, peer_pca = timed(PCA(svd_solver="covariance_eigh").fit, z)
    rows = [
        (f"densities and fits, {len(z):,}", fits, "s", f"≤ {BAR_FITS}"),
        ("one component after the other", peer_fits, "s", ""),
        (f"PCA, {len(z):,}", pca, "s", f"≤ {BAR_PCA}"),
        ("scikit-learn's PCA", peer_pca, "s", ""),
    ]
    return rows, fits > BAR_FITS or pca > BAR_PCA


def embed_with_scikit_learn(points, iterations=1000):
    """t-SNE map (n, 2), float32, by scikit-learn: exact neighbours, Barnes-Hut, and the same start."""
    start = maps.start_map(points, 1)
    return TSNE(**maps.STANDARD, max_iter=iterations, init=start, n_jobs=-1, random_state=1).fit_transform(
        points
    )


def measure_maps(z):
    """Rows on t-SNE by both engines in turn, and whether a bar was missed."""
    seconds, kept = {}, {}
    for engine, embed in (("openTSNE", maps.embed_tsne), ("scikit-learn", embed_with_scikit_learn)):
        embedding, seconds[engine] = timed(embed, z)
        kept[engine] = clusters.neighbour_preservation(z, embedding)
    faster = seconds["scikit-learn"] / seconds["openTSNE"]
    better = kept["openTSNE"] - kept["scikit-learn"]
    rows = [(f"t-SNE, {len(z):,}, {engine}", taken, "s", "") for engine, taken in seconds.items()]
    rows += [("times faster", faster, "", f"≥ {BAR_FASTER}")]
    rows += [(f"neighbours kept, {engine}", share, "", "") for engine, share in kept.items()]
    rows += [("difference", better, "", f"≥ −{BAR_WORSE}")]
    return rows, faster < BAR_FASTER or better < -BAR_WORSE


def map_and_peak(path):
    """Seconds that a map of the z-points in a file takes, and the peak memory of this process in bytes."""
    _, seconds = timed(maps.embed_tsne, np.load(path))
    return seconds, readings.memory().process_peak


def measure_memory(z):
    """Rows on a large map, made in a process of its own, and whether a bar was missed."""
    from helpers.models.costs import measure_apart  # the other process need not load TensorFlow for it

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "z_points.npy"
        np.save(path, z)
        ((seconds, peak),) = measure_apart(map_and_peak, [{"path": path}])
    rows = [
        (f"t-SNE, {len(z):,}", seconds, "s", ""),
        ("peak memory", peak / 1e6, "MB", f"< {BAR_BYTES / 1e6:.0f}"),
    ]
    return rows, peak >= BAR_BYTES


def main():
    """Measure and print the table; return whether a bar was missed."""
    measures = (
        (measure_statistics, STATISTICS_POINTS),
        (measure_maps, COMPARED_POINTS),
        (measure_memory, MANY_POINTS),
    )
    return tables.run(measures, z_points)


if __name__ == "__main__":
    sys.exit(int(main()))
