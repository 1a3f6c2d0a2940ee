"""Ways through the latent space: from here to there, along an attribute, away from a point."""

import numpy as np

from helpers.files import InputError
from helpers.latent.pieces import asks, require_array

SMALLEST_SINE = 1e-6  # of the angle between two directions: below, no single arc leads from one to the other


@asks(start="d or m d", end="d or m d", shares="m")
def interpolate_linear(start, end, shares):
    """Points (m, d), float32, at `shares` (m,) of the line between points (d,) or (m, d). XIII-105."""
    return ((1 - shares[:, None]) * start + shares[:, None] * end).astype(np.float32)


@asks(start="d or m d", end="d or m d", shares="m")
def interpolate_spherical(start, end, shares, centre=0.0):
    """Points (m, d), float32, at `shares` (m,) of the arc about `centre` from `start` to `end`, each (d,).

    The direction turns evenly and the distance from the centre changes evenly, so that the path does not cut
    through the emptier middle as a straight one does. With arrays (m, d) each row has a way of its own.
    InputError for ends on opposite sides of the centre, or at it. Source: Shoemake 1985, White 2016.
    """
    offsets = [point.astype(np.float64) - centre for point in (start, end)]
    lengths = [np.linalg.norm(offset, axis=-1, keepdims=True) for offset in offsets]
    if min(length.min() for length in lengths) == 0:
        raise InputError("An arc cannot begin or end at its centre; choose another centre.")
    first, last = (offset / length for offset, length in zip(offsets, lengths, strict=True))
    cosine = np.sum(first * last, axis=-1, keepdims=True).clip(-1, 1)
    angle, shares = np.arccos(cosine), shares[:, None]
    if np.any(np.pi - angle < SMALLEST_SINE):
        raise InputError("Two opposite points have no arc between them; choose another centre.")
    # Below the smallest angle the arc is a straight line, and sin(share · angle) / sin(angle) its share.
    angle = np.maximum(angle, SMALLEST_SINE)
    directions = np.sin((1 - shares) * angle) * first + np.sin(shares * angle) * last
    distances = (1 - shares) * lengths[0] + shares * lengths[1]
    return (centre + distances * directions / np.sin(angle)).astype(np.float32)


@asks(start="d", ends="2 2", shares="m")
def line_in_plane(start, plane, ends, shares, pca=None):
    """Straight path (m, d), float32, that changes only two coordinates of `start` (d,).

    `plane` names the two components, `ends` (2, 2) their values at shares 0 and 1 of the way; `shares` (m,).
    With `pca` both are those of the principal components, from their mean. Source: post VI.
    """
    require_array(start, f"d>={max(plane) + 1}", "line_in_plane", "start")
    directions = np.eye(len(start))[list(plane)] if pca is None else pca.components[list(plane)]
    origin = np.zeros(len(start)) if pca is None else pca.mean
    first, last = np.asarray(ends, dtype=np.float64)
    positions = first + np.multiply.outer(shares, last - first)
    return (start + (positions - (start - origin) @ directions.T) @ directions).astype(np.float32)


@asks(start="d", direction="d", lengths="m")
def steps_along(start, direction, lengths):
    """Points (m, d), float32: `start` (d,) moved by `lengths` (m,) times the vector `direction` (d,)."""
    return (start + np.multiply.outer(lengths, direction)).astype(np.float32)


@asks(start="d", lengths="m")
def random_walks(start, lengths, n_directions, rng):
    """Points (n_directions, m, d), float32: `start` (d,) moved by `lengths` (m,) in random directions.

    The directions are drawn evenly from the sphere; each is kept for all lengths. Source: XIII-104, CII-009.
    """
    directions = random_steps(np.zeros((n_directions, len(start))), np.ones(n_directions), rng)
    return np.stack([steps_along(start, direction, lengths) for direction in directions])


@asks(z="n d", lengths="n")
def random_steps(z, lengths, rng):
    """Each z-point (n, z_dim) moved by its length (n,) in a direction drawn evenly from the sphere."""
    directions = rng.standard_normal(z.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return (z + lengths[:, None] * directions).astype(np.float32)


@asks(z_points="n d", attributes="n a, 0/1")
def attribute_vectors(z_points, attributes):
    """Mean z-point with minus mean z-point without each attribute: (a, d), float32.

    `attributes` (n, a) are 0 or 1, in the order of z_points (n, d). Raises InputError where all or none of
    the images have an attribute. Source: XIII-002; Radford et al. 2016.
    """
    with_it = np.asarray(attributes, dtype=np.float64)
    counts = with_it.sum(axis=0)[:, None]
    if np.any(one_sided := (counts == 0) | (counts == len(z_points))):
        raise InputError(
            f"All or none of the {len(z_points)} images have attribute {int(np.argmax(one_sided))}; take "
            "more images or other attributes."
        )
    sums, total = with_it.T @ z_points, z_points.sum(axis=0, dtype=np.float64)
    return (sums / counts - (total - sums) / (len(z_points) - counts)).astype(np.float32)
