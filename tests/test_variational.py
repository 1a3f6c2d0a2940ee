"""The variational autoencoder, the attribute classifier, and their way through training and encoding."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from helpers.files import project_root
from helpers.models import encoding, images, networks, training

pytestmark = pytest.mark.backend

SMALL = {"z_dim": 8, "filters": (4, 6, 8, 8)}
TO_NUMPY = keras.ops.convert_to_numpy


@pytest.fixture(autouse=True)
def float32():
    training.choose_precision("float32")


def train(folder, packed, epochs=2, **options):
    keras.utils.set_random_seed(3)
    vae = networks.VariationalAutoencoder(**SMALL, **options)
    batches = images.ImageBatches(packed, "train", 16, shuffle=True, seed=3)
    log = training.fit(vae, batches, images.ImageBatches(packed, "valid", 16), epochs, folder, 0.01)
    return vae, log


@pytest.fixture(scope="module")
def trained(packed, tmp_path_factory):
    training.choose_precision("float32")
    folder = tmp_path_factory.mktemp("vae") / "vae"
    return *train(folder, packed, fact=5.0), folder


def test_the_log_has_the_posts_columns_and_they_add_up(trained):
    _, log, _ = trained
    for row in log:
        assert row["total_loss"] == pytest.approx(row["reco_loss"] + row["kl_loss"], rel=1e-5)
        assert row["val_total_loss"] == pytest.approx(row["val_reco_loss"] + row["val_kl_loss"], rel=1e-5)
        assert row["logvar_mean"] <= row["logvar_max"]
        assert row["kl_loss"] > 0
    assert log[-1]["total_loss"] < log[0]["total_loss"]


def test_kl_divergence_against_the_mean_log_ratio_of_the_densities():
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(1, 4)), rng.normal(size=(1, 4))
    z = mu + np.exp(logvar / 2) * rng.standard_normal((400_000, 4))
    log_ratio = (-((z - mu) ** 2) / np.exp(logvar) - logvar + z**2).sum(axis=1) / 2
    assert TO_NUMPY(networks.kl_divergence(mu, logvar))[0] == pytest.approx(log_ratio.mean(), rel=0.01)


def test_evaluated_kl_loss_equals_the_formula_on_saved_mu_and_logvar(trained, packed, tmp_path):
    vae, _, _ = trained
    batches = images.ImageBatches(packed, "train", 16)
    encoding.encode_variational(vae, batches, tmp_path)
    mu, logvar = (np.load(tmp_path / name, allow_pickle=False) for name in ("mu.npy", "logvar.npy"))
    by_hand = 5.0 * (mu**2 + np.exp(logvar) - logvar - 1).sum(axis=1).mean() / 2
    assert vae.evaluate(batches, verbose=0, return_dict=True)["kl_loss"] == pytest.approx(by_hand, rel=1e-3)


def test_epsilon_is_clipped_and_scaled():
    mu, logvar = np.full((50_000, 8), 2.0, np.float32), np.zeros((50_000, 8), np.float32)
    z = TO_NUMPY(networks.draw_z(mu, logvar, seed=1, clip=1.5)) - 2
    assert np.abs(z).max() == pytest.approx(1.5)
    assert np.mean(np.abs(z) > 1.49) == pytest.approx(2 * 0.0668, rel=0.05)  # the normal tails beyond 1.5
    free = TO_NUMPY(networks.draw_z(mu, logvar, seed=1, clip=None)) - 2
    assert free.std() == pytest.approx(1, abs=0.01) and np.abs(free).max() > 3.5
    assert np.array_equal(TO_NUMPY(networks.draw_z(mu, logvar, seed=1, factor=0.0)), mu)


def test_switching_epsilon_off_makes_reconstructions_repeat(trained, packed):
    vae, _, _ = trained
    pictures = images.load_images(packed, [0, 1])
    assert not np.array_equal(vae.predict(pictures, verbose=0)[0], vae.predict(pictures, verbose=0)[0])
    vae.epsilon_factor.assign(0.0)
    try:
        once, mu, _ = vae.predict(pictures, verbose=0)
        assert np.array_equal(once, vae.predict(pictures, verbose=0)[0])
        assert np.allclose(once, vae.decoder.predict(mu, verbose=0), atol=1e-5)
    finally:
        vae.epsilon_factor.assign(1.0)


def test_encoding_is_kept_and_z_lies_around_mu(trained, packed, tmp_path):
    vae, _, _ = trained
    batches = images.ImageBatches(packed, None, 16)
    mu, logvar, z = encoding.encode_variational(vae, batches, tmp_path)
    assert mu.shape == logvar.shape == z.shape == (60, 8)
    assert {array.dtype for array in (mu, logvar, z)} == {np.dtype("float32")}
    standardised = (z - mu) / np.exp(logvar / 2)
    assert standardised.std() == pytest.approx(1, abs=0.15)
    before = (tmp_path / "z_points.npy").stat().st_mtime_ns
    assert np.array_equal(encoding.encode_variational(vae, batches, tmp_path)[2], z)
    (some,) = encoding.encode_variational(vae, batches, tmp_path, rows=[3, 50], wanted=["logvar"])
    assert np.array_equal(some, logvar[[3, 50]])
    assert (tmp_path / "z_points.npy").stat().st_mtime_ns == before
    vae.epsilon_factor.assign(0.0)
    try:
        assert np.array_equal(encoding.encode_variational(vae, batches, tmp_path)[2], mu)
    finally:
        vae.epsilon_factor.assign(1.0)


def test_the_same_seed_gives_the_same_losses(trained, packed, tmp_path):
    _, log, _ = trained
    _, again = train(tmp_path / "again", packed, fact=5.0)
    assert [row["kl_loss"] for row in again] == pytest.approx([row["kl_loss"] for row in log], rel=1e-5)
    assert [row["total_loss"] for row in again] == pytest.approx([row["total_loss"] for row in log], rel=1e-6)


def test_going_on_draws_the_same_epsilon_as_an_undisturbed_training(trained, packed, tmp_path):
    vae, log, _ = trained
    train(tmp_path / "halves", packed, epochs=1, fact=5.0)
    resumed, rows = train(tmp_path / "halves", packed, epochs=2, fact=5.0)
    assert [row["reco_loss"] for row in rows] == pytest.approx([row["reco_loss"] for row in log], rel=1e-6)
    for a, b in zip(vae.get_weights(), resumed.get_weights(), strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_another_process_and_the_other_backend_load_the_model(trained, packed, tmp_path):
    vae, _, folder = trained
    pictures = images.load_images(packed, range(6))
    np.save(tmp_path / "images.npy", pictures)
    program = (
        "import sys, numpy as np; from helpers.models import training; folder, out = sys.argv[1:];"
        "vae = training.load_model(folder); mu, logvar = vae.encoder.predict(np.load(out + '/images.npy'));"
        "np.save(out + '/mu.npy', mu); np.save(out + '/logvar.npy', logvar)"
    )
    mine = keras.backend.backend()
    for backend in (mine, {"tensorflow": "jax", "jax": "tensorflow"}[mine]):
        environment = {**os.environ, "KERAS_BACKEND": backend}
        command = [sys.executable, "-c", program, str(folder), str(tmp_path)]
        done = subprocess.run(
            command, cwd=project_root(), env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        for name, array in zip(("mu", "logvar"), vae.encoder.predict(pictures, verbose=0), strict=True):
            assert np.allclose(np.load(tmp_path / f"{name}.npy"), array, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("place", [True, "after"])
def test_batch_normalisation_stands_where_it_is_asked_for(place):
    encoder = networks.build_encoder(z_dim=8, filters=(4, 4), variational=True, batch_norm=place)
    names = [layer.name for layer in encoder.layers]
    behind = names.index("conv_1_norm") > names.index("conv_1_activation")
    assert behind == (place == "after")


def test_logvar_starts_at_its_bias_and_the_decoder_has_no_batch_normalisation():
    vae = networks.VariationalAutoencoder(**SMALL, logvar_bias=-7.0)
    assert (vae.encoder.get_layer("logvar").bias.numpy() == -7).all()
    kinds = {type(layer).__name__ for layer in vae.decoder.layers}
    assert "BatchNormalization" not in kinds


def test_config_rebuilds_the_same_network():
    vae = networks.VariationalAutoencoder(**SMALL, extra_dense=8, fact=0.5, epsilon_clip=None)
    again = networks.VariationalAutoencoder.from_config(vae.get_config())
    assert again.count_params() == vae.count_params()
    assert (again.fact, again.epsilon_clip) == (0.5, None)


def chance(share):
    """Loss of whoever knows how frequent each attribute is, and nothing else."""
    share = share.clip(0.01, 0.99)
    return -(share * np.log(share) + (1 - share) * np.log(1 - share)).mean()


def test_attribute_classifier_learns_and_gives_features(packed, tmp_path):
    keras.utils.set_random_seed(1)
    classifier = networks.AttributeClassifier()
    batches = images.ImageBatches(packed, "train", 16, shuffle=True, attributes=True, seed=1)
    valid = images.ImageBatches(packed, "valid", 16, attributes=True)
    log = training.fit(classifier, batches, valid, 6, tmp_path / "classifier", 0.001)
    assert log[-1]["total_loss"] < 0.8 * log[0]["total_loss"]
    share = images.load_attributes(packed)[batches.rows].mean(axis=0)
    assert log[-1]["val_total_loss"] < 1.3 * chance(share)  # running averages that lag behind give twice this
    pictures = images.load_images(packed, range(4))
    features = classifier.features.predict(pictures, verbose=0)
    assert features.shape == (4, networks.FEATURES)
    loaded = training.load_model(tmp_path / "classifier")
    assert np.allclose(loaded.features.predict(pictures, verbose=0), features, atol=1e-4)


def test_labels_follow_their_images(packed):
    batches = images.ImageBatches(packed, "train", 16, shuffle=True, attributes=True, seed=4)
    pictures, labels = batches[1]
    rows = batches.order[16:32]
    assert np.array_equal(pictures, images.load_images(packed, rows))
    assert np.array_equal(labels, np.load(packed / "attributes.npy")[rows])
