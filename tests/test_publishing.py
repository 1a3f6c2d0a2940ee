"""Epochs in MyDrive while a training goes on, and a training that goes on after its machine is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import archives
import keras
import pytest
from test_drive_workspace import content, epochs_in, published, write_epoch

from helpers.drive import exchange, mount, results
from helpers.drive.results import EpochPublisher
from helpers.models import images, networks, training
from tools.colab_stand_in.drive_faults import FaultyDrive, installed


def train(packed, folder, mydrive, epochs):
    """Train a small network up to so many epochs, each of them published; its log."""
    training.choose_precision("float32")
    keras.utils.set_random_seed(7)
    autoencoder = networks.Autoencoder(z_dim=8, filters=(4, 6, 8, 8))
    batches = images.ImageBatches(packed, "train", 8, shuffle=True, flip=True, seed=7)
    valid = images.ImageBatches(packed, "valid", 6)
    fit_really = autoencoder.fit

    def fit(*arguments, callbacks, **options):
        return fit_really(*arguments, callbacks=[*callbacks, EpochPublisher(folder, mydrive)], **options)

    autoencoder.fit = fit
    return training.fit(autoencoder, batches, valid, epochs, folder, 0.01)


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """MyDrive and the folder of a training."""
    monkeypatch.setattr(mount, "time", SimpleNamespace(sleep=lambda seconds: None))
    (tmp_path / "MyDrive").mkdir()
    return tmp_path / "MyDrive", tmp_path / "autoencoder"


def test_every_epoch_is_published(sides):
    mydrive, folder = sides
    publisher = EpochPublisher(folder, mydrive / "ae")
    for epoch in range(1, 5):
        write_epoch(folder, epoch)
        publisher.on_epoch_end(epoch - 1)
        publisher.job.result()
        assert published(mydrive / "ae") == content(folder)
    publisher.on_train_end()
    assert publisher.flush()


def test_training_does_not_wait_and_the_latest_epoch_arrives(sides, monkeypatch):
    mydrive, folder = sides
    may_go_on, calls = threading.Event(), []
    publish_really = exchange.publish_folder

    def publish_slowly(*arguments):
        calls.append(epochs_in(folder))
        assert may_go_on.wait(30)
        return publish_really(*arguments)

    monkeypatch.setattr(exchange, "publish_folder", publish_slowly)
    publisher = EpochPublisher(folder, mydrive)
    for epoch in range(1, 7):
        write_epoch(folder, epoch)
        publisher.on_epoch_end(epoch - 1)  # would never return if it waited
    assert not (mydrive / "published.json").exists()
    may_go_on.set()
    assert publisher.flush()
    assert published(mydrive) == content(folder) and epochs_in(folder) == 6
    assert len(calls) <= 2


def test_errors_are_said_once_and_made_up_for(sides, capfd):
    mydrive, folder = sides
    publisher = EpochPublisher(folder, mydrive)
    with installed(FaultyDrive(mydrive)) as faulty:
        faulty.gone = range(1, 10**9)
        for epoch in range(1, 4):
            write_epoch(folder, epoch)
            publisher.on_epoch_end(epoch - 1)
            publisher.job.result()
        told = capfd.readouterr().err
        assert told.count("\n") == 1 and "does not answer" in told and "the next epoch" in told
        faulty.gone = range(0)
        write_epoch(folder, 4)
        publisher.on_epoch_end(3)
        publisher.job.result()
        assert "all epochs" in capfd.readouterr().err
    assert published(mydrive) == content(folder)


def test_what_failed_last_is_tried_again_at_the_end(sides, capfd):
    mydrive, folder = sides
    publisher = EpochPublisher(folder, mydrive)
    with installed(FaultyDrive(mydrive)) as faulty:
        faulty.gone = range(1, 10**9)
        write_epoch(folder, 1)
        publisher.on_epoch_end(0)
        assert not publisher.flush()
        assert "publish them" in capfd.readouterr().err
        faulty.gone = range(0)
        publisher.on_train_end()
    assert published(mydrive) == content(folder)


def start(packed, folder, mydrive, epochs):
    """`train` in a process of its own."""
    command = "import sys, test_publishing; test_publishing.train(*sys.argv[1:4], int(sys.argv[4]))"
    return subprocess.Popen(
        [sys.executable, "-c", command, *map(str, (packed, folder, mydrive, epochs))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (archives.ROOT, archives.ROOT / "tests")))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def published_epochs(mydrive):
    manifest = mydrive / "published.json"
    return len(json.loads(manifest.read_text())["training"]["log"]) if manifest.exists() else 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_training_goes_on_after_its_machine_is_lost(packed, sides, capfd):
    mydrive, folder = sides
    process = start(packed, folder, mydrive / "ae", 10_000)
    while process.poll() is None and published_epochs(mydrive / "ae") < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    shutil.rmtree(folder)
    assert results.restore(mydrive / "ae", folder) == 3
    arrived = json.loads((folder / "state.json").read_text())["log"]
    log = train(packed, folder, mydrive / "ae", len(arrived) + 2)
    assert f"{len(arrived)} epochs are done already" in capfd.readouterr().err
    assert [row["epoch"] for row in log] == list(range(1, len(arrived) + 3))
    assert log[: len(arrived)] == arrived
    assert published(mydrive / "ae") == content(folder)
