"""Is a cloud of points multivariate normal, or normal but for one scale a point, a scale mixture?

Effect sizes, a joint test against surrogates, the scales, and the worth of each kind of structure in nats.
`white` (n, r) are coordinates of variance 1 without correlation, from `covariance.whiten` with the points'
own mean and covariance.
"""

from collections import namedtuple
from itertools import chain, pairwise

import numpy as np
from scipy import stats
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import chdtr, logsumexp, polygamma

from helpers.files import InputError
from helpers.latent.covariance import fit_normal, squared_distances, whiten
from helpers.latent.marginals import moments
from helpers.latent.pieces import asks, covariance_about, map_rows, require_array, row_slices
from helpers.latent.surrogates import compare_values, matched_surrogate

SKEWNESS_ROWS = 2000  # points among which Mardia's skewness compares all pairs
CHUNK_PAIRS = 250  # rows of the matrix of pairs that are worked on at once: 4 MB
BLOCKS = 4  # groups of principal components, from wide to narrow, whose shares the classifier sees
SCALES = np.geomspace(1 / 4, 4, 61)  # of a mixture of normal distributions with one centre
SCALE_STEPS = 100  # of expectation and maximisation: the likelihood has settled long before
LEADING = 15  # components whose products bend all later ones: 120 products
RIDGES = 10.0 ** np.arange(-3, 5)  # penalties in question, in units of the products' mean variance
SMALLEST = 1e-12  # of a point's squared length and a feature's spread, so that nothing is divided by 0
RADIAL = ("Mardia kurtosis", "Mardia skewness", "distance from chi²", "classifier accuracy")
JOINT = (*RADIAL, "principal |skewness|", "principal |excess kurtosis|")  # the largest of all components
MARGINAL = ("largest |skewness|", "largest |excess kurtosis|")
NormalityTest = namedtuple("NormalityTest", "comparisons p_value largest")
LogScales = namedtuple("LogScales", "mean spread skewness excess_kurtosis")  # of ln s over the images
ScaledKurtosis = namedtuple("ScaledKurtosis", "before after expected")  # dividing by the scale
BlockScales = namedtuple("BlockScales", "log_scales spread correlation shared")


@asks(z="n d")
def joint_test(z, n_surrogates, rng, surrogate=matched_surrogate):
    """Test z-points (n, d) against surrogates drawn by surrogate(z, n, rng): `NormalityTest`.

    comparisons: a `Comparison` for each name in JOINT and MARGINAL; p_value: the joint one, by the rank of
    the largest deviation among the statistics in JOINT, in standard deviations over z and all surrogates, so
    that looking at six costs nothing; largest: the name of that one. If z is normal, p <= 0.05 happens in 5 %
    of cases, exactly, for matched surrogates whose number is 19, 39, 59 … For points left by a trimming the
    surrogate is `trimmed_surrogate` with their fact. Raises InputError unless n > d + 1. Sources: Westfall
    and Young 1993 (largest deviation); VIII-066, IX-067.
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
    p_value = float((joint.max(axis=1) >= joint[0].max()).mean())
    by_name = dict(zip(JOINT + MARGINAL, comparisons, strict=True))
    return NormalityTest(by_name, p_value, JOINT[joint[0].argmax()])


def measure_statistics(points, reference, rng):
    """Statistics of points (n, d) in the order of JOINT and MARGINAL; the classifier sees `reference` too."""
    accuracy, white = classifier_accuracy(points, reference, rng), whiten(fit_normal(points), points)
    shapes = [shape for cloud in (white, points) for shape in moments(cloud)[:2]]
    largest = [np.nanmax(np.abs(shape)) for shape in shapes]
    distance = chi_square_distance(squared_distances(white), white.shape[1])
    return [mardia_kurtosis(white), mardia_skewness(white), distance, accuracy, *largest]


@asks(white="n>=2 r")
def mardia_kurtosis(white):
    """Mardia's kurtosis of points (n, r) over its mean for as many normal points, minus 1: 0 if normal.

    For an elliptical distribution it is a third of every component's excess kurtosis, and the relative
    variance of the squared scale in a scale mixture. Source: Mardia 1970, 1974.
    """
    n, r = white.shape
    squares = squared_distances(white) * n / (n - 1)
    return float(np.square(squares).mean() / (r * (r + 2)) * (n + 1) / (n - 1) - 1)


@asks(white="n r")
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


@asks(squares="n")
def spread_ratio(squares, dimensions):
    """Standard deviation of squared distances (n,) over that of chi², √(2 · dimensions): 1 if normal.

    The points' own covariance makes it smaller, about 1 − dimensions / 2n for normal points, and more so in
    heavy tails; `held_out_squares` are free of that.
    """
    return float(np.std(squares) / np.sqrt(2 * dimensions))


@asks(z="n>=2 d, varied", held_out="m d")
def held_out_squares(z, held_out):
    """Squared Mahalanobis distances (m,) of held-out points (m, d) by mean and covariance of z (n, d).

    Points from which the covariance is estimated lie too close to the mean; others too far out, by a factor
    that is divided out: their mean is r if normal. Source: Hotelling 1931. InputError unless n > d + 2.
    """
    n, d = z.shape
    if n <= d + 2:
        raise InputError(f"Distances in {d} dimensions need more than {d + 2} z-points; encode more images.")
    white = whiten(fit_normal(z), held_out)
    return squared_distances(white) * (n - white.shape[1] - 2) / (n - 1) * n / (n + 1)


@asks(squares="n, not negative")
def chi_square_distance(squares, dimensions):
    """Kolmogorov's distance, 0 to 1, of squared distances (n,) from chi² with so many degrees of freedom.

    Tables of its p-value do not hold here, as the distances come from estimated mean and covariance.
    """
    return float(stats.ks_1samp(squares, lambda x: chdtr(dimensions, x), method="asymp").statistic)


@asks(points="n>=2 d, varied", others="m>=2 d")
def classifier_accuracy(points, others, rng):
    """How well a classifier tells points from as many others, both (n, d): share of right answers.

    0.5: not at all; twice the excess is a lower bound for the share of points by which the distributions
    differ (total variation). A linear discriminant of `radial_features` learns from one half of each cloud
    and answers for the other, and the reverse. Coordinates and their squares cannot help where means and
    covariances agree, and would lower the accuracy of normal points to 0.45. Source: Lopez-Paz, Oquab 2017.
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

    The distance from the centre, standard normal for normal points (Wilson and Hilferty 1931), and its
    magnitude; how far the share of each of four blocks of components in the squared length is from an even
    one; mean magnitude, third and fourth power of the direction's components.
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


@asks(points="n d, all varied")
def henze_zirkler(points):
    """Henze and Zirkler's statistic T of points (n, d): near 1 at many dimensions, whatever they are.

    Needs n × n distances, and more points than dimensions. Source: Henze and Zirkler 1990; for D-010.
    """
    n, d = points.shape
    require_array(points, f"n>={d + 1} d", "henze_zirkler", "points")
    centred = points - points.mean(axis=0, dtype=np.float64)
    root = np.linalg.cholesky(centred.T @ centred / n)
    whitened = solve_triangular(root, centred.T, lower=True).T
    beta_squared = ((2 * d + 1) * n / 4) ** (2 / (d + 4)) / 2
    pairs = np.exp(-beta_squared / 2 * cdist(whitened, whitened, "sqeuclidean")).sum() / n
    to_centre = np.exp(-beta_squared / 2 / (1 + beta_squared) * np.square(whitened).sum(axis=1)).sum()
    cross = 2 * (1 + beta_squared) ** (-d / 2) * to_centre
    return float(pairs - cross + n * (1 + 2 * beta_squared) ** (-d / 2))


@asks(white="n r")
def image_scales(white):
    """Scale s of each image: √(d² / r) of its squared Mahalanobis distance d² over r components, (n,)."""
    return np.sqrt(squared_distances(white) / white.shape[1])


def kurtosis_from_spread(spread, dimensions):
    """Excess kurtosis of every component that the standard deviation of d² implies in one scale mixture.

    With v the variance of s², d² has the variance 2r + r(r + 2)v, and each component excess kurtosis 3v.
    """
    return 3 * (spread**2 - 2 * dimensions) / (dimensions * (dimensions + 2))


@asks(white="n>=4 r>=6, all varied")
def kurtosis_after_scaling(white):
    """Excess kurtosis (r,) of the components before and after dividing by the scales: `ScaledKurtosis`.

    The scale that divides a component is measured on all others, so that no large value hides itself. In
    every elliptical distribution the quotient follows Student's t with r − 1 degrees of freedom, whose excess
    kurtosis is `expected`; more is left where one scale does not explain everything. The null distribution is
    that of `elliptical_surrogate`. NaN where a component is constant, before or after.
    """
    r = white.shape[1]

    def divide(rows):
        return rows / np.sqrt((squared_distances(rows)[:, None] - np.square(rows)) / (r - 1))

    scaled = map_rows(divide, white, r)
    return ScaledKurtosis(moments(white).excess_kurtosis, moments(scaled).excess_kurtosis, 6 / (r - 5))


@asks(scales="n>=2, positive")
def log_scales(scales):
    """`LogScales` of the scales s (n,): skewness and excess kurtosis are 0 if s is lognormal."""
    logs = require_array(np.log(scales), "n, varied", "log_scales", "logarithms")
    return LogScales(*map(float, (logs.mean(), logs.std(), stats.skew(logs), stats.kurtosis(logs))))


@asks(white="n>=2 r")
def block_scales(white, blocks):
    """`BlockScales`: whether b `blocks`, index arrays or slices of components, have one and the same scale.

    log_scales (n, b): ln s of each image, from each block alone. spread (b,): their standard deviation
    without the noise of the estimate. correlation (b, b): of the log scales as estimated. shared (b, b): the
    same without the noise; 1 for one common scale, 0 for independent ones; NaN where a block has no spread.
    The blocks have no common components. From m components of a normal direction ln s is off by a noise of
    variance ψ'(m / 2) / 4, that of the logarithm of chi², which is taken away (Spearman 1904, attenuation).
    """
    parts = [white[:, block] for block in blocks]
    scales = np.stack([image_scales(part) for part in parts], axis=1)
    logs = np.log(require_array(scales, "n b, positive", "block_scales", "scales"))
    noise = np.array([polygamma(1, part.shape[1] / 2) / 4 for part in parts])
    covariance = np.atleast_2d(np.cov(logs, rowvar=False))
    own = covariance.diagonal() - noise
    spread = np.sqrt(np.where(own > 0, own, np.nan))
    shared = covariance / np.outer(spread, spread)
    np.fill_diagonal(shared, 1)
    return BlockScales(logs, spread, np.corrcoef(logs, rowvar=False), shared)


@asks(scales="n>=2")
def rank_correlations(scales, quantities):
    """Spearman's rank correlation of scales (n,) with `quantities`, name → (n,): name → rho.

    NaN where all values are the same.
    """
    found = {}
    for name, values in quantities.items():
        values = require_array(values, f"{len(scales)}", "rank_correlations", name)
        found[name] = float(stats.spearmanr(scales, values).statistic)
    return found


@asks(z="n>=2 d, varied", held_out="m d")
def likelihood_ladder(z, held_out, directions=None):
    """Nats by which models exceed the normal distribution of z (n, d): rung → float64 (m,), by point.

    All models learn from z and answer for held_out (m, d), so that overfitting costs; the mean over points is
    a lower bound for the distance (Kullback-Leibler) of the data from N(mean, covariance). "independent
    normals": the components of z without correlation. "one scale": N(0, s²) for a mixture of 61 scales.
    "block scales": one a block of components (2, 2, 4, 8, 16, ...), given the earlier ones. "curvature":
    N(mean, covariance) after `straighten`; beside it with one and with block scales.

    `directions` (r, k), orthonormal columns in the space of principal components of variance 1, limit all to
    the coordinates along them, without "independent normals": `np.eye(r, k)` takes the k leading components.
    For a null, draw a surrogate of z and held_out together. Linear in n. InputError unless n > d + 1.
    """
    n, d = z.shape
    if n <= d + 1:
        raise InputError(f"A density in {d} dimensions needs more than {d + 1} z-points; encode more images.")
    normal, rungs = fit_normal(z), {}
    clouds = [whiten(normal, points) for points in (z, held_out)]
    if directions is not None:
        directions = require_array(directions, f"{len(normal.axes)} k", "likelihood_ladder", "directions")
        clouds = [cloud @ np.float32(directions) for cloud in clouds]
    elif len(normal.axes) == d:
        mean, spread = z.mean(axis=0, dtype=np.float64), z.std(axis=0, ddof=1, dtype=np.float64)
        volume = np.log(np.linalg.norm(normal.axes, axis=1) / spread).sum()
        squares = squared_distances((held_out - mean) / spread)
        rungs["independent normals"] = (squared_distances(clouds[1]) - squares) / 2 + volume
    straight, volume = straighten(*clouds)
    bent = (squared_distances(clouds[1]) - squared_distances(straight[1])) / 2 - volume
    return rungs | {
        "one scale": scale_gain(*clouds),
        "block scales": block_scale_gain(*clouds),
        "curvature": bent,
        "curvature, one scale": bent + scale_gain(*straight),
        "curvature, block scales": bent + block_scale_gain(*straight),
    }


def scale_gain(white, others):
    """Nats (m,) over N(0, 1) of `others` (m, k) in the mixture of SCALES that fits white (n, k) best.

    By expectation and maximisation (Dempster, Laird and Rubin 1977); only lengths matter.
    """
    known, asked = (
        np.outer(squared_distances(cloud), (1 - SCALES**-2) / 2) - cloud.shape[1] * np.log(SCALES)
        for cloud in (white, others)
    )
    known = np.exp(known - known.max(axis=1, keepdims=True))
    weights = np.full(len(SCALES), 1 / len(SCALES))
    for _ in range(SCALE_STEPS):
        weights *= (1 / (known @ weights)) @ known / len(known)
    return logsumexp(asked, axis=1, b=weights)


def block_scale_gain(white, others):
    """Nats (m,) over N(0, 1) of `others` (m, k) with a scale for each block of components, from white (n, k).

    The log mean square of a block is predicted from those of all earlier blocks, by least squares; what the
    prediction leaves of the scale is a mixture of SCALES again.
    """
    k, gain = white.shape[1], np.zeros(len(others))
    known = [np.ones((len(cloud), 1)) for cloud in (white, others)]
    for start, stop in pairwise([0, *(2**i for i in range(1, k.bit_length()) if 2**i < k), k]):
        parts = [cloud[:, start:stop] for cloud in (white, others)]
        squares = [squared_distances(part).clip(SMALLEST) for part in parts]
        logs = [np.log(lengths / (stop - start)) for lengths in squares]
        weights = np.linalg.lstsq(known[0], logs[0], rcond=None)[0]
        predicted = [columns @ weights for columns in known]
        scaled = [part / np.exp(log / 2)[:, None] for part, log in zip(parts, predicted, strict=True)]
        gain += (squares[1] * -np.expm1(-predicted[1]) - (stop - start) * predicted[1]) / 2
        gain += scale_gain(*scaled)
        known = [np.column_stack(columns) for columns in zip(known, logs, strict=True)]
    return gain


def straighten(white, others):
    """Both clouds (n, k), (m, k) with a quadratic bend taken out, and the logarithm of the volume left.

    Products of the LEADING first components predict all later ones, by ridge regression on `white` with the
    penalty of each by generalised cross-validation (Golub, Heath and Wahba 1979). The rest is whitened by a
    triangular matrix, so that components keep their order.
    """
    k, lead = white.shape[1], min(LEADING, white.shape[1])
    first, second = np.triu_indices(lead)
    p = len(first)

    def expand(rows):
        return np.concatenate([rows[:, first] * rows[:, second], rows[:, lead:]], axis=1)

    known = map_rows(expand, white, p + k - lead)
    mean = known.mean(axis=0, dtype=np.float64)
    covariance = covariance_about(mean, known)
    values, vectors = np.linalg.eigh(covariance[:p, :p])
    slopes, values, errors = vectors.T @ covariance[:p, p:], values[:, None].clip(0), []
    for penalty in RIDGES * values.mean():
        shares, freedom = slopes / (values + penalty), (values / (values + penalty)).sum()
        left = covariance.diagonal()[p:] + np.sum(shares * (values * shares - 2 * slopes), axis=0)
        errors.append(left / (1 - freedom / len(white)) ** 2)
    bend = vectors @ (slopes / (values + RIDGES[np.argmin(errors, axis=0)] * values.mean()))

    def unbend(rows):
        grown = expand(rows) - mean
        return np.concatenate([rows[:, :lead], grown[:, p:] - grown[:, :p] @ bend], axis=1)

    clouds = [map_rows(unbend, cloud, k) for cloud in (white, others)]
    centre = clouds[0].mean(axis=0, dtype=np.float64)
    root = np.linalg.cholesky(covariance_about(centre, clouds[0]) + SMALLEST * np.eye(k))
    whitening = solve_triangular(root, np.eye(k), lower=True).T
    clouds = [map_rows(lambda rows: (rows - centre) @ whitening, cloud, k) for cloud in clouds]
    return clouds, np.log(root.diagonal()).sum()
