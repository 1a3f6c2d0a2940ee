"""Figures of the series: one colour per quantity, every axis named."""

from helpers.figures.clouds import (
    plot_attribute_maps,
    plot_component_fits,
    plot_densities,
    plot_maps,
    plot_relations,
    plot_voids,
    plot_windows,
)
from helpers.figures.curves import (
    plot_bands,
    plot_bars,
    plot_curves,
    plot_distributions,
    plot_errors,
    plot_hourglass,
    plot_memory,
    plot_parameters,
    plot_radii,
    plot_scores,
    plot_spreads,
    plot_trade_off,
)
from helpers.figures.planes import (
    plot_all_planes,
    plot_contours,
    plot_overview,
    plot_pearson,
    plot_scatter,
    plot_variants,
)
from helpers.figures.style import COLOURS, dot_area, set_figure_format, show_faces, show_sheet
