"""kill -9 at random moments of a real training process: the next start finishes, with an equal result."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

SCRIPT = """
import sys
import keras
from helpers.models import images, networks, training
packed, folder, precision = sys.argv[1:]
training.choose_precision(precision)
keras.Model._resolve_auto_jit_compile = lambda self: precision == "mixed_float16"  # as on a GPU
keras.utils.set_random_seed(7)
autoencoder = networks.Autoencoder(z_dim=8, filters=(4, 6, 8, 8))
train = images.ImageBatches(packed, "train", 2, shuffle=True, seed=7)
training.fit(autoencoder, train, images.ImageBatches(packed, "valid", 6), 12, folder, 0.01)
"""
EPOCHS = 12
KILLS = 5


def start(packed, folder, precision):
    command = [sys.executable, "-c", SCRIPT, str(packed), str(folder), precision]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def epochs_done(folder):
    state = folder / "state.json"
    return len(json.loads(state.read_text())["log"]) if state.exists() else 0


def kill_during_training(packed, folder, precision, delay):
    """Start, wait until the process has written one more epoch, and kill it `delay` seconds later."""
    process, before = start(packed, folder, precision), epochs_done(folder)
    while epochs_done(folder) == before and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode


def final_weights(folder):
    state = json.loads((folder / "state.json").read_text())
    arrays = {}
    with h5py.File(folder / state["weights"]) as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return arrays


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_killed_training_goes_on_and_ends_with_the_same_network(packed, tmp_path, precision):
    seed = random.randrange(10**6)
    print("random moments from seed", seed)
    rng = random.Random(seed)
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    assert start(packed, undisturbed, precision).wait() == 0
    codes = [kill_during_training(packed, disturbed, precision, rng.uniform(0, 0.3)) for _ in range(KILLS)]
    assert codes.count(-signal.SIGKILL) >= 3, "the process finished before most kills"
    last = start(packed, disturbed, precision)
    assert last.communicate()[1] is not None
    assert last.returncode == 0
    assert epochs_done(disturbed) == EPOCHS
    expected, weights = final_weights(undisturbed), final_weights(disturbed)
    assert expected.keys() == weights.keys()
    assert any("inner_optimizer" in name for name in weights) == (
        precision == "mixed_float16"
    )  # a loss scale
    for name, array in expected.items():
        assert np.allclose(array, weights[name], rtol=1e-3, atol=1e-5), name
    assert not list(disturbed.glob("*partial*"))
