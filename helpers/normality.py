"""Is a cloud of points multivariate normal? Effect sizes, and a joint test against surrogates.

`white` (n, r) are coordinates of variance 1 without correlation, from `whitening.whiten` with the points' own
mean and covariance.
"""

from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy.special import chdtr

from helpers.marginals import moments
from helpers.pieces import row_slices
from helpers.surrogates import compare_values, matched_surrogate
from helpers.whitening import fit_gaussian, whiten
from helpers.workspace import InputError

SKEWNESS_ROWS = 2000  # points among which Mardia's skewness compares all pairs
CHUNK_PAIRS = 250  # rows of the matrix of pairs that are worked on at once: 4 MB
BLOCKS = 4  # groups of principal components, from wide to narrow, whose shares the classifier sees
SMALLEST = 1e-12  # of a point's squared length and a feature's spread, so that nothing is divided by 0
JOINT = ("Mardia kurtosis", "Mardia skewness", "distance from chi²", "classifier accuracy")
MARGINAL = ("largest |skewness|", "largest |excess kurtosis|")


class NormalityTest(NamedTuple):
    """Each statistic beside its surrogates, the joint p-value, and the statistic that deviates most.

    comparisons: a `Comparison` for each name in JOINT and MARGINAL. largest: name in JOINT.
    """

    comparisons: dict
    p_value: float
    largest: str


def squared_distances(white):
    """Squared Mahalanobis distances (n,), float64, of the points from their mean."""
    return np.einsum("nr,nr->n", white, white, dtype=np.float64)


def spread_ratio(squares, dimensions):
    """Standard deviation of squared distances (n,) over that of chi², √(2 · dimensions): 1 if normal.

    The points' own covariance makes it smaller: about 1 − dimensions / 2n for normal points.
    """
    return float(np.std(squares) / np.sqrt(2 * dimensions))


def chi_square_distance(squares, dimensions):
    """Kolmogorov's distance, 0 to 1, of squared distances (n,) from chi² with so many degrees of freedom.

    The largest difference of the distribution functions. Tables of its p-value do not hold here, as the
    distances come from estimated mean and covariance.
    """
    n, expected = len(squares), chdtr(dimensions, np.sort(squares))
    steps = np.arange(n + 1) / n
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


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
    white = white[:SKEWNESS_ROWS].astype(np.float64)
    total = 0.0
    for start in range(0, len(white), CHUNK_PAIRS):
        rows, later = white[start : start + CHUNK_PAIRS], white[start + CHUNK_PAIRS :]
        for weight, products in ((1, rows @ rows.T), (2, rows @ later.T)):
            total += weight * np.vdot(np.square(products), products)
    return float(total / len(white) ** 2)


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


def classifier_accuracy(points, others, rng):
    """How well a classifier tells points from as many others, both (n, d): share of right answers.

    0.5: not at all; twice the excess over 0.5 is a lower bound for the share of points by which the two
    distributions differ (total variation). A linear discriminant of `radial_features` learns from one half
    of each cloud and answers for the other, and the reverse. Coordinates and their squares are no features:
    where means and covariances agree they cannot help, and their noise, of opposite sign in the two halves,
    lowers the accuracy of normal points to 0.45. Source: Lopez-Paz and Oquab 2017.
    """
    clouds = points, others
    normal = fit_gaussian(*clouds)
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


def measure(points, reference, rng):
    """Every statistic of the joint test of points (n, d), by name; the classifier sees `reference` too."""
    shape, accuracy = moments(points), classifier_accuracy(points, reference, rng)
    largest = [np.nanmax(np.abs(values)) for values in (shape.skewness, shape.excess_kurtosis)]
    white = whiten(fit_gaussian(points), points)
    distance = chi_square_distance(squared_distances(white), white.shape[1])
    values = [mardia_kurtosis(white), mardia_skewness(white), distance, accuracy, *largest]
    return dict(zip(JOINT + MARGINAL, values, strict=True))


def joint_test(z, n_surrogates, rng, surrogate=matched_surrogate):
    """Test z-points (n, d) against surrogates drawn by surrogate(z, n, rng): `NormalityTest`.

    Deviations of each statistic from the mean of z and all surrogates, in their standard deviations, are
    compared by rank; the joint p-value ranks the largest deviation among the statistics in JOINT, so that
    looking at four of them costs nothing. If z is normal, p <= 0.05 happens in 5 % of cases, exactly, for
    matched surrogates whose number is 19, 39, 59 …; the marginal statistics do not decide. For points left by
    a trimming the surrogate is `trimming.trimmed_surrogate` with their fact. Raises InputError unless there
    are more points than components. Sources: Westfall and Young 1993 (largest deviation); VIII-066, IX-067.
    """
    n, d = z.shape
    if n <= d + 1:
        raise InputError(
            f"{n} z-points of {d} components all have the same Mahalanobis distance; take more points, or "
            f"their first {max(n // 4, 1)} principal components."
        )
    reference = surrogate(z, n, rng)
    clouds = chain([z], (surrogate(z, n, rng) for _ in range(n_surrogates)))
    values = np.array([list(measure(cloud, reference, rng).values()) for cloud in clouds])
    return rank_statistics(values)


def rank_statistics(values):
    """`NormalityTest` of statistics (1 + surrogates, JOINT + MARGINAL), those of the data first."""
    comparisons = [compare_values(column[0], column[1:]) for column in values.T]
    deviations = np.abs(values - values.mean(axis=0))
    joint = (deviations / np.maximum(values.std(axis=0), SMALLEST))[:, : len(JOINT)]
    return NormalityTest(
        comparisons=dict(zip(JOINT + MARGINAL, comparisons, strict=True)),
        p_value=float((joint.max(axis=1) >= joint[0].max()).mean()),
        largest=JOINT[joint[0].argmax()],
    )
