"""Drawn z-vectors go through the networks, and their images are compared with real ones."""

from types import SimpleNamespace
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from helpers.files import InputError
from helpers.latent.covariance import fit_pca, transform_pca
from helpers.latent.neighbours import nearest_distances
from helpers.models.encoding import predict
from helpers.models.images import ImageBatches, load_images, rows_of_split
from helpers.models.networks import IMAGE_SHAPE
from helpers.monitor.backend import dtype_policy
from helpers.scores import (
    NEIGHBOURS,
    REPEATS,
    Score,
    frechet_distance,
    frechet_limit,
    image_difference,
    neighbour_coverage,
    neighbour_density,
    repeat,
    score,
    score_newness,
    shrink_images,
)

SHOWN = 8  # images of each draw that are kept for sheets
IDEMPOTENT = 0.99  # of held-out images change no more, encoded and decoded again, than a face may (CII-006)
SEEDS = range(1, 6)  # of draws: one draw of 1,500 may lie two standard deviations off
THUMBNAIL_COMPONENTS = 64
FEWEST = 2 * (NEIGHBOURS + 1)  # images of each split: half of them still have so many neighbours
INCEPTION_SIZE = 299  # pixels of a side of the images that the network was trained on


class Standard(NamedTuple):
    """The networks that look at draws, float32, and what is known of real images.

    test (n, f): features of test images. train_z (m, d) and train_thumbnails (m, t), bytes: of the train
    split. held_out_z (n, d): z-points of validation images. near_z and near_images (n,): their distances,
    and those of their decoded images' thumbnails, to the nearest of the train split. threshold: what 99 % of
    them keep of the drift of the image, the root mean square of D(E(D(z))) − D(z).
    """

    encoder: keras.Model
    decoder: keras.Model
    features: keras.Model
    test: np.ndarray
    train_z: np.ndarray
    train_thumbnails: np.ndarray
    held_out_z: np.ndarray
    near_z: np.ndarray
    near_images: np.ndarray
    threshold: float


class Judgement(NamedTuple):
    """The first images of a draw (8, height, width, 3), and its figures by name: `scores.Score`.

    `limit` is its Fréchet distance with infinitely many images.
    """

    faces: np.ndarray
    scores: dict[str, Score]
    limit: float


def count_judged(folder, at_most):
    """Number of images that all comparisons take: `at_most`, and no more than both held-out splits have.

    Raises InputError where they have too few for scores of their halves.
    """
    n = min(at_most, *(len(rows_of_split(folder, split)) for split in ("test", "valid")))
    if n < FEWEST:
        raise InputError(
            f"Drawn faces are compared with at least {FEWEST} test and {FEWEST} validation images, here are "
            f"{n}; take more images."
        )
    return n


def set_standard(folder, encoder, decoder, features, train_z, held_out_z):
    """`Standard` of as many test images as there are `held_out_z`, from the packed images in `folder`.

    `train_z` (m, d) are the z-points of the train split by `encoder`, `held_out_z` (n, d) those of n
    validation images; all networks compute in float32. Thumbnails of 170,000 training images take 0.13 GB.
    """
    test = rows_of_split(folder, "test")[: len(held_out_z)]
    thumbnails = np.concatenate([shrink_images(batch) for (batch,) in ImageBatches(folder, "train", 512)])
    rebuilt = predict(decoder, held_out_z)
    return Standard(
        encoder,
        decoder,
        features,
        predict(features, load_images(folder, test)),
        train_z,
        thumbnails,
        held_out_z,
        nearest_distances(held_out_z, train_z),
        nearest_distances(shrink_images(rebuilt), thumbnails),
        float(np.quantile(measure_drift(encoder, decoder, rebuilt), IDEMPOTENT)),
    )


def thumbnail_features(standard, n_components=THUMBNAIL_COMPONENTS):
    """Features that no network has learned: the first principal components of the train split's thumbnails.

    Stands for a network, from images (n, height, width, 3) in [0, 1] to float32 (n, n_components). An order
    in which this space and that of a network disagree is none.
    """
    pca = fit_pca(standard.train_thumbnails)
    return SimpleNamespace(
        predict_on_batch=lambda images: transform_pca(pca, shrink_images(np.asarray(images)), n_components)
    )


def change_features(standard, features, folder):
    """The same `Standard` with another network of features, such as `thumbnail_features`."""
    test = rows_of_split(folder, "test")[: len(standard.held_out_z)]
    return standard._replace(features=features, test=predict(features, load_images(folder, test)))


def judge(standard, z, repeats=REPEATS, images=None):
    """`Judgement` of the images that z-vectors (n, d) decode to; n as in the standard; `repeats` of `score`.

    An image is idempotent if encoding and decoding it again changes it no more than 99 % of the
    reconstructions. It is blind to variety: read it together with the coverage.
    """
    images = predict(standard.decoder, z) if images is None else images
    found, drift = judge_images(standard, images, repeats), measure_drift(*standard[:2], images)
    of_points = {
        "share that is idempotent": score(np.mean, drift <= standard.threshold, repeats=repeats),
        "nearest z": score_newness(nearest_distances(z, standard.train_z), standard.near_z),
    }
    return found._replace(scores=found.scores | of_points)


def measure_drift(encoder, decoder, images):
    """Root mean square (n,) of what encoding and decoding changes in decoded images; small for faces."""
    return image_difference(predict(decoder, predict(encoder, images)), images)


def judge_seeds(standard, draw, seeds=SEEDS, other=None):
    """What several draws are worth: the figures of `judge` by name, each `scores.Repeated` over the seeds.

    `draw(n, rng)` gives z-vectors (n, d). Beside them: "limit", and "ratio" of the limits of draws and
    reconstructions; "other ratio" by the features of the standard `other`. Networks, test images and z-points
    are the same for all seeds: what other ones would change comes on top.
    """
    spaces = {"ratio": standard} | ({"other ratio": other} if other else {})
    rebuilt, rows = predict(standard.decoder, standard.held_out_z), []
    bases = {name: _limit(space, rebuilt) for name, space in spaces.items()}
    for seed in seeds:
        z = draw(len(rebuilt), np.random.default_rng(seed))
        images = predict(standard.decoder, z)
        judged = judge(standard, z, 0, images)
        values = {name: figure.value for name, figure in judged.scores.items()} | {"limit": judged.limit}
        limits = {"ratio": judged.limit} | ({"other ratio": _limit(other, images)} if other else {})
        rows.append(values | {name: limit / bases[name] for name, limit in limits.items()})
    return repeat(rows)


def _limit(standard, images):
    return frechet_limit(predict(standard.features, images), standard.test)


def judge_images(standard, images, repeats=REPEATS):
    """`Judgement` of images (n, height, width, 3) that need not have been decoded."""
    features = predict(standard.features, images)
    near = nearest_distances(shrink_images(images), standard.train_thumbnails)
    found = {
        "Fréchet distance": score(frechet_distance, features, standard.test, repeats=repeats),
        "density": score(neighbour_density, features, standard.test, repeats=repeats),
        "coverage": score(neighbour_coverage, features, standard.test, repeats=repeats),
        "nearest image": score_newness(near, standard.near_images),
    }
    return Judgement(images[:SHOWN].copy(), found, frechet_limit(features, standard.test))


def judge_decoded(standard, decoder, z, repeats=REPEATS):
    """`judge_images` of z-vectors (n, d) of another network, by its decoder."""
    return judge_images(standard, predict(decoder, z), repeats)


def load_inception(weights="imagenet"):
    """Network in float32 from images (n, 96, 96, 3) in [0, 1] to InceptionV3's features (n, 2048).

    Keras downloads its own weights, about 90 MB, once. Distances between these features are near those of the
    literature (FID; Heusel et al. 2017), not equal to them: weights and scaling differ. Raises InputError
    where the weights cannot be had.
    """
    try:
        with dtype_policy("float32"):
            images = keras.Input(IMAGE_SHAPE, name="images")
            x = layers.Resizing(INCEPTION_SIZE, INCEPTION_SIZE, name="enlarge")(images)
            x = layers.Rescaling(2.0, -1.0, name="to_minus_one_and_one")(x)
            options = {"include_top": False, "pooling": "avg", "input_tensor": x}
            return keras.applications.InceptionV3(weights=weights, **options)
    except Exception as error:  # Keras raises a plain one when it cannot download
        raise InputError(
            "The weights of InceptionV3 can be neither found nor downloaded here, so its features are left "
            "out; with access to storage.googleapis.com they come by themselves."
        ) from error
