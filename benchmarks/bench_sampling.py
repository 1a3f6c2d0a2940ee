"""Drawing many z-vectors after fitting: `python -m benchmarks.bench_sampling`.

Every sampler is fitted to as many z-points as a training on 16,000 images has; the bar is for two cores that
nothing else uses. Takes its z-points as `bench_latent` does.
"""

import sys

import numpy as np

from benchmarks import tables
from benchmarks.bench_latent import timed, z_points
from helpers.sampling.samplers import SAMPLERS

FITTED_POINTS = 16_000
DRAWN = 10_000
BAR_DRAW = 1  # s


def main():
    """Measure and print the table; return whether a bar was missed."""
    tables.print_machine()
    z, missed = z_points(FITTED_POINTS), False
    for name, sampler in SAMPLERS.items():
        fitted, fit_seconds = timed(sampler.fit, z)
        _, draw_seconds = timed(sampler.draw, fitted, DRAWN, np.random.default_rng(0))
        missed |= draw_seconds > BAR_DRAW
        print(
            f"{name:18}fit {fit_seconds:7.2f} s   {DRAWN:,} draws {draw_seconds:5.2f} s ≤ {BAR_DRAW} s",
            flush=True,
        )
    return missed


if __name__ == "__main__":
    sys.exit(int(main()))
