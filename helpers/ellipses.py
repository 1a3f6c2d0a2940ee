"""Confidence ellipses of pairs of components: half-axes, angles, and the shares of points inside."""

from collections import namedtuple

import numpy as np

from helpers.files import InputError
from helpers.latent.covariance import pearson_matrix
from helpers.latent.pieces import asks, require_array, row_slices

SMALLEST_VARIANCE_RATIO = 1e-20  # of the other coordinate's: less is the rounding of a constant
SMALLEST_UNEXPLAINED = 1e-10  # of 1 − rho²: less is the rounding of float32 points on a straight line
OUTLINE_POINTS = 200
CHUNK_PARTNERS = 8  # components that one is paired with at once; 256 KB in float32 with the rows
PairCoverages = namedtuple("PairCoverages", "first second rho half_axes angle coverage")
# Centre (2,), half-axes (2,), the longer first; its angle in degrees, from x towards y, (−90, 90].
Ellipse = namedtuple("Ellipse", "centre half_axes angle")


@asks(mean="2, may vanish", cov="2 2")
def confidence_ellipse(mean, cov, n_std):
    """Ellipse at `n_std` standard deviations about mean (2,), by the eigenvectors of cov (2, 2).

    On it the density of a normal distribution is constant, exp(−n_std²/2) of its peak. Raises InputError
    where the covariance has no ellipse. Source: VIII-028.
    """
    half_axes, angle = ellipse_axes(require_ellipse(cov))
    return Ellipse(np.asarray(mean, dtype=np.float64), n_std * half_axes, float(angle))


def require_ellipse(cov):
    """Return the covariance as float64 (2, 2); raise InputError where it belongs to no ellipse."""
    cov = np.asarray(require_array(cov, "2 2", "An ellipse", "cov"), dtype=np.float64)
    if not np.allclose(cov, cov.T):
        raise InputError(f"A covariance must be a symmetric matrix of 2 × 2 finite numbers; this is {cov}.")
    if not np.diag(cov).min() > SMALLEST_VARIANCE_RATIO * np.diag(cov).max():
        raise InputError("A coordinate of the pair has no spread, so no ellipse; choose another one.")
    if 1 - cov[0, 1] ** 2 / cov[0, 0] / cov[1, 1] < SMALLEST_UNEXPLAINED:
        raise InputError("The points lie on a straight line, so there is no ellipse; choose another pair.")
    return cov


def ellipse_axes(cov):
    """Standard deviations (..., 2) along the axes of cov (..., 2, 2), the longer first, and its angle."""
    variances, vectors = np.linalg.eigh(cov)
    longest = vectors[..., -1]
    angle = np.degrees(np.arctan2(longest[..., 1], longest[..., 0]))
    return np.sqrt(variances[..., ::-1].clip(0)), 90 - (90 - angle) % 180


def unit_vectors(angle):
    """Directions of the longer and the shorter axis as rows (2, 2), for an angle in degrees."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[cosine, sine], [-sine, cosine]])


def circle(n_points):
    """Points (n, 2) of the unit circle; the last is the first again, so that a line through them closes."""
    turn = np.linspace(0, 2 * np.pi, n_points)
    return np.column_stack([np.cos(turn), np.sin(turn)])


def ellipse_outline(ellipse, n_points=OUTLINE_POINTS):
    """Points (n_points, 2) on an `Ellipse`; the last is the first again."""
    return ellipse.centre + circle(n_points) * ellipse.half_axes @ unit_vectors(ellipse.angle)


@asks(mean="2, may vanish", cov="2 2")
def ellipse_from_pearson(mean, cov, n_std, n_points=OUTLINE_POINTS):
    """Outline (n_points, 2) of the same ellipse as `confidence_ellipse`, without any eigenvector.

    In units of their standard deviations, two variables with Pearson's rho always have an ellipse at 45°,
    with half-axes √(1 + rho) and √(1 − rho): [[1, rho], [rho, 1]] has these squares as eigenvalues and the
    diagonals as eigenvectors. Stretched by n_std times the standard deviations and shifted to the mean, it
    is the confidence ellipse. Source: C. Schelp 2018, VIII-029 and VIII-068.
    """
    cov = require_ellipse(cov)
    sigma = np.sqrt(np.diag(cov))
    rho = cov[0, 1] / sigma.prod()
    standardised = Ellipse(np.zeros(2), np.sqrt([1 + rho, 1 - rho]), 45.0)
    return mean + n_std * sigma * ellipse_outline(standardised, n_points)


def relative_radius(points, ellipse):
    """Distances (...) of points (..., 2) from the centre in units of the half-axes: 1 on the ellipse."""
    along_axes = (points - ellipse.centre) @ unit_vectors(ellipse.angle).T / ellipse.half_axes
    return np.linalg.norm(along_axes, axis=-1)


@asks(points="n 2")
def coverage(points, mean, cov, n_std):
    """Share of points (n, 2) inside the confidence ellipse, its edge included. For VIII-045, VIII-046."""
    return float(np.mean(relative_radius(points, confidence_ellipse(mean, cov, n_std)) <= 1))


def expected_coverage(n_std):
    """Share of a bivariate normal distribution inside its ellipse: 1 − exp(−n_std²/2), whatever its shape."""
    return -np.expm1(-0.5 * np.square(n_std))


@asks(z="n>=3 d>=2", n_stds="k")
def pair_coverages(z, n_stds):
    """Confidence ellipses of all pairs of components of z (n, d), and the shares of points inside them.

    n_stds (k,) are multiples of the standard deviation. Returns `PairCoverages` of p pairs first < second,
    32,640 for 256 components: their numbers and Pearson's rho, each (p,), half-axes (p, 2) and angle (p,) of
    the 1-sigma ellipse as in `Ellipse`, coverage (p, k). Means and covariances are those of z, in float64;
    distances are compared in float32, which moves a share by less than 1e-4 up to |rho| = 0.999. InputError
    where a component is constant or a pair lies on a line. For VIII-044 to VIII-046, IX-013.
    """
    mean, sigma, rho = pearson_matrix(z)
    first, second = np.triu_indices(len(mean), 1)
    rho = rho[first, second]
    pair = np.abs(rho).argmax()
    if 1 - rho[pair] ** 2 < SMALLEST_UNEXPLAINED:
        raise InputError(
            f"Components {first[pair]} and {second[pair]} lie on a straight line; leave one of them out."
        )
    covariance = np.stack([sigma[first] ** 2, rho * sigma[first] * sigma[second], sigma[second] ** 2], axis=1)
    half_axes, angle = ellipse_axes(covariance[:, [[0, 1], [1, 2]]])
    counts = np.zeros((len(rho), len(n_stds)), dtype=np.int64)
    for rows in row_slices(len(z)):
        standardised = np.ascontiguousarray(((z[rows] - mean) / sigma).T, dtype=np.float32)
        counts += count_inside(standardised, rho, np.square(n_stds))
    return PairCoverages(first, second, rho, half_axes, angle, counts / len(z))


def count_inside(rows, rho, limits):
    """Numbers (p, k) of points whose squared Mahalanobis distance in each plane is within the limits (k,).

    rows (d, n) are standardised components, rho (p,) belongs to their pairs in the order of
    `np.triu_indices`. With u and v of a pair the squared distance is u² + (v − rho·u)² / (1 − rho²).
    """
    counts = np.empty((len(rho), len(limits)), dtype=np.int64)
    slope, stretch = (rho / np.sqrt(1 - rho**2)).astype("f4"), (1 / np.sqrt(1 - rho**2)).astype("f4")
    pair = 0
    for number, u in enumerate(rows):
        for start in range(number + 1, len(rows), CHUNK_PARTNERS):
            v = rows[start : start + CHUNK_PARTNERS]
            pairs = slice(pair, pair + len(v))
            distances = np.square(v * stretch[pairs, None] - u * slope[pairs, None]) + u * u
            for column, limit in enumerate(limits):
                # Counting row by row takes a third of the time that a sum along the axis takes.
                counts[pairs, column] = [np.count_nonzero(row) for row in distances <= np.float32(limit)]
            pair += len(v)
    return counts
