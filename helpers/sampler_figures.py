"""Pictures of samplers: scores with their spread, distributions beside the data's, near and good."""

from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np

from helpers.figures import COLOURS, show_faces

SAMPLER_COLOURS = {  # keys of sampling.SAMPLERS; what the series has coloured before keeps its colour
    "normal": COLOURS["N(0, 1)"],
    "uniform": COLOURS["uniform box"],
    "intervals": "#0072B2",
    "independent": COLOURS["independent components"],
    "ellipses": "#D55E00",
    "ellipses_evenly": "#E69F9F",
    "gaussian": COLOURS["surrogate"],
    "truncated": "#000000",
    "zero_mean": "#999933",
    "mixture": "#CC79A7",
    "elliptical": COLOURS["elliptical surrogate"],
    "bootstrap": "#882255",
}
OTHER = "#444444"  # colour of labels that are no samplers
SHEET_DPI = 64  # of sheets of many faces: their JPEGs would else make a notebook too large
SMALL_DPI = 72  # of figures of many panels
INTERVALS = 40  # of each histogram
BEYOND = 1.2  # times the data's largest value: as far as histograms reach
LINES = (":", "--", "-.")  # of references
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


def show_sheet(rows, title):
    """Sheet of many faces, small enough for a notebook: `rows` as in `figures.show_faces`."""
    figure = show_faces(rows, title)
    figure.set_dpi(SHEET_DPI)
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
        dpi=SMALL_DPI,
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
    for marker, (label, ((x, x_spread), (y, y_spread))) in zip(cycle(MARKERS), points.items(), strict=False):
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
