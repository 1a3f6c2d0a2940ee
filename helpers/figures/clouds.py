"""Pictures of point clouds: densities, planes, embeddings."""

import matplotlib.pyplot as plt
import numpy as np

from helpers.figures.style import HIGHLIGHT, SMALL_DPI, colour_of, dot_area, make_axis, make_panels
from helpers.latent.fits import gaussian
from helpers.latent.neighbours import window

SHOWN_SHARE = 0.005  # of the highest count: where all curves of a picture stay below, its axis ends
RELATED_POINTS = 1500  # at most, in each panel of `plot_relations`


def plot_densities(panels, width, title):
    """Number densities of all components, one panel per entry of `panels`: label -> (centres, counts).

    centres (b,) and counts (b, d) are those of `latent.number_densities`; each of the d lines is one
    component. Source: CII-021.
    """
    style = {"grid": True, "sharex": True, "sharey": True}
    figure, axes = make_panels(title, len(panels), len(panels), (3.7, 3.8), (0, 0), **style)
    for axis, (label, (centres, counts)) in zip(axes[0], panels.items(), strict=True):
        axis.plot(centres, counts, color=colour_of(label), lw=0.6, alpha=0.5)
        axis.set(title=label, xlabel="value of the component")
    axes[0, 0].set(ylabel=f"z-points per interval of {width}", xlim=_common_range(panels.values()))
    return figure


def _common_range(densities):
    """Lowest and highest centre at which some curve still has SHOWN_SHARE of its picture's maximum."""
    shown = [centres[counts.max(axis=1) > SHOWN_SHARE * counts.max()] for centres, counts in densities]
    return min(map(np.min, shown)), max(map(np.max, shown))


def plot_component_fits(label, centres, counts, fits, components, width, title):
    """One small panel per component: its number density and, dashed, the fitted Gaussian.

    centres (b,), counts (b, d) and `fits` (`latent.GaussianFits`) are those of the cloud `label`;
    `components` are the indices to show. Source: CII-035, VIII-034.
    """
    figure, axes = make_panels(title, len(components), 4, (2.25, 1.4), (0, 0.6), sharex=True)
    for axis, component in zip(axes.flat, components, strict=False):
        fit = fits._make(values[component] for values in fits)
        curve = gaussian(centres, fit.amplitude, fit.centre, np.log(fit.sigma))
        axis.plot(centres, counts[:, component], color=colour_of(label), lw=1.1, label="counted")
        axis.plot(centres, curve, "--", color=HIGHLIGHT, lw=1.1, label="Gaussian fit")
        axis.set_title(f"{component}: centre {fit.centre:.2g}, fit {fit.r_squared:.3f}", fontsize=9)
    axes[0, 0].set_xlim(_common_range([(centres, counts[:, list(components)])]))
    figure.supxlabel("value of the component", fontsize=10)
    figure.supylabel(f"z-points per interval of {width}", fontsize=10)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


def plot_windows(rows, half_sides, columns, title, xlabel, ylabel):
    """Squares of planes: one row of panels per cloud, one column per window about the origin.

    `rows` maps a label to arrays of points (n, 2), one per entry of `half_sides` and `columns` (names). All
    panels of a column show as many points as the smallest of its clouds has. Source: CII-062 to CII-070.
    """
    panels = len(rows) * len(columns), len(columns)
    figure, axes = make_panels(title, *panels, (1.75, 1.7), (0.4, 0.9), SMALL_DPI)
    for line, half_side, name, *clouds in zip(axes.T, half_sides, columns, *rows.values(), strict=True):
        views = [points[window(points, half_side)] for points in clouds]
        shown, ends = min(map(len, views)), (-half_side, half_side)
        for axis, label, points in zip(line, rows, views, strict=True):
            size = np.sqrt(dot_area(max(shown, 1)))
            axis.plot(*points[:shown].T, ".", color=colour_of(label), markersize=size)
            axis.set(xlim=ends, ylim=ends, aspect="equal", xticks=[*ends, 0], yticks=[*ends, 0])
            axis.set(xticklabels=[], yticklabels=[])
        line[0].set_title(f"{name}\n{shown:,} points each", fontsize=9)
        line[-1].set_xticklabels([f"−{half_side:.2g}", f"{half_side:.2g}", "0"], fontsize=8)
    for axis, label in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(f"{label}\n{ylabel}", fontsize=9)
    figure.supxlabel(xlabel, fontsize=9)
    return figure


def plot_voids(points2d, centres, radii, half_side, title, xlabel, ylabel):
    """z-points (n, 2) of a plane in a square about the origin, and circles (m, 2), (m,) around voids."""
    ends = -half_side, half_side
    figure, axis = make_axis(title, xlabel, ylabel, (5, 5.2), SMALL_DPI, xlim=ends, ylim=ends, aspect="equal")
    seen = points2d[window(points2d, half_side)]
    axis.plot(*seen.T, ".", color=colour_of("autoencoder"), markersize=2.5, label=f"{len(seen):,} z-points")
    for centre, radius in zip(centres, radii, strict=True):
        axis.add_patch(plt.Circle(centre, radius, fill=False, color=HIGHLIGHT))
    axis.plot(*centres.T, "x", color=HIGHLIGHT, label="centres of voids")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def plot_maps(rows, title, values=None, meaning=""):
    """t-SNE maps: `rows` maps a label to {name of the panel: map (n, 2)}, one row of panels each.

    What follows a label in further lines explains it. `values` (n,) colour the points of all panels instead;
    `meaning` names them. Dots shrink where there are many points. Source: XIII-037.
    """
    columns = max(len(maps) for maps in rows.values())
    figure, axes = make_panels(title, len(rows) * columns, columns, (2.3, 2.0), (0.8, 0.9))
    for line, (label, maps) in zip(axes, rows.items(), strict=True):
        colour = {"color": colour_of(label)} if values is None else {"c": values}
        for axis, (name, points) in zip(line, maps.items(), strict=True):
            dots = axis.scatter(*points.T, s=dot_area(len(points)), lw=0, **colour)
            axis.set_title(name, fontsize=8)
        line[0].set_ylabel(label, fontsize=8)
    if values is not None:
        figure.colorbar(dots, ax=axes, label=meaning, shrink=0.8)
    _name_maps(figure, axes)
    return figure


def plot_attribute_maps(points, attributes, title):
    """The autoencoder's map (n, 2) per attribute, name -> 0/1 (n,); points that have it are coloured."""
    figure, axes = make_panels(title, len(attributes), 3, (2.6, 2.1), (0, 0.9))
    for axis, (name, values) in zip(axes.flat, attributes.items(), strict=False):
        for value, label in enumerate(("the rest", "autoencoder")):
            axis.scatter(*points[values == value].T, s=dot_area(len(points)), color=colour_of(label), lw=0)
        axis.set_title(f"{name}: {values.mean():.0%} of {len(points):,} points", fontsize=8)
    _name_maps(figure, axes)
    return figure


def _name_maps(figure, axes):
    """Maps have no unit and the same scale along both axes."""
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.set_aspect("equal", adjustable="datalim")
    figure.supxlabel("first axis of the map (no unit)", fontsize=9)
    figure.supylabel("second axis of the map (no unit)", fontsize=9)


def plot_relations(panels, title, ylabel):
    """z-points' y against several quantities x: `panels` maps a name to (x (n,), y (n,), its title)."""
    style = {"dpi": SMALL_DPI, "grid": True, "sharey": True}
    figure, axes = make_panels(title, len(panels), len(panels), (1.95, 2.4), (0.3, 0), **style)
    for axis, (name, (x, y, note)) in zip(axes[0], panels.items(), strict=True):
        x, y = x[:RELATED_POINTS], y[:RELATED_POINTS]
        axis.scatter(x, y, s=dot_area(len(x)), color=colour_of("autoencoder"), lw=0, rasterized=True)
        axis.set_title(note, fontsize=9)
        axis.set_xlabel(name, fontsize=9)
    axes[0, 0].set_ylabel(ylabel)
    return figure
