"""How good images or z-points are: arrays in, figures out.

`features` (n, d) of images and `reference` (m, d) of real ones come from one and the same network.
"""

from collections import namedtuple

import numpy as np
from sklearn.metrics import pairwise_distances

from helpers.files import InputError
from helpers.latent.pieces import asks

SEED = 1  # of all divisions: images that are compared with each other are divided alike
REPEATS = 8  # random divisions into parts
PARTS = (1, 2, 3)  # equal parts in which images are compared, to see how their number matters
NEIGHBOURS = 5  # of a real image, as far as its ball reaches; Naeem et al. 2020 take 5
POOL = 6  # pixels of a side that become one in a thumbnail: 16 by 16 are left of 96 by 96
BORDER = 8  # pixels: width of the frame whose contrast stands for the background
TRAITS = ("brightness", "contrast", "border contrast", "distance to the mean image")
Repeated = namedtuple("Repeated", "mean deviation values")  # of one draw; the mean errs by deviation / √s


def repeat(rows):
    """`Repeated` by name, over the seeds, of at least 2 `rows`, dicts of the same names → numbers."""
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {name: Repeated(float(x.mean()), float(x.std(ddof=1)), x) for name, x in columns.items()}


def _of_parts(statistic, arrays, parts, repeats):
    """Statistic of each part in `repeats` random divisions of the arrays: float64 (repeats · parts,)."""
    rng, values = np.random.default_rng(SEED), []
    for _ in range(repeats if parts > 1 else 1):
        divisions = [np.array_split(rng.permutation(len(array)), parts) for array in arrays]
        for rows in zip(*divisions, strict=True):
            values.append(statistic(*(array[part] for array, part in zip(arrays, rows, strict=True))))
    return np.array(values, dtype=np.float64)


@asks(images="n h w c", reconstructions="n h w c", mean_image="h w c")
def explained_variance_share(images, reconstructions, mean_image):
    """Share of the images' variance about `mean_image` that reconstructions explain (1: all, 0: none).

    Images are (n, height, width, channels). The null hypothesis, `mean_image` as every answer, gets 0.
    """
    residual = np.square(images - reconstructions).mean(dtype=np.float64)
    variance = np.square(images - mean_image).mean(dtype=np.float64)
    if not variance:
        raise InputError("All images are the mean image, so there is no variance to explain; take others.")
    return float(1 - residual / variance)


@asks(images="n h w c", others="n h w c")
def image_difference(images, others):
    """Root mean square difference (n,) between images of one row, both (n, height, width, channels)."""
    return np.sqrt(np.square(images - others).mean(axis=(1, 2, 3), dtype=np.float64))


@asks(images="n h>=6 w>=6 c")
def shrink_images(images):
    """Thumbnails (n, values), bytes, of images (n, height, width, channels) in [0, 1]: means of 6×6 pixels.

    Distances between them do not notice that decoded images are blurred, and hardly that bytes are rounded:
    by 0.3 grey levels, where the next image is some 20 away.
    """
    n, height, width, channels = images.shape
    if height % POOL or width % POOL:
        raise InputError(f"Thumbnails need sides of a multiple of {POOL} pixels, not {height} × {width}.")
    blocks = images.reshape(n, height // POOL, POOL, width // POOL, POOL, channels)
    means = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(n, -1)
    return np.rint(255 * means.clip(0, 1)).astype(np.uint8)


@asks(features="n>=2 d", reference="m>=2 d")
def frechet_distance(features, reference):
    """Fréchet distance between the normal distributions fitted to two feature arrays (n, d) and (m, d).

    |mean − mean'|² + Tr(C + C' − 2 (C C')^½), in squared units of the features. Small samples enlarge it:
    compare only distances with equal n and m. Source: Dowson and Landau 1982; Heusel et al. 2017 (FID).
    """
    difference = features.mean(axis=0, dtype=np.float64) - reference.mean(axis=0, dtype=np.float64)
    clouds = (np.cov(array, rowvar=False, dtype=np.float64) for array in (features, reference))
    covariance, other = map(np.atleast_2d, clouds)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(0)).sum()
    return float(difference @ difference + np.trace(covariance) + np.trace(other) - 2 * overlap)


@asks(features="n>=4 d", reference="m>=4 d")
def frechet_limit(features, reference, repeats=REPEATS):
    """Fréchet distance that infinitely many images would have, from equally many of both, (n, d) each.

    The straight line in 1/n through the distances of the whole, its halves and (of 6) its thirds, at 1/n = 0:
    with about the spread of the distance, and below 0 at times for two samples of one distribution. Source:
    Chong and Forsyth 2020. Raises InputError where the numbers of images differ.
    """
    if len(features) != len(reference):
        raise InputError(
            f"{len(features)} images cannot be compared with {len(reference)} real ones, because the Fréchet "
            "distance depends on their number; take equally many."
        )
    arrays, numbers = (features, reference), [parts for parts in PARTS if len(features) >= 2 * parts]
    means = [np.mean(_of_parts(frechet_distance, arrays, parts, repeats)) for parts in numbers]
    return float(np.polyfit(numbers, means, 1)[1])


@asks(features="n d", reference="m>=2 d")
def density_and_coverage(features, reference):
    """How densely generated images lie among real ones, and what share of these have one near: two numbers.

    Each real image has a ball that reaches to its fifth nearest real neighbour, of few to the last. The
    density is the mean number of balls that a generated image lies in, over five: 1 for as densely as the
    real ones, 0 for elsewhere. The coverage is the share of balls that hold a generated image: about 0.97 for
    as many real images, as one is empty with probability 1/2⁵. Needs n·m memory. Source: Naeem et al. 2020.
    """
    between, k = pairwise_distances(reference), min(NEIGHBOURS, len(reference) - 1)
    radii = np.partition(between, k, axis=1)[:, k]  # the nearest of all is itself
    inside = pairwise_distances(reference, features) < radii[:, None]
    return float(inside.sum() / (k * len(features))), float(inside.any(axis=1).mean())


@asks(distances="n>=2", held_out="m>=2")
def score_newness(distances, held_out):
    """How far draws lie from the nearest training example, held-out ones being 1, by medians.

    Of `nearest_distances`, (n,) and (m,). Below 1: copies. Above: where no example lies.
    """
    if not (middle := np.median(held_out)):
        raise InputError("Half of the held-out images are training examples too; take others.")
    return float(np.median(distances) / middle)


def image_traits(batches):
    """Traits of images, a dict name -> float64 (n,), for the names in TRAITS.

    `batches` (`images.ImageBatches`, not shuffled) is gone through twice. Brightness is the mean over pixels
    and channels, contrast their standard deviation; that of the border is taken over a frame of 8 pixels. The
    distance to the mean image is a root mean square too. For IX-017.
    """
    sums = [images.sum(axis=0, dtype=np.float64) for images, *_ in batches]
    mean_image = (np.sum(sums, axis=0) / len(batches.rows)).astype(np.float32)
    rows = [measure_traits(images, mean_image) for images, *_ in batches]
    return dict(zip(TRAITS, np.concatenate(rows, axis=1), strict=True))


@asks(images="n h w 3", mean_image="h w 3")
def measure_traits(images, mean_image):
    """The four traits (4, n), float64, of images (n, height, width, 3)."""
    frame = np.ones(images.shape[1:3], dtype=bool)
    frame[BORDER:-BORDER, BORDER:-BORDER] = False
    pixels, border = images.reshape(len(images), -1), images[:, frame].reshape(len(images), -1)
    distance = np.sqrt(np.square(images - mean_image).mean(axis=(1, 2, 3), dtype=np.float64))
    spreads = [values.std(axis=1, dtype=np.float64) for values in (pixels, border)]
    return np.array([pixels.mean(axis=1, dtype=np.float64), *spreads, distance])


@asks(images="n h w 3")
def mirror_correlations(images):
    """Mean Pearson correlation over images of a pixel with its mirror image, and with a random pixel.

    Of the brightness of images (n, height, width, 3); one seeded permutation makes partners. For VIII-014.
    """
    grey = images.mean(axis=3, dtype=np.float64)
    grey = (grey - grey.mean(axis=0)) / grey.std(axis=0).clip(1e-9)
    shuffled = grey.reshape(len(grey), -1)[:, np.random.default_rng(0).permutation(grey[0].size)]
    partners = grey[:, :, ::-1], shuffled.reshape(grey.shape)
    return tuple(float((grey * partner).mean()) for partner in partners)
