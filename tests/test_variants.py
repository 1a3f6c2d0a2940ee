from dataclasses import replace

import numpy as np
import pytest

from helpers import study
from helpers.files import read_json
from helpers.workspace import SMOKE

TINY = replace(SMOKE, synthetic_images=60, probe_epochs=1, z_dim=8)


def test_each_variant_changes_one_thing():
    found = study.list_variants(256, synthetic=True)
    assert len(found) == 8
    assert all((variant.factors is None) != (variant.options == {}) for variant in found.values())
    assert found["64 dimensions"].options == {"z_dim": 64}
    assert found["128 dimensions"].options == {"z_dim": 128}
    assert {variant.factors for variant in found.values()} == {"normal", "uniform", "bimodal", None}
    on_photos = study.list_variants(256, synthetic=False)
    assert set(on_photos) - set(found) == {"reference"}
    assert len(on_photos) <= SMOKE.probes


def test_z_points_are_made_once_and_then_loaded(packed, tmp_path):
    variant = study.Variant(None, {"activation": "relu"})
    run = study.Study("07", TINY, None, tmp_path, packed, "float32")
    arguments = (run, "ReLU", variant)
    assert study.variant_z_points(*arguments, may_train=False) is None
    made = study.variant_z_points(*arguments, may_train=True)
    assert made.shape == (48, 8)
    place = tmp_path / "probe-autoencoder-relu"
    assert read_json(place / "state.json")["settings"]["options"]["activation"] == "relu"
    assert np.array_equal(study.variant_z_points(*arguments, may_train=False), made)


@pytest.mark.parametrize("factors", ["normal", "uniform"])
def test_faces_of_other_factors_are_packed_beside_the_normal_ones(factors, tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path))
    folder = study.ensure_factor_images(factors, TINY)
    archive = folder.parent / "archive"
    assert read_json(archive / "synthetic_faces.json")["factors"] == factors
    assert np.load(folder / "images.npy", mmap_mode="r").shape == (60, 96, 96, 3)
    assert folder.is_relative_to(tmp_path / "synthetic-smoke")
