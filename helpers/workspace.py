"""One run: its profile, its data, and the folder that holds all it makes.

Sizes of the same study: smoke for tests, quick for a first look, posts for the posts' numbers of points with
the networks that come with the project, full for training everything with the posts' settings.
"""

import math
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.files import InputError, project_root, read_json, write_json

CELEBA_ATTRIBUTE = "5_o_Clock_Shadow"  # a name that no other face data set uses
SYNTHETIC = "synthetic"  # name of the data that the project draws itself
SYNTHETIC_FILES = ("factors.npy", "synthetic_faces.json")  # lie beside an archive of synthetic faces
OWNER_FILE = "data.json"  # in a results folder: the data that it belongs to
OWNER = {"path": str, "source": dict}  # parts of data.json: path of the data, identity of the images
MOST_NAMESAKES = 100  # data of one name that get a results folder each
STEPS = 4  # of training per epoch, at least, so that few images make several batches
# Images for training, and in each of the other splits, that a notebook needs by its number, and any at all:
# for the perplexity of 05's maps, the components that 06 shows, the mixture and the scores of halves of 08.
FEWEST = {"": (32, 4), "05": (91, 4), "06": (36, 4), "08": (100, 12)}


class TooFewImages(InputError):
    """The images suffice for other notebooks, but not for this one."""


def workspace_folder(data, profile_name, identify=None):
    """Folder of all artefacts of one run: results/<data>-<profile>.

    `data`: None for synthetic faces, else the user's folder or archive, whose name is taken. A folder belongs
    to the data whose path its data.json names, and to the same images at another path, where `identify()` is
    what their manifest says; others get one with a number. LATENT_FACES_RESULTS puts the results elsewhere.
    """
    results = Path(os.environ.get("LATENT_FACES_RESULTS") or project_root() / "results")
    if is_synthetic(data):
        return results / f"{SYNTHETIC}-{profile_name}"
    path, name = resolve_data(data), data_name(data)
    first = 2 if name.lower() == SYNTHETIC else 1
    names = [name if number == 1 else f"{name}-{number}" for number in range(first, MOST_NAMESAKES)]
    names.append(path.stem)  # in earlier versions, of a folder with a dot in its name
    folders = [results / f"{each}-{profile_name}" for each in names]
    owners = list(map(read_owner, folders))
    for folder, owner in zip(folders, owners, strict=True):
        if owner and (owner.get("path") == str(path) or (identify and owner.get("source") == identify())):
            return folder
    return folders[owners.index({})]


def read_owner(folder):
    """What is known of the data that a results folder belongs to: their "path", the images' "source"."""
    for place in (folder / OWNER_FILE, folder / "images" / "manifest.json"):
        with suppress(InputError):  # damaged: it is written anew
            known = read_json(place, dict) or {}
            if owner := {key: known[key] for key, kind in OWNER.items() if isinstance(known.get(key), kind)}:
                return owner
    return {}


def claim_folder(folder, data, **source):
    """Note in a results folder that it belongs to `data`, and the "source" of its images once it is known."""
    known = read_owner(folder)
    if known != (owner := {**known, "path": str(resolve_data(data)), **source}):
        write_json(folder / OWNER_FILE, owner)


def is_synthetic(data):
    """Whether `data` stands for the faces that the project draws itself: None, or an empty text."""
    return data is None or data == ""


def data_name(data):
    """Short name of the data: 'synthetic', or the name of the user's folder or archive."""
    if is_synthetic(data):
        return SYNTHETIC
    path = resolve_data(data)
    return (path.name if path.is_dir() else path.stem) or "data"


def resolve_data(data):
    """Absolute path of the user's data, given relative to the current folder or to the project."""
    if not isinstance(data, (str, os.PathLike)):
        raise InputError(f"DATA must be None or the path of a folder or archive in quotes, not {data!r}.")
    for base in (Path.cwd(), project_root()):
        path = (base / Path(data).expanduser()).resolve()
        if path.exists():
            return path
    raise InputError(f"There is no file or folder '{data}'; give DATA the CelebA folder or archive.")


def is_celeba(data, images_folder):
    """True where packed images come from CelebA, as their manifest says; those of earlier versions do not."""
    if is_synthetic(data):
        return False
    manifest = read_json(Path(images_folder) / "manifest.json") or {}
    if "celeba" in manifest:
        return bool(manifest["celeba"])
    path = resolve_data(data)  # then they do if they are not synthetic, and have CelebA's attribute names
    beside = path if path.is_dir() else path.parent
    drawn = any((beside / name).exists() for name in SYNTHETIC_FILES)
    return not drawn and CELEBA_ATTRIBUTE in (manifest.get("attribute_names") or [])


@dataclass(frozen=True)
class Profile:
    """Constants of one run: those of `full`. The comment beside each gives its unit and the posts' value."""

    name: str
    synthetic_images: int = 12_000  # images drawn when no data folder is given; the posts use CelebA
    synthetic_seed: int = 1  # of these; 2: the faces that the networks in helpers/trained have learned from
    trained: bool = False  # whether synthetic faces are encoded by the networks that come with the project
    image_limit: int | None = None  # images taken from a data folder, None: all; posts: 170,000 for training
    lesson_images: int | None = None  # of them that a network is trained on, None: all; posts: 170,000
    epochs: int = 24  # passes over the training images; posts: 24
    variant_epochs: int = 6  # passes for comparisons (precision, batch normalisation); posts: 24
    probe_epochs: int = 2  # passes where many short trainings are compared with each other; posts: 24
    probes: int = 9  # short trainings at most that are compared in one picture; posts: single runs
    classifier_epochs: int = 6  # passes for the classifier whose features judge images; not in the posts
    timed_steps: int = 12  # training steps whose time and memory are measured; posts: whole epochs
    generated_images: int = 3000  # images drawn to judge a network by, if as many are held out; posts: a few
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
POSTS = replace(
    QUICK,
    name="posts",
    synthetic_images=206_000,
    synthetic_seed=2,
    trained=True,
    image_limit=None,
    lesson_images=20_000,
    generated_images=2_000,
    map_sizes=(20_000, 80_000, 140_000, 164_800),  # the last: all that are trained on
    compared_points=20_000,
    batch_size=128,
)
PROFILES = {profile.name: profile for profile in (SMOKE, QUICK, POSTS, FULL)}


def get_profile(name):
    """Profile called `name`: "smoke", "quick", "posts" or "full"."""
    if name not in list(PROFILES):  # a list, which compares anything
        raise InputError(f"There is no profile '{name}'; choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]


def fit_profile(profile, notebook, train, held_out):
    """`profile` with sizes that so many images allow, and lines on what follows from their number.

    `train` images are trained on, `held_out` are in the smaller of the other splits. InputError names the
    number that is needed: TooFewImages where only this `notebook`, by the number it begins with, needs it.
    """
    short = [number for number, (n, m) in FEWEST.items() if train < n or held_out < m]
    for number in filter(notebook.startswith, short):
        n, m = FEWEST[number]
        raise (TooFewImages if number else InputError)(
            f"Notebook {notebook} needs {n} images for training and {m} in each of the other splits, "
            f"here are {train} and {held_out}: give DATA at least {max(math.ceil(n / 0.8), 10 * m)}."
        )
    sizes = {
        "batch_size": min(profile.batch_size, max(train // STEPS, 2)),
        "map_sizes": tuple(sorted({min(size, train) for size in profile.map_sizes})),
        "compared_points": min(profile.compared_points, train),
    }
    said = [f"{name} {size}" for name, size in sizes.items() if size != getattr(profile, name)]
    lines = []
    if said:
        lines = [f"{train:,} training images, {held_out:,} held out; sizes follow them: {', '.join(said)}."]
    if short:
        lines.append(f"They are too few for notebook {' and '.join(short)}.")
    return replace(profile, **sizes), lines
