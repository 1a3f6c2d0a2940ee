"""How good an image or a z-point is: arrays in, figures out."""

import numpy as np


def relative_error(z_again, z):
    """|z' − z| / |z| per point (n,): how far encoding a decoded point leads away from it (CII-006)."""
    return np.linalg.norm(z_again - z, axis=1) / np.linalg.norm(z, axis=1)


def explained_variance_share(images, reconstructions, mean_image):
    """Share of the images' variance about `mean_image` that reconstructions explain (1: all, 0: none).

    Images are (n, height, width, channels). A decoder that answers every image with `mean_image`,
    the null hypothesis, gets 0.
    """
    residual = np.square(images - reconstructions).mean(dtype=np.float64)
    return float(1 - residual / np.square(images - mean_image).mean(dtype=np.float64))
