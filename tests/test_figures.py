import os
import re
from base64 import b64decode
from io import BytesIO

import nbformat
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.colors import to_rgb, to_rgba
from nbclient import NotebookClient
from PIL import Image
from scipy.spatial.distance import pdist

from helpers.figures import curves as curves_module
from helpers.figures import style
from helpers.files import project_root
from helpers.models.networks import build_decoder, build_encoder
from helpers.monitor import readings
from helpers.monitor.watch import Sample
from helpers.sampling.samplers import SAMPLERS

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("close_figures")


def draw(name):
    radii = {"autoencoder": RNG.normal(16, 2, 500), "surrogate": RNG.normal(16, 1, 500)}
    return {
        "radii": lambda: curves_module.plot_radii(radii, 0.5, "title", posts_peak=16.75),
        "errors": lambda: curves_module.plot_errors(
            {"held out": RNG.random(50) + 0.1, "N(0, 1)": RNG.random(50) + 1}, 1.0, "title", "relative error"
        ),
        "curves": lambda: curves_module.plot_curves(
            {"autoencoder": ([1, 2], [3, 4]), "a run": ([1, 2], [4, 3])}, "title", "epoch", "loss (nats)"
        ),
    }[name]()


@pytest.mark.parametrize("name", ["radii", "errors", "curves"])
def test_every_plot_names_its_axes_and_lines(name):
    axis = draw(name).axes[0]
    assert axis.get_title() == "title"
    assert axis.get_xlabel()
    assert axis.get_ylabel()
    assert len(axis.get_legend().get_texts()) >= 2


def to_lab(colours):
    """CIELAB coordinates (n, 3) of colours, for white light D65; 2 apart can just be told apart."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / 3 / (6 / 29) ** 2 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def test_every_colour_means_one_thing_in_the_whole_series():
    colours = [*style.COLOURS.values(), *style.OTHERS, style.HIGHLIGHT]
    assert pdist(to_lab(colours)).min() > 12
    names = {style.SAME_QUANTITY.get(name, name) for name in SAMPLERS}
    assert len(names) == len(SAMPLERS) <= len(style.MARKERS)
    together = {
        "samplers": names,
        "parts": curves_module.LAYERS,
        "memory": ("this process", "the whole machine", "VRAM of the GPU"),
        "clouds": ("autoencoder", "tiny-KL VAE", "fact-5 VAE", "surrogate", "elliptical surrogate", "post"),
    }
    for group in together.values():
        assert pdist(to_lab([style.COLOURS[name] for name in group])).min() > 20
    sources = [path for path in project_root().glob("helpers/**/*.py") if path.name != "style.py"]
    assert not [path for path in sources if re.search("['\"]#[0-9A-Fa-f]{3,8}['\"]", path.read_text("utf-8"))]


def test_labels_that_name_a_quantity_have_its_colour():
    expected = {
        "held out": "held out",
        "N(0, 1)": "N(0, 1)",
        "chi², N(0, 1)": "N(0, 1)",
        "seed 1, from noise, train": "train",
        "bootstrap, noise 0": "bootstrap",
        "gaussian": "surrogate",
        "autoencoder\nperplexity 30": "autoencoder",
    }
    for label, name in expected.items():
        assert style.colour_of(label) == style.COLOURS[name]
    assert style.colour_of("something else") == style.OTHERS[0]


def test_a_quantity_keeps_its_colour():
    figures = (
        curves_module.plot_curves({"held out": ([1, 2], [3, 4])}, "title", "epoch", "loss"),
        draw("errors"),
    )
    loss, errors = (
        {line.get_label(): line.get_color() for line in figure.axes[0].lines} for figure in figures
    )
    assert to_rgba(loss["held out"]) == to_rgba(errors["held out"]) == to_rgba(style.COLOURS["held out"])


def test_radii_are_drawn_as_counts():
    radii = np.array([1.1, 1.2, 1.7])
    axis = curves_module.plot_radii({"autoencoder": radii}, 0.5, "title").axes[0]
    assert axis.lines[0].get_xydata().tolist() == [[1.25, 2], [1.75, 1]]


def test_runs_of_one_quantity_share_the_colour_and_differ_in_style():
    radii = {f"seed {n}": RNG.normal(16, 2, 100) for n in (1, 2, 3)}
    lines = curves_module.plot_radii(radii, 0.5, "title").axes[0].lines
    assert {line.get_color() for line in lines} == {style.COLOURS["autoencoder"]}
    assert len({line.get_linestyle() for line in lines}) == 3


def test_sheet_shows_every_image_once_beside_its_label():
    images = RNG.random((7, 96, 96, 3), dtype=np.float32)
    figure = style.show_faces({"first": images[:4], "second": images[4:]}, "title")
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert np.array_equal(np.stack(shown), images)
    assert [figure.axes[i].get_ylabel() for i in (0, 4)] == ["first", "second"]
    assert figure.get_suptitle() == "title"


def test_the_parameter_picture_accounts_for_all_but_normalisation_outside_convolutions():
    networks = {
        "encoder": build_encoder(z_dim=8, filters=(4, 4), variational=True, batch_norm=True, extra_dense=8),
        "decoder": build_decoder(z_dim=8, filters=(4, 4)),
    }
    axis = curves_module.plot_parameters(networks, "title").axes[0]
    widths = np.array([[bar.get_width() for bar in container] for container in axis.containers])
    counts = [network.count_params() / 1e6 for network in networks.values()]
    assert widths.sum(axis=0) == pytest.approx(counts, rel=1e-6)


def test_bars_carry_their_values():
    axis = curves_module.plot_bars({"a": 1.5, "b": 3.0}, "title", "radius", reference=("post", 2.0)).axes[0]
    assert [bar.get_width() for bar in axis.patches] == [1.5, 3.0]
    assert {text.get_text().strip() for text in axis.texts} == {"1.5", "3"}
    assert axis.get_xlabel() == "radius"


def test_a_quantity_keeps_its_colour_among_other_curves():
    curves = {label: ([0], [1]) for label in ("x", "held out", "without, train", "N(0, 1)")}
    axis = curves_module.plot_curves(curves, "t", "x", "y").axes[0]
    colours = {line.get_label(): line.get_color() for line in axis.lines}
    assert colours["held out"] == style.COLOURS["held out"] != colours["x"]
    assert colours["without, train"] == style.COLOURS["train"] != colours["x"]
    assert colours["N(0, 1)"] == style.COLOURS["N(0, 1)"]  # its comma separates nothing


def kept_picture(figure):
    """Name of the form and pixels of what a notebook keeps of a figure."""
    shell = InteractiveShell.instance()
    try:
        style.set_figure_format()
        kept, _ = shell.display_formatter.format(figure)
    finally:
        InteractiveShell.clear_instance()  # what other tests start is in no notebook
    (kind,) = [kind for kind in kept if kind.startswith("image/")]
    return kind, Image.open(BytesIO(b64decode(kept[kind])))


def test_notebooks_keep_lines_as_small_pictures_in_their_own_colours():
    kind, picture = kept_picture(draw("radii"))
    assert (kind, picture.mode) == ("image/png", "P")
    pixels = np.asarray(picture.convert("RGB")).astype(int).reshape(-1, 3)
    for label in ("autoencoder", "surrogate", "post"):
        colour = np.array(to_rgb(style.COLOURS[label])) * 255
        assert np.abs(pixels - colour).max(axis=1).min() < 12


KERNEL_CELLS = """\
from helpers import figures

figures.set_figure_format()
===
import numpy as np

figures.plot_curves({"train": ([1, 2], [3, 4])}, "a title", "epoch", "loss (nats)")
figures.show_sheet({"row": np.full((1, 8, 8, 3), 0.5)}, "faces");"""
ODD_SETTINGS = """\
backend: svg
text.usetex: True
font.family: No Such Font
font.size: 31
figure.facecolor: black
image.cmap: gray
"""


def run_in_kernel(folder, **variables):
    """Pictures (MIME type, base64) that a kernel with these environment variables shows, and its stderr."""
    cells = [nbformat.v4.new_code_cell(source) for source in KERNEL_CELLS.split("===\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources)
    environment = {**os.environ, "PYTHONPATH": str(project_root()), **variables}
    if "MPLBACKEND" not in variables:
        environment.pop("MPLBACKEND", None)
    client.execute(env=environment)
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    shown = [item for output in outputs for item in output.get("data", {}).items()]
    pictures = [(kind, content) for kind, content in shown if not kind.startswith("text/")]
    return pictures, [output.text for output in outputs if output.get("name") == "stderr"]


def test_a_kernel_shows_the_same_figures_under_odd_settings_of_matplotlib(tmp_path):
    expected, errors = run_in_kernel(tmp_path)
    assert (len(expected), errors) == (2, [])
    (tmp_path / "matplotlibrc").write_text(ODD_SETTINGS)
    settings = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    for variables in ({"MPLBACKEND": "Agg"}, settings, {"MPLBACKEND": "TkAgg", **settings}):
        assert run_in_kernel(tmp_path, **variables) == (expected, [])


def test_notebooks_keep_photographs_as_jpeg():
    y, x = np.mgrid[:96, :96] / 96
    noise = np.random.default_rng(0).normal(0, 0.03, (6, 96, 96, 3))
    faces = np.stack([x, y, (x + y) / 2], axis=-1) * np.linspace(0.5, 1, 6)[:, None, None, None] + noise
    assert kept_picture(style.show_faces({"row": faces.clip(0, 1)}, "title"))[0] == "image/jpeg"


def test_memory_over_time_shows_process_machine_gpu_and_limit():
    gpu = readings.GpuMemory("Tesla T4", 3e9, 16e9)
    for gpus, names in (((), 0), ((gpu,), 1)):
        samples = [
            Sample(
                t,
                readings.Memory(
                    process=t * 1e9,
                    process_peak=0,
                    machine_used=5e9,
                    machine_total=9e9,
                    gpus=gpus,
                    backend=None,
                ),
            )
            for t in (0.0, 1.0, 2.0)
        ]
        axis = curves_module.plot_memory(samples, 11e9, "Memory").axes[0]
        lines = {line.get_label(): line for line in axis.get_lines()}
        assert len(lines) == 3 + names
        np.testing.assert_allclose(lines["this process"].get_ydata(), [0, 1, 2])
        np.testing.assert_allclose(lines["limit for this process"].get_ydata(), 11)
        assert "GB" in axis.get_ylabel() and "seconds" in axis.get_xlabel()
