"""Statistics of z-points: arrays in, arrays out; neighbours, surrogates, clusters, maps, normality beside."""

from helpers.latent.covariance import (
    components_for_variance,
    distance_correlations,
    fit_normal,
    fit_pca,
    off_diagonal,
    off_diagonal_statistics,
    pearson_matrix,
    principal_axes,
    size_correlations,
    squared_distances,
    strongest_pairs,
    transform_pca,
    unwhiten,
    whiten,
)
from helpers.latent.fits import (
    broad_components,
    fit_gaussians,
    half_width,
    independent_survivors,
    largest_deviations,
    off_centre_components,
    survivor_counts,
    trim_outliers,
)
from helpers.latent.marginals import (
    kolmogorov_distances,
    mode,
    moments,
    number_densities,
    number_density,
    predicted_radius,
    radii,
    radius_statistics,
    single_peaked,
    ups_and_downs,
)
