"""All faults by number. A case's number is the seed of all that is random in it: it can be repeated."""

from typing import NamedTuple

PLAIN = ("flip", "cut", "empty", "delete", "folder")
JSON = ("digit", "cut", "empty", "delete", "folder", "brackets", "braces", "key")
ARRAY = (*PLAIN, "other")
THERE = tuple(fault for fault in JSON if fault != "delete")  # what is deleted in MyDrive is done without
FRESH, DONE, MIDWAY = "fresh", "done", "midway"  # before a first run, after it, and when it was killed in it
HOME, ARCHIVE = "results/synthetic-smoke/", "results/synthetic-smoke/archive/"
DRIVE = "MyDrive/latent_faces/results/celeba-full/"
# Route, state of the folder, file (a pattern), damages.
SPOILED = (
    ("faces", DONE, "drawn/img_align_celeba.zip", PLAIN),
    ("faces", DONE, "drawn/factors.npy", ARRAY),
    ("faces", DONE, "drawn/list_attr_celeba.txt", (*PLAIN, "other")),
    ("faces", DONE, "drawn/list_eval_partition.txt", (*PLAIN, "other")),
    ("faces", DONE, "drawn/factor_names.txt", (*PLAIN, "other")),
    ("faces", DONE, "drawn/synthetic_faces.json", JSON),
    ("pack", DONE, "packed/images.npy", ARRAY),
    ("pack", DONE, "packed/attributes.npy", ARRAY),
    ("pack", DONE, "packed/splits.npy", ARRAY),
    ("pack", DONE, "packed/names.txt", (*PLAIN, "other")),
    ("pack", DONE, "packed/manifest.json", JSON),
    ("pack", MIDWAY, "packed/.images.journal", (*JSON[:-1], "other")),
    ("pack", MIDWAY, "packed/.images.unfinished.npy", ("flip", "cut", "empty", "delete", "folder")),
    ("pack", FRESH, "drawn/img_align_celeba.zip", (*PLAIN, "page")),
    ("pack", FRESH, "drawn/list_attr_celeba.txt", ("cut", "empty", "folder", "page")),
    ("pack", FRESH, "drawn/list_eval_partition.txt", ("cut", "empty", "folder", "page")),
    ("pack", DONE, "drawn/list_eval_partition.txt", ("edit",)),
    ("photos", FRESH, "photos/000007.jpg", ("cut", "empty", "page")),
    ("photos", DONE, "photos/000007.jpg", ("cut", "empty", "page", "edit")),
    ("photos", DONE, "packed/images.npy", ARRAY),
    ("photos", DONE, "packed/manifest.json", JSON),
    ("study", DONE, ARCHIVE + "img_align_celeba.zip", PLAIN),
    ("study", DONE, ARCHIVE + "list_attr_celeba.txt", (*PLAIN, "other")),
    ("study", DONE, ARCHIVE + "list_eval_partition.txt", (*PLAIN, "other")),
    ("study", DONE, ARCHIVE + "factors.npy", PLAIN),
    ("study", DONE, ARCHIVE + "synthetic_faces.json", JSON),
    ("study", DONE, HOME + "images/images.npy", ARRAY),
    ("study", DONE, HOME + "images/attributes.npy", ARRAY),
    ("study", DONE, HOME + "images/splits.npy", ARRAY),
    ("study", DONE, HOME + "images/names.txt", (*PLAIN, "other")),
    ("study", DONE, HOME + "images/manifest.json", JSON),
    ("study", DONE, HOME + "autoencoder/state.json", (*JSON, "stranger")),
    ("study", DONE, HOME + "autoencoder/epoch-*.weights.h5", PLAIN),
    ("study", DONE, HOME + "autoencoder/z_points.npy", ARRAY),
    ("study", DONE, HOME + "autoencoder/z_points.json", JSON),
    ("study", DONE, HOME + "vae/state.json", JSON),
    ("study", DONE, HOME + "vae/epoch-*.weights.h5", PLAIN),
    ("study", DONE, HOME + "vae/mu.npy", ARRAY),
    ("study", DONE, HOME + "vae/mu.json", JSON),
    ("study", DONE, HOME + "vae/logvar.npy", ARRAY),
    ("study", DONE, HOME + "vae/z_points.npy", ARRAY),
    ("study", DONE, HOME + "classifier/state.json", JSON),
    ("study", DONE, HOME + "classifier/epoch-*.weights.h5", PLAIN),
    ("study", DONE, HOME + "maps/*.npy", ARRAY),
    ("study", DONE, HOME + "maps/*.json", JSON),
    ("study", DONE, HOME + "measurements.json", ("cut", "empty", "folder", "braces")),
    ("publish", DONE, DRIVE + "published.json", (*JSON, "climb")),
    ("publish", FRESH, DRIVE + "autoencoder/published.json", (*JSON, "climb")),
    ("publish", FRESH, "vm/autoencoder/.mydrive.json", JSON),
    ("publish", FRESH, DRIVE + "autoencoder/epoch-*.h5", PLAIN),
    ("restore", FRESH, DRIVE + "published.json", (*THERE, "climb")),
    ("restore", FRESH, DRIVE + "autoencoder/published.json", (*THERE, "climb")),
    ("restore", FRESH, DRIVE + "autoencoder/epoch-0004.*.h5", PLAIN),
    ("restore", FRESH, DRIVE + "maps/z.*.npy", PLAIN),
    ("restore", FRESH, "vm/autoencoder/.mydrive.json", JSON),
    ("restore", DONE, "vm/autoencoder/.mydrive.json", JSON),
    ("copy", FRESH, "MyDrive/data.zip", PLAIN),
    ("copy", FRESH, "MyDrive/data.zip.manifest.json", JSON),
    ("copy", DONE, "vm/data.zip", PLAIN[:-1]),
    ("copy", DONE, "vm/data.zip.manifest.json", JSON),
    ("colab", FRESH, "drive/MyDrive/latent_faces/latent_faces.zip", (*PLAIN[:-1], "page")),
    ("colab", DONE, "drive/MyDrive/latent_faces/latent_faces.zip", (*PLAIN[:-1], "page")),
    ("colab", DONE, "latent_faces/.unpacked", PLAIN),
    ("colab", DONE, "latent_faces/photos.zip", PLAIN[:-1]),
    ("colab", DONE, "latent_faces/photos.zip.manifest.json", JSON),
)
KILL_AT_CALL, KILL_AT_MOMENT, TWO_KILLS = "killed at a call", "killed at a moment", "killed twice"
FULL_DISK, FILE_LIMIT = "full disk", "files cannot grow"
LOST, PASSING, FALTERING = "drive lost", "drive away for a while", "drive falters"
REFUSING = "drive refuses"  # to be written to or, where it is only read, to be read
ON_PROCESS = (KILL_AT_CALL, KILL_AT_MOMENT, TWO_KILLS, FULL_DISK, FILE_LIMIT)
ON_DRIVE = (LOST, PASSING, FALTERING, REFUSING)
TIMES = {"faces": 3, "pack": 4, "photos": 2, "study": 4, "publish": 4, "restore": 4, "copy": 4, "colab": 4}
WITH_DRIVE = ("publish", "restore", "copy", "colab")
SAMPLE_EVERY = 19  # cases


class Case(NamedTuple):
    """A fault: on which route, in which state of its folder, of what kind, and at which file."""

    number: int
    route: str
    state: str
    fault: str
    where: str = ""

    def __str__(self):
        return f"#{self.number} {self.route}, {self.where or 'process'}: {self.fault}"


def list_cases():
    """All cases in the order of their numbers."""
    found = [(route, state, fault, where) for route, state, where, faults in SPOILED for fault in faults]
    for route, times in TIMES.items():
        faults = (*ON_PROCESS, *(ON_DRIVE if route in WITH_DRIVE else ()))
        found += [(route, FRESH, fault) for fault in faults for _ in range(times)]
    return [Case(number, *case) for number, case in enumerate(found)]


def sample():
    """Cases for `make test`: some of each route."""
    return list_cases()[::SAMPLE_EVERY]
