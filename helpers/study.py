"""What a notebook opens: images, networks and z-points of one run."""

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from data_prep.faces.factors import DISTRIBUTIONS
from data_prep.prepare_celeba import prepare, suggest_crop
from data_prep.synthetic_faces import make_synthetic_faces
from helpers.drive import results
from helpers.models import encoding, networks
from helpers.models.encoding import float32_copy
from helpers.models.images import ImageBatches
from helpers.models.networks import AttributeClassifier
from helpers.models.training import fit
from helpers.monitor.readings import free
from helpers.workspace import resolve_data, workspace_folder

SYNTHETIC_SEED = 1
Z_POINTS = "z_points.npy"


def ensure_images(data, profile):
    """Folder of packed images of `data` at `profile`, packed on the spot where it is missing.

    `data` is None for synthetic faces, else a folder or archive of CelebA or of own photos, which keep
    their largest central square. Takes about a minute per
    12,000 synthetic faces, seconds per 12,000 CelebA images; a whole result is taken as it is.
    On Colab the archive, and what was measured, is restored from MyDrive before its first use.
    """
    workspace = workspace_folder(data, profile.name)
    new = results.restore_workspace(workspace)
    if data is None:
        archive = workspace / "archive"
        make_synthetic_faces(archive, count=profile.synthetic_images, seed=SYNTHETIC_SEED)
        prepare(archive, workspace / "images")
    else:
        images = resolve_data(data)
        prepare(images, workspace / "images", crop=suggest_crop(images), limit=profile.image_limit)
    if new:
        results.publish_workspace(workspace)
    return workspace / "images"


def train(kind, images_folder, target, profile, epochs=None, seed=None, **options):
    """Train a new model of class `kind` in the folder `target`, or load it from there; (model, log).

    Sets the seed of everything that follows. `epochs` and `seed` are the profile's unless given,
    `options` those of the model. The settings are those of notebook 01's main training.
    """
    free()
    seed = profile.seeds[0] if seed is None else seed
    keras.utils.set_random_seed(seed)
    model = kind(**options)
    labelled = {"attributes": kind is AttributeClassifier}
    batches = ImageBatches(images_folder, "train", profile.batch_size, shuffle=True, seed=seed, **labelled)
    valid = ImageBatches(images_folder, "valid", profile.batch_size, **labelled)
    return model, fit(model, batches, valid, epochs or profile.epochs, target, profile.learning_rate)


def train_features(images_folder, target, profile):
    """Network in float32 from images to the features (n, 128) of an `AttributeClassifier`; its log.

    The classifier is trained on the train split of `images_folder` and kept in `target`. Images without
    attributes (own photos) are judged by a classifier of synthetic faces.
    """
    if not (Path(images_folder) / "attributes.npy").exists():
        images_folder = ensure_images(None, profile)
    classifier, log = train(
        AttributeClassifier, images_folder, target, profile, epochs=profile.classifier_epochs
    )
    return float32_copy(classifier.features), log


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
    results.restore_part(place / "archive")
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
        results.restore_part(place)
        kept = place / Z_POINTS
        return np.load(kept, allow_pickle=False) if kept.exists() else None
    folder = images_folder if variant.factors is None else ensure_factor_images(variant.factors, profile)
    options = {"z_dim": profile.z_dim, **variant.options}
    network, _ = train(networks.Autoencoder, folder, place, profile, profile.probe_epochs, **options)
    batches = ImageBatches(folder, "train", profile.batch_size)
    return encoding.encode(network.encoder, batches, place / Z_POINTS)
