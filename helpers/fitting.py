"""Least-squares Gaussians through many curves at once: arrays in, arrays out."""

import numpy as np

FIT_STEPS = 100  # most steps of a Gaussian fit; ten are usual
FIT_CHANGE = 1e-6  # change of centre / sigma and of log(sigma) below which a fit has ended
MOST_WIDENING = 3  # times the standard deviation: the largest sigma of a fit, for flat densities


def gaussian(x, amplitude, centre, log_sigma):
    """Gaussian curves (b, d) at x (b, d); their parameters are (d,)."""
    return amplitude * np.exp(-0.5 * np.square((x - centre) * np.exp(-log_sigma)))


def levenberg_marquardt(x, y, smallest_log_sigma):
    """Parameters (amplitude, centre, log sigma), (3, d), of the Gaussians nearest to y (b, d) at x (b, d).

    Starts at (1, 0, 0). Each of the d curves has its own damping. Source: Marquardt 1963.
    """
    parameters = np.zeros((3, x.shape[1]))
    parameters[0] = 1
    damping = np.full(x.shape[1], 1e-3)
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
