"""Work on many points piece by piece, so that float64 and intermediate results take little memory."""

import numpy as np

from helpers.files import InputError

CHUNK_ROWS = 8192  # points that are worked on at once: 16 MB in float64 at 256 dimensions


def require_points(z, fewest, purpose):
    """Raise InputError unless z (n, d) is finite and n >= `fewest`; `purpose` says what needs so many."""
    if np.ndim(z) != 2:
        raise InputError(f"z-points come as an array (n, z_dim), this one has the shape {np.shape(z)}.")
    if len(z) < fewest:
        raise InputError(
            f"{purpose} needs at least {fewest} z-points, here are {len(z)}; encode more images."
        )
    require_finite(z)


def require_finite(values):
    """Raise InputError where one of `values` is not a finite number."""
    if not np.isfinite(values).all():
        raise InputError(
            "Some z-points are not finite: the training has diverged; train with a smaller learning rate."
        )


def row_slices(n):
    """Slices of at most CHUNK_ROWS rows that together are n rows."""
    return [slice(start, start + CHUNK_ROWS) for start in range(0, n, CHUNK_ROWS)]


def map_rows(function, points, width):
    """Results (n, width), float32, of a `function` that works on each of the points (n, d) by itself.

    Where there are no points yet, `range(n)` stands for them, and the function gets the rows' numbers.
    """
    results = np.empty((len(points), width), dtype=np.float32)
    for rows in row_slices(len(points)):
        results[rows] = function(points[rows])
    return results


def row_lengths(function, points):
    """Lengths (n,) of the vectors that a `function` makes of the points (n, d), each by itself."""
    lengths = [np.linalg.norm(function(points[rows]), axis=1) for rows in row_slices(len(points))]
    return np.concatenate([np.zeros(0, dtype=np.float32), *lengths])


def covariance_about(mean, *clouds):
    """Covariance (d, d), float64, of the points of all clouds (n, d) about their `mean` (d,), float64."""
    covariance = np.zeros((len(mean), len(mean)))
    for points in clouds:
        for rows in row_slices(len(points)):
            centred = points[rows] - mean
            covariance += centred.T @ centred
    return covariance / (sum(map(len, clouds)) - 1)
