"""Trials of memory: what code holds must show in what they report."""

import pytest

from helpers.models import costs

COUNT = 600
ARRAY_BYTES = COUNT * 96 * 96 * 3 * 4  # as float32
IMAGES = "images = np.divide(np.load(folder / 'images.npy'), 255, dtype=np.float32)"
GENERATOR = (
    "from helpers import models\nfor (batch,) in models.ImageBatches(folder, 'train', 128): batch.sum()"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    costs.write_noise_images(folder, COUNT)
    return folder


def test_an_array_shows_at_the_peak_and_a_generator_does_not(folder):
    ways = {"array": IMAGES, "dropped": f"{IMAGES}\ndel images", "generator": GENERATOR}
    trials = costs.measure_ways(ways, "import helpers.models", folder=folder)
    assert tuple(trials) == tuple(ways)
    assert min(trials["array"].stays, trials["dropped"].peak) > ARRAY_BYTES
    assert trials["dropped"].stays < ARRAY_BYTES / 4
    assert trials["array"].peak - trials["generator"].peak > ARRAY_BYTES / 2


def test_what_is_prepared_is_not_measured(folder):
    (trial,) = costs.measure_ways(
        {"": "images.sum(); import time; time.sleep(0.2)"}, IMAGES, folder=folder
    ).values()
    assert trial.stays < ARRAY_BYTES / 4
    assert 0.2 < trial.seconds < 5


NETWORKS = """
from helpers import models, monitor
def train():
    network = models.Autoencoder()
    network.compile(optimizer=keras.optimizers.Adam())
    network.train_on_batch(np.zeros((8, 96, 96, 3), np.float32))
train()
monitor.free()
"""


def test_tensorflow_holds_dropped_networks_until_free_has_it_forget_them():
    after = {"clear_session": "keras.utils.clear_session()", "free()": "monitor.free()"}
    ways = {way: f"for _ in range(3):\n    train()\n    {code}" for way, code in after.items()}
    trials = costs.measure_ways(ways, NETWORKS)
    assert trials["clear_session"].stays > 3 * 50e6
    assert trials["free()"].stays < 75e6


DECODER = """
from helpers import models, monitor
decoder, z = models.build_decoder(), np.zeros((count, 256), np.float32)
decoder.predict(z[:100], verbose=0), models.predict(decoder, z[:100])
"""


def test_images_drawn_batch_by_batch_take_their_own_size_and_those_of_predict_a_multiple():
    ways = {"at once": "decoder.predict(z, verbose=0)", "by batch": "models.predict(decoder, z)"}
    ways = {way: f"{code}; monitor.free()" for way, code in ways.items()}
    at_once, by_batch = costs.measure_ways(
        ways, DECODER, count=3 * COUNT
    ).values()  # many: little else counts
    assert 0.9 < by_batch.peak / (3 * ARRAY_BYTES) < 1.6
    assert at_once.peak / (3 * ARRAY_BYTES) > 2
    assert by_batch.stays < 0.5 * 3 * ARRAY_BYTES < at_once.stays


def test_a_failure_in_the_other_process_is_told(folder):
    with pytest.raises(RuntimeError, match=r"measuring process failed.*nowhere"):
        costs.measure_ways({"": IMAGES}, folder=folder / "nowhere")
