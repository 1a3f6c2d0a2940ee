"""The look of one face: from its factors to the lengths and colours that the drawing uses."""

import numpy as np

from data_prep.faces.canvas import grow, mix, palette, rgb255
from data_prep.faces.factors import name_factors

# Palettes: (factor, red, green, blue), interpolated in between.
SKIN = palette(
    (-3, 84, 54, 40), (-1.5, 146, 98, 72), (0, 212, 160, 128), (1.2, 234, 188, 160), (3, 246, 212, 192)
)
HAIR = palette(
    *((-3, 18, 15, 15), (-1, 38, 27, 22), (0, 88, 58, 38)),
    *((0.8, 138, 98, 60), (1.6, 196, 152, 92), (3, 238, 212, 156)),
)
IRIS = palette(
    (-3, 44, 24, 14), (-0.5, 104, 64, 34), (0.5, 116, 118, 66), (1.2, 92, 134, 124), (3, 84, 136, 196)
)
FRAMES = palette((-3, 24, 22, 24), (1, 40, 30, 28), (3, 96, 52, 34))
CLOTHS = palette(
    *((-3, 150, 52, 58), (-1.6, 164, 84, 62), (-0.7, 150, 122, 84), (0, 104, 112, 100)),
    *((0.7, 62, 106, 116), (1.6, 58, 80, 134), (3, 100, 62, 120)),
)
BARE_LIP, PAINTED_LIP = np.float32([0.89, 0.68, 0.70]), np.float32([0.84, 0.32, 0.46])  # shares of the skin
AUBURN = rgb255(150, 62, 26)
GREY = rgb255(178, 178, 182)
WARM = np.array([1.015, 1.0, 0.96], np.float32)  # factor on each channel for one unit of warmth


def look_of(factors):
    """What the drawing needs to know of one face: its factors by name, and lengths (pixels) and colours.

    factors: float (len(FACTORS),), each standardised. Most lengths are linear in their factors, so that
    normal factors give normal lengths; what appears only above a threshold grows from nothing there.
    """
    f = name_factors(factors.tolist())  # floats keep float32 arithmetic
    settle_pose(f)
    settle_light(f)
    settle_head(f)
    settle_eyes(f)
    settle_mouth(f)
    settle_hair(f)
    settle_extras(f)
    return f


def settle_pose(f):
    """Turn of the head: the eyes stay where they are, all else moves against them."""
    f.tilt = 0.035 * f.roll  # radians
    f.turn = 2.2 * f.yaw  # pixels that the nose tip moves
    f.shift_u, f.shift_v = -2.4 * f.yaw, -2.4 * f.pitch


def settle_light(f):
    """Direction to the light (unit vector right, down, towards the viewer) and its share."""
    direction = np.array([0.42 * f.light_side, -0.38 - 0.2 * f.light_height, 0.85])
    f.light = tuple(float(part) for part in direction / np.linalg.norm(direction))
    f.diffuse = 0.77 + 0.15 * f.light_contrast
    f.ambient = 0.38 - 0.1 * f.light_contrast
    f.exposure = f.ambient + 0.85 * f.diffuse


def settle_head(f):
    """Outline, relief and skin."""
    f.head_half = 41.5 + 1.9 * f.head_width
    f.chin = 66 + 2.8 * f.head_length + 0.5 * f.mouth_opening + f.shift_v * 0.6
    f.crown, f.middle = -58 + f.shift_v, 6 + f.shift_v
    f.jaw = 0.05 + 0.17 * f.jaw_width
    f.cheek_half = 0.035 + 0.04 * f.cheeks
    f.nose_v = 24 + 1.3 * f.nose_length - 1.2 * f.pitch
    f.nose_wide = 1 + 0.12 * f.nose_width
    warmth = WARM**f.skin_warmth
    f.skin = (SKIN(f.skin_tone) * warmth).clip(0, 1).astype(np.float32)
    f.blushing = 0.28 + 0.2 * f.blush
    f.lined = grow(f.age, -2.0, 2.6)
    f.neck_half = 22.5 + 1.9 * f.neck_width
    f.shoulders = 0.5 * f.neck_width


def settle_eyes(f):
    """Eyes and brows."""
    f.eye_u = 20 + 1.0 * f.eye_distance
    f.eye_scale = 1 + 0.07 * f.eye_size
    f.lid_height = (4.8 + 0.75 * f.eye_opening) * f.eye_scale
    f.iris = IRIS(f.iris_colour)
    f.made_up = grow(f.lip_colour, 0, 2.5)
    f.brow_v = -14.5 - 1.2 * f.brow_height - 0.5 * f.eye_opening
    f.brow_slope = 0.9 * f.brow_angle
    f.brow_thick = 1.75 + 0.38 * f.brow_thickness


def settle_mouth(f):
    """Mouth, lips, beard."""
    f.smiling = grow(f.smile, -1.0, 2.5)
    f.folds = 0.1 + 0.8 * f.lined + 0.3 * f.smiling
    f.smile_lift = 2.2 * (f.smile + 1.1)
    f.mouth_v = 41.5 - 0.9 * f.pitch + 0.3 * f.mouth_opening
    f.mouth_half = 15.6 + 1.2 * f.mouth_width + 1.1 * f.smile
    f.mouth_gap = max(1.4 + 2.2 * f.mouth_opening, 0.0)
    f.closed = grow(f.mouth_gap, 2.5, 0.5)
    f.lip_high = 3.1 + 0.65 * f.lip_fullness
    red = grow(f.lip_colour, -1.5, 3.2)
    f.lip = (f.skin * mix(BARE_LIP, PAINTED_LIP, red)).astype(np.float32)
    f.bearded = 0.4 * grow(f.beard, 0.0, 1.0) + 0.6 * grow(f.beard, 0.8, 2.2)
    f.moustached = 0.2 * grow(f.moustache, 0.0, 0.9) + 0.8 * grow(f.moustache, 0.7, 2.0)


def settle_hair(f):
    """Hair: its colours, the cap around the skull, the gap for the face, its end."""
    f.hatted = grow(f.hat, 0.7, 1.1)
    red = 0.75 * grow(f.hair_redness, 0.3, 2.6)
    ash = mix(HAIR(f.hair_lightness), AUBURN * (0.8 + 0.14 * f.hair_lightness), red)
    f.hair = mix(ash, GREY * (1 + 0.06 * f.hair_lightness), 0.85 * grow(f.age, 0.7, 2.4))
    f.brow_colour = mix(f.hair * 0.62, f.skin * 0.4, 0.3)
    f.beard_colour = mix(f.hair * 0.72, f.skin * 0.3, 0.25)
    volume = (8.5 + 2.2 * f.hair_volume) * (1 - 0.5 * f.hatted) * (1 - 0.35 * grow(f.hair_length, -0.5, -2.5))
    f.cap_half = f.head_half + volume * 0.9
    f.cap_middle = f.middle - 12
    f.cap_height = f.cap_middle - f.crown + volume
    f.hair_end = -3 + 34 * float(np.logaddexp(0, 1.6 * f.hair_length))  # short hair ends above the ear lobes
    f.loose = grow(f.hair_end, 5, 50)
    f.end_soft = 4 + 8 * f.loose
    f.taper = 0.12 - 0.2 * f.loose
    f.wave = 1.2 * float(np.logaddexp(0, 1.5 * f.hair_waves))
    f.hairline_v = -41 + 7.0 * f.hair_fringe + f.shift_v
    f.flat = grow(f.hair_fringe, 0.2, 2.0)
    f.temple_v = -4.0
    f.open_half = f.head_half - 2.5 - 3.0 * f.loose
    f.sides = 0.16 * (1 - f.loose)
    f.part_u = 7 * f.hair_parting


def settle_extras(f):
    """Glasses, hat, clothes."""
    f.rim = 3.4 * grow(f.glasses, 0.7, 2.6) + 0.9 * grow(f.glasses, 0.7, 1.0)
    f.tint = 0.12 * grow(f.glasses, 0.7, 1.2) + 0.7 * grow(f.glasses, 1.5, 2.6)
    f.worn = grow(f.rim, 0, 1)
    f.frame_colour = FRAMES(f.hair_redness)
    f.brim_v = f.crown - 16 + 48 * f.hatted + 3 * (f.hat - 1)
    f.cloth = CLOTHS(f.clothes_hue) * (1 + 0.26 * f.clothes_lightness)
    f.hat_colour = CLOTHS(-f.clothes_hue) * (1.1 + 0.1 * f.clothes_lightness)
    f.tied = grow(f.collar, 1.0, 1.5)
    f.chained = grow(f.jewellery, 1.0, 1.6)
    f.pearl = 2.9 * grow(f.jewellery, 0.2, 2.2)
