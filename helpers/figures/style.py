"""One colour per quantity, axes and panels, sheets of faces, and the form in which notebooks keep figures."""

from base64 import b64encode
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image

# A quantity keeps its colour in every notebook; several runs of one quantity differ in style. The first ones
# are Okabe and Ito's or Tol's, which colour-blind readers can tell apart; the others were searched for: far
# from all in CIELAB, and those that stand in one picture also as colour-blind readers see them.
COLOURS = {
    "train": "#0072B2",
    "held out": "#D55E00",
    "autoencoder": "#009E73",
    "tiny-KL VAE": "#882255",
    "fact-5 VAE": "#999933",
    "post": "#CC79A7",
    "CelebA": "#B5B5B5",
    "surrogate": "#7F7F7F",
    "elliptical surrogate": "#332288",
    "independent components": "#8C510A",
    "N(0, 1)": "#E69F00",
    "uniform box": "#56B4E9",
    "planted filaments": "#4488EE",
    "intervals": "#BB66BB",  # from here on samplers that are no quantity above
    "ellipses": "#114488",
    "ellipses_evenly": "#55CC55",
    "truncated": "#FF9999",
    "zero_mean": "#880033",
    "mixture": "#DD4444",
    "bootstrap": "#33BBBB",
    "convolutions": "#AAAA77",  # parts of a network
    "extra Dense": "#DD1166",
    "Flatten → mu": "#88BB33",
    "Flatten → logvar": "#225511",
    "Dense → first maps": "#EE88FF",
    "this process": "#228800",  # memory
    "the whole machine": "#8866DD",
    "VRAM of the GPU": "#116644",
    "the rest": "#D9D9D9",  # points that a picture leaves out or is not about
}
SAME_QUANTITY = {  # samplers that draw from a distribution of the series, by its name in COLOURS
    "normal": "N(0, 1)",
    "uniform": "uniform box",
    "independent": "independent components",
    "gaussian": "surrogate",
    "elliptical": "elliptical surrogate",
}
OTHERS = ("#4D5A6B", "#BBAAEE", "#887744", "#773333")  # in turn: what is no quantity of the series
HIGHLIGHT = "black"  # curves and points that a picture is about
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "*", "d")  # pictures can be read without colours
IMAGE_INCHES = (1.15, 1.15)  # of one image in a sheet, with its margin
JPEG_QUALITY = 85  # of 100
PALETTE_COLOURS = 128  # of a figure without photographs
SMALL_DPI = 80  # of pictures full of lines or points, which would else make a notebook too large for GitHub
FACES_DPI = 56  # of sheets of many faces, for the same reason
TICK_SIZE = 8  # points, of numbers beside panels


def colour_of(label, other=OTHERS[0]):
    """Colour of a label that is a key of COLOURS or a sampler, or ends in or begins with one and a comma.

    Labels may go on in further lines. `other` is the colour of those that name no quantity of the series.
    """
    parts = label.split("\n")[0].split(", ")
    names = [*(", ".join(parts[start:]) for start in range(len(parts))), parts[0]]
    found = (COLOURS.get(SAME_QUANTITY.get(name, name)) for name in names)
    return next(filter(None, found), other)


def make_axis(title, xlabel, ylabel, size=(7, 4), dpi=None, **settings):
    """Figure of `size` (inches) with one axis that has its names, a grid and `settings` of matplotlib."""
    figure, axis = plt.subplots(figsize=size, dpi=dpi, layout="constrained")
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel, **settings)
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)
    if xlabel == "epoch":
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure, axis


def make_panels(title, count, columns, panel, margin=(0.3, 0.9), dpi=None, grid=False, **shared):
    """Figure of `count` panels in rows of at most `columns`, and its axes (rows, columns).

    A `panel` and the `margin` around all are (width, height) in inches. Places that are left over stay empty.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (panel[0] * columns + margin[0], panel[1] * rows + margin[1])
    figure, axes = plt.subplots(
        rows, columns, figsize=size, dpi=dpi, squeeze=False, layout="constrained", **shared
    )
    for place, axis in enumerate(axes.flat):
        axis.set_visible(place < count)
        axis.tick_params(labelsize=TICK_SIZE)
        if grid:
            axis.grid(alpha=0.3)
    figure.suptitle(title)
    return figure, axes


def set_figure_format():
    """Let notebooks keep figures as `encode_figure` does: GitHub shows no notebook of many megabytes.

    They look the same everywhere: MPLBACKEND and matplotlibrc count no longer. `%matplotlib` afterwards does.
    """
    shell = get_ipython()
    if hasattr(shell, "kernel"):
        shell.enable_matplotlib("inline")
    plt.rcdefaults()  # leaves the backend as it is
    if shell:
        set_matplotlib_formats()  # drops IPython's own forms, which would be kept as well
        shell.display_formatter.mimebundle_formatter.for_type(Figure, encode_figure)


def encode_figure(figure):
    """MIME type → base64 of a figure: a PNG of few colours, or a JPEG where that is nearer, as for photos."""
    original = Image.open(BytesIO(print_figure(figure))).convert("RGB")
    palette = original.quantize(PALETTE_COLOURS, Image.Quantize.MEDIANCUT)
    kinds = {"png": (palette, {}), "jpeg": (original, {"quality": JPEG_QUALITY})}
    contents, errors = {}, {}
    for kind, (image, options) in kinds.items():
        file = BytesIO()
        image.save(file, kind, optimize=True, **options)
        decoded = np.asarray(Image.open(file).convert("RGB"), dtype=np.int16)
        contents[kind], errors[kind] = file.getvalue(), np.abs(decoded - np.asarray(original)).mean()
    nearest = min(errors, key=errors.get)
    return {f"image/{nearest}": b64encode(contents[nearest]).decode("ascii")}


def show_faces(rows, title, dpi=None):
    """Sheet of images: `rows` maps a label to images (n, height, width, 3), float in [0, 1] or uint8."""
    columns = max(len(images) for images in rows.values())
    figure, axes = make_panels(title, len(rows) * columns, columns, IMAGE_INCHES, (1.2, 0.5), dpi)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], frame_on=False)
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image)
    return figure


def show_sheet(rows, title):
    """`show_faces` of many, small enough for a notebook."""
    return show_faces(rows, title, FACES_DPI)


def dot_area(n):
    """Area of a dot, in square points, for n points in a small panel: their sum hardly depends on n."""
    return float(np.clip(6000 / n, 0.1, 8))
