"""Small real data for all tests: synthetic faces as a zip of JPEGs, packed by the real preparation."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


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
