"""Pack CelebA, or anyone's own photos, into a few files that can be memory-mapped.

python -m data_prep.prepare_celeba --images ARCHIVE_OR_FOLDER --out FOLDER
"""

import argparse
import io
import sys

import numpy as np
import PIL
from PIL import Image

from data_prep.packing.decoding import RESIZE_FILTER
from data_prep.packing.lists import draw_splits, load_list, parse_attributes, parse_partition
from data_prep.packing.sources import BadImage, find_source, open_reader
from data_prep.packing.store import (
    ATTRIBUTES,
    IMAGES,
    JOURNAL,
    MANIFEST,
    NAMES,
    ROWS,
    SPLITS,
    Task,
    check_space,
    find_whole,
    npy_header,
    open_target,
    pack_images,
    row_place,
)
from helpers.files import (
    InputError,
    flush_to_disk,
    save_array,
    sha256_of,
    shown_path,
    write_json,
    written_whole,
)
from helpers.reporting import note

SPLIT_NAMES = ("train", "valid", "test")  # of the values 0, 1, 2
CELEBA_EXTENT = "178×218"  # pixels
CELEBA_CROP = 148  # pixels, the central square that holds the face
KEPT = ".images.kept.npy"
MAX_SIDE = 4096  # pixels
NOTED = 10  # skipped images and image sizes that are named, of any number


def prepare(
    images, out, attributes=None, partition=None, crop=148, size=96, limit=None, workers=None, skip_bad=False
):
    """Pack all images of a zip archive or folder, and what is known of them, into the folder `out`.

    Writes images.npy (uint8, n×size×size×3), attributes.npy (int8 0/1, n×40; only with an attribute list),
    splits.npy (uint8 (n,): 0 train, 1 valid, 2 test; without a partition list a seeded 80/10/10 split),
    names.txt (one name a line, sorted, in the order of the rows) and, last, manifest.json, which says that
    all is whole. Does nothing when such a result is there already, and goes on where an interrupted run
    has stopped.

    `attributes`, `partition`: CelebA's lists; by default those found beside or among the images.
    `crop`: side of the central square that is cut out, in pixels; 0 for the largest of each image.
    `limit`: at most so many images, evenly spaced over the sorted names so that the splits keep their shares.
    `workers`: processes; by default one for each processor, at most eight, and this one alone for few images.
    `skip_bad`: leave out images that cannot be read.

    Returns the manifest (a dict). Raises InputError when something that was given cannot be used.
    """
    check_settings(crop, size, limit, workers)
    source = find_source(images)
    with open_target(out) as folder:
        chosen = choose(len(source.names), limit)
        lists = {
            "attributes": load_list("list_attr_celeba", attributes, source),
            "partition": load_list("list_eval_partition", partition, source),
        }
        settings = {
            "crop": crop,
            "size": size,
            "filter": RESIZE_FILTER.name,
            "limit": limit,
            "source": source.identity,
            "lists": {kind: table and table.sha256 for kind, table in lists.items()},
        }
        if manifest := find_whole(folder, settings, skip_bad):
            remove_leftovers(folder)
            note(f"{shown_path(out)} already holds these {manifest['images']:,} images.")
            return manifest
        columns, labels = label(source.names, chosen, **lists)
        del lists  # their text would take 100 MB for all of CelebA
        task = Task(source, chosen, crop, size, skip_bad)
        packed = pack_images(task, folder, settings | {"pillow": PIL.__version__}, workers)
        report(packed, crop, [source.names[index] for index in chosen])
        return publish(folder, task, packed, labels, settings | {"attribute_names": columns})


def suggest_crop(images):
    """Side of the central square to cut out, in pixels: 148 for CelebA's pictures, 0 (all of it) for others.

    Judged by the first image; raises InputError when `images` holds none that can be read.
    """
    source = find_source(images)
    with open_reader(source) as read:
        try:
            width, height = Image.open(io.BytesIO(read(0))).size
        except (BadImage, OSError) as error:
            raise InputError(f"{source.names[0]} in {source.path} cannot be read ({error}).") from error
    return CELEBA_CROP if f"{width}×{height}" == CELEBA_EXTENT else 0


def check_settings(crop, size, limit, workers):
    """Raise InputError for numbers that make no sense."""
    if not 0 <= crop <= MAX_SIDE or not 1 <= size <= MAX_SIDE:
        raise InputError(f"--crop must lie between 0 and {MAX_SIDE}, --size between 1 and {MAX_SIDE} pixels.")
    if any(number is not None and number < 1 for number in (limit, workers)):
        raise InputError("--limit and --workers must be at least 1.")


def choose(n, limit):
    """Indices of at most `limit` of n images, evenly spaced."""
    count = min(n, limit or n)
    return np.arange(count) * n // count


def label(names, chosen, attributes, partition):
    """Attribute names (or None), and the label files' arrays {file name: (len(chosen), …)}."""
    labels = {SPLITS: parse_partition(partition, names)[chosen] if partition else draw_splits(len(chosen))}
    if not attributes:
        return None, labels
    columns, values = parse_attributes(attributes, names)
    return columns, labels | {ATTRIBUTES: values[chosen]}


def report(packed, crop, names):
    """Say which images were left out, and of which sizes they are if not of CelebA's."""
    for row in sorted(packed.skipped)[:NOTED]:
        note(f"Left out: {names[row]} {packed.skipped[row]}")
    if len(packed.skipped) > NOTED:
        note(f"Left out: {len(packed.skipped) - NOTED:,} more images, all named in {MANIFEST}")
    others = {extent: n for extent, n in most_common(packed.sizes).items() if extent != CELEBA_EXTENT}
    if others:
        count = packed.sizes.total() - packed.sizes[CELEBA_EXTENT]
        most = ", ".join(f"{extent} ({n:,})" for extent, n in others.items())
        cut = f"the central {crop}×{crop} pixels" if crop else "the largest central square"
        note(
            f"{count:,} images are not {CELEBA_EXTENT} pixels as CelebA's but {most}: {cut} of each "
            "is used; --crop changes that."
        )


def most_common(sizes):
    """The most frequent image sizes and how many images have them, in an order that is always the same."""
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:NOTED])


def publish(folder, task, packed, labels, settings):
    """Give the packed files their final names, the manifest last; return the manifest."""
    kept = np.setdiff1d(np.arange(len(task.chosen)), list(packed.skipped))
    if not len(kept):
        raise InputError(f"None of the {len(task.chosen):,} images of {task.source.path} can be used.")
    names = [task.source.names[index] for index in task.chosen]
    images = folder / ROWS if len(kept) == len(names) else keep_rows(folder, kept, task.size)
    digests = {IMAGES: sha256_of(images)}
    for name in (MANIFEST, ATTRIBUTES):  # an older result ends here
        (folder / name).unlink(missing_ok=True)
    images.replace(folder / IMAGES)
    labels = {name: array[kept] for name, array in labels.items()}
    digests |= save_labels(folder, [names[row] for row in kept], labels)
    splits = {name: int((labels[SPLITS] == code).sum()) for code, name in enumerate(SPLIT_NAMES)}
    manifest = {
        "images": len(kept),
        "splits": splits,
        "shape": [len(kept), task.size, task.size, 3],
        "dtype": "uint8",
        **settings,
        "image_sizes": most_common(packed.sizes),
        "skipped": {names[row]: packed.skipped[row] for row in sorted(packed.skipped)},
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": digest}
            for name, digest in digests.items()
        },
    }
    write_json(folder / MANIFEST, manifest)
    remove_leftovers(folder)
    return manifest


def save_labels(folder, names, labels):
    """Write the names and the label files; return file name → sha256."""
    with written_whole(folder / NAMES) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")
    for name, array in labels.items():
        save_array(folder / name, array)
    return {name: sha256_of(folder / name) for name in (NAMES, *labels)}


def remove_leftovers(folder):
    """Remove what only an unfinished preparation needs."""
    for name in (ROWS, KEPT, JOURNAL):
        (folder / name).unlink(missing_ok=True)


def keep_rows(folder, kept, size):
    """Copy the kept rows to a .npy file of their own, and return its path."""
    check_space(folder, row_place(len(kept), size))
    row_bytes = size * size * 3
    with (folder / ROWS).open("rb") as rows, (folder / KEPT).open("wb") as target:
        target.write(npy_header(len(kept), size))
        for row in kept.tolist():
            rows.seek(row_place(row, size))
            target.write(rows.read(row_bytes))
    flush_to_disk(folder / KEPT)
    return folder / KEPT


def parse_arguments(arguments):
    """Options of the command line, by the names of `prepare`."""
    parser = argparse.ArgumentParser("python -m data_prep.prepare_celeba", description="Pack face images.")
    parser.add_argument("--images", required=True, help="zip archive, or folder of images or of the archive")
    parser.add_argument("--out", required=True, help="folder for the packed files")
    parser.add_argument("--attributes", help="CelebA's attribute list, .txt or .csv; found by itself if near")
    parser.add_argument("--partition", help="CelebA's partition list, .txt or .csv; found by itself if near")
    parser.add_argument(
        "--crop", type=int, default=148, help="central pixels to keep; 0: as many as possible"
    )
    parser.add_argument("--size", type=int, default=96, help="side of the packed images in pixels")
    parser.add_argument("--limit", type=int, help="at most so many images, evenly spaced over the names")
    parser.add_argument("--workers", type=int, help="processes; by default one for each processor")
    parser.add_argument("--skip-bad", action="store_true", help="leave out images that cannot be read")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the command line; return its exit code."""
    options = parse_arguments(arguments)
    try:
        manifest = prepare(**vars(options))
    except InputError as error:
        note(f"prepare_celeba: {error}")
        return 2
    except KeyboardInterrupt:
        note("prepare_celeba: interrupted; the same command goes on where it stopped.")
        return 130
    print(f"{manifest['images']:,} images in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
