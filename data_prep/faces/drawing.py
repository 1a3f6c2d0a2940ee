"""The picture of one face: its layers from back to front, and its JPEG."""

import io

import numpy as np
from PIL import Image, ImageFilter

from data_prep.faces.canvas import clamp, open_scene
from data_prep.faces.features import (
    draw_age_lines,
    draw_beard,
    draw_brows,
    draw_eyes,
    draw_glasses,
    draw_mouth,
    draw_nose,
)
from data_prep.faces.hair import draw_back_hair, draw_front_hair, draw_hat, grow_hair
from data_prep.faces.head import draw_background, draw_clothes, draw_earrings, draw_ears, draw_head, draw_neck
from data_prep.faces.look import look_of

JPEG_QUALITY = 91  # gives files of CelebA's size, 7 to 11 kB


def draw_face(factors):
    """Picture of the face with these factors, a PIL image, 178 × 218 RGB; the same factors, the same picture.

    factors: float (len(FACTORS),), standardised.
    """
    f = look_of(factors)
    scene = open_scene(f.tilt)
    hair = grow_hair(scene, f)
    draw_background(scene, f)
    draw_back_hair(hair)
    for draw in (draw_neck, draw_clothes, draw_ears, draw_head, draw_age_lines, draw_nose):
        draw(scene, f)
    for draw in (draw_mouth, draw_beard, draw_eyes, draw_brows, draw_glasses):
        draw(scene, f)
    draw_front_hair(hair, f)
    draw_earrings(scene, f)
    draw_hat(hair, f)
    return develop(scene.rgb, f.focus)


def develop(rgb, focus):
    """8-bit picture, a PIL image, from planar colours 0 to 1, softer for low focus."""
    channels = (clamp(rgb, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    image = Image.merge("RGB", [Image.fromarray(channel) for channel in channels])
    return image.filter(ImageFilter.BoxBlur(max(0.4 - 0.45 * focus, 0.0)))  # radius in pixels


def encode_jpeg(image):
    """JPEG file, bytes, of a PIL image."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
