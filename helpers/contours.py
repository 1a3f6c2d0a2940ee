"""How well the contours of planes agree with confidence ellipses, and with each other."""

from typing import NamedTuple

import numpy as np

from helpers.density import contour_alignment, contour_levels, kde_2d
from helpers.ellipses import confidence_ellipse, ellipse_outline, expected_coverage, relative_radius

STATISTICS_GRID = 100  # positions along each side of a plane: numbers need fewer than pictures do
INNER = 1.0  # sigma: the contour whose axis and centre are compared with those of the ellipse
LOWEST_AXIS_RATIO = 1.2  # of a contour that has a direction at all


class Plane(NamedTuple):
    """Density of a plane on the grid x, y, its levels (k,) ascending, and the ellipses (k, m, 2) to match.

    The k-th ellipse from the end encloses of a normal cloud what the k-th level encloses of this one.
    """

    x: np.ndarray
    y: np.ndarray
    density: np.ndarray
    levels: np.ndarray
    ellipses: np.ndarray


class Agreement(NamedTuple):
    """Contours of p planes beside their confidence ellipses.

    overlap (p, k): common area of contour and ellipse over that of both together, for k sizes; 1: the same.
    angle (p,) in degrees and offset (p,) in sigma: between the long axes and the centres of the inner contour
    and the ellipse; axis_ratio (p,) of that contour, whose angle means nothing near 1.
    """

    overlap: np.ndarray
    angle: np.ndarray
    offset: np.ndarray
    axis_ratio: np.ndarray


def draw_plane(points, n_stds=(1, 2, 3), ellipses_of=None, grid=200):
    """`Plane` of points (n, 2): what a picture of contours and confidence ellipses needs, n_stds ascending.

    The ellipses are those of the points `ellipses_of` (m, 2), if given, else of the same points. Raises
    InputError where the plane has no density. For VIII-038, VIII-039.
    """
    x, y, density = kde_2d(points, grid)
    levels = contour_levels(density, expected_coverage(n_stds))
    others = points if ellipses_of is None else ellipses_of
    mean, covariance = others.mean(axis=0, dtype=np.float64), np.cov(others, rowvar=False, dtype=np.float64)
    outlines = [ellipse_outline(confidence_ellipse(mean, covariance, n_std)) for n_std in n_stds]
    return Plane(x, y, density, levels, np.array(outlines))


def widened_covariance(points):
    """Covariance (2, 2) of the density of points (n, 2) as `kde_2d` smooths it: 1 + n^(−1/3) times theirs.

    A contour of the smoothed density has to be compared with the ellipse of the smoothed density.
    """
    return np.cov(points, rowvar=False, dtype=np.float64) * (1 + len(points) ** (-1 / 3))


def contour_region(density, n_std):
    """Mask of the positions inside the contour that encloses what an ellipse of n_std sigma encloses."""
    return density >= contour_levels(density, [expected_coverage(n_std)])[0]


def ellipse_region(x, y, mean, cov, n_std):
    """Mask (len(y), len(x)) of the positions inside the confidence ellipse."""
    positions = np.stack(np.meshgrid(x, y), axis=-1)
    return relative_radius(positions, confidence_ellipse(mean, cov, n_std)) <= 1


def overlap(region, other):
    """Common area of two masks over that of both together (Jaccard): 1 for the same, 0 for separate ones."""
    return float(np.count_nonzero(region & other) / max(np.count_nonzero(region | other), 1))


def compare_contours(y, pairs, n_stds=(1, 2, 2.5, 3)):
    """`Agreement` of contours and ellipses in the planes `pairs` (p, 2) of the components of y (n, d).

    Both belong to all points, and for a normal distribution without noise they coincide. The ragged edge
    that finitely many points have lowers the overlap of a normal cloud as well: compare with a surrogate.
    Raises InputError where a plane has no density. For VIII-040, VIII-041, IX-007, IX-008, IX-064, IX-070.
    """
    found = [compare_plane(y[:, list(pair)], n_stds) for pair in pairs]
    return Agreement(*(np.array(values) for values in zip(*found, strict=True)))


def compare_plane(points, n_stds):
    """Overlaps (k,), angle, offset and axis ratio for points (n, 2) of one plane, as in `Agreement`."""
    points = turn(points, main_axes(points))
    x, y, density = kde_2d(points, STATISTICS_GRID)
    mean, covariance = points.mean(axis=0, dtype=np.float64), widened_covariance(points)
    ellipses = [ellipse_region(x, y, mean, covariance, n_std) for n_std in n_stds]
    overlaps = [
        overlap(contour_region(density, n_std), ellipse)
        for n_std, ellipse in zip(n_stds, ellipses, strict=True)
    ]
    inner = contour_alignment(x, y, density, expected_coverage(INNER), mean, covariance)
    return overlaps, *inner


def main_axes(points):
    """Directions (2, 2) of the long and the short axis of points (n, 2), as rows."""
    _, vectors = np.linalg.eigh(np.cov(points, rowvar=False, dtype=np.float64))
    return vectors.T[::-1]


def turn(points, axes):
    """Points (n, 2), float64, in a plane whose coordinates run along the rows of `axes` (2, 2).

    Turned to their own axes, a long and narrow cloud needs no finer grid than a round one. Areas and angles
    between contours and ellipses stay as they are.
    """
    return points.astype(np.float64) @ axes.T


def overlap_of_clouds(points, other, n_std):
    """Overlap of the contours of two clouds (n, 2), (m, 2) on the grid of both together. For VIII-042."""
    regions, axes = [], main_axes(points)
    clouds = [turn(cloud, axes) for cloud in (points, other)]
    x, y, _ = kde_2d(np.concatenate(clouds), STATISTICS_GRID)
    for cloud in clouds:
        own_x, own_y, density = kde_2d(cloud, STATISTICS_GRID)
        level = contour_levels(density, [expected_coverage(n_std)])[0]
        regions.append(read_off(own_x, own_y, density, x, y) >= level)
    return overlap(*regions)


def read_off(x, y, density, new_x, new_y):
    """A density on the grid (x, y) at the positions of another grid, linearly; 0 outside its own."""
    along_x = np.array([np.interp(new_x, x, row, left=0, right=0) for row in density])
    return np.array([np.interp(new_y, y, column, left=0, right=0) for column in along_x.T]).T


def pairs_among(components):
    """All pairs (p, 2) of the given components, the earlier one first."""
    first, second = np.triu_indices(len(components), 1)
    return np.asarray(components)[np.column_stack([first, second])]
