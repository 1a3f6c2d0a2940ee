"""The explorer's picture: a plane of the cloud, the same of its surrogate, the image of a picked point."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import contourpy
import numpy as np
import simplejpeg
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text

from helpers.ellipses import confidence_ellipse, ellipse_outline
from helpers.explorer import space
from helpers.explorer import space as space_module
from helpers.figures.style import COLOURS, HIGHLIGHT, JPEG_QUALITY, show_faces

PICTURE = {"figsize": (10.4, 4.5), "dpi": 96}  # of the figure: inches, pixels per inch
EDGES = {"left": 0.07, "right": 0.98, "bottom": 0.2, "top": 0.87, "wspace": 0.08}  # shares of the figure
VIEW_STDS = 4  # standard deviations of the wider axis from the mean to the edge of a panel
TICKS = 5  # intervals at most along an axis: the labels take most of the time that drawing takes
SHEET_ROWS, SHEET_COLUMNS = 2, 8  # faces that a sampler draws
FITTED_POINTS = 20_000  # at most, of those left, that a sampler is fitted to: more take longer than one waits
NAMES = {"original": "component", "PCA": "PC"}


class Panel(NamedTuple):
    """The axes of one plane, and the parts of it that change from picture to picture."""

    axis: Axes
    title: Text
    dropped: Line2D
    shown: Line2D
    contours: LineCollection
    ellipse: Line2D


class Picture(NamedTuple):
    """A figure, the panels of cloud and surrogate, and the parts that show the picked point."""

    figure: Figure
    panels: tuple
    picked: Line2D
    face: AxesImage
    face_title: Text


def make_picture(figure, label, count):
    """Put panels without content into an empty figure; `label`, a key of COLOURS, names the cloud.

    `count` is the number of its points before trimming. The parts that change are 'animated': matplotlib
    leaves them to `make_painter`, except when it saves the figure.
    """
    grid = figure.add_gridspec(1, 3, **EDGES)
    first = figure.add_subplot(grid[0])
    second = figure.add_subplot(grid[1], sharex=first, sharey=first)
    second.tick_params(labelleft=False)
    panels = tuple(_make_panel(axis, name, count) for axis, name in ((first, label), (second, "surrogate")))
    (picked,) = first.plot(
        [], [], "X", color=HIGHLIGHT, mec="white", ms=9, label="picked point", animated=True
    )
    axis = figure.add_subplot(grid[2])
    axis.set_axis_off()
    face = axis.imshow(np.zeros((1, 1, 3), np.uint8), extent=(0, 1, 0, 1), animated=True)
    figure.legend(handles=[*panels[0][2:], picked], loc="lower left", ncols=5, fontsize=9, markerscale=2)
    return Picture(figure, panels, picked, face, _make_title(axis, "the decoder's image of the picked point"))


def _make_panel(axis, name, count):
    colour = COLOURS[name]
    (dropped,) = axis.plot([], [], ".", color="lightgrey", ms=2, label="trimmed", animated=True)
    (shown,) = axis.plot([], [], ".", color=colour, ms=2, alpha=0.4, label="z-points", animated=True)
    contours = LineCollection([], colors=colour, lw=2, label="density, 1, 2 and 3 sigma", animated=True)
    axis.add_collection(contours, autolim=False)
    (ellipse,) = axis.plot([], [], "--", color=HIGHLIGHT, lw=1.3, label="confidence ellipse", animated=True)
    axis.set_aspect("equal")
    axis.xaxis.set_label_coords(0.5, -0.09)  # finding room for them would take a third of the drawing time
    axis.yaxis.set_label_coords(-0.14, 0.5)
    axis.locator_params(nbins=TICKS)
    axis.grid(alpha=0.3)
    title = _make_title(axis, f"{name}: {count:,} z-points")
    return Panel(axis, title, dropped, shown, contours, ellipse)


def _make_title(axis, first_line):
    """Write the first line of a panel's title; return the second, which changes and is still empty."""
    axis.get_figure().text(0.5, 1.09, first_line, transform=axis.transAxes, ha="center", fontsize=10)
    return axis.text(0.5, 1.02, "", transform=axis.transAxes, ha="center", fontsize=10, animated=True)


def draw_section(panel, section, n_std):
    """Show a cloud's `planes.Section` and its ellipse of `n_std` sigma in a panel."""
    panel.dropped.set_data(*section.dropped)
    panel.shown.set_data(*section.shown)
    lines = contourpy.contour_generator(section.x, section.y, section.density).lines
    panel.contours.set_segments([line for level in section.levels for line in lines(level)])
    ellipse = confidence_ellipse(section.mean, section.covariance, n_std)
    panel.ellipse.set_data(*ellipse_outline(ellipse).T)
    share = space.share_within(section, n_std)
    panel.title.set_text(f"{len(section.distances):,} left, {share:.1%} in {n_std:g} sigma")


def draw_frame(picture, space, settings):
    """Name the axes of both planes and let all of them reach equally far."""
    centre, spread = space_module.centre_and_spread(space, settings.coordinates)
    numbers, name = [settings.first, settings.second], NAMES[settings.coordinates]
    reach = VIEW_STDS * spread[numbers].max()
    (left, bottom), (right, top) = centre[numbers] - reach, centre[numbers] + reach
    picture.panels[0].axis.set(xlim=(left, right), ylim=(bottom, top))
    picture.panels[0].axis.set_ylabel(f"{name} {settings.second} (no unit)")
    for panel in picture.panels:
        panel.axis.set_xlabel(f"{name} {settings.first} (no unit)")


def draw_pick(picture, space, settings, face):
    """Mark the picked point and show its decoded image (height, width, 3), uint8."""
    picture.picked.set_data(*space_module.place_in_plane(space, settings)[:, None])
    picture.face.set_data(face)
    distance = space_module.picked_distance(space, settings)
    picture.face_title.set_text(f"Mahalanobis distance {distance:.1f} (median: {space.median_distance:.1f})")


def make_renderer(space, decoder, figure, label):
    """Function that draws `planes.Settings` into an empty figure, and again whenever it is called.

    `decoder` maps z (n, d), float32, to images (n, height, width, 3) in [0, 1]. Densities and the decoded
    image are computed anew only if they change. The function returns the `Picture`, and raises InputError
    before it draws anything.
    """
    picture, any_settings = make_picture(figure, label, len(space.data.deviations)), space_module.Settings()

    @lru_cache(maxsize=1)
    def sections(plane):
        with ThreadPoolExecutor(2) as pool:  # NumPy lets two threads count and smooth at the same time
            return list(pool.map(space_module.cut_cloud, (space.data, space.surrogate), (plane, plane)))

    @lru_cache(maxsize=1)
    def face(point):
        image = decode(decoder, space_module.point_of_plane(space, point)[None])[0]
        return (255 * image + 0.5).astype(np.uint8)  # is drawn twice as fast as floats

    def render(settings):
        space_module.require_plane(space, settings)
        found = sections(settings._replace(n_std=any_settings.n_std, pick_first=0.0, pick_second=0.0))
        draw_frame(picture, space, settings)
        for panel, section in zip(picture.panels, found, strict=True):
            draw_section(panel, section, settings.n_std)
        draw_pick(picture, space, settings, face(settings._replace(n_std=any_settings.n_std, fact=np.inf)))
        return picture

    return render


def make_painter(space, decoder, label):
    """Function of `planes.Settings` that returns the bytes of a JPEG; otherwise as `make_renderer`.

    The frame, which takes longest to draw, is kept for as long as the axes stay the same, and the legend,
    which comes next, for good.
    """
    figure = Figure(**PICTURE)
    canvas = FigureCanvasAgg(figure)
    render = make_renderer(space, decoder, figure, label)
    for axes in figure.axes:
        axes.set_visible(False)
    canvas.draw()
    legend = canvas.copy_from_bbox(figure.bbox)
    for axes in figure.axes:
        axes.set_visible(True)

    @lru_cache(maxsize=1)
    def frame(coordinates, first, second):
        canvas.restore_region(legend)
        for axes in figure.axes:
            axes.draw(canvas.get_renderer())
        return canvas.copy_from_bbox(figure.bbox)

    def paint(settings):
        picture = render(settings)
        canvas.restore_region(frame(settings.coordinates, settings.first, settings.second))
        for artist in (*picture.panels[0][1:], *picture.panels[1][1:], *picture[2:]):
            figure.draw_artist(artist)
        return encode_pixels(canvas)

    return paint


def decode(decoder, z):
    """Images (n, height, width, 3), floats in [0, 1], of z (n, d), as an array of NumPy."""
    return np.asarray(decoder(np.asarray(z, dtype=np.float32)))


def draw_sheet(space, decoder, fact, name, sampler, seed):
    """Figure of faces that a sampler draws after fitting to the z-points that `fact` leaves.

    `sampler` is called with (z_points, n, rng). Beyond FITTED_POINTS it gets a random part of them.
    """
    rng = np.random.default_rng(seed)
    left = space_module.count_left(space.data, fact)
    rows = np.sort(rng.permutation(left)[:FITTED_POINTS])
    z = sampler(space.data.coordinates["original"][:, rows].T, SHEET_ROWS * SHEET_COLUMNS, rng)
    lines = np.split(decode(decoder, z), SHEET_ROWS)
    title = f"Faces of the sampler '{name}', fitted to {len(rows):,} of the {left:,} z-points left"
    return show_faces({f"row {number}": line for number, line in enumerate(lines, start=1)}, title)


def encode_pixels(canvas):
    """What is drawn on a canvas of Agg, as the bytes of a JPEG."""
    pixels = np.asarray(canvas.buffer_rgba())
    return simplejpeg.encode_jpeg(pixels, JPEG_QUALITY, colorspace="RGBA", colorsubsampling="444")


def figure_to_jpeg(figure):
    """A whole figure of matplotlib as the bytes of a JPEG."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return encode_pixels(canvas)
