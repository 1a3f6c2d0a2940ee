"""Figures of the series: one colour per quantity, every axis named."""

import itertools
from base64 import b64encode
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image

from helpers.latent import number_density
from helpers.monitor import GIGABYTE

# Okabe and Ito's palette, which colour-blind readers can tell apart. A quantity keeps its colour in
# every notebook; several runs of one quantity differ in LINE_STYLES.
COLOURS = {
    "train": "#0072B2",
    "held out": "#D55E00",
    "autoencoder": "#009E73",
    "tiny-KL VAE": "#882255",
    "fact-5 VAE": "#999933",
    "surrogate": "#7F7F7F",
    "elliptical surrogate": "#332288",
    "planted filaments": "#000000",
    "independent components": "#8C510A",
    "N(0, 1)": "#E69F00",
    "uniform box": "#56B4E9",
    "post": "#CC79A7",
}
PARTS = {  # of a network, by the beginning of a layer's name
    "conv": ("convolutions", "#56B4E9"),
    "extra_dense": ("extra Dense", "#E69F00"),
    "mu": ("Flatten → mu", "#882255"),
    "logvar": ("Flatten → logvar", "#CC79A7"),
    "dense": ("Dense → first maps", "#009E73"),
}
LINE_STYLES = ("-", "--", "-.")
IMAGE_INCHES = 1.15  # width of one small image in a sheet
JPEG_QUALITY = 85  # of 100
PALETTE_COLOURS = 128  # of a figure without photographs


def set_figure_format():
    """Let notebooks keep figures as `encode_figure` does: GitHub shows no notebook of many megabytes."""
    set_matplotlib_formats()  # drops IPython's own forms, which would be kept as well
    shell = InteractiveShell.instance()
    shell.display_formatter.mimebundle_formatter.for_type(Figure, encode_figure)


def encode_figure(figure):
    """MIME type → base64 of a figure: a PNG of few colours, or a JPEG where that is nearer to the original.

    Lines and dots keep their colours in a PNG and lose them in a JPEG; photographs need the JPEG.
    """
    original = Image.open(BytesIO(print_figure(figure))).convert("RGB")
    palette = original.quantize(PALETTE_COLOURS, Image.Quantize.MEDIANCUT)
    kinds = {"png": (palette, {}), "jpeg": (original, {"quality": JPEG_QUALITY})}
    contents, errors = {}, {}
    for kind, (image, options) in kinds.items():
        file = BytesIO()
        image.save(file, kind, optimize=True, **options)
        decoded = np.asarray(Image.open(file).convert("RGB"), dtype=np.int16)
        contents[kind], errors[kind] = file.getvalue(), np.abs(decoded - np.asarray(original)).mean()
    nearest = min(errors, key=errors.get)
    return {f"image/{nearest}": b64encode(contents[nearest]).decode("ascii")}


def show_faces(rows, title):
    """Sheet of images: `rows` maps a label to images (n, height, width, 3), float in [0, 1] or uint8."""
    columns = max(len(images) for images in rows.values())
    size = (IMAGE_INCHES * columns + 1.2, IMAGE_INCHES * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.set_frame_on(False)
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image)
    figure.suptitle(title)
    return figure


def plot_loss(log, title):
    """Training and held-out loss of `log` (rows of `training.fit`) against the epoch."""
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    epochs = [row["epoch"] for row in log]
    for key, label in (("total_loss", "train"), ("val_total_loss", "held out")):
        axis.plot(epochs, [row[key] for row in log], "o-", color=COLOURS[label], markersize=4, label=label)
    axis.set(title=title, xlabel="epoch", ylabel="total loss (nats per image)")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def plot_radii(radii_by_label, width, title, posts_peak=None):
    """Number density of radii in intervals of `width`: `radii_by_label` maps a label to radii (n,).

    Labels that are not in COLOURS are runs of the autoencoder. `posts_peak` marks the posts' most
    frequent radius.
    """
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for style, (label, radii) in zip(itertools.cycle(LINE_STYLES), radii_by_label.items(), strict=False):
        colour = COLOURS.get(label, COLOURS["autoencoder"])
        axis.plot(*number_density(radii, width), style, color=colour, label=label)
    if posts_peak:
        axis.axvline(posts_peak, color=COLOURS["post"], linestyle=":", label=f"the post's peak, {posts_peak}")
    axis.set(
        title=title, xlabel="radius R (distance from the origin)", ylabel=f"z-points per interval of {width}"
    )
    axis.set_xlim(left=0)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def plot_errors(errors_by_label, threshold, title, xlabel):
    """Histograms of relative errors (n,) on a logarithmic axis; the threshold is what 99 % of images keep.

    The labels are keys of COLOURS.
    """
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    together = np.concatenate(list(errors_by_label.values()))
    bins = np.geomspace(together.min(), together.max(), 60)
    for label, errors in errors_by_label.items():
        shares = np.full(len(errors), 1 / len(errors))
        axis.hist(errors, bins, weights=shares, histtype="step", lw=1.6, color=COLOURS[label], label=label)
    axis.axvline(threshold, color="black", linestyle=":", label="99 % of held-out images stay below")
    axis.set(title=title, xlabel=xlabel, ylabel="share of points per interval", xscale="log")
    axis.grid(alpha=0.3)
    axis.legend(loc="upper center")
    return figure


def plot_parameters(networks, title):
    """Bars of parameters by part of the network: `networks` maps a label to a model of Keras."""
    figure, axis = plt.subplots(figsize=(8, 0.5 * len(networks) + 1.6), layout="constrained")
    labels, ends = list(networks), np.zeros(len(networks))
    for prefix, (part, colour) in PARTS.items():
        counts = np.array([_count_part(network, prefix) for network in networks.values()]) / 1e6
        axis.barh(labels, counts, left=ends, color=colour, label=part)
        ends += counts
    for label, end in zip(labels, ends, strict=True):
        axis.text(end, label, f" {end:.2f}", va="center")
    axis.set(title=title, xlabel="parameters (millions)", xlim=(0, 1.12 * ends.max()))
    axis.invert_yaxis()
    axis.legend(loc="lower right")
    return figure


def _count_part(network, prefix):
    return sum(layer.count_params() for layer in network.layers if layer.name.startswith(prefix))


def plot_curves(curves, title, xlabel, ylabel, **scales):
    """Lines in one picture: `curves` maps a label to (x, y); `scales` are matplotlib's axis settings.

    A label that is a key of COLOURS, or ends in ", " and a key, has its colour; all others take the palette
    in turn.
    """
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    known = {label: COLOURS.get(label) or COLOURS.get(label.split(", ")[-1]) for label in curves}
    others = itertools.cycle([colour for colour in COLOURS.values() if colour not in known.values()])
    for style, (label, (x, y)) in zip(itertools.cycle(LINE_STYLES), curves.items(), strict=False):
        axis.plot(x, y, style, color=known[label] or next(others), label=label)
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel, **scales)
    if xlabel == "epoch":
        axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def plot_bars(values_by_label, title, xlabel, reference=None):
    """Horizontal bars of one quantity; `reference` (label, value) is drawn as a dotted line."""
    figure, axis = plt.subplots(figsize=(7, 0.38 * len(values_by_label) + 1.4), layout="constrained")
    labels, values = list(values_by_label), list(values_by_label.values())
    axis.barh(labels, values, color=COLOURS["train"])
    for label, value in values_by_label.items():
        axis.text(value, label, f" {value:.3g}", va="center")
    if reference:
        axis.axvline(reference[1], color=COLOURS["post"], linestyle=":", label=reference[0])
        figure.legend(loc="outside lower right")
    axis.set(title=title, xlabel=xlabel, xlim=(0, 1.15 * max(values)))
    axis.invert_yaxis()
    return figure


def plot_memory(samples, limit, title):
    """Memory over time of `memory_watch`'s samples: this process, the machine, the first GPU if there is one.

    `limit`: bytes at which the guard stops what runs.
    """
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    seconds = [sample.seconds for sample in samples]
    readings = [sample.reading for sample in samples]
    curves = {
        "this process": ([reading.process for reading in readings], COLOURS["train"]),
        "the whole machine": ([reading.machine_used for reading in readings], COLOURS["surrogate"]),
    }
    if any(reading.gpus for reading in readings):
        vram = [reading.gpus[0].used if reading.gpus else 0 for reading in readings]
        curves["VRAM of the GPU"] = (vram, COLOURS["held out"])
    for style, (label, (sizes, colour)) in zip(LINE_STYLES, curves.items(), strict=False):
        axis.plot(seconds, np.array(sizes) / GIGABYTE, style, color=colour, label=label)
    axis.axhline(limit / GIGABYTE, color="black", linestyle=":", label="limit for this process")
    axis.set(title=title, xlabel="seconds since the watch began", ylabel="memory in use (GB)")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure
