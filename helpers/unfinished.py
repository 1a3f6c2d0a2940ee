"""A copy in progress: what of it is written, as its journal says, so that a kill costs one block at most."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count as count_up
from itertools import takewhile
from pathlib import Path
from typing import Any

from helpers import sources
from helpers.mounts import Mount, status_of
from helpers.sources import Source


@dataclass
class Copy:
    """A copy in progress, block by block."""

    source: Source
    target: Path
    mount: Mount  # of the target
    written: list = field(default_factory=list)  # sha256 of each block as read from the source
    checked: int = 0  # blocks that were read back and found equal
    whole: Any = field(default_factory=hashlib.sha256)  # of those blocks
    flushed: bool = False  # all of it is on disk
    steps: int = 0  # blocks written or read back so far, repetitions counted
    repairs: int = 0  # times that a block was not as written

    @property
    def partial(self):
        """The file that grows."""
        return _partial_path(self.target)

    @property
    def journal(self):
        """The file that speaks for its blocks."""
        return _journal_path(self.target)

    @property
    def heading(self):
        """First line of the journal: what its blocks are blocks of."""
        return json.dumps({"source": self.source.key, "block_bytes": sources.BLOCK_BYTES})

    @property
    def blocks(self):
        """Number of blocks, the last and shorter one counted."""
        return -(-self.source.size // sources.BLOCK_BYTES)


def _partial_path(target):
    return target.with_name(f".{target.name}.partial")


def _journal_path(target):
    return target.with_name(f".{target.name}.partial.journal")


def drop_unfinished(target):
    """Remove what a copy that was killed has left beside a target that is whole; what stays does no harm."""
    with suppress(OSError):
        _partial_path(target).unlink(missing_ok=True)
        _journal_path(target).unlink(missing_ok=True)


def read_journal(copy):
    """sha256 of the blocks that the journal speaks for; none if it speaks of another source."""
    if copy.blocks < 2 or not status_of(copy.journal):
        return []
    lines = copy.journal.read_text(encoding="utf-8", errors="replace").split("\n")
    if lines[0] != copy.heading:
        return []
    records = [record for record in map(_parse, lines[1:-1]) if record]
    blocks = {record["block"]: record["sha256"] for record in records}
    checksums = {record["known"] + i: c for record in records for i, c in enumerate(record["checksums"])}
    copy.source.checksums[:] = _without_gaps(checksums)
    return _without_gaps(blocks)


def _without_gaps(numbered):
    """List of the values of the keys 0, 1, 2, ... up to the first that is missing."""
    return [numbered[index] for index in takewhile(numbered.__contains__, count_up())]


def _parse(line):
    """Record of a line, or None for a line that was torn."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def note_block(copy, index, sha256, known):
    """Write a block into the journal, with the checksums that were found since `known` of them were."""
    if copy.blocks > 1:
        record = {"block": index, "sha256": sha256, "known": known}
        record["checksums"] = copy.source.checksums[known:]
        with open(copy.journal, "a", encoding="utf-8") as journal:
            journal.write(json.dumps(record) + "\n")
