"""What is said to keep memory low, each way measured in a process of its own.

Source: COL-005, COL-010, COL-011, COL-013, COL-023, COL-031, COL-032.
"""

import gc
import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, get_all_start_methods, get_context
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from helpers.files import project_root
from helpers.models.encoding import PREDICTED_AT_ONCE, predict
from helpers.models.images import ImageBatches
from helpers.models.networks import (
    COLOUR_CHANNELS,
    IMAGE_SIZE,
    Autoencoder,
    VariationalAutoencoder,
    build_decoder,
)
from helpers.monitor import backend, readings
from helpers.monitor.readings import free

POOL = 8  # pixels; the first layer of `_small_network` leaves so little that its own memory does not count
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, COLOUR_CHANNELS)
BATCH_SIZE = 128  # images
CALL_IMAGES = 8  # in each call of a network
WAYS_OF_IMAGES = ("float32 array", "uint8 array", "generator")
TAKEN_BY_KERAS = ("float32 array", "generator")  # as they are; it is handed slices of the other
WAYS_OF_CALLING = ("predict", "predict_on_batch", "call")
WAYS_OF_ANSWERING = ("Keras' predict", "batch by batch")
WAYS_OF_DROPPING = ("nothing done", "garbage collection", "clear_session", "free()")
FEW_CALLS = 5  # before the first reading: they make what stays anyhow


class Trial(NamedTuple):
    """What one way took, in bytes beyond what its process held before, and in seconds."""

    peak: int
    stays: int
    seconds: float
    peak_vram: int | None  # of TensorFlow, None without a GPU


def write_noise_images(folder, count, seed=1):
    """Write `count` images of noise as packed images: images.npy and splits.npy, all of them for training."""
    rng = np.random.default_rng(seed)
    np.save(Path(folder) / "images.npy", rng.integers(0, 256, (count, *IMAGE_SHAPE), np.uint8))
    np.save(Path(folder) / "splits.npy", np.zeros(count, np.uint8))


def measure_images(folder):
    """Way → `Trial` of a network's pass over the packed images in `folder`, held in each of WAYS_OF_IMAGES.

    Its seconds are those of handing out all batches once, without the network.
    """
    return _measure_all("images", {way: {"way": way, "folder": str(folder)} for way in WAYS_OF_IMAGES})


def measure_calls(calls):
    """Way → `Trial` of handing `calls` small batches to a network, in each of WAYS_OF_CALLING."""
    return _measure_all("calls", {way: {"way": way, "calls": calls} for way in WAYS_OF_CALLING})


def measure_answers(count):
    """Way → `Trial` of a decoder that draws `count` images, dropped at the end, in WAYS_OF_ANSWERING."""
    return _measure_all("answers", {way: {"way": way, "count": count} for way in WAYS_OF_ANSWERING})


def measure_networks(count):
    """Way → `Trial` of making, training and dropping `count` networks, in each of WAYS_OF_DROPPING."""
    return _measure_all("networks", {way: {"way": way, "count": count} for way in WAYS_OF_DROPPING})


def _measure_all(trial, ways):
    """Way → `Trial` of one of TRIALS with the options of each way, each in a process of its own."""
    results = measure_apart(measure_trial, [{"trial": trial, **options} for options in ways.values()])
    return dict(zip(ways, (Trial(**result) for result in results), strict=True))


def measure_trial(trial, **options):
    """The fields of a `Trial` of one of TRIALS, in this process."""
    return TRIALS[trial](**options)


def _images(way, folder):
    network = _small_network()
    network.predict(np.zeros((BATCH_SIZE, *IMAGE_SHAPE), np.float32), verbose=0)
    before = readings.memory().process
    images = _hold_images(way, Path(folder))
    started = time.perf_counter()
    for batch in _hand_out(images):
        batch[0].sum()
    seconds = time.perf_counter() - started
    given = images if way in TAKEN_BY_KERAS else _hand_out(images)
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
        yield from (images[index] for index in range(images.num_batches))
        return
    for start in range(0, len(images), BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE]
        yield (batch if batch.dtype == np.float32 else batch.astype(np.float32) / np.float32(255),)


def _calls(way, calls):
    network = _small_network()
    batch = np.zeros((CALL_IMAGES, *IMAGE_SHAPE), np.float32)
    functions = {
        "predict": lambda: network.predict(batch, verbose=0),
        "predict_on_batch": lambda: network.predict_on_batch(batch),
        "call": lambda: network(batch, training=False),
    }
    for _ in range(FEW_CALLS):
        functions[way]()
    before, started = readings.memory().process, time.perf_counter()
    for _ in range(calls):
        functions[way]()
    return _since(before, time.perf_counter() - started)


def _answers(way, count):
    decoder = build_decoder()

    def answer(n):
        z = np.zeros((n, decoder.input_shape[1]), np.float32)
        return predict(decoder, z) if way == "batch by batch" else decoder.predict(z, verbose=0)

    answer(PREDICTED_AT_ONCE)
    before, started = readings.memory().process, time.perf_counter()
    images = answer(count)
    seconds = time.perf_counter() - started
    del images
    free()
    return _since(before, seconds)


def _networks(way, count):
    _train_a_step()
    free()
    before, started = readings.memory().process, time.perf_counter()
    for _ in range(count):
        _train_a_step()
        if way == "free()":
            free()
        elif way == "clear_session":
            keras.utils.clear_session()  # which collects as well
        elif way == "garbage collection":
            gc.collect()
    return _since(before, time.perf_counter() - started)


def _train_a_step():
    """Make a network of the posts' size, train it for a step, and drop it."""
    network = Autoencoder()
    network.compile(optimizer=keras.optimizers.Adam())
    network.train_on_batch(np.zeros((CALL_IMAGES, *IMAGE_SHAPE), np.float32))


def _since(before, seconds):
    """The fields of a `Trial` that began with `before` bytes."""
    reading = readings.memory()
    return {
        "peak": reading.process_peak - before,
        "stays": reading.process - before,
        "seconds": seconds,
        "peak_vram": reading.backend and reading.backend.peak,
    }


def format_trials(trials):
    """Table of label → `Trial` for people."""
    lines = [f"{'MB of RAM':22} {'peak':>8} {'stays':>8} {'seconds':>8}"]
    for label, trial in trials.items():
        sizes = f"{trial.peak / 1e6:8,.0f} {trial.stays / 1e6:8,.0f} {trial.seconds:8.2f}"
        lines.append(f"{label:22} {sizes}")
    return "\n".join(lines)


TRIALS = {"images": _images, "calls": _calls, "answers": _answers, "networks": _networks}


def measure_apart(function, tasks):
    """Results of a function of a module for each of `tasks`, dicts of its arguments, each in its own process.

    Where the system can fork, the module is imported once for all of them, by a process in which nothing else
    happens. RuntimeError, with the reason, when one fails.
    """
    context = _fresh_processes(function.__module__)
    return [_measure_in_pool(ProcessPoolExecutor(1, context), function, task) for task in tasks]


def _fresh_processes(module):
    """Context of processes that begin with no more than the import of a module."""
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([module])
        former = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(project_root()), former]))
        forkserver.ensure_running()  # takes the path with it: a notebook's folder is not the project's
        os.environ.pop("PYTHONPATH") if former is None else os.environ.update(PYTHONPATH=former)
    return context


def _measure_in_pool(pool, function, task):
    with pool:
        try:
            pool.submit(backend.start_backend).result()
            return pool.submit(function, **task).result()
        except BrokenProcessPool as error:
            reason = "it was ended from outside, perhaps for lack of memory"
            raise RuntimeError(f"The measuring process failed: {reason}") from error
        except Exception as error:
            raise RuntimeError(f"The measuring process failed: {error}") from error


def measure_footprints(variants, steps, precision):
    """Train a `VariationalAutoencoder` per variant for `steps` steps on noise, each in its own process.

    `variants`: dicts of batch_size and of the network's options. Returns for each a dict in bytes: weights,
    optimizer, activations (outputs of all layers for one batch, counted), peak_ram (largest resident memory
    beyond what the process held before the network), peak_vram (None without a GPU); and seconds_per_step
    (median; the first step, which compiles, is left out).
    """
    return measure_apart(
        measure_footprint, [{"steps": steps, "precision": precision, **each} for each in variants]
    )


def activation_bytes(network, batch_size):
    """Bytes of the outputs of all layers of a functional network for one batch."""
    numbers = 0
    for layer in network.layers[1:]:
        size = 2 if layer.compute_dtype in ("float16", "bfloat16") else 4
        numbers += int(np.prod(layer.output.shape[1:])) * size
    return numbers * batch_size


def measure_footprint(batch_size, steps, precision, **options):
    """One of `measure_footprints`, in this process."""
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(1)
    batch = np.random.default_rng(1).random((batch_size, IMAGE_SIZE, IMAGE_SIZE, COLOUR_CHANNELS), np.float32)
    before = readings.memory().process
    vae = VariationalAutoencoder(**options)
    vae.compile(optimizer=keras.optimizers.Adam())
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        vae.train_on_batch(batch)
        seconds.append(time.perf_counter() - started)
    networks = (vae.encoder, vae.decoder)
    return {
        "weights": sum(4 * network.count_params() for network in networks),
        "optimizer": sum(np.asarray(v).nbytes for v in vae.optimizer.variables),
        "activations": sum(activation_bytes(network, batch_size) for network in networks),
        "peak_ram": readings.memory().process_peak - before,
        "peak_vram": backend.backend_peak_vram(),
        "seconds_per_step": float(np.median(seconds[1:])),
    }
