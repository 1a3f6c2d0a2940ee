import numpy as np
import prdc
import pytest
from scipy.linalg import sqrtm

from helpers import scores
from helpers.files import InputError
from helpers.latent.neighbours import nearest_distances


def normal(seed, n=4_000, d=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


def test_frechet_distance_against_the_matrix_square_root():
    a, b = normal(1), normal(2)
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(axis=0) - b.mean(axis=0)
    textbook = shift @ shift + np.trace(sum(covariances) - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    assert scores.frechet_distance(a, b) == pytest.approx(textbook, rel=1e-8)
    assert scores.frechet_distance(b, a) == pytest.approx(textbook, rel=1e-8)


def test_frechet_distance_of_known_normals():
    a = normal(3)
    assert scores.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert scores.frechet_distance(a, a + 2) == pytest.approx(4 * a.shape[1], rel=1e-8)
    spread = np.trace(np.cov(a, rowvar=False))
    doubled = a.mean(axis=0) + 2 * (a - a.mean(axis=0))
    assert scores.frechet_distance(a, doubled) == pytest.approx(spread, rel=1e-8)


def test_frechet_distance_takes_features_of_few_images():
    a, b = normal(4, n=5, d=20), normal(5, n=5, d=20)
    assert 0 < scores.frechet_distance(a, b) < np.inf


def test_explained_variance_of_known_arrays():
    images = np.random.default_rng(0).random((10, 6, 6, 3))
    mean_image = images.mean(axis=0)
    half_way = (images + mean_image) / 2
    assert scores.explained_variance_share(images, images, mean_image) == 1
    assert scores.explained_variance_share(images, np.broadcast_to(mean_image, images.shape), mean_image) == 0
    assert scores.explained_variance_share(images, half_way, mean_image) == pytest.approx(0.75)


def test_the_difference_of_images_is_taken_row_by_row():
    images = np.random.default_rng(0).random((3, 4, 5, 3), dtype=np.float32)
    others = images + np.array([0, 0.5, -2], dtype=np.float32)[:, None, None, None]
    assert scores.image_difference(images, others) == pytest.approx([0, 0.5, 2], rel=1e-5)


def test_thumbnails_are_means_of_squares():
    images = np.random.default_rng(0).random((3, 12, 18, 3), dtype=np.float32)
    thumbnails = scores.shrink_images(images)
    assert thumbnails.shape == (3, 2 * 3 * 3)
    assert thumbnails.dtype == np.uint8
    corner = 255 * images[1, 6:12, 12:18].mean(axis=(0, 1))
    assert thumbnails[1].reshape(2, 3, 3)[1, 2] == pytest.approx(corner, abs=0.5)
    assert scores.shrink_images(np.full((1, 6, 6, 1), 1.001)).item() == 255  # rounding beyond white


def test_bytes_are_fine_enough_for_distances_between_thumbnails():
    means = np.random.default_rng(0).normal(0.5, 0.06, (40, 16, 16, 3)).clip(0, 1).astype(np.float32)
    thumbnails = scores.shrink_images(means.repeat(6, axis=1).repeat(6, axis=2))
    exact = np.linalg.norm(255 * (means[:20] - means[20:]).reshape(20, -1), axis=1)
    rounded = np.linalg.norm(thumbnails[:20].astype(float) - thumbnails[20:], axis=1)
    assert rounded == pytest.approx(exact, rel=2e-3)


def test_the_limit_takes_away_what_few_images_add():
    d, n, seeds = 20, 240, range(12)
    truth = d * (1.5 - 1) ** 2  # of N(0, 1) and N(0, 1.5²) in d dimensions
    pairs = [
        (rng.standard_normal((n, d)), 1.5 * rng.standard_normal((n, d)))
        for rng in map(np.random.default_rng, seeds)
    ]
    distances = np.array([scores.frechet_distance(*pair) for pair in pairs])
    bias = distances.mean() - truth
    limits = np.array([scores.frechet_limit(*pair) for pair in pairs])
    assert bias > 0.5
    assert abs(limits.mean() - truth) < 0.2 * bias
    assert limits.std() < 1.6 * distances.std()


def test_a_limit_needs_equally_many_images():
    with pytest.raises(
        InputError, match=r"30 images cannot be compared with 40 real ones.*take equally many"
    ):
        scores.frechet_limit(normal(0, n=30), normal(1, n=40))


@pytest.mark.parametrize(("n", "m", "shift"), [(200, 200, 0.0), (150, 90, 0.5), (60, 200, 2.0)])
def test_density_and_coverage_against_the_authors_package(n, m, shift, capsys):
    features, reference = normal(1, n=n) + shift, normal(1, n=m + 500)[500:]
    expected = prdc.compute_prdc(reference, features, scores.NEIGHBOURS)
    found = scores.density_and_coverage(features, reference)
    assert found == pytest.approx((expected["density"], expected["coverage"]), rel=1e-12)


def test_density_and_coverage_of_real_images_copies_and_strangers():
    cloud = normal(1, n=3000)
    real, others = cloud[:1500], cloud[1500:]
    density, coverage = scores.density_and_coverage(others, real)
    assert density == pytest.approx(1, abs=0.1)
    assert coverage == pytest.approx(1 - 2**-scores.NEIGHBOURS, abs=0.02)
    one_kind = np.repeat(real[:1], 1500, axis=0)
    assert scores.density_and_coverage(one_kind, real)[1] < 0.05
    assert scores.density_and_coverage(real + 1000, real) == (0, 0)


def test_few_images_have_balls_and_limits_too():
    """40 photos leave 4 in each of the splits that are held out."""
    four, others = normal(0, n=4), normal(1, n=4)
    assert scores.density_and_coverage(four, four) == (1, 1)  # each ball holds its own image and two others
    assert scores.density_and_coverage(others + 1000, four) == (0, 0)
    halves = np.mean(scores._of_parts(scores.frechet_distance, (four, others), 2, scores.REPEATS))
    limit = 2 * scores.frechet_distance(four, others) - halves
    assert scores.frechet_limit(four, others) == pytest.approx(limit)
    with pytest.raises(InputError, match="at least 2 rows of reference, here are 1"):
        scores.density_and_coverage(four, four[:1])


def test_newness_tells_copies_from_new_points():
    rng = np.random.default_rng(0)
    train, held_out, drawn = rng.standard_normal((1000, 8)), *rng.standard_normal((2, 300, 8))
    near = nearest_distances(held_out, train)
    assert scores.score_newness(nearest_distances(drawn, train), near) == pytest.approx(1, abs=0.1)
    copies = train[:300] + 1e-3 * drawn
    assert scores.score_newness(nearest_distances(copies, train), near) < 0.01
    assert scores.score_newness(nearest_distances(drawn * 3, train), near) > 2
