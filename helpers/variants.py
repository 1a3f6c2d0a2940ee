"""Short trainings under other conditions: faces of other factors, other networks (VIII-055 to VIII-061)."""

from typing import NamedTuple

import numpy as np

from data_prep.face_factors import DISTRIBUTIONS
from data_prep.prepare_celeba import prepare
from data_prep.synthetic_faces import make_synthetic_faces
from helpers import colab, encoding, models, training
from helpers.images import SYNTHETIC_SEED, ImageBatches, ensure_images
from helpers.workspace import workspace_folder

Z_POINTS = "z_points.npy"


class Variant(NamedTuple):
    """Distribution of the synthetic faces' factors, None: the images at hand; options of the network."""

    factors: str | None
    options: dict


def list_variants(z_dim, synthetic):
    """Variants by name: one change each against the autoencoder of notebook 01 with `z_dim` dimensions.

    `synthetic`: whether the images at hand are those of normal factors, so that one training serves as the
    reference of both kinds of change.
    """
    variants = {} if synthetic else {"reference": Variant(None, {})}
    variants |= {f"{factors} factors": Variant(factors, {}) for factors in DISTRIBUTIONS}
    changes = {f"{z_dim // part} dimensions": {"z_dim": z_dim // part} for part in (4, 2)}
    changes |= {"ReLU": {"activation": "relu"}, "SELU": {"activation": "selu"}}
    changes["batch normalisation"] = {"batch_norm": True}
    return variants | {name: Variant(None, options) for name, options in changes.items()}


def ensure_factor_images(factors, profile):
    """Folder of packed synthetic faces with this distribution of factors, made where it is missing.

    As many faces as `profile` has, with the seed of those of normal factors. About a minute per 12,000.
    """
    if factors == "normal":
        return ensure_images(None, profile)
    place = workspace_folder(None, profile.name) / f"factors-{factors}"
    colab.restore_part(place / "archive")
    make_synthetic_faces(place / "archive", profile.synthetic_images, SYNTHETIC_SEED, factors)
    prepare(place / "archive", place / "images")
    return place / "images"


def variant_z_points(name, variant, images_folder, home, profile, may_train):
    """z-points (n, z_dim) of the train split after a training of `profile.probe_epochs` epochs, or None.

    What an earlier run has kept in the workspace `home` is loaded as it is unless `may_train`; then what is
    missing or belongs to another training is made. None where nothing is kept.
    """
    place = home / f"probe-autoencoder-{name.replace(' ', '-').lower()}"
    if not may_train:
        colab.restore_part(place)
        kept = place / Z_POINTS
        return np.load(kept, allow_pickle=False) if kept.exists() else None
    folder = images_folder if variant.factors is None else ensure_factor_images(variant.factors, profile)
    options = {"z_dim": profile.z_dim, **variant.options}
    network, _ = training.train(models.Autoencoder, folder, place, profile, profile.probe_epochs, **options)
    batches = ImageBatches(folder, "train", profile.batch_size)
    return encoding.encode(network.encoder, batches, place / Z_POINTS)
