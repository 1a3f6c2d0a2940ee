"""Points that tests of statistics share."""

import numpy as np


def correlated_points(n=4000, dimensions=6, seed=0):
    """Normal points (n, dimensions), float32, with correlations, off the origin."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n, dimensions)) @ rng.standard_normal((dimensions, dimensions))
    return (points + 3).astype(np.float32)
