"""What is said to keep memory low, each way measured in a process of its own.

Source: COL-005, COL-010, COL-011, COL-013, COL-023, COL-031, COL-032.
"""

import gc
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import forkserver, get_all_start_methods, get_context
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from helpers.files import project_root
from helpers.models.encoding import PREDICTED_AT_ONCE, predict
from helpers.models.images import ImageBatches, write_manifest
from helpers.models.networks import IMAGE_SHAPE, Autoencoder, VariationalAutoencoder, build_decoder
from helpers.monitor import backend
from helpers.monitor.readings import free, memory, resident_bytes

POOL = 8  # pixels; the first layer of `_small_network` leaves so little that its own memory does not count
BATCH_SIZE = 128  # images
CALL_IMAGES = 8  # in each call of a network
WAYS_OF_IMAGES = ("float32 array", "uint8 array", "generator")
WAYS_OF_CALLING = {
    "predict": lambda network, batch: network.predict(batch, verbose=0),
    "predict_on_batch": lambda network, batch: network.predict_on_batch(batch),
    "call": lambda network, batch: network(batch, training=False),
}
WAYS_OF_ANSWERING = {"Keras' predict": WAYS_OF_CALLING["predict"], "batch by batch": predict}
WAYS_OF_DROPPING = {
    "nothing done": lambda: None,
    "garbage collection": gc.collect,
    "clear_session": keras.utils.clear_session,  # which collects as well
    "free()": free,
}
FEW_CALLS = 5  # before the first reading: they make what stays anyhow


class Trial(NamedTuple):
    """What one way took, in bytes beyond what its process held before, and in seconds."""

    peak: int
    stays: int
    seconds: float
    peak_vram: int | None  # of TensorFlow, None without a GPU


def write_noise_images(folder, count, seed=1):
    """Write `count` images of noise as packed images, all of them for training."""
    rng = np.random.default_rng(seed)
    np.save(Path(folder) / "images.npy", rng.integers(0, 256, (count, *IMAGE_SHAPE), np.uint8))
    np.save(Path(folder) / "splits.npy", np.zeros(count, np.uint8))
    write_manifest(folder)


def measure_images(folder):
    """Way → `Trial` of a network's pass over the packed images in `folder`, held in each of WAYS_OF_IMAGES.

    Its seconds are those of handing out all batches once, without the network.
    """
    return _measure_ways(_pass_images, WAYS_OF_IMAGES, folder=folder)


def measure_calls(calls):
    """Way → `Trial` of handing `calls` small batches to a network, in each of WAYS_OF_CALLING."""
    return _measure_ways(_call_often, WAYS_OF_CALLING, calls=calls)


def measure_answers(count):
    """Way → `Trial` of a decoder that draws `count` images, dropped at the end, in WAYS_OF_ANSWERING."""
    return _measure_ways(_draw_images, WAYS_OF_ANSWERING, count=count)


def measure_networks(count):
    """Way → `Trial` of making, training and dropping `count` networks, in each of WAYS_OF_DROPPING."""
    return _measure_ways(_drop_networks, WAYS_OF_DROPPING, count=count)


def _measure_ways(function, ways, **options):
    """Way → `Trial`, what the function says of it in a process of its own."""
    tasks = [{"way": way, **options} for way in ways]
    return dict(zip(ways, measure_apart(function, tasks, backend.start_backend), strict=True))


def _pass_images(way, folder):
    network = _small_network()
    network.predict(np.zeros((BATCH_SIZE, *IMAGE_SHAPE), np.float32), verbose=0)
    before = resident_bytes()
    images = _hold_images(way, folder)
    started = time.perf_counter()
    for (batch,) in _hand_out(images):
        batch.sum()
    seconds = time.perf_counter() - started
    given = _hand_out(images) if way == "uint8 array" else images  # which Keras takes as they are
    network.predict(given, batch_size=BATCH_SIZE if way == "float32 array" else None, verbose=0)
    return _since(before, seconds)


def _small_network():
    """A network that is done with an image at once, so that what is measured is how it gets there."""
    layers = keras.layers
    return keras.Sequential(
        [keras.Input(IMAGE_SHAPE), layers.AveragePooling2D(POOL), layers.Flatten(), layers.Dense(8)]
    )


def _hold_images(way, folder):
    """All images in memory, as numbers or as bytes, or the `ImageBatches` that read them when asked."""
    if way == "generator":
        return ImageBatches(folder, "train", BATCH_SIZE)
    images = np.load(folder / "images.npy", allow_pickle=False)
    return images if way == "uint8 array" else np.divide(images, np.float32(255), dtype=np.float32)


def _hand_out(images):
    """Yield the batches one by one, each a tuple of float32 images."""
    if isinstance(images, ImageBatches):
        yield from images
        return
    for start in range(0, len(images), BATCH_SIZE):
        piece = images[start : start + BATCH_SIZE]
        yield (piece if piece.dtype == np.float32 else piece.astype(np.float32) / np.float32(255),)


def _call_often(way, calls):
    batch = np.zeros((CALL_IMAGES, *IMAGE_SHAPE), np.float32)
    call = partial(WAYS_OF_CALLING[way], _small_network(), batch)
    for _ in range(FEW_CALLS):
        call()
    before, started = resident_bytes(), time.perf_counter()
    for _ in range(calls):
        call()
    return _since(before, time.perf_counter() - started)


def _draw_images(way, count):
    decoder, answer = build_decoder(), WAYS_OF_ANSWERING[way]
    z = np.zeros((count, decoder.input_shape[1]), np.float32)
    answer(decoder, z[:PREDICTED_AT_ONCE])
    before, started = resident_bytes(), time.perf_counter()
    answer(decoder, z)
    seconds = time.perf_counter() - started
    free()
    return _since(before, seconds)


def _drop_networks(way, count):
    _train_a_step()
    free()
    before, started = resident_bytes(), time.perf_counter()
    for _ in range(count):
        _train_a_step()
        WAYS_OF_DROPPING[way]()
    return _since(before, time.perf_counter() - started)


def _train_a_step():
    network = Autoencoder()  # of the posts' size
    network.compile(optimizer=keras.optimizers.Adam())
    network.train_on_batch(np.zeros((CALL_IMAGES, *IMAGE_SHAPE), np.float32))


def _since(before, seconds):
    """`Trial` that began with `before` bytes."""
    now = memory()
    return Trial(now.process_peak - before, now.process - before, seconds, now.backend and now.backend.peak)


def format_trials(trials):
    """Table of label → `Trial` for people."""
    lines = [f"{'MB of RAM':22} {'peak':>8} {'stays':>8} {'seconds':>8}"]
    for label, trial in trials.items():
        lines.append(f"{label:22} {trial.peak / 1e6:8,.0f} {trial.stays / 1e6:8,.0f} {trial.seconds:8.2f}")
    return "\n".join(lines)


def measure_footprints(variants, steps, precision):
    """Train a `VariationalAutoencoder` per variant for `steps` steps on noise, each in its own process.

    `variants`: dicts of batch_size and of the network's options. Returns for each a dict in bytes: weights,
    optimizer, activations (outputs of all layers for one batch), peak_ram (beyond what the process held
    before), peak_vram (None without a GPU); and seconds_per_step (median, without the first).
    """
    tasks = [{"steps": steps, "precision": precision, **each} for each in variants]
    return measure_apart(_measure_footprint, tasks, backend.start_backend)


def activation_bytes(network, batch_size):
    """Bytes of the outputs of all layers of a functional network for one batch."""
    sizes = {"float16": 2, "bfloat16": 2, "float32": 4}
    layers = network.layers[1:]
    return batch_size * sum(sizes[each.compute_dtype] * math.prod(each.output.shape[1:]) for each in layers)


def _measure_footprint(batch_size, steps, precision, **options):
    """One of `measure_footprints`, in this process."""
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(1)
    batch = np.random.default_rng(1).random((batch_size, *IMAGE_SHAPE), np.float32)
    before = resident_bytes()
    vae = VariationalAutoencoder(**options)
    vae.compile(optimizer=keras.optimizers.Adam())
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        vae.train_on_batch(batch)
        seconds.append(time.perf_counter() - started)
    trial, networks = _since(before, float(np.median(seconds[1:]))), (vae.encoder, vae.decoder)
    return {
        "weights": sum(4 * network.count_params() for network in networks),
        "optimizer": sum(np.asarray(v).nbytes for v in vae.optimizer.variables),
        "activations": sum(activation_bytes(network, batch_size) for network in networks),
        "peak_ram": trial.peak,
        "peak_vram": trial.peak_vram,
        "seconds_per_step": trial.seconds,
    }


def measure_apart(function, tasks, prepare=None):
    """Results of a function of a module for each of `tasks`, dicts of its arguments, each in its own process.

    `prepare()`, another function of a module, is called there first. Where the system can fork, the module is
    imported once for all, by a process in which nothing else happens. RuntimeError when one fails.
    """
    forks, results = "forkserver" in get_all_start_methods(), []
    context = get_context("forkserver" if forks else "spawn")
    with ExitStack() as undo:
        undo.callback(os.chdir, os.getcwd())
        os.chdir(project_root())  # where modules are found: a notebook has a folder of its own
        if forks:
            context.set_forkserver_preload([function.__module__])
            undo.callback(forkserver._forkserver._stop)  # it would hold 0.5 GB until this process ends
            with backend.stderr_closed():
                forkserver.ensure_running()
        try:
            for task in tasks:
                with ProcessPoolExecutor(1, context, prepare) as pool:
                    results.append(pool.submit(function, **task).result())
        except Exception as error:
            raise RuntimeError(f"The measuring process failed: {error}") from error
    return results
