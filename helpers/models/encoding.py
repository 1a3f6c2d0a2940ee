"""Images to z-points with a trained encoder; what was encoded once is kept."""

from pathlib import Path

import keras
import numpy as np

from helpers.files import keep_arrays, load_array, sha256_of_arrays
from helpers.models.images import SPLIT_CODES, images_identity
from helpers.models.networks import draw_z

SAMPLING_SEED = 1  # of the epsilon that `encode_variational` draws
VARIATIONAL = ("mu", "logvar", "z_points")
PREDICTED_AT_ONCE = 100  # images that `predict` gives to a network at a time


def encode(encoder, batches, target, rows=None):
    """z-points (n, z_dim), float32, of all images of `batches` in their order; kept in `target` (.npy).

    With `rows`, row numbers, only these are returned. The encoder computes wholly in float32 whatever it was
    trained in, batch by batch. A `target` that the same weights made from the same images is loaded instead.
    `batches` must not be shuffled. Source: COL-019, COL-023.
    """
    _keep([target], encoder, batches, lambda z_points: [z_points])
    return load_array(target, rows)


def encode_variational(vae, batches, folder, rows=None, wanted=VARIATIONAL):
    """mu, logvar and z, each float32 (n, z_dim), of all images of `batches`; kept in `folder`.

    The files are mu.npy, logvar.npy and z_points.npy; z is one seeded draw, epsilon clipped and scaled as
    in the model. `wanted` names the arrays that are returned. Otherwise as `encode`. Source: XIII-062,
    XIII-068.
    """
    factor, seed = float(vae.epsilon_factor), keras.random.SeedGenerator(SAMPLING_SEED)

    def draw(mu_and_logvar):
        z = draw_z(*mu_and_logvar, seed, vae.epsilon_clip, factor)
        return [*mu_and_logvar, keras.ops.convert_to_numpy(z)]

    paths = {name: Path(folder) / f"{name}.npy" for name in VARIATIONAL}
    settings = {"epsilon_clip": vae.epsilon_clip, "epsilon_factor": factor}
    _keep(paths.values(), vae.encoder, batches, draw, **settings)
    return [load_array(paths[name], rows) for name in wanted]


def _keep(targets, encoder, batches, finish, **settings):
    """Make the files `targets` of what `finish` makes of the encoder's output, unless they are there."""
    identity = {
        "weights_sha256": sha256_of_arrays(encoder.get_weights()),
        "images": images_identity(batches.folder),
        "split": batches.split,
        **settings,
    }
    if batches.split:
        identity["splits"] = images_identity(batches.folder, SPLIT_CODES)

    def make():
        if batches.shuffle:
            raise ValueError("encode needs batches without shuffle: z-points keep the images' order.")
        copy = float32_copy(encoder)
        for images, *_ in batches:
            yield finish(copy.predict_on_batch(images))

    keep_arrays(targets, identity, make)


def predict(network, inputs):
    """Output of a network for inputs (n, ...): float32 (n, ...), or a list of such where it has several.

    Batch by batch into an array of numpy's. Keras' own predict makes one tensor of all inputs and one of all
    outputs, and TensorFlow on a CPU never gives back the memory of the largest tensors it had: 4,000 decoded
    images, 0.44 GB, take 1.42 GB with it and 0.47 GB here (`colab_setup.ipynb` measures it).
    """
    outputs = None
    for start in range(0, len(inputs), PREDICTED_AT_ONCE):
        rows = slice(start, start + PREDICTED_AT_ONCE)
        found = keras.tree.flatten(network.predict_on_batch(inputs[rows]))
        if outputs is None:
            outputs = [np.empty((len(inputs), *piece.shape[1:]), piece.dtype) for piece in found]
        for output, piece in zip(outputs, found, strict=True):
            output[rows] = piece
    return outputs[0] if len(outputs) == 1 else outputs


def float32_copy(model):
    """The same functional model computing wholly in float32, with a copy of its weights.

    Under a mixed policy z-points would be rounded by more than the effects that the posts measure.
    """
    copy = keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "dtype": "float32"}),
    )
    copy.set_weights(model.get_weights())
    return copy
