"""Statistics of z-points: arrays in, arrays out."""

import numpy as np
from sklearn.neighbors import NearestNeighbors


def radii(z):
    """Distances of z-points (n, z_dim) from the origin of the latent space, float32 (n,). Source: XIII."""
    return np.linalg.norm(z, axis=1)


def number_density(values, width):
    """Counts of `values` (n,) in intervals of `width` aligned to multiples of it: (centres, counts)."""
    first = np.floor(values.min() / width)
    numbers = (np.floor(values / width) - first).astype(np.int64)
    counts = np.bincount(numbers)
    return (first + np.arange(len(counts)) + 0.5) * width, counts


def mode(values, width):
    """Centre of the fullest interval of `width`: where the number density of `values` (n,) peaks."""
    centres, counts = number_density(values, width)
    return float(centres[np.argmax(counts)])


def radius_statistics(radii, width):
    """Mean, spread (standard deviation), min, max and mode (at intervals of `width`) of radii (n,)."""
    return {
        "mean": float(radii.mean()),
        "spread": float(radii.std()),
        "min": float(radii.min()),
        "max": float(radii.max()),
        "mode": mode(radii, width),
    }


def gaussian_surrogate(z, n, rng):
    """Draw n points (n, z_dim), float32, from the normal distribution with mean and covariance of z.

    The null hypothesis of the series: what such noise shows as well is no structure of the data.
    """
    mean, covariance = z.mean(axis=0, dtype=np.float64), np.cov(z, rowvar=False, dtype=np.float64)
    return rng.multivariate_normal(mean, covariance, size=n, method="eigh").astype(np.float32)


def uniform_box(z, n, rng):
    """Draw n points (n, z_dim), float32, evenly from the box between each component's extremes in z."""
    return rng.uniform(z.min(axis=0), z.max(axis=0), size=(n, z.shape[1])).astype(np.float32)


def nearest_distances(queries, points):
    """Distance of each query (m, z_dim) to the nearest of `points` (n, z_dim): float32 (m,)."""
    return NearestNeighbors(n_neighbors=1, algorithm="brute").fit(points).kneighbors(queries)[0][:, 0]


def random_steps(z, lengths, rng):
    """Each z-point (n, z_dim) moved by its length (n,) in a direction drawn evenly from the sphere."""
    directions = rng.standard_normal(z.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return (z + lengths[:, None] * directions).astype(np.float32)
