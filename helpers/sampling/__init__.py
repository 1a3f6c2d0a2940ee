"""New z-vectors: samplers, mixtures, paths."""

from helpers.sampling.mixtures import draw_bootstrap, fit_bootstrap, fit_mixture, mixture_gains
from helpers.sampling.paths import (
    attribute_vectors,
    interpolate_linear,
    interpolate_spherical,
    line_in_plane,
    random_steps,
    random_walks,
    steps_along,
)
from helpers.sampling.samplers import (
    SAMPLERS,
    Sampler,
    draw_gaussian,
    draw_in_ellipses,
    draw_uniform,
    fit_dimension,
    inside_all_ellipses,
    normal_share_inside,
)
