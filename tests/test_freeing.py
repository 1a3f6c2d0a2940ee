"""What is given back, measured, and what must not go with it."""

import gc
import subprocess
import sys

import keras
import numpy as np
import pytest

from helpers.files import project_root
from helpers.models import networks, training
from helpers.monitor import readings


def test_garbage_in_circles_is_collected_and_counted():
    readings.free()  # what other tests of this process left behind would be counted as well
    gc.disable()
    try:
        circle = [np.ones(25_000_000)]  # 200 MB
        circle.append(circle)
        held = readings.memory().process
        del circle
        assert readings.memory().process > held - 50e6
        freed = readings.free()
    finally:
        gc.enable()
    assert 180e6 < freed["garbage collection"] < 220e6
    assert readings.resident_bytes() < held - 150e6


def test_keras_forgets_models_but_not_the_precision():
    training.choose_precision("mixed_bfloat16")
    first = networks.build_encoder(z_dim=4, filters=(2, 2, 2, 2)).layers[1].name
    readings.free()
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert networks.build_encoder(z_dim=4, filters=(2, 2, 2, 2)).layers[1].name == first
    training.choose_precision("float32")


def test_a_model_that_is_in_use_survives():
    network = networks.build_encoder(z_dim=4, filters=(2, 2, 2, 2))
    images = np.random.default_rng(1).random((3, 96, 96, 3), np.float32)
    before = network.predict_on_batch(images)
    readings.free()
    np.testing.assert_array_equal(network.predict_on_batch(images), before)


def train_steps(batches, between):
    """Losses of a new network after training steps on these batches, and what is done between two of them."""
    keras.utils.set_random_seed(1)
    network = networks.Autoencoder(z_dim=4, filters=(2, 2, 2, 2))
    network.compile(optimizer=keras.optimizers.Adam())
    losses = []
    for batch in batches:
        losses.append(float(network.train_on_batch(batch)))
        between()
    return losses


def test_a_training_goes_on_as_if_nothing_had_been_freed():
    rng = np.random.default_rng(1)
    batches = [rng.random((n, 96, 96, 3), np.float32) for n in (3, 3, 2, 5, 3)]  # other sizes are traced anew
    assert train_steps(batches, readings.free) == train_steps(batches, lambda: None)


def test_the_parts_add_up():
    before = readings.memory().process
    freed = readings.free()
    assert sum(freed.values()) == pytest.approx(before - readings.memory().process, abs=20e6)


def test_without_keras_there_is_less_to_do():
    code = "import sys; from helpers import monitor; monitor.free(); sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=project_root(), check=False).returncode == 0


def test_the_line_names_each_step():
    sizes = (200_000_000, 3_000_000, 90_000_000, -1_000_000)
    line = readings.format_freed(dict(zip(readings.STEPS, sizes, strict=True)))
    steps = "garbage collection +200 MB, clear_session +3 MB, forgotten gradients +90 MB, C library -1 MB"
    assert line.startswith(f"given back by {steps}; ")
    assert line.endswith(" GB are still in use")
