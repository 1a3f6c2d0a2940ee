"""Packed images: checked against their manifest, opened memory-mapped, handed out in batches."""

from contextlib import suppress
from pathlib import Path

import keras
import numpy as np

from helpers.files import InputError, read_json, sha256_of, sha256_once, shown_path, write_json

IMAGES, SPLIT_CODES, ATTRIBUTES, MANIFEST = "images.npy", "splits.npy", "attributes.npy", "manifest.json"
PACKED = (IMAGES, SPLIT_CODES, ATTRIBUTES, "names.txt")
REMEDY = "delete the folder {}, and the next run packs the images anew"
SPLITS = {"train": 0, "valid": 1, "test": 2}  # codes in splits.npy, as in CelebA's partition file


def rows_of_split(folder, split):
    """Row numbers (int64) of one split of images.npy in ascending order; `split` None: all rows."""
    codes = _load_checked(folder, SPLIT_CODES)
    return np.arange(len(codes)) if split is None else np.flatnonzero(codes == SPLITS[split])


def load_images(folder, rows):
    """Images in the order of `rows`: float32 in [0, 1], (n, height, width, 3).

    The file is mapped for this one read only: pages of a mapping that stays open count as memory
    of the process, and after an epoch the whole file would be among them.
    """
    _check(folder, IMAGES)
    return _read_images(folder, rows)


def _read_images(folder, rows):
    images = np.load(Path(folder) / IMAGES, mmap_mode="r", allow_pickle=False)
    return images[rows].astype(np.float32) / np.float32(255)


def load_attributes(folder):
    """Attributes int8 0/1 (n, 40) of all images in a packed folder; InputError where there are none."""
    if not (Path(folder) / ATTRIBUTES).exists():
        raise InputError(
            f"The images in {shown_path(folder)} have no attributes; give CelebA's list with them."
        )
    return _load_checked(folder, ATTRIBUTES)


def attribute_names(folder):
    """Names of the columns of `load_attributes`; an empty list where the images have no attributes."""
    return read_manifest(folder).get("attribute_names") or []


def images_identity(folder, name=IMAGES):
    """sha256 of a packed file as the manifest states it, None where it does not: equal data share it."""
    with suppress(KeyError, TypeError):
        return read_manifest(folder)["files"][name]["sha256"]
    return None


def read_manifest(folder):
    """Manifest (a dict) of packed images, empty where there is none; InputError where it is damaged."""
    return read_json(Path(folder) / MANIFEST, dict, remedy=REMEDY.format(Path(folder).name)) or {}


def write_manifest(folder):
    """Write the least manifest of packed images that were not made by data_prep: the sha256 of each file."""
    paths = [path for name in PACKED if (path := Path(folder) / name).exists()]
    write_json(Path(folder) / MANIFEST, {"files": {path.name: {"sha256": sha256_of(path)} for path in paths}})


def _check(folder, name):
    """Raise InputError unless a packed file is what the manifest says; the images are looked through once."""
    path, look = Path(folder) / name, sha256_once if name == IMAGES else sha256_of
    if not path.is_file() or look(path) != images_identity(folder, name):
        raise InputError(
            f"{shown_path(path)} is missing or not as {MANIFEST} says; {REMEDY.format(Path(folder).name)}."
        )


def _load_checked(folder, name):
    _check(folder, name)
    return np.load(Path(folder) / name, allow_pickle=False)


class ImageBatches(keras.utils.PyDataset):
    """Batches of one split: float32 images in [0, 1], (batch, height, width, 3), read when asked for.

    Shuffled, the order of an epoch depends on `seed` and `epoch` alone; setting `epoch` therefore
    puts a resumed training exactly where it left off. `limit`: only the first so many images of the split.
    With `attributes`, each batch brings its images' attributes (batch, 40), int8 0/1, as labels.
    `for images, *labels in batches` goes once through this epoch's batches, in their order.
    Source: posts COL-013, COL-019, COL-023 (slices handed out by a generator).
    """

    def __init__(self, folder, split, batch_size, shuffle=False, attributes=False, seed=0, limit=None):
        super().__init__(workers=1)
        self.folder, self.split, self.batch_size = Path(folder), split, batch_size
        self.shuffle, self.seed = shuffle, seed
        for name in PACKED:
            if name == IMAGES or (self.folder / name).exists():
                _check(folder, name)
        rows = rows_of_split(folder, split)
        self.rows, self.limit = rows[:limit], limit if limit and limit < len(rows) else None
        self.attributes = load_attributes(folder) if attributes else None
        self.set_epoch(0)

    def set_epoch(self, epoch):
        """Take the order of this epoch (counted from 0)."""
        self.epoch = epoch
        rng = np.random.default_rng((self.seed, epoch))
        self.order = rng.permutation(self.rows) if self.shuffle else self.rows

    def on_epoch_end(self):
        """Move on to the next epoch's order; Keras calls this after each pass."""
        self.set_epoch(self.epoch + 1)

    @property
    def num_batches(self):
        """Number of batches, the last and smaller one counted."""
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self):
        return (self[index] for index in range(self.num_batches))

    def __getitem__(self, index):
        batch = slice(index * self.batch_size, (index + 1) * self.batch_size)
        images = _read_images(self.folder, self.order[batch])
        return (images,) if self.attributes is None else (images, self.attributes[self.order[batch]])
