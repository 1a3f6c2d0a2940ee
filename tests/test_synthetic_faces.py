import hashlib
import io
import json
import platform
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from data_prep import synthetic_faces
from data_prep.faces.drawing import draw_face
from data_prep.faces.factors import ATTRIBUTES, DISTRIBUTIONS, FACTORS, derive_attributes, draw_factors
from data_prep.synthetic_faces import main, make_synthetic_faces, split_in_blocks

CELEBA_NAMES = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair "
    "Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup "
    "High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose "
    "Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat "
    "Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young"
)
CROP = np.s_[35:183, 15:163]  # the part that later becomes the network's input
ROOT = Path(synthetic_faces.__file__).parents[1]
ALL_FILES = sorted([*synthetic_faces.PRODUCTS, synthetic_faces.SETTINGS])


def file_names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces") / "new" / "folder"
    make_synthetic_faces(folder, count=20, seed=3, workers=1)
    return folder


def test_archive_has_celebas_form(made):
    with zipfile.ZipFile(made / "img_align_celeba.zip") as archive:
        entries = archive.infolist()
        image = Image.open(io.BytesIO(archive.read(entries[-1])))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (178, 218))
        assert archive.testzip() is None
    assert [entry.filename for entry in entries] == [f"img_align_celeba/{i:06d}.jpg" for i in range(1, 21)]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert 3_000 < np.mean([entry.file_size for entry in entries]) < 12_000


def test_attribute_list_has_celebas_form(made):
    count, names, *rows = (made / "list_attr_celeba.txt").read_text().splitlines()
    assert (count, names.split()) == ("20", CELEBA_NAMES.split())
    assert [row[:10] for row in rows] == [f"{i:06d}.jpg" for i in range(1, 21)]
    assert {len(row) for row in rows} == {10 + 40 * 3}
    signs = np.array([row.split()[1:] for row in rows], int)
    np.testing.assert_array_equal(signs == 1, derive_attributes(np.load(made / "factors.npy")))
    assert set(np.unique(signs)) == {-1, 1}


def test_partition_is_80_10_10_in_blocks(made):
    rows = [row.split() for row in (made / "list_eval_partition.txt").read_text().splitlines()]
    assert [name for name, _ in rows] == [f"{i:06d}.jpg" for i in range(1, 21)]
    assert [int(split) for _, split in rows] == [0] * 16 + [1] * 2 + [2] * 2
    np.testing.assert_array_equal(np.bincount(split_in_blocks(12_000)), [9600, 1200, 1200])


def test_factors_lie_beside_the_archive(made):
    factors = np.load(made / "factors.npy", allow_pickle=False)
    assert (factors.dtype, factors.shape) == (np.float32, (20, len(FACTORS)))
    assert (made / "factor_names.txt").read_text().split() == list(FACTORS)
    assert len(set(FACTORS)) == len(FACTORS) >= 25


def test_same_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path, monkeypatch, made):
    monkeypatch.setattr(synthetic_faces, "CHUNK", 6)
    make_synthetic_faces(tmp_path, count=20, seed=3, workers=2)
    assert contents(tmp_path) == contents(made)


# sha256 of the pixels of the three faces of seed 5. They are the same under NumPy 1.26 and 2.4, Pillow 10.1
# and 13, with and without AVX; files would also depend on the JPEG library.
FACES = {
    1: (
        "bc69a8ef5abcf72f05c313a1d2858743d97c57d0ce2b1a5316e5663c5e1a3361",
        "1d096ec6f23f8671e846d3b0d74b3e85f8c6fd9a568b8de92931d563584d4f6d",
        "96ea0f34b7f100019e71d7a8794ab1901cae87285e127d3250c7a17b1aefc380",
    )
}


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="other processors round sines differently"
)
def test_a_changed_face_has_a_new_version():
    drawn = [np.asarray(draw_face(row)).tobytes() for row in draw_factors(3, seed=5)]
    digests = tuple(hashlib.sha256(pixels).hexdigest() for pixels in drawn)
    assert FACES.get(synthetic_faces.DRAWING_VERSION) == digests, (
        "The faces have changed: raise DRAWING_VERSION in data_prep/synthetic_faces.py, so that everybody's "
        f"are drawn anew, and hold the new sums in FACES: {digests}"
    )


def test_faces_of_the_first_layout_are_not_drawn_anew(tmp_path, monkeypatch):
    make_synthetic_faces(tmp_path, count=2, seed=1, workers=1)
    settings = {"count": 2, "seed": 1, "factors": "normal", "drawing": {"face_canvas.py": "9f86d08"}}
    (tmp_path / "synthetic_faces.json").write_text(json.dumps(settings))
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.delattr(synthetic_faces, "draw_all")
        make_synthetic_faces(tmp_path, count=2, seed=1)
    assert contents(tmp_path) == before
    monkeypatch.setattr(synthetic_faces, "DRAWING_VERSION", 2)
    make_synthetic_faces(tmp_path, count=2, seed=1, workers=1)
    assert json.loads((tmp_path / "synthetic_faces.json").read_text())["drawing_version"] == 2


@pytest.mark.parametrize("name", synthetic_faces.PRODUCTS)
def test_a_damaged_product_is_drawn_anew(tmp_path, name):
    make_synthetic_faces(tmp_path, count=2, seed=1, workers=1)
    before = contents(tmp_path)
    damaged = bytearray(before[name])
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / name).write_bytes(damaged)
    make_synthetic_faces(tmp_path, count=2, seed=1, workers=1)
    assert contents(tmp_path) == before


def test_killed_drawing_leaves_no_process_and_no_archive(tmp_path):
    command = [sys.executable, "-m", "data_prep.synthetic_faces", "--count", "5000", "--workers", "2"]
    process = subprocess.Popen([*command, "--out", tmp_path], cwd=ROOT, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / ".img_align_celeba.partial.zip").exists():
        time.sleep(0.02)
    time.sleep(0.5)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert len(workers) >= 2 and psutil.wait_procs(workers, timeout=10)[1] == []
    assert "img_align_celeba.zip" not in file_names(tmp_path)


def test_other_seed_gives_other_faces(tmp_path, made):
    make_synthetic_faces(tmp_path, count=20, seed=4, workers=1)
    assert all(
        contents(tmp_path)[name] != contents(made)[name] for name in ("factors.npy", "img_align_celeba.zip")
    )


def test_longer_archive_begins_with_the_shorter(tmp_path, made):
    make_synthetic_faces(tmp_path, count=5, seed=3, workers=1)
    with (
        zipfile.ZipFile(tmp_path / "img_align_celeba.zip") as short,
        zipfile.ZipFile(made / "img_align_celeba.zip") as long,
    ):
        assert all(short.read(name) == long.read(name) for name in short.namelist())


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_longer_draw_begins_with_the_shorter(distribution):
    np.testing.assert_array_equal(draw_factors(7, 1, distribution), draw_factors(100, 1, distribution)[:7])


@pytest.mark.parametrize(
    ("distribution", "kurtosis"), [("normal", -0.11), ("uniform", -1.2), ("bimodal", -1.63)]
)
def test_factors_are_standardised_independent_and_of_the_right_shape(distribution, kurtosis):
    factors = draw_factors(20_000, 2, distribution)
    values = factors.astype(np.float64)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(values.var(axis=0), 1, atol=0.05)
    assert np.abs(np.corrcoef(values.T) - np.eye(len(FACTORS))).max() < 0.04
    assert (values**4).mean() / (values**2).mean() ** 2 - 3 == pytest.approx(kurtosis, abs=0.06)
    assert np.abs(factors).max() <= 3


@pytest.mark.parametrize("name", FACTORS)
def test_each_factor_changes_what_the_network_will_see(name):
    low, high = np.zeros((2, len(FACTORS)), np.float32)
    low[FACTORS.index(name)], high[FACTORS.index(name)] = -2, 2
    difference = np.asarray(draw_face(high), int)[CROP] - np.asarray(draw_face(low), int)[CROP]
    assert (np.abs(difference).max(axis=-1) > 20).sum() >= 30  # pixels


@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_factors_still_give_a_picture(sign):
    image = np.asarray(draw_face(np.full(len(FACTORS), 3.0 * sign)))
    assert image.shape == (218, 178, 3)
    assert 20 < image.mean() < 235
    assert image.std() > 12


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_faces_differ_and_draw_without_a_warning(distribution):
    images = np.stack([np.asarray(draw_face(row)) for row in draw_factors(12, 5, distribution)]).astype(float)
    distances = [np.abs(a - b).mean() for i, a in enumerate(images) for b in images[:i]]
    assert min(distances) > 8  # of 255


def test_attributes_follow_from_the_factors():
    rows = np.zeros((2, len(FACTORS)), np.float32)
    for name in ("smile", "glasses", "hat", "hair_fringe", "hair_lightness", "beard"):
        rows[:, FACTORS.index(name)] = -2, 2
    attributes = dict(zip(ATTRIBUTES, derive_attributes(rows).T.tolist(), strict=True))
    for name in ("Smiling", "Eyeglasses", "Wearing_Hat", "Bangs", "Blond_Hair", "Male"):
        assert attributes[name] == [False, True]
    for name in ("Black_Hair", "No_Beard"):
        assert attributes[name] == [True, False]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_attribute_is_had_by_some_and_not_by_all(distribution):
    shares = derive_attributes(draw_factors(5_000, 1, distribution)).mean(axis=0)
    assert " ".join(ATTRIBUTES) == CELEBA_NAMES
    assert ((shares > 0.01) & (shares < 0.99)).all()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--count", "0"], "--count"),
        (["--count", "1000000"], "--count"),
        (["--seed", "-1"], "--seed"),
        (["--factors", "cauchy"], "cauchy"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_bad_arguments_get_one_sentence_and_leave_nothing(tmp_path, capsys, arguments, word):
    assert main(["--out", str(tmp_path / "faces"), *arguments]) == 2
    message = capsys.readouterr().err
    assert word in message
    assert message.count("\n") == 1
    assert file_names(tmp_path) == []


def test_folder_under_a_file_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("here")
    assert main(["--out", str(tmp_path / "file" / "faces"), "--count", "2"]) == 2
    assert "Cannot write" in capsys.readouterr().err
    assert file_names(tmp_path) == ["file"]


def test_full_disk_gets_one_sentence_and_leaves_no_archive(tmp_path, capsys, monkeypatch):
    def fill_disk(*_):
        yield b"first"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic_faces, "draw_all", fill_disk)
    assert main(["--out", str(tmp_path), "--count", "2"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert not [name for name in file_names(tmp_path) if name.endswith(".zip")]


def test_someone_elses_archive_is_not_replaced(tmp_path, capsys):
    (tmp_path / "img_align_celeba.zip").write_bytes(b"CelebA itself")
    assert main(["--out", str(tmp_path), "--count", "2"]) == 2
    assert "not synthetic" in capsys.readouterr().err
    assert contents(tmp_path) == {"img_align_celeba.zip": b"CelebA itself"}


def test_whole_result_is_skipped_and_other_settings_replace_it(tmp_path, monkeypatch):
    make_synthetic_faces(tmp_path, count=2, seed=1, workers=1)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.delattr(synthetic_faces, "draw_all")
        make_synthetic_faces(tmp_path, count=2, seed=1)
    assert contents(tmp_path) == before
    make_synthetic_faces(tmp_path, count=3, seed=1, workers=1)
    assert json.loads((tmp_path / "synthetic_faces.json").read_text())["count"] == 3
    assert np.load(tmp_path / "factors.npy").shape[0] == 3


def test_interrupted_run_is_not_taken_for_whole(tmp_path, monkeypatch, made):
    def interrupt(*_):
        yield b"first"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(synthetic_faces, "draw_all", interrupt)
        make_synthetic_faces(tmp_path, count=20, seed=3)
    assert "img_align_celeba.zip" not in file_names(tmp_path)
    (tmp_path / ".img_align_celeba.partial.zip").write_bytes(b"left by a crash")
    make_synthetic_faces(tmp_path, count=20, seed=3, workers=1)
    assert contents(tmp_path) == contents(made)


def test_command_line_draws_with_several_processes(tmp_path):
    command = [sys.executable, "-m", "data_prep.synthetic_faces", "--count", "60", "--workers", "2"]
    done = subprocess.run([*command, "--out", tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("60 faces drawn in ")
    assert file_names(tmp_path) == ALL_FILES
