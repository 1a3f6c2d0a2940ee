"""What a GPU does by itself, on the CPU: Keras compiles with XLA, and trains in float16 with a loss scale."""

import shutil

import keras
import numpy as np
import pytest

from helpers.models import encoding, images, judging, networks, training

pytestmark = pytest.mark.backend

SMALL = {"z_dim": 4, "filters": (2, 4, 4, 4)}
KINDS = {  # name → class, options, learning rate at which the loss falls, epochs
    "autoencoder": (networks.Autoencoder, SMALL, 0.01, 8),
    "VAE": (networks.VariationalAutoencoder, {**SMALL, "fact": 5.0}, 0.01, 8),
    "classifier": (networks.AttributeClassifier, {}, 0.001, 4),
}
STOPPED_AFTER = 3  # epochs
TOLERANCE = 0.005  # of the loss
FIRST_SCALE = 1024.0  # Keras' 32,768 halves six times before a step counts; of millions, but here of 24


@pytest.fixture
def as_on_gpu(monkeypatch):
    """Keras decides as where TensorFlow has a GPU."""
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda self: True)
    create = keras.optimizers.LossScaleOptimizer.__init__
    monkeypatch.setattr(create, "__defaults__", (FIRST_SCALE, *create.__defaults__[1:]))
    yield
    training.choose_precision("float32")


def train(name, precision, folder, packed, publish=None):
    kind, options, learning_rate, epochs = KINDS[name]
    training.choose_precision(precision)
    keras.utils.set_random_seed(2)
    model, labelled = kind(**options), {"attributes": name == "classifier"}
    batches = images.ImageBatches(packed, "train", 16, shuffle=True, seed=2, **labelled)
    valid = images.ImageBatches(packed, "valid", 6, **labelled)
    return model, training.fit(model, batches, valid, epochs, folder, learning_rate, publish)


def all_variables(model):
    """Weights and the optimizer's variables, its loss scale among them."""
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables if "seed" not in variable.path]


@pytest.mark.usefixtures("as_on_gpu")
@pytest.mark.parametrize("name", KINDS)
def test_float16_with_xla_equals_float32_and_goes_on_as_if_never_stopped(name, packed, tmp_path):
    def keep(wait=False):  # what a process that is killed in the next epoch leaves
        if (tmp_path / "whole" / f"epoch-{STOPPED_AFTER:04d}.weights.h5").exists():
            shutil.copytree(tmp_path / "whole", tmp_path / "stopped")

    exact, expected = train(name, "float32", tmp_path / "float32", packed)
    whole, log = train(name, "mixed_float16", tmp_path / "whole", packed, keep)
    assert exact.jit_compile and whole.jit_compile
    assert type(whole.optimizer) is keras.optimizers.LossScaleOptimizer
    ratios = [a["total_loss"] / b["total_loss"] for a, b in zip(log, expected, strict=True)]
    print(name, "float16 over float32, by epoch:", np.round(ratios, 4), float(whole.optimizer.dynamic_scale))
    assert expected[-1]["total_loss"] < (1 - 2 * TOLERANCE) * expected[0]["total_loss"]
    assert ratios[-1] == pytest.approx(1, abs=TOLERANCE)
    resumed, rows = train(name, "mixed_float16", tmp_path / "stopped", packed)
    assert rows[:STOPPED_AFTER] == log[:STOPPED_AFTER]  # their times as well: they were not repeated
    assert [row["total_loss"] for row in rows] == [row["total_loss"] for row in log]
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
    arrays = (standard.test, standard.near_z, standard.near_images)
    assert {array.dtype for array in arrays} == {np.dtype("float32")}
    assert np.isfinite(list(found.values())).all()
