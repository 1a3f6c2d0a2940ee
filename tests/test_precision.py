"""What a GPU does by itself, on the CPU: Keras compiles with XLA, and trains in float16 with a loss scale."""

import shutil

import keras
import numpy as np
import pytest

from helpers.models import encoding, images, judging, networks, training

pytestmark = pytest.mark.backend

SMALL = {"z_dim": 4, "filters": (2, 4, 4, 4)}
KINDS = {
    "autoencoder": (networks.Autoencoder, SMALL),
    "VAE": (networks.VariationalAutoencoder, {**SMALL, "fact": 5.0}),
    "classifier": (networks.AttributeClassifier, {}),
}
EPOCHS, STOPPED_AFTER, LEARNING_RATE = 5, 3, 0.001


@pytest.fixture
def as_on_gpu(monkeypatch):
    """Keras decides as where TensorFlow has a GPU."""
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda self: True)
    yield
    training.choose_precision("float32")


def train(name, precision, folder, packed):
    kind, options = KINDS[name]
    training.choose_precision(precision)
    keras.utils.set_random_seed(2)
    model, labelled = kind(**options), {"attributes": name == "classifier"}
    batches = images.ImageBatches(packed, "train", 16, shuffle=True, seed=2, **labelled)
    valid = images.ImageBatches(packed, "valid", 6, **labelled)
    return model, training.fit(model, batches, valid, EPOCHS, folder, LEARNING_RATE)


def all_variables(model):
    """Weights and the optimizer's variables, its loss scale among them."""
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables if "seed" not in variable.path]


def stop_in_the_middle(keeper, batch, logs=None):
    if (len(keeper.rows), batch) == (STOPPED_AFTER, 1):
        raise KeyboardInterrupt


@pytest.mark.usefixtures("as_on_gpu")
@pytest.mark.parametrize("name", KINDS)
def test_float16_with_xla_equals_float32_and_goes_on_as_if_never_stopped(name, packed, tmp_path, monkeypatch):
    exact, expected = train(name, "float32", tmp_path / "float32", packed)
    whole, log = train(name, "mixed_float16", tmp_path / "whole", packed)
    assert exact.jit_compile and whole.jit_compile
    assert type(whole.optimizer) is keras.optimizers.LossScaleOptimizer
    ratios = [a["total_loss"] / b["total_loss"] for a, b in zip(log, expected, strict=True)]
    print(name, "float16 over float32, by epoch:", np.round(ratios, 4), float(whole.optimizer.dynamic_scale))
    assert np.mean(ratios) == pytest.approx(1, abs=0.005)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.EpochKeeper, "on_train_batch_end", stop_in_the_middle)
        train(name, "mixed_float16", tmp_path / "halves", packed)
    resumed, rows = train(name, "mixed_float16", tmp_path / "halves", packed)
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert [row["total_loss"] for row in rows] == [row["total_loss"] for row in log]
    scales = [float(model.optimizer.dynamic_scale) for model in (whole, resumed)]
    assert scales[0] == scales[1]
    assert all(map(np.array_equal, all_variables(whole), all_variables(resumed)))


@pytest.mark.usefixtures("as_on_gpu")
def test_what_float16_trained_encodes_decodes_and_judges_in_float32(packed, tmp_path):
    folder = shutil.copytree(packed, tmp_path / "images")
    np.save(folder / "splits.npy", np.repeat([0, 1, 2], 20).astype(np.uint8))
    images.write_manifest(folder)
    training.choose_precision("mixed_float16")
    autoencoder = networks.Autoencoder(**SMALL)
    autoencoder.compile(optimizer=keras.optimizers.Adam())
    batches = images.ImageBatches(folder, None, 16)
    z = encoding.encode(autoencoder.encoder, batches, tmp_path / "z_points.npy")
    exact = encoding.float32_copy(autoencoder.encoder)(images.load_images(folder, batches.rows))
    assert z.dtype == np.float32
    assert np.allclose(z, exact, atol=1e-6)
    clouds = encoding.encode_variational(networks.VariationalAutoencoder(**SMALL), batches, tmp_path / "vae")
    assert {array.dtype for array in clouds} == {np.dtype("float32")}
    features = networks.AttributeClassifier().features
    parts = (autoencoder.encoder, autoencoder.decoder, features)
    standard = judging.set_standard(folder, *parts, z[:20], z[20:40])
    found = judging.judge(standard, z[40:])
    arrays = (standard.test, standard.near_z, standard.near_images, found.faces)
    assert {array.dtype for array in arrays} == {np.dtype("float32")}
    assert all(np.isfinite(row.value) for row in found.scores.values())
