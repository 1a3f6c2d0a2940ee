"""Speed and memory of preparation: `python -m benchmarks.bench_preparation`.

Takes the archive in the folder CELEBA_DIR, or makes one of random pictures; a large archive repeats its
first pictures. The bars are for two cores that nothing else uses; the ratio to the plain loop holds on a
busy machine too.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks import tables

ROOT = Path(__file__).resolve().parents[1]
MADE_IMAGES = 16_000  # where CELEBA_DIR is not set
MANY_IMAGES = 100_000  # to see whether memory grows with their number
DISTINCT_IMAGES = 1_000  # of which those archives consist
BAR_RATE, BAR_BYTES = 3_000, 600e6  # images/s; peak memory of the process tree
SAMPLE_SECONDS = 0.05  # between two readings of memory


def random_jpeg(seed):
    """A CelebA-sized JPEG file of about 9 kB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((178, 218), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_repeats(path, files, count):
    """Write a stored zip archive of `count` images that repeats the given ones."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"img_align_celeba/{number + 1:06d}.jpg", files[number % len(files)])
    return path


def first_images(path):
    """The first image files in a zip archive."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        return [archive.read(name) for name in names[:DISTINCT_IMAGES]]


def plain_loop(files):
    """Images per second of the obvious program: one process, Pillow alone, a list in memory."""
    started = time.perf_counter()
    images = []
    for file in files:
        image = Image.open(io.BytesIO(file)).convert("RGB").crop((15, 35, 163, 183))
        images.append(np.asarray(image.resize((96, 96), Image.Resampling.HAMMING)))
    return len(images) / (time.perf_counter() - started)


def prepare(source, out):
    """Run the preparation as its users do; seconds, and the peak memory of its process tree in bytes."""
    command = [sys.executable, "-m", "data_prep.prepare_celeba", "--images", str(source), "--out", str(out)]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"prepare_celeba has failed with exit code {process.returncode}")
    return time.perf_counter() - started, peak


def tree_bytes(pid):
    """Resident memory in bytes of a process and all that it has started; 0 once it has ended."""
    try:
        parent = psutil.Process(pid)
        return sum(process.memory_info().rss for process in [parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def measure(folder):
    """Rows of the table (what, value, unit, bar), and whether a bar was missed."""
    if "CELEBA_DIR" in os.environ:
        source = Path(os.environ["CELEBA_DIR"]) / "img_align_celeba.zip"
        files = first_images(source)
    else:
        files = [random_jpeg(seed) for seed in range(DISTINCT_IMAGES)]
        source = write_repeats(folder / "img_align_celeba.zip", files, MADE_IMAGES)
    peer = plain_loop(files)
    seconds, peak = prepare(source, folder / "out")
    count = len(np.load(folder / "out" / "images.npy", mmap_mode="r"))
    many = write_repeats(folder / "many.zip", files, MANY_IMAGES)
    many_seconds, many_peak = prepare(many, folder / "many")
    rate, many_rate = count / seconds, MANY_IMAGES / many_seconds
    rows = [
        (f"prepare, {count:,} images", rate, "images/s", f"≥ {BAR_RATE:,}"),
        (f"prepare, {MANY_IMAGES:,} images", many_rate, "images/s", f"≥ {BAR_RATE:,}"),
        ("plain loop in one process", peer, "images/s", ""),
        ("prepare / plain loop", rate / peer, "", ""),
        (f"peak memory, {count:,} images", peak / 1e6, "MB", f"< {BAR_BYTES / 1e6:.0f}"),
        (f"peak memory, {MANY_IMAGES:,} images", many_peak / 1e6, "MB", f"< {BAR_BYTES / 1e6:.0f}"),
    ]
    return rows, min(rate, many_rate) < BAR_RATE or max(peak, many_peak) > BAR_BYTES


def main():
    """Measure and print the table; return whether a bar was missed."""
    tables.print_machine()
    with tempfile.TemporaryDirectory() as folder:
        rows, missed = measure(Path(folder))
    tables.print_rows(rows)
    return missed


if __name__ == "__main__":
    sys.exit(int(main()))
