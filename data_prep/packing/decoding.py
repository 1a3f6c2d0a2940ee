"""One image file → one square RGB array: checked, cropped, scaled."""

import io
import math

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from data_prep.packing.sources import BadImage

# Deviation from an ideal low-pass on CelebA in grey levels, and time an image beside 130 µs for decoding:
# bilinear 3.6, 130 µs; Hamming 3.0, 140 µs; bicubic 2.3, 190 µs; Lanczos 1.8, 290 µs. Pillow's documentation
# ranks Hamming with bicubic for reduced images; what an autoencoder leaves unexplained is far larger.
RESIZE_FILTER = Image.Resampling.HAMMING
# An image more than this many times larger than needed is first reduced by whole factors (for JPEG while
# decoding, "draft"); from 3 on the result can hardly be told from one single resize.
REDUCING_GAP = 3.0


def decode(data, crop, size):
    """Decode a JPEG or PNG file to uint8 (size, size, 3); also its width and height in pixels.

    The central `crop`×`crop` pixels (0: the largest central square) are scaled to `size` pixels.
    Raises BadImage for data that is no whole image, too large, or too small for `crop`.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        extent = image.size
        box = central_box(*extent, crop)
        small = scale(image, box, size, data)
    except (BadImage, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"declares more pixels than any photo ({error})") from error
    except Image.UnidentifiedImageError as error:
        raise BadImage("is not a JPEG or PNG image") from error
    except Exception as error:  # what Pillow raises on damaged files is not documented
        raise BadImage(f"is damaged ({error})") from error
    return np.asarray(small), extent


def central_box(width, height, crop):
    """Left, upper, right, lower edge in pixels of the central square; BadImage when it does not fit."""
    side = crop or min(width, height)
    if side > min(width, height):
        raise BadImage(
            f"has {width}×{height} pixels, too few for --crop {crop}; give a smaller --crop, or --crop 0 for "
            "the largest central square of each image"
        )
    left, upper = (width - side) // 2, (height - side) // 2
    return left, upper, left + side, upper + side


def scale(image, box, size, data):
    """Cut `box` out of an image opened from `data`, and scale it to an upright one of size×size pixels."""
    width, height = image.size
    share = REDUCING_GAP * size / (box[2] - box[0])  # of the image's pixels in one direction that are needed
    drafted = image.draft(None, (math.ceil(width * share), math.ceil(height * share)))
    if drafted:  # the second part of it is the image's extent after that, in pixels
        box = [edge * drafted[1][2] / width for edge in box]
    pixels = unpack_jpeg(image, data) if drafted and image.size == (width, height) else to_rgb(image)
    small = pixels.resize((size, size), RESIZE_FILTER, box, REDUCING_GAP)
    if "exif" not in image.info:
        return small
    small.info["exif"] = image.info["exif"]
    return ImageOps.exif_transpose(small)


def unpack_jpeg(image, data):
    """RGB image of JPEG data, of which `image` has read the header.

    Through simplejpeg: the same library and the same pixels as Pillow's, in half the time. What it does not
    take (CMYK, damage) is left to Pillow.
    """
    try:
        return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError:
        return to_rgb(image)


def to_rgb(image):
    """Image in any mode (grey, CMYK, palette, 16-bit) as RGB; what is transparent becomes white."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
