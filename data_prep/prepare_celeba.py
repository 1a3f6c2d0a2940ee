"""Pack CelebA, or anyone's own photos, into a few files that can be memory-mapped.

python -m data_prep.prepare_celeba --images ARCHIVE_OR_FOLDER --out FOLDER
"""

import argparse
import sys
from contextlib import suppress

import numpy as np
import PIL

from data_prep.packing.decoding import RESIZE_FILTER, decode
from data_prep.packing.lists import ForeignList, draw_splits, load_list, parse_attributes, parse_partition
from data_prep.packing.sources import BadImage, describe_passed, find_source, open_reader
from data_prep.packing.store import (
    ATTRIBUTES,
    IMAGES,
    JOURNAL,
    LEFT_OUT,
    MANIFEST,
    NAMES,
    ROWS,
    SPLITS,
    Task,
    check_space,
    content_of,
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
CELEBA_ATTRIBUTE = "5_o_Clock_Shadow"  # a name that no other face data set uses
CELEBA_NAME = "img_align_celeba"  # of the archive and of the folder in it
CELEBA_EXTENT = "178×218"  # pixels
CELEBA_CROP = 148  # pixels, the central square that holds the face
KEPT = ".images.kept.npy"
MAX_SIDE = 4096  # pixels
NOTED = 10  # image sizes that are named, of any number
NAMED = 5  # images left out that are named, of any number


def prepare(
    images, out, attributes=None, partition=None, crop=None, size=96, limit=None, workers=None, strict=None
):
    """Pack all images of a zip archive or folder, and what is known of them, into the folder `out`.

    Writes images.npy (uint8, n×size×size×3), attributes.npy (int8 0/1, n×40; only with an attribute list),
    splits.npy (uint8 (n,): 0 train, 1 valid, 2 test; without a partition list, or where one split would be
    empty, a seeded 80/10/10 split), names.txt (one name a line, sorted, in the order of the rows),
    left_out.txt (names and reasons, where images were left out) and, last, manifest.json, which says that all
    is whole. Does nothing when such a result is there already, and goes on where an interrupted run has
    stopped. A result that was made with lists or a crop given is taken by a later call that gives none.

    `attributes`, `partition`: CelebA's lists; by default those found among the images, beside or above them.
    `crop`: side of the central square that is cut out, in pixels; 0 for the largest of each image; by default
    148 for CelebA's pictures and 0 for others.
    `limit`: at most so many images, evenly spaced over the sorted names so that the splits keep their shares.
    `workers`: processes; by default one for each processor, at most eight, and this one alone for few images.
    `strict`: True refuses images that cannot be read, False leaves them out; by default they are refused in
    CelebA's archive, which is damaged then, and left out of own photos.

    Returns the manifest (a dict). Raises InputError when something that was given cannot be used.
    """
    options = {"crop": crop, "attributes": attributes, "partition": partition}
    given = [name for name, value in options.items() if value is not None]
    check_settings(crop or 0, size, limit, workers)
    source = find_source(images)
    with open_target(out) as folder:
        lists = {
            "attributes": load_list("list_attr_celeba", attributes, source),
            "partition": load_list("list_eval_partition", partition, source),
        }
        settings = {
            "crop": suggest_crop(source) if crop is None else crop,
            "size": size,
            "filter": RESIZE_FILTER.name,
            "limit": limit,
            "source": source.identity,
            "lists": {kind: table and table.sha256 for kind, table in lists.items()},
        }
        chosen = choose(len(source.names), limit)
        named_celeba = CELEBA_NAME in f"{source.path.name}/{source.shared}"
        lenient = not (named_celeba if strict is None else strict)
        by_default = "--skip-bad goes on without such images, and what it makes is taken by make too"
        advice = "without --strict (with make: STRICT=1) such images are left out" if strict else by_default
        task = Task(source, chosen, settings["crop"], size, lenient, advice)
        if manifest := find_whole(folder, settings, given, strict, task):
            remove_leftovers(folder)
            lacking = f" (left out: {len(manifest['skipped']):,})" * bool(manifest["skipped"])
            note(f"{shown_path(out)} already holds these {manifest['images']:,} images{lacking}.")
            return manifest
        if source.passed:
            note(f"Passed over: {describe_passed(source.passed)}.")
        columns, labels = label(source.names, chosen, **lists)
        del lists  # their text would take 100 MB for all of CelebA
        key = settings | {"pillow": PIL.__version__, "stamp": source.stamp}
        packed = pack_images(task, folder, key, workers)
        celeba = not source.synthetic and CELEBA_ATTRIBUTE in (columns or ())
        found = {"attribute_names": columns, "synthetic": source.synthetic, "celeba": celeba, "given": given}
        manifest = publish(folder, task, packed, labels, key | found)
        report(packed, manifest)
        return manifest


def suggest_crop(source):
    """Side of the central square to cut out, in pixels: 148 for CelebA's pictures, 0 (all of it) for others.

    Judged by the first image of the `ImageSource` that can be read.
    """
    with open_reader(source) as read:
        for index in range(len(source.names)):
            with suppress(BadImage):
                extent = decode(read(index), 0, 1)[1]
                return CELEBA_CROP if "×".join(map(str, extent)) == CELEBA_EXTENT else 0
    return 0


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
    """Attribute names (or None), and the label files' arrays {file name: (len(chosen), …)}.

    Says which of the two lists is not there or not of use, and what follows.
    """
    columns, values = parse_found(parse_attributes, attributes, names) or (None, None)
    splits = parse_found(parse_partition, partition, names)
    lacking = ["attribute list (list_attr_celeba.txt): there are no attributes"] * (columns is None)
    lacking += ["partition list (list_eval_partition.txt): the split is random, 80/10/10"] * (splits is None)
    if lacking:
        note(f"Found with the images, or up to two folders above, is no {', and no '.join(lacking)}.")
    if splits is not None and len(kinds := np.unique(splits[chosen])) < len(SPLIT_NAMES):
        kinds = " and ".join(SPLIT_NAMES[code] for code in kinds)
        note(f"By the partition list these images are all {kinds}: the split is random instead, 80/10/10.")
        splits = None
    labels = {SPLITS: draw_splits(len(chosen)) if splits is None else splits[chosen]}
    return columns, labels if columns is None else labels | {ATTRIBUTES: values[chosen]}


def parse_found(parse, table, names):
    """`parse` a list; None where there is none, or it only lies near and names none of the images."""
    try:
        return table and parse(table, names)
    except ForeignList:
        if table.sure:
            raise
        note(f"The list {table.where} names none of these images and is not used.")
        return None


def report(packed, manifest):
    """Say which images were left out, and of which sizes they are if not of CelebA's."""
    if names := list(manifest["skipped"]):
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        note(
            f"Left out: {len(names):,} of {len(names) + manifest['images']:,} images, which cannot be used: "
            f"{', '.join(names[:NAMED])}{more}; {LEFT_OUT} beside the packed images says why, "
            "--strict (with make: STRICT=1) refuses them."
        )
    others = {extent: n for extent, n in most_common(packed.sizes).items() if extent != CELEBA_EXTENT}
    if others:
        count, crop = packed.sizes.total() - packed.sizes[CELEBA_EXTENT], manifest["crop"]
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
        first = f"{task.source.names[task.chosen[0]]} {packed.skipped[0]}"
        raise InputError(
            f"None of the {len(task.chosen):,} images of {task.source.path} can be used (first: {first})."
        )
    names = [task.source.names[index] for index in task.chosen]
    images = folder / ROWS if len(kept) == len(names) else keep_rows(folder, kept, task.size)
    digests = {IMAGES: sha256_of(images)}
    for name in (MANIFEST, ATTRIBUTES, LEFT_OUT):  # an older result ends here
        (folder / name).unlink(missing_ok=True)
    images.replace(folder / IMAGES)
    labels = {name: array[kept] for name, array in labels.items()}
    digests |= save_labels(folder, [names[row] for row in kept], labels)
    skipped = {names[row]: packed.skipped[row] for row in sorted(packed.skipped)}
    if skipped:
        save_text(folder / LEFT_OUT, [f"{name}\t{reason}" for name, reason in skipped.items()])
    splits = {name: int((labels[SPLITS] == code).sum()) for code, name in enumerate(SPLIT_NAMES)}
    manifest = {
        "images": len(kept),
        "splits": splits,
        "shape": [len(kept), task.size, task.size, 3],
        "dtype": "uint8",
        **settings,
        "image_sizes": most_common(packed.sizes),
        "skipped": skipped,
        "content": content_of(packed.chunks),
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
    save_text(folder / NAMES, names)
    for name, array in labels.items():
        save_array(folder / name, array)
    return {name: sha256_of(folder / name) for name in (NAMES, *labels)}


def save_text(path, lines):
    """Write lines of text, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


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
        "--crop",
        type=int,
        help="side of the central square in pixels, 0: the largest; by default 148 for CelebA, else 0",
    )
    parser.add_argument("--size", type=int, default=96, help="side of the packed images in pixels")
    parser.add_argument("--limit", type=int, help="at most so many images, evenly spaced over the names")
    parser.add_argument("--workers", type=int, help="processes; by default one for each processor")
    damaged = parser.add_mutually_exclusive_group()
    damaged.add_argument(
        "--strict",
        action="store_true",
        default=None,
        help="refuse images that cannot be read; by default only CelebA's are refused, others left out",
    )
    damaged.add_argument(
        "--skip-bad", action="store_false", dest="strict", default=None, help="leave them out, also CelebA's"
    )
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
