"""Training from the packed file: throughput against the same model fed from RAM, and peak memory.

Bars: the generator reaches 0.95 of the throughput from RAM; training on 170,000 packed images (4.7 GB) stays
below 2.5 GB of resident memory, mapped pages included.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH_SIZE = 128  # images
SPEED_IMAGES = 3_200  # images per timed epoch
ROUNDS = 3  # epochs timed of each kind, taken in turn
MANY_IMAGES = 170_000
MANY_STEPS = 40  # training steps on the large file
PIECE_IMAGES = 1_000  # drawn at once
SPEED_BAR, MEMORY_BAR_GIGABYTES = 0.95, 2.5


def write_packed(folder, images):
    """Packed folder of random images that all belong to the train split; written in pieces."""
    from helpers.models.images import write_manifest

    folder.mkdir()
    rng = np.random.default_rng(0)
    with open(folder / "images.npy", "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (images, 96, 96, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, images, PIECE_IMAGES):
            shape = (min(PIECE_IMAGES, images - start), 96, 96, 3)
            file.write(rng.integers(0, 256, shape, dtype=np.uint8).tobytes())
    np.save(folder / "splits.npy", np.zeros(images, np.uint8))
    write_manifest(folder)


def build_model():
    """The posts' autoencoder, compiled, at the precision that 'auto' takes here."""
    from helpers.models import networks, training
    from helpers.monitor import backend

    backend.start_backend()
    import keras

    training.choose_precision("auto")
    autoencoder = networks.Autoencoder()
    autoencoder.compile(optimizer=keras.optimizers.Adam(0.0005))
    return autoencoder


def measure_speed(folder):
    """Images per second (generator, RAM): medians of epochs taken in turn on one compiled model."""
    model = build_model()
    from helpers.models import images

    batches = images.ImageBatches(folder, "train", BATCH_SIZE, shuffle=True)
    array = images.load_images(folder, batches.rows)
    feeds = {"generator": {"x": batches}, "RAM": {"x": array, "batch_size": BATCH_SIZE}}
    rates = {name: [] for name in feeds}
    for round_number in range(ROUNDS + 1):
        for name, feed in feeds.items():
            started = time.perf_counter()
            model.fit(**feed, epochs=1, shuffle=name == "RAM", verbose=0)
            if round_number:  # the first round traces and warms up
                rates[name].append(len(array) / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in rates.items()}


def measure_peak(folder):
    """Peak resident memory (bytes) of a process that trains and reads all of a large file at random."""
    model = build_model()
    from helpers.models import images
    from helpers.monitor import readings

    batches = images.ImageBatches(folder, "train", BATCH_SIZE, shuffle=True)
    model.fit(batches, steps_per_epoch=MANY_STEPS, epochs=1, shuffle=False, verbose=0)
    for _ in batches:  # an epoch's reading without its arithmetic
        pass
    return readings.memory().process_peak


def main():
    """Print the table; exit code 1 when a bar is missed."""
    from helpers.models.costs import measure_apart

    scratch = Path(tempfile.mkdtemp(prefix="latent-faces-bench-", dir=os.environ.get("BENCH_DIR")))
    try:
        write_packed(scratch / "speed", SPEED_IMAGES)
        (rates,) = measure_apart(measure_speed, [{"folder": scratch / "speed"}])
        write_packed(scratch / "many", MANY_IMAGES)
        (peak,) = (found / 1e9 for found in measure_apart(measure_peak, [{"folder": scratch / "many"}]))
    finally:
        shutil.rmtree(scratch)
    ratio = rates["generator"] / rates["RAM"]
    print(f"training, generator   {rates['generator']:8.0f} images/s")
    print(f"training, from RAM    {rates['RAM']:8.0f} images/s")
    print(f"ratio                 {ratio:8.3f}   (bar: at least {SPEED_BAR})")
    print(f"peak memory, {MANY_IMAGES:,} packed images: {peak:.2f} GB (bar: below {MEMORY_BAR_GIGABYTES})")
    return int(ratio < SPEED_BAR or peak >= MEMORY_BAR_GIGABYTES)


if __name__ == "__main__":
    sys.exit(main())
