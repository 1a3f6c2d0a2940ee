"""Densities of planes and confidence ellipses of all pairs: `python -m benchmarks.bench_density`.

Takes the z-points of bench_latent: real ones from CELEBA_Z, or points of a Gaussian mixture. The bars in
seconds are for two cores that nothing else uses; ratio and error hold on a busy machine too.
"""

import statistics
import sys
from itertools import combinations

import numpy as np
from scipy.stats import gaussian_kde

from benchmarks import tables
from benchmarks.bench_latent import timed, z_points
from helpers import density, ellipses
from helpers.latent import covariance

PLANE_POINTS, ELLIPSE_POINTS = 80_000, 170_000
GRID = 200  # positions along each axis
COMPONENTS = 10  # of the first principal ones, all pairs of them
ROUNDS = 5  # densities of one pair; the median counts
STANDARD_DEVIATIONS = (1, 2, 2.5, 3)  # of the ellipses
BAR_FASTER, BAR_ERROR = 300, 0.2  # against SciPy: times, per cent of the peak
BAR_PLANES, BAR_ELLIPSES = 2, 60  # s


def measure_density(z):
    """Rows (what, value, unit, bar) on one plane beside SciPy and on all; whether a bar was missed."""
    points = covariance.transform_pca(covariance.fit_pca(z), z, COMPONENTS)
    plane = points[:, :2]
    own = statistics.median(timed(density.kde_2d, plane, GRID)[1] for _ in range(ROUNDS))
    x, y, values = density.kde_2d(plane, GRID)
    positions = np.reshape(np.meshgrid(x, y), (2, -1))
    expected, peer = timed(lambda: gaussian_kde(plane.T)(positions).reshape(GRID, GRID))
    error = 100 * np.abs(values - expected).max() / expected.max()
    pairs = list(combinations(range(COMPONENTS), 2))
    _, planes = timed(lambda: [density.kde_2d(points[:, list(pair)], GRID) for pair in pairs])
    rows = [
        (f"density, {len(z):,} on {GRID}²", own, "s", ""),
        ("SciPy's gaussian_kde", peer, "s", ""),
        ("times faster", peer / own, "", f"≥ {BAR_FASTER}"),
        ("largest error, of the peak", error, "%", f"< {BAR_ERROR}"),
        (f"densities of {len(pairs)} pairs", planes, "s", f"≤ {BAR_PLANES}"),
    ]
    return rows, peer / own < BAR_FASTER or error >= BAR_ERROR or planes > BAR_PLANES


def measure_ellipses(z):
    """Rows on the ellipses and coverages of all pairs of components, and whether a bar was missed."""
    found, seconds = timed(ellipses.pair_coverages, z, STANDARD_DEVIATIONS)
    what = f"{len(found.rho):,} ellipses, {len(z):,}"
    return [(what, seconds, "s", f"≤ {BAR_ELLIPSES}")], seconds > BAR_ELLIPSES


def main():
    """Measure and print the table; return whether a bar was missed."""
    measures = ((measure_density, PLANE_POINTS), (measure_ellipses, ELLIPSE_POINTS))
    return tables.run(measures, z_points)


if __name__ == "__main__":
    sys.exit(int(main()))
