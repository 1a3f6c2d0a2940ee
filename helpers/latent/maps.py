"""t-SNE maps, made once and kept."""

import importlib.metadata
import os
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path

import numpy as np

from helpers.files import InputError, keep_arrays, load_array, sha256_of_arrays
from helpers.latent.covariance import fit_pca, transform_pca
from helpers.latent.pieces import asks, require_array
from helpers.reporting import LiveReport

REPORT_EVERY = 50  # t-SNE iterations between two reports
MANY_POINTS = 2000  # from here on an FFT is faster than Barnes-Hut, and more than one processor pays off
INTERVAL_LENGTH = 2  # of the FFT's mesh in units of a map: twice openTSNE's own, in half the time
START_SPREAD = 1e-4  # standard deviation of a map's first axis before the first iteration
START_JITTER = 0.01  # of that spread: parts points at one place, and gives each seed a map of its own
ITERATIONS = 1000  # as in the posts
PAUSE_SECONDS = 0.5  # between two looks at maps at work
STANDARD = {"perplexity": 30, "early_exaggeration": 12}  # XIII-033
SECOND = {"perplexity": 10, "early_exaggeration": 16}  # the posts' other set: CII-048, XIII-034


@asks(points="n d>=2, varied")
def embed_tsne(points, perplexity=30, early_exaggeration=12, seed=1, iterations=ITERATIONS, report=None):
    """t-SNE map (n, 2), float32, of points (n, d), by openTSNE: exact neighbours, repulsion through an FFT.

    The first quarter of the iterations exaggerates. `report`, if given, is called with about (iteration,
    iterations). The same seed gives the same map on one machine. At 256 dimensions exact neighbours are found
    faster than approximate ones up to some ten thousand points. InputError where these are too few for the
    perplexity. Source: XIII-033, XIII-034; van der Maaten, Hinton 2008, Linderman et al. 2019, Poličar 2024.
    """
    import openTSNE  # here, as it takes seconds

    if 3 * perplexity >= len(points):
        raise InputError(
            f"t-SNE with perplexity {perplexity} needs more than {3 * perplexity:.0f} points, here are "
            f"{len(points)}; lower the perplexity."
        )
    many, early, reports = len(points) >= MANY_POINTS, iterations // 4, count(REPORT_EVERY, REPORT_EVERY)

    def tell(*_):  # returns None: anything true would end the optimisation
        if report and (done := next(reports)) < iterations:
            report(done, iterations)

    embedding = openTSNE.TSNE(
        perplexity=perplexity,
        initialization=start_map(points, seed),
        neighbors="exact",
        negative_gradient_method="fft" if many else "bh",
        ints_in_interval=INTERVAL_LENGTH,
        early_exaggeration=early_exaggeration,
        early_exaggeration_iter=early,
        n_iter=iterations - early,
        initial_momentum=0.8,
        final_momentum=0.8,
        callbacks=[tell],
        callbacks_every_iters=REPORT_EVERY,
        n_jobs=-1 if many else 1,
        random_state=seed,
    ).fit(points)
    if report:
        report(iterations, iterations)
    return np.asarray(embedding, dtype=np.float32)


def start_map(points, seed):
    """Map (n, 2), float32, that t-SNE starts with: the first two principal components, tiny and jittered."""
    start = transform_pca(fit_pca(points), points, 2)
    require_array(start, "n 2, varied", "t-SNE", "principal components")
    start /= start[:, 0].std()
    start += START_JITTER * np.random.default_rng(seed).standard_normal(start.shape, dtype=np.float32)
    start *= START_SPREAD
    return start


def describe(settings):
    """Name of t-SNE settings for titles and files, such as 'perplexity 30, exaggeration 12'."""
    return f"perplexity {settings['perplexity']}, exaggeration {settings['early_exaggeration']}"


def embed_all(wanted, folder, settings=STANDARD, seed=1):
    """t-SNE maps (n, 2), float32, of several clouds: `wanted` maps a name to points (n, d).

    A dict name -> map. Maps are kept in `folder` as .npy files; one that was made of the same points with the
    same settings and seed is loaded. 165,000 points take some minutes; maps of few points, which use one
    processor each, are made side by side. `settings`: of `embed_tsne`, as InputError. XIII-033, XIII-034.
    """
    wanted = {name: require_array(points, "n d", "t-SNE", name) for name, points in wanted.items()}
    report, started, at_work, stopped = LiveReport(), time.monotonic(), {}, threading.Event()

    def embed(name):
        def show(done, of):
            if stopped.is_set():
                raise InterruptedError("The map is no longer wanted.")
            cloud = f"{' '.join(name.split())}, {len(wanted[name]):,} points"
            at_work[name] = f"{cloud}, iteration {done:,} of {of:,}"

        return _embed_once(wanted[name], Path(folder), name, settings, seed, show)

    # One large map at a time: it takes all processors, and much memory.
    small = all(len(points) < MANY_POINTS for points in wanted.values())
    with ThreadPoolExecutor(min(os.cpu_count(), len(wanted)) if small else 1) as pool:
        futures = {name: pool.submit(embed, name) for name in wanted}
        try:
            while (state := wait(futures.values(), PAUSE_SECONDS, FIRST_EXCEPTION)).not_done:
                for future in state.done:
                    future.result()  # raises what went wrong, which ends the other maps
                running = [at_work[name] for name in futures if name in at_work and not futures[name].done()]
                report.live("; ".join([f"{len(state.done)} of {len(futures)} maps", *running]))
            maps = {name: future.result() for name, future in futures.items()}
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
    seconds = time.monotonic() - started
    report.line(f"t-SNE maps with {describe(settings)}, made or loaded: {len(maps)} in {seconds:.0f} s")
    return maps


def _embed_once(points, folder, name, settings, seed, show):
    """Map of one cloud, loaded from the folder where it was made of the same points in the same way."""
    identity = {
        "points_sha256": sha256_of_arrays([points]),
        **settings,
        "seed": seed,
        "iterations": ITERATIONS,
        "interval_length": INTERVAL_LENGTH,
        "openTSNE": importlib.metadata.version("openTSNE"),
    }

    # Letters and digits alone, as some file systems refuse other characters.
    title = f"{name} {len(points)} points {describe(settings)} seed {seed}"
    words = "".join(character if character.isalnum() else " " for character in title).split()
    target = folder / f"{'-'.join(words)}.npy"
    options = {"seed": seed, "iterations": ITERATIONS, "report": show, **settings}
    keep_arrays([target], identity, lambda: [[embed_tsne(points, **options)]])
    return load_array(target)
