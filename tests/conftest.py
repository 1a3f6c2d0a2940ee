"""Small real data for all tests: synthetic faces as a zip of JPEGs, packed by the real preparation."""

import os
import sys
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import pytest

matplotlib.use("Agg")  # in this process only: kernels that tests start show their figures
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in the notebooks
# JAX on a CPU now and then waits for ever in XLA's pool of threads (PyAutoFit issues 1528 and 1530).
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")


@pytest.fixture(autouse=True)
def own_precision():
    """No test hands its dtype policy on to the next."""
    yield
    if keras := sys.modules.get("keras"):
        keras.config.set_dtype_policy("float32")


@pytest.fixture
def close_figures():
    """Figures that a test leaves open take memory."""
    yield
    plt.close("all")


@pytest.fixture
def mydrive(tmp_path):
    """An empty folder in the place of a mounted MyDrive."""
    folder = tmp_path / "drive" / "MyDrive"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def small_blocks_and_short_pauses(monkeypatch, request):
    """Copies in blocks of the module's BLOCK bytes, and without waiting."""
    from helpers.drive import mount, transfer

    monkeypatch.setattr(transfer, "BLOCK_BYTES", request.module.BLOCK)
    monkeypatch.setattr(mount, "PAUSES", (1,) * 40)
    monkeypatch.setattr(mount, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow, and no test takes the power away


@pytest.fixture(scope="session")
def faces_archive(tmp_path_factory):
    """Folder with an archive of 60 synthetic faces in CelebA's form."""
    from data_prep.synthetic_faces import make_synthetic_faces

    folder = tmp_path_factory.mktemp("archive")
    make_synthetic_faces(folder, count=60, seed=5)
    return folder


@pytest.fixture(scope="session")
def packed(faces_archive, tmp_path_factory):
    """Folder of the 60 faces packed: 48 train, 6 valid, 6 test."""
    from data_prep.prepare_celeba import prepare

    folder = tmp_path_factory.mktemp("packed")
    prepare(faces_archive, folder)
    return folder
