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
    density_and_coverage,
    frechet_distance,
    frechet_limit,
    image_difference,
    repeat,
    score_newness,
    shrink_images,
)

SHOWN = 8  # images of each draw in a sheet
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


def count_judged(folder, at_most):
    """Number of images that all comparisons take: `at_most`, and no more than both held-out splits have.

    Raises InputError where they have too few for the limits of halves.
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


def judge(standard, z, images=None):
    """Figures by name of z-vectors (n, d) and the images they decode to, if not given; n as in the standard.

    Those of `judge_images`, and two more. An image is idempotent if encoding and decoding it again changes it
    no more than 99 % of the reconstructions. That is blind to variety: read it together with the coverage.
    """
    images = predict(standard.decoder, z) if images is None else images
    found, drift = judge_images(standard, images), measure_drift(*standard[:2], images)
    of_points = {
        "share that is idempotent": float(np.mean(drift <= standard.threshold)),
        "nearest z": score_newness(nearest_distances(z, standard.train_z), standard.near_z),
    }
    return found | of_points


def measure_drift(encoder, decoder, images):
    """Root mean square (n,) of what encoding and decoding changes in decoded images; small for faces."""
    return image_difference(predict(decoder, predict(encoder, images)), images)


def judge_seeds(standard, draw, seeds=SEEDS, other=None):
    """What several draws are worth: the figures of `judge` by name, each `scores.Repeated` over the seeds.

    `draw(n, rng)` gives z-vectors (n, d). Beside them the "ratio" of the limits of draws and
    reconstructions; "other ratio" by the features of the standard `other`. Networks, test images and z-points
    are the same for all seeds: what other ones would change comes on top.
    """
    spaces = {"ratio": standard} | ({"other ratio": other} if other else {})
    rebuilt, rows = predict(standard.decoder, standard.held_out_z), []
    bases = {name: _limit(space, rebuilt) for name, space in spaces.items()}
    for seed in seeds:
        z = draw(len(rebuilt), np.random.default_rng(seed))
        images = predict(standard.decoder, z)
        judged = judge(standard, z, images)
        limits = {"ratio": judged["limit"]} | ({"other ratio": _limit(other, images)} if other else {})
        rows.append(judged | {name: limit / bases[name] for name, limit in limits.items()})
    return repeat(rows)


def _limit(standard, images):
    return frechet_limit(predict(standard.features, images), standard.test)


def judge_images(standard, images):
    """Figures by name of images (n, height, width, 3), decoded or real; "limit" is that of many images."""
    features = predict(standard.features, images)
    near = nearest_distances(shrink_images(images), standard.train_thumbnails)
    density, coverage = density_and_coverage(features, standard.test)
    return {
        "Fréchet distance": frechet_distance(features, standard.test),
        "density": density,
        "coverage": coverage,
        "nearest image": score_newness(near, standard.near_images),
        "limit": frechet_limit(features, standard.test),
    }


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
