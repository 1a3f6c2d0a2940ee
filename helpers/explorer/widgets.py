"""The live explorer: sliders beside a plane of the latent space; a picture where nobody can move sliders."""

import base64
import html
from functools import partial
from itertools import count
from types import SimpleNamespace

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from IPython.display import display

from helpers.explorer.picture import PICTURE, draw_sheet, make_painter, make_renderer
from helpers.explorer.space import COORDINATES, Settings, prepare_space
from helpers.figures.style import JPEG_QUALITY
from helpers.files import InputError
from helpers.latent.pieces import require_array
from helpers.sampling.samplers import SAMPLERS

FACTS = (*np.arange(1.0, 3.01, 0.05).round(2).tolist(), np.inf)  # IX-020: 1.25 to 1.8
PICK_STDS = 5.0  # standard deviations that a picked point may lie off the mean along each axis
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def explore(
    z, decoder, label="autoencoder", settings=None, sampler=None, samplers=SAMPLERS, live=None, images=None
):
    """Show planes of z-points (n, d), float32, with sliders, or as a picture where nobody can move them.

    `decoder` maps z (n, d) to images (n, height, width, 3) in [0, 1], `label` names the cloud, `settings`
    (`explorer.Settings`) and `sampler` (a key of `samplers`) are shown first. `live`: with sliders or not;
    None asks `has_front_end`. Beside the sliders the notebook keeps the first picture, for readers without a
    kernel. Preparing 170,000 points of 256 dimensions takes some ten seconds.

    `images`: the real ones behind the rows of z, an array (n, height, width, 3), uint8 or in [0, 1], or a
    function of row numbers; those of the three z-points nearest to the picked one (Euclidean distance) stand
    beside its own. Raises InputError for arguments that are something else.
    """
    z, settings = require_array(z, "n d", "The explorer", "z"), settings or Settings()
    taken = {
        "a decoder that can be called": callable(decoder),
        "a label in words": isinstance(label, str),
        "settings of the kind explorer.Settings": isinstance(settings, Settings),
        f"one of the samplers {', '.join(samplers)}, or None": sampler in (None, *samplers),
        f"images as a function of rows, or as an array with {len(z):,} rows, as many as z has": (
            images is None or callable(images) or getattr(images, "shape", ())[:1] == z.shape[:1]
        ),
    }
    for what, given in taken.items():
        if not given:
            raise InputError(f"The explorer takes {what}; give it that.")
    space = prepare_space(z)
    if not (has_front_end() if live is None else live):
        draw_static(space, decoder, label, settings, sampler, samplers, images)
        return
    explorer = build_explorer(space, decoder, label, settings, sampler, samplers, images)
    view = {"version_major": 2, "version_minor": 0, "model_id": explorer.box.model_id}
    picture = base64.b64encode(explorer.picture.value).decode()
    content = {WIDGET_VIEW: view, "image/jpeg": picture, "text/plain": "Explorer of the latent space"}
    display(content, raw=True)


def has_front_end():
    """Whether someone has this notebook open: nbclient and its like tell the kernel that nobody answers."""
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def draw_static(space, decoder, label, settings, sampler=None, samplers=SAMPLERS, images=None):
    """Figures of matplotlib with what the explorer shows at these settings: the planes, the sheet if any."""
    figure = plt.figure(**PICTURE)
    make_renderer(space, decoder, figure, label, images)(settings)
    if sampler is None:
        return [figure]
    return [figure, draw_sheet(space, decoder, settings.fact, sampler, samplers[sampler], seed=1)]


def build_explorer(space, decoder, label, settings, sampler=None, samplers=SAMPLERS, images=None):
    """Widgets in a `box`: `controls` by name, `picture`, `sheet`, and `message`, which says what is wrong.

    The pictures of the prepared space are drawn; each change of a control draws them anew.
    """
    paint, seeds = make_painter(space, decoder, label, images), count(1)
    picture = widgets.Image(value=paint(settings), format="jpeg")
    sheet, message = widgets.Image(format="jpeg"), widgets.HTML()
    controls = make_controls(space, settings, sampler, samplers)

    def show_planes():
        picture.value = paint(Settings(*(controls[name].value for name in Settings._fields)))

    def show_sheet():
        if name := controls["sampler"].value:
            message.value = "The sampler is at work …"
            drawn = draw_sheet(space, decoder, controls["fact"].value, name, samplers[name], next(seeds))
            sheet.value = print_figure(drawn, "jpeg", pil_kwargs={"quality": JPEG_QUALITY})
            plt.close(drawn)
        sheet.layout.display = None if name else "none"

    def answer(show, change):
        """Call `show`; what cannot be drawn is said instead."""
        try:
            show()
            message.value = ""
        except InputError as error:
            message.value = f"<b>{html.escape(str(error))}</b>"

    def limit_axes(change):
        for name in ("first", "second"):
            controls[name].max = len(space.data.coordinates[change["new"]]) - 1

    answer(show_sheet, None)
    controls["coordinates"].observe(limit_axes, "value")
    for name in Settings._fields:
        controls[name].observe(partial(answer, show_planes), "value")
    controls["sampler"].observe(partial(answer, show_sheet), "value")
    controls["more"].on_click(partial(answer, show_sheet))
    parts = list(controls.values())
    columns = widgets.HBox([widgets.VBox(parts[:5]), widgets.VBox(parts[5:])])
    box = widgets.VBox([columns, message, picture, sheet])
    return SimpleNamespace(box=box, controls=controls, picture=picture, sheet=sheet, message=message)


def make_controls(space, settings, sampler, samplers):
    """Widgets by name: one for each of the settings, then "sampler" and the button "more"."""
    facts = sorted({*FACTS, settings.fact})
    facts = [(f"{fact:.2f}" if np.isfinite(fact) else "all points", fact) for fact in facts]
    names = [("none", None), *((name, name) for name in samplers)]
    axis = {"min": 0, "max": len(space.data.coordinates[settings.coordinates]) - 1}
    pick = {"min": -PICK_STDS, "max": PICK_STDS, "step": 0.1}
    wide = {"style": {"description_width": "10em"}, "layout": widgets.Layout(width="30em")}

    def make(kind, description, value, **options):
        return kind(description=description, value=value, **options, **wide)

    return {
        "coordinates": make(widgets.Dropdown, "coordinates", settings.coordinates, options=COORDINATES),
        "first": make(widgets.IntSlider, "first axis", settings.first, **axis),
        "second": make(widgets.IntSlider, "second axis", settings.second, **axis),
        "fact": make(widgets.SelectionSlider, "fact", settings.fact, options=facts),
        "n_std": make(widgets.FloatSlider, "ellipse (sigma)", settings.n_std, min=0.5, max=5, step=0.25),
        "pick_first": make(widgets.FloatSlider, "point, first (sigma)", settings.pick_first, **pick),
        "pick_second": make(widgets.FloatSlider, "point, second (sigma)", settings.pick_second, **pick),
        "sampler": make(widgets.Dropdown, "sampler", sampler, options=names),
        "more": widgets.Button(description="draw other faces"),
    }
