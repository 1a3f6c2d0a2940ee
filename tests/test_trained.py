"""The networks that come with the project: whole, those of the series, and taken where a profile says so."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from helpers import study
from helpers.files import InputError
from helpers.models import training
from helpers.workspace import POSTS
from tools.train_networks import EPOCHS

PLACES = {name: training.TRAINED / study.NETWORKS[name].folder for name in EPOCHS}
MOST_BYTES = 40e6
FEWEST_STEPS = 10_600  # of training; the classifier, which only judges images, has fewer
FEWEST_EXPLAINED = 0.93  # of the variance of faces that a network has never seen


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Function that opens a study of 40 synthetic faces which is otherwise `posts`."""
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path))
    monkeypatch.setattr(study, "get_profile", lambda name: replace(POSTS, synthetic_images=40))
    return lambda **changes: study.open("01_train_autoencoder", "posts", **changes)


def test_together_they_are_small_and_described():
    files = [path for path in training.TRAINED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    text = (training.TRAINED / "README.md").read_text(encoding="utf-8")
    for name, place in PLACES.items():
        state = training.read_state(place)
        assert f"| {name} |" in text
        assert state["weights_sha256"][:12] in text
        assert f"| {state['card']['steps']:,} |" in text


@pytest.mark.parametrize("name", EPOCHS)
def test_each_is_the_network_that_the_series_means(name):
    state, model = training.read_state(PLACES[name]), training.load_model(PLACES[name])
    assert type(model) is study.NETWORKS[name].kind
    assert model.get_config().items() >= study.NETWORKS[name].options.items()
    assert len(state["log"]) == EPOCHS[name]
    assert state["card"]["held-out loss"] == state["log"][-1]["val_total_loss"]
    if name != "classifier":
        assert model.decoder.input_shape == (None, POSTS.z_dim)
        assert state["card"]["steps"] >= FEWEST_STEPS
        assert state["card"]["explained variance"] > FEWEST_EXPLAINED


@pytest.mark.parametrize("name", EPOCHS)
def test_a_damaged_one_is_refused_by_name(name, tmp_path, monkeypatch):
    place = shutil.copytree(PLACES[name], tmp_path / "trained" / PLACES[name].name)
    monkeypatch.setattr(training, "TRAINED", tmp_path / "trained")
    weights = next(place.glob("*.weights.h5"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=rf"{weights.name} .* it comes with the project: get "):
        training.load_model(place)


def test_a_profile_that_says_so_takes_them_and_encodes_faces_that_they_have_not_seen(small):
    run = small()
    autoencoder = run.network("autoencoder")
    known = training.load_model(PLACES["autoencoder"])
    assert all(map(np.array_equal, autoencoder.get_weights(), known.get_weights()))
    assert run.log("autoencoder") == training.read_state(PLACES["autoencoder"])["log"]
    assert run.z_points("autoencoder").shape == (32, 256)
    assert not list((run.home / "autoencoder").glob("*.weights.h5"))


def test_other_options_train_a_network(small):
    assert not small(z_dim=8).profile.trained
    assert not small(epochs=1).profile.trained
    run = small(z_dim=8, epochs=1)
    assert run.network("autoencoder").decoder.input_shape == (None, 8)
    assert len(run.log("autoencoder")) == 1
