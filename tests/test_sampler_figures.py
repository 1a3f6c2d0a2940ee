import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

from helpers.figures import curves, style

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("close_figures")


def test_sheets_show_all_faces_at_few_pixels():
    faces = RNG.random((3, 12, 12, 3))
    figure = style.show_sheet({"gaussian": faces, "mixture": faces[:2]}, "title")
    assert sum(len(axis.images) for axis in figure.axes) == 5
    assert figure.dpi == style.FACES_DPI


def test_scores_stand_at_their_values_with_their_spread():
    values = {"normal": (30.0, 2.0), "gaussian": (12.0, 0.5), "something else": (20.0, 1.0)}
    figure = curves.plot_scores(values, "title", "distance (units)", {"real": 1.0}, xscale="log")
    axis = figure.axes[0]
    for container, (label, (value, spread)) in zip(axis.containers, values.items(), strict=True):
        dot, _, (bar,) = container
        assert dot.get_xdata() == [value]
        assert bar.get_segments()[0][:, 0] == pytest.approx([value - spread, value + spread])
        assert to_rgba(dot.get_color()) == to_rgba(style.colour_of(label))
    assert [text.get_text() for text in axis.get_yticklabels()] == list(values)
    assert (axis.get_xlabel(), axis.get_title(), axis.get_xscale()) == ("distance (units)", "title", "log")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["real"]


def test_distributions_share_their_axes_and_sum_to_one():
    panels = {name: RNG.random(500) * 5 for name in ("normal", "uniform", "gaussian")}
    panels["gaussian"][:100] = 1e6
    data = 5 + RNG.random(300)
    figure = curves.plot_distributions(panels, data, "title", "radius")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 3
    assert len({axis.get_xlim() for axis in shown}) == 1
    for axis, label in zip(shown, panels, strict=True):
        assert sum(bar.get_height() for bar in axis.patches) == pytest.approx(1)
        assert axis.get_title().startswith(label)
    last = shown[2].lines[0].get_xydata()
    assert last[last[:, 0] > 6.5][:, 1].max() == pytest.approx(0.2)  # all beyond in one interval
    assert shown[0].get_xlim()[1] < 8
    assert figure.get_supxlabel().startswith("radius")


def test_a_trade_off_names_its_points_and_keeps_families_in_one_colour():
    points = {"bootstrap": ((1.0, 0.01), (1.1, 0.02)), "bootstrap, noise 0": ((0.0, 0.0), (1.0, 0.02))}
    figure = curves.plot_trade_off(points, "title", "near", "ratio", {"reconstructions": 1.0})
    axis = figure.axes[0]
    marks = [container[0] for container in axis.containers]
    assert [mark.get_ydata() for mark in marks] == [[1.1], [1.0]]
    assert {to_hex(mark.get_color()) for mark in marks} == {style.COLOURS["bootstrap"].lower()}
    assert len({mark.get_marker() for mark in marks}) == 2
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {*points, "reconstructions"}
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("near", "ratio")
