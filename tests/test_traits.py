import numpy as np
import pytest

from helpers import scores
from helpers.models.images import ImageBatches, load_images

RNG = np.random.default_rng(0)


def in_batches(images, size=2):
    parts = [(images[start : start + size],) for start in range(0, len(images), size)]
    return Batches(parts, np.arange(len(images)))


class Batches(list):
    def __init__(self, parts, rows):
        super().__init__(parts)
        self.rows, self.num_batches = rows, len(parts)


def test_traits_of_images_that_can_be_done_by_hand():
    images = np.zeros((3, 32, 32, 3), dtype=np.float32)
    images[1] = 1
    images[2, 8:-8, 8:-8] = 1  # a white square in a black frame of 8 pixels
    found = scores.image_traits(in_batches(images))
    assert tuple(found) == scores.TRAITS
    share = (16 / 32) ** 2
    assert found["brightness"] == pytest.approx([0, 1, share])
    assert found["contrast"] == pytest.approx([0, 0, np.sqrt(share * (1 - share))])
    assert found["border contrast"] == pytest.approx([0, 0, 0])
    by_hand = np.sqrt(np.square(images - images.mean(axis=0)).mean(axis=(1, 2, 3)))
    assert found["distance to the mean image"] == pytest.approx(by_hand, rel=1e-5)


def test_a_pattern_in_the_frame_is_border_contrast_and_one_inside_is_not():
    images = np.zeros((2, 32, 32, 3), dtype=np.float32)
    images[0, :8] = 1
    images[1, 12:20, 12:20] = 1
    border = scores.image_traits(in_batches(images))["border contrast"]
    assert border[0] > 0.4
    assert border[1] == 0


def test_traits_are_in_the_order_of_the_packed_images(packed):
    batches = ImageBatches(packed, "train", 20)
    found = scores.image_traits(batches)
    images = load_images(packed, batches.rows)
    assert found["brightness"] == pytest.approx(images.mean(axis=(1, 2, 3)), rel=1e-4)
    assert len(found["contrast"]) == 48


def test_mirrored_pixels_of_symmetric_images_are_the_same():
    half = RNG.random((200, 16, 8, 3))
    symmetric = np.concatenate([half, half[:, :, ::-1]], axis=2)
    mirrored, random = scores.mirror_correlations(symmetric)
    assert mirrored == pytest.approx(1)
    assert abs(random) < 0.1
    assert abs(scores.mirror_correlations(RNG.random((500, 16, 16, 3)))[0]) < 0.05
