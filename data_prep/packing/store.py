"""Pack many images into one .npy file; what is done survives an interruption.

Several processes decode chunks of images, and each writes its rows into the one file. A journal beside the
unfinished file names the chunks that are on disk.
"""

import io
import json
import os
import shutil
import time
import warnings
from collections import Counter
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_prep.packing.decoding import decode
from data_prep.packing.sources import BadImage, ImageSource, open_reader
from data_prep.workers import map_in_processes
from helpers.files import FULL, InputError, flush_to_disk, locked, read_json, sha256_of, written_whole
from helpers.reporting import note, progress_meter

IMAGES, ATTRIBUTES, SPLITS, NAMES = "images.npy", "attributes.npy", "splits.npy", "names.txt"
MANIFEST = "manifest.json"
SETTINGS = ("crop", "size", "limit", "source", "lists")  # the parts of a manifest that tell results apart
ROWS, JOURNAL = ".images.unfinished.npy", ".images.journal"  # beside the files with final names
LOCK = ".prepare.lock"
CHUNK_ROWS = 64  # images that are decoded and counted as done together
ALONE_CHUNKS = 8  # so few are done before other processes have started
MAX_WORKERS = 8  # by default: each takes about 50 MB
KEPT_BLOCKS = "4"  # of memory that Pillow reuses from image to image instead of asking the system each time
FLUSH_SECONDS = 0.3  # a crash costs at most the work of this time
SPARE_BYTES = 16 << 20  # for the small files and the file system's own needs


class Task(NamedTuple):
    """What is packed: `chosen[row]` is the source's index of the image that goes to this row."""

    source: ImageSource
    chosen: np.ndarray
    crop: int  # pixels; 0: the largest central square
    size: int  # pixels
    skip_bad: bool


class Packed(NamedTuple):
    """What has been packed so far."""

    chunks: set
    sizes: Counter  # 'width×height' of the image files, in pixels → how many
    skipped: dict  # row → reason

    def add(self, record):
        """Count in one record of the journal."""
        self.chunks.add(record["chunk"])
        self.sizes.update(record["sizes"])
        self.skipped.update({int(row): reason for row, reason in record["skipped"].items()})


def pack_images(task, out, key, workers):
    """Write all rows of `task` to the file ROWS in `out`, by `workers` processes; return what was `Packed`.

    Goes on from an unfinished file that was begun with an equal `key` (JSON). Raises InputError for a
    bad image, unless they are to be skipped.
    """
    packed = resume(task, out, key)
    total = len(task.chosen)
    rest = [chunk for chunk in range(-(-total // CHUNK_ROWS)) if chunk not in packed.chunks]
    show = progress_meter("images read", total, min(len(packed.chunks) * CHUNK_ROWS, total))
    records, flushed = [], time.monotonic()
    if workers is None:
        workers = 1 if len(rest) <= ALONE_CHUNKS else min(os.cpu_count(), MAX_WORKERS)
    os.environ.setdefault("PILLOW_BLOCKS_MAX", KEPT_BLOCKS)  # the processes read it at their start
    with closing(map_in_processes(partial(pack_chunk, task, out / ROWS), rest, workers)) as finished:
        try:
            for record in finished:
                packed.add(record)
                records.append(record)
                show(min(len(packed.chunks) * CHUNK_ROWS, total))
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    due, records = records, []  # so that an interruption in between commits none twice
                    commit(out, due)
                    flushed = time.monotonic()
        finally:
            commit(out, records)
    return packed


def pack_chunk(task, rows, chunk):
    """Decode one chunk of images and write it to its rows of the .npy file at path `rows`; return its record.

    A record is JSON: the chunk's number, how many images have which size, and the skipped rows' reasons.
    InputError for the first bad image. Pillow refuses, not only warns of, absurdly many pixels.
    """
    sizes, skipped = Counter(), {}
    first = chunk * CHUNK_ROWS
    with warnings.catch_warnings(), open_reader(task.source) as read, rows.open("r+b") as file:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for row, index in enumerate(task.chosen[first : first + CHUNK_ROWS].tolist(), first):
            try:
                pixels, extent = decode(read(index), task.crop, task.size)
            except BadImage as error:
                if not task.skip_bad:
                    raise InputError(
                        f"{task.source.names[index]} in {task.source.path} {error}; --skip-bad goes on "
                        "without such images."
                    ) from error
                skipped[row] = str(error)
            else:
                file.seek(row_place(row, task.size))
                file.write(pixels)
                sizes["×".join(map(str, extent))] += 1
    return {"chunk": chunk, "sizes": sizes, "skipped": skipped}


def row_place(row, size):
    """Where a row begins in the .npy file, in bytes; its end is where the next begins."""
    return len(npy_header(0, size)) + row * size * size * 3


@cache
def npy_header(n, size):
    """Header of a .npy file of shape (n, size, size, 3) and dtype uint8; its length is the same for any n."""
    header = io.BytesIO()
    layout = {"descr": "|u1", "fortran_order": False, "shape": (n, size, size, 3)}
    np.lib.format.write_array_header_1_0(header, layout)
    return header.getvalue()


def resume(task, out, key):
    """Make the unfinished file and its journal ready to go on; return what was `Packed` before."""
    rows, journal = out / ROWS, out / JOURNAL
    header = npy_header(len(task.chosen), task.size)
    total = row_place(len(task.chosen), task.size)
    begun = rows.exists() and rows.stat().st_size == total
    records = read_journal(journal, key) if begun else None
    if records is None:
        if journal.exists():
            note("What an interrupted run has left is discarded: the settings or the images have changed.")
            journal.unlink()
        rows.unlink(missing_ok=True)
        check_space(out, total)
        start_rows(rows, header, total)
    else:
        check_space(out, total - allocated_bytes(rows))
    packed = Packed(set(), Counter(), {})
    records = [record for record in records or [] if task.skip_bad or not record["skipped"]]
    for record in records:
        packed.add(record)
    with written_whole(journal) as temporary:
        temporary.write_text(journal_text([key, *records]), encoding="utf-8")
    return packed


def start_rows(path, header, total):
    """Make a .npy file of `total` bytes with this header and no rows yet."""
    with path.open("wb") as file:
        file.write(header)
        file.truncate(total)
    flush_to_disk(path)


def commit(out, records):
    """Put the written rows on disk, and only then the journal that speaks of them."""
    flush_to_disk(out / ROWS)
    with (out / JOURNAL).open("a", encoding="utf-8") as journal:
        journal.write(journal_text(records))
        journal.flush()
        os.fsync(journal.fileno())


def journal_text(records):
    """One JSON document a line."""
    return "".join(json.dumps(record) + "\n" for record in records)


def read_journal(path, key):
    """Records of the journal, or None if there is none with this key; a torn last line is left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else [""]
    if lines[0] != json.dumps(key):
        return None
    return [json.loads(line) for line in lines[1:-1] if line.endswith("}}")]


def load_manifest(folder):
    """Manifest (a dict) of packed images; InputError when there is none, or it is damaged."""
    path = Path(folder) / MANIFEST
    try:
        manifest = read_json(path)
    except ValueError as error:
        raise InputError(f"{path} is damaged; delete it and prepare the images again.") from error
    if manifest is None:
        raise InputError(
            f"{folder} holds no packed images; make them with python -m data_prep.prepare_celeba --images "
            f"ARCHIVE --out {folder}."
        )
    return manifest


def check_packed(folder, hashes=False):
    """Manifest of packed images whose files all have the right size, with `hashes` also the right sha256.

    Raises InputError that names the first file that is missing or differs.
    """
    manifest = load_manifest(folder)
    for name, expected in manifest["files"].items():
        path = Path(folder) / name
        size = path.stat().st_size if path.is_file() else None
        if size != expected["bytes"] or (hashes and sha256_of(path) != expected["sha256"]):
            raise InputError(f"{path} is missing or not as {MANIFEST} says; prepare the images again.")
    return manifest


def find_whole(folder, settings, skip_bad):
    """Manifest of a whole result that was made with these settings, or None."""
    try:
        manifest = check_packed(folder)
    except InputError:
        return None
    same = all(manifest.get(key) == settings[key] for key in SETTINGS)
    return manifest if same and (skip_bad or not manifest["skipped"]) else None


@contextmanager
def open_target(out):
    """Make the folder `out` and hold its lock; errors of the file system inside become InputError."""
    out = Path(out).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with locked(out / LOCK, partial(refuse, out)):
            yield out
    except OSError as error:
        if error.errno in FULL:
            raise InputError(
                f"The disk of {out} is full; make room and start again, the images packed so far are kept."
            ) from error
        raise InputError(
            f"Cannot write to {out} ({error.strerror or error}); choose another --out."
        ) from error


def refuse(out):
    """Raise InputError: another run holds the lock of `out`."""
    raise InputError(f"Another run is writing to {out}; wait for its end.")


def check_space(out, needed):
    """Raise InputError unless the disk of `out` has room for `needed` more bytes."""
    free = shutil.disk_usage(out).free
    if free < needed + SPARE_BYTES:
        raise InputError(
            f"Too little space for {out}: {needed + SPARE_BYTES:,} bytes are needed, {free:,} are free; "
            "make room, choose another --out, or take fewer images with --limit."
        )


def allocated_bytes(path):
    """Bytes that a file really takes on disk: less than its size where rows have not been written yet."""
    status = path.stat()
    return getattr(status, "st_blocks", status.st_size / 512) * 512
