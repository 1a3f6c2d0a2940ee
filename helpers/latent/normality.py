"""Is a cloud of points multivariate normal, or normal but for one scale a point, a scale mixture?

Effect sizes, a joint test against surrogates, and the scales. `white` (n, r) are coordinates of variance 1
without correlation, from `covariance.whiten` with the points' own mean and covariance.
"""

from collections import namedtuple
from itertools import chain

import numpy as np
from scipy import stats
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import chdtr, polygamma

from helpers.files import InputError
from helpers.latent.covariance import fit_normal, squared_distances, whiten
from helpers.latent.marginals import moments
from helpers.latent.pieces import map_rows, row_slices
from helpers.latent.surrogates import compare_values, matched_surrogate

SKEWNESS_ROWS = 2000  # points among which Mardia's skewness compares all pairs
CHUNK_PAIRS = 250  # rows of the matrix of pairs that are worked on at once: 4 MB
BLOCKS = 4  # groups of principal components, from wide to narrow, whose shares the classifier sees
SMALLEST = 1e-12  # of a point's squared length and a feature's spread, so that nothing is divided by 0
JOINT = ("Mardia kurtosis", "Mardia skewness", "distance from chi²", "classifier accuracy")
MARGINAL = ("largest |skewness|", "largest |excess kurtosis|")
NormalityTest = namedtuple("NormalityTest", "comparisons p_value largest")
LogScales = namedtuple("LogScales", "mean spread skewness excess_kurtosis")  # of ln s over the images
ScaledKurtosis = namedtuple("ScaledKurtosis", "before after expected")  # dividing by the scale
BlockScales = namedtuple("BlockScales", "log_scales spread correlation shared")


def joint_test(z, n_surrogates, rng, surrogate=matched_surrogate):
    """Test z-points (n, d) against surrogates drawn by surrogate(z, n, rng): `NormalityTest`.

    comparisons: a `Comparison` for each name in JOINT and MARGINAL; p_value: the joint one; largest: the name
    in JOINT that deviates most. Deviations of each statistic from the mean of z and all surrogates, in their
    standard deviations, are compared by rank; the joint p-value ranks the largest deviation among the
    statistics in JOINT, so that looking at four of them costs nothing; the marginal ones do not decide. If z
    is normal, p <= 0.05 happens in 5 % of cases, exactly, for matched surrogates whose number is 19, 39, 59 …
    For points left by a trimming the surrogate is `trimmed_surrogate` with their fact. Raises InputError
    unless n > d + 1. Sources: Westfall and Young 1993 (largest deviation); VIII-066, IX-067.
    """
    n, d = z.shape
    if n <= d + 1:
        raise InputError(
            f"{n} z-points of {d} components all have the same Mahalanobis distance; take more points, or "
            f"their first {max(n // 4, 1)} principal components."
        )
    reference = surrogate(z, n, rng)
    clouds = chain([z], (surrogate(z, n, rng) for _ in range(n_surrogates)))
    values = np.array([measure_statistics(cloud, reference, rng) for cloud in clouds])
    comparisons = [compare_values(column[0], column[1:]) for column in values.T]
    deviations = np.abs(values - values.mean(axis=0)) / np.maximum(values.std(axis=0), SMALLEST)
    joint = deviations[:, : len(JOINT)]
    return NormalityTest(
        comparisons=dict(zip(JOINT + MARGINAL, comparisons, strict=True)),
        p_value=float((joint.max(axis=1) >= joint[0].max()).mean()),
        largest=JOINT[joint[0].argmax()],
    )


def measure_statistics(points, reference, rng):
    """Statistics of points (n, d) in the order of JOINT and MARGINAL; the classifier sees `reference` too."""
    shape, accuracy = moments(points), classifier_accuracy(points, reference, rng)
    largest = [np.nanmax(np.abs(values)) for values in (shape.skewness, shape.excess_kurtosis)]
    white = whiten(fit_normal(points), points)
    distance = chi_square_distance(squared_distances(white), white.shape[1])
    return [mardia_kurtosis(white), mardia_skewness(white), distance, accuracy, *largest]


def mardia_kurtosis(white):
    """Mardia's kurtosis of points (n, r) over its mean for as many normal points, minus 1: 0 if normal.

    For an elliptical distribution it is a third of every component's excess kurtosis, and the relative
    variance of the squared scale in a scale mixture. Source: Mardia 1970, 1974.
    """
    n, r = white.shape
    squares = squared_distances(white) * n / (n - 1)
    return float(np.square(squares).mean() / (r * (r + 2)) * (n + 1) / (n - 1) - 1)


def mardia_skewness(white):
    """Mardia's skewness: mean over all pairs of points (n, r) of the cube of their scalar product.

    Over the first 2,000 points. m normal points have about r(r + 1)(r + 2) / m. Source: Mardia 1970.
    """
    white, total = white[:SKEWNESS_ROWS].astype(np.float64), 0.0
    for start in range(0, len(white), CHUNK_PAIRS):
        rows, later = white[start : start + CHUNK_PAIRS], white[start + CHUNK_PAIRS :]
        for weight, products in ((1, rows @ rows.T), (2, rows @ later.T)):
            total += weight * np.vdot(np.square(products), products)
    return float(total / len(white) ** 2)


def spread_ratio(squares, dimensions):
    """Standard deviation of squared distances (n,) over that of chi², √(2 · dimensions): 1 if normal.

    The points' own covariance makes it about 1 − dimensions / 2n for normal points.
    """
    return float(np.std(squares) / np.sqrt(2 * dimensions))


def chi_square_distance(squares, dimensions):
    """Kolmogorov's distance, 0 to 1, of squared distances (n,) from chi² with so many degrees of freedom.

    Tables of its p-value do not hold here, as the distances come from estimated mean and covariance.
    """
    return float(stats.ks_1samp(squares, lambda x: chdtr(dimensions, x), method="asymp").statistic)


def classifier_accuracy(points, others, rng):
    """How well a classifier tells points from as many others, both (n, d): share of right answers.

    0.5: not at all; twice the excess over 0.5 is a lower bound for the share of points by which the two
    distributions differ (total variation). A linear discriminant of `radial_features` learns from one half
    of each cloud and answers for the other, and the reverse. Coordinates and their squares are no features:
    where means and covariances agree they cannot help, and their noise, of opposite sign in the two halves,
    lowers the accuracy of normal points to 0.45. Source: Lopez-Paz and Oquab 2017.
    """
    clouds = points, others
    normal = fit_normal(*clouds)
    features = np.concatenate(
        [radial_features(whiten(normal, cloud[rows])) for cloud in clouds for rows in row_slices(len(cloud))]
    )
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), SMALLEST)
    features = np.column_stack([np.ones(len(features)), features])
    labels = np.repeat([1.0, -1.0], [len(points), len(others)])
    halves = np.concatenate([rng.permutation(len(cloud)) % 2 for cloud in clouds])
    right = 0
    for half in (0, 1):
        weights = np.linalg.lstsq(features[halves == half], labels[halves == half], rcond=None)[0]
        right += np.sum((features[halves != half] @ weights) * labels[halves != half] > 0)
    return float(right / len(labels))


def radial_features(white):
    """What single points (n, r) tell of their distribution: (n, 5 + the number of blocks), float64.

    The distance from the centre, on a scale where it is standard normal for normal points (Wilson and
    Hilferty 1931), and its magnitude; how far the share of each of four blocks of components in the squared
    length is from an even one; mean magnitude, third and fourth power of the direction's components.
    """
    r, lengths = white.shape[1], np.maximum(squared_distances(white), SMALLEST) / white.shape[1]
    radius = (np.cbrt(lengths) - (1 - 2 / (9 * r))) / np.sqrt(2 / (9 * r))
    directions = white / np.sqrt(lengths)[:, None]
    squares = np.square(directions)
    blocks = np.array_split(squares, min(BLOCKS, r), axis=1)
    shares = [np.abs(block.sum(axis=1) - block.shape[1]) / r for block in blocks]
    powers = [np.einsum("nr,nr->n", squares, other) / r for other in (directions, squares)]
    magnitude = np.abs(directions).mean(axis=1)
    return np.stack([radius, np.abs(radius), *shares, magnitude, *powers], axis=1)


def henze_zirkler(points):
    """Henze and Zirkler's statistic T of points (n, d): near 1 at many dimensions, whatever they are.

    Needs n × n distances, and more points than dimensions. Source: Henze and Zirkler 1990; for D-010.
    """
    n, d = points.shape
    centred = points - points.mean(axis=0, dtype=np.float64)
    root = np.linalg.cholesky(centred.T @ centred / n)
    whitened = solve_triangular(root, centred.T, lower=True).T
    beta_squared = ((2 * d + 1) * n / 4) ** (2 / (d + 4)) / 2
    pairs = np.exp(-beta_squared / 2 * cdist(whitened, whitened, "sqeuclidean")).sum() / n
    to_centre = np.exp(-beta_squared / 2 / (1 + beta_squared) * np.square(whitened).sum(axis=1)).sum()
    cross = 2 * (1 + beta_squared) ** (-d / 2) * to_centre
    return float(pairs - cross + n * (1 + 2 * beta_squared) ** (-d / 2))


def image_scales(white):
    """Scale s of each image: √(d² / r) of its squared Mahalanobis distance d² over r components, (n,)."""
    return np.sqrt(squared_distances(white) / white.shape[1])


def kurtosis_from_spread(spread, dimensions):
    """Excess kurtosis of every component that the standard deviation of d² implies in one scale mixture.

    With v the variance of s², d² has the variance 2r + r(r + 2)v, and each component excess kurtosis 3v.
    """
    return 3 * (spread**2 - 2 * dimensions) / (dimensions * (dimensions + 2))


def kurtosis_after_scaling(white):
    """Excess kurtosis (r,) of the components before and after dividing by the scales: `ScaledKurtosis`.

    The scale that divides a component is measured on all others, so that no large value hides itself. In
    every elliptical distribution the quotient follows Student's t with r − 1 degrees of freedom, whose excess
    kurtosis is `expected`; more is left where one scale does not explain everything. Only directions
    count, so `elliptical_surrogate` has the null distribution. Needs r > 5.
    """
    r = white.shape[1]

    def divide(rows):
        return rows / np.sqrt((squared_distances(rows)[:, None] - np.square(rows)) / (r - 1))

    scaled = map_rows(divide, white, r)
    return ScaledKurtosis(moments(white).excess_kurtosis, moments(scaled).excess_kurtosis, 6 / (r - 5))


def log_scales(scales):
    """`LogScales` of the scales s (n,): skewness and excess kurtosis are 0 if s is lognormal."""
    logs = np.log(scales)
    return LogScales(*map(float, (logs.mean(), logs.std(), stats.skew(logs), stats.kurtosis(logs))))


def block_scales(white, blocks):
    """`BlockScales`: whether b `blocks`, index arrays or slices of components, have one and the same scale.

    log_scales (n, b): ln s of each image, from each block alone. spread (b,): their standard deviation
    without the noise of the estimate. correlation (b, b): of the log scales as estimated. shared (b, b): the
    same without the noise; 1 for one common scale, 0 for independent ones; NaN where a block has no spread.

    The blocks have no common components, e.g. even and odd ones. From m components of a normal direction ln s
    is off by a noise of variance ψ'(m / 2) / 4, that of the logarithm of chi², independent of s; taking it
    away leaves the scales' own variances (Spearman's 1904 correction for attenuation).
    """
    parts = [white[:, block] for block in blocks]
    logs = np.log(np.stack([image_scales(part) for part in parts], axis=1))
    noise = np.array([polygamma(1, part.shape[1] / 2) / 4 for part in parts])
    covariance = np.atleast_2d(np.cov(logs, rowvar=False))
    own = covariance.diagonal() - noise
    spread = np.sqrt(np.where(own > 0, own, np.nan))
    shared = covariance / np.outer(spread, spread)
    np.fill_diagonal(shared, 1)
    return BlockScales(logs, spread, np.corrcoef(logs, rowvar=False), shared)


def rank_correlations(scales, quantities):
    """Spearman's rank correlation of scales (n,) with each of `quantities`, name → (n,): name → rho."""
    return {name: float(stats.spearmanr(scales, values).statistic) for name, values in quantities.items()}
