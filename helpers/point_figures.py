"""Pictures of point clouds: densities, planes, embeddings."""

import itertools

import matplotlib.pyplot as plt
import numpy as np

from helpers.figures import COLOURS, LINE_STYLES
from helpers.fitting import gaussian
from helpers.latent import GaussianFits
from helpers.structure import window

SHOWN_SHARE = 0.005  # of the highest count: where all curves of a picture stay below, its axis ends
HIGHLIGHT = "black"  # curves and points that a picture is about
SHEET_DPI = 72  # of pictures full of points, whose JPEGs would else make a notebook too large for GitHub
MARKERS = ("o", "s", "D", "^")  # one per cloud, so that a picture needs no colours to be read


def plot_densities(panels, width, title, highlighted=()):
    """Number densities of all components, one panel per entry of `panels`: label -> (centres, counts).

    centres (b,) and counts (b, d) are those of `latent.number_densities`; each of the d lines is one
    component. Labels are keys of COLOURS. The components `highlighted` (indices) of the first panel are
    drawn in black. Source: CII-021.
    """
    size = (3.7 * len(panels), 3.8)
    figure, axes = plt.subplots(
        1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (label, (centres, counts)) in zip(axes[0], panels.items(), strict=True):
        axis.plot(centres, counts, color=COLOURS[label], lw=0.6, alpha=0.5)
        axis.set(title=label, xlabel="value of the component")
        axis.grid(alpha=0.3)
    first_centres, first_counts = next(iter(panels.values()))
    axes[0, 0].plot(first_centres, first_counts[:, list(highlighted)], color=HIGHLIGHT, lw=0.9)
    axes[0, 0].set(ylabel=f"z-points per interval of {width}", xlim=_common_range(panels.values()))
    figure.suptitle(title)
    return figure


def _common_range(densities):
    """Lowest and highest centre at which some curve still has SHOWN_SHARE of its picture's maximum."""
    ends = []
    for centres, counts in densities:
        highest = counts.max(axis=1)
        ends.append(centres[highest > SHOWN_SHARE * highest.max()][[0, -1]])
    low, high = np.array(ends).T
    return low.min(), high.max()


def plot_component_fits(label, centres, counts, fits, components, width, title):
    """One small panel per component: its number density and, dashed, the fitted Gaussian.

    centres (b,), counts (b, d) and `fits` (`latent.GaussianFits`) are those of the cloud `label`, a key of
    COLOURS; `components` are the indices to show. Source: CII-035, VIII-034.
    """
    rows = -(-len(components) // 4)
    figure, axes = plt.subplots(
        rows, 4, figsize=(9, 1.4 * rows + 0.6), sharex=True, squeeze=False, layout="constrained"
    )
    for axis, component in itertools.zip_longest(axes.flat, components):
        if component is None:
            axis.set_visible(False)
            continue
        fit = GaussianFits(*(values[component] for values in fits))
        curve = gaussian(centres, fit.amplitude, fit.centre, np.log(fit.sigma))
        axis.plot(centres, counts[:, component], color=COLOURS[label], lw=1.1, label="counted")
        axis.plot(centres, curve, "--", color=HIGHLIGHT, lw=1.1, label="Gaussian fit")
        axis.set_title(f"{component}: centre {fit.centre:.2g}, fit {fit.r_squared:.3f}", fontsize=9)
        axis.tick_params(labelsize=8)
    axes[0, 0].set_xlim(_common_range([(centres, counts[:, list(components)])]))
    figure.supxlabel("value of the component", fontsize=10)
    figure.supylabel(f"z-points per interval of {width}", fontsize=10)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    figure.suptitle(title)
    return figure


def plot_clouds(clouds, title, xlabel, ylabel, **scales):
    """Points of several clouds in one plane: `clouds` maps a label, a key of COLOURS, to (x, y).

    Later clouds lie on top, and a cloud of few points has larger marks. `scales` are matplotlib's axis
    settings.
    """
    figure, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for marker, (label, (x, y)) in zip(itertools.cycle(MARKERS), clouds.items(), strict=False):
        size = 3.5 if len(x) > 50 else 7
        axis.plot(x, y, marker, ls="", color=COLOURS[label], markersize=size, label=label)
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel, **scales)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def plot_windows(rows, half_sides, columns, title, xlabel, ylabel):
    """Squares of planes: one row of panels per cloud, one column per window about the origin.

    `rows` maps a label (a key of COLOURS, others are black) to a list with one array of points (n, 2) per
    column; `half_sides` and `columns` (names) have one entry per column. All panels of a column show equally
    many points: the first in view of each cloud, as many as the smallest has. Source: CII-062 to CII-070.
    """
    size = (1.75 * len(columns) + 0.4, 1.7 * len(rows) + 0.9)
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=size, dpi=SHEET_DPI, squeeze=False, layout="constrained"
    )
    for column, (half_side, name) in enumerate(zip(half_sides, columns, strict=True)):
        views = {label: clouds[column] for label, clouds in rows.items()}
        views = {label: points[window(points, half_side)] for label, points in views.items()}
        shown = min(len(points) for points in views.values())
        for axis, (label, points) in zip(axes[:, column], views.items(), strict=True):
            dot = np.clip(40 / np.sqrt(max(shown, 1)), 0.8, 4)
            axis.plot(*points[:shown].T, ".", color=COLOURS.get(label, HIGHLIGHT), markersize=dot)
            axis.set(xlim=(-half_side, half_side), ylim=(-half_side, half_side), aspect="equal")
            axis.set(xticks=[-half_side, 0, half_side], yticks=[-half_side, 0, half_side])
            axis.set(xticklabels=[], yticklabels=[])
        axes[0, column].set_title(f"{name}\n{shown:,} points each", fontsize=9)
        axes[-1, column].set_xticklabels([f"−{half_side:.2g}", "0", f"{half_side:.2g}"], fontsize=8)
    for axis, label in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(f"{label}\n{ylabel}", fontsize=9)
    figure.supxlabel(xlabel, fontsize=9)
    figure.suptitle(title)
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


def plot_voids(points2d, centres, radii, half_side, title, xlabel, ylabel):
    """Points (n, 2) of a plane within a square about the origin, and circles (m, 2), (m,) around voids."""
    figure, axis = plt.subplots(figsize=(5, 5.2), dpi=SHEET_DPI, layout="constrained")
    seen = points2d[window(points2d, half_side)]
    axis.plot(*seen.T, ".", color=COLOURS["autoencoder"], markersize=2.5, label=f"{len(seen):,} z-points")
    for centre, radius in zip(centres, radii, strict=True):
        axis.add_patch(plt.Circle(centre, radius, fill=False, color=HIGHLIGHT))
    axis.plot(*centres.T, "x", color=HIGHLIGHT, label="centres of voids")
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel, aspect="equal")
    axis.set(xlim=(-half_side, half_side), ylim=(-half_side, half_side))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def plot_maps(rows, title, values=None, meaning=""):
    """t-SNE maps: `rows` maps a label to {name of the panel: map (n, 2)}, one row of panels each.

    A label is a key of COLOURS, what follows in further lines explains it. `values` (n,) colour the points
    of all panels instead; `meaning` names them. Dots shrink where there are many points. Source: XIII-037.
    """
    columns = max(len(maps) for maps in rows.values())
    size = (2.3 * columns + 0.8, 2.0 * len(rows) + 0.9)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
    for line, (label, maps) in zip(axes, rows.items(), strict=True):
        colour = {"color": COLOURS[label.split("\n")[0]]} if values is None else {"c": values}
        for axis, (name, points) in zip(line, maps.items(), strict=True):
            dots = axis.scatter(*points.T, s=dot_area(len(points)), lw=0, **colour)
            axis.set_title(name, fontsize=8)
            axis.set(xticks=[], yticks=[])
            axis.set_aspect("equal", adjustable="datalim")
        line[0].set_ylabel(label, fontsize=8)
    if values is not None:
        figure.colorbar(dots, ax=axes, label=meaning, shrink=0.8)
    _name_map_axes(figure, title)
    return figure


def plot_attribute_maps(points, attributes, title):
    """The autoencoder's map (n, 2) per attribute, name -> 0/1 (n,); points that have it are coloured."""
    columns = min(3, len(attributes))
    rows = -(-len(attributes) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.6 * columns, 2.1 * rows + 0.9), squeeze=False, layout="constrained"
    )
    for axis, (name, values) in zip(axes.flat, attributes.items(), strict=False):
        for value, colour in ((0, "lightgrey"), (1, COLOURS["autoencoder"])):
            axis.scatter(*points[values == value].T, s=dot_area(len(points)), color=colour, lw=0)
        axis.set_title(f"{name}: {values.mean():.0%} of {len(points):,} points", fontsize=8)
        axis.set_aspect("equal", adjustable="datalim")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    _name_map_axes(figure, title)
    return figure


def dot_area(n):
    """Area of a dot, in square points, for n points in a small panel: their sum hardly depends on n."""
    return float(np.clip(6000 / n, 0.1, 8))


def _name_map_axes(figure, title):
    figure.supxlabel("first axis of the map (no unit)", fontsize=9)
    figure.supylabel("second axis of the map (no unit)", fontsize=9)
    figure.suptitle(title)
