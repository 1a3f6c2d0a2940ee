import pytest

from helpers import models
from helpers.footprint import activation_bytes, measure_footprint


def test_activations_are_counted_per_layer_and_image():
    network = models.build_encoder(z_dim=8, filters=(4, 6))
    numbers = 2 * (48 * 48 * 4) + 2 * (24 * 24 * 6) + 24 * 24 * 6 + 8  # convolutions, activations, flatten, z
    assert activation_bytes(network, batch_size=3) == 3 * 4 * numbers


def test_the_footprint_of_a_network_is_measured_in_another_process():
    small = measure_footprint(4, 1, "float32", z_dim=8, filters=(4, 4, 4, 4))
    vae = models.VariationalAutoencoder(z_dim=8, filters=(4, 4, 4, 4))
    assert small["weights"] == 4 * (vae.encoder.count_params() + vae.decoder.count_params())
    trained = 4 * sum(int(variable.shape.num_elements()) for variable in vae.trainable_variables)
    assert small["optimizer"] == pytest.approx(2 * trained, rel=0.01)
    assert small["peak_ram"] > 0
    assert small["seconds_per_step"] > 0
    assert small["peak_vram"] is None or small["peak_vram"] > 0


def test_a_failure_in_the_other_process_is_told():
    with pytest.raises(RuntimeError, match="measuring process failed"):
        measure_footprint(4, 1, "float32", colour="red")
