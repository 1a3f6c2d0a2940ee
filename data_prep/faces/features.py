"""The features of a synthetic face: eyes, brows, nose, mouth, beard, lines of age, glasses."""

import numpy as np

from data_prep.faces.canvas import (
    around,
    bump,
    clamp,
    ellipse,
    inside,
    paint,
    ramp,
    rgb255,
    shade,
    toned,
    window,
    wrap,
)
from data_prep.faces.head import outline

EYE_WHITE = rgb255(240, 236, 230)
PUPIL = rgb255(14, 10, 10)
GLINT = rgb255(255, 255, 255)
TEETH = rgb255(246, 240, 230)
LENS = rgb255(58, 62, 74)
MOUTH_DARK = rgb255(70, 22, 22)


def draw_eyes(scene, f):
    """Both eyes: white, iris, pupil, catch-light, lids and lashes."""
    for side in (-1, 1):
        part = window(scene, side * f.eye_u, 0, 16, 13)
        u, v = part.u * side, part.v  # from here u points to the temple
        far = 1 - side * 0.012 * f.turn  # the eye that the head turns away looks narrower
        half = 10.2 * f.eye_scale * far
        arch = 1 - clamp((u / half) ** 2, high=1.6)
        upper = -f.lid_height * arch * (1 + 0.1 * u / half) - 0.06 * u
        lower = 0.52 * f.lid_height * arch * (1 - 0.35 * f.smiling) - 0.06 * u
        open_part = inside(upper - v) * inside(v - lower)
        white = toned(EYE_WHITE * (0.5 + 0.5 * f.exposure), 1 - 0.12 * bump((np.abs(u) - half) / 4))
        paint(part, open_part, white)
        draw_iris(part, f, open_part)
        shade(part, 1 - 0.4 * open_part * bump((v - upper) / 2.2))
        draw_lids(part, f, u, v - upper, v - lower, half)


def draw_iris(part, f, open_part):
    """Iris with dark rim, pupil and catch-light, seen through the opening of the lids."""
    u, v = part.u - 1.7 * f.gaze_x, part.v + 0.6 - 1.0 * f.gaze_y
    size = 5.3 * f.eye_scale
    radius = np.sqrt(u * u + v * v)
    depth = 0.55 + 0.45 * bump(u / size, (v - 2.5) / size) - 0.5 * ramp(radius, size - 1.8, size)
    paint(part, open_part * inside(radius - size), toned(f.iris, 0.35 + depth))
    paint(part, open_part * inside(radius - 0.42 * size), PUPIL)
    paint(part, 0.92 * open_part * inside(ellipse(u - 2.2 * f.light[0] - 0.4, v + 2.0, 1.35, 1.35)), GLINT)


def draw_lids(part, f, u, above, below, half):
    """Lash line, crease of the upper lid and the soft edge of the lower one."""
    width = inside((np.abs(u + 0.3) - half - 0.6) / 1.5)
    lash = bump(above / (0.75 + 0.35 * clamp(u / half, -1, 1) + 0.2 * f.made_up)) * width
    paint(part, 0.9 * lash, f.brow_colour * 0.35)
    crease = bump(above + 3.6) * bump(u / (0.75 * half))
    lower_edge = bump((below - 0.3) / 0.8) * bump((u - 1) / (0.7 * half))
    shade(part, 1 - 0.32 * crease - 0.3 * lower_edge)


def draw_brows(scene, f):
    """Both brows as tapered strokes of short hairs."""
    for side in (-1, 1):
        part = window(scene, side * (f.eye_u + 1), f.brow_v, 15, 11)
        t = part.u * side / 13  # −1 at the nose, 1 at the temple
        line = f.brow_slope * (0.35 - t) * 2.0 + 3.4 * t * t - 2.2 - 0.8 * t
        thick = f.brow_thick * (1.0 - 0.42 * t) * np.sqrt(clamp(1.05 - t * t, 0, 1))
        body = bump((part.v - line) / (thick + 0.2)) ** 1.5 * ramp(np.abs(t), 1.12, 0.8)
        paint(part, 0.92 * clamp(1.15 * body, high=1.0) * (0.94 + 0.05 * part.grain), f.brow_colour)


def draw_nose(scene, f):
    """Nostrils and the folds of the wings; the nose itself is relief."""
    part = window(scene, f.turn, f.nose_v, 16, 12)
    side, down = np.abs(part.u), part.v
    nostril = bump((side - 4.3 * f.nose_wide) / 1.8, (down - 4.6 - 0.12 * side) / 1.1)
    wing = bump((side - 9.2 * f.nose_wide) / 1.3, (down - 0.5) / 3.2)
    shade(part, 1 - np.array([0.5, 0.62, 0.62], np.float32)[:, None, None] * nostril - 0.2 * wing)


def draw_mouth(scene, f):
    """Lips in two tones, and between them, where they part, teeth and the dark of the mouth."""
    part = window(scene, f.turn * 0.45, f.mouth_v, 27, 19)
    u, v, half = part.u, part.v, f.mouth_half
    t2 = clamp((u / half) ** 2, high=1.3)
    arch = clamp(1 - t2, 1e-30)  # as good as 0, whose power is slow
    line = f.smile_lift * (0.45 - t2)
    bow = 1 - 0.3 * bump(u / (0.13 * half)) + 0.1 * bump((np.abs(u) - 0.25 * half) / (0.15 * half))
    gap_top, gap_low = line - 0.35 * f.mouth_gap * arch, line + 0.65 * f.mouth_gap * arch
    top = gap_top - f.lip_high * arch * bow
    low = gap_low + 1.35 * f.lip_high * arch**0.75
    lips = inside(top - v, 1.4) * inside(v - low, 1.4) * inside(np.abs(u) - half, 2)
    gleam = 0.2 * bump((v - gap_low - 0.5 * f.lip_high) / 1.6, u / (0.4 * half))
    paint(part, 0.93 * lips, toned(f.lip, (1.02 - 0.2 * inside(v - line) + gleam) * f.exposure))
    hollow = inside(gap_top - v) * inside(v - gap_low) * inside(np.abs(u) - half + 0.5, 2)
    draw_teeth(part, f, hollow, v - gap_top)
    seam = bump((v - 0.5 * (gap_top + gap_low)) / (0.8 + 0.3 * f.mouth_gap)) * inside(np.abs(u) - half, 3)
    shade(part, 1 - 0.5 * seam * f.closed)
    corner = bump((np.abs(u) - half) / 1.8, (v - f.smile_lift * -0.55) / 1.6)
    shade(part, 1 - 0.35 * corner)


def draw_teeth(part, f, hollow, depth):
    """Upper teeth in the open mouth, above its dark."""
    paint(part, hollow, MOUTH_DARK)
    row = inside(depth - 0.68 * f.mouth_gap, 1.6)
    gaps = 1 - 0.1 * bump(np.abs(wrap(np.abs(part.u), 5.0) - 2.5) - 2.5)
    lit = f.exposure * (0.97 - 0.25 * (part.u / f.mouth_half) ** 2) * gaps * ramp(depth, -0.8, 1.5)
    paint(part, hollow * row, toned(TEETH, lit))


def draw_beard(scene, f):
    """Stubble, full beard and moustache, each growing with its factor."""
    if f.bearded + f.moustached <= 0:
        return
    part = around(scene, f.shift_u, 42, 46, 32)
    u, v = part.u, part.v
    a, b = outline(f, part)
    edge = (np.sqrt(a * a + b * b) - 1) * f.head_half
    jaw_line = 30 - 11 * ramp(np.abs(a), 0.62, 0.98)
    area = ramp(v - jaw_line, -5, 9) * inside(edge - 1, 3)
    mouth = bump(u / (f.mouth_half + 1), (v - f.mouth_v) / 6.5)
    area = area * (1 - ramp(mouth, 0.3, 0.75))
    lip_v = f.mouth_v - 7.5 - f.lip_high
    strip = bump((v - lip_v - 0.012 * u * u) / 2.7) * inside(np.abs(u - 0.6 * f.turn) - f.mouth_half - 1, 5)
    full = np.maximum(area * f.bearded, strip * f.moustached)
    paint(part, clamp(full * (0.88 + 0.1 * part.grain), 0, 0.94), f.beard_colour * (0.75 + 0.25 * f.exposure))


def draw_age_lines(scene, f):
    """Folds from the nose to the mouth, bags under the eyes, lines on the forehead."""
    part = around(scene, 0, 2, 40, 46)
    side, v = np.abs(part.u), part.v
    fold_u = 10 + 0.42 * (v - f.nose_v) + 1.5 * f.smiling
    lines = f.folds * bump((side - fold_u) / 1.6) * bump((v - f.nose_v - 9) / 8)
    lines += 0.8 * f.lined * bump((v - 9.5 + 0.022 * (side - f.eye_u) ** 2) / 1.4, (side - f.eye_u) / 7)
    forehead = bump(np.sin(0.55 * (v + 0.004 * side * side)) / 0.25) * bump(side / 17, (v + 29) / 6)
    feet = bump((v - 1 + 0.9 * wrap(side - f.eye_u - 12, 3)) / 2.5, (side - f.eye_u - 14) / 3)
    lines += f.lined * (0.5 * forehead + 0.3 * feet)
    shade(part, 1 - np.array([0.26, 0.34, 0.36], np.float32)[:, None, None] * lines)


def draw_glasses(scene, f):
    """Frames that begin as a hair-thin wire, and lenses that darken for the strongest."""
    if f.rim <= 0:
        return
    part = around(scene, f.shift_u / 2, 1, 50, 15)
    u, v = part.u, part.v
    side = np.abs(u)
    lens = ((side - f.eye_u - 0.3) / 15.5) ** 4 + ((v - 2) / 11.5) ** 4
    distance = (np.sqrt(np.sqrt(lens)) - 1) * 12.5
    beyond = np.maximum(f.eye_u + 15.5 - side, np.abs(u - f.shift_u) - f.head_half)
    temple = np.maximum(np.abs(v + 1.5) - 0.5 * f.rim, beyond)
    bridge = np.maximum(np.abs(v + 1.5 - 0.03 * u * u) - 0.45 * f.rim, side - f.eye_u + 14.5)
    frame = np.minimum(np.minimum(np.abs(distance) - 0.5 * f.rim, temple), bridge)
    gleam = 0.16 * bump(wrap(u - v * 0.6, 40) / 6 - 2)
    paint(part, inside(distance) * (f.tint + gleam * f.worn), toned(LENS, 1 + 2 * gleam))
    shade(part, 1 - 0.18 * inside(frame - 1.5, 3) * f.worn)
    paint(part, inside(frame), f.frame_colour)
