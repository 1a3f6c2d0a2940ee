"""Memory and time of training, of each network in a process of its own."""

import time

import keras
import numpy as np

from helpers import monitor
from helpers.apart import measure_apart
from helpers.models import COLOUR_CHANNELS, IMAGE_SIZE, VariationalAutoencoder


def measure_footprints(variants, steps, precision):
    """Train a `VariationalAutoencoder` per variant for `steps` steps on noise, each in its own process.

    `variants`: dicts of batch_size and of the network's options. Returns for each a dict in bytes: weights,
    optimizer, activations (outputs of all layers for one batch, counted), peak_ram (largest resident memory
    beyond what the process held before the network), peak_vram (None without a GPU); and seconds_per_step
    (median; the first step, which compiles, is left out).
    """
    return measure_apart(__name__, [{"steps": steps, "precision": precision, **each} for each in variants])


def activation_bytes(network, batch_size):
    """Bytes of the outputs of all layers of a functional network for one batch."""
    numbers = 0
    for layer in network.layers[1:]:
        size = 2 if layer.compute_dtype in ("float16", "bfloat16") else 4
        numbers += int(np.prod(layer.output.shape[1:])) * size
    return numbers * batch_size


def measure(batch_size, steps, precision, **options):
    """One of `measure_footprints`, in this process."""
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
