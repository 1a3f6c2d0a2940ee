"""Make synthetic faces in CelebA's own archive form: `python -m data_prep.synthetic_faces --out DIR`."""

import argparse
import errno
import os
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_prep.faces.drawing import draw_face, encode_jpeg
from data_prep.faces.factors import ATTRIBUTES, DISTRIBUTIONS, FACTORS, derive_attributes, draw_factors
from data_prep.packing.sources import DRAWN_TIME
from data_prep.workers import map_in_processes
from helpers.files import InputError, read_json, save_array, sha256_of, shown_path, write_json, written_whole
from helpers.reporting import note, progress_meter

ARCHIVE, SETTINGS = "img_align_celeba.zip", "synthetic_faces.json"
LISTS = ("list_attr_celeba.txt", "list_eval_partition.txt", "factor_names.txt")
PRODUCTS = (ARCHIVE, "factors.npy", *LISTS)
DRAWING_VERSION = 1  # one more whenever a changed line changes a face; a test holds the bytes of three
CHUNK = 50  # images that a worker draws at a time
HEAP = 16 << 20  # bytes
TRAIN_SHARE, VALID_SHARE = 0.8, 0.1  # of all images, in this order; the rest is the test split
MAX_COUNT = 999_999  # names have six digits


def make_synthetic_faces(out, count=12_000, seed=1, factors="normal", workers=None):
    """Write `count` faces to folder `out` as CelebA is given out; skip when they are already there.

    Leaves img_align_celeba.zip (JPEG, 178 × 218), list_attr_celeba.txt (40 attributes, −1/1),
    list_eval_partition.txt (0 train, 1 valid, 2 test), factors.npy (float32, count × len(FACTORS)),
    factor_names.txt and the settings, synthetic_faces.json. The archive comes last: where it is, all is.
    Count, seed and `factors` (a key of DISTRIBUTIONS) settle every byte; `workers` only the speed.
    Raises InputError where an argument or the folder cannot be used.
    """
    out = Path(out)
    settings = settle_settings(count, seed, factors, workers)
    with plain_errors(out):
        if is_whole(out, settings):
            note(f"{shown_path(out)}: these {count:,} faces are there already.")
            return
        clear_folder(out)
        write_json(out / SETTINGS, settings)
        values = draw_factors(count, seed, factors)
        save_array(out / "factors.npy", values)
        write_lists(out, values)
        with written_whole(out / ARCHIVE) as temporary:
            write_archive(temporary, values, workers or os.cpu_count() or 1)
            places = {name: out / name for name in PRODUCTS} | {ARCHIVE: temporary}
            sums = {name: sha256_of(place) for name, place in places.items()}
            write_json(out / SETTINGS, {**settings, "sha256": sums})


def settle_settings(count, seed, factors, workers):
    """What settles every byte of the result, as it is kept beside it; InputError where it makes no sense."""
    if not 1 <= count <= MAX_COUNT:
        raise InputError(f"--count must lie between 1 and {MAX_COUNT}, not {count}.")
    if seed < 0:
        raise InputError(f"--seed must be 0 or more, not {seed}.")
    if factors not in DISTRIBUTIONS:
        raise InputError(f"--factors must be one of {', '.join(DISTRIBUTIONS)}, not '{factors}'.")
    if workers is not None and workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}.")
    return {"count": count, "seed": seed, "factors": factors, "drawing_version": DRAWING_VERSION}


@contextmanager
def plain_errors(out):
    """Turn what the file system refuses into one sentence for the user."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"No space left in {out}: free some, or choose another --out.") from error
        raise InputError(
            f"Cannot write to {out} ({error.strerror or error}): choose another --out."
        ) from error


def is_whole(out, settings):
    """Whether `out` holds the whole result of these settings.

    Until the drawing had a number, sha256 sums of its source files stood there as "drawing": version 1.
    Damaged settings belong to no result, and neither do files that are not as they were written. Former
    versions kept no sums of them.
    """
    try:
        kept = read_json(out / SETTINGS, dict) or {}
    except InputError:
        return False
    if kept.pop("drawing", None):
        kept["drawing_version"] = 1
    sums = kept.pop("sha256", None)
    if kept != settings or not all((out / name).is_file() for name in PRODUCTS):
        return False
    return sums is None or sums == {name: sha256_of(out / name) for name in PRODUCTS}


def clear_folder(out):
    """Remove an earlier result, archive first; refuse a folder with files that this program did not make."""
    present = [name for name in PRODUCTS if (out / name).exists()]
    if present and not (out / SETTINGS).exists():
        raise InputError(f"{out} holds a {present[0]} that is not synthetic: choose another --out.")
    for name in present:
        (out / name).unlink()


def write_lists(out, values):
    """Write the attribute list and the partition in CelebA's column form, and the factors' names."""
    signs = np.where(derive_attributes(values), " 1", "-1").tolist()
    names = [image_name(index) for index in range(len(values))]
    rows = [f"{name} {' '.join(row)}\n" for name, row in zip(names, signs, strict=True)]
    splits = [f"{name} {split}\n" for name, split in zip(names, split_in_blocks(len(values)), strict=True)]
    write_text(out / LISTS[0], f"{len(values)}\n{' '.join(ATTRIBUTES)} \n" + "".join(rows))
    write_text(out / LISTS[1], "".join(splits))
    write_text(out / LISTS[2], "\n".join(FACTORS) + "\n")


def write_text(path, text):
    """Write text with line ends as in CelebA's lists, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_bytes(text.encode("ascii"))


def image_name(index):
    """CelebA's name of the image with this index: 000001.jpg is the first."""
    return f"{index + 1:06d}.jpg"


def split_in_blocks(count):
    """Split of each image, 0 train, 1 valid or 2 test: contiguous blocks of about 80, 10 and 10 %."""
    position = (np.arange(count) + 0.5) / count
    return (position > TRAIN_SHARE).astype(int) + (position > TRAIN_SHARE + VALID_SHARE)


def write_archive(path, values, workers):
    """Draw all faces into a zip of stored JPEGs, in order."""
    with zipfile.ZipFile(path, "w") as archive:
        show = progress_meter("faces drawn", len(values))
        for index, jpeg in enumerate(draw_all(values, workers)):
            archive.writestr(zip_entry(image_name(index)), jpeg)
            show(index + 1)


def zip_entry(name):
    """Entry of an image with fixed time, system and rights, so that the same faces give the same bytes."""
    entry = zipfile.ZipInfo(f"img_align_celeba/{name}", DRAWN_TIME)
    entry.create_system = 3  # Unix, also when written on Windows
    entry.external_attr = 0o644 << 16
    return entry


def draw_all(values, workers):
    """Yield the JPEGs (bytes) of all faces in order, drawn by `workers` processes."""
    chunks = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    for jpegs in map_in_processes(draw_chunk, chunks, min(workers, len(chunks))):
        yield from jpegs


def draw_chunk(values):
    """JPEGs of some faces, list of bytes, from their factors (n, len(FACTORS))."""
    np.empty(HEAP, np.uint8)  # freed at once: glibc then keeps memory instead of giving back each array
    return [encode_jpeg(draw_face(row)) for row in values]


def parse_arguments(arguments):
    """Command line as a namespace."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.synthetic_faces", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder for the archive and its lists")
    parser.add_argument("--count", type=int, default=12_000, help="number of faces (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed gives the same faces (%(default)s)"
    )
    parser.add_argument("--factors", default="normal", help=f"{', '.join(DISTRIBUTIONS)} (%(default)s)")
    parser.add_argument("--workers", type=int, help="processes (as many as there are cores)")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run from the command line; exit code 2 and one sentence where the input cannot be used."""
    options = parse_arguments(arguments)
    try:
        make_synthetic_faces(**vars(options))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
