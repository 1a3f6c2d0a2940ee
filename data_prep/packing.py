"""Pack many images into one .npy file; what is done survives an interruption.

A journal beside the unfinished file names the chunks of rows that are on disk.
"""

import json
import os
import time
from collections import Counter
from contextlib import closing
from typing import NamedTuple

from data_prep.chunks import CHUNK_ROWS, npy_header, row_place, run_chunks
from data_prep.target import allocated_bytes, check_space
from helpers.reporting import note, progress_meter
from helpers.workspace import flush_to_disk, written_whole

ROWS, JOURNAL = ".images.unfinished.npy", ".images.journal"  # beside the files with final names
FLUSH_SECONDS = 0.3  # a crash costs at most the work of this time


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
    with closing(run_chunks(task, out / ROWS, rest, workers)) as finished:
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
