"""Many small files against one archive on the same disk, and how Linux writes back what is copied.

python -m data_prep.small_files --folder FOLDER [--count N]
Source: USB-004 to USB-009, COL-026.
"""

import argparse
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.files import InputError, flush_to_disk

FILE_BYTES = 7_000  # of a CelebA image as JPEG, 178×218 pixels
FILES_PER_FOLDER = 600  # as in the post (USB-001)
SETTINGS = Path("/proc/sys/vm")
POST_BYTES = {"dirty_bytes": 48 << 20, "dirty_background_bytes": 16 << 20}  # USB-005, USB-006
PAIRS = {"dirty_bytes": "dirty_ratio", "dirty_background_bytes": "dirty_background_ratio"}


class Comparison(NamedTuple):
    """Seconds until the same content was on the disk, flushed, in each of two forms."""

    count: int
    content_bytes: int
    files_seconds: float
    archive_seconds: float


class Writeback(NamedTuple):
    """How much may wait in memory to be written: settings of Linux by name, and what they allow in bytes."""

    settings: dict[str, int]
    allowed: dict[str, int]


def compare_small_files(folder, count, seed=1):
    """Write `count` small files, then the same content as one archive, below `folder`; a `Comparison`.

    Both are flushed to the disk at the end, so that the time counts which memory would hide. All is removed
    again. InputError when the folder is not there or cannot be written to.
    """
    content = np.random.default_rng(seed).bytes(FILE_BYTES)
    try:
        place = Path(tempfile.mkdtemp(prefix="small_files_", dir=folder))
    except OSError as error:
        raise InputError(
            f"Cannot write to {folder} ({error.strerror}); give a folder of your own that is there."
        ) from error
    try:
        files_seconds = _time(lambda: _write_files(place / "files", content, count))
        archive_seconds = _time(lambda: _write_archive(place / "all.zip", content, count))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return Comparison(count, count * len(content), files_seconds, archive_seconds)


def _time(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _name(number):
    return f"{number // FILES_PER_FOLDER:03d}/{number:06d}.jpg"


def _write_files(folder, content, count):
    paths = [folder / _name(number) for number in range(count)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for path in paths:
        flush_to_disk(path)


def _write_archive(target, content, count):
    """Stored and not compressed: JPEGs get no smaller."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number in range(count):
            archive.writestr(_name(number), content)
    flush_to_disk(target)


def format_comparison(comparison):
    """Two lines for people: files and seconds and rates of both forms, and the ratio."""
    megabytes = comparison.content_bytes / 1e6
    lines = [
        f"{form:22} {seconds:8.2f} s {megabytes / seconds:8.1f} MB/s"
        for form, seconds in (
            (f"{comparison.count:,} small files", comparison.files_seconds),
            ("one archive of them", comparison.archive_seconds),
        )
    ]
    ratio = comparison.files_seconds / comparison.archive_seconds
    return "\n".join([*lines, f"{megabytes:.1f} MB each; the small files take {ratio:.1f} times as long"])


def read_writeback(settings=SETTINGS):
    """The present `Writeback` of this machine; None on other systems than Linux. Writes nothing."""
    names = [*PAIRS, *PAIRS.values()]
    try:
        values = {name: int((settings / name).read_text()) for name in names}
        meminfo = Path("/proc/meminfo").read_text()
    except (OSError, ValueError):
        return None
    available = int(meminfo.partition("MemAvailable:")[2].split(maxsplit=1)[0]) * 1024
    allowed = {name: values[name] or values[ratio] * available // 100 for name, ratio in PAIRS.items()}
    return Writeback(values, allowed)


def format_writeback(writeback):
    """What is set, what the post's values would change, and how to go there and back, as text."""
    if writeback is None:
        return "This system has no vm.dirty settings: they are Linux' own."
    lines = []
    for name, ratio in PAIRS.items():
        now = f"vm.{name} = {writeback.settings[name]}, vm.{ratio} = {writeback.settings[ratio]}"
        allowed = f"{writeback.allowed[name] / 1e6:,.0f} MB may wait now"
        lines.append(f"{now}: {allowed}, {POST_BYTES[name] / 1e6:.0f} MB with the post's value")
    there = " ".join(f"vm.{name}={value}" for name, value in POST_BYTES.items())
    in_use = [name if writeback.settings[name] else ratio for name, ratio in PAIRS.items()]
    back = " ".join(f"vm.{name}={writeback.settings[name]}" for name in in_use)
    lines += [f"to the post's values:  sudo sysctl {there}", f"back to what is set:   sudo sysctl {back}"]
    return "\n".join(
        [*lines, "(Nothing was changed here. Such a command holds until the machine is started anew.)"]
    )


def main(arguments=None):
    """Command line: measure on a folder's disk, show the settings; exit code 2 where it cannot be written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="on the disk to be measured")
    parser.add_argument("--count", type=int, default=2000, help="number of small files")
    options = parser.parse_args(arguments)
    try:
        print(format_comparison(compare_small_files(options.folder, options.count)))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(format_writeback(read_writeback()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
