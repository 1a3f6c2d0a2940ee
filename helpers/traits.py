"""What can be measured on an image by itself: brightness, contrast, how unlike the others it is."""

import numpy as np

BORDER = 8  # pixels: width of the frame whose contrast stands for the background
TRAITS = ("brightness", "contrast", "border contrast", "distance to the mean image")


def image_traits(batches):
    """Traits of images, a dict name -> float64 (n,), for the names in TRAITS.

    `batches` (`images.ImageBatches`, not shuffled) is gone through twice. Brightness is the mean over pixels
    and channels, contrast their standard deviation; that of the border is taken over a frame of 8 pixels. The
    distance to the mean image is a root mean square too. For IX-017.
    """
    sums = [images.sum(axis=0, dtype=np.float64) for images in read(batches)]
    mean_image = (np.sum(sums, axis=0) / len(batches.rows)).astype(np.float32)
    rows = [measure(images, mean_image) for images in read(batches)]
    return dict(zip(TRAITS, np.concatenate(rows, axis=1), strict=True))


def read(batches):
    """Arrays of images (m, height, width, 3) of one batch after the other."""
    return (batches[number][0] for number in range(batches.num_batches))


def measure(images, mean_image):
    """The four traits (4, n), float64, of images (n, height, width, 3)."""
    frame = np.ones(images.shape[1:3], dtype=bool)
    frame[BORDER:-BORDER, BORDER:-BORDER] = False
    pixels, border = images.reshape(len(images), -1), images[:, frame].reshape(len(images), -1)
    distance = np.sqrt(np.square(images - mean_image).mean(axis=(1, 2, 3), dtype=np.float64))
    spreads = [values.std(axis=1, dtype=np.float64) for values in (pixels, border)]
    return np.array([pixels.mean(axis=1, dtype=np.float64), *spreads, distance])


def mirror_correlations(images):
    """Mean Pearson correlation over images of a pixel with its mirror image, and with a random pixel.

    images are (n, height, width, 3); their brightness is taken. The random partners are one seeded
    permutation of the pixels. For VIII-014.
    """
    grey = images.mean(axis=3, dtype=np.float64)
    grey = (grey - grey.mean(axis=0)) / grey.std(axis=0).clip(1e-9)
    shuffled = grey.reshape(len(grey), -1)[:, np.random.default_rng(0).permutation(grey[0].size)]
    mirrored = (grey * grey[:, :, ::-1]).mean(), (grey * shuffled.reshape(grey.shape)).mean()
    return tuple(float(value) for value in mirrored)
