"""The live explorer: sliders beside a plane of the latent space; a picture where nobody can move sliders."""

import base64
import html
from itertools import count
from typing import NamedTuple

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import display

from helpers.explorer import space
from helpers.explorer import space as space_module
from helpers.explorer.picture import PICTURE, draw_sheet, figure_to_jpeg, make_painter, make_renderer
from helpers.files import InputError
from helpers.sampling.samplers import SAMPLERS

FACTS = (*np.arange(1.0, 3.01, 0.05).round(2).tolist(), np.inf)  # IX-020: 1.25 to 1.8
PICK_STDS = 5.0  # standard deviations that a picked point may lie off the mean along each axis
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Explorer(NamedTuple):
    """A box of widgets; its controls by name, its two pictures, and the line that says what is wrong."""

    box: widgets.VBox
    controls: dict
    picture: widgets.Image
    sheet: widgets.Image
    message: widgets.HTML


def explore(z, decoder, label="autoencoder", settings=None, sampler=None, samplers=SAMPLERS, live=None):
    """Show planes of z-points (n, d), float32, with sliders, or as a picture where nobody can move them.

    `decoder` maps z (n, d) to images (n, height, width, 3) in [0, 1], `label` is a key of COLOURS,
    `settings` (`planes.Settings`) and `sampler` (a key of `samplers`) are what is shown first. `live`: with
    sliders or without; None asks `has_front_end`. Beside the sliders the notebook keeps the first picture,
    for readers who have no kernel. Preparing 170,000 points of 256 dimensions takes some ten seconds.
    """
    space, settings = space_module.prepare_space(z), settings or space_module.Settings()
    if not (has_front_end() if live is None else live):
        draw_static(space, decoder, label, settings, sampler, samplers)
        return
    explorer = build_explorer(space, decoder, label, settings, sampler, samplers)
    view = {"version_major": 2, "version_minor": 0, "model_id": explorer.box.model_id}
    picture = base64.b64encode(explorer.picture.value).decode()
    content = {WIDGET_VIEW: view, "image/jpeg": picture, "text/plain": "Explorer of the latent space"}
    display(content, raw=True)


def has_front_end():
    """Whether this code runs in a notebook that someone has open.

    nbclient, nbconvert and papermill tell the kernel that nobody can answer it; Jupyter, Colab and others
    that somebody can.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def draw_static(space, decoder, label, settings, sampler=None, samplers=SAMPLERS):
    """Figures of matplotlib with what the explorer shows at these settings: the planes, the sheet if any."""
    figure = plt.figure(**PICTURE)
    make_renderer(space, decoder, figure, label)(settings)
    if sampler is None:
        return [figure]
    return [figure, draw_sheet(space, decoder, settings.fact, sampler, samplers[sampler], seed=1)]


def build_explorer(space, decoder, label, settings, sampler=None, samplers=SAMPLERS):
    """`Explorer` of a prepared space, its pictures drawn; each change of a control draws them anew."""
    space_module.require_plane(space, settings)
    paint, seeds = make_painter(space, decoder, label), count(1)
    controls = make_controls(space, settings, sampler, samplers)
    explorer = arrange(controls)

    def draw_planes():
        explorer.picture.value = paint(read_settings(controls))

    def draw_sheet():
        name = controls["sampler"].value
        if name:
            explorer.message.value = "The sampler is at work …"
            drawn = draw_sheet(space, decoder, controls["fact"].value, name, samplers[name], next(seeds))
            explorer.sheet.value = figure_to_jpeg(drawn)
            plt.close(drawn)
        explorer.sheet.layout.display = None if name else "none"

    draw_planes()
    draw_sheet()
    connect(explorer, space, draw_planes, draw_sheet)
    return explorer


def make_controls(space, settings, sampler, samplers):
    """Widgets by name: one for each of the settings, then "sampler" and the button "more"."""
    last = len(space.data.coordinates[settings.coordinates]) - 1
    facts = sorted({*FACTS, settings.fact})
    names = [(f"{fact:.2f}" if np.isfinite(fact) else "all points", fact) for fact in facts]
    wide = {"style": {"description_width": "10em"}, "layout": widgets.Layout(width="30em")}

    def slider(description, value, low, high, step):
        kind = widgets.IntSlider if step == 1 else widgets.FloatSlider
        return kind(description=description, value=value, min=low, max=high, step=step, **wide)

    return {
        "coordinates": widgets.Dropdown(
            description="coordinates", options=space_module.COORDINATES, value=settings.coordinates, **wide
        ),
        "first": slider("first axis", settings.first, 0, last, 1),
        "second": slider("second axis", settings.second, 0, last, 1),
        "fact": widgets.SelectionSlider(description="fact", options=names, value=settings.fact, **wide),
        "n_std": slider("ellipse (sigma)", settings.n_std, 0.5, 5, 0.25),
        "pick_first": slider("point, first (sigma)", settings.pick_first, -PICK_STDS, PICK_STDS, 0.1),
        "pick_second": slider("point, second (sigma)", settings.pick_second, -PICK_STDS, PICK_STDS, 0.1),
        "sampler": widgets.Dropdown(
            description="sampler",
            options=[("none", None), *((name, name) for name in samplers)],
            value=sampler,
            **wide,
        ),
        "more": widgets.Button(description="draw other faces"),
    }


def arrange(controls):
    """`Explorer` with the controls in two columns above its pictures, which are still empty."""
    picture, sheet = widgets.Image(format="jpeg"), widgets.Image(format="jpeg")
    message = widgets.HTML()
    names = list(controls)
    columns = [widgets.VBox([controls[name] for name in part]) for part in (names[:5], names[5:])]
    return Explorer(
        widgets.VBox([widgets.HBox(columns), message, picture, sheet]), controls, picture, sheet, message
    )


def connect(explorer, space, draw_planes, draw_sheet):
    """Let each change of a control draw anew what it concerns; what cannot be drawn is said instead."""

    def tell(draw):
        def answer(change):
            try:
                draw()
                explorer.message.value = ""
            except InputError as error:
                explorer.message.value = f"<b>{html.escape(str(error))}</b>"

        return answer

    def limit_axes(change):
        for name in ("first", "second"):
            explorer.controls[name].max = len(space.data.coordinates[change["new"]]) - 1

    explorer.controls["coordinates"].observe(limit_axes, "value")
    for name in space_module.Settings._fields:
        explorer.controls[name].observe(tell(draw_planes), "value")
    explorer.controls["sampler"].observe(tell(draw_sheet), "value")
    explorer.controls["more"].on_click(tell(draw_sheet))


def read_settings(controls):
    """`planes.Settings` as the widgets stand."""
    return space.Settings(**{name: controls[name].value for name in space.Settings._fields})
