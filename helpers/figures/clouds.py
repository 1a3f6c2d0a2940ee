"""Pictures of point clouds: densities, planes, embeddings."""

import itertools

import matplotlib.pyplot as plt
import numpy as np

from helpers.figures.style import COLOURS, FIT_WINDOW, HIGHLIGHT, MARKERS, SHEET_DPI, SMALL_DPI, dot_area
from helpers.latent.fits import GaussianFits, gaussian
from helpers.latent.neighbours import window

SHOWN_SHARE = 0.005  # of the highest count: where all curves of a picture stay below, its axis ends
SHOWN_POINTS = 1500  # at most, in each panel of `plot_relations`


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


def _name_map_axes(figure, title):
    figure.supxlabel("first axis of the map (no unit)", fontsize=9)
    figure.supylabel("second axis of the map (no unit)", fontsize=9)
    figure.suptitle(title)


def plot_overview(label, counted, standardised, width, title):
    """All densities in one panel, and in another each in units of its sigma, on its own Gaussian fit.

    `counted` is (centres (b,), counts (b, d)) as from `latent.number_densities` with intervals of `width`;
    `standardised` is the same for components divided by their sigma, and the fits to them
    (`latent.GaussianFits`). `label` is a key of COLOURS. Source: IX-036.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.9), dpi=SMALL_DPI, layout="constrained")
    axes[0].plot(*counted, color=COLOURS[label], lw=0.6, alpha=0.5)
    axes[0].set(xlabel="value of the component", ylabel=f"z-points per interval of {width:.2g}")
    axes[0].set_title(f"{counted[1].shape[1]} number densities")
    centres, counts, fits = standardised
    for component, column in enumerate(counts.T):
        x = (centres - fits.centre[component]) / fits.sigma[component]
        axes[1].plot(x, column / fits.amplitude[component], color=COLOURS[label], lw=0.6, alpha=0.35)
    x = np.linspace(-FIT_WINDOW, FIT_WINDOW, 200)
    axes[1].plot(x, gaussian(x, 1, 0, 0), "--", color=HIGHLIGHT, lw=1.4, label="Gaussian fit")
    axes[1].set(title=f"{counts.shape[1]} in units of their Gaussian fits", xlim=(-FIT_WINDOW, FIT_WINDOW))
    axes[1].set(xlabel="distance from the fitted centre / sigma", ylabel="share of the fitted maximum")
    axes[1].legend()
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def plot_relations(panels, title, ylabel, label="autoencoder"):
    """Clouds (x, y) of the same y against several quantities: `panels` maps a name to (x, y, note).

    The first SHOWN_POINTS points of each are drawn.
    """
    size = (1.95 * len(panels) + 0.3, 2.4)
    figure, axes = plt.subplots(
        1, len(panels), figsize=size, dpi=SMALL_DPI, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (name, (x, y, note)) in zip(axes[0], panels.items(), strict=True):
        x, y = x[:SHOWN_POINTS], y[:SHOWN_POINTS]
        axis.scatter(x, y, s=dot_area(len(x)), color=COLOURS[label], lw=0, rasterized=True)
        axis.set_title(note, fontsize=9)
        axis.set_xlabel(name, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel(ylabel)
    figure.suptitle(title)
    return figure
