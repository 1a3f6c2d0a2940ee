import numpy as np
import pytest

from helpers.files import InputError
from helpers.models import images, judging

Z_DIM, N = 6, 40
MIXING = np.random.default_rng(1).standard_normal((Z_DIM, 16 * 16 * 3)).astype(np.float32)


class Network:
    """Stands for a network: applies a function to an array."""

    def __init__(self, function):
        self.predict_on_batch = function


def paint(z):
    """Images (n, 96, 96, 3) of squares of 6×6 pixels, whose brightness is linear in z."""
    squares = 0.5 + 0.01 * (z @ MIXING).reshape(-1, 16, 16, 3)
    return squares.repeat(6, axis=1).repeat(6, axis=2).astype(np.float32)


def recognise(images):
    squares = (images[:, ::6, ::6].reshape(len(images), -1) - 0.5) / 0.01
    return (squares @ np.linalg.pinv(MIXING)).astype(np.float32)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Packed images of standard normal z-points, and their standard."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    z = rng.standard_normal((200 + 2 * N, Z_DIM)).astype(np.float32)
    np.save(folder / "images.npy", (255 * paint(z) + 0.5).astype(np.uint8))
    np.save(folder / "splits.npy", np.repeat([0, 1, 2], [200, N, N]).astype(np.uint8))
    images.write_manifest(folder)
    encoder, decoder, features = map(Network, (recognise, paint, recognise))
    return folder, z, judging.set_standard(folder, encoder, decoder, features, z[:200], z[200 : 200 + N])


def test_the_standard_knows_the_splits(setting):
    folder, z, standard = setting
    assert judging.count_judged(folder, 1000) == N
    assert judging.count_judged(folder, 20) == 20
    assert np.array_equal(standard.train_z, z[:200])
    assert np.array_equal(standard.held_out_z, z[200 : 200 + N])
    assert standard.test == pytest.approx(z[200 + N :], abs=0.1)  # bytes round the images
    assert standard.train_thumbnails.shape == (200, 16 * 16 * 3)
    nearest = np.linalg.norm(z[200 : 200 + N, None] - z[None, :200], axis=2).min(axis=1)
    assert standard.near_z == pytest.approx(nearest, rel=1e-3)
    assert standard.threshold < 1e-3


def test_good_draws_are_told_from_copies_and_from_strangers(setting):
    _, z, standard = setting
    rng = np.random.default_rng(2)
    good = judging.judge(standard, rng.standard_normal((N, Z_DIM)).astype(np.float32))
    copies, strangers = judging.judge(standard, z[:N]), judging.judge(standard, z[:N] + 5)
    distance = {
        name: row["Fréchet distance"]
        for name, row in (("good", good), ("copies", copies), ("strangers", strangers))
    }
    assert max(distance["good"], distance["copies"]) < 5 < distance["strangers"]
    assert good["limit"] < distance["good"]
    assert good["coverage"] > 0.7
    assert strangers["coverage"] < 0.1
    for name in ("nearest z", "nearest image"):
        assert good[name] == pytest.approx(1, abs=0.25)
        assert copies[name] < 0.1
        assert strangers[name] > 2


def test_images_that_stay_are_told_from_those_that_drift_whatever_their_points_do(setting):
    _, z, standard = setting
    assert standard.threshold < 1e-4
    blurred = np.linspace(0, 1, N) < 0.75

    def forgetful(images):  # an encoder that finds the image, by another point in a direction without effect
        return np.concatenate([recognise(images), np.zeros((len(images), 1), np.float32)], axis=1)

    wide = standard._replace(
        encoder=Network(forgetful),
        decoder=Network(lambda points: paint(points[:, :Z_DIM]).clip(0, 1)),
        train_z=np.pad(standard.train_z, ((0, 0), (0, 1))),
        threshold=1e-3,
    )
    draws = np.concatenate([z[:N], np.full((N, 1), 9.0)], axis=1).astype(np.float32)
    found = judging.judge(wide, draws)
    assert found["share that is idempotent"] == 1
    draws[~blurred, :Z_DIM] += 60  # beyond white and black
    assert judging.judge(wide, draws)["share that is idempotent"] == blurred.mean()


def test_one_face_again_and_again_is_idempotent_and_covers_nothing(setting):
    _, z, standard = setting
    found = judging.judge(standard._replace(threshold=1e-3), np.repeat(z[:1], N, axis=0))
    assert found["share that is idempotent"] == 1
    assert found["coverage"] < 0.5


def test_figures_over_seeds_are_those_of_single_draws(setting):
    _, _, standard = setting

    def draw(n, rng):
        return rng.standard_normal((n, Z_DIM)).astype(np.float32)

    found = judging.judge_seeds(standard, draw, seeds=(3, 4, 5))
    single = [judging.judge(standard, draw(N, np.random.default_rng(seed))) for seed in (3, 4, 5)]
    assert found["limit"].values == pytest.approx([judged["limit"] for judged in single])
    assert found["coverage"].mean == np.mean([judged["coverage"] for judged in single])
    base = judging.judge(standard, standard.held_out_z)["limit"]
    assert found["ratio"].values == pytest.approx(found["limit"].values / base)
    assert found["ratio"].deviation == pytest.approx(np.std(found["ratio"].values, ddof=1))


def test_thumbnails_are_a_second_space_of_features(setting):
    folder, z, standard = setting
    features = judging.thumbnail_features(standard, n_components=8)
    other = judging.change_features(standard, features, folder)
    draws = judging.judge_seeds(standard, lambda n, rng: z[rng.permutation(200)[:n]], (1, 2), other)
    alone = judging.judge_seeds(other, lambda n, rng: z[rng.permutation(200)[:n]], (1, 2))
    assert draws["other ratio"].values == pytest.approx(alone["ratio"].values)
    assert other.test.shape == (N, 8)
    assert other.test[:, Z_DIM:].std() < 0.1 * other.test[:, :Z_DIM].std()  # six directions make the images
    assert other.encoder is standard.encoder
    good = judging.judge_images(other, paint(np.random.default_rng(3).standard_normal((N, Z_DIM))))
    strangers = judging.judge_images(other, paint(z[:N] + 5))
    assert good["limit"] < strangers["limit"] / 10


def test_real_images_are_judged_without_z_points(setting):
    _, z, standard = setting
    found = judging.judge_images(standard, paint(z[-N:]))
    assert found.keys() == {"Fréchet distance", "density", "coverage", "nearest image", "limit"}
    assert found["Fréchet distance"] == pytest.approx(0, abs=0.01)
    same = judging.judge_images(standard, standard.decoder.predict_on_batch(z[-N:]))
    assert same["density"] == found["density"]


def test_too_few_held_out_images_get_one_clear_sentence(packed):
    with pytest.raises(InputError, match="at least 12 test and 12 validation images, here are 6; take more"):
        judging.count_judged(packed, 400)
