"""Pictures of Gaussians, correlations, contours and ellipses."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import seaborn

from helpers.figures.style import HIGHLIGHT, SMALL_DPI, colour_of, dot_area, make_panels
from helpers.latent.fits import gaussian

ELLIPSE_STYLES = ("-", "--", ":", "-.")  # from the innermost confidence ellipse outwards
CONTOUR_WIDTH, ELLIPSE_WIDTH = 1.1, 1.2  # points
CENTRE = {"marker": "P", "ls": "", "color": HIGHLIGHT, "mec": "white"}  # a marked centre
VIEW = 1.3  # how far a panel reaches from the middle of its outermost ellipse, in half-widths of it
FIT_WINDOW = 6.0  # sigma that a picture of standardised densities reaches from the centre
RHO_COLOURS = "PuOr"  # diverging, and told apart by colour-blind readers


def plot_overview(label, counted, standardised, width, title):
    """All densities in one panel, and in another each in units of its sigma, on its own Gaussian fit.

    `counted`: (centres (b,), counts (b, d)) as from `latent.number_densities` with intervals of `width`, of
    the cloud `label`; `standardised`: the same of components in units of sigma, and the fits. Source: IX-036.
    """
    figure, ((left, right),) = make_panels(title, 2, 2, (4.7, 3.9), (0, 0), SMALL_DPI, True)
    left.plot(*counted, color=colour_of(label), lw=0.6, alpha=0.5)
    left.set(xlabel="value of the component", ylabel=f"z-points per interval of {width:.2g}")
    left.set_title(f"{counted[1].shape[1]} number densities")
    centres, counts, fits = standardised
    x = (centres[:, None] - fits.centre) / fits.sigma
    right.plot(x, counts / fits.amplitude, color=colour_of(label), lw=0.6, alpha=0.35)
    x = np.linspace(-FIT_WINDOW, FIT_WINDOW, 200)
    right.plot(x, gaussian(x, 1, 0, 0), "--", color=HIGHLIGHT, lw=1.4, label="Gaussian fit")
    right.set(title=f"{counts.shape[1]} in units of their Gaussian fits", xlim=(-FIT_WINDOW, FIT_WINDOW))
    right.set(xlabel="distance from the fitted centre / sigma", ylabel="share of the fitted maximum")
    right.legend()
    return figure


def plot_pearson(panels, title):
    """Heat maps of Pearson's rho: `panels` maps a name to (matrix (d, d), names of the rows or None)."""
    figure, axes = make_panels(title, len(panels), len(panels), (3.4, 3.5), (0.6, 0), SMALL_DPI)
    colours = {"cmap": RHO_COLOURS, "vmin": -1, "vmax": 1, "cbar": False, "square": True}
    for axis, (name, (matrix, names)) in zip(axes[0], panels.items(), strict=True):
        ticks = "auto" if names is None else names
        seaborn.heatmap(matrix, ax=axis, xticklabels=ticks, yticklabels=ticks, rasterized=True, **colours)
        axis.set(xlabel="component", ylabel="component")
        axis.set_title(name, fontsize=10)
    figure.colorbar(axes[0, 0].collections[0], ax=axes, label="Pearson's rho (no unit)", shrink=0.8)
    return figure


def plot_contours(panels, n_stds, title, label="autoencoder", columns=5, centres=None):
    """Contours of planes and their confidence ellipses, one small panel each.

    `panels` maps a name 'title: first axis / second axis', or without a title, to a `density.Plane` of the
    cloud `label` with ellipses of `n_stds` sigma, `centres` to positions (2,) to mark. Source: VIII-038, 039.
    """
    figure, axes = make_panels(title, len(panels), columns, (1.65, 1.65), (0.3, 1.0), SMALL_DPI)
    for axis, (name, plane) in zip(axes.flat, panels.items(), strict=False):
        _draw_contours(axis, name, plane, label)
        if centres:
            axis.plot(*centres[name], markersize=7, **CENTRE)
    _explain(figure, n_stds, label, bool(centres))
    return figure


def _draw_contours(axis, name, plane, label="autoencoder"):
    """Contours, and the ellipses that enclose as much of a normal cloud, into one panel."""
    style = {"colors": [colour_of(label)], "linewidths": CONTOUR_WIDTH}
    axis.contour(plane.x, plane.y, plane.density, plane.levels, **style)
    _draw_ellipses(axis, name, plane.ellipses)


def _draw_ellipses(axis, name, outlines):
    """Outlines (k, m, 2) into a square panel that reaches further; its `name` as in `plot_contours`."""
    for style, outline in zip(ELLIPSE_STYLES, outlines, strict=False):
        axis.plot(*outline.T, style, color=HIGHLIGHT, lw=ELLIPSE_WIDTH)
    low, high = outlines.min(axis=(0, 1)), outlines.max(axis=(0, 1))
    middle, reach = (low + high) / 2, VIEW * (high - low).max() / 2
    axis.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
    axis.set_aspect("equal")
    title, _, plane = name.rpartition(": ")
    first, second = plane.split(" / ")
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(first, fontsize=8)
    axis.set_ylabel(second, fontsize=8)


def _explain(figure, n_stds, label="autoencoder", centres=False, **place):
    """Legend of contours (if `label`), ellipses and centres; below the figure unless `place` says where."""
    handles = [
        plt.Line2D([], [], ls=style, color=HIGHLIGHT, label=f"ellipse of {n_std:g} sigma")
        for style, n_std in zip(ELLIPSE_STYLES, n_stds, strict=False)
    ]
    if label:
        contour = {"color": colour_of(label), "label": "contours that should enclose as much"}
        handles.insert(0, plt.Line2D([], [], **contour))
    if centres:
        handles.append(plt.Line2D([], [], label="centre of the densities along the axes", **CENTRE))
    place = place or {"loc": "outside lower center", "ncols": 2 if len(handles) > 3 else 4}
    figure.legend(handles=handles, fontsize=8, **place)


def plot_all_planes(planes, n_stds, title):
    """All planes of the autoencoder's axes in a triangle: `planes` maps (i, j), i < j, to `density.Plane`.

    Column i and row j belong to the axes i and j; the panels have no ticks. Source: IX-052 to IX-061.
    """
    firsts, seconds = (sorted({pair[side] for pair in planes}) for side in (0, 1))
    panel = (6.5 / len(firsts), 6.5 / len(firsts))
    figure, axes = make_panels(title, len(firsts) * len(seconds), len(firsts), panel, (0, 0), SMALL_DPI)
    for axis, (second, first) in zip(axes.flat, product(seconds, firsts), strict=True):
        axis.set_visible((first, second) in planes)
        if (first, second) in planes:
            _draw_contours(axis, f"PC {first} / PC {second}", planes[first, second])
        axis.set(xticks=[], yticks=[])
        axis.label_outer()
    _explain(figure, n_stds, loc="upper right", bbox_to_anchor=(0.99, 0.92))
    return figure


def plot_scatter(panels, n_stds, title):
    """z-points of the autoencoder in planes, their confidence ellipses and a marked centre, one panel each.

    `panels`: name as for `plot_contours` → (points (n, 2), ellipses (k, m, 2), centre (2,)). VIII-048 to 050.
    """
    figure, axes = make_panels(title, len(panels), 4, (2.1, 2.1), (0.3, 0.9), SMALL_DPI)
    style = {"color": colour_of("autoencoder"), "lw": 0, "rasterized": True}
    for axis, (name, (points, outlines, centre)) in zip(axes.flat, panels.items(), strict=False):
        axis.scatter(*points.T, s=dot_area(len(points)), **style)
        _draw_ellipses(axis, name, outlines)
        axis.plot(*centre, markersize=7, **CENTRE)
    _explain(figure, n_stds, None, centres=True)
    return figure


def plot_variants(rows, n_stds, title):
    """One row of panels per autoencoder: densities of its components, in units of their sigma, and planes.

    `rows` maps a name to (centres (b,), counts (b, d), panels as for `plot_contours`). For VIII-055 to 061.
    """
    columns = 1 + len(next(iter(rows.values()))[2])
    figure, axes = make_panels(title, len(rows) * columns, columns, (2.3, 1.9), (0.6, 0.9), SMALL_DPI)
    for (first, *others), (name, (centres, counts, planes)) in zip(axes, rows.items(), strict=True):
        first.plot(centres, counts / counts.sum(axis=0), color=colour_of("autoencoder"), lw=0.5, alpha=0.3)
        first.set(xlim=(-FIT_WINDOW, FIT_WINDOW), yticks=[])
        first.set_ylabel(name, fontsize=9)
        first.set_xlabel("value / sigma of the component", fontsize=8)
        for axis, (plane_name, plane) in zip(others, planes.items(), strict=True):
            _draw_contours(axis, plane_name, plane)
    _explain(figure, n_stds)
    return figure
