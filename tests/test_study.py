import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from helpers import posts, study, workspace
from helpers.files import InputError, read_json, sha256_of, write_json
from helpers.models import images, networks, training
from helpers.workspace import SMOKE

SMALL = {"filters": (2, 4, 4, 4)}
TINY = replace(
    SMOKE, synthetic_images=60, epochs=1, classifier_epochs=1, batch_size=24, z_dim=4, seeds=(1, 2)
)


@pytest.fixture
def run(packed, tmp_path, monkeypatch):
    """A study over the packed faces whose networks are small."""
    small = {
        name: network._replace(options={**network.options, **SMALL})
        for name, network in study.NETWORKS.items()
        if name != "classifier"
    }
    monkeypatch.setattr(study, "NETWORKS", {**study.NETWORKS, **small})
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    training.choose_precision("float32")
    return study.Study("04_densities_and_radius", TINY, None, tmp_path / "run", packed, "float32")


def test_a_notebook_opens_its_run_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path))
    monkeypatch.setattr(study, "get_profile", lambda name: replace(SMOKE, synthetic_images=40))
    run = study.open("01_train_autoencoder", "smoke")
    assert run.home == tmp_path / "synthetic-smoke"
    assert run.images == run.home / "images"
    assert [len(run.rows(split)) for split in ("train", "valid", "test", None)] == [32, 4, 4, 40]
    assert not workspace.is_celeba(run.data, run.images)
    assert run.seed == 1


def test_a_run_of_other_size_keeps_its_networks_apart_and_shares_the_images(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path))
    monkeypatch.setattr(study, "get_profile", lambda name: replace(SMOKE, synthetic_images=40))
    run = study.open("01_train_autoencoder", "smoke", z_dim=64, epochs=5, seeds=(3, 4))
    assert (run.profile.z_dim, run.profile.epochs, run.seed) == (64, 5, 3)
    assert run.home == tmp_path / "synthetic-smoke" / "z_dim-64-epochs-5-seeds-3-4"
    assert run.images == tmp_path / "synthetic-smoke" / "images"
    usual = study.open("01_train_autoencoder", "smoke", z_dim=256)
    assert usual.home == tmp_path / "synthetic-smoke"


def test_an_empty_text_is_no_data_and_other_types_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path))
    monkeypatch.setattr(study, "get_profile", lambda name: replace(SMOKE, synthetic_images=40))
    run = study.open("01_train_autoencoder", "smoke", "")
    assert (run.data, run.home) == (None, tmp_path / "synthetic-smoke")
    with pytest.raises(InputError, match=r"^DATA must be None or the path"):
        study.open("01_train_autoencoder", "smoke", 5)


@pytest.fixture
def photos(faces_archive, tmp_path, monkeypatch):
    """Function that makes a folder of some of the 60 faces, without lists; results go elsewhere."""
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))

    def make(name, first, number):
        folder = tmp_path / name
        with zipfile.ZipFile(faces_archive / "img_align_celeba.zip") as archive:
            for entry in sorted(archive.namelist())[first : first + number]:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / entry.split("/")[-1]).write_bytes(archive.read(entry))
        return folder

    return make


def test_few_photos_lower_the_sizes_and_too_few_are_told_at_once(photos, capsys):
    run = study.open("01_train_autoencoder", "smoke", photos("forty", 0, 40))
    assert (run.profile.batch_size, run.profile.map_sizes) == (8, (32,))
    said = capsys.readouterr().err
    assert "32 training images, 4 held out; sizes follow them: batch_size 8, map_sizes (32,), " in said
    assert "They are too few for notebook 05 and 06 and 08." in said
    with pytest.raises(InputError, match=r"^Notebook 05_clusters_and_tsne needs 91 "):
        study.open("05_clusters_and_tsne", "smoke", photos("forty", 0, 40))
    with pytest.raises(InputError, match=r"^Notebook 01_train_autoencoder needs .* at least 40"):
        study.open("01_train_autoencoder", "smoke", photos("four", 0, 4))


def test_photos_in_folders_of_one_name_replace_nothing(photos, tmp_path):
    own, drawn = [], study.ensure_images(None, replace(SMOKE, synthetic_images=40))
    for place in ("a", "b"):
        own.append(study.open("a", "smoke", photos(f"{place}/synthetic", len(own) * 9, 40)))
    kept = [sha256_of(path / "images.npy") for path in (drawn, *(run.images for run in own))]
    assert len(set(kept)) == 3
    moved = (tmp_path / "a").rename(tmp_path / "c") / "synthetic"
    assert study.open("a", "smoke", moved).home == own[0].home
    study.ensure_images(None, replace(SMOKE, synthetic_images=40))
    assert study.open("a", "smoke", tmp_path / "b" / "synthetic").home == own[1].home
    assert [sha256_of(path / "images.npy") for path in (drawn, *(run.images for run in own))] == kept


def test_results_that_come_from_mydrive_may_belong_to_other_data(photos, tmp_path, monkeypatch):
    def restore(workspace):
        if workspace.name == "faces-smoke":
            write_json(workspace / "data.json", {"path": "/content/b/faces", "source": {"kind": "other"}})
        return False

    monkeypatch.setattr(study.results, "restore_workspace", restore)
    run = study.open("a", "smoke", photos("a/faces", 0, 40))
    assert run.home == tmp_path / "results" / "faces-2-smoke"
    assert read_json(tmp_path / "results" / "faces-smoke" / "data.json")["path"] == "/content/b/faces"


@pytest.mark.parametrize(("keyword", "variable"), [(True, ""), (None, "1")])
def test_a_damaged_photo_is_refused_where_that_is_wanted(photos, monkeypatch, keyword, variable):
    folder = photos("photos", 0, 41)
    (folder / "000001.jpg").write_bytes(b"")
    monkeypatch.setenv("LATENT_FACES_STRICT", variable)
    with pytest.raises(InputError, match=r"000001\.jpg"):
        study.open("a", "smoke", folder, strict=keyword)
    monkeypatch.delenv("LATENT_FACES_STRICT")
    assert len(study.open("a", "smoke", folder).rows(None)) == 40


def test_a_network_is_trained_once_and_keeps_the_precision(run):
    training.choose_precision("mixed_bfloat16")
    vae = run.network("tiny-KL VAE")
    assert vae.fact == 1e-5
    assert vae.encoder.get_layer("conv_1").compute_dtype == "bfloat16"
    log = run.log("tiny-KL VAE")
    again = run.network("tiny-KL VAE")
    assert run.log("tiny-KL VAE") == log
    assert all(map(np.array_equal, vae.get_weights(), again.get_weights()))
    assert [path.name for path in run.home.glob("[!.]*")] == ["vae-fact-1e-5"]


def test_another_seed_is_another_training(run):
    first, second = run.network("autoencoder"), run.network("autoencoder", seed=2)
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])
    assert sorted(path.name for path in run.home.glob("[!.]*")) == ["autoencoder", "autoencoder-seed-2"]


def test_z_points_are_those_of_the_network_in_the_order_of_the_rows(run):
    z = run.z_points("autoencoder")
    assert z.shape == (len(run.rows("train")), 4)
    assert z.dtype == np.float32
    some = run.rows("valid")[[2, 0]]
    encoder = run.network("autoencoder").encoder
    direct = encoder.predict(images.load_images(run.images, some), verbose=0)
    assert np.allclose(run.z_points("autoencoder", some), direct, atol=1e-5)
    assert len(run.z_points("autoencoder", None)) == 60


def test_a_vae_gives_its_clouds_and_one_draw_from_them(run):
    mu, logvar, z = run.clouds("fact-5 VAE", "valid")
    assert mu.shape == logvar.shape == z.shape == (6, 4)
    assert np.array_equal(run.z_points("fact-5 VAE", "valid"), z)
    assert not np.allclose(mu, z)


def test_features_of_images_without_attributes_are_those_that_come_with_the_project(run, packed, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("images.npy", "splits.npy", "manifest.json"):
        shutil.copy(packed / name, photos)
    features = replace(run, images=photos).features()
    assert features.predict(images.load_images(photos, [0, 1]), verbose=0).shape == (2, networks.FEATURES)
    known = training.load_model(training.TRAINED / "classifier").features
    assert all(map(np.array_equal, features.get_weights(), known.get_weights()))
    assert not (run.home / "classifier").exists()


def test_what_is_recorded_is_saved_with_its_unit_and_its_noise(run):
    run.record("CII-010", 256)
    run.record({"ae/train_loss": 5.0, "ae/heldout_loss": 6.0}, unit="nats per image")
    run.record("CII-022", np.float32(0.5), noise=0.25)
    run.record({"CII-041": 1, "CII-042": 2}, noise={"CII-041": 3, "CII-042": 4})
    table = run.close()
    assert "the post says" in table.data
    saved = {entry["id"]: entry for entry in read_json(run.home / posts.MEASUREMENTS_FILE)}
    assert saved["ae/heldout_loss"] == {
        "id": "ae/heldout_loss",
        "value": 6.0,
        "unit": "nats per image",
        "notebook": "04_densities_and_radius",
    }
    assert saved["CII-022"]["value"] == 0.5
    assert saved["CII-022/surrogate"]["value"] == 0.25
    assert (saved["CII-042"]["value"], saved["CII-042/surrogate"]["value"]) == (2, 4)


def test_what_celeba_gave_is_at_hand(run):
    known = posts.load_celeba_measurements()["measurements"][0]
    assert run.celeba(known["id"]) == known["value"]
    assert np.isnan(run.celeba("no such id"))
