"""t-SNE maps: made with their progress shown, kept in a folder, and reused."""

import importlib.metadata
import time
from pathlib import Path

from helpers.projections import INTERVAL_LENGTH, embed_tsne
from helpers.reporting import LiveReport
from helpers.workspace import kept_arrays, sha256_of_arrays

ITERATIONS = 1000  # as in the posts
STANDARD = {"perplexity": 30, "early_exaggeration": 12}  # XIII-033
SECOND = {"perplexity": 10, "early_exaggeration": 16}  # the posts' other set: CII-048, XIII-034


def describe(settings):
    """Name of t-SNE settings for titles and files, such as 'perplexity 30, exaggeration 12'."""
    return f"perplexity {settings['perplexity']}, exaggeration {settings['early_exaggeration']}"


def embed_all(wanted, folder, settings=STANDARD, seed=1):
    """t-SNE maps (n, 2), float32, of several clouds: `wanted` maps a name to points (n, d).

    A dict name -> map. Maps are kept in `folder` as .npy files; one that was made of the same points with the
    same settings and seed is loaded. One line shows the progress; 165,000 points take some minutes.
    `settings` are options of `projections.embed_tsne`, which also says when InputError is
    raised. Source: XIII-033, XIII-034.
    """
    report, started, maps = LiveReport(), time.monotonic(), {}
    for name, points in wanted.items():
        place = f"map {len(maps) + 1} of {len(wanted)}: {' '.join(name.split())}"
        progress = f"{place}, {len(points):,} points, iteration"
        maps[name] = _embed(points, Path(folder), name, settings, seed, report, progress)
    seconds = time.monotonic() - started
    report.line(f"t-SNE maps with {describe(settings)}, made or loaded: {len(maps)} in {seconds:.0f} s")
    return maps


def _embed(points, folder, name, settings, seed, report, progress):
    def show(done, of):
        report.live(f"{progress} {done:,} of {of:,}")

    def make():
        return [embed_tsne(points, seed=seed, iterations=ITERATIONS, report=show, **settings)]

    target = folder / _file_name(f"{name} {len(points)} points {describe(settings)} seed {seed}")
    return kept_arrays([target], _identity(points, settings, seed), make)[0]


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
