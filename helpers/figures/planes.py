"""Pictures of Gaussians, correlations, contours and ellipses."""

import itertools

import matplotlib.pyplot as plt

from helpers.figures.style import COLOURS, FIT_WINDOW, HIGHLIGHT, SMALL_DPI, dot_area

ELLIPSE_STYLES = ("-", "--", ":", "-.")  # from the innermost confidence ellipse outwards
CONTOUR_WIDTH, ELLIPSE_WIDTH = 1.1, 1.2  # points
VIEW = 1.3  # how far a panel reaches from the middle of its outermost ellipse, in half-widths of it
RHO_COLOURS = "PuOr"  # diverging, and told apart by colour-blind readers
TRIANGLE = {"left": 0.04, "right": 0.99, "bottom": 0.04, "top": 0.94, "wspace": 0.05, "hspace": 0.05}


def plot_pearson(panels, title):
    """Heat maps of Pearson's rho: `panels` maps a name to (matrix (d, d), names of the rows or None)."""
    size = (3.4 * len(panels) + 0.6, 3.5)
    figure, axes = plt.subplots(
        1, len(panels), figsize=size, dpi=SMALL_DPI, squeeze=False, layout="constrained"
    )
    for axis, (name, (matrix, names)) in zip(axes[0], panels.items(), strict=True):
        picture = axis.imshow(matrix, cmap=RHO_COLOURS, vmin=-1, vmax=1, interpolation="nearest")
        axis.set(xlabel="component", ylabel="component")
        axis.set_title(name, fontsize=10)
        if names is not None:
            places = range(len(names))
            axis.set_xticks(places, names, rotation=90, fontsize=7)
            axis.set_yticks(places, names, fontsize=7)
    figure.colorbar(picture, ax=axes, label="Pearson's rho (no unit)", shrink=0.8)
    figure.suptitle(title)
    return figure


def plot_contours(panels, n_stds, title, label="autoencoder", columns=5, centres=None):
    """Contours of planes and their confidence ellipses, one small panel each.

    `panels` maps a name 'plane: first axis / second axis' to a `contours.Plane` with ellipses of `n_stds`
    sigma; the part of a name before the colon, if any, is the panel's title. `label`, a key of COLOURS, is
    whose contours they are. `centres` maps names to positions (2,) to be marked. Source: VIII-038, VIII-039.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(1.65 * columns + 0.3, 1.65 * rows + 1.0),
        dpi=SMALL_DPI,
        squeeze=False,
        layout="constrained",
    )
    for axis, name in itertools.zip_longest(axes.flat, panels):
        if name is None:
            axis.set_visible(False)
            continue
        _draw_plane(axis, panels[name], COLOURS[label])
        _name_plane(axis, name)
        if centres:
            axis.plot(*centres[name], "P", color=HIGHLIGHT, mec="white", markersize=7)
    _explain(figure, n_stds, COLOURS[label], bool(centres))
    figure.suptitle(title)
    return figure


def _draw_plane(axis, plane, colour):
    """Contours, and the ellipses that enclose as much of a normal cloud, into one panel."""
    axis.contour(plane.x, plane.y, plane.density, plane.levels, colors=[colour], linewidths=CONTOUR_WIDTH)
    for style, outline in zip(ELLIPSE_STYLES, plane.ellipses, strict=False):
        axis.plot(*outline.T, style, color=HIGHLIGHT, lw=ELLIPSE_WIDTH)
    _frame(axis, plane.ellipses)


def _frame(axis, outlines):
    """Let a square panel show all of the outlines (k, m, 2) and a little more, both axes in the same unit."""
    low, high = outlines.min(axis=(0, 1)), outlines.max(axis=(0, 1))
    middle, reach = (low + high) / 2, VIEW * (high - low).max() / 2
    axis.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
    axis.set_aspect("equal")
    axis.tick_params(labelsize=7)


def _name_plane(axis, name):
    """Title and axis names from 'title: first axis / second axis'."""
    title, _, plane = name.rpartition(": ")
    first, second = plane.split(" / ")
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(first, fontsize=8)
    axis.set_ylabel(second, fontsize=8)


def _explain(figure, n_stds, colour, centres=False, contours=True, **place):
    """Legend of contours, ellipses and marked centres; below the figure unless `place` says where."""
    styles = zip(ELLIPSE_STYLES, n_stds, strict=False)
    handles = [
        plt.Line2D([], [], ls=style, color=HIGHLIGHT, label=f"ellipse of {n_std:g} sigma")
        for style, n_std in styles
    ]
    if contours:
        line = plt.Line2D([], [], color=colour, label="contours that should enclose as much")
        handles.insert(0, line)
    if centres:
        mark = {"marker": "P", "ls": "", "color": HIGHLIGHT, "mec": "white"}
        handles.append(plt.Line2D([], [], label="centre of the densities along the axes", **mark))
    place = place or {"loc": "outside lower center", "ncols": 2 if len(handles) > 3 else 4}
    figure.legend(handles=handles, fontsize=8, **place)


def plot_all_planes(planes, n_stds, title, label="autoencoder"):
    """All planes of some axes in a triangle: `planes` maps (i, j), i < j, to `contours.Plane`.

    Column i and row j belong to the axes i and j; the panels have no ticks. Source: IX-052 to IX-061.
    """
    firsts, seconds = (sorted({pair[side] for pair in planes}) for side in (0, 1))
    figure = plt.figure(figsize=(6.5, 6.5), dpi=SMALL_DPI)
    grid = figure.add_gridspec(len(seconds), len(firsts), **TRIANGLE)
    for (first, second), plane in planes.items():
        axis = figure.add_subplot(grid[seconds.index(second), firsts.index(first)])
        _draw_plane(axis, plane, COLOURS[label])
        axis.set(xticks=[], yticks=[])
        if first == firsts[0]:
            axis.set_ylabel(f"PC {second}", fontsize=8)
        if second == seconds[-1]:
            axis.set_xlabel(f"PC {first}", fontsize=8)
    _explain(figure, n_stds, COLOURS[label], loc="upper right", bbox_to_anchor=(0.99, 0.92))
    figure.suptitle(title)
    return figure


def plot_scatter(panels, n_stds, title, label="autoencoder", columns=4):
    """Points of planes with their confidence ellipses and a marked centre, one panel each.

    `panels` maps a name as for `plot_contours` to (points (n, 2), ellipses (k, m, 2), centre (2,)).
    Source: VIII-048 to VIII-050.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (2.1 * columns + 0.3, 2.1 * rows + 0.9)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, dpi=SMALL_DPI, squeeze=False, layout="constrained"
    )
    for axis, name in itertools.zip_longest(axes.flat, panels):
        if name is None:
            axis.set_visible(False)
            continue
        points, outlines, centre = panels[name]
        axis.scatter(*points.T, s=dot_area(len(points)), color=COLOURS[label], lw=0, rasterized=True)
        for style, outline in zip(ELLIPSE_STYLES, outlines, strict=False):
            axis.plot(*outline.T, style, color=HIGHLIGHT, lw=ELLIPSE_WIDTH)
        axis.plot(*centre, "P", color=HIGHLIGHT, mec="white", markersize=7)
        _frame(axis, outlines)
        _name_plane(axis, name)
    _explain(figure, n_stds, COLOURS[label], centres=True, contours=False)
    figure.suptitle(title)
    return figure


def plot_variants(rows, n_stds, title, label="autoencoder"):
    """One row of panels per network: densities of its components, each in units of its sigma, and planes.

    `rows` maps a name to (centres (b,), counts (b, d), planes): planes maps a name as for `plot_contours` to
    `contours.Plane`, equally many for each network. For VIII-055 to VIII-061.
    """
    columns = 1 + len(next(iter(rows.values()))[2])
    size = (2.3 * columns + 0.6, 1.9 * len(rows) + 0.9)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=size, dpi=SMALL_DPI, squeeze=False, layout="constrained"
    )
    for line, (name, (centres, counts, planes)) in zip(axes, rows.items(), strict=True):
        line[0].plot(centres, counts / counts.sum(axis=0), color=COLOURS[label], lw=0.5, alpha=0.3)
        line[0].set(xlim=(-FIT_WINDOW, FIT_WINDOW), yticks=[])
        line[0].set_ylabel(name, fontsize=9)
        line[0].set_xlabel("value / sigma of the component", fontsize=8)
        line[0].tick_params(labelsize=7)
        for axis, (plane_name, plane) in zip(line[1:], planes.items(), strict=True):
            _draw_plane(axis, plane, COLOURS[label])
            _name_plane(axis, plane_name)
    _explain(figure, n_stds, COLOURS[label])
    figure.suptitle(title)
    return figure
