import numpy as np
import pytest

from helpers.latent import covariance, neighbours, surrogates


def random_square(n, seed=0, half_side=1.0):
    return np.random.default_rng(seed).uniform(-half_side, half_side, (n, 2))


def lattice(jitter, seed=0):
    steps = np.linspace(-1, 1, 61)
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return points + jitter * (steps[1] - steps[0]) * np.random.default_rng(seed).uniform(-1, 1, points.shape)


def ball(n, dimensions, embedded_in, seed=0):
    """Points (n, embedded_in) drawn evenly from a ball of fewer dimensions, turned at random."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((n, dimensions))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = directions * rng.uniform(size=(n, 1)) ** (1 / dimensions)
    return points @ np.linalg.qr(rng.standard_normal((embedded_in, dimensions)))[0].T


def correlated_noise(n, dimensions, seed):
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((dimensions, dimensions)) * np.exp(-np.arange(dimensions) / dimensions * 2)
    return (rng.standard_normal((n, dimensions)) @ mixing + 1).astype("f4")


def test_window_holds_the_square_with_its_edge():
    points = np.array([[0, 0], [1, 1], [1.1, 0], [0, -1.1], [-1, 0.5]])
    assert neighbours.window(points, 1).tolist() == [True, True, False, False, True]
    assert neighbours.window(points, 0.2, centre=(1, 0.9)).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_widened_window_holds_as_many_points_as_wanted(dtype):
    points = random_square(5000).astype(dtype)
    half_side = neighbours.widen_window(points, 0.01, wanted=200, centre=(0.2, 0.1))
    assert neighbours.window(points, half_side, (0.2, 0.1)).sum() == 200
    assert neighbours.widen_window(points, 0.8, wanted=200) == 0.8
    assert neighbours.window(points, neighbours.widen_window(points, 0.01, wanted=9999)).all()


def test_clark_evans_knows_random_clustered_and_regular_points():
    rng = np.random.default_rng(1)
    clustered = (random_square(200)[:, None] + 0.01 * rng.standard_normal((200, 20, 2))).reshape(-1, 2)
    assert neighbours.clark_evans(random_square(4000), 0.8) == pytest.approx(1, abs=0.04)
    assert neighbours.clark_evans(clustered, 0.8) < 0.5
    assert neighbours.clark_evans(lattice(jitter=0.2), 0.8) > 1.4


def test_clark_evans_has_no_bias_from_the_edge():
    small = [neighbours.clark_evans(random_square(2000, seed), 0.2) for seed in range(200)]  # 80 points each
    assert np.mean(small) == pytest.approx(1, abs=3 * np.std(small) / np.sqrt(200))
    cut_off = [neighbours.clark_evans(random_square(80, seed, 0.2), 0.2) for seed in range(200)]
    assert np.mean(cut_off) > 1.03  # what the edge would do if nothing outside were known


def test_statistics_of_an_empty_window_are_nan():
    points = random_square(100) + 5
    assert np.isnan(neighbours.clark_evans(points, 0.5))
    assert np.isnan(neighbours.ripley_l(points, [0.1, 0.2], 0.5)).all()


def test_ripley_l_agrees_with_a_plain_loop():
    points, radii, half_side, centre = random_square(300), [0.05, 0.1, 0.3], 0.5, (0.1, -0.2)
    inside = np.abs(points - centre).max(axis=1) <= half_side
    for radius, found in zip(radii, neighbours.ripley_l(points, radii, half_side, centre), strict=True):
        pairs = 0
        for i in np.flatnonzero(inside):
            for j in range(len(points)):
                pairs += j != i and np.hypot(*(points[i] - points[j])) <= radius
        density = inside.sum() / (2 * half_side) ** 2
        assert found == pytest.approx(np.sqrt(pairs / inside.sum() / density / np.pi) - radius)


def test_ripley_l_is_zero_for_random_points_and_positive_for_clusters():
    radii = [0.02, 0.05, 0.1]
    found = np.mean(
        [neighbours.ripley_l(random_square(2000, seed), radii, 0.6) for seed in range(40)], axis=0
    )
    assert found == pytest.approx(np.zeros(3), abs=0.001)
    clustered = np.repeat(random_square(100), 20, axis=0)
    clustered += 0.01 * np.random.default_rng(1).standard_normal(clustered.shape)
    assert (neighbours.ripley_l(clustered, radii, 0.6) > 0.03).all()


@pytest.mark.parametrize(("dimensions", "error"), [(1, 0.05), (2, 0.05), (5, 0.1), (10, 0.2)])
def test_dimension_of_a_ball_is_found(dimensions, error):
    points = ball(4000, dimensions, embedded_in=20)
    expected = pytest.approx(dimensions, rel=error)  # near the ball's edge both see too few dimensions
    assert neighbours.two_nn_dimension(points) == expected
    assert neighbours.levina_bickel_dimension(points) == expected


@pytest.mark.parametrize("dimensions", [2, 8, 40])
def test_dimensions_agree_with_scikit_dimensions(dimensions):
    skdim = pytest.importorskip("skdim")
    points = correlated_noise(600, dimensions, seed=0).astype(np.float64)
    assert neighbours.two_nn_dimension(points) == pytest.approx(
        skdim.id.TwoNN().fit_transform(points), rel=1e-3
    )
    oracle = skdim.id.MLE().fit_transform(points, n_neighbors=20, comb="mle")
    assert neighbours.levina_bickel_dimension(points) == pytest.approx(oracle, rel=1e-3)


def test_duplicates_do_not_disturb_dimensions():
    points = ball(2000, 3, embedded_in=6)
    doubled = np.concatenate([points, points[:100]])
    for estimate in (neighbours.two_nn_dimension, neighbours.levina_bickel_dimension):
        assert estimate(doubled) == pytest.approx(estimate(points), rel=0.1)


def test_planted_filaments_are_thin_curves_of_unit_spread():
    rng = np.random.default_rng(0)
    points = surrogates.plant_filaments(4000, 50, 400, 0.05, rng)
    assert points.dtype == np.float32
    assert points.std(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    thin = surrogates.plant_filaments(4000, 50, 5, 0, rng)
    assert neighbours.two_nn_dimension(thin) == pytest.approx(1, abs=0.1)


def in_plane(points):
    """Clark-Evans ratio in the plane of the first two components, about their centre."""
    plane = covariance.transform_pca(covariance.fit_pca(points), points, 2)
    return neighbours.clark_evans(plane, neighbours.widen_window(plane, 0.25, wanted=400))


STATISTICS = [in_plane, neighbours.two_nn_dimension, neighbours.levina_bickel_dimension]


def with_noise(filaments, share, rng):
    """Filaments with `share` of their points replaced by normal noise of their mean and covariance."""
    noise = surrogates.gaussian_surrogate(filaments, len(filaments), rng)
    return np.where(rng.random((len(filaments), 1)) < share, noise, filaments)


@pytest.mark.parametrize("seed", range(3))
def test_planted_filaments_are_found_in_the_plane(seed):
    rng = np.random.default_rng(seed)
    points = with_noise(surrogates.plant_filaments(4000, 2, 6, 0.005, rng), 0.3, rng)
    found = surrogates.compare_with_surrogates(in_plane, points, 39, rng)
    assert found.value < 0.85
    assert found.p_value == 1 / 40
    assert found.z_score < -5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("statistic", STATISTICS[1:])
def test_planted_filaments_are_found_in_full_dimension(statistic, seed):
    rng = np.random.default_rng(seed)
    points = with_noise(surrogates.plant_filaments(1000, 64, 10, 0.01, rng), 0.3, rng)
    found = surrogates.compare_with_surrogates(statistic, points, 39, rng)
    assert found.value < 0.8 * found.surrogate_values.mean()
    assert found.p_value == 1 / 40
    assert found.z_score < -5


@pytest.mark.parametrize(("n", "dimensions"), [(500, 32), (128, 256)])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_gaussian_noise_raises_no_alarm(statistic, n, dimensions):
    p_values = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        noise = correlated_noise(n, dimensions, seed)
        p_values.append(surrogates.compare_with_surrogates(statistic, noise, 19, rng).p_value)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.2  # 4 of 20: more has a chance of 0.3 % at a level of 5 %
    assert 0.25 < np.mean(p_values) < 0.8  # even p-values have a mean of 0.525
