"""A Gaussian through each component's number density, and trimming by its width."""

from collections import namedtuple

import numpy as np
from scipy.special import erf

from helpers.files import InputError
from helpers.latent.marginals import number_densities
from helpers.latent.pieces import asks, row_slices

INTERVAL = 0.25  # width of the posts' number densities of z (VIII-031)
FIT_STEPS = 100  # most steps of a Gaussian fit; ten are usual
FIT_CHANGE = 1e-6  # change of centre / sigma and of log(sigma) below which a fit has ended
MOST_WIDENING = 3  # times the standard deviation: the largest sigma of a fit, for flat densities
GaussianFits = namedtuple("GaussianFits", "centre sigma amplitude r_squared")  # each float64 (z_dim,)


def fit_gaussians(z, width):
    """Least-squares Gaussian amplitude · exp(−(x − centre)² / 2 sigma²) of each component's number density.

    Returns `GaussianFits`. z is (n, d); x are the centres of intervals of `width` as in `number_densities`.
    r_squared is the share of the counts' variance that the curve explains: 1 for a Gaussian without noise,
    clearly less for two peaks or few points, 0 for equal counts. A sigma is at least `width` / 4: nothing
    narrower is resolved. Source: CII-022 to CII-034, VIII-010.
    """
    centres, counts = number_densities(z, width)
    peak, mean = counts.max(axis=0), centres @ counts / len(z)
    offsets = centres[:, None] - mean
    spread = np.sqrt((offsets**2 * counts).sum(axis=0) / len(z)).clip(width / 2)
    x, y = offsets / spread, counts / peak  # so that all fits start at amplitude 1, centre 0, sigma 1
    amplitude, centre, log_sigma = levenberg_marquardt(x, y, np.log(width / 4 / spread))
    residual = np.square(y - gaussian(x, amplitude, centre, log_sigma)).sum(axis=0)
    variation = np.square(y - y.mean(axis=0)).sum(axis=0)
    return GaussianFits(
        centre=mean + centre * spread,
        sigma=np.exp(log_sigma) * spread,
        amplitude=amplitude * peak,
        r_squared=1 - np.divide(residual, variation, out=np.ones_like(variation), where=variation > 0),
    )


def levenberg_marquardt(x, y, smallest_log_sigma):
    """Parameters (amplitude, centre, log sigma), (3, d), of the Gaussians nearest to y (b, d) at x (b, d).

    Starts at (1, 0, 0). Each of the d curves has its own damping. Source: Marquardt 1963.
    """
    parameters, damping = np.outer([1.0, 0, 0], np.ones(x.shape[1])), np.full(x.shape[1], 1e-3)
    error = np.square(y - gaussian(x, *parameters)).sum(axis=0)
    for _ in range(FIT_STEPS):
        trial = parameters + damped_step(x, y, parameters, damping)
        trial[2] = trial[2].clip(smallest_log_sigma, np.log(MOST_WIDENING))
        trial_error = np.square(y - gaussian(x, *trial)).sum(axis=0)
        change, better = np.abs(trial - parameters).max(), trial_error <= error
        parameters, error = np.where(better, trial, parameters), np.where(better, trial_error, error)
        damping = np.where(better, damping / 10, damping * 10)
        if change < FIT_CHANGE:
            break
    return parameters


def damped_step(x, y, parameters, damping):
    """One Levenberg-Marquardt step (3, d) of all d curves; damping is (d,)."""
    amplitude, centre, log_sigma = parameters
    scaled, curve = (x - centre) * np.exp(-log_sigma), gaussian(x, *parameters)
    slopes = np.stack([curve / amplitude, curve * scaled * np.exp(-log_sigma), curve * np.square(scaled)])
    normal = np.einsum("ibd,jbd->dij", slopes, slopes)
    normal += np.eye(3) * (1e-12 + damping[:, None, None] * np.einsum("dii->di", normal)[:, None])
    return np.linalg.solve(normal, np.einsum("ibd,bd->di", slopes, y - curve)[..., None])[..., 0].T


def gaussian(x, amplitude, centre, log_sigma):
    """Gaussian curves (b, d) at x (b, d); their parameters are (d,)."""
    return amplitude * np.exp(-0.5 * np.square((x - centre) * np.exp(-log_sigma)))


def half_width(sigma):
    """Half width at half maximum of a Gaussian: sigma · √(2 ln 2), the 'half-width' of CII-022."""
    return sigma * np.sqrt(2 * np.log(2))


def broad_components(fits, factor=2.0):
    """Indices of components whose sigma exceeds `factor` times the median sigma, widest first (CII-023)."""
    indices = np.flatnonzero(fits.sigma > factor * np.median(fits.sigma))
    return indices[np.argsort(-fits.sigma[indices], kind="stable")]


def off_centre_components(fits, factor=1.0):
    """Indices of components centred more than `factor` median sigmas off zero, farthest first (CII-036)."""
    indices = np.flatnonzero(np.abs(fits.centre) > factor * np.median(fits.sigma))
    return indices[np.argsort(-np.abs(fits.centre[indices]), kind="stable")]


@asks(z="n d")
def largest_deviations(z, fits=None):
    """Largest distance of a component of each z-point (n, d) from its centre, in FWHM: float64 (n,).

    Centre and FWHM, the full width at half maximum, are those of a Gaussian fitted to the component's number
    density, not mean and standard deviation, which outliers move: `fits`, by default `fit_gaussians` on
    intervals of 0.25. FWHM is 2.355 sigma. Source: IX-018, IX-019.
    """
    fits = fit_gaussians(z, INTERVAL) if fits is None else fits
    if z.shape[1] != len(fits.centre):
        raise InputError(f"Gaussians describe {len(fits.centre)} components, the z-points have {z.shape[1]}.")
    widths = 2 * half_width(fits.sigma)
    pieces = (np.abs(z[rows] - fits.centre) / widths for rows in row_slices(len(z)))
    return np.concatenate([piece.max(axis=1) for piece in pieces])


def trim_outliers(z, fact, fits=None):
    """Mask (n,) of the z-points (n, d) whose every component lies within centre ± fact · FWHM.

    Centres and widths are those of `largest_deviations`. InputError unless fact is positive. Source: IX-018.
    """
    if not fact > 0:
        raise InputError(f"fact, the half-width of the region that is kept, must be positive, not {fact}.")
    return largest_deviations(z, fits) <= fact


def survivor_counts(z, facts, fits=None):
    """Number of z-points (n, d) that `trim_outliers` keeps for each of `facts`: int (len(facts),).

    All facts at once, by the largest deviation of each point. Source: IX-022, IX-072 to IX-076.
    """
    return np.searchsorted(np.sort(largest_deviations(z, fits)), np.asarray(facts), side="right")


def independent_survivors(n, d, facts):
    """Number of n points that d independent Gaussians would leave on average for `facts`: float64.

    Each keeps erf(2 · fact · √ln 2); dependent ones leave at least as many (Šidák 1967). Source: D-004.
    """
    return n * erf(2 * np.sqrt(np.log(2)) * np.asarray(facts)) ** d
