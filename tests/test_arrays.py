"""Odd arrays into every public function of the numeric rooms: its documented result, or one clear sentence.

FAULT_EXAMPLES arrays for each function (16, unless the environment says otherwise); `pytest -s` shows the
table, and FAULT_TABLE names a file for it. NaN is right only where the function's docstring says so.
"""

import inspect
import os
import tempfile
import warnings
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import density, ellipses, scores
from helpers.explorer import space
from helpers.files import InputError
from helpers.latent import (
    clusters,
    covariance,
    fits,
    maps,
    marginals,
    neighbours,
    normality,
    surrogates,
)
from helpers.sampling import mixtures, paths, samplers

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "16"))
MODULES = (
    clusters, covariance, fits, maps, marginals, neighbours, normality, surrogates,
    density, ellipses, scores, mixtures, paths, samplers, space,
)  # fmt: skip

CLOUD, PLANE, WHITE, VALUES, MATRIX, IMAGES = (60, 6), (60, 2), (60, 8), (60,), (6, 6), (6, 12, 12, 3)
POSITIVE, COVARIANCE = np.linspace(1, 9, 60), np.array([[2.0, 0.5], [0.5, 1.0]])
SHAPES = [
    (), (0,), (1,), (2,), (7,), (0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (40, 2), (2, 6), (4, 6), (1, 1),
    (12, 1), (40, 0), (3, 3), (60, 3), (3, 4, 2), (40, 5, 3), (2, 12, 12, 3), (2, 7, 5, 3), (12, 12, 3),
]  # fmt: skip
DTYPES = ["f2", "f4", "f4", "f8", "f8", "i8", "i2", "u1", "?", "O", "U", "list", None]


def flat(values):
    """Values (n, columns) of any array, to be changed in place where that is possible."""
    return values.reshape(len(values), -1) if values.ndim and len(values) else values.reshape(1, -1)


def all_equal(values, rng):
    values[:] = 0.1


def zeros(values, rng):
    values[:] = 0


def collinear(values, rng):
    values[:] = values[:, :1] * np.arange(1, values.shape[1] + 1) + 1


def constant_column(values, rng):
    values[:, -1] = 0.1


def nearly_constant_column(values, rng):
    values[:, -1] *= 1e-200


def duplicates(values, rng):
    values[:] = values[rng.integers(len(values) // 3 + 1, size=len(values))]


def two_points(values, rng):
    values[:] = values[rng.integers(min(len(values), 2), size=len(values))]


def one_nan(values, rng):
    values[rng.integers(len(values)), rng.integers(values.shape[1])] = np.nan


def nan_column(values, rng):
    values[:, 0] = np.nan


def infinite(values, rng):
    values[rng.integers(len(values))] = rng.choice([np.inf, -np.inf])


def all_nan(values, rng):
    values[:] = np.nan


def outlier(values, rng):
    values[0] = 1e8


def single_other(values, rng):
    values[:] = 0
    values[0] = 1


def on_a_grid(values, rng):
    values[:] = np.round(values)


def far_off(values, rng):
    values += 1e7


def hardly_spread(values, rng):
    values *= 1e-9
    values += 1


def scaled(factor):
    def scale(values, rng):
        values *= factor

    scale.__name__ = f"times {factor:g}"
    return scale


ODD = [
    all_equal, zeros, collinear, constant_column, nearly_constant_column, duplicates, two_points, one_nan,
    nan_column, infinite, all_nan, outlier, single_other, on_a_grid, far_off, hardly_spread,
    *map(scaled, (1, 1e160, 1e-200, 1e-30, 1e-42, 1e30, 1e12, 1e-12, 1e-6)),
]  # fmt: skip


def sound(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


def make_odd(shape, change, dtype, seed):
    """An array of standard normal numbers, changed, in a type that may not be one of numbers."""
    if dtype is None:
        return None
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if values.size:
            values = np.ascontiguousarray(values)
            change(flat(values), rng)
        return values.tolist() if dtype == "list" else values.astype(dtype)


def odd_arrays(shape):
    """Arrays of about this shape, of others, and of other types."""
    few = [(n, *shape[1:]) for n in (0, 1, 2, 3, 5, 12)]
    shapes = st.one_of(st.just(shape), st.sampled_from(few), st.sampled_from(SHAPES))
    kinds = st.one_of(st.sampled_from(["f4", "f8"]), st.sampled_from(DTYPES))
    return st.builds(make_odd, shapes, st.sampled_from(ODD), kinds, st.integers(0, 5))


def sound_arguments(shapes):
    """A standard normal array for each shape; or what stands in the place of a shape."""
    return [sound(shape, place) if isinstance(shape, tuple) else shape for place, shape in enumerate(shapes)]


def arguments(shapes):
    """One array for each shape; one of them is odd, or all are."""
    rest = sound_arguments(shapes)
    kinds = [odd_arrays(np.shape(values)) for values in rest]
    one = [
        st.tuples(*(kinds[place] if place == odd else st.just(values) for place, values in enumerate(rest)))
        for odd in range(len(rest))
    ]
    return st.one_of(*one, st.tuples(*kinds))


def rng():
    return np.random.default_rng(3)


REAL = sound(CLOUD, 9)
NORMAL, PCA, FITS = covariance.fit_normal(REAL), covariance.fit_pca(REAL), fits.fit_gaussians(REAL, 0.25)
MIXTURE = mixtures.fit_mixture(REAL, 2)
LABELS, ATTRIBUTES = np.arange(60) % 3, np.arange(120).reshape(60, 2) % 3 == 0
HALVES = [slice(0, 4), slice(4, 8)]
SHARES = np.linspace(0, 1, 5)


def embed_all(z):
    """One map, kept in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return maps.embed_all({"one": z}, folder, maps.STANDARD | {"perplexity": 5})


# Functions of arrays: the shapes of sound ones, and the call.
CALLS = {
    clusters.inertia_curve: ([CLOUD], lambda z: clusters.inertia_curve(z, [2, 4])),
    clusters.elbow: ([[1, 2, 4, 8], [9.0, 5.0, 3.0, 1.0]], clusters.elbow),
    clusters.silhouette: ([CLOUD], lambda z: clusters.silhouette(z, 3)),
    clusters.kmeans_recovery: ([CLOUD], lambda z: clusters.kmeans_recovery(z, LABELS)),
    clusters.empty_share: ([PLANE], lambda y: clusters.empty_share(y, 3)),
    clusters.islands: ([PLANE], clusters.islands),
    clusters.neighbour_preservation: ([CLOUD, PLANE], clusters.neighbour_preservation),
    clusters.neighbour_distance: ([CLOUD, PLANE], clusters.neighbour_distance),
    clusters.distance_correlation: ([CLOUD, PLANE], clusters.distance_correlation),
    clusters.align: ([PLANE, PLANE], clusters.align),
    clusters.attribute_contrasts: ([PLANE], lambda y: clusters.attribute_contrasts(y, ATTRIBUTES)),
    clusters.effect_size: ([VALUES, VALUES], clusters.effect_size),
    covariance.fit_pca: ([CLOUD, CLOUD], covariance.fit_pca),
    covariance.transform_pca: ([CLOUD], lambda z: covariance.transform_pca(PCA, z)),
    covariance.fit_normal: ([CLOUD], covariance.fit_normal),
    covariance.whiten: ([CLOUD], lambda z: covariance.whiten(NORMAL, z)),
    covariance.unwhiten: ([CLOUD], lambda z: covariance.unwhiten(NORMAL, z)),
    covariance.mahalanobis_distances: ([CLOUD], lambda z: covariance.mahalanobis_distances(NORMAL, z)),
    covariance.squared_distances: ([WHITE], covariance.squared_distances),
    covariance.pearson_matrix: ([CLOUD], covariance.pearson_matrix),
    covariance.off_diagonal: ([MATRIX], covariance.off_diagonal),
    covariance.off_diagonal_statistics: ([MATRIX], covariance.off_diagonal_statistics),
    covariance.strongest_pairs: ([MATRIX], lambda matrix: covariance.strongest_pairs(matrix, 3)),
    covariance.size_correlations: ([CLOUD], covariance.size_correlations),
    covariance.distance_correlations: ([CLOUD], covariance.distance_correlations),
    fits.fit_gaussians: ([CLOUD], lambda z: fits.fit_gaussians(z, 0.25)),
    fits.largest_deviations: ([CLOUD], lambda z: fits.largest_deviations(z, FITS)),
    fits.trim_outliers: ([CLOUD], lambda z: fits.trim_outliers(z, 1.5)),
    fits.survivor_counts: ([CLOUD], lambda z: fits.survivor_counts(z, [1, 2])),
    maps.embed_tsne: ([CLOUD], lambda z: maps.embed_tsne(z, 5, iterations=20)),
    maps.embed_all: ([CLOUD], embed_all),
    marginals.number_densities: ([CLOUD], lambda z: marginals.number_densities(z, 0.25)),
    marginals.number_density: ([VALUES], lambda x: marginals.number_density(x, 0.25)),
    marginals.mode: ([VALUES], lambda x: marginals.mode(x, 0.25)),
    marginals.single_peaked: ([np.arange(12).reshape(6, 2)], marginals.single_peaked),
    marginals.ups_and_downs: ([VALUES], lambda x: marginals.ups_and_downs(x, 0.25)),
    marginals.moments: ([CLOUD], marginals.moments),
    marginals.kolmogorov_distances: ([CLOUD], marginals.kolmogorov_distances),
    marginals.radii: ([CLOUD], marginals.radii),
    marginals.radius_statistics: ([VALUES], lambda x: marginals.radius_statistics(x, 0.25)),
    marginals.predicted_radius: ([(6,), MATRIX], marginals.predicted_radius),
    neighbours.nearest_distances: ([CLOUD, CLOUD], neighbours.nearest_distances),
    neighbours.nearest_rows: ([CLOUD], lambda z: neighbours.nearest_rows(z, np.arange(2), 4)),
    neighbours.neighbour_distances: ([CLOUD], lambda z: neighbours.neighbour_distances(z, 4)),
    neighbours.two_nn_dimension: ([CLOUD], neighbours.two_nn_dimension),
    neighbours.levina_bickel_dimension: ([CLOUD], lambda z: neighbours.levina_bickel_dimension(z, 5)),
    neighbours.count_regions: ([CLOUD], lambda z: neighbours.count_regions(z, [1, 4])),
    neighbours.density_between_halves: ([CLOUD], neighbours.density_between_halves),
    neighbours.log10_volume_share: ([CLOUD], neighbours.log10_volume_share),
    neighbours.window: ([PLANE], lambda y: neighbours.window(y, 1)),
    neighbours.widen_window: ([PLANE], lambda y: neighbours.widen_window(y, 1)),
    neighbours.clark_evans: ([PLANE], lambda y: neighbours.clark_evans(y, 1)),
    neighbours.ripley_l: ([PLANE, [0.1, 0.3]], lambda y, radii: neighbours.ripley_l(y, radii, 1)),
    neighbours.void_share: ([PLANE], lambda y: neighbours.void_share(y, 1)),
    neighbours.largest_empty_circles: ([PLANE], lambda y: neighbours.largest_empty_circles(y, 1, 5)),
    neighbours.core_radii: ([PLANE], neighbours.core_radii),
    normality.joint_test: ([CLOUD], lambda z: normality.joint_test(z, 3, rng()).p_value),
    normality.mardia_kurtosis: ([WHITE], normality.mardia_kurtosis),
    normality.mardia_skewness: ([WHITE], normality.mardia_skewness),
    normality.held_out_squares: ([CLOUD, CLOUD], normality.held_out_squares),
    normality.spread_ratio: ([POSITIVE], lambda x: normality.spread_ratio(x, 8)),
    normality.chi_square_distance: ([POSITIVE], lambda x: normality.chi_square_distance(x, 8)),
    normality.classifier_accuracy: ([CLOUD, CLOUD], lambda z, y: normality.classifier_accuracy(z, y, rng())),
    normality.henze_zirkler: ([CLOUD], normality.henze_zirkler),
    normality.image_scales: ([WHITE], normality.image_scales),
    normality.kurtosis_after_scaling: ([WHITE], normality.kurtosis_after_scaling),
    normality.log_scales: ([POSITIVE], normality.log_scales),
    normality.block_scales: ([WHITE], lambda white: normality.block_scales(white, HALVES)),
    normality.rank_correlations: ([VALUES, VALUES], lambda x, y: normality.rank_correlations(x, {"y": y})),
    normality.likelihood_ladder: ([CLOUD, CLOUD], normality.likelihood_ladder),
    surrogates.gaussian_surrogate: ([CLOUD], lambda z: surrogates.gaussian_surrogate(z, 50, rng())),
    surrogates.matched_surrogate: ([CLOUD], lambda z: surrogates.matched_surrogate(z, 50, rng())),
    surrogates.trimmed_surrogate: ([CLOUD], lambda z: surrogates.trimmed_surrogate(z, 50, rng(), 1.5)),
    surrogates.elliptical_surrogate: ([CLOUD], lambda z: surrogates.elliptical_surrogate(z, 50, rng())),
    surrogates.sign_flip_surrogate: ([CLOUD], lambda z: surrogates.sign_flip_surrogate(z, 50, rng())),
    surrogates.uniform_box: ([CLOUD], lambda z: surrogates.uniform_box(z, 50, rng())),
    surrogates.compare_values: ([VALUES], lambda x: surrogates.compare_values(1.0, x)),
    density.kde_2d: ([PLANE], lambda y: density.kde_2d(y, 20)),
    density.plane_density: ([PLANE, PLANE], lambda y, of: density.plane_density(y, grid=20, ellipses_of=of)),
    density.contour_levels: ([MATRIX], lambda y: density.contour_levels(y, [0.5])),
    density.compare_contours: ([CLOUD], lambda y: density.compare_contours(y, [(0, 1), (2, 5)])),
    density.turn: ([PLANE, PLANE], density.turn),
    density.core_turn: ([PLANE], density.core_turn),
    density.rank_planes: ([VALUES, (5, 60)], density.rank_planes),
    density.contour_ellipse: (
        [np.arange(6.0), np.arange(6.0), MATRIX],
        lambda x, y, values: density.contour_ellipse(x, y, values, -1.0),
    ),
    density.overlap: ([np.eye(3), np.eye(3) < 1], density.overlap),
    density.overlap_of_clouds: ([PLANE, PLANE], lambda y, other: density.overlap_of_clouds(y, other, 2)),
    ellipses.confidence_ellipse: ([(2,), COVARIANCE], lambda m, cov: ellipses.confidence_ellipse(m, cov, 2)),
    ellipses.require_ellipse: ([COVARIANCE], ellipses.require_ellipse),
    ellipses.ellipse_from_pearson: (
        [(2,), COVARIANCE], lambda m, cov: ellipses.ellipse_from_pearson(m, cov, 2),
    ),
    ellipses.coverage: ([PLANE], lambda y: ellipses.coverage(y, [0, 0], np.eye(2), 2)),
    ellipses.pair_coverages: ([CLOUD], lambda z: ellipses.pair_coverages(z, [1, 2])),
    scores.explained_variance_share: ([IMAGES, IMAGES, IMAGES[1:]], scores.explained_variance_share),
    scores.image_difference: ([IMAGES, IMAGES], scores.image_difference),
    scores.shrink_images: ([IMAGES], scores.shrink_images),
    scores.frechet_distance: ([CLOUD, CLOUD], scores.frechet_distance),
    scores.frechet_limit: ([CLOUD, CLOUD], scores.frechet_limit),
    scores.density_and_coverage: ([CLOUD, CLOUD], scores.density_and_coverage),
    scores.score_newness: ([VALUES, VALUES], scores.score_newness),
    scores.measure_traits: ([IMAGES, IMAGES[1:]], scores.measure_traits),
    scores.mirror_correlations: ([IMAGES], scores.mirror_correlations),
    mixtures.fit_mixture: ([CLOUD], lambda z: mixtures.fit_mixture(z, 2)),
    mixtures.fit_bootstrap: ([CLOUD], lambda z: mixtures.fit_bootstrap(z, 2)),
    mixtures.mixture_gains: ([CLOUD], lambda z: mixtures.mixture_gains(MIXTURE, z)),
    mixtures.split_scales: ([WHITE], mixtures.split_scales),
    paths.interpolate_linear: ([(6,), (6,), (5,)], paths.interpolate_linear),
    paths.interpolate_spherical: ([(6,), (6,), (5,)], paths.interpolate_spherical),
    paths.line_in_plane: ([(6,), (2, 2), (5,)], lambda z, ends, m: paths.line_in_plane(z, (1, 4), ends, m)),
    paths.steps_along: ([(6,), (6,), (5,)], paths.steps_along),
    paths.random_walks: ([(6,), (5,)], lambda z, lengths: paths.random_walks(z, lengths, 3, rng())),
    paths.random_steps: ([CLOUD, VALUES], lambda z, lengths: paths.random_steps(z, lengths, rng())),
    paths.attribute_vectors: ([CLOUD], lambda z: paths.attribute_vectors(z, ATTRIBUTES)),
    samplers.inside_all_ellipses: ([CLOUD], lambda z: samplers.inside_all_ellipses(z, 2)),
    space.prepare_space: ([CLOUD], space.prepare_space),
}  # fmt: skip
MORE = {  # further arrays of the same functions
    "labels": (clusters.kmeans_recovery, [LABELS], lambda x: clusters.kmeans_recovery(REAL, x)),
    "attributes": (
        clusters.attribute_contrasts, [ATTRIBUTES], lambda a: clusters.attribute_contrasts(REAL[:, :2], a),
    ),
    "attributes again": (
        paths.attribute_vectors, [ATTRIBUTES], lambda a: paths.attribute_vectors(REAL, a),
    ),
    **{
        name: (sampler.fit, [CLOUD], lambda z, sampler=sampler: sampler(z, 20, rng()))
        for name, sampler in samplers.SAMPLERS.items()
        if name not in ("mixture", "bootstrap")
    },
}  # fmt: skip
CASES = {function.__name__: (function, *call) for function, call in CALLS.items()} | MORE
LEFT_OUT = """
    k_means principal_axes components_for_variance levenberg_marquardt damped_step
    gaussian half_width broad_components off_centre_components independent_survivors start_map describe
    maximum_norm measure_statistics radial_features kurtosis_from_spread scale_gain block_scale_gain
    straighten match_moments draw_noise compare_with_surrogates plant_filaments plant_network
    plant_clusters spread_points smooth_counts
    compare_plane widening contour_alignment axes_angle pairs_among ellipse_axes unit_vectors circle
    ellipse_outline relative_radius expected_coverage count_inside repeat image_traits
    draw_mixture draw_bootstrap fit_components shrink draw_standard_normal draw_uniform draw_gaussian
    draw_elliptical draw_truncated draw_in_ellipses normal_share_inside order_cloud count_left
    require_plane cut_cloud share_within centre_and_spread place_in_plane point_of_plane picked_distance
    nearest_points fit_dimension fit_intervals fit_independent fit_zero_mean fit_elliptical
"""  # numbers, fitted things or generators; parts of what is attacked
OUTCOMES = defaultdict(Counter)


def numbers(result):
    """All numbers in a result, one array after the other."""
    if isinstance(result, dict):
        result = tuple(result.values())
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in numbers(part)]
    return [] if result is None or isinstance(result, str) else [np.asarray(result)]


def outcome_of(function, call, given_arrays):
    """How a call ends: right, refused, or what is wrong."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = numbers(call(*given_arrays))
        except InputError as error:
            return (
                "refused" if str(error).endswith(".") and len(str(error)) < 300 else f"no sentence: {error}"
            )
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    if any(array.dtype.kind not in "fiub" for array in found):
        return "no numbers"
    if any(np.isinf(array).any() for array in found):
        return "an infinite result"
    if any(np.isnan(array).any() for array in found) and "NaN" not in (function.__doc__ or ""):
        return "NaN, which the docstring does not say"
    return "right"


@pytest.fixture(scope="module", autouse=True)
def table():
    """Make short maps; show at the end what was called how often, and how it ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "ITERATIONS", 20)
        yield
    lines = ["function,cases,right,refused,wrong"]
    for name, counts in sorted(OUTCOMES.items()):
        wrong = counts.total() - counts["right"] - counts["refused"]
        lines.append(f"{name},{counts.total()},{counts['right']},{counts['refused']},{wrong}")
    print(*lines, sep="\n")
    if target := os.environ.get("FAULT_TABLE"):
        with open(target, "w", encoding="utf-8") as file:
            print(*lines, sep="\n", file=file)


@pytest.mark.parametrize("name", CASES)
def test_odd_arrays_get_the_documented_result_or_a_sentence(name):
    function, shapes, call = CASES[name]

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(arguments(shapes))
    def attack(arrays):
        outcome = outcome_of(function, call, arrays)
        OUTCOMES[name][outcome] += 1
        assert outcome in ("right", "refused"), outcome

    assert outcome_of(function, call, sound_arguments(shapes)) == "right"
    attack()


def test_integers_whose_squares_overflow_are_one_sentence():
    """Found by 400 cases a function; bytes, as of thumbnails, are taken as they are."""
    largest = np.full((60, 6), np.iinfo(np.int64).min)
    with pytest.raises(
        InputError, match="nearest_distances cannot use queries that are not finite, or whose"
    ):
        neighbours.nearest_distances(largest, np.eye(6))
    assert neighbours.nearest_distances(*np.eye(2, 6, dtype=np.uint8)[:, None]) == pytest.approx(np.sqrt(2))


def test_every_public_function_of_arrays_is_attacked():
    """What is left out takes numbers, fitted things or generators, or works for one that is attacked."""
    public = {
        function
        for module in MODULES
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and name[0] != "_"
    }
    assert not {function.__name__ for function in public - set(CALLS)} ^ set(LEFT_OUT.split())
