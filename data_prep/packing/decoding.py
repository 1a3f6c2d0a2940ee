"""One image file → one square RGB array: checked, cropped, scaled."""

import io
import math
import warnings
from importlib import import_module

import numpy as np
import simplejpeg
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from data_prep.packing.sources import FORMATS, BadImage

if "HEIF" in FORMATS:
    import_module("pillow_heif").register_heif_opener()

# Deviation from an ideal low-pass on CelebA in grey levels, and time an image beside 130 µs for decoding:
# bilinear 3.6, 130 µs; Hamming 3.0, 140 µs; bicubic 2.3, 190 µs; Lanczos 1.8, 290 µs. Pillow's documentation
# ranks Hamming with bicubic for reduced images; what an autoencoder leaves unexplained is far larger.
RESIZE_FILTER = Image.Resampling.HAMMING
# An image more than this many times larger than needed is first reduced by whole factors (for JPEG while
# decoding, "draft"); from 3 on the result can hardly be told from one single resize.
REDUCING_GAP = 3.0


MAX_PIXELS = 90_000_000  # that are decoded: 270 MB as RGB
MAX_JPEG_PIXELS = 1 << 28  # that a JPEG file declares; large ones are reduced while they are decoded
MAX_PROGRESSIVE_PIXELS = 1 << 27  # of such a JPEG all coefficients are in memory: 3 to 6 bytes a pixel
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def decode(data, crop, size):
    """Decode an image file to uint8 (size, size, 3); also its width and height in pixels.

    The central `crop`×`crop` pixels (0: the largest central square) are scaled to `size` pixels.
    Raises BadImage for data that is no whole image, too large, or too small for `crop`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode_quietly(data, crop, size)
    except (BadImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(f"declares more pixels than any photo ({error})") from error
    except Image.UnidentifiedImageError as error:
        raise BadImage(f"is not a {' or '.join(FORMATS)} image") from error
    except Exception as error:  # what Pillow raises on damaged files is not documented
        raise BadImage(f"is damaged ({error})") from error


def decode_quietly(data, crop, size):
    """`decode`, but for what Pillow raises and warns of."""
    image = open_image(data)
    extent = image.size
    box = central_box(*extent, crop)
    try:
        return np.asarray(scale(image, box, size, data)), extent
    except OSError:
        data += JPEG_END
        if not is_whole_jpeg(data):
            raise
        return np.asarray(scale(open_image(data), box, size, data)), extent


def open_image(data):
    """Pillow's image of a file's data, not decoded yet; BadImage where it declares too many pixels.

    A JPEG is not opened by Pillow's own function, which refuses photos of 200 megapixels unread.
    """
    if not data.startswith(JPEG_START):
        image, limit = Image.open(io.BytesIO(data), formats=tuple(FORMATS)), MAX_PIXELS
    else:
        image = JpegImageFile(io.BytesIO(data))
        limit = MAX_PROGRESSIVE_PIXELS if "progressive" in image.info else MAX_JPEG_PIXELS
    refuse_more(image, limit)
    return image


def refuse_more(image, limit):
    """Raise BadImage for an image of more than `limit` pixels."""
    pixels = image.width * image.height
    if pixels > limit:
        raise BadImage(f"declares more pixels than can be decoded ({pixels} pixels, at most {limit})")


def is_whole_jpeg(data):
    """Whether data is a JPEG file that decodes without any complaint."""
    try:
        return bool(simplejpeg.decode_jpeg(data, min_height=1, min_width=1, min_factor=8).size)
    except ValueError:
        return False


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
    refuse_more(image, MAX_PIXELS)
    pixels = unpack_jpeg(image, data) if drafted and image.size == (width, height) else to_rgb(image)
    small = pixels.resize((size, size), RESIZE_FILTER, box, REDUCING_GAP)
    if "exif" not in image.info:
        return small
    small.info["exif"] = image.info["exif"]
    try:
        return ImageOps.exif_transpose(small)
    except Exception:  # not documented either; damaged EXIF leaves a photo as it is
        return small


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
