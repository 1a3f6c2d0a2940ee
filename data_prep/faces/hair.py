"""Hair and hat of a synthetic face."""

from typing import NamedTuple

import numpy as np

from data_prep.faces.canvas import Scene, bump, clamp, cut, inside, paint, ramp, shade, slab, toned
from data_prep.faces.head import light_on

HAIR_REACH = 72  # pixels from the middle of the picture that hair and hat can reach sideways


class Hair(NamedTuple):
    """Hair as a smooth cap around the skull that falls down at the sides; arrays float32 (h, w).

    part: the window of the scene that holds it. s: −1 to 1 across, equal along a strand that falls from
    the crown. cosine: of the angle between its surface and the light. edge: signed distance (pixels) to
    the outline. gap: signed distance to the opening through which the face looks out. cover: where there
    is hair, 0 to 1, were there no opening. colour: float32 (3, h, w).
    """

    part: Scene
    s: np.ndarray
    cosine: np.ndarray
    edge: np.ndarray
    gap: np.ndarray
    cover: np.ndarray
    colour: np.ndarray


def grow_hair(scene, f):
    """The hair of a face: its shape and its colour under the light."""
    part = cut(scene, *bound_hair(scene.roll, f))
    s, q, edge = wrap_cap(part, f)
    gap = open_face(part, f)
    cover = inside(edge, 2) * end_hair(part, f, s)
    nx = clamp(s, -0.97, 0.97) * np.sqrt(clamp(1 - q * q, 0.02))
    cosine = light_on(f, nx, q, np.sqrt(clamp(1 - nx * nx - q * q, 0.02)))
    return Hair(part, s, cosine, edge, gap, cover, light_hair(f, s, q, edge, gap, part.v, cosine))


def bound_hair(roll, f):
    """Rows and columns, as slices, outside of which there is neither hair nor hat."""
    top = f.cap_middle - f.cap_height - 2 * f.hatted
    low = max(f.hair_end + f.end_soft + 5 * f.loose, f.brim_v + 14)
    half = f.cap_half + 2 * f.hatted + f.wave + abs(f.shift_u) + max(-f.taper, 0) * (low - f.cap_middle)
    sin = abs(roll[1])
    rows = slab(111 + (top + low) / 2, (low - top) / 2 + half * sin)
    return rows, slab(89, min(half + max(low, -top) * sin, HAIR_REACH))


def wrap_cap(part, f):
    """Coordinates s and q of the cap, and the distance to its outline."""
    u = part.u - f.shift_u + f.wave * np.sin(0.17 * part.v + 0.8) * ramp(part.v, -50, 10)
    q = clamp(part.v - f.cap_middle, high=0.0) / f.cap_height
    half = f.cap_half - f.taper * clamp(part.v - f.cap_middle, 0.0)
    edge = (np.sqrt((u / half) ** 2 + q * q) - 1) * f.cap_half
    return u / (half * np.sqrt(clamp(1 - q * q, 0.03))), q, edge


def open_face(part, f):
    """Distance to the opening: an arch whose apex leans to the parting, flat under a fringe."""
    up = clamp(f.temple_v - part.v, 0.0) / (f.temple_v - f.hairline_v)
    u = part.u - 0.7 * f.shift_u - f.part_u * clamp(up, high=1.2)
    top = up * up
    top = top + f.flat * (top * top - top)
    across = u / (f.open_half + f.sides * clamp(part.v - f.temple_v, 0.0))
    return (np.sqrt(across * across + top) - 1) * f.open_half * 0.8


def light_hair(f, s, q, edge, gap, v, cosine):
    """Colour of hair: strands, the form of the cap under the light, and a band of gloss.

    Strands fall straight from the crown over a fringe; else they sweep along the opening.
    """
    outside = clamp(gap, 0.0)
    sweep = outside / (outside + clamp(-edge, 0.0) + 1.0)
    flow = f.flat * s + (1 - f.flat) * (0.9 * sweep + 0.25 * s) + 0.02 * f.wave * np.sin(0.13 * v)
    strands = np.sin(23 * flow + 1.1 * q) + 0.8 * np.sin(41 * flow - 1.5 * q + 1) + 0.6 * np.sin(67 * flow)
    lit = clamp(cosine + 0.25, 0.0) / 1.25
    gloss = bump((q + 0.55 - 0.25 * f.light[1] + 0.05 * strands) / 0.16) * lit
    tone = (f.ambient + f.diffuse * lit) * (1 + 0.085 * strands)
    return toned(f.hair, tone) + toned(0.055 + 0.14 * f.hair, gloss)


def end_hair(part, f, s):
    """Coverage that ends the hair, raggedly, at its length."""
    ragged = 3 * np.sin(9 * s + 1) + 2 * np.sin(23 * s)
    return ramp(f.hair_end + ragged * f.loose - part.v, -f.end_soft, f.end_soft)


def draw_back_hair(hair):
    """Hair behind neck and shoulders, in the shadow of the head."""
    paint(hair.part, hair.cover, 0.7 * hair.colour)


def draw_front_hair(hair, f):
    """Hair around the face, with its shadow on the skin."""
    tips = (np.sin(31 * hair.s) + np.sin(53 * hair.s + 2)) * (0.2 + f.flat)
    shade(hair.part, 1 - 0.3 * ramp(hair.gap, -11, 1) * inside(hair.gap, 2) * hair.cover)
    paint(hair.part, hair.cover * inside(-hair.gap - tips, 4), hair.colour)


def draw_hat(hair, f):
    """A knitted cap that grows from the crown down to the forehead."""
    if f.hatted <= 0:
        return
    part, s, v = hair.part, hair.s, hair.part.v
    brim = f.brim_v + 5 * clamp(s, -1.2, 1.2) ** 2
    edge = np.maximum(hair.edge - 3 * f.hatted, v - brim)
    lit = clamp(hair.cosine, 0.0)
    ribs = 0.06 * np.sin(38 * np.arcsin(clamp(s, -1, 1)))
    fold = 0.16 * ramp(v - brim, -15, -13) - 0.22 * bump((v - brim + 15.5) / 1.6)
    shade(part, 1 - 0.35 * inside(edge - 3, 7) * inside(hair.edge))
    paint(part, inside(edge), toned(f.hat_colour, (f.ambient + f.diffuse * lit + ribs) * (1 + fold)))
