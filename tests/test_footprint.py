import pytest

from helpers.models import networks
from helpers.models.costs import activation_bytes, measure_footprints


def test_activations_are_counted_per_layer_and_image():
    network = networks.build_encoder(z_dim=8, filters=(4, 6))
    numbers = 2 * (48 * 48 * 4) + 2 * (24 * 24 * 6) + 24 * 24 * 6 + 8  # convolutions, activations, flatten, z
    assert activation_bytes(network, batch_size=3) == 3 * 4 * numbers


def test_footprints_of_networks_are_measured_in_other_processes():
    filters = {"filters": (4, 4, 4, 4)}
    variants = [{"batch_size": 4, "z_dim": 8, **filters}, {"batch_size": 4, "z_dim": 16, **filters}]
    for variant, found in zip(variants, measure_footprints(variants, 1, "float32"), strict=True):
        vae = networks.VariationalAutoencoder(z_dim=variant["z_dim"], **filters)
        assert found["weights"] == 4 * (vae.encoder.count_params() + vae.decoder.count_params())
        trained = 4 * sum(int(variable.shape.num_elements()) for variable in vae.trainable_variables)
        assert found["optimizer"] == pytest.approx(2 * trained, rel=0.01)
        assert found["peak_ram"] > 0
        assert found["seconds_per_step"] > 0
        assert found["peak_vram"] is None or found["peak_vram"] > 0


def test_a_failure_in_the_other_process_is_told():
    with pytest.raises(RuntimeError, match=r"measuring process failed.*colour"):
        measure_footprints([{"batch_size": 4, "colour": "red"}], 1, "float32")
