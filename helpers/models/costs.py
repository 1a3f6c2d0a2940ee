"""What a way of doing something takes, in memory and time: each is measured in a process of its own."""

import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import forkserver, get_all_start_methods, get_context
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from helpers.files import project_root
from helpers.models.images import write_manifest
from helpers.models.networks import IMAGE_SHAPE, VariationalAutoencoder
from helpers.monitor import backend
from helpers.monitor.readings import memory, resident_bytes


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


def measure_ways(ways, prepare="", **values):
    """Way → `Trial` of running its code, each way in a process of its own.

    `ways` maps a label to Python code; `prepare` is code that runs before the first reading. Both know `np`,
    `keras` and `values` by their names. RuntimeError where code fails.
    """
    tasks = [{"code": code, "prepare": prepare, "values": values} for code in ways.values()]
    return dict(zip(ways, measure_apart(_run_code, tasks, backend.start_backend), strict=True))


def _run_code(code, prepare, values):
    names = {"np": np, "keras": keras, **values}
    exec(prepare, names)
    before, started = resident_bytes(), time.perf_counter()
    exec(code, names)
    return _since(before, time.perf_counter() - started)


def _since(before, seconds):
    """`Trial` that began with `before` bytes."""
    now = memory()
    return Trial(now.process_peak - before, now.process - before, seconds, now.backend and now.backend.peak)


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
