"""The explorer's picture: a plane of the cloud, the same of its surrogate, the image of a picked point."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import contourpy
import numpy as np
import simplejpeg
from matplotlib.artist import Artist, setp
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from helpers.ellipses import confidence_ellipse, ellipse_outline
from helpers.explorer.space import (
    Settings,
    centre_and_spread,
    count_left,
    cut_cloud,
    nearest_points,
    picked_distance,
    place_in_plane,
    point_of_plane,
    require_plane,
    share_within,
)
from helpers.figures.style import COLOURS, HIGHLIGHT, JPEG_QUALITY, colour_of, show_faces
from helpers.files import InputError

PICTURE = {"figsize": (10.4, 4.5), "dpi": 96}  # of the figure: inches, pixels per inch
EDGES = {"left": 0.07, "right": 0.98, "bottom": 0.2, "top": 0.87, "wspace": 0.08}  # shares of the figure
VIEW_STDS = 4  # standard deviations of the wider axis from the mean to the edge of a panel
TICKS = 5  # intervals at most along an axis: the labels take most of the time that drawing takes
NEIGHBOURS = 3  # real images beside that of the picked point; no cloud of FEWEST_POINTS has fewer
SHEET_ROWS, SHEET_COLUMNS = 2, 8  # faces that a sampler draws
FITTED_POINTS = 20_000  # at most, of those left, that a sampler is fitted to: more take longer than one waits
NAMES = {"original": "component", "PCA": "PC"}


def make_picture(figure, label, count, neighbours=0):
    """Put three axes without content into an empty figure: a cloud called `label`, its surrogate, images.

    `count`: of its points before trimming; `neighbours`: of images beside the picked point's. What changes,
    all that axes hold, is 'animated': matplotlib leaves it to `make_painter`, but when it saves the figure.
    """
    first, second, third = figure.subplots(1, 3, gridspec_kw=EDGES)
    second.sharex(first)
    second.sharey(first)
    second.tick_params(labelleft=False)
    for axis, name in ((first, label), (second, "surrogate")):
        _fill_panel(axis, name, count)
    _add_line(first, "X", HIGHLIGHT, "picked point", mec="white", ms=9)
    third.set_axis_off()
    tops = np.linspace(1, 0, neighbours, endpoint=False)
    extents = [(0, 1, 0, 1), *((1.02, 1 + tops[-1], top - tops[-1] + 0.02, top) for top in tops)]
    for extent in extents:
        third.imshow(np.zeros((1, 1, 3), np.uint8), extent=extent, animated=True)
    third.set(xlim=(0, extents[-1][1]), ylim=(0, 1))
    _add_title(third, "the decoder's image of the picked point")
    third.text(0.5, -0.05, "", transform=third.transAxes, ha="center", va="top", animated=True)
    handles = [*first.lines[:2], *first.collections, *first.lines[2:]]
    figure.legend(handles=handles, loc="lower left", ncols=5, fontsize=9, markerscale=2)


def _fill_panel(axis, name, count):
    colour = colour_of(name)
    _add_line(axis, ".", COLOURS["the rest"], "trimmed", ms=2)
    _add_line(axis, ".", colour, "z-points", ms=2, alpha=0.4)
    contours = LineCollection([], colors=colour, lw=2, label="density, 1, 2 and 3 sigma", animated=True)
    axis.add_collection(contours, autolim=False)
    _add_line(axis, "--", HIGHLIGHT, "confidence ellipse", lw=1.3)
    _add_title(axis, f"{name}: {count:,} z-points")
    axis.set_aspect("equal")
    axis.xaxis.set_label_coords(0.5, -0.09)  # finding room for them would take a third of the drawing time
    axis.yaxis.set_label_coords(-0.14, 0.5)
    axis.locator_params(nbins=TICKS)
    axis.grid(alpha=0.3)


def _add_line(axis, style, colour, label, **options):
    axis.plot([], [], style, color=colour, label=label, animated=True, **options)


def _add_title(axis, first_line):
    """The first line of a panel's title, and below it the second, which changes and is still empty."""
    axis.get_figure().text(0.5, 1.09, first_line, transform=axis.transAxes, ha="center", fontsize=10)
    axis.text(0.5, 1.02, "", transform=axis.transAxes, ha="center", fontsize=10, animated=True)


def draw_section(axis, section, n_std):
    """Show a cloud's `space.Section` and its ellipse of `n_std` sigma in a panel."""
    dropped, shown, outline = axis.lines[:3]
    dropped.set_data(*section.dropped)
    shown.set_data(*section.shown)
    plane, normal = section.plane, section.normal
    lines = contourpy.contour_generator(plane.x, plane.y, plane.density).lines
    axis.collections[0].set_segments([line for level in plane.levels for line in lines(level)])
    ellipse = confidence_ellipse(normal.mean, normal.axes.T @ normal.axes, n_std)
    outline.set_data(*ellipse_outline(ellipse).T)
    share = share_within(section, n_std)
    axis.texts[0].set_text(f"{len(section.distances):,} left, {share:.1%} in {n_std:g} sigma")


def draw_frame(panels, space, settings):
    """Name the axes of both planes and let all of them reach equally far."""
    centre, spread = centre_and_spread(space, settings.coordinates)
    numbers, name = [settings.first, settings.second], NAMES[settings.coordinates]
    reach = VIEW_STDS * spread[numbers].max()
    (left, bottom), (right, top) = centre[numbers] - reach, centre[numbers] + reach
    panels[0].set(xlim=(left, right), ylim=(bottom, top), ylabel=f"{name} {settings.second} (no unit)")
    for axis in panels:
        axis.set_xlabel(f"{name} {settings.first} (no unit)")


def take_images(source, wanted):
    """Images (n, height, width, 3), uint8, that `source` has for what is `wanted`: n z-vectors or n rows.

    A function (a decoder) or an array of images, uint8 or float in [0, 1]. Raises InputError for others.
    """
    try:
        images = np.asarray(source(wanted) if callable(source) else source[wanted])
    except Exception as error:  # a network says in its own way that z has another size
        raise InputError(f"No images can be had for {np.shape(wanted)}: {error}") from error
    if images.ndim != 4 or images.shape[::3] != (len(wanted), 3):
        raise InputError(
            f"Images come as an array ({len(wanted)}, height, width, 3), this one has the shape "
            f"{images.shape}; give a decoder, or images, in colour."
        )
    return images if images.dtype == np.uint8 else (255 * images.clip(0, 1) + 0.5).astype(np.uint8)


def make_renderer(space, decoder, figure, label, images=None):
    """Function that draws `Settings` into an empty figure, and again whenever it is called.

    `decoder` maps z (n, d), float32, to images (n, height, width, 3) in [0, 1]; `images`: those of rows of z.
    Densities and images are computed anew only if they change. InputError comes before anything is drawn.
    """
    make_picture(figure, label, len(space.data.deviations), 0 if images is None else NEIGHBOURS)
    *panels, faces = figure.axes
    title, distances = faces.texts

    @lru_cache(maxsize=1)
    def cut_clouds(plane):
        with ThreadPoolExecutor(2) as pool:  # NumPy lets two threads count and smooth at the same time
            return list(pool.map(cut_cloud, (space.data, space.surrogate), (plane, plane)))

    @lru_cache(maxsize=1)
    def find_faces(point):  # bytes are drawn twice as fast as floats
        decoded = take_images(decoder, point_of_plane(space, point)[None])
        if images is None:
            return decoded, ""
        rows, far = nearest_points(space, point, NEIGHBOURS)
        listed = "and the nearest real ones,\n{:.1f}, {:.1f} and {:.1f} away (Euclidean)".format(*far)
        return [*decoded, *take_images(images, rows)], listed

    def render(settings):
        require_plane(space, settings)
        sections = cut_clouds(Settings(*settings[:4]))
        shown, listed = find_faces(settings._replace(fact=np.inf, n_std=0.0))
        draw_frame(panels, space, settings)
        for axis, section in zip(panels, sections, strict=True):
            draw_section(axis, section, settings.n_std)
        panels[0].lines[3].set_data(*place_in_plane(space, settings)[:, None])
        for artist, image in zip(faces.images, shown, strict=True):
            artist.set_data(image)
        distances.set_text(listed)
        distance, median = picked_distance(space, settings), space.median_distance
        title.set_text(f"Mahalanobis distance {distance:.1f} (median: {median:.1f})")

    return render


def make_painter(space, decoder, label, images=None):
    """Function of `Settings` that returns the bytes of a JPEG; otherwise as `make_renderer`.

    The frame, which takes longest to draw, is kept while the axes stay the same, and the legend for good.
    """
    figure = Figure(**PICTURE)
    canvas = FigureCanvasAgg(figure)
    render = make_renderer(space, decoder, figure, label, images)
    animated = figure.findobj(Artist.get_animated)
    setp(figure.axes, visible=False)
    canvas.draw()
    legend = canvas.copy_from_bbox(figure.bbox)
    setp(figure.axes, visible=True)

    @lru_cache(maxsize=1)
    def draw_axes(coordinates, first, second):
        canvas.restore_region(legend)
        for axis in figure.axes:
            figure.draw_artist(axis)
        return canvas.copy_from_bbox(figure.bbox)

    def paint(settings):
        render(settings)
        canvas.restore_region(draw_axes(*settings[:3]))
        for artist in animated:
            figure.draw_artist(artist)
        pixels = np.asarray(canvas.buffer_rgba())
        return simplejpeg.encode_jpeg(pixels, JPEG_QUALITY, colorspace="RGBA", colorsubsampling="444")

    return paint


def draw_sheet(space, decoder, fact, name, sampler, seed):
    """Figure of faces that a sampler draws after fitting to the z-points that `fact` leaves.

    `sampler` is called with (z_points, n, rng). Beyond FITTED_POINTS it gets a random part of them.
    """
    rng = np.random.default_rng(seed)
    left = count_left(space.data, fact)
    rows = np.sort(rng.permutation(left)[:FITTED_POINTS])
    z = sampler(space.data.coordinates["original"][:, rows].T, SHEET_ROWS * SHEET_COLUMNS, rng)
    lines = np.split(take_images(decoder, z), SHEET_ROWS)
    title = f"Faces of the sampler '{name}', fitted to {len(rows):,} of the {left:,} z-points left"
    return show_faces({f"row {number}": line for number, line in enumerate(lines, start=1)}, title)
