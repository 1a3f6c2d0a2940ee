"""The explorer without a browser: what moving a control does to its pictures, and what is saved of it."""

import base64
import io

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import simplejpeg
from matplotlib.colors import to_rgba
from nbclient import NotebookClient

from helpers.explorer import picture, widgets
from helpers.explorer import space as space_module
from helpers.explorer.space import Settings
from helpers.figures.style import COLOURS
from helpers.files import InputError, project_root
from helpers.latent.fits import trim_outliers
from helpers.sampling import samplers as samplers_module

MOVES = {
    "coordinates": "original",
    "first": 3,
    "second": 4,
    "fact": 1.35,
    "n_std": 2.5,
    "pick_first": 1.2,
    "pick_second": -3.0,
}
NOTEBOOK = """\
import numpy as np
from helpers import explorer

z = np.random.default_rng(0).standard_normal((300, 5)).astype("f4")
explorer.explore(z, lambda z: np.full((len(z), 8, 8, 3), 0.5))"""


pytestmark = pytest.mark.usefixtures("close_figures")


@pytest.fixture(scope="module")
def z():
    """1,500 heavy-tailed, correlated points of six dimensions."""
    rng = np.random.default_rng(5)
    scales = np.exp(0.3 * rng.standard_normal((1500, 1)))
    return (scales * rng.standard_normal((1500, 6)) @ rng.standard_normal((6, 6)) + 1).astype(np.float32)


@pytest.fixture(scope="module")
def space(z):
    return space_module.prepare_space(z)


class Decoder:
    """Images of one colour each, told by the first components of z; remembers what it was called with."""

    def __init__(self):
        self.calls = []

    def __call__(self, z):
        self.calls.append(z)
        return np.broadcast_to(1 / (1 + np.exp(-z[:, None, None, :3])), (len(z), 8, 8, 3))


class Sampler:
    """Draws some of the points that it is fitted to; remembers them."""

    def __init__(self):
        self.fitted = []

    def __call__(self, z_points, n, rng):
        self.fitted.append(z_points)
        return rng.permutation(z_points)[:n]


def build(space, decoder=None, settings=None, sampler=None, samplers=None):
    samplers = {"some": Sampler(), "others": Sampler()} if samplers is None else samplers
    return widgets.build_explorer(
        space, decoder or Decoder(), "autoencoder", settings or Settings(), sampler, samplers
    )


def pixels(jpeg):
    return simplejpeg.decode_jpeg(jpeg).astype(int)


@pytest.mark.parametrize("name", MOVES)
def test_each_control_changes_the_picture_and_back_again(space, name):
    live = build(space)
    first, start = live.picture.value, live.controls[name].value
    assert pixels(first).shape == (432, 998, 3)
    live.controls[name].value = MOVES[name]
    moved = live.picture.value
    assert np.abs(pixels(moved) - pixels(first)).max() > 100
    assert live.message.value == ""
    live.controls[name].value = start
    assert live.picture.value == first


def test_a_picture_drawn_in_parts_is_the_one_that_matplotlib_saves_as_a_whole(space):
    live = build(space)
    for name, value in MOVES.items():
        live.controls[name].value = value
    figure, file = widgets.draw_static(space, Decoder(), "autoencoder", Settings(**MOVES))[0], io.BytesIO()
    figure.savefig(file, format="rgba")
    whole = np.frombuffer(file.getvalue(), np.uint8).reshape(432, 998, 4)[:, :, :3].astype(int)
    difference = np.abs(pixels(live.picture.value) - whole).max(axis=2)
    assert difference.mean() < 2
    assert (difference > 60).mean() < 0.001  # points that lie on the edge of a panel


def test_the_decoder_gets_the_picked_point_and_only_when_it_is_another_one(z, space):
    decoder = Decoder()
    live = build(space, decoder)
    assert decoder.calls[0] == pytest.approx(z.mean(axis=0, dtype=np.float64)[None], abs=1e-4)
    for name in ("fact", "n_std"):
        live.controls[name].value = MOVES[name]
    assert len(decoder.calls) == 1
    live.controls["pick_first"].value, live.controls["pick_second"].value = 1.2, -3.0
    principal = (decoder.calls[-1][0] - space.pca.mean) @ space.pca.components.T
    expected = np.array([1.2, -3.0]) * np.sqrt(space.pca.explained_variance[:2])
    assert principal == pytest.approx([*expected, 0, 0, 0, 0], abs=1e-4)
    live.controls["coordinates"].value = "original"
    expected = z.mean(axis=0, dtype=np.float64)
    expected[:2] += np.array([1.2, -3.0]) * z.std(axis=0, ddof=1)[:2]
    assert decoder.calls[-1][0] == pytest.approx(expected, abs=1e-3)
    assert decoder.calls[-1].dtype == np.float32


def test_the_picture_says_how_many_points_are_left_and_how_far_the_picked_one_is(z, space):
    settings = Settings(fact=1.35, n_std=2.5, pick_first=3, pick_second=4)
    figure = widgets.draw_static(space, Decoder(), "autoencoder", settings)[0]
    data, surrogate, face = figure.axes
    left = int(trim_outliers(z, 1.35).sum())
    assert 0 < left < 1500
    assert data.texts[0].get_text().startswith(f"{left:,} left, ")
    assert data.texts[0].get_text().endswith("% in 2.5 sigma")
    assert face.texts[0].get_text().startswith("Mahalanobis distance 5.0 (median: 2.")
    assert [text.get_text() for text in figure.texts[:2]] == [
        f"{name}: 1,500 z-points" for name in ("autoencoder", "surrogate")
    ]
    assert np.array_equal(
        face.images[0].get_array()[0, 0],
        (255 * Decoder()(space_module.point_of_plane(space, settings)[None])[0, 0, 0] + 0.5).astype(int),
    )
    assert [axis.get_xlabel() for axis in (data, surrogate)] == ["PC 0 (no unit)"] * 2
    assert data.get_ylabel() == "PC 1 (no unit)"
    for axis, name in ((data, "autoencoder"), (surrogate, "surrogate")):
        dropped, shown, ellipse = axis.lines[:3]
        assert (shown.get_color(), ellipse.get_linestyle()) == (COLOURS[name], "--")
        assert tuple(axis.collections[0].get_edgecolor()[0]) == to_rgba(COLOURS[name])
        assert len(axis.collections[0].get_segments()) >= 3
        assert len(dropped.get_xdata()) + len(shown.get_xdata()) == 1500
    assert len(data.lines[1].get_xdata()) == left
    assert data.get_xlim() == surrogate.get_xlim()
    assert data.get_aspect() == 1
    assert data.lines[3].get_xydata()[0] == pytest.approx(space_module.place_in_plane(space, settings))


def colours(n):
    """Images of one colour each, which tells their row."""
    return np.tile(np.arange(3 * n).reshape(n, 1, 1, 3) % 251, (1, 8, 8, 1)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["array", "floats", "function"])
def test_real_images_of_the_nearest_points_stand_beside_the_decoded_one(z, space, kind):
    images = real = colours(len(z))
    if kind == "floats":
        images = images.astype(np.float32) / 255
    settings = Settings("original", 3, 1, fact=1.35, pick_first=1.2, pick_second=-0.5)
    given = (lambda rows: images[rows]) if kind == "function" else images
    figure = widgets.draw_static(space, Decoder(), "autoencoder", settings, images=given)[0]
    distances = np.linalg.norm(z - space_module.point_of_plane(space, settings), axis=1)
    nearest = np.argsort(distances)[:3]
    axis = figure.axes[2]
    decoded, *shown = (image.get_array() for image in axis.images)
    assert np.array_equal(np.stack(shown), real[nearest])
    (alone,) = widgets.draw_static(space, Decoder(), "autoencoder", settings)[0].axes[2].images
    assert np.array_equal(decoded, alone.get_array())
    words = "{:.1f}, {:.1f} and {:.1f} away".format(*distances[nearest])
    assert words in axis.texts[1].get_text()
    boxes = [image.get_window_extent() for image in axis.images]
    assert not any(box.overlaps(other) for box in boxes for other in boxes if box is not other)
    texts = [text.get_window_extent() for text in (*axis.texts, *figure.texts)]
    assert all(figure.bbox.containsx(edge) for box in (*boxes, *texts) for edge in (box.x0, box.x1))


def test_the_neighbours_follow_the_picked_point_and_nothing_else(z, space):
    asked = []

    def images(rows):
        asked.append(rows)
        return colours(len(z))[rows]

    options = (Settings(), None, {}, images)
    live = widgets.build_explorer(space, Decoder(), "autoencoder", *options)
    for name in ("fact", "n_std"):
        live.controls[name].value = MOVES[name]
    assert len(asked) == 1
    first = live.picture.value
    live.controls["pick_second"].value = -3.0
    assert len(asked) == 2 and not np.array_equal(*asked)
    assert live.picture.value != first
    figure, file = (
        widgets.draw_static(
            space,
            Decoder(),
            "autoencoder",
            Settings(fact=1.35, n_std=2.5, pick_second=-3.0),
            images=images,
        )[0],
        io.BytesIO(),
    )
    figure.savefig(file, format="rgba")
    whole = np.frombuffer(file.getvalue(), np.uint8).reshape(432, 998, 4)[:, :, :3].astype(int)
    assert np.abs(pixels(live.picture.value) - whole).max(axis=2).mean() < 2


def refuse(z):
    raise ValueError("a network for 5 dimensions")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"z": [["some", "words"]] * 20}, "z as an array of numbers"),
        ({"z": None}, "z as an array of numbers"),
        ({"z": np.ones((20, 6), np.float32)}, "the same"),
        ({"decoder": None}, "a decoder that can be called"),
        (
            {"decoder": lambda z: np.zeros((len(z), 8, 8, 1))},
            r"\(1, 8, 8, 1\); give a decoder",
        ),
        ({"decoder": refuse}, "a network for 5 dimensions"),
        ({"label": 3}, "a label in words"),
        ({"settings": {"first": 1}}, "explorer.Settings"),
        ({"settings": Settings(first=1.5)}, "no PCA component 1.5"),
        ({"sampler": "none such"}, "one of the samplers normal, "),
        ({"sampler": ["normal"]}, "one of the samplers"),
        ({"images": colours(1499)}, "1,500 rows"),
        ({"images": [colours(1)[0]] * 1500}, "1,500 rows"),
        ({"images": colours(1500)[..., 0]}, "in colour"),
        ({"images": lambda rows: None}, "in colour"),
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_arguments_of_another_kind_get_one_sentence(z, monkeypatch, changes, words, live):
    monkeypatch.setattr(widgets, "display", lambda content, raw: None)
    with pytest.raises(InputError, match=words) as caught:
        widgets.explore(**{"z": z, "decoder": Decoder(), "live": live} | changes)
    assert "\n" not in str(caught.value)


def test_a_cloud_needs_no_name_of_the_series(z):
    widgets.explore(z.tolist(), Decoder(), "my own")
    assert plt.gcf().texts[0].get_text() == "my own: 1,500 z-points"


def test_what_cannot_be_drawn_is_said_and_the_picture_stays(space):
    live = build(space)
    first = live.picture.value
    live.controls["second"].value = 0
    assert "two axes" in live.message.value
    assert live.picture.value == first
    live.controls["first"].value = 1
    assert live.message.value == ""
    assert live.picture.value != first


def test_there_are_no_axes_beyond_those_of_the_coordinates():
    rng = np.random.default_rng(0)
    few = space_module.prepare_space(rng.standard_normal((12, 20)).astype(np.float32))
    live = build(few, settings=Settings("original", 19, 2))
    live.controls["coordinates"].value = "PCA"
    assert (live.controls["first"].max, live.controls["first"].value) == (10, 10)
    assert live.message.value == ""
    live.controls["coordinates"].value = "original"
    assert live.controls["second"].max == 19
    with pytest.raises(InputError, match="0 to 10"):
        build(few, settings=Settings("PCA", 11, 0))


def test_a_sampler_is_fitted_to_the_points_left_and_its_faces_make_a_sheet(z, space):
    decoder, samplers = Decoder(), {"some": Sampler()}
    live = build(space, decoder, samplers=samplers)
    assert (live.sheet.value, live.sheet.layout.display) == (b"", "none")
    live.controls["fact"].value = 1.35
    live.controls["sampler"].value = "some"
    expected = z[trim_outliers(z, 1.35)]
    (fitted,) = samplers["some"].fitted
    assert np.array_equal(fitted[np.lexsort(fitted.T)], expected[np.lexsort(expected.T)])
    assert decoder.calls[-1].shape == (16, 6)
    first = live.sheet.value
    assert build(space, sampler="some", samplers=samplers).message.value == ""
    assert pixels(first).std() > 10
    assert (live.sheet.layout.display, live.message.value) == (None, "")
    live.controls["more"].click()
    assert live.sheet.value != first
    assert plt.get_fignums() == []
    live.controls["sampler"].value = None
    assert live.sheet.layout.display == "none"


def test_a_sampler_gets_no_more_points_than_it_can_be_waited_for(space, monkeypatch):
    monkeypatch.setattr(picture, "FITTED_POINTS", 100)
    sampler = Sampler()
    figure = picture.draw_sheet(space, Decoder(), np.inf, "some", sampler, seed=1)
    assert sampler.fitted[0].shape == (100, 6)
    assert "100 of the 1,500" in figure.get_suptitle()
    assert len(figure.axes) == 16


def test_all_samplers_of_the_series_can_be_chosen(space, monkeypatch):
    monkeypatch.setattr(picture, "show_faces", lambda rows, title: plt.subplots(figsize=(1, 1))[0])
    decoder = Decoder()
    live = build(space, decoder, samplers=samplers_module.SAMPLERS)
    for number, name in enumerate(samplers_module.SAMPLERS, start=2):
        live.controls["sampler"].value = name
        assert live.message.value == ""
        assert len(decoder.calls) == number
        assert decoder.calls[-1].shape == (16, 6)
        assert np.isfinite(decoder.calls[-1]).all()


def test_without_a_front_end_there_are_figures_and_no_widgets(z, monkeypatch):
    monkeypatch.setattr(widgets, "build_explorer", None)
    assert not widgets.has_front_end()
    widgets.explore(z, Decoder(), sampler="some", samplers={"some": Sampler()})
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert [len(figure.axes) for figure in figures] == [3, 16]


def test_beside_the_widgets_the_notebook_keeps_the_first_picture(z, monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda content, raw: shown.append(content))
    widgets.explore(z, Decoder(), live=True)
    (content,) = shown
    assert pixels(base64.b64decode(content["image/jpeg"])).shape == (432, 998, 3)
    box = content[widgets.WIDGET_VIEW]["model_id"]
    assert box
    assert plt.get_fignums() == []


def test_an_executed_notebook_holds_a_picture_and_no_state_of_widgets():
    cells = [nbformat.v4.new_code_cell(NOTEBOOK)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(project_root())}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert "image/png" in output.data
    assert widgets.WIDGET_VIEW not in output.data
    assert "widgets" not in notebook.metadata


def test_the_widgets_are_core_widgets_of_both_versions(space):
    live = build(space)
    kinds = {type(widget).__name__ for widget in live.controls.values()}
    assert kinds == {"Dropdown", "IntSlider", "FloatSlider", "SelectionSlider", "Button"}
    assert all(type(widget).__module__.startswith("ipywidgets.") for widget in live.controls.values())
    assert ipywidgets.__version__.split(".")[0] in ("7", "8")
