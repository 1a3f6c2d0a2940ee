"""Decode many images in parallel into one .npy file; what is done survives an interruption.

Threads suffice, since Pillow decodes and scales without holding Python's interpreter lock: they share one
open archive, start at once, work in Jupyter on every system, and none outlives a killed process.
"""

import io
import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

import numpy as np

from data_prep.decoding import decode
from data_prep.image_files import BadImage
from data_prep.image_sources import ImageSource
from data_prep.target import allocated_bytes, check_space
from helpers.reporting import note, progress_meter
from helpers.workspace import InputError, flush_to_disk, written_whole

ROWS, JOURNAL = ".images.unfinished.npy", ".images.journal"  # beside the files with final names
CHUNK_ROWS = 64  # images that one task of a thread decodes, and that one line of the journal speaks for
FLUSH_SECONDS = 1.0  # a crash costs at most the work of this time


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
    """Write all rows of `task` to the file ROWS in `out`, by `workers` threads; return what was `Packed`.

    Goes on from an unfinished file that was begun with an equal `key` (JSON). Raises InputError for a
    bad image, unless they are to be skipped.
    """
    packed = resume(task, out, key)
    rest = [chunk for chunk in range(-(-len(task.chosen) // CHUNK_ROWS)) if chunk not in packed.chunks]
    stop = threading.Event()
    with (out / ROWS).open("r+b") as file, ThreadPoolExecutor(workers) as pool:
        write_row = row_writer(file, task.size)
        futures = {pool.submit(pack_chunk, task, chunk, write_row, stop) for chunk in rest}
        try:
            collect(futures, packed, len(task.chosen), lambda records: commit(file, out, records))
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return packed


def collect(futures, packed, total, commit_records):
    """Add each finished chunk to `packed`, show the progress, and commit now and then, and at the end."""
    show = progress_meter("images read", total, min(len(packed.chunks) * CHUNK_ROWS, total))
    records, flushed = [], time.monotonic()
    try:
        for future in as_completed(futures):
            records.append(future.result())
            packed.add(records[-1])
            show(min(len(packed.chunks) * CHUNK_ROWS, total))
            if time.monotonic() - flushed > FLUSH_SECONDS:
                commit_records(records)
                records, flushed = [], time.monotonic()
    finally:
        commit_records(records)


def pack_chunk(task, chunk, write_row, stop):
    """Decode and write one chunk of rows, or part of it if `stop` is set; return its journal record."""
    sizes, skipped = Counter(), {}
    first = chunk * CHUNK_ROWS
    for row, index in enumerate(task.chosen[first : first + CHUNK_ROWS].tolist(), first):
        if stop.is_set():
            break
        try:
            pixels, extent = decode(task.source.read(index), task.crop, task.size)
        except BadImage as error:
            if not task.skip_bad:
                raise InputError(
                    f"{task.source.names[index]} in {task.source.path} {error}; --skip-bad goes on without "
                    "such images"
                ) from error
            skipped[row] = str(error)
        else:
            write_row(row, pixels)
            sizes["×".join(map(str, extent))] += 1
    return {"chunk": chunk, "sizes": sizes, "skipped": skipped}


def row_writer(file, size):
    """Function `write(row, pixels)` for an open .npy file, safe to call from several threads."""
    start, row_bytes = len(npy_header(0, size)), size * size * 3
    lock = threading.Lock()

    def write(row, pixels):
        with lock:
            file.seek(start + row * row_bytes)
            file.write(pixels)
            file.flush()

    return write


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
    total = len(header) + len(task.chosen) * task.size**2 * 3
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


def commit(file, out, records):
    """Put the written rows on disk, and only then the journal that speaks of them."""
    os.fsync(file.fileno())
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
