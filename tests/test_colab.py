"""A Colab machine's disk and MyDrive: data come over, results go back, and a lost machine costs one epoch."""

import json
import shutil
import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import colab, posts, study
from helpers.drive import mount as mount_module
from helpers.drive import results
from helpers.files import InputError
from helpers.models import images, networks, training
from helpers.workspace import SMOKE, workspace_folder
from tools.colab_stand_in.drive_faults import FaultyDrive, installed


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """This process as a Colab machine with MyDrive unmounted; /content, MyDrive's project, the mounts."""
    content, store = tmp_path / "content", tmp_path / "store"
    mydrive = content / "drive" / "MyDrive" / "latent_faces"
    (store / "MyDrive" / "latent_faces").mkdir(parents=True)
    (content / "latent_faces").mkdir(parents=True)
    module, mounted = types.ModuleType("google.colab"), []

    def mount(place):
        mounted.append(place)
        store.rename(content / "drive")

    module.drive = SimpleNamespace(mount=mount)
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setitem(sys.modules, "google.colab.drive", module.drive)
    monkeypatch.setattr(results, "project_root", lambda: content / "latent_faces")
    monkeypatch.setattr(mount_module, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(content / "latent_faces" / "results"))
    start_anew()
    yield content, mydrive, mounted
    start_anew()


def start_anew():
    """Forget what the process knows of MyDrive, as a new one does."""
    results.mydrive.cache_clear()
    results.restored.clear()


def test_elsewhere_nothing_is_kept_in_mydrive(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    start_anew()
    home = workspace_folder(None, "smoke")
    assert results.mydrive() is None and results.counterpart(home) is None
    assert not results.restore_workspace(home)
    assert results.publish(home) == 0 and results.background_publisher(home) is None


def test_mydrive_is_mounted_when_it_is_needed_and_only_once(machine):
    content, mydrive, mounted = machine
    home = workspace_folder(None, "smoke")
    assert (
        results.counterpart(home / "autoencoder") == mydrive / "results" / "synthetic-smoke" / "autoencoder"
    )
    assert results.counterpart(content / "elsewhere") is None
    assert mounted == ["/content/drive"]


def test_without_mydrive_the_work_goes_on_with_a_warning(machine, capfd):
    sys.modules["google.colab"].drive.mount = lambda place: 1 / 0
    sys.modules["google.colab.drive"].mount = lambda place: 1 / 0
    home = workspace_folder(None, "smoke")
    home.mkdir(parents=True)
    assert results.publish(home) == results.publish(home) == 0
    assert capfd.readouterr().err.count("all results are lost with this machine") == 1


def test_data_come_to_the_disk_once(machine, tmp_path, capfd):
    content, mydrive, _ = machine
    mydrive = tmp_path / "store" / "MyDrive" / "latent_faces"
    project = content / "latent_faces"
    rng = np.random.default_rng(1)
    (mydrive / "celeba").mkdir()
    (mydrive / "photos").mkdir()
    for name in ("celeba/img_align_celeba.zip", "celeba/list_attr_celeba.txt", "own.zip", "latent_faces.zip"):
        (mydrive / name).write_bytes(rng.bytes(1000))
    for number in range(30):
        (mydrive / "photos" / f"{number}.jpg").write_bytes(rng.bytes(100))
    (mydrive / "results" / "synthetic-quick").mkdir(parents=True)
    (mydrive / "01_notebook.ipynb").write_text("{}")
    with installed(FaultyDrive(mydrive, rate=0.05, seed=3)) as faulty:
        colab.copy_data(mydrive, project)
        assert faulty.struck > 5
    there = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.suffix != ".json"}
    assert there == {
        *("celeba", "celeba/img_align_celeba.zip", "celeba/list_attr_celeba.txt"),
        *("own.zip", "photos", "photos/photos.zip"),
    }
    for name in ("celeba/img_align_celeba.zip", "celeba/list_attr_celeba.txt", "own.zip"):
        assert (project / name).read_bytes() == (mydrive / name).read_bytes()
    with zipfile.ZipFile(project / "photos" / "photos.zip") as packed:
        assert len(packed.namelist()) == 30 and packed.testzip() is None
    capfd.readouterr()
    colab.copy_data(mydrive, project)
    assert capfd.readouterr().err.count("is there already and whole") == 4
    colab.copy_data(tmp_path / "nowhere", project)


@pytest.fixture
def small():
    return replace(SMOKE, synthetic_images=40, batch_size=8, precision="float32")


def train(profile, epochs):
    """What a notebook does at first: images and a training; the log."""
    run = study.Study("01_a", profile, None, workspace_folder(None, profile.name), None, "float32")
    run.images = study.ensure_images(None, profile)
    options = {"z_dim": 4, "filters": (2, 4, 4, 4)}
    return run.train(networks.Autoencoder, "autoencoder", epochs, **options)[1]


def test_after_the_machine_is_lost_training_goes_on_at_the_next_epoch(machine, small, capfd):
    content, mydrive, _ = machine
    training.choose_precision("float32")
    home = workspace_folder(None, small.name)
    log = train(small, 2)
    kept = mydrive / "results" / "synthetic-smoke"
    assert len(json.loads((kept / "autoencoder" / "published.json").read_text())["training"]["log"]) == 2
    assert (kept / "archive" / "published.json").exists()
    assert not (kept / "images").exists()  # packed anew from the archive
    shutil.copytree(kept / "autoencoder", kept / "another")
    posts.save_measurements(home, "01_a", {"CII-010": 256}, {})
    results.publish(home)
    images_sha256 = images.images_identity(home / "images")

    shutil.rmtree(content / "latent_faces" / "results")
    start_anew()
    study.ensure_images(None, small)
    assert sorted(path.name for path in home.iterdir() if path.is_dir()) == ["archive", "images"]
    longer = train(small, 3)
    assert not (home / "another").exists()  # nobody has asked for it
    assert "2 epochs are done already" in capfd.readouterr().err
    assert [row["epoch"] for row in longer] == [1, 2, 3]
    assert longer[:2] == log
    assert images.images_identity(home / "images") == images_sha256
    assert (home / posts.MEASUREMENTS_FILE).exists()
    assert len(json.loads((kept / "autoencoder" / "published.json").read_text())["training"]["log"]) == 3


def test_a_drive_that_fails_at_the_end_is_told_in_one_line(machine, capfd):
    _, mydrive, _ = machine
    home = workspace_folder(None, "smoke")
    home.mkdir(parents=True)
    results.mydrive()
    with installed(FaultyDrive(mydrive)) as faulty:
        faulty.gone = range(1, 10**9)
        posts.save_measurements(home, "01_a", {"CII-010": 256}, {})
        assert results.publish(home) == 0
        told = capfd.readouterr().err
        assert told.count("\n") == 1 and "is in MyDrive: " in told
        with pytest.raises(InputError):
            results.restore_workspace(home)
        faulty.gone = range(0)
        assert results.restore_workspace(home)
    assert results.publish(home) == 1
    start_anew()
    other = Path(str(home) + "-other")
    results.restore_folder(results.counterpart(home), other)
    assert (other / posts.MEASUREMENTS_FILE).read_bytes() == (home / posts.MEASUREMENTS_FILE).read_bytes()
