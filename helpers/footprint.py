"""Memory and time of training, measured in a process of their own.

Memory that a process has once had stays with it, so two networks cannot be compared in one.
"""

import json
import os
import subprocess
import sys
import time

import keras
import numpy as np

from helpers import monitor
from helpers.models import COLOUR_CHANNELS, IMAGE_SIZE, VariationalAutoencoder
from helpers.workspace import project_root


def measure_footprint(batch_size, steps, precision, **options):
    """Train a `VariationalAutoencoder(**options)` for `steps` steps on noise images in a new process.

    Returns bytes: weights, optimizer, activations (outputs of all layers for one batch, counted), peak_ram
    (largest resident memory beyond what the process held before the network), peak_vram (None without a
    GPU); and seconds_per_step (median; the first step, which compiles, is left out).
    """
    task = {"batch_size": batch_size, "steps": steps, "precision": precision, "options": options}
    done = subprocess.run(
        [sys.executable, "-m", "helpers.footprint", json.dumps(task)],
        cwd=project_root(),
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The measuring process failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def activation_bytes(network, batch_size):
    """Bytes of the outputs of all layers of a functional network for one batch."""
    numbers = 0
    for layer in network.layers[1:]:
        size = 2 if layer.compute_dtype in ("float16", "bfloat16") else 4
        numbers += int(np.prod(layer.output.shape[1:])) * size
    return numbers * batch_size


def _measure(batch_size, steps, precision, options):
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(1)
    batch = np.random.default_rng(1).random((batch_size, IMAGE_SIZE, IMAGE_SIZE, COLOUR_CHANNELS), np.float32)
    before = monitor.memory().process
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
        "peak_ram": monitor.memory().process_peak - before,
        "peak_vram": monitor.backend_peak_vram(),
        "seconds_per_step": float(np.median(seconds[1:])),
    }


if __name__ == "__main__":
    print(json.dumps(_measure(**json.loads(sys.argv[1]))))
