import numpy as np
import pytest
from matplotlib.colors import to_rgba

from helpers import density as density_module
from helpers.figures import clouds
from helpers.figures import planes as planes_module
from helpers.figures.style import COLOURS, HIGHLIGHT
from helpers.latent import fits as fits_module
from helpers.latent import marginals

RNG = np.random.default_rng(0)
N_STDS = (2, 3)


pytestmark = pytest.mark.usefixtures("close_figures")


def cloud(n=2000, d=2):
    return (RNG.standard_normal((n, d)) * np.arange(1, d + 1)).astype(np.float32)


def plane(n=2000):
    return density_module.plane_density(cloud(n), N_STDS)


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_heat_maps_share_one_scale_and_name_their_components():
    rho = np.corrcoef(cloud(200, 5).T)
    panels = {"all": (rho, None), "strongest": (rho[:2, :2], [7, 9])}
    figure = planes_module.plot_pearson(panels, "title")
    pictures = [axis.collections[0] for axis in figure.axes[:2]]
    assert all(picture.get_clim() == (-1, 1) for picture in pictures)
    assert np.array_equal(pictures[0].get_array(), rho)
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["7", "9"]
    assert [axis.get_title() for axis in figure.axes[:2]] == list(panels)
    assert "rho" in figure.axes[2].get_ylabel()
    assert figure.get_suptitle() == "title"


def test_contours_lie_under_their_ellipses_in_named_planes():
    panels = {f"fact {n}: PC 2 / PC 3": plane() for n in range(3)} | {"axis 1 / axis 7": plane()}
    figure = planes_module.plot_contours(panels, N_STDS, "title", columns=3)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == ["fact 0", "fact 1", "fact 2", ""]
    assert [(axis.get_xlabel(), axis.get_ylabel()) for axis in shown[2:]] == [
        ("PC 2", "PC 3"),
        ("axis 1", "axis 7"),
    ]
    for axis, drawn in zip(shown, panels.values(), strict=True):
        lines = [line.get_xydata() for line in axis.lines]
        assert np.allclose(lines, drawn.ellipses)
        assert {line.get_color() for line in axis.lines} == {HIGHLIGHT}
        assert len({line.get_linestyle() for line in axis.lines}) == 2
        (contour,) = axis.collections
        assert np.allclose(contour.levels, drawn.levels)
        assert tuple(contour.get_edgecolor()[0]) == to_rgba(COLOURS["autoencoder"])
        low, high = drawn.ellipses.min(axis=(0, 1)), drawn.ellipses.max(axis=(0, 1))
        assert axis.get_xlim()[0] < low[0] < high[0] < axis.get_xlim()[1]
        assert axis.get_ylim()[0] < low[1] < high[1] < axis.get_ylim()[1]
        assert axis.get_aspect() == 1  # so that angles and shapes are those of the plane
        assert np.ptp(axis.get_xlim()) == pytest.approx(np.ptp(axis.get_ylim()))
    assert legend_of(figure)[1:] == ["ellipse of 2 sigma", "ellipse of 3 sigma"]


def test_centres_are_marked_where_they_are_given():
    figure = planes_module.plot_contours(
        {"x / y": plane()}, N_STDS, "title", label="surrogate", centres={"x / y": (0.5, -0.5)}
    )
    assert figure.axes[0].lines[-1].get_xydata().tolist() == [[0.5, -0.5]]
    assert figure.axes[0].lines[-1].get_marker() == "P"
    assert tuple(figure.axes[0].collections[0].get_edgecolor()[0]) == to_rgba(COLOURS["surrogate"])
    assert "centre" in legend_of(figure)[-1]


def test_all_planes_make_a_triangle():
    planes = {pair: plane(300) for pair in ((0, 1), (0, 2), (1, 2))}
    figure = planes_module.plot_all_planes(planes, N_STDS, "title")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    places = [axis.get_subplotspec() for axis in shown]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [(0, 0), (1, 0), (1, 1)]
    assert [(axis.get_xlabel(), axis.get_ylabel()) for axis in shown] == [
        ("", "PC 1"),
        ("PC 0", "PC 2"),
        ("PC 1", ""),
    ]
    for axis, drawn in zip(shown, planes.values(), strict=True):
        assert np.allclose(axis.lines[0].get_xydata(), drawn.ellipses[0])
    assert len(legend_of(figure)) == 3


def test_scatter_shows_points_ellipses_and_centre():
    points, drawn = cloud(500), plane()
    panels = {"axis 1 / axis 2": (points, drawn.ellipses, (0.1, 0.2))}
    figure = planes_module.plot_scatter(panels, N_STDS, "title")
    axis = figure.axes[0]
    assert np.allclose(axis.collections[0].get_offsets(), points)
    assert tuple(axis.collections[0].get_facecolor()[0]) == to_rgba(COLOURS["autoencoder"])
    assert np.allclose([line.get_xydata() for line in axis.lines[:2]], drawn.ellipses)
    assert axis.lines[2].get_xydata() == pytest.approx(np.array([[0.1, 0.2]]))
    assert len(legend_of(figure)) == 3
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("axis 1", "axis 2")


def test_overview_puts_every_density_on_its_own_gaussian():
    z = cloud(50_000, 5)
    counted, fits = marginals.number_densities(z, 0.25), fits_module.fit_gaussians(z, 0.25)
    figure = planes_module.plot_overview("autoencoder", counted, (*counted, fits), 0.25, "title")
    left, right = figure.axes
    assert len(left.lines) == 5
    assert np.array_equal(left.lines[4].get_ydata(), counted[1][:, 4])
    *curves, fit = right.lines
    for curve in curves:
        x, y = curve.get_data()
        assert y == pytest.approx(np.exp(-0.5 * x**2), abs=0.1)
    assert fit.get_linestyle() == "--"
    assert fit.get_ydata().max() == pytest.approx(1, abs=1e-3)
    assert "sigma" in right.get_xlabel()
    assert "0.25" in left.get_ylabel()


def test_relations_share_the_quantity_they_are_about():
    x, y = cloud(300).T
    panels = {"contrast": (x, y, "rank correlation 0.5"), "brightness": (-x, y, "rank correlation 0.0")}
    figure = clouds.plot_relations(panels, "title", "scale s")
    assert [axis.get_xlabel() for axis in figure.axes] == list(panels)
    assert [axis.get_title() for axis in figure.axes] == [note for _, _, note in panels.values()]
    assert figure.axes[0].get_ylabel() == "scale s"
    assert np.allclose(figure.axes[1].collections[0].get_offsets(), np.column_stack([-x, y]))


def test_variants_stand_below_each_other_with_the_same_columns():
    density = marginals.number_densities(cloud(1000, 4), 0.25)
    rows = {name: (*density, {"PC 0 / PC 1": plane(), "PC 2 / PC 3": plane()}) for name in ("one", "two")}
    figure = planes_module.plot_variants(rows, N_STDS, "title")
    grid = np.array(figure.axes).reshape(2, 3)
    assert [axis.get_ylabel() for axis in grid[:, 0]] == list(rows)
    assert [axis.get_xlabel() for axis in grid[0, 1:]] == ["PC 0", "PC 2"]
    assert len(grid[1, 0].lines) == 4
    assert grid[1, 0].lines[0].get_ydata().sum() == pytest.approx(1)
    assert np.allclose(grid[1, 2].lines[0].get_xydata(), rows["two"][2]["PC 2 / PC 3"].ellipses[0])
    assert figure.get_suptitle() == "title"
