import keras
import numpy as np
import pytest

from helpers.files import InputError
from helpers.models import judging


@pytest.fixture
def small(monkeypatch):
    """A stand-in with Inception's interface: the mean colour of its input, which it has been given."""

    def build(include_top, pooling, input_tensor, weights):
        assert not include_top
        assert pooling == "avg"
        if weights == "missing":
            raise Exception("URL fetch failure on https://storage.googleapis.com")
        mean = keras.layers.GlobalAveragePooling2D()(input_tensor)
        return keras.Model(keras.utils.get_source_inputs(input_tensor), mean)

    monkeypatch.setattr(keras.applications, "InceptionV3", build)


def test_images_arrive_enlarged_and_between_minus_one_and_one(small):
    network = judging.load_inception()
    assert network.get_layer("enlarge").output.shape == (None, 299, 299, 3)
    images = np.stack([np.zeros((96, 96, 3)), np.ones((96, 96, 3)), np.full((96, 96, 3), 0.75)])
    features = network.predict(images.astype(np.float32), verbose=0)
    assert features == pytest.approx(np.repeat([[-1.0], [1.0], [0.5]], 3, axis=1), abs=1e-5)


def test_all_is_computed_in_float32_under_a_mixed_policy(small):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = judging.load_inception()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}


def test_missing_weights_get_one_clear_sentence(small):
    with pytest.raises(InputError, match="can be neither found nor downloaded here"):
        judging.load_inception(weights="missing")


def test_the_real_network_gives_2048_features():
    network = judging.load_inception(weights=None)
    assert network.output_shape == (None, 2048)
    assert network.input_shape == (None, 96, 96, 3)
