"""Densities of points in a plane, by binning and FFT, and their contours beside confidence ellipses."""

from collections import namedtuple
from itertools import combinations

import numpy as np
from scipy import fft
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import map_coordinates

from helpers.ellipses import (
    Ellipse,
    confidence_ellipse,
    ellipse_axes,
    ellipse_outline,
    expected_coverage,
    relative_radius,
    require_ellipse,
    unit_vectors,
)
from helpers.files import InputError
from helpers.latent.pieces import asks, require_array

REACH = 4.0  # bandwidths that a grid goes beyond the points: outside lies less than 0.01 % of the density
BIN_WIDTH = 0.4  # bandwidths
MOST_BINS = 2**24  # 128 MB in float64
STATISTICS_GRID = 100  # positions along each side of a plane: numbers need fewer than pictures do
INNER = 1.0  # sigma: the contour whose axis and centre are compared with those of the ellipse
LOWEST_AXIS_RATIO = 1.2  # of a contour that has a direction at all
Plane = namedtuple("Plane", "x y density levels ellipses")
Turn = namedtuple("Turn", "own axes core axis_ratio")
Agreement = namedtuple("Agreement", "overlap angle offset axis_ratio")


@asks(points="n>=3 2, all varied")
def kde_2d(points, grid=200):
    """Density of points (n, 2) on a grid, as scipy.stats.gaussian_kde estimates it: (x, y, density).

    density[i, j], float64 (grid, grid), belongs to the position (x[j], y[i]); its kernel is normal with the
    covariance of the points times n^(−1/3), Scott's factor squared (1992). The grid reaches REACH bandwidths
    beyond the extremes of the points. The error stays below 0.1 % of the peak, for any points.

    In coordinates in which the kernel is round and has width 1, points are spread over bins by cubic
    splines, smoothed in the spectrum, and read off at the grid's positions by the same splines, whose own
    blurring is divided out of the spectrum (as particle-mesh methods do: Essmann et al. 1995). So neither a
    coarse grid nor a narrow oblique kernel costs accuracy; KDEpy knows round kernels and linear bins only.
    InputError for points without a density: too few, on a line, or too far apart.
    """
    coordinates = np.ascontiguousarray(np.transpose(points), dtype=np.float64)
    covariance = require_ellipse(np.cov(coordinates)) * len(points) ** (-1 / 3)
    reach = REACH * np.sqrt(np.diag(covariance))
    x, y = np.linspace(coordinates.min(axis=1) - reach, coordinates.max(axis=1) + reach, grid).T
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    whitened = whitening @ coordinates
    origin = whitened.min(axis=1) - REACH
    counts = spread_points((whitened - origin[:, None]) / BIN_WIDTH)
    places = (np.tensordot(whitening, np.meshgrid(x, y), axes=1) - origin[:, None, None]) / BIN_WIDTH
    density = map_coordinates(smooth_counts(counts), places, order=3, mode="grid-constant", prefilter=False)
    return x, y, density.clip(0) * np.linalg.det(whitening) / (len(points) * BIN_WIDTH**2)


def spread_points(places):
    """Counts, a matrix, of points at places (2, n) in bins, each over 4 × 4 bins, with room at far sides."""
    extents = places.max(axis=1) + REACH / BIN_WIDTH + 1
    shape = [fft.next_fast_len(int(extent), real=True) for extent in extents]
    if np.prod(shape, dtype=np.float64) > MOST_BINS:
        raise InputError(
            f"A density needs {shape[0]:,} × {shape[1]:,} bins, as a few points lie very far from all "
            "others; leave those out."
        )
    whole = np.floor(places).astype(np.int64)
    t = places - whole
    s = 1 - t
    # Cubic B-splines of the bins at −1, 0, 1 and 2, along both axes.
    splines = [s * s * s / 6, 2 / 3 - t * t * (1 - t / 2), 2 / 3 - s * s * (1 - s / 2), t * t * t / 6]
    first, second = np.stack(splines, axis=1)
    corner = (whole[0] - 1) * shape[1] + whole[1] - 1
    counts = np.zeros(shape[0] * shape[1])
    for row, column in np.ndindex(4, 4):
        weights = first[row] * second[column]
        counts += np.bincount(corner + (row * shape[1] + column), weights, minlength=len(counts))
    return counts.reshape(shape)


def smooth_counts(counts):
    """Spline coefficients of counts smoothed by a normal kernel of width 1 / BIN_WIDTH bins.

    The margin keeps what leaves the periodic matrix on one side from reaching the points on the other.
    """
    spectrum = fft.rfft2(counts)
    for cycles in (fft.fftfreq(counts.shape[0])[:, None], fft.rfftfreq(counts.shape[1])):  # per bin
        # The kernel's Fourier transform, over those of two splines.
        spectrum *= np.exp(-0.5 * np.square(2 * np.pi * cycles / BIN_WIDTH)) / np.sinc(cycles) ** 8
    return fft.irfft2(spectrum, s=counts.shape)


def plane_density(points, n_stds=(1, 2, 3), ellipses_of=None, grid=200):
    """`Plane` of points (n, 2): what a picture of contours and confidence ellipses needs, n_stds ascending.

    x, y and density are those of `kde_2d`. Of its levels (k,), ascending, and ellipses (k, m, 2), the i-th
    ellipse from the end encloses of a normal cloud what the i-th level encloses of this one: of the points,
    not of the density, which the kernel has widened. The ellipses are those of the points `ellipses_of`, if
    given, else of the same points. Raises InputError where the plane has no density. For VIII-038, VIII-039.
    """
    x, y, density = kde_2d(points, grid)
    levels = contour_levels(density, expected_coverage(np.asarray(n_stds) / np.sqrt(widening(len(points)))))
    others = points if ellipses_of is None else ellipses_of
    others = require_array(others, "m>=2 2", "plane_density", "ellipses_of")
    mean, covariance = others.mean(axis=0, dtype=np.float64), np.cov(others, rowvar=False, dtype=np.float64)
    outlines = [ellipse_outline(confidence_ellipse(mean, covariance, n_std)) for n_std in n_stds]
    return Plane(x, y, density, levels, np.array(outlines))


@asks(density="b a")
def contour_levels(density, probabilities):
    """Levels of a density on an even grid whose contours enclose the given shares of it, ascending.

    Shares are between 0 and 1, of all that lies on the grid. The region above a level is the smallest of its
    share ('highest density region': Hyndman 1996). For VIII-038.
    """
    probabilities = np.sort(np.atleast_1d(probabilities))[::-1]
    if not (np.min(probabilities) > 0 and np.max(probabilities) < 1):
        raise InputError("Contours enclose shares between 0 and 1, both excluded; give such probabilities.")
    falling = np.sort(density, axis=None)[::-1]
    enclosed = np.cumsum(falling)
    return np.interp(probabilities * enclosed[-1], enclosed, falling)


def compare_contours(y, pairs, n_stds=(1, 2, 2.5, 3)):
    """`Agreement` of contours and ellipses in the planes `pairs` (p, 2) of the components of y (n, d).

    overlap (p, k): common area of contour and ellipse over that of both together, for k sizes; 1: the same.
    angle (p,) in degrees and offset (p,) in sigma: between the long axes and the centres of the inner contour
    and the ellipse; axis_ratio (p,) of that contour, whose angle means nothing near 1.

    Both belong to all points, and for a normal distribution without noise they coincide. The ragged edge
    that finitely many points have lowers the overlap of a normal cloud as well: compare with a surrogate.
    Raises InputError where a plane has no density. For VIII-040, VIII-041, IX-007, IX-008, IX-064, IX-070.
    """
    y = require_array(y, f"n>=3 d>={np.max(pairs) + 1}", "compare_contours", "y")
    found = [compare_plane(y[:, list(pair)], n_stds) for pair in pairs]
    return Agreement(*map(np.array, zip(*found, strict=True)))


def compare_plane(points, n_stds):
    """Overlaps (k,), angle, offset and axis ratio for points (n, 2) of one plane, as in `Agreement`."""
    points = turn(points, points)
    x, y, density = kde_2d(points, STATISTICS_GRID)
    positions, overlaps = np.stack(np.meshgrid(x, y), axis=-1), []
    # The contour of a smoothed density is compared with the ellipse of the smoothed density.
    mean, covariance = points.mean(axis=0), np.cov(points, rowvar=False) * widening(len(points))
    for n_std in n_stds:
        in_contour = density >= contour_levels(density, expected_coverage(n_std))[0]
        in_ellipse = relative_radius(positions, confidence_ellipse(mean, covariance, n_std)) <= 1
        overlaps.append(overlap(in_contour, in_ellipse))
    return overlaps, *contour_alignment(x, y, density, expected_coverage(INNER), mean, covariance)


@asks(points="n 2", cloud="m>=2 2")
def turn(points, cloud):
    """Points (n, 2), float64, along the axes of a `cloud` (m, 2): no narrow one needs a finer grid there."""
    _, vectors = np.linalg.eigh(np.cov(cloud, rowvar=False, dtype=np.float64))
    return points.astype(np.float64) @ vectors[:, ::-1]


def widening(n):
    """Factor by which the kernel of `kde_2d` widens the covariance of n points: 1 + n^(−1/3)."""
    return 1 + n ** (-1 / 3)


@asks(points="n>=3 2")
def core_turn(points):
    """Angles of points (n, 2) in degrees, −90 to 90, from the first coordinate towards the second: `Turn`.

    own: of the long axis of the inner contour against that of the points' covariance. axes: of the latter.
    core: their sum, the direction of the core. axis_ratio: of the contour. Where the covariance is nearly
    round, outliers turn its axes, and `own` with them, while the core rests: compare cores. IX-079, IX-080.
    """
    axes = ellipse_axes(require_ellipse(np.cov(points, rowvar=False, dtype=np.float64)))[1]
    x, y, density = kde_2d(points @ unit_vectors(axes).T, STATISTICS_GRID)
    contour = contour_ellipse(x, y, density, contour_levels(density, [expected_coverage(INNER)])[0])
    core = 90 - (90 - axes - contour.angle) % 180
    return Turn(contour.angle, float(axes), float(core), float(np.divide(*contour.half_axes)))


@asks(values="p", noise="m p")
def rank_planes(values, noise):
    """One-sided p-value (p,) of each plane's value among those of noise (m, p) in the same plane.

    Angles scatter where the axes are nearly equal: pooled noise would hide what a long plane shows. IX-070.
    """
    return (1 + np.sum(np.asarray(noise) >= values, axis=0)) / (1 + len(noise))


def contour_alignment(x, y, density, probability, mean, cov):
    """How the contour that encloses `probability` lies in the 1-sigma ellipse of mean and cov: three numbers.

    Angle, 0 to 90, offset and axis ratio as in `Agreement`, for a density as from `kde_2d`.
    """
    contour = contour_ellipse(x, y, density, contour_levels(density, [probability])[0])
    reference = confidence_ellipse(mean, cov, 1)
    offset, ratio = relative_radius(contour.centre, reference), np.divide(*contour.half_axes)
    return axes_angle(contour.angle, reference.angle), float(offset), float(ratio)


@asks(x="a>=3, ascending", y="b>=3, ascending", density="b a")
def contour_ellipse(x, y, density, level):
    """`Ellipse` of the region where a density on the grid (x, y) exceeds `level`.

    Centre and axes are those of the part of the density above the level, by moments, so that the region's
    ragged edge hardly counts; the areas are equal. InputError where the region is too small for moments.
    """
    above = (density - level).clip(0)
    if np.count_nonzero(above.any(axis=0)) < 3 or np.count_nonzero(above.any(axis=1)) < 3:
        raise InputError("The region above the level is narrower than 3 positions; take a finer grid.")
    weights = above.ravel() / above.sum()
    positions = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    centre = weights @ positions
    centred = positions - centre
    half_axes, angle = ellipse_axes(require_ellipse(centred.T @ (weights[:, None] * centred)))
    area = np.count_nonzero(above) * (x[1] - x[0]) * (y[1] - y[0])
    return Ellipse(centre, half_axes * np.sqrt(area / np.pi / half_axes.prod()), float(angle))


def axes_angle(angle, other):
    """Angle between two axes at `angle` and `other`, in degrees, 0 to 90: an axis has no direction."""
    return abs((angle - other + 90) % 180 - 90)


@asks(region="b a, 0/1, integers too", other="b a, 0/1, integers too")
def overlap(region, other):
    """Common area of two masks over that of both together (Jaccard): 1 for the same, 0 for separate ones."""
    both, either = np.logical_and(region, other), np.logical_or(region, other)
    return float(np.count_nonzero(both) / max(np.count_nonzero(either), 1))


def overlap_of_clouds(points, other, n_std):
    """Overlap of the contours of two clouds (n, 2), (m, 2) on the grid of both together. For VIII-042."""
    clouds, regions = [turn(cloud, points) for cloud in (points, other)], []
    x, y, _ = kde_2d(np.concatenate(clouds), STATISTICS_GRID)
    for cloud in clouds:
        own_x, own_y, density = kde_2d(cloud, STATISTICS_GRID)
        read_off = RegularGridInterpolator((own_y, own_x), density, bounds_error=False, fill_value=0)
        level = contour_levels(density, expected_coverage(n_std))[0]
        regions.append(read_off(tuple(np.meshgrid(y, x, indexing="ij"))) >= level)
    return overlap(*regions)


def pairs_among(components):
    """All pairs (p, 2) of the given components, the earlier one first."""
    return np.array(list(combinations(components, 2)))
