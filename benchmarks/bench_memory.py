"""Peak memory of what the series does, stage after stage, on as many images as CelebA has for training.

`python -m benchmarks.bench_memory FOLDER` works on packed images of your own, as under /usr/bin/time -v.
One process trains on 170,000 packed images of noise, encodes all of them by an autoencoder and by a VAE, and
takes densities, fits, PCA, planes, ellipses, surrogates and samplers of all z-points, t-SNE of a part. Bar:
its peak of resident memory, mapped files included, stays below 4 GB; the monitor's table and the system's own
record of the ended process have to agree.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks import tables
from benchmarks.bench_training import MANY_IMAGES, MANY_STEPS, write_packed

BAR_GIGABYTES, BAR_DIFFERENCE = 4.0, 0.02
BATCH_SIZE = 128  # images
MAP_POINTS = 20_000
DRAWN, DECODED = 10_000, 1_000
POSTS_FACT = 1.6  # full widths at half maximum from the centre at which the trimmed surrogate ends
POSTS_WIDTHS = 16  # intervals of a density within one standard deviation


def work_on(folder, watch):
    """Do all stages on the packed images in `folder`."""
    from helpers import encoding, images, models

    def batches(shuffle=False):
        return images.ImageBatches(folder, "train", BATCH_SIZE, shuffle=shuffle)

    autoencoder, vae = models.Autoencoder(), models.VariationalAutoencoder(fact=1e-5)
    for network in (autoencoder, vae):
        with watch.stage(f"train {type(network).__name__}"):
            network.compile(optimizer="adam")
            network.fit(batches(shuffle=True), steps_per_epoch=MANY_STEPS, shuffle=False, verbose=0)
    with watch.stage("read an epoch's batches"):
        shuffled = batches(shuffle=True)
        for index in range(shuffled.num_batches):
            shuffled[index]
    with watch.stage("encode, autoencoder"):
        z = encoding.encode(autoencoder.encoder, batches(), folder / "z_points.npy")
    with watch.stage("encode, VAE: mu, logvar and z"):
        encoding.encode_variational(vae, batches(), folder / "vae")
    look_at(z, watch)
    draw_from(z, autoencoder.decoder, watch)


def look_at(z, watch):
    """The statistics of notebooks 04 to 07 on the z-points `z` (n, 256)."""
    from helpers import (
        density,
        ellipses,
        latent,
        normality,
        planes,
        projections,
        scale_mixture,
        surrogates,
        trimming,
        whitening,
    )

    with watch.stage("radii, densities and fits"):
        width = float(z.std()) / POSTS_WIDTHS
        latent.radius_statistics(latent.radii(z), width)
        latent.fit_gaussians(z, width)
    with watch.stage("PCA and principal components"):
        components = latent.transform_pca(latent.fit_pca(z), z)
    with watch.stage("densities of 45 planes"):
        for pair in combinations(range(10), 2):
            density.kde_2d(components[:, pair])
    with watch.stage("ellipses of 32,640 pairs"):
        ellipses.pair_coverages(z, (1, 2, 3))
    with watch.stage("joint test with two surrogates"):
        normality.joint_test(z, 2, np.random.default_rng(0))
    with watch.stage("elliptical and trimmed surrogate"):
        surrogates.elliptical_surrogate(z, len(z), np.random.default_rng(0))
        trimming.trimmed_surrogate(z, len(z), np.random.default_rng(0), POSTS_FACT)
    with watch.stage("kurtosis of a scale mixture"):
        scale_mixture.kurtosis_after_scaling(whitening.whiten(whitening.fit_gaussian(z), z))
    with watch.stage("explorer's cloud and surrogate"):
        planes.prepare_space(z)
    with watch.stage(f"t-SNE of {MAP_POINTS:,}"):
        projections.embed_tsne(z[:MAP_POINTS])


def draw_from(z, decoder, watch):
    """Fit and draw from every sampler; decode some of the draws."""
    from helpers.sampling import SAMPLERS

    for name, sampler in SAMPLERS.items():
        with watch.stage(f"sampler {name}"):
            drawn = sampler.draw(sampler.fit(z), DRAWN, np.random.default_rng(0))
    with watch.stage(f"decode {DECODED:,}"):
        decoder.predict(drawn[:DECODED].astype(np.float32), verbose=0)


def measure(folder):
    """Work on packed images in this process; print the table of peaks and, last, the peak in bytes."""
    from helpers import memory_watch, monitor

    monitor.start_backend()
    watch = memory_watch.start()
    work_on(folder, watch)
    print(watch.peak_table(rows=100))
    print(monitor.memory().process_peak)


def main():
    """Print the tables; return whether a bar was missed."""
    tables.print_machine()
    scratch = Path(tempfile.mkdtemp(prefix="latent-faces-bench-", dir=os.environ.get("BENCH_DIR")))
    try:
        write_packed(scratch / "many", MANY_IMAGES)
        command = [sys.executable, "-m", "benchmarks.bench_memory", str(scratch / "many")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        *lines, peak = process.stdout.read().splitlines() or [""]
        _, status, usage = os.wait4(process.pid, 0)  # what /usr/bin/time reads
    finally:
        shutil.rmtree(scratch)
    if status:
        raise RuntimeError(f"The measuring process ended with status {status}.")
    print("\n".join(lines))
    peak, systems = int(peak) / 1e9, usage.ru_maxrss * 1024 / 1e9
    tables.print_rows(
        [
            ("peak, by monitor", peak, "GB", f"< {BAR_GIGABYTES}"),
            ("peak, by the system", systems, "GB", f"< {BAR_GIGABYTES}"),
        ]
    )
    return max(peak, systems) >= BAR_GIGABYTES or abs(peak / systems - 1) > BAR_DIFFERENCE


if __name__ == "__main__":
    sys.exit(measure(Path(sys.argv[1])) if sys.argv[1:] else int(main()))
