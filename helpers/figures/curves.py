"""Pictures of curves, bars and scores against named axes."""

from itertools import count, cycle

import numpy as np
import seaborn

from helpers.figures.style import HIGHLIGHT, MARKERS, OTHERS, SMALL_DPI, colour_of, make_axis, make_panels
from helpers.latent.marginals import number_density
from helpers.monitor.readings import GIGABYTE

LINE_STYLES, REFERENCE_STYLES = ("-", "--", "-."), (":", "--", "-.")
LAYERS = {  # of the parts of a network: key of COLOURS, and the beginning of its layers' names
    "convolutions": "conv",
    "extra Dense": "extra_dense",
    "Flatten → mu": "mu",
    "Flatten → logvar": "logvar",
    "Dense → first maps": "dense",
}
INTERVALS = 40  # of each histogram
BOX_GAP = 9  # between the layers of a network, in pixels of its maps
BEYOND = 1.2  # times the data's largest value: as far as histograms reach
QUANTILES = (0.05, 0.95)  # of surrogates, between which their bars and bands reach


def plot_curves(curves, title, xlabel, ylabel, others=OTHERS, references=None, **scales):
    """Lines in one picture: `curves` maps a label to (x, y); `scales` are matplotlib's axis settings.

    A label that names a quantity of the series has its colour (`style.colour_of`); all others take the
    colours `others` in turn. `references` maps a name to a value of x.
    """
    figure, axis = make_axis(title, xlabel, ylabel)
    others, marks = cycle(others), {"marker": "o", "markersize": 3} if xlabel == "epoch" else {}
    for style, (label, (x, y)) in zip(cycle(LINE_STYLES), curves.items(), strict=False):
        axis.plot(x, y, style, color=colour_of(label, None) or next(others), label=label, **marks)
    _draw_references(references, axis.axvline)
    axis.set(**scales)
    axis.legend()
    return figure


def _draw_references(references, draw):
    """Lines at the values of `references`, by `draw` (`axis.axvline` or `axis.axhline`)."""
    for style, (name, value) in zip(REFERENCE_STYLES, dict(references or {}).items(), strict=False):
        draw(value, color=colour_of(name, HIGHLIGHT), linestyle=style, label=name)


def plot_radii(radii_by_label, width, title, posts_peak=None):
    """Number density of radii in intervals of `width`: `radii_by_label` maps a label to radii (n,).

    Labels that name no quantity of the series are runs of the autoencoder. `posts_peak` marks the posts' most
    frequent radius.
    """
    curves = {label: number_density(radii, width) for label, radii in radii_by_label.items()}
    peak = {f"post, peak at {posts_peak}": posts_peak} if posts_peak else {}
    names = "radius R (distance from the origin)", f"z-points per interval of {width}"
    return plot_curves(curves, title, *names, [colour_of("autoencoder")], peak, xlim=(0, None))


def plot_memory(samples, limit, title):
    """Memory over time of the watch's samples: this process, the machine, the first GPU if there is one.

    `limit`: bytes at which the guard stops what runs.
    """
    readings = [sample.reading for sample in samples]
    sizes = {
        "this process": [reading.process for reading in readings],
        "the whole machine": [reading.machine_used for reading in readings],
        "VRAM of the GPU": [reading.gpus[0].used if reading.gpus else 0 for reading in readings],
        "limit for this process": [limit] * len(samples),
    }
    seconds = [sample.seconds for sample in samples]
    curves = {label: (seconds, np.array(used) / GIGABYTE) for label, used in sizes.items() if any(used)}
    names = "seconds since the watch began", "memory in use (GB)"
    return plot_curves(curves, title, *names, [HIGHLIGHT], ylim=(0, None))


def plot_errors(errors_by_label, threshold, title, xlabel):
    """Histograms of relative errors (n,) on a logarithmic axis; the threshold is what 99 % of images keep."""
    figure, axis = make_axis(title, xlabel, "share of points per interval")
    together = np.concatenate(list(errors_by_label.values()))
    bins = np.geomspace(together.min(), together.max(), 60)
    for label, errors in errors_by_label.items():
        _draw_shares(axis, errors, bins, label, label=label)
    axis.set_xscale("log")
    _draw_references({"99 % of held-out images stay below": threshold}, axis.axvline)
    axis.legend()
    return figure


def _draw_shares(axis, values, bins, name, **style):
    """Histogram of values (n,), whose steps sum to 1, in the colour of a quantity's name."""
    style = {"element": "step", "fill": False, "lw": 1.6, "color": colour_of(name), **style}
    seaborn.histplot(values, bins=bins, stat="proportion", ax=axis, **style)


def plot_distributions(panels, data, title, xlabel):
    """One histogram per sampler over that of the data: `panels` maps a label to values (n,), data (m,).

    All panels have the same axes, and every histogram sums to 1. What lies far beyond the data is counted in
    the last interval.
    """
    title = f"{title} (filled: held-out z-points, median {np.median(data):,.4g})"
    style = {"dpi": SMALL_DPI, "grid": True, "sharex": True, "sharey": True}
    figure, axes = make_panels(title, len(panels), 4, (2.5, 1.6), (0.4, 0.9), **style)
    bins = np.linspace(0, BEYOND * data.max(), INTERVALS)
    for axis, (label, values) in zip(axes.flat, panels.items(), strict=False):
        _draw_shares(axis, data, bins, "held out", element="bars", fill=True, alpha=0.35, lw=0)
        _draw_shares(axis, np.minimum(values, bins[-1]), bins, label)
        axis.set_title(f"{label}: median {np.median(values):,.4g}", fontsize=9)
        axis.set_ylabel("")
    figure.supxlabel(f"{xlabel}; the last interval counts all beyond", fontsize=10)
    figure.supylabel("share per interval", fontsize=10)
    return figure


def plot_parameters(networks, title):
    """Bars of parameters by part of the network: `networks` maps a label to a model of Keras."""
    figure, axis = make_axis(title, "parameters (millions)", "", (8, 0.5 * len(networks) + 1.6))
    ends = np.zeros(len(networks))
    for part, prefix in LAYERS.items():
        counts = np.array([_count_part(network, prefix) for network in networks.values()]) / 1e6
        bars = axis.barh(list(networks), counts, left=ends, color=colour_of(part), label=part)
        ends += counts
    axis.bar_label(bars, [f"{end:.2f}" for end in ends], padding=3)
    axis.set_xlim(0, 1.12 * ends.max())
    axis.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=len(LAYERS), fontsize=9)
    return figure


def _count_part(network, prefix):
    return sum(layer.count_params() for layer in network.layers if layer.name.startswith(prefix))


def plot_hourglass(encoder, decoder, title):
    """What flows through two networks of Keras: a box per layer, as high as its maps, wider for more maps.

    What stands between maps and z, a single row of numbers, is left out.
    """
    figure, axis = make_axis(title, "", "", size=(11, 3.4))
    shapes = [encoder.input_shape, *(layer.output.shape for layer in (*encoder.layers, *decoder.layers))]
    shapes = [shape[1:] for shape in shapes if len(shape) == 4 or shape == encoder.output_shape]
    heights = [shape[0] if len(shape) == 3 else 4 for shape in shapes]
    widths = np.array([2 * np.log2(shape[-1]) + 1 for shape in shapes])
    centres = np.cumsum(widths + BOX_GAP) - widths / 2
    axis.bar(centres, heights, widths, bottom=np.negative(heights) / 2, color=colour_of("convolutions"))
    for centre, height, shape in zip(centres, heights, shapes, strict=True):
        axis.text(centre, -height / 2 - 3, "×".join(map(str, shape)), ha="center", va="top", fontsize=9)
    axis.set_ylim(-62, 50)
    axis.axis("off")
    return figure


def plot_bars(values_by_label, title, xlabel, reference=None):
    """Horizontal bars of one quantity; `reference` (label, value) is drawn as a dotted line."""
    figure, axis = make_axis(title, xlabel, "", (7, 0.38 * len(values_by_label) + 1.4))
    colours = [colour_of(label) for label in values_by_label]
    bars = axis.barh(list(values_by_label), list(values_by_label.values()), color=colours)
    axis.bar_label(bars, fmt="%.3g", padding=3)
    if reference:
        _draw_references([reference], axis.axvline)
        figure.legend(loc="outside lower right")
    axis.set_xlim(0, 1.15 * max(values_by_label.values()))
    axis.invert_yaxis()
    return figure


def plot_spreads(rows, title, xlabel, reference=None):
    """One statistic in many places: `rows` maps a place to {label: number or values (m,) of surrogates}.

    A number is drawn as a mark, values as a bar from their 5 % to their 95 % quantile. `reference`
    (label, number) is drawn as a dotted line.
    """
    figure, axis = make_axis(title, xlabel, "", (8, 0.36 * len(rows) + 1.8), SMALL_DPI)
    for place, values in enumerate(rows.values()):
        markers, bars = cycle(MARKERS), count()
        for label, value in values.items():
            key = {"color": colour_of(label), "label": label if place == 0 else None}
            if np.ndim(value):
                ends, height = np.quantile(value, QUANTILES), place + 0.22 * (next(bars) - 0.5)
                axis.plot(ends, [height, height], lw=5, alpha=0.6, **key)
            else:
                axis.plot(value, place, next(markers), ls="", markersize=6, **key)
    _draw_references([reference] if reference else [], axis.axvline)
    axis.set(yticks=range(len(rows)), yticklabels=list(rows))
    axis.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def plot_bands(panels, title, xlabel, ylabel):
    """Curves beside bands of surrogates: `panels` maps a name to (x (b,), {label: y (b,) or ys (m, b)}).

    Several curves ys are drawn as a band from their 5 % to their 95 % quantile.
    """
    figure, axes = make_panels(title, len(panels), len(panels), (2.7, 3.3), (0, 0), SMALL_DPI, True)
    for axis, (name, (x, curves)) in zip(axes[0], panels.items(), strict=True):
        styles = cycle(LINE_STYLES)
        for label, y in curves.items():
            key = {"color": colour_of(label), "label": label}
            if np.ndim(y) == 1:
                axis.plot(x, y, next(styles), **key)
            else:
                axis.fill_between(x, *np.quantile(y, QUANTILES, axis=0), alpha=0.35, lw=0, **key)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(xlabel)
    axes[0, 0].set_ylabel(ylabel)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(curves))
    return figure


def plot_scores(scores, title, xlabel, references=None, **scales):
    """One quantity with its spread: `scores` maps a label, such as a sampler's name, to (value, spread).

    `references` maps a name to a value that is drawn as a line. `scales` are matplotlib's axis settings.
    """
    figure, axis = make_axis(title, xlabel, "", (7.5, 0.3 * len(scores) + 1.6), **scales)
    for place, (label, (value, spread)) in enumerate(scores.items()):
        style = {"fmt": "o", "color": colour_of(label), "capsize": 4, "markersize": 7, "lw": 2}
        axis.errorbar(value, place, xerr=spread, **style)
        end = (value + spread, place)
        axis.annotate(f"{value:.3g}", end, (8, 0), textcoords="offset points", va="center", fontsize=8)
    _draw_references(references, axis.axvline)
    if references:
        figure.legend(loc="outside lower right", ncols=len(references), fontsize=9)
    axis.set(yticks=range(len(scores)), yticklabels=list(scores), ylim=(len(scores) - 0.4, -0.8))
    axis.margins(x=0.12)
    return figure


def plot_trade_off(points, title, xlabel, ylabel, references=None):
    """Two scores against each other: `points` maps a label to ((x, its spread), (y, its spread)).

    `references` maps a name to a value of y. 'bootstrap, noise 0' has the colour of 'bootstrap' and another
    mark.
    """
    figure, axis = make_axis(title, xlabel, ylabel, (8.5, 4.6))
    for marker, (label, ((x, x_spread), (y, y_spread))) in zip(cycle(MARKERS), points.items(), strict=False):
        style = {"fmt": marker, "color": colour_of(label), "markersize": 8, "lw": 1, "label": label}
        axis.errorbar(x, y, y_spread, x_spread, **style)
    axis.axvline(1.0, color=HIGHLIGHT, lw=0.8)
    _draw_references(references, axis.axhline)
    figure.legend(loc="outside right upper", fontsize=9)
    return figure
