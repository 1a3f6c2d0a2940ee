"""Trials of memory: what they hold must show in what they report."""

import numpy as np
import pytest

from helpers.models import costs
from helpers.models.costs import Trial, format_trials
from helpers.models.images import load_images

COUNT = 600
ARRAY_BYTES = COUNT * 96 * 96 * 3 * 4  # as float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    costs.write_noise_images(folder, COUNT)
    return folder


@pytest.mark.parametrize("way", costs.WAYS_OF_IMAGES)
def test_all_ways_hand_out_the_same_images(folder, way):
    batches = list(costs._hand_out(costs._hold_images(way, folder)))
    assert [len(batch) for (batch,) in batches] == [128, 128, 128, 128, 88]
    assert all(batch.dtype == np.float32 for (batch,) in batches)
    together = np.concatenate([batch for (batch,) in batches])
    np.testing.assert_array_equal(together, load_images(folder, np.arange(COUNT)))


def test_an_array_shows_at_the_peak_and_a_generator_does_not(folder):
    trials = costs.measure_images(folder)
    assert tuple(trials) == costs.WAYS_OF_IMAGES
    whole, generator = trials["float32 array"], trials["generator"]
    assert whole.peak > ARRAY_BYTES
    assert whole.peak - generator.peak > ARRAY_BYTES / 2
    assert whole.peak >= whole.stays
    assert whole.seconds > 0


def test_networks_and_calls_are_measured_in_other_processes():
    trials = costs.measure_networks(3)
    assert tuple(trials) == tuple(costs.WAYS_OF_DROPPING)
    assert trials["nothing done"].stays > 3 * 50e6  # TensorFlow holds each network's variables,
    assert trials["clear_session"].stays > 3 * 50e6  # whatever Keras clears,
    assert trials["free()"].stays < 75e6  # and free() has it forget them
    few, many = (costs.measure_calls(calls) for calls in (2, 20))
    assert all(many[way].seconds > few[way].seconds for way in costs.WAYS_OF_CALLING)


def test_images_drawn_batch_by_batch_take_their_own_size_and_those_of_predict_a_multiple():
    at_once, by_batch = costs.measure_answers(3 * COUNT).values()  # many, so that little else counts
    assert 0.9 < by_batch.peak / (3 * ARRAY_BYTES) < 1.6
    assert at_once.peak / (3 * ARRAY_BYTES) > 2
    assert by_batch.stays < 0.5 * 3 * ARRAY_BYTES < at_once.stays


def test_a_failure_in_the_other_process_is_told(folder):
    with pytest.raises(RuntimeError, match=r"measuring process failed.*nowhere"):
        costs.measure_images(folder / "nowhere")


def test_the_table_has_a_line_for_each_trial():
    trials = {
        "predict": Trial(2_000_000, 1_000_000, 0.5, None),
        "call": Trial(0, -500_000, 12.25, None),
    }
    lines = format_trials(trials).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["predict", "2", "1", "0.50"],
        ["call", "0", "-0", "12.25"],
    ]
