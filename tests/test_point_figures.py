import numpy as np
import pytest
from matplotlib.colors import to_rgba

from helpers.figures import clouds as clouds_module
from helpers.figures import curves, style
from helpers.figures.style import COLOURS
from helpers.latent import fits as fits_module
from helpers.latent import marginals

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("close_figures")


def cloud(n=400, spreads=(1, 1, 1, 5)):
    return (RNG.standard_normal((n, len(spreads))) * spreads).astype(np.float32)


def test_all_densities_stand_in_one_panel_per_cloud_on_the_same_axes():
    panels = {label: marginals.number_densities(cloud(), 0.25) for label in ("autoencoder", "surrogate")}
    figure = clouds_module.plot_densities(panels, 0.25, "title")
    assert figure.get_suptitle() == "title"
    assert [axis.get_title() for axis in figure.axes] == list(panels)
    assert len({(axis.get_xlim(), axis.get_ylim()) for axis in figure.axes}) == 1
    assert all("component" in axis.get_xlabel() for axis in figure.axes)
    first, second = figure.axes
    assert {line.get_color() for line in second.lines} == {COLOURS["surrogate"]}
    assert [line.get_color() for line in first.lines] == [COLOURS["autoencoder"]] * 4
    centres, counts = panels["autoencoder"]
    assert np.array_equal(first.lines[3].get_xydata(), np.column_stack([centres, counts[:, 3]]))


def test_the_axis_of_densities_ends_where_all_curves_have_ended():
    z = cloud(5000)
    z[0] = 300
    figure = clouds_module.plot_densities({"autoencoder": marginals.number_densities(z, 0.25)}, 0.25, "title")
    low, high = figure.axes[0].get_xlim()
    assert -25 < low < -5
    assert 5 < high < 25


def test_component_fits_show_what_was_counted_and_the_gaussian_through_it():
    z = cloud(20_000)
    density, fits = marginals.number_densities(z, 0.25), fits_module.fit_gaussians(z, 0.25)
    components = [3, 0, 1, 2, 3]
    figure = clouds_module.plot_component_fits("autoencoder", *density, fits, components, 0.25, "title")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 5
    for component, axis in zip(components, shown, strict=True):
        counted, gaussian = (line.get_ydata() for line in axis.lines)
        assert axis.get_title().startswith(f"{component}: centre")
        assert np.array_equal(counted, density[1][:, component])
        assert np.abs(counted - gaussian).max() < 0.15 * counted.max()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["counted", "Gaussian fit"]
    assert figure.get_supxlabel()
    assert "0.25" in figure.get_supylabel()


def test_windows_show_equally_many_points_of_every_cloud_in_a_column():
    rows = {"autoencoder": [cloud(300, (1, 1))] * 2, "cloud B": [cloud(900, (1, 1))] * 2}
    half_sides = [9, 0.5]
    figure = clouds_module.plot_windows(rows, half_sides, ["wide", "near"], "title", "first", "second")
    grid = np.array(figure.axes).reshape(2, 2)
    counts = np.array([[len(axis.lines[0].get_xdata()) for axis in line] for line in grid])
    assert (counts[0] == counts[1]).all()
    assert counts[0, 0] == 300
    assert 0 < counts[0, 1] < 300
    for axis, half_side in zip(grid[0], half_sides, strict=True):
        assert axis.get_xlim() == axis.get_ylim() == (-half_side, half_side)
        assert np.abs(axis.lines[0].get_xydata()).max() <= half_side
        assert f"{len(axis.lines[0].get_xdata())} points each" in axis.get_title()
    assert [axis.get_ylabel().split("\n")[0] for axis in grid[:, 0]] == list(rows)
    assert grid[0, 0].lines[0].get_color() == COLOURS["autoencoder"]
    assert (figure.get_suptitle(), figure.get_supxlabel()) == ("title", "first")


def test_spreads_draw_surrogates_as_bars_and_numbers_as_marks():
    values = np.linspace(0, 1, 101)
    rows = {
        "plane 1": {"surrogate": values, "elliptical surrogate": values + 1, "autoencoder": 0.4},
        "plane 2": {"surrogate": values, "autoencoder": 0.6},
    }
    figure = curves.plot_spreads(rows, "title", "ratio", ("random", 1.0))
    axis = figure.axes[0]
    bars = [line for line in axis.lines if line.get_linewidth() == 5]
    assert [tuple(line.get_xdata()) for line in bars] == [
        pytest.approx((x, x + 0.9)) for x in (0.05, 1.05, 0.05)
    ]
    assert len({line.get_ydata()[0] for line in bars}) == 3
    marks = [float(line.get_xdata()[0]) for line in axis.lines if line.get_linestyle() == "None"]
    assert marks == [0.4, 0.6]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(rows)
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {"surrogate", "elliptical surrogate", "autoencoder", "random"}


def test_bands_hold_nine_tenths_of_the_curves():
    x, many = np.arange(3), np.arange(101)[:, None] + np.zeros(3)
    panels = {name: (x, {"surrogate": many, "autoencoder": np.ones(3)}) for name in ("one", "two")}
    figure = curves.plot_bands(panels, "title", "distance", "L")
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
    heights = figure.axes[1].collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (5, 95)
    assert figure.axes[0].lines[0].get_color() == COLOURS["autoencoder"]
    assert (figure.axes[0].get_ylabel(), figure.axes[1].get_xlabel()) == ("L", "distance")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["surrogate", "autoencoder"]


def test_voids_are_drawn_as_circles_about_their_centres():
    centres, radii = np.array([[0.1, 0.2], [-0.3, 0]]), np.array([0.2, 0.1])
    figure = clouds_module.plot_voids(cloud(200, (1, 1)), centres, radii, 0.5, "title", "PC 1", "PC 2")
    axis = figure.axes[0]
    assert [(*patch.center, patch.radius) for patch in axis.patches] == [(0.1, 0.2, 0.2), (-0.3, 0, 0.1)]
    assert axis.get_xlim() == (-0.5, 0.5)
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == ("PC 1", "PC 2", "title")


def test_maps_have_square_units_their_cloud_s_colour_and_smaller_dots_for_more_points():
    rows = {
        "autoencoder\nperplexity 30": {"few": cloud(100, (1, 1)), "many": cloud(5000, (1, 3))},
        "surrogate": {"few": cloud(100, (1, 1)), "many": cloud(5000, (1, 3))},
    }
    figure = clouds_module.plot_maps(rows, "title")
    assert [axis.get_title() for axis in figure.axes] == ["few", "many"] * 2
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == list(rows)
    assert figure.get_suptitle() == "title"
    assert "no unit" in figure.get_supxlabel()
    for axis, label in zip(
        figure.axes, ("autoencoder", "autoencoder", "surrogate", "surrogate"), strict=True
    ):
        dots = axis.collections[0]
        assert tuple(dots.get_facecolor()[0]) == to_rgba(COLOURS[label])
        assert axis.get_aspect() == 1
    areas = [axis.collections[0].get_sizes()[0] for axis in figure.axes[:2]]
    assert areas == [style.dot_area(100), style.dot_area(5000)]
    assert areas[0] > areas[1] > 0


def test_maps_coloured_by_a_value_say_what_it_is():
    points = cloud(50, (1, 1))
    figure = clouds_module.plot_maps({"": {"a": points, "b": points}}, "title", points[:, 0], "place")
    first, second, bar = figure.axes
    assert bar.get_ylabel() == "place"
    assert np.array_equal(first.collections[0].get_array(), points[:, 0])
    assert np.array_equal(second.collections[0].get_offsets(), points)


def test_attribute_maps_colour_those_who_have_it():
    points = cloud(40, (1, 1))
    attributes = {
        name: (np.arange(40) % divisor == 0).astype(np.int8)
        for name, divisor in (("half", 2), ("quarter", 4), ("fifth", 5), ("eighth", 8))
    }
    figure = clouds_module.plot_attribute_maps(points, attributes, "title")
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == [
        f"{name}: {share}% of 40 points"
        for name, share in (("half", 50), ("quarter", 25), ("fifth", 20), ("eighth", 12))
    ]
    without, having = figure.axes[1].collections
    assert (len(without.get_offsets()), len(having.get_offsets())) == (30, 10)
    assert tuple(having.get_facecolor()[0]) == to_rgba(COLOURS["autoencoder"])
    assert sum(bool(axis.collections) for axis in figure.axes) == 4
