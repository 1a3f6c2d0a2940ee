"""One colour per quantity, sheets of faces, and the form in which notebooks keep figures."""

from base64 import b64encode
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image

# Okabe and Ito's palette, which colour-blind readers can tell apart. A quantity keeps its colour in
# every notebook; several runs of one quantity differ in LINE_STYLES.
COLOURS = {
    "train": "#0072B2",
    "held out": "#D55E00",
    "autoencoder": "#009E73",
    "tiny-KL VAE": "#882255",
    "fact-5 VAE": "#999933",
    "surrogate": "#7F7F7F",
    "elliptical surrogate": "#332288",
    "planted filaments": "#000000",
    "independent components": "#8C510A",
    "N(0, 1)": "#E69F00",
    "uniform box": "#56B4E9",
    "post": "#CC79A7",
}
LINE_STYLES = ("-", "--", "-.")
IMAGE_INCHES = 1.15  # width of one small image in a sheet
JPEG_QUALITY = 85  # of 100
PALETTE_COLOURS = 128  # of a figure without photographs
HIGHLIGHT = "black"  # curves and points that a picture is about
SHEET_DPI = 72  # of pictures full of points, whose JPEGs would else make a notebook too large for GitHub
MARKERS = ("o", "s", "D", "^")  # one per cloud, so that a picture needs no colours to be read
SMALL_DPI = 90  # of pictures full of lines and points, so that a notebook with many stays small
FIT_WINDOW = 6.0  # sigma that a picture of standardised densities reaches from the centre
SAMPLER_COLOURS = {  # keys of sampling.SAMPLERS; what the series has coloured before keeps its colour
    "normal": COLOURS["N(0, 1)"],
    "uniform": COLOURS["uniform box"],
    "intervals": "#0072B2",
    "independent": COLOURS["independent components"],
    "ellipses": "#D55E00",
    "ellipses_evenly": "#E69F9F",
    "gaussian": COLOURS["surrogate"],
    "truncated": "#000000",
    "zero_mean": "#999933",
    "mixture": "#CC79A7",
    "elliptical": COLOURS["elliptical surrogate"],
    "bootstrap": "#882255",
}
OTHER = "#444444"  # colour of labels that are no samplers
FACES_DPI = 64  # of sheets of many faces: their JPEGs would else make a notebook too large
PANELS_DPI = 72  # of figures of many panels


def set_figure_format():
    """Let notebooks keep figures as `encode_figure` does: GitHub shows no notebook of many megabytes."""
    set_matplotlib_formats()  # drops IPython's own forms, which would be kept as well
    shell = InteractiveShell.instance()
    shell.display_formatter.mimebundle_formatter.for_type(Figure, encode_figure)


def encode_figure(figure):
    """MIME type → base64 of a figure: a PNG of few colours, or a JPEG where that is nearer to the original.

    Lines and dots keep their colours in a PNG and lose them in a JPEG; photographs need the JPEG.
    """
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


def show_faces(rows, title):
    """Sheet of images: `rows` maps a label to images (n, height, width, 3), float in [0, 1] or uint8."""
    columns = max(len(images) for images in rows.values())
    size = (IMAGE_INCHES * columns + 1.2, IMAGE_INCHES * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.set_frame_on(False)
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image)
    figure.suptitle(title)
    return figure


def dot_area(n):
    """Area of a dot, in square points, for n points in a small panel: their sum hardly depends on n."""
    return float(np.clip(6000 / n, 0.1, 8))


def show_sheet(rows, title):
    """Sheet of many faces, small enough for a notebook: `rows` as in `figures.show_faces`."""
    figure = show_faces(rows, title)
    figure.set_dpi(FACES_DPI)
    return figure
