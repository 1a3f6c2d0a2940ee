import keras
import numpy as np
import pytest

from helpers.models import encoding, networks

pytestmark = pytest.mark.backend

SMALL = {"z_dim": 8, "filters": (4, 6, 8, 8)}


def random_images(n=3):
    return np.random.default_rng(0).random((n, 96, 96, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 2_747_968),
        ({"variational": True, "batch_norm": True}, 5_109_440),
        ({"variational": True, "batch_norm": True, "extra_dense": 256}, 2_881_472),
        ({"variational": True, "batch_norm": True, "extra_dense": 384}, 4_126_784),
        ({"variational": True, "batch_norm": True, "z_dim": 512}, 9_828_544),
    ],
)
def test_encoder_parameters(options, parameters):
    assert networks.build_encoder(**options).count_params() == parameters


@pytest.mark.parametrize(("z_dim", "parameters"), [(256, 2_756_675), (512, 5_115_971)])
def test_decoder_parameters(z_dim, parameters):
    assert networks.build_decoder(z_dim).count_params() == parameters


def test_autoencoder_gives_back_images_of_the_same_shape():
    autoencoder = networks.Autoencoder(**SMALL)
    rebuilt = keras.ops.convert_to_numpy(autoencoder(random_images()))
    assert rebuilt.shape == (3, 96, 96, 3)
    assert 0 < rebuilt.min() < rebuilt.max() < 1


def test_options_reach_both_networks():
    autoencoder = networks.Autoencoder(z_dim=8, filters=(4, 6, 8), batch_norm=True, activation="selu")
    kinds = [
        [type(layer).__name__ for layer in net.layers] for net in (autoencoder.encoder, autoencoder.decoder)
    ]
    assert [k.count("BatchNormalization") for k in kinds] == [3, 2]
    assert kinds[0].count("Conv2D") == kinds[1].count("Conv2DTranspose") == 3
    assert autoencoder.encoder.get_layer("flatten").output.shape[-1] == 12 * 12 * 8


def test_config_rebuilds_the_same_network():
    autoencoder = networks.Autoencoder(**SMALL)
    again = networks.Autoencoder.from_config(autoencoder.get_config())
    again.set_weights(autoencoder.get_weights())
    assert np.array_equal(again(random_images()), autoencoder(random_images()))


@pytest.mark.parametrize(
    ("kind", "asked_for", "spelled"),
    [
        (networks.Autoencoder, {}, {"z_dim": 256, "filters": (32, 64, 128, 256), "batch_norm": False}),
        (networks.VariationalAutoencoder, {"fact": 1e-5}, {"fact": 1e-5, "extra_dense": None}),
        (networks.VariationalAutoencoder, {}, {"batch_norm": True, "epsilon_clip": 5.0, "logvar_bias": 0.0}),
        (networks.AttributeClassifier, {}, {"attributes": 40}),
    ],
)
def test_a_default_left_out_or_spelled_out_is_the_same_network(kind, asked_for, spelled):
    left_out, spelled_out = kind(**asked_for), kind(**spelled)
    assert left_out.get_config() == spelled_out.get_config()
    assert left_out.count_params() == spelled_out.count_params()


def test_an_unknown_option_is_refused():
    for kind in (networks.Autoencoder, networks.VariationalAutoencoder, networks.AttributeClassifier):
        with pytest.raises(TypeError, match="colour"):
            kind(colour="red")


def test_loss_is_the_pixel_sum_of_the_channel_mean():
    images, rebuilt = random_images(), random_images()[::-1]
    expected = -(images * np.log(rebuilt) + (1 - images) * np.log(1 - rebuilt)).mean(axis=-1).sum(axis=(1, 2))
    loss = keras.ops.convert_to_numpy(networks.reconstruction_loss(images, np.ascontiguousarray(rebuilt)))
    assert loss == pytest.approx(expected, rel=1e-4)


def test_a_grey_answer_costs_log_2_per_pixel():
    grey = np.full((1, 96, 96, 3), 0.5, np.float32)
    loss = keras.ops.convert_to_numpy(networks.reconstruction_loss(random_images(1), grey))
    assert loss[0] == pytest.approx(96 * 96 * np.log(2), rel=1e-4)  # float32, summed in any order


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_z_and_images_stay_float32_under_a_mixed_policy(policy):
    keras.config.set_dtype_policy(policy)
    autoencoder = networks.Autoencoder(**SMALL)
    z = autoencoder.encoder(random_images())
    assert keras.backend.standardize_dtype(z.dtype) == "float32"
    assert keras.backend.standardize_dtype(autoencoder.decoder(z).dtype) == "float32"
    mu, logvar = networks.build_encoder(z_dim=8, filters=(4, 4), variational=True)(random_images())
    assert {keras.backend.standardize_dtype(t.dtype) for t in (mu, logvar)} == {"float32"}
    assert autoencoder.encoder.get_layer("conv_2").compute_dtype == policy.removeprefix("mixed_")


def test_float32_copy_equals_a_float32_network_with_the_same_weights():
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = networks.build_encoder(**SMALL)
    keras.config.set_dtype_policy("float32")
    plain = networks.build_encoder(**SMALL)
    plain.set_weights(mixed.get_weights())
    exact = keras.ops.convert_to_numpy(plain(random_images()))
    assert np.array_equal(keras.ops.convert_to_numpy(encoding.float32_copy(mixed)(random_images())), exact)
    assert not np.array_equal(keras.ops.convert_to_numpy(mixed(random_images())), exact)


def test_batches_are_predicted_as_all_at_once(monkeypatch):
    monkeypatch.setattr(encoding, "PREDICTED_AT_ONCE", 3)
    encoder, pictures = networks.build_encoder(**SMALL), random_images(7)
    z = encoding.predict(encoder, pictures)
    assert type(z) is np.ndarray
    assert np.allclose(z, keras.ops.convert_to_numpy(encoder(pictures)), atol=1e-6)
    mu, logvar = encoding.predict(networks.build_encoder(**SMALL, variational=True), pictures)
    assert mu.shape == logvar.shape == (7, 8)
    assert not np.array_equal(mu, logvar)


@pytest.mark.backend
def test_a_compiled_network_has_its_optimizers_variables_already():
    network = networks.Autoencoder(z_dim=8, filters=(4, 4, 4, 4))
    network.compile(optimizer=keras.optimizers.Adam())
    built = len(network.optimizer.variables)
    network.train_on_batch(np.zeros((2, 96, 96, 3), np.float32))
    assert len(network.optimizer.variables) == built > 2 * len(network.trainable_variables)
