"""Images to z-points with a trained encoder; what was encoded once is kept."""

from pathlib import Path

import keras

from helpers.images import images_identity
from helpers.models import draw_z, float32_copy
from helpers.workspace import kept_arrays, sha256_of_arrays

SAMPLING_SEED = 1  # of the epsilon that `encode_variational` draws


def encode(encoder, batches, target):
    """z-points (n, z_dim), float32, of all rows of `batches` in their order; kept in `target` (.npy).

    The encoder computes wholly in float32 whatever it was trained in. A `target` that the same weights
    made from the same images is loaded instead. `batches` must not be shuffled. Source: COL-019, COL-023.
    """
    return _kept([target], encoder, batches, lambda z_points: [z_points])[0]


def encode_variational(vae, batches, folder):
    """mu, logvar and z, each float32 (n, z_dim), of all rows of `batches`; kept in `folder`.

    The files are mu.npy, logvar.npy and z_points.npy; z is one seeded draw, epsilon clipped and scaled as
    in the model. Otherwise as `encode`. Source: XIII-062, XIII-068.
    """
    factor = float(vae.epsilon_factor)

    def draw(mu_and_logvar):
        seed = keras.random.SeedGenerator(SAMPLING_SEED)
        z = draw_z(*mu_and_logvar, seed, vae.epsilon_clip, factor)
        return [*mu_and_logvar, keras.ops.convert_to_numpy(z)]

    targets = [Path(folder) / name for name in ("mu.npy", "logvar.npy", "z_points.npy")]
    return _kept(targets, vae.encoder, batches, draw, epsilon_clip=vae.epsilon_clip, epsilon_factor=factor)


def _kept(targets, encoder, batches, finish, **settings):
    """Arrays of the files `targets`, which `finish` makes of the encoder's output unless they are there."""
    identity = {
        "weights_sha256": sha256_of_arrays(encoder.get_weights()),
        "images": images_identity(batches.folder),
        "split": batches.split,
        **settings,
    }

    def make():
        if batches.shuffle or batches.flip:
            raise ValueError(
                "encode needs batches without shuffle and flip: z-points keep the images' order."
            )
        return finish(float32_copy(encoder).predict(batches, verbose=0))

    return kept_arrays(targets, identity, make)
