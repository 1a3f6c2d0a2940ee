"""Networks of the series, their batches, training, encoding and what they cost."""

from helpers.models.costs import measure_footprints, measure_ways, write_noise_images
from helpers.models.encoding import encode_variational, float32_copy, predict
from helpers.models.images import SPLITS, ImageBatches, attribute_names, load_attributes, load_images
from helpers.models.judging import (
    SHOWN,
    change_features,
    count_judged,
    judge,
    judge_images,
    judge_seeds,
    load_inception,
    measure_drift,
    set_standard,
    thumbnail_features,
)
from helpers.models.networks import (
    Autoencoder,
    VariationalAutoencoder,
    build_decoder,
    build_encoder,
    draw_z,
    kl_divergence,
    reconstruction_loss,
)
from helpers.models.training import choose_precision, load_model
