"""Figures of the series: one colour per quantity, every axis named."""

import itertools
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np

from helpers.figures.style import (
    COLOURS,
    HIGHLIGHT,
    LINE_STYLES,
    MARKERS,
    OTHER,
    PANELS_DPI,
    SAMPLER_COLOURS,
    SHEET_DPI,
)
from helpers.latent.marginals import number_density
from helpers.monitor.readings import GIGABYTE

PARTS = {  # of a network, by the beginning of a layer's name
    "conv": ("convolutions", "#56B4E9"),
    "extra_dense": ("extra Dense", "#E69F00"),
    "mu": ("Flatten → mu", "#882255"),
    "logvar": ("Flatten → logvar", "#CC79A7"),
    "dense": ("Dense → first maps", "#009E73"),
}
INTERVALS = 40  # of each histogram
BEYOND = 1.2  # times the data's largest value: as far as histograms reach
LINES = (":", "--", "-.")  # of references
SAMPLER_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


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


def plot_spreads(rows, title, xlabel, reference=None):
    """One statistic in many places: `rows` maps a place to {label: number or values (m,) of surrogates}.

    A number is drawn as a mark, values as a bar from their 5 % to their 95 % quantile. Labels are keys of
    COLOURS; `reference` (label, number) is drawn as a dotted line.
    """
    size = (8, 0.36 * len(rows) + 1.8)
    figure, axis = plt.subplots(figsize=size, dpi=SHEET_DPI, layout="constrained")
    for place, values in enumerate(rows.values()):
        markers, bars = itertools.cycle(MARKERS), itertools.count()
        for label, value in values.items():
            key = {"color": COLOURS[label], "label": label if place == 0 else None}
            if np.ndim(value):
                low, high = np.quantile(value, (0.05, 0.95))
                axis.plot([low, high], [place + 0.22 * (next(bars) - 0.5)] * 2, lw=5, alpha=0.6, **key)
            else:
                axis.plot(value, place, next(markers), ls="", markersize=6, **key)
    if reference:
        axis.axvline(reference[1], color=HIGHLIGHT, linestyle=":", label=reference[0])
    axis.set(title=title, xlabel=xlabel, yticks=range(len(rows)), yticklabels=list(rows))
    axis.invert_yaxis()
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def plot_bands(panels, title, xlabel, ylabel):
    """Curves beside bands of surrogates: `panels` maps a name to (x (b,), {label: y (b,) or ys (m, b)}).

    Several curves ys are drawn as a band from their 5 % to their 95 % quantile. Labels are keys of COLOURS.
    """
    size = (2.7 * len(panels), 3.3)
    figure, axes = plt.subplots(
        1, len(panels), figsize=size, dpi=SHEET_DPI, squeeze=False, layout="constrained"
    )
    for axis, (name, (x, curves)) in zip(axes[0], panels.items(), strict=True):
        styles = itertools.cycle(LINE_STYLES)
        for label, y in curves.items():
            if np.ndim(y) == 1:
                axis.plot(x, y, next(styles), color=COLOURS[label], label=label)
            else:
                edges = np.quantile(y, (0.05, 0.95), axis=0)
                axis.fill_between(x, *edges, color=COLOURS[label], alpha=0.35, lw=0, label=label)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(xlabel)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel(ylabel)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(title)
    return figure


def plot_scores(scores, title, xlabel, references=None, **scales):
    """One quantity with its spread: `scores` maps a label to (value, spread); labels as in SAMPLER_COLOURS.

    `references` maps a name to a value that is drawn as a dotted line. `scales` are matplotlib's axis
    settings.
    """
    figure, axis = plt.subplots(figsize=(7.5, 0.3 * len(scores) + 1.6), layout="constrained")
    for place, (label, (value, spread)) in enumerate(scores.items()):
        colour = SAMPLER_COLOURS.get(label, OTHER)
        axis.errorbar(value, place, xerr=spread, fmt="o", color=colour, capsize=4, markersize=7, lw=2)
        end = (value + spread, place)
        axis.annotate(f"{value:.3g}", end, (8, 0), textcoords="offset points", va="center", fontsize=8)
    _draw_references(references, axis.axvline)
    if references:
        figure.legend(loc="outside lower right", ncols=len(references), fontsize=9)
    axis.set(title=title, xlabel=xlabel, yticks=range(len(scores)), yticklabels=list(scores), **scales)
    axis.set_ylim(len(scores) - 0.4, -0.8)
    axis.margins(x=0.12)
    axis.grid(alpha=0.3, which="both", axis="x")
    return figure


def _draw_references(references, draw):
    """Lines at the values of `references`, by `draw` (`axis.axvline` or `axis.axhline`)."""
    for style, (name, value) in zip(LINES, (references or {}).items(), strict=False):
        draw(value, color="black", linestyle=style, lw=1.2, label=name)


def plot_distributions(panels, data, title, xlabel, columns=4):
    """One histogram per sampler over that of the data: `panels` maps a label to values (n,), data (m,).

    All panels have the same axes, and every histogram sums to 1. What lies far beyond the data is counted in
    the last interval.
    """
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(2.5 * columns + 0.4, 1.6 * rows + 0.9),
        dpi=PANELS_DPI,
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    bins = np.linspace(0, BEYOND * data.max(), INTERVALS)
    for axis, (label, values) in zip(axes.flat, panels.items(), strict=False):
        colour, kept = SAMPLER_COLOURS.get(label, OTHER), np.minimum(values, bins[-1])
        axis.hist(data, bins, weights=_shares(data), color=COLOURS["autoencoder"], alpha=0.35)
        axis.hist(kept, bins, weights=_shares(values), histtype="step", color=colour, lw=1.6)
        axis.set_title(f"{label}: median {np.median(values):,.4g}", fontsize=9, color=colour)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel(f"{xlabel}; the last interval counts all beyond", fontsize=10)
    figure.supylabel("share per interval", fontsize=10)
    figure.suptitle(f"{title} (filled: held-out z-points, median {np.median(data):,.4g})")
    return figure


def _shares(values):
    return np.full(len(values), 1 / len(values))


def plot_trade_off(points, title, xlabel, ylabel, references=None):
    """Two scores against each other: `points` maps a label to ((x, its spread), (y, its spread)).

    `references` maps a name to a value of y. 'bootstrap, noise 0' has the colour of 'bootstrap' and another
    mark.
    """
    figure, axis = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
    for marker, (label, ((x, x_spread), (y, y_spread))) in zip(
        cycle(SAMPLER_MARKERS), points.items(), strict=False
    ):
        colour = SAMPLER_COLOURS.get(label.split(",")[0], OTHER)
        axis.errorbar(
            x, y, yerr=y_spread, xerr=x_spread, fmt=marker, color=colour, markersize=8, lw=1, label=label
        )
    axis.axvline(1.0, color="black", lw=0.8)
    _draw_references(references, axis.axhline)
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=9)
    return figure
