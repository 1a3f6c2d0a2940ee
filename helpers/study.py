"""What a notebook opens: one run's images, networks and z-points, and the record of what it measures.

run = study.open("04_densities_and_radius", PROFILE, DATA)
z, z_vae = run.z_points("autoencoder"), run.z_points("tiny-KL VAE")
run.record("CII-020", 256)
run.close()

What MyDrive holds is restored before its first use, and what is made is published, so that networks and
statistics know no MyDrive.
"""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from data_prep.faces.factors import DISTRIBUTIONS
from data_prep.packing.decoding import decode
from data_prep.packing.sources import BadImage, find_source
from data_prep.prepare_celeba import CELEBA_CROP, CELEBA_EXTENT, prepare
from data_prep.synthetic_faces import make_synthetic_faces
from helpers import posts
from helpers.drive import results
from helpers.files import InputError, load_array, read_json, shown_path
from helpers.models.encoding import VARIATIONAL, encode, encode_variational, float32_copy
from helpers.models.images import SPLITS, ImageBatches, rows_of_split
from helpers.models.networks import IMAGE_SHAPE, AttributeClassifier, Autoencoder, VariationalAutoencoder
from helpers.models.training import STATE_FILE, TRAINED, choose_precision, fit, load_model
from helpers.monitor.readings import free
from helpers.reporting import note
from helpers.workspace import (
    Profile,
    claim_folder,
    fit_profile,
    get_profile,
    is_celeba,
    is_synthetic,
    resolve_data,
    workspace_folder,
)

STRICT_VARIABLE = "LATENT_FACES_STRICT"  # set by `make run STRICT=1`
Z_POINTS = "z_points.npy"


class Network(NamedTuple):
    """A network of the series: its class, its options, and the folder of a run that keeps it."""

    kind: type
    folder: str
    options: dict


NETWORKS = {
    "autoencoder": Network(Autoencoder, "autoencoder", {}),
    "tiny-KL VAE": Network(VariationalAutoencoder, "vae-fact-1e-5", {"fact": 1e-5}),
    "fact-5 VAE": Network(VariationalAutoencoder, "vae-fact-5", {"fact": 5.0}),
    "fact-5 VAE, extra Dense": Network(
        VariationalAutoencoder, "vae-fact-5-extra-dense-256", {"fact": 5.0, "extra_dense": 256}
    ),
    "classifier": Network(AttributeClassifier, "classifier", {"activation": "leaky_relu"}),
}


@dataclass
class Study:
    """One notebook's run. home: folder of all it makes; images: folder of the packed images.

    seed: of the main trainings; precision: that networks are trained in; values: id → number, units: id →
    unit of what is recorded.
    """

    notebook: str
    profile: Profile
    data: str | None
    home: Path
    images: Path
    precision: str
    values: dict = field(default_factory=dict)
    units: dict = field(default_factory=dict)

    @property
    def seed(self):
        """Seed of the main trainings and of all draws."""
        return self.profile.seeds[0]

    def rows(self, split):
        """Row numbers (n,), int64, of a split: "train", "valid", "test", None: all; or these numbers."""
        return rows_of_split(self.images, split) if split is None or isinstance(split, str) else split

    def batches(self, split=None, **options):
        """`ImageBatches` of a split in the order of the file, None: of all; `options` as there."""
        return ImageBatches(self.images, split, self.profile.batch_size, **options)

    def place(self, name):
        """Folder `name` of this run, brought up to what MyDrive holds of it."""
        results.restore_part(self.home / name)
        return self.home / name

    def train(self, kind, folder, epochs=None, seed=None, images=None, **options):
        """Train a new network of class `kind` in `folder` of this run, or load it from there: (model, log).

        `epochs` and `seed` are the profile's unless given, `images` those of the run, `options` the model's.
        Gives back memory that nothing refers to any more (`monitor.free`) and sets all seeds first.
        """
        free()
        seed, place = self.seed if seed is None else seed, self.place(folder)
        keras.utils.set_random_seed(seed)
        model = kind(**options)
        how = {"batch_size": self.profile.batch_size, "attributes": kind is AttributeClassifier}
        how["limit"] = self.profile.lesson_images
        train = ImageBatches(images or self.images, "train", shuffle=True, seed=seed, **how)
        valid = ImageBatches(images or self.images, "valid", **how)
        publish = results.background_publisher(place)
        epochs = epochs or self.profile.epochs
        return model, fit(model, train, valid, epochs, place, self.profile.learning_rate, publish)

    def network(self, name, seed=None):
        """The network called `name` in NETWORKS, trained or loaded; `seed` unless it is the run's own.

        On synthetic faces, where the profile says so, it is the one that comes with the project.
        """
        (kind, _, options), folder = NETWORKS[name], self._folder(name, seed)
        if self._comes_along(folder):
            return load_model(TRAINED / folder)
        judges = kind is AttributeClassifier
        how = {"epochs": self.profile.classifier_epochs} if judges else {"z_dim": self.profile.z_dim}
        return self.train(kind, folder, seed=seed, **how, **options)[0]

    def log(self, name, seed=None):
        """Log of a network, or folder, that was trained: a list of rows, one per epoch, as of `fit`."""
        folder = self._folder(name, seed)
        return read_json((TRAINED if self._comes_along(folder) else self.home) / folder / STATE_FILE)["log"]

    def _folder(self, name, seed=None):
        folder = NETWORKS[name].folder if name in NETWORKS else name
        return folder if seed in (None, self.seed) else f"{folder}-seed-{seed}"

    def _comes_along(self, folder):
        return self.profile.trained and self.data is None and (TRAINED / folder).is_dir()

    def z_points(self, name, split="train", seed=None):
        """z-points (n, z_dim), float32, of a split, or of these row numbers, by the network `name`.

        What was encoded before is loaded. The z-points of a VAE are one draw from its clouds.
        """
        if NETWORKS[name].kind is VariationalAutoencoder:
            return self.clouds(name, split, seed, wanted=["z_points"])[0]
        return self.encode(self.network(name, seed), self._folder(name, seed), split)

    def clouds(self, name, split="train", seed=None, wanted=VARIATIONAL):
        """mu, logvar and z_points, or those that are `wanted`, each (n, z_dim), of a VAE: a list."""
        place = self.home / self._folder(name, seed)
        return encode_variational(self.network(name, seed), self.batches(), place, self.rows(split), wanted)

    def encode(self, autoencoder, folder, split="train"):
        """z-points (n, z_dim), float32, of a split or of row numbers; those of all are kept in `folder`."""
        return encode(autoencoder.encoder, self.batches(), self.home / folder / Z_POINTS, self.rows(split))

    def features(self):
        """Network in float32 from images to the features (n, 128) of the attribute classifier.

        Images without attributes (own photos) are judged by the classifier that comes with the project.
        """
        if not (self.images / "attributes.npy").exists():
            return load_model(TRAINED / "classifier").features
        return float32_copy(self.network("classifier").features)

    def record(self, name, value=None, unit=None, noise=None):
        """Keep the number `value` under an id of the checklist, or under another `name` with its `unit`.

        `noise` is the same quantity of the null hypothesis. A dict id → value keeps several at once; then
        `noise` is a dict as well.
        """
        if isinstance(name, dict):
            for each, number in name.items():
                self.record(each, number, unit, noise and noise[each])
            return
        if noise is not None:
            self.record(name + posts.SURROGATE_SUFFIX, noise, unit)
        self.values[name], self.units[name] = value, unit

    def celeba(self, name):
        """What the committed measuring run on CelebA found under this id; NaN where it has nothing."""
        return posts.celeba_values().get(name, np.nan)

    def close(self, also=()):
        """Save and publish what was recorded; the table of the posts' statements that the notebook is about.

        `also`: ids of rows that a later notebook measures and this one mentions.
        """
        posts.save_measurements(self.home, self.notebook, self.values, self.units)
        results.publish(self.home)
        number = self.notebook[:2] if self.notebook[:2].isdigit() else self.notebook
        on_celeba = is_celeba(self.data, self.images)
        return posts.comparison_table(self.values, number, len(self.rows("train")), on_celeba, also)


def open(notebook, profile_name="quick", data=None, z_dim=None, epochs=None, seeds=None, strict=None):
    """`Study` of a notebook, its images made where they are missing.

    `z_dim`, `epochs` and `seeds` are the profile's unless given; a run with others has a folder of its own
    within that of the profile, and shares its images. `strict` is as in `ensure_images`. Sizes of the profile
    that the images do not allow are lowered, which is said; InputError where the notebook needs more images.
    """
    data = None if is_synthetic(data) else data
    profile, asked = get_profile(profile_name), {"z_dim": z_dim, "epochs": epochs, "seeds": seeds}
    changes = {name: value for name, value in asked.items() if value not in (None, getattr(profile, name))}
    images = ensure_images(data, profile, strict)
    home = images.parent
    if changes:
        profile = replace(profile, trained=False)
        home /= "-".join(f"{name}-{'-'.join(map(str, np.ravel(value)))}" for name, value in changes.items())
    train, *held_out = (len(rows_of_split(images, split)) for split in SPLITS)
    profile, lines = fit_profile(replace(profile, **changes), notebook, train, min(held_out))
    for line in lines:
        note(line)
    return Study(notebook, profile, data, home, images, choose_precision(profile.precision))


def ensure_images(data, profile, strict=None):
    """Folder of packed images of `data` at `profile`, packed on the spot where it is missing.

    `data` is None for synthetic faces, else a folder or archive of CelebA or of own photos, which keep their
    largest central square. Takes about a minute per 12,000 synthetic faces, seconds per 12,000 CelebA images;
    a whole result is taken as it is. On Colab the archive, and what was measured, is restored from MyDrive.
    `strict`: whether damaged photos are refused instead of left out; else as the variable LATENT_FACES_STRICT
    says, and else as `prepare` has it.
    """
    place, workspace = None if data is None else resolve_data(data), None
    while workspace != (found := workspace_folder(place, profile.name, lambda: find_source(place).identity)):
        workspace = found  # what MyDrive holds under this name may belong to other data
        new = results.restore_workspace(workspace)
    if data is None:
        archive = workspace / "archive"
        make_synthetic_faces(archive, count=profile.synthetic_images, seed=profile.synthetic_seed)
        prepare(archive, workspace / "images")
    else:
        if strict is None and os.environ.get(STRICT_VARIABLE):
            strict = True
        claim_folder(workspace, place)
        packed = prepare(place, workspace / "images", limit=profile.image_limit, strict=strict)
        claim_folder(workspace, place, source=packed["source"])
    if new:
        results.publish(workspace)
    return workspace / "images"


def photo(path):
    """A photo as networks take it, (96, 96, 3), float32 in [0, 1]; decoded, cut and scaled as by `prepare`.

    Of a picture of CelebA's extent the central 148 pixels, of others the largest central square. Raises
    InputError for a file that is no photo.
    """
    try:
        data = Path(path).expanduser().read_bytes()
        crop = CELEBA_CROP if "×".join(map(str, decode(data, 0, 1)[1])) == CELEBA_EXTENT else 0
        return decode(data, crop, IMAGE_SHAPE[0])[0].astype(np.float32) / np.float32(255)
    except (OSError, BadImage) as error:
        reason = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else error
        raise InputError(f"{shown_path(path)} {reason}; give the path of a photo.") from error


class Variant(NamedTuple):
    """Distribution of the synthetic faces' factors, None: the images at hand; options of the network."""

    factors: str | None
    options: dict


def list_variants(z_dim, synthetic):
    """Variants by name: one change each against the autoencoder with `z_dim` dimensions; for VIII-055 to 061.

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
    make_synthetic_faces(place / "archive", profile.synthetic_images, profile.synthetic_seed, factors)
    prepare(place / "archive", place / "images")
    return place / "images"


def variant_z_points(run, name, variant, may_train):
    """z-points (n, z_dim) of the train split after a training of `profile.probe_epochs` epochs, or None.

    What an earlier run has kept is loaded as it is unless `may_train`; then what is missing or belongs to
    another training is made. None where nothing is kept.
    """
    folder = f"probe-autoencoder-{name.replace(' ', '-').lower()}"
    kept = run.place(folder) / Z_POINTS
    if not may_train:
        return load_array(kept) if kept.exists() else None
    images = run.images if variant.factors is None else ensure_factor_images(variant.factors, run.profile)
    options = {"z_dim": run.profile.z_dim, **variant.options}
    network, _ = run.train(Autoencoder, folder, run.profile.probe_epochs, images=images, **options)
    return encode(network.encoder, ImageBatches(images, "train", run.profile.batch_size), kept)
