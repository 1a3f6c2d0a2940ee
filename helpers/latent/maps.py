"""t-SNE maps, made once and kept."""

import importlib.metadata
import os
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import openTSNE
from sklearn.manifold import TSNE

from helpers.drive import results
from helpers.files import InputError, keep_arrays, load_array, sha256_of_arrays
from helpers.latent.covariance import fit_pca, transform_pca
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


def embed_tsne(
    points, perplexity=30, early_exaggeration=12, seed=1, iterations=1000, engine="openTSNE", report=None
):
    """t-SNE map (n, 2), float32, of points (n, d).

    The first quarter of the iterations exaggerates. `report`, if given, is called with
    (iteration, iterations). The same seed gives the same map on one machine. Raises InputError where
    there are too few points for the perplexity. Source: XIII-033, XIII-034; van der Maaten and
    Hinton 2008.
    """
    if engine not in ENGINES:
        raise InputError(f"There is no t-SNE engine '{engine}'; choose one of {', '.join(ENGINES)}.")
    if 3 * perplexity >= len(points):
        raise InputError(
            f"t-SNE with perplexity {perplexity} needs more than {3 * perplexity:.0f} points, here are "
            f"{len(points)}; lower the perplexity."
        )
    if (points == points[0]).all():
        raise InputError("t-SNE cannot arrange points that are all the same.")
    start = transform_pca(fit_pca(points), points, 2)
    start /= start[:, 0].std()
    start += START_JITTER * np.random.default_rng(seed).standard_normal(start.shape, dtype=np.float32)
    start *= START_SPREAD
    report = report or (lambda iteration, iterations: None)
    embedding = ENGINES[engine](points, start, perplexity, early_exaggeration, seed, iterations, report)
    report(iterations, iterations)
    return np.asarray(embedding, dtype=np.float32)


def embed_with_opentsne(points, start, perplexity, early_exaggeration, seed, iterations, report):
    """t-SNE by openTSNE (Poličar et al. 2024), with exact neighbours and repulsion through an FFT.

    At 256 dimensions exact neighbours are found faster than approximate ones up to some ten thousand points.
    Source of the FFT: Linderman et al. 2019.
    """
    many = len(points) >= MANY_POINTS
    tsne = openTSNE.TSNE(
        perplexity=perplexity,
        initialization=start,
        neighbors="exact",
        negative_gradient_method="fft" if many else "bh",
        ints_in_interval=INTERVAL_LENGTH,
        n_jobs=-1 if many else 1,
        random_state=seed,
    )
    embedding = tsne.prepare_initial(points)
    early = iterations // 4
    for done, steps, exaggeration in ((0, early, early_exaggeration), (early, iterations - early, 1)):
        embedding.optimize(
            n_iter=steps,
            exaggeration=exaggeration,
            momentum=0.8,
            inplace=True,
            propagate_exception=True,
            callbacks=[progress(report, done, iterations)],
            callbacks_every_iters=REPORT_EVERY,
        )
    return embedding


def progress(report, done, iterations):
    """Callback of openTSNE that tells `report` of iterations, `done` of which an earlier phase has made."""

    def callback(iteration, error, embedding):
        if done + iteration < iterations:  # `embed_tsne` reports the end
            report(done + iteration, iterations)  # returns None: anything true would end the optimisation

    return callback


def embed_with_scikit_learn(points, start, perplexity, early_exaggeration, seed, iterations, report):
    """t-SNE by scikit-learn: exact neighbours, Barnes-Hut. It cannot report on its way."""
    tsne = TSNE(
        perplexity=perplexity,
        early_exaggeration=early_exaggeration,
        max_iter=iterations,
        init=start,
        n_jobs=-1,
        random_state=seed,
    )
    return tsne.fit_transform(points)


ENGINES = {"openTSNE": embed_with_opentsne, "scikit-learn": embed_with_scikit_learn}


def describe(settings):
    """Name of t-SNE settings for titles and files, such as 'perplexity 30, exaggeration 12'."""
    return f"perplexity {settings['perplexity']}, exaggeration {settings['early_exaggeration']}"


def embed_all(wanted, folder, settings=STANDARD, seed=1):
    """t-SNE maps (n, 2), float32, of several clouds: `wanted` maps a name to points (n, d).

    A dict name -> map. Maps are kept in `folder` as .npy files; one that was made of the same points with the
    same settings and seed is loaded. One line shows the progress; 165,000 points take some minutes. Maps of
    few points, which use one processor each, are made side by side. `settings` are options of
    `projections.embed_tsne`, which also says when InputError is raised. Source: XIII-033, XIII-034.
    """
    report, started, at_work, stopped = LiveReport(), time.monotonic(), {}, threading.Event()
    results.restore_part(Path(folder))

    def embed(name):
        def show(done, of):
            if stopped.is_set():
                raise InterruptedError("The map is no longer wanted.")
            place = f"{' '.join(name.split())}, {len(wanted[name]):,} points"
            at_work[name] = f"{place}, iteration {done:,} of {of:,}"

        return _embed(wanted[name], Path(folder), name, settings, seed, show)

    with ThreadPoolExecutor(_maps_at_once(wanted)) as pool:
        futures = {name: pool.submit(embed, name) for name in wanted}
        try:
            while (state := wait(futures.values(), PAUSE_SECONDS, FIRST_EXCEPTION)).not_done:
                for future in state.done:
                    future.result()  # raises what went wrong, which ends the other maps
                report.live(_progress(futures, at_work))
            maps = {name: future.result() for name, future in futures.items()}
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
    seconds = time.monotonic() - started
    report.line(f"t-SNE maps with {describe(settings)}, made or loaded: {len(maps)} in {seconds:.0f} s")
    return maps


def _maps_at_once(wanted):
    """How many maps are made side by side: one where a large one takes all processors and much memory."""
    small = all(len(points) < MANY_POINTS for points in wanted.values())
    return min(os.cpu_count(), len(wanted)) if small else 1


def _progress(futures, at_work):
    """Line on the maps that are done and on those at work."""
    done = sum(future.done() for future in futures.values())
    running = [at_work[name] for name, future in futures.items() if name in at_work and not future.done()]
    return "; ".join([f"{done} of {len(futures)} maps", *running])


def _embed(points, folder, name, settings, seed, show):
    def make():
        yield [embed_tsne(points, seed=seed, iterations=ITERATIONS, report=show, **settings)]

    target = folder / _file_name(f"{name} {len(points)} points {describe(settings)} seed {seed}")
    keep_arrays([target], _identity(points, settings, seed), make)
    return load_array(target)


def _identity(points, settings, seed):
    """What decides a map: the points, the settings, and the program that made it."""
    return {
        "points_sha256": sha256_of_arrays([points]),
        **settings,
        "seed": seed,
        "iterations": ITERATIONS,
        "interval_length": INTERVAL_LENGTH,
        "openTSNE": importlib.metadata.version("openTSNE"),
    }


def _file_name(what):
    """Name of the file of a map, without characters that some file systems refuse."""
    words = "".join(character if character.isalnum() else " " for character in what).split()
    return f"{'-'.join(words)}.npy"
