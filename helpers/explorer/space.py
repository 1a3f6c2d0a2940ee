"""Any plane through a cloud of z-points at once: prepared arrays, the cloud in a plane, points of a plane."""

from typing import NamedTuple

import numpy as np

from helpers.density import Plane, plane_density
from helpers.files import InputError
from helpers.latent.covariance import (
    Normal,
    Pca,
    fit_normal,
    fit_pca,
    mahalanobis_distances,
    principal_axes,
    transform_pca,
)
from helpers.latent.fits import largest_deviations
from helpers.latent.pieces import require_array, row_slices
from helpers.latent.surrogates import matched_surrogate

COORDINATES = ("original", "PCA")  # components of z as the encoder gives them, or principal components
SCATTERED_POINTS = 3000  # of each cloud in a scatter plot; all others count, but are not drawn
FEWEST_POINTS = 10  # with which a density is worth drawing
CELLS = 100  # cells along each axis of a plane's density
CONTOUR_STDS = (1.0, 2.0, 3.0)  # contours enclose what ellipses of so many sigma enclose of a normal plane


class Settings(NamedTuple):
    """What is to be seen: two axes, the trimming, the ellipse and a point of the plane.

    `first` and `second`: components, from 0, in `coordinates`: "original" or "PCA". `fact` limits the largest
    deviation of z-points (infinite: no trimming). `n_std`: of the ellipse, in sigma. The picked point lies
    `pick_first` and `pick_second` standard deviations off the cloud's mean.
    """

    coordinates: str = "PCA"
    first: int = 0
    second: int = 1
    fact: float = np.inf
    n_std: float = 2.0
    pick_first: float = 0.0
    pick_second: float = 0.0


class Cloud(NamedTuple):
    """z-points in the order of their largest deviations, so that those left by any `fact` come first.

    deviations (n,), ascending; rows (n,): of z, in this order; coordinates: "original" -> (d, n) and "PCA" ->
    (r, n), float32, each component in one piece; shown: ascending places of points for scatter plots.
    """

    deviations: np.ndarray
    rows: np.ndarray
    coordinates: dict
    shown: np.ndarray


class Space(NamedTuple):
    """A cloud, its Gaussian surrogate in the same coordinates, the PCA of all its points and their normal.

    median_distance: Mahalanobis distance of half of the cloud's points from their mean. squares (n,),
    float32: squared Euclidean distances of the points from the mean, in the order of `data`.
    """

    data: Cloud
    surrogate: Cloud
    pca: Pca
    normal: Normal
    median_distance: float
    squares: np.ndarray


class Section(NamedTuple):
    """A cloud in one plane: the normal distribution and the density of the m points left after trimming.

    distances (m,): Mahalanobis distances of these. plane: density (CELLS, CELLS), and the levels (3,) of its
    contours for CONTOUR_STDS. shown and dropped, each (2, some): points for a scatter plot, left and trimmed.
    """

    normal: Normal
    distances: np.ndarray
    plane: Plane
    shown: np.ndarray
    dropped: np.ndarray


def prepare_space(z, seed=1):
    """Everything that all planes through z-points (n, d), float32, need: `Space`.

    PCA and limits of trimming are those of all points; the surrogate's limits are its own, found in the same
    way. Takes about 6 times the memory of z. Raises InputError for fewer than FEWEST_POINTS.
    """
    z = require_array(z, f"n>={FEWEST_POINTS} d", "A plane")
    rng = np.random.default_rng(seed)
    pca = fit_pca(z)
    normal = Normal(pca.mean, principal_axes(pca))
    data = order_cloud(z, pca, len(normal.axes), rng)
    surrogate = order_cloud(matched_surrogate(z, len(z), rng), pca, len(normal.axes), rng)
    squares = np.einsum("rn,rn->n", data.coordinates["PCA"], data.coordinates["PCA"])
    return Space(data, surrogate, pca, normal, float(np.median(mahalanobis_distances(normal, z))), squares)


def order_cloud(z, pca, n_components, rng):
    """`Cloud` of z-points (n, d) with the coordinates on the first `n_components` of a PCA."""
    deviations = largest_deviations(z)
    order = np.argsort(deviations, kind="stable")
    original, principal = (np.empty((d, len(z)), dtype=np.float32) for d in (z.shape[1], n_components))
    for rows in row_slices(len(z)):
        points = z[order[rows]]
        original[:, rows], principal[:, rows] = points.T, transform_pca(pca, points, n_components).T
    shown = np.sort(rng.permutation(len(z))[:SCATTERED_POINTS])
    return Cloud(deviations[order], order, {"original": original, "PCA": principal}, shown)


def count_left(cloud, fact):
    """Number of points whose largest deviation is at most `fact`: the first ones of the cloud (IX-018)."""
    return int(np.searchsorted(cloud.deviations, fact, side="right"))


def require_plane(space, settings):
    """Raise InputError where the settings name no plane of this space."""
    coordinates, first, second = settings[:3]
    if coordinates not in COORDINATES:
        raise InputError(f"There are no coordinates '{coordinates}'; choose {' or '.join(COORDINATES)}.")
    last = len(space.data.coordinates[coordinates]) - 1
    for number in (first, second):
        if number not in range(last + 1):
            raise InputError(f"There is no {coordinates} component {number}; choose 0 to {last}.")
    if first == second:
        raise InputError(f"A plane needs two axes; both are component {first}: change one of them.")


def cut_cloud(cloud, settings):
    """What is left of a cloud after trimming, in the plane of the settings: `Section`.

    Raises InputError where fewer than FEWEST_POINTS are left, or where they do not span the plane.
    """
    components = cloud.coordinates[settings.coordinates][[settings.first, settings.second]]
    left = count_left(cloud, settings.fact)
    if left < FEWEST_POINTS:
        raise InputError(
            f"fact {settings.fact:g} leaves {left} of {len(cloud.deviations):,} points, too few for a "
            "density; choose a larger one."
        )
    points, kept = components[:, :left].T, np.searchsorted(cloud.shown, left)
    plane, normal = plane_density(points, CONTOUR_STDS, grid=CELLS), fit_normal(points)
    shown, dropped = (components[:, places] for places in np.split(cloud.shown, [kept]))
    return Section(normal, mahalanobis_distances(normal, points), plane, shown, dropped)


def share_within(section, n_std):
    """Share of the points left that lie in the ellipse of `n_std` sigma (normal: 1 − exp(−n_std² / 2))."""
    return np.count_nonzero(section.distances <= n_std) / len(section.distances)


def centre_and_spread(space, coordinates):
    """Mean and standard deviation of all points along each axis, both float64 (d,) or (r,)."""
    if coordinates == "PCA":
        return np.zeros(len(space.normal.axes)), np.linalg.norm(space.normal.axes, axis=1)
    return space.normal.mean, np.linalg.norm(space.normal.axes, axis=0)


def place_in_plane(space, settings):
    """Coordinates (2,) of the picked point on the two axes."""
    centre, spread = centre_and_spread(space, settings.coordinates)
    numbers = [settings.first, settings.second]
    return centre[numbers] + np.array([settings.pick_first, settings.pick_second]) * spread[numbers]


def point_of_plane(space, settings):
    """z-point (d,), float32, of the picked point; all other coordinates are those of the mean."""
    place, numbers = place_in_plane(space, settings), [settings.first, settings.second]
    z = space.pca.mean.copy()
    if settings.coordinates == "PCA":
        z += place @ space.pca.components[numbers]
    else:
        z[numbers] = place
    return z.astype(np.float32)


def picked_distance(space, settings):
    """Mahalanobis distance of the picked point from the mean of all; those of a normal cloud are near √d."""
    return float(mahalanobis_distances(space.normal, point_of_plane(space, settings)[None])[0])


def nearest_points(space, settings, number):
    """Rows in z (number,) of the z-points nearest to the picked point, and their Euclidean distances from it.

    Nearest first, of all points, trimmed or not. Principal components without variance are the same for all.
    """
    principal, point = space.data.coordinates["PCA"], point_of_plane(space, settings)
    to_point = transform_pca(space.pca, point[None], len(principal))[0]
    places = np.argpartition(space.squares - 2 * (to_point @ principal), number - 1)[:number]
    distances = np.linalg.norm(space.data.coordinates["original"][:, places].T - point, axis=1)
    order = np.argsort(distances)
    return space.data.rows[places[order]], distances[order]
