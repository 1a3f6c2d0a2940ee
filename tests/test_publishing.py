"""Epochs in MyDrive while a training goes on, and a training that goes on after its machine is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import archives
import keras
import pytest
from test_drive_workspace import content, epochs_in, published, write_epoch

from helpers.drive import mount, results
from helpers.models import images, networks, training
from tools.colab_stand_in.drive_faults import FaultyDrive, installed


def train(packed, folder, mydrive, epochs):
    """Train a small network up to so many epochs, each of them published; its log."""
    results.counterpart = lambda folder: Path(mydrive)
    training.choose_precision("float32")
    keras.utils.set_random_seed(7)
    autoencoder = networks.Autoencoder(z_dim=8, filters=(4, 6, 8, 8))
    batches = images.ImageBatches(packed, "train", 8, shuffle=True, seed=7)
    valid = images.ImageBatches(packed, "valid", 6)
    publish = results.background_publisher(folder)
    return training.fit(autoencoder, batches, valid, epochs, folder, 0.01, publish)


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """MyDrive and the folder of a training."""
    monkeypatch.setattr(mount, "time", SimpleNamespace(sleep=lambda seconds: None))
    (tmp_path / "MyDrive").mkdir()
    monkeypatch.setattr(results, "counterpart", lambda folder: tmp_path / "MyDrive")
    return tmp_path / "MyDrive", tmp_path / "autoencoder"


def test_where_nothing_is_kept_there_is_nothing_to_publish(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "counterpart", lambda folder: None)
    assert results.background_publisher(tmp_path) is None


def test_every_epoch_is_published(sides):
    mydrive, folder = sides
    publish = results.background_publisher(folder)
    assert publish(wait=True)
    for epoch in range(1, 5):
        write_epoch(folder, epoch)
        publish()
        assert publish(wait=True)
        assert published(mydrive) == content(folder)


def test_training_does_not_wait_and_the_latest_epoch_arrives(sides, monkeypatch):
    mydrive, folder = sides
    may_go_on, calls = threading.Event(), []
    publish_really = results.publish_folder

    def publish_slowly(*arguments):
        calls.append(epochs_in(folder))
        assert may_go_on.wait(30)
        return publish_really(*arguments)

    monkeypatch.setattr(results, "publish_folder", publish_slowly)
    publish = results.background_publisher(folder)
    for epoch in range(1, 7):
        write_epoch(folder, epoch)
        publish()  # would never return if it waited
    assert not (mydrive / "published.json").exists()
    may_go_on.set()
    assert publish(wait=True)
    assert published(mydrive) == content(folder) and epochs_in(folder) == 6
    assert len(calls) <= 2


def wait_for(condition):
    """Wait until a condition holds, 30 s at most."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it took too long")


def test_errors_are_said_once_and_made_up_for(sides, monkeypatch):
    mydrive, folder = sides
    told, ends = [], []
    publish_really = results.publish_folder

    def publish_counted(*arguments):
        try:
            return publish_really(*arguments)
        finally:
            ends.append(arguments)

    monkeypatch.setattr(results, "publish_folder", publish_counted)
    monkeypatch.setattr(results, "note", told.append)
    publish = results.background_publisher(folder)
    with installed(FaultyDrive(mydrive)) as faulty:
        faulty.gone = range(1, 10**9)
        for epoch in range(1, 4):
            write_epoch(folder, epoch)
            publish()
            wait_for(lambda epoch=epoch: len(ends) == epoch)
        wait_for(lambda: told)
        assert len(told) == 1 and "does not answer" in told[0] and "the next epoch" in told[0]
        faulty.gone = range(0)
        write_epoch(folder, 4)
        publish()
        wait_for(lambda: len(told) == 2)
        assert "all epochs" in told[1]
    assert published(mydrive) == content(folder)


def test_what_failed_last_is_tried_again_at_the_end(sides, capfd):
    mydrive, folder = sides
    publish = results.background_publisher(folder)
    with installed(FaultyDrive(mydrive)) as faulty:
        faulty.gone = range(1, 10**9)
        write_epoch(folder, 1)
        publish()
        assert not publish(wait=True)
        assert "publish them" in capfd.readouterr().err
        faulty.gone = range(0)
        assert publish(wait=True)
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
    assert results.restore_folder(mydrive / "ae", folder) == 2  # weights, and the state that names them
    arrived = json.loads((folder / "state.json").read_text())["log"]
    log = train(packed, folder, mydrive / "ae", len(arrived) + 2)
    assert f"{len(arrived)} epochs are done already" in capfd.readouterr().err
    assert [row["epoch"] for row in log] == list(range(1, len(arrived) + 3))
    assert log[: len(arrived)] == arrived
    assert published(mydrive / "ae") == content(folder)
