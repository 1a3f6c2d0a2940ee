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


def frechet_distance(features, reference):
    """Fréchet distance between the normal distributions fitted to two feature arrays (n, d) and (m, d).

    |mean − mean'|² + Tr(C + C' − 2 (C C')^½): 0 for equal arrays, and never quite 0 for two samples of one
    distribution. Small samples enlarge it, so compare only distances measured with equal n and m. It is
    in squared units of the features. Source: Dowson and Landau 1982; Heusel et al. 2017 (FID).
    """
    difference = features.mean(axis=0, dtype=np.float64) - reference.mean(axis=0, dtype=np.float64)
    covariance, other = (np.cov(array, rowvar=False, dtype=np.float64) for array in (features, reference))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(0)).sum()
    return float(difference @ difference + np.trace(covariance) + np.trace(other) - 2 * overlap)
