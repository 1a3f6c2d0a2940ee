"""The large shapes of a synthetic face: background, clothes, neck, and the lit skin of the head."""

import numpy as np

from data_prep.faces.canvas import (
    X,
    Y,
    around,
    bump,
    clamp,
    cut,
    ellipse,
    inside,
    paint,
    palette,
    ramp,
    rgb255,
    shade,
    toned,
    window,
)

# How far light wraps around the skin, by channel: red scatters farthest under it.
SKIN_WRAP = np.array([0.5, 0.36, 0.3], np.float32)[:, None, None]
WALLS = palette(
    *((-3, 146, 84, 66), (-1.8, 176, 134, 92), (-0.8, 158, 150, 120), (0, 134, 146, 138)),
    *((0.8, 104, 140, 158), (1.8, 92, 112, 166), (3, 128, 96, 156)),
)
PEARL = rgb255(236, 214, 150)


def light_wall():
    """Brightness of the wall, float32 (218, 178): three soft lights, and darker corners."""
    x, y = X / 89, Y / 109
    light = 1 - 0.16 * (x * x + 0.6 * y * y)
    for centre_x, centre_y, width in ((-0.75, -0.55, 0.2), (0.6, -0.8, 0.28), (0.85, 0.1, 0.16)):
        light += 0.14 * bump((x - centre_x) / width, (y - centre_y) / width)
    return light


WALL_LIGHT = light_wall()


def draw_background(scene, f):
    """A wall lit from one side, with soft blurred lights in it."""
    colour = WALLS(f.background_hue) * (1 + 0.25 * f.background_lightness)
    slope_x = 0.08 * f.background_gradient + 0.05 * f.light_side
    light = WALL_LIGHT + X * (slope_x / 89) - Y * (0.16 * f.background_gradient / 109)
    np.multiply(colour[:, None, None], light, out=scene.rgb)


def light_on(f, nx, ny, nz):
    """Cosine between the surface normal and the direction to the light."""
    lx, ly, lz = f.light
    return nx * lx + ny * ly + nz * lz


def light_skin(f, cosine):
    """Skin colour under the light, (3, h, w)."""
    lit = clamp(cosine + SKIN_WRAP, 0.0) / (1.0 + SKIN_WRAP)
    return toned(f.skin, f.ambient + f.diffuse * lit)


def draw_neck(scene, f):
    """The neck as a lit column, dark under the chin, with a fine chain where there is much jewellery."""
    part = window(scene, f.shift_u * 0.5, 80, f.neck_half + 12, 48)
    side, v = np.abs(part.u), part.v
    half = f.neck_half + 0.007 * clamp(v + 8, 0.0) ** 2
    nx = clamp(part.u / half, -0.98, 0.98)
    nz = np.sqrt(1 - nx * nx)
    colour = light_skin(f, light_on(f, nx, 0.1, nz))
    chin_shadow = bump((v - (f.chin - 84)) / 13, (part.u + 8 * f.light[0]) / 34)
    tendon = 0.05 * bump((side - 8 + 0.1 * v) / 2.5)
    colour *= 0.94 - 0.5 * chin_shadow - tendon
    column = inside(side - half)
    paint(part, column, colour)
    if f.chained:
        paint(part, inside(np.abs(v - 2 - 10 * nz) - 0.7) * column * f.chained, PEARL * f.exposure)


def draw_clothes(scene, f):
    """Shoulders under a garment with collar; a closed collar gets a tie."""
    rows = slice(int(169 - 3 * f.shoulders), None)
    part = cut(scene, rows, slice(None))
    x, y = X - 0.4 * f.shift_u, Y[rows]
    out = np.abs(x)
    shoulder = 68 - 3 * f.shoulders - 9 * bump(out / 28) + 0.003 * clamp(out - 24, 0.0) ** 2
    neckline = 96 - 11 * f.collar - (0.85 - 0.2 * f.collar) * out
    colour = light_cloth(f, x, y - shoulder)
    paint(part, inside(np.maximum(shoulder, neckline) - y), colour)
    draw_collar(part, f, x, y - neckline, inside(shoulder - y))


def light_cloth(f, x, depth):
    """Cloth colour with folds that run down from the shoulders."""
    nx = clamp(x / 110, -1, 1)
    folds = 0.05 * np.sin(0.16 * x + 0.03 * depth) * np.sin(0.05 * x - 0.09 * depth)
    lit = clamp(light_on(f, nx, -0.35, 0.8), 0.0)
    return toned(f.cloth, f.ambient + f.diffuse * lit + folds + 0.1 * bump(depth / 7))


def draw_collar(part, f, x, below, garment):
    """Two lapels along the neckline; the tie comes with a closed collar."""
    lapel = inside(np.abs(below - 5) - 5) * garment
    paint(part, 0.85 * lapel, f.cloth * 1.3 + 0.04)
    shade(part, 1 - 0.25 * bump((below - 11) / 1.5) * garment)
    if f.tied:
        tie = inside(np.abs(x) - (4 + 0.1 * clamp(below, 0.0))) * inside(-below) * f.tied
        paint(part, tie, f.hat_colour * 0.8)


def draw_ears(scene, f):
    """Both ears."""
    for side in (-1, 1):
        part = window(scene, f.shift_u + side * (f.head_half + 0.5), 8 + f.shift_v, 6, 12)
        u, v = part.u + side * 0.12 * part.v, part.v
        hollow = 0.93 - 0.28 * bump((u + side * 0.5) / 2.2, (v + 1) / 6)
        skin = light_skin(f, light_on(f, side * 0.35, 0.0, 0.8))
        paint(part, inside(ellipse(u, v, 5.6, 12)), skin * hollow)


def draw_earrings(scene, f):
    """Pearls that grow from nothing with the jewellery; they hang in front of the hair."""
    if f.pearl <= 0:
        return
    for side in (-1, 1):
        part = window(scene, f.shift_u + side * (f.head_half - 1), 22 + f.shift_v, 6, 8)
        gleam = 0.75 + 0.45 * bump((part.u + 1) / 1.3, (part.v + 1.2) / 1.3)
        pearl = ellipse(part.u, part.v, 0.9 * f.pearl, 1.1 * f.pearl)
        paint(part, inside(pearl) * min(f.pearl, 1.0), toned(PEARL, gleam * f.exposure))


def outline(f, part):
    """Coordinates (a, b) of the head: a² + b² is 1 on its outline; b < 0 above its middle."""
    below = part.v - f.middle
    low, high = clamp(below, 0.0) / (f.chin - f.middle), clamp(below, high=0.0) / (f.middle - f.crown)
    half = f.head_half * (1 + f.jaw * low * low + f.cheek_half * bump((low - 0.45) / 0.22))
    return (part.u - f.shift_u) / half, low + high


def relieve(f, u, v):
    """Height (pixels) of what stands out of the smooth head: brows, nose, cheeks, lips, chin, sockets."""
    down, side = v - f.nose_v, np.abs(u)
    ridge = ramp(v, -16, f.nose_v + 4)
    nose_u = u - f.turn * ridge
    height = 9.5 * ridge * bump(nose_u / (3.0 + 1.8 * ridge)) * ramp(down, 7, -3)
    height += 4.2 * bump(nose_u / (4.4 * f.nose_wide), down / 4)
    height += 2.2 * bump((np.abs(nose_u) - 6.8 * f.nose_wide) / 2.6, (down - 1) / 3.2)
    height += 2.4 * bump((side - 17) / 10, (v + 14) / 5)
    height -= 3.4 * bump((side - f.eye_u) / 9.5, (v - 1) / 6.5)
    height += (2.8 + 0.9 * f.cheeks + 1.3 * f.smiling) * bump((side - 25) / 9, (v - 24 + 2 * f.smiling) / 9)
    height += 2.0 * bump(u / 15, (v - f.mouth_v) / 9) - 1.3 * bump(u / 11, (v - f.mouth_v - 11) / 3.5)
    height += 2.6 * bump(u / 11, (v - f.chin + 9) / 7)
    return height


def draw_head(scene, f):
    """The lit skin of the whole head, without eyes, brows and lips."""
    part = around(scene, f.shift_u, (f.crown + f.chin) / 2, f.head_half + 1, (f.chin - f.crown) / 2)
    a, b = outline(f, part)
    radius2 = a * a + b * b
    height = 44 * np.sqrt(clamp(1 - 0.93 * radius2, 0.004)) + relieve(f, part.u, part.v)
    slope_v, slope_u = np.gradient(height)
    nz = 1 / np.sqrt(1 + slope_u * slope_u + slope_v * slope_v)
    cosine = light_on(f, -slope_u * nz, -slope_v * nz, nz)
    colour = light_skin(f, cosine)
    flush_skin(f, part, colour)
    shine = clamp(cosine - 0.1 * f.light[1], 0.0)
    colour *= 1 + 0.012 * part.grain
    colour += 0.11 * f.diffuse * shine**16
    paint(part, inside((np.sqrt(radius2) - 1) * f.head_half), colour)


def flush_skin(f, part, colour):
    """Redden cheeks and nose tip, darken the sockets, and lay the nose's shadow away from the light."""
    u, v = part.u, part.v
    side = np.abs(u)
    red = f.blushing * bump((side - 25) / 10, (v - 25) / 8) + 0.1 * bump(u / 7, (v - f.nose_v) / 6)
    colour[1:] *= 1 - red * np.array([0.3, 0.24], np.float32)[:, None, None]
    dark = 0.16 * bump((side - f.eye_u + 3) / 9, (v + 1) / 6)
    shadow_u = (u - f.turn + 7 * f.light[0]) / (7 * f.nose_wide)
    dark += 0.18 * bump(shadow_u, (v - f.nose_v - 6) / 3)
    dark += 0.12 * bump(u / 13, (v - f.mouth_v - 10) / 3)
    colour *= 1 - dark * np.array([0.8, 1.0, 1.05], np.float32)[:, None, None]
