"""One run: its profile, its data, and the folder that holds all it makes.

Three sizes of the same study: smoke for tests, quick for a first look, full for the posts' settings.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.files import InputError, project_root, read_json

CELEBA_ATTRIBUTE = "5_o_Clock_Shadow"  # a name that no other face data set uses


def workspace_folder(data, profile_name):
    """Folder of all artefacts of one run: results/<data>-<profile>.

    `data` is None for synthetic faces, else the user's folder or archive, whose name is taken.
    The variable LATENT_FACES_RESULTS puts the results elsewhere, as on a Colab VM.
    """
    results = Path(os.environ.get("LATENT_FACES_RESULTS") or project_root() / "results")
    return results / f"{data_name(data)}-{profile_name}"


def data_name(data):
    """Short name of the data: 'synthetic', or the name of the user's folder or archive."""
    return "synthetic" if data is None else resolve_data(data).stem


def resolve_data(data):
    """Absolute path of the user's data, given relative to the current folder or to the project."""
    for base in (Path.cwd(), project_root()):
        path = (base / Path(data).expanduser()).resolve()
        if path.exists():
            return path
    raise InputError(f"There is no file or folder '{data}'; give DATA the CelebA folder or archive.")


def is_celeba(data, images_folder):
    """True where packed images come from CelebA: not synthetic, and with CelebA's attribute names."""
    manifest = read_json(Path(images_folder) / "manifest.json") or {}
    synthetic = data is None or (resolve_data(data) / "factors.npy").exists()
    return not synthetic and CELEBA_ATTRIBUTE in (manifest.get("attribute_names") or [])


@dataclass(frozen=True)
class Profile:
    """Constants of one run: those of `full`. The comment beside each gives its unit and the posts' value."""

    name: str
    synthetic_images: int = 12_000  # images drawn when no data folder is given; the posts use CelebA
    image_limit: int | None = None  # images taken from a data folder, None: all; posts: 170,000 for training
    epochs: int = 24  # passes over the training images; posts: 24
    variant_epochs: int = 6  # passes for comparisons (precision, batch normalisation); posts: 24
    probe_epochs: int = 2  # passes where many short trainings are compared with each other; posts: 24
    probes: int = 9  # short trainings at most that are compared in one picture; posts: single runs
    classifier_epochs: int = 6  # passes for the classifier whose features judge images; not in the posts
    timed_steps: int = 12  # training steps whose time and memory are measured; posts: whole epochs
    generated_images: int = 1500  # images drawn to judge a network by; posts: a few, by eye
    surrogates: int = 100  # clouds of noise that a statistic of the z-points is compared with; posts: none
    # points of t-SNE maps, as far as data reach; posts: 20, 80, 140, 165 thousand
    map_sizes: tuple[int, ...] = (1_500, 6_000, 20_000, 80_000, 140_000, 165_000)
    compared_points: int = 20_000  # points of t-SNE maps that are compared with each other; posts: 20,000
    cluster_seeds: int = 5  # repetitions of k-means and t-SNE; posts: 2
    seeds: tuple[int, ...] = (1, 2, 3)  # one whole training each, the first is the main one; posts: single
    batch_size: int = 128  # images per training step; posts: 128
    learning_rate: float = 0.0005  # Adam's step size; posts: 0.0005
    z_dim: int = 256  # dimensions of the latent space; posts: 256
    precision: str = "auto"  # "auto", "float32", "mixed_bfloat16" or "mixed_float16"; posts: float32


FULL = Profile(name="full")
QUICK = replace(
    FULL,
    name="quick",
    synthetic_images=4_000,
    image_limit=4_000,
    epochs=3,
    variant_epochs=1,
    probe_epochs=1,
    probes=2,
    classifier_epochs=2,
    timed_steps=3,
    generated_images=400,
    surrogates=20,
    map_sizes=(500, 1_200),
    compared_points=500,
    cluster_seeds=3,
    seeds=(1,),
    batch_size=32,  # four times as many steps as the posts' 128 would make of the same images
)
SMOKE = replace(
    QUICK,
    name="smoke",
    synthetic_images=160,
    image_limit=160,
    epochs=2,
    probes=9,
    classifier_epochs=1,
    timed_steps=1,
    generated_images=16,
    surrogates=3,
    map_sizes=(100, 128),
    compared_points=100,
    cluster_seeds=2,
)
PROFILES = {profile.name: profile for profile in (SMOKE, QUICK, FULL)}


def get_profile(name):
    """Profile called `name`: "smoke", "quick" or "full"."""
    if name not in PROFILES:
        raise InputError(f"There is no profile '{name}'; choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]
