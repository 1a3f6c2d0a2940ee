"""A photo of one's own: as the networks take it, and aligned by README's lines."""

import re
import sys
import zipfile
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from helpers import study
from helpers.files import InputError, project_root

README = (project_root() / "README.md").read_text(encoding="utf-8")
EYES = (69, 111), (109, 111)  # pixels in CelebA's aligned pictures


def test_a_photo_has_the_pixels_that_the_preparation_packs(faces_archive, packed, tmp_path):
    names = (packed / "names.txt").read_text().split()
    with zipfile.ZipFile(faces_archive / "img_align_celeba.zip") as archive:
        entry = next(name for name in archive.namelist() if name.endswith(names[7]))
        (tmp_path / "face.jpg").write_bytes(archive.read(entry))
    photo = study.photo(str(tmp_path / "face.jpg"))
    assert (photo.shape, photo.dtype) == ((96, 96, 3), np.float32)
    assert np.array_equal(photo, np.load(packed / "images.npy")[7].astype(np.float32) / np.float32(255))


def test_of_other_pictures_the_largest_central_square_is_taken(tmp_path):
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[:, 50:350] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    assert np.abs(study.photo(tmp_path / "photo.png") - (1, 0, 0)).max() < 0.1


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_photo_gets_one_sentence(tmp_path, content):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"photo\.jpg .*; give the path of a photo"):
        study.photo(path)
    with pytest.raises(InputError, match="cannot be read"):
        study.photo(tmp_path)


def test_the_lines_of_the_readme_put_the_eyes_where_celeba_has_them(tmp_path, monkeypatch):
    """A turned face with blue eyes; the detector, which is not installed here, knows where they are."""
    eyes = np.array([(300.0, 420.0), (480.0, 360.0)])
    y, x = np.mgrid[:900, :700]
    pixels = np.full((900, 700, 3), 255, np.uint8)
    for eye in eyes:
        pixels[np.hypot(x - eye[0], y - eye[1]) < 25] = (0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=95)

    class MTCNN:
        def detect_faces(self, image):
            scale = np.array(image).shape[1] / 700
            places = dict(zip(("left_eye", "right_eye"), (scale * eyes).tolist(), strict=True))
            return [{"keypoints": places}]

    monkeypatch.setitem(sys.modules, "mtcnn", SimpleNamespace(MTCNN=MTCNN))
    monkeypatch.chdir(tmp_path)
    section = README.partition("### Aligning own photos")[2].partition("\n## ")[0]
    exec("\n".join(re.findall("^    (.*)", section, re.MULTILINE)), {})
    aligned = np.asarray(Image.open(tmp_path / "aligned.png")).astype(int)
    assert aligned.shape == (218, 178, 3)
    blue = (aligned[:, :, 2] > 150) & (aligned[:, :, 0] < 100)
    for half, (eye_x, eye_y) in zip((slice(0, 89), slice(89, 178)), EYES, strict=True):
        rows, columns = np.nonzero(blue[:, half])
        assert columns.mean() + half.start == pytest.approx(eye_x, abs=1)
        assert rows.mean() == pytest.approx(eye_y, abs=1)
    assert study.photo(tmp_path / "aligned.png").shape == (96, 96, 3)


def test_the_lines_of_the_readme_load_a_network_and_pass_a_photo_through_it(
    faces_archive, tmp_path, monkeypatch, close_figures
):
    """With the smallest profile, in the place of quick."""
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(faces_archive / "img_align_celeba.zip") as archive:
        (tmp_path / "me.jpg").write_bytes(archive.read(archive.namelist()[-1]))
    scope = {}
    for heading in ("## The explorer", "### Your own photo through the network"):
        section = README.partition(f"{heading}\n")[2].partition("\n##")[0]
        code = "\n".join(re.findall("^    (.*)|^$", section, re.MULTILINE))
        exec(code.replace('"quick"', '"smoke"'), scope)
    assert scope["z_points"].shape == (len(scope["run"].rows("train")), scope["z"].shape[1])
    assert scope["rebuilt"].shape == (1, 96, 96, 3)
    shown = plt.gcf().axes[2].images
    assert [image.get_array().shape for image in shown] == [(96, 96, 3)] * 4
