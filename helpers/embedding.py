"""t-SNE maps: made with their progress shown, kept in a folder, and reused."""

import importlib.metadata
import os
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from helpers import colab
from helpers.projections import INTERVAL_LENGTH, MANY_POINTS, embed_tsne
from helpers.reporting import LiveReport
from helpers.workspace import keep_arrays, load_array, sha256_of_arrays

ITERATIONS = 1000  # as in the posts
PAUSE_SECONDS = 0.5  # between two looks at maps at work
STANDARD = {"perplexity": 30, "early_exaggeration": 12}  # XIII-033
SECOND = {"perplexity": 10, "early_exaggeration": 16}  # the posts' other set: CII-048, XIII-034


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
    colab.restore_part(Path(folder))

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
