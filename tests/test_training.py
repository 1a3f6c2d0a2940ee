import io
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr

import keras
import numpy as np
import pytest

from helpers.files import InputError, locked, sha256_of, write_json
from helpers.models import encoding, images, networks, training

pytestmark = pytest.mark.backend

LEARNING_RATE = 0.01
SMALL = {"z_dim": 8, "filters": (4, 6, 8, 8)}


@pytest.fixture(autouse=True)
def float32():
    training.choose_precision("float32")


def train_up_to(epochs, folder, packed, seed=1, learning_rate=LEARNING_RATE, publish=None, **options):
    keras.utils.set_random_seed(seed)
    autoencoder = networks.Autoencoder(**SMALL, **options)
    train = images.ImageBatches(packed, "train", 16, shuffle=True, seed=seed)
    valid = images.ImageBatches(packed, "valid", 16)
    log = training.fit(autoencoder, train, valid, epochs, folder, learning_rate, publish)
    return autoencoder, log


def logged_epochs(folder):
    return [row["epoch"] for row in json.loads((folder / "state.json").read_text())["log"]]


def test_training_lowers_the_loss_and_logs_each_epoch(packed, tmp_path):
    _, log = train_up_to(4, tmp_path / "ae", packed)
    assert [row["epoch"] for row in log] == logged_epochs(tmp_path / "ae") == [1, 2, 3, 4]
    assert log[-1]["total_loss"] < log[0]["total_loss"] - 20
    assert log[-1]["val_total_loss"] < log[0]["val_total_loss"]
    assert 4000 < log[-1]["val_total_loss"] < 96 * 96 * np.log(2) + 50


def test_going_on_equals_an_undisturbed_training(packed, tmp_path):
    undisturbed, log = train_up_to(4, tmp_path / "whole", packed)
    train_up_to(2, tmp_path / "halves", packed)
    resumed, log_of_halves = train_up_to(4, tmp_path / "halves", packed, seed=1)
    losses = [[row["total_loss"] for row in rows] for rows in (log, log_of_halves)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for a, b in zip(undisturbed.get_weights(), resumed.get_weights(), strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6)
    assert logged_epochs(tmp_path / "halves") == [1, 2, 3, 4]


def test_a_finished_training_is_loaded_not_repeated(packed, tmp_path):
    first, _ = train_up_to(2, tmp_path / "ae", packed)
    before = (tmp_path / "ae" / "state.json").stat().st_mtime_ns
    second, log = train_up_to(2, tmp_path / "ae", packed)
    assert (tmp_path / "ae" / "state.json").stat().st_mtime_ns == before
    assert len(log) == 2
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_another_training_is_set_aside_and_not_lost(packed, tmp_path):
    train_up_to(1, tmp_path / "ae", packed)
    kept = (tmp_path / "ae" / "state.json").read_text()
    train_up_to(1, tmp_path / "ae", packed, learning_rate=0.001)
    aside = [folder for folder in tmp_path.iterdir() if folder.name.startswith("ae.")]
    assert len(aside) == 1
    assert (aside[0] / "state.json").read_text() == kept
    assert json.loads((tmp_path / "ae" / "state.json").read_text())["settings"]["learning_rate"] == 0.001


def without_defaults(state):
    """A state of former versions: options as they were asked for, the precision, no seal, no splits."""
    asked_for = {name: value for name, value in state["settings"]["options"].items() if name in SMALL}
    former = {"settings": {**state["settings"], "options": asked_for, "precision": "mixed_bfloat16"}}
    del former["settings"]["splits"]
    return {name: value for name, value in state.items() if name not in ("seal", "precision")} | former


def test_an_option_left_out_is_the_default_spelled_out(packed, tmp_path):
    train_up_to(1, tmp_path / "ae", packed)
    path = tmp_path / "ae" / "state.json"
    old = without_defaults(json.loads(path.read_text()))
    assert old["settings"]["options"] == {"z_dim": 8, "filters": [4, 6, 8, 8]}
    for spelled in ({}, {"strides": 2, "activation": "leaky_relu", "batch_norm": False}):
        path.write_text(json.dumps(old))
        autoencoder, log = train_up_to(1, tmp_path / "ae", packed, **spelled)
        assert len(log) == 1
        assert json.loads(path.read_text()) == old  # loaded, not trained anew
    assert training.load_model(tmp_path / "ae").get_config() == autoencoder.get_config() | {
        "filters": [4, 6, 8, 8]
    }
    _, log = train_up_to(2, tmp_path / "ae", packed)
    assert len(log) == 2
    assert json.loads(path.read_text())["settings"] == old["settings"]  # one training, one description
    train_up_to(1, tmp_path / "ae", packed, activation="selu")
    assert len(list(tmp_path.glob("ae.*"))) == 1


def test_what_is_kept_is_published(packed, tmp_path):
    calls, folder = [], tmp_path / "ae"

    def publish(wait=False):
        calls.append("all" if wait else len(logged_epochs(folder)))

    train_up_to(2, folder, packed, publish=publish)
    assert calls == [1, 2, "all"]
    train_up_to(2, folder, packed, publish=publish)  # nothing new
    assert calls == [1, 2, "all"]

    def interrupt(wait=False):
        publish(wait)
        if not wait:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_up_to(4, folder, packed, publish=interrupt)
    assert calls == [1, 2, "all", 3, "all"]


def test_an_older_state_does_not_see_half_written_newer_weights(packed, tmp_path):
    train_up_to(2, tmp_path / "ae", packed)
    (tmp_path / "ae" / ".epoch-0003.partial.weights.h5").write_bytes(b"half")
    (tmp_path / "ae" / "epoch-0003.weights.h5").write_bytes(b"killed before the state was written")
    _, log = train_up_to(3, tmp_path / "ae", packed)
    assert logged_epochs(tmp_path / "ae") == [1, 2, 3]
    assert training.load_model(tmp_path / "ae").count_params() > 0
    assert len(log) == 3


def test_damaged_weights_are_refused(packed, tmp_path):
    train_up_to(1, tmp_path / "ae", packed)
    with open(tmp_path / "ae" / "epoch-0001.weights.h5", "r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    with pytest.raises(InputError, match="missing or damaged"):
        training.load_model(tmp_path / "ae")


def test_a_model_comes_back_from_its_folder_alone(packed, tmp_path):
    autoencoder, _ = train_up_to(1, tmp_path / "ae", packed)
    loaded = training.load_model(tmp_path / "ae")
    sample = images.load_images(packed, np.arange(3))
    assert np.allclose(loaded(sample), autoencoder(sample), atol=1e-6)
    with pytest.raises(InputError, match="no trained model"):
        training.load_model(tmp_path / "nothing")


def test_nan_stops_training_and_keeps_what_is_whole(packed, tmp_path):
    train_up_to(1, tmp_path / "ae", packed)
    before = (tmp_path / "ae" / "state.json").read_bytes()
    state = json.loads(before)
    autoencoder = networks.Autoencoder(**SMALL)
    autoencoder.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE))
    autoencoder.optimizer.build(autoencoder.trainable_variables)
    autoencoder.load_weights(tmp_path / "ae" / state["weights"])
    weights = autoencoder.get_weights()
    weights[0][:] = np.nan
    autoencoder.set_weights(weights)
    train = images.ImageBatches(packed, "train", 16, shuffle=True, seed=1)
    with pytest.raises(training.TrainingDiverged, match=r"epoch 1; .*lower learning rate"):
        training.fit(autoencoder, train, train, 1, tmp_path / "other", LEARNING_RATE)
    assert not (tmp_path / "other" / "state.json").exists()
    assert (tmp_path / "ae" / "state.json").read_bytes() == before


def test_z_points_keep_the_order_of_the_images(packed, tmp_path):
    autoencoder, _ = train_up_to(1, tmp_path / "ae", packed)
    everything = images.ImageBatches(packed, None, 16)
    z_points = encoding.encode(autoencoder.encoder, everything, tmp_path / "z_points.npy")
    direct = keras.ops.convert_to_numpy(autoencoder.encoder(images.load_images(packed, np.arange(60))))
    assert z_points.shape == (60, 8)
    assert z_points.dtype == np.float32
    assert np.allclose(z_points, direct, atol=1e-5)
    assert np.array_equal(np.load(tmp_path / "z_points.npy", allow_pickle=False), z_points)
    some = encoding.encode(autoencoder.encoder, everything, tmp_path / "z_points.npy", [7, 59, 0])
    assert np.array_equal(some, z_points[[7, 59, 0]])


def test_encoding_runs_in_float32_whatever_the_policy(packed, tmp_path):
    training.choose_precision("mixed_bfloat16")
    autoencoder, _ = train_up_to(1, tmp_path / "ae", packed)
    valid = images.ImageBatches(packed, "valid", 16)
    z_points = encoding.encode(autoencoder.encoder, valid, tmp_path / "z.npy")
    exact = encoding.float32_copy(autoencoder.encoder)(images.load_images(packed, valid.rows))
    assert np.allclose(z_points, exact, atol=1e-6)
    rounded = keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.cast(z_points, "bfloat16"), "float32"))
    assert not np.array_equal(z_points, rounded)


def test_z_points_are_reused_only_for_the_same_weights(packed, tmp_path):
    autoencoder, _ = train_up_to(1, tmp_path / "ae", packed)
    valid, target = images.ImageBatches(packed, "valid", 16), tmp_path / "z.npy"
    first = encoding.encode(autoencoder.encoder, valid, target)
    written = target.stat().st_mtime_ns
    assert np.array_equal(encoding.encode(autoencoder.encoder, valid, target), first)
    assert target.stat().st_mtime_ns == written
    autoencoder.encoder.set_weights([2 * w for w in autoencoder.encoder.get_weights()])
    assert not np.array_equal(encoding.encode(autoencoder.encoder, valid, target), first)


def test_shuffled_batches_cannot_be_encoded(packed, tmp_path):
    shuffled = images.ImageBatches(packed, "valid", 16, shuffle=True)
    with pytest.raises(ValueError, match="without shuffle"):
        encoding.encode(networks.build_encoder(z_dim=8, filters=(4, 4)), shuffled, tmp_path / "z.npy")


@pytest.mark.parametrize(
    ("capabilities", "bfloat16_cpu", "policy"),
    [
        ([], True, "mixed_bfloat16"),
        ([], False, "float32"),
        ([(7, 5)], True, "mixed_float16"),
        ([(6, 1)], True, "float32"),
        ([(7, 5), (6, 1)], False, "float32"),
    ],
)
def test_auto_precision(monkeypatch, capabilities, bfloat16_cpu, policy):
    monkeypatch.setattr(training.backend, "gpus_of_backend", lambda: capabilities)
    monkeypatch.setattr(training.backend, "cpu_multiplies_bfloat16", lambda: bfloat16_cpu)
    assert training.choose_precision("auto") == policy == keras.config.dtype_policy().name


def set_aside(folder):
    return sorted(folder.parent.glob(f"{folder.name}.*"))


def test_a_finished_training_is_found_again_at_another_precision(packed, tmp_path, capfd):
    first, _ = train_up_to(1, tmp_path / "ae", packed)
    before = (tmp_path / "ae" / "state.json").read_bytes()
    training.choose_precision("mixed_float16")
    second, log = train_up_to(1, tmp_path / "ae", packed)
    assert (tmp_path / "ae" / "state.json").read_bytes() == before and not set_aside(tmp_path / "ae")
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))
    assert "goes on" not in capfd.readouterr().err
    train_up_to(2, tmp_path / "ae", packed)
    assert "It goes on in mixed_float16 after float32." in capfd.readouterr().err
    training.choose_precision("float32")
    third, log = train_up_to(3, tmp_path / "ae", packed)
    assert "It goes on in float32 after mixed_float16." in capfd.readouterr().err
    assert int(third.optimizer.iterations) > 3 + 1  # Adam's moments went along
    assert [row["epoch"] for row in log] == logged_epochs(tmp_path / "ae") == [1, 2, 3]
    state = training.read_state(tmp_path / "ae")
    assert state["precision"] == ["float32", "mixed_float16", "float32"]
    assert "precision" not in state["settings"]


def test_what_was_set_aside_is_taken_back_with_its_settings(packed, tmp_path, capfd):
    folder = tmp_path / "ae"
    first, _ = train_up_to(1, folder, packed)
    kept = (folder / "state.json").read_bytes()
    train_up_to(1, folder, packed, learning_rate=0.001)
    assert len(set_aside(folder)) == 1
    (tmp_path / "ae.20200101-000000").mkdir()  # what is damaged there does no harm
    (tmp_path / "ae.20200101-000000" / "state.json").write_text("[]")
    capfd.readouterr()
    again, _ = train_up_to(1, folder, packed)
    assert "the training with these settings was taken back from ae." in capfd.readouterr().err
    assert (folder / "state.json").read_bytes() == kept
    assert all(map(np.array_equal, first.get_weights(), again.get_weights()))
    assert len(set_aside(folder)) == 2
    shutil.rmtree(folder)  # a kill between the two renamings
    train_up_to(1, folder, packed, learning_rate=0.001)
    assert "taken back" in capfd.readouterr().err
    assert len(set_aside(folder)) == 1


def test_a_corrected_attribute_list_trains_the_classifier_anew(packed, tmp_path):
    copy, folder = shutil.copytree(packed, tmp_path / "images"), tmp_path / "classifier"

    def settings():
        batches = images.ImageBatches(copy, "train", 16, attributes=True)
        return training._settings(networks.AttributeClassifier(), batches, 0.001)

    def same(kept):
        return training._is_same(kept, settings())

    before = settings()
    assert same(before) and same({**before, "precision": "mixed_float16"})
    assert not same({name: value for name, value in before.items() if name != "labels"})
    attributes = np.load(copy / "attributes.npy")
    attributes[0, 0] ^= 1
    np.save(copy / "attributes.npy", attributes)
    images.write_manifest(copy)
    assert not same(before)
    assert not folder.exists()


def cut_off(text):
    return text[: len(text) // 2]


def change_log(text):
    state = json.loads(text)
    state["log"][0]["total_loss"] += 1
    return json.dumps(state)


def without(*names):
    return lambda text: json.dumps({n: v for n, v in json.loads(text).items() if n not in names})


def with_other(**entries):
    return lambda text: json.dumps({n: v for n, v in json.loads(text).items() if n != "seal"} | entries)


@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        change_log,
        *(lambda text, new=new: new for new in ("", "[]", "{}", "null", "1")),
        *(without("seal", name) for name in ("settings", "weights", "weights_sha256", "log")),
        with_other(log=[]),
        with_other(log=[{"epoch": 2}]),
        with_other(log={}),
        with_other(settings={"model": "Autoencoder"}),
        with_other(settings={"model": "Perceptron", "options": {}}),
        with_other(settings={"model": "Autoencoder", "options": {"colour": 1}}),
        with_other(settings=[]),
        with_other(weights="../vae/epoch-0001.weights.h5"),
        with_other(weights=None),
    ],
)
def test_a_damaged_state_is_one_sentence(damage, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "ae")
    text = (folder / "state.json").read_text()
    (folder / "state.json").write_text(damage(text))
    with pytest.raises(InputError, match=r"state\.json is damaged; delete the folder ae and train again\."):
        training.load_model(folder)


def test_weights_of_another_network_are_one_sentence(trained, packed, tmp_path):
    folder, other = (
        shutil.copytree(trained, tmp_path / "ae"),
        networks.Autoencoder(z_dim=4, filters=(4, 4, 4, 4)),
    )
    weights = folder / "epoch-0001.weights.h5"
    other.save_weights(weights)
    state = json.loads((folder / "state.json").read_text()) | {"weights_sha256": sha256_of(weights)}
    write_json(folder / "state.json", state)
    with pytest.raises(InputError, match="damaged"):
        training.load_model(folder)
    write_json(folder / "state.json", {**state, "seal": training.seal_of(state)})
    with pytest.raises(InputError, match="holds weights of another network; delete the folder ae"):
        training.load_model(folder)


@pytest.fixture(scope="module")
def trained(packed, tmp_path_factory):
    """Folder of a network that was trained for one epoch."""
    training.choose_precision("float32")
    folder = tmp_path_factory.mktemp("trained") / "ae"
    train_up_to(1, folder, packed)
    return folder


def test_a_full_disk_loses_nothing(packed, trained, tmp_path):
    resource = pytest.importorskip("resource")
    folder, limits = shutil.copytree(trained, tmp_path / "ae"), resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = (folder / "state.json").read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"No space left for .*; make room on its disk"):
            train_up_to(2, folder, packed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (folder / "state.json").read_bytes() == kept
    _, log = train_up_to(2, folder, packed)
    _, unbroken = train_up_to(2, tmp_path / "unbroken", packed)
    assert [row["total_loss"] for row in log] == pytest.approx(
        [row["total_loss"] for row in unbroken], rel=1e-6
    )
    assert not list(folder.glob(".*partial*"))


def test_a_second_training_in_the_folder_says_so_and_waits(packed, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "ae")
    # Not capfd: what is written while it is read is lost to it, and the loop would never end.
    with redirect_stderr(io.StringIO()) as said, ThreadPoolExecutor(1) as pool:
        with locked(tmp_path / ".ae.lock", None):
            second = pool.submit(train_up_to, 1, folder, packed)
            while "Another process trains in" not in said.getvalue() and not second.done():
                time.sleep(0.05)
            assert not second.done()
        assert len(second.result()[1]) == 1
