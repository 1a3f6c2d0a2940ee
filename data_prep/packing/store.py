"""Pack many images into one .npy file; what is done survives an interruption.

Several processes decode chunks of images, and each writes its rows into the one file. A journal beside the
unfinished file names the chunks that are on disk.
"""

import hashlib
import io
import json
import os
import shutil
import time
import zlib
from collections import Counter
from contextlib import closing, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.packing.decoding import decode
from data_prep.packing.sources import BadImage, ImageSource, open_reader
from data_prep.workers import map_in_processes
from helpers.files import (
    FULL,
    InputError,
    flush_to_disk,
    locked,
    read_json,
    sha256_of,
    sha256_once,
    shown_path,
    write_json,
    written_whole,
)
from helpers.reporting import note, progress_meter

IMAGES, ATTRIBUTES, SPLITS, NAMES = "images.npy", "attributes.npy", "splits.npy", "names.txt"
MANIFEST, LEFT_OUT = "manifest.json", "left_out.txt"
MANIFEST_PARTS = {"images": int, "files": dict, "skipped": dict, "crop": int, "lists": dict}  # else: damaged
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
    advice: str = ""  # for those who meet a bad image: how to go on


class Packed(NamedTuple):
    """What has been packed so far."""

    chunks: dict  # number → checksum of its image files
    sizes: Counter  # 'width×height' of the image files, in pixels → how many
    skipped: dict  # row → reason

    def add(self, record):
        """Count in one record of the journal."""
        self.chunks[record["chunk"]] = record["content"]
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

    A record is JSON: the chunk's number, how many images have which size, the skipped rows' reasons, and the
    checksums of the image files and, sealing it, of itself and its rows. InputError for the first bad image.
    """
    sizes, skipped, content, checksum = Counter(), {}, 0, 0
    with open_reader(task.source) as read, rows.open("r+b") as file:
        for row, index in rows_of(task, chunk):
            try:
                data = read(index)
                content = zlib.crc32(data, content)
                pixels, extent = decode(data, task.crop, task.size)
            except BadImage as error:
                if not task.skip_bad:
                    name = f"{task.source.names[index]} in {task.source.path}"
                    raise InputError(f"{name} {error}; {task.advice}.") from error
                skipped[row] = str(error)
            else:
                file.seek(row_place(row, task.size))
                file.write(pixels)
                checksum = zlib.crc32(pixels, checksum)
                sizes["×".join(map(str, extent))] += 1
    record = {"chunk": chunk, "content": content, "sizes": sizes, "skipped": skipped}
    return record | {"seal": seal(record, checksum)}


def seal(record, checksum):
    """Checksum of a record (without its seal), going on from the `checksum` of its rows."""
    return zlib.crc32(json.dumps(record).encode(), checksum)


def is_sound(record, task, file):
    """Whether a record of the journal, and what stands in its rows of the open .npy file, fit its seal."""
    checksum = 0
    for row, _ in rows_of(task, record["chunk"]):
        if str(row) not in record["skipped"]:
            file.seek(row_place(row, task.size))
            checksum = zlib.crc32(file.read(task.size * task.size * 3), checksum)
    return record["seal"] == seal({name: record[name] for name in record if name != "seal"}, checksum)


def rows_of(task, chunk):
    """Pairs of a row of the chunk and the source's index of its image."""
    first = chunk * CHUNK_ROWS
    return enumerate(task.chosen[first : first + CHUNK_ROWS].tolist(), first)


def content_of(chunks):
    """Sha256 of the checksums of all chunks (number → checksum): tells the image files' content."""
    return hashlib.sha256(json.dumps(sorted(chunks.items())).encode()).hexdigest()


def read_content(task):
    """`content_of` the image files as they are now; none of them is decoded."""
    chunks, total = {}, len(task.chosen)
    show = progress_meter("images looked through", total)
    with open_reader(task.source) as read:
        for chunk in range(-(-total // CHUNK_ROWS)):
            chunks[chunk] = 0
            for _, index in rows_of(task, chunk):
                with suppress(BadImage):
                    chunks[chunk] = zlib.crc32(read(index), chunks[chunk])
            show(min((chunk + 1) * CHUNK_ROWS, total))
    return content_of(chunks)


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
    records = read_journal(journal, key, task, rows) if begun else None
    if records is None:
        if journal.exists():
            note("What an interrupted run has left is discarded: the settings or the images have changed.")
            journal.unlink()
        rows.unlink(missing_ok=True)
        check_space(out, total)
        start_rows(rows, header, total)
    else:
        check_space(out, total - allocated_bytes(rows))
    packed = Packed({}, Counter(), {})
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


def read_journal(path, key, task, rows):
    """Records of the journal, or None if there is none with this key; without those that are damaged.

    A record counts where its seal fits what it says and what stands in the chunk's rows; the others, such as
    a torn last line, are done again.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else [""]
    if lines[0] != json.dumps(key):
        return None
    records = {}
    with rows.open("rb") as file:
        for line in lines[1:]:
            with suppress(ValueError, KeyError, TypeError, AttributeError, OSError):
                record = json.loads(line)
                if is_sound(record, task, file):
                    records[record["chunk"]] = record
    return list(records.values())


def load_manifest(folder):
    """Manifest (a dict) of packed images; InputError when there is none, or it is damaged."""
    remedy = "delete it and prepare the images again"
    manifest = read_json(Path(folder) / MANIFEST, dict, MANIFEST_PARTS, remedy)
    if manifest is None:
        raise InputError(
            f"{folder} holds no packed images; make them with python -m data_prep.prepare_celeba --images "
            f"ARCHIVE --out {folder}."
        )
    if not all(isinstance(manifest[part], kind) for part, kind in MANIFEST_PARTS.items()):
        raise InputError(f"{shown_path(folder)}/{MANIFEST} is damaged; {remedy}.")
    return manifest


def check_packed(folder, hashes=False):
    """Manifest of packed images whose files all have the right size, with `hashes` also the right sha256.

    Raises InputError that names the first file that is missing or differs.
    """
    manifest = load_manifest(folder)
    for name, expected in dict(manifest["files"]).items():
        path = Path(folder) / name
        size = path.stat().st_size if path.is_file() else None
        digest = sha256_once if name == IMAGES else sha256_of
        if size != expected["bytes"] or (hashes and digest(path) != expected["sha256"]):
            raise InputError(f"{path} is missing or not as {MANIFEST} says; prepare the images again.")
    return manifest


def find_whole(folder, settings, given, strict, task):
    """Manifest of a whole result that was made with these settings from these images, or None.

    What is not `given` now may have been given when the result was made, by hand: then that holds. Images
    that were left out count against it only where the user is `strict`. Where files in the folder of photos
    have new times, their content decides.
    """
    try:
        manifest = check_packed(folder, hashes=True)
        then = set(manifest.get("given", ())) - set(given)
        lists = {kind: (manifest if kind in then else settings)["lists"][kind] for kind in settings["lists"]}
        wanted = settings | {"lists": lists} | ({"crop": manifest["crop"]} if "crop" in then else {})
        same = all(manifest.get(key) == wanted[key] for key in SETTINGS)
        if not same or (strict and manifest["skipped"]):
            return None
    except (InputError, KeyError, TypeError, ValueError, AttributeError):  # damaged: made anew
        return None
    if manifest.get("stamp") != task.source.stamp:
        if "content" not in manifest or manifest["content"] != read_content(task):
            return None
        manifest["stamp"] = task.source.stamp
        write_json(Path(folder) / MANIFEST, manifest)
    return manifest


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
