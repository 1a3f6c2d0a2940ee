"""Drawing by formulas: planar float32 pictures, soft-edged shapes, gradients and palettes."""

from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 178, 218  # pixels, as in CelebA's aligned images
EYE_LINE_X, EYE_LINE_Y = 89, 111  # pixel between the eyes, where CelebA's alignment puts it
EXTRA = 4  # pixels added to each window, for what a rolled head turns out of it


class Scene(NamedTuple):
    """A picture, or a window into one, with the coordinates that shapes are described in.

    rgb: float32 (3, h, w), values 0 to 1, drawn on in place. u, v: float32 (h, w), pixels right of and
    below the point between the eyes, in axes that roll with the head. grain: fixed noise, float32 (h, w).
    roll: cosine and sine of the head's roll.
    """

    rgb: np.ndarray
    u: np.ndarray
    v: np.ndarray
    grain: np.ndarray
    roll: tuple


def soft_noise(seed):
    """Fixed grain for stubble and skin, float32 (218, 178): blotches of about 2 pixels, variance 1."""
    noise = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH))
    for axis in (0, 1):
        noise = noise + 0.4 * np.roll(noise, 1, axis)
    return (noise / noise.std()).astype(np.float32)


X = np.arange(WIDTH, dtype=np.float32)[None, :] - EYE_LINE_X  # pixels from the point between the eyes
Y = np.arange(HEIGHT, dtype=np.float32)[:, None] - EYE_LINE_Y
GRAIN = soft_noise(seed=5)


def open_scene(roll):
    """Scene, not yet painted, for a head that rolls by `roll` radians."""
    cos, sin = float(np.cos(roll)), float(np.sin(roll))
    rgb = np.empty((3, HEIGHT, WIDTH), np.float32)
    return Scene(rgb, X * cos + Y * sin, Y * cos - X * sin, GRAIN, (cos, sin))


def around(scene, u, v, half_width, half_height):
    """The part of a full scene around head point (u, v); its coordinates stay as they are."""
    cos, sin = scene.roll
    centre_x, centre_y = EYE_LINE_X + u * cos - v * sin, EYE_LINE_Y + u * sin + v * cos
    return cut(scene, slab(centre_y, half_height), slab(centre_x, half_width))


def window(scene, u, v, half_width, half_height):
    """The part of a full scene around head point (u, v), with u and v counted from that point."""
    rgb, part_u, part_v, *rest = around(scene, u, v, half_width, half_height)
    return Scene(rgb, part_u - u, part_v - v, *rest)


def cut(scene, rows, columns):
    """The part of a scene at two slices."""
    rgb, u, v, grain, roll = scene
    return Scene(rgb[:, rows, columns], u[rows, columns], v[rows, columns], grain[rows, columns], roll)


def slab(centre, half):
    """Slice of pixels around a centre that lies in the picture."""
    return slice(max(int(centre - half) - EXTRA, 0), int(centre + half) + EXTRA)


def paint(scene, coverage, colour):
    """Lay a colour, float32 (3,) or (3, h, w), over the scene where coverage (h, w) says, 0 to 1."""
    if colour.ndim == 1:
        colour = colour[:, None, None]
    layer = colour - scene.rgb
    layer *= coverage
    scene.rgb[...] += layer


def shade(scene, factor):
    """Multiply the scene's colours by a factor: (h, w), or (3, h, w) for each channel its own."""
    scene.rgb[...] *= factor


def clamp(value, low=-np.inf, high=np.inf):
    """Values kept within limits; np.maximum and np.minimum take thrice as long with a number."""
    return value.clip(low, high)


def wrap(value, period):
    """The remainder value % period, bit for bit, in a tenth of its time."""
    return value - period * np.floor(value / period)


def inside(distance, softness=1.0):
    """Coverage of a shape by the signed distance to its edge (pixels, negative inside)."""
    scaled = distance if softness == 1 else distance * (1 / softness)
    return clamp(0.5 - scaled, 0.0, 1.0)


def ramp(value, start, end):
    """Smooth step of an array from 0 at `start` to 1 at `end`; start may be the larger."""
    t = clamp((value - start) * (1 / (end - start)), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def grow(value, start, end):
    """Smooth step of one number, as a float, so that float32 arrays stay float32 beside it."""
    t = min(max((value - start) / (end - start), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def bump(a, b=None):
    """Gaussian hill exp(−½(a² + b²)) of coordinates in units of its width; without b a ridge."""
    exponent = a * a if b is None else a * a + b * b
    exponent *= -0.5
    return np.exp(exponent, out=exponent)


def ellipse(u, v, half_width, half_height):
    """Approximate signed distance (pixels) to an ellipse around the origin."""
    radius = np.sqrt((u / half_width) ** 2 + (v / half_height) ** 2)
    return (radius - 1.0) * min(half_width, half_height)


def mix(start, end, share):
    """Colour between two colours, (3,)."""
    return start + (end - start) * share


def toned(colour, tone):
    """A colour (3,) made lighter or darker from pixel to pixel: (3, h, w) from tone (h, w) or (3, h, w)."""
    return colour[:, None, None] * tone


def rgb255(*values):
    """Colour (3,), 0 to 1, from 0 to 255."""
    return np.array(values, np.float32) / np.float32(255)


def palette(*stops):
    """Function from a value to a colour (3,), interpolated between stops: (value, red, green, blue)."""
    values, *channels = np.array(stops, float).T.copy()
    return lambda value: rgb255(*(np.interp(value, values, channel) for channel in channels))
