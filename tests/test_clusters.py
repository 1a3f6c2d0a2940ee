import numpy as np
import pytest

from helpers.latent import clusters, surrogates


def random_square(n, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, 2)).astype("f4")


def two_squares(n, gap):
    """A square and a quarter of its size beside it, equally dense."""
    points = random_square(n)
    points[: n // 5] = points[: n // 5] / 2 - (0.5 + gap, 0)
    return points


@pytest.mark.parametrize("per_cell", [1, 2, 4])
def test_random_points_leave_the_poisson_share_of_cells_empty(per_cell):
    assert clusters.empty_share(random_square(40_000), per_cell) == pytest.approx(np.exp(-per_cell), abs=0.01)


def test_a_hole_shows_in_the_empty_share_and_a_lattice_has_none():
    points = random_square(20_000)
    holed = points[np.abs(points - 0.5).max(axis=1) > 0.25]  # a quarter of the area is empty
    assert clusters.empty_share(holed, 4) == pytest.approx(0.25, abs=0.03)
    regular = np.stack(np.meshgrid(np.arange(50.0), np.arange(50.0)), axis=-1).reshape(-1, 2)
    assert clusters.empty_share(regular, 4) == 0


def test_the_empty_share_does_not_depend_on_scale_and_place():
    points = random_square(500)
    assert clusters.empty_share(7 * points - 3, 2) == pytest.approx(clusters.empty_share(points, 2), abs=0.02)


def test_islands_are_groups_beyond_a_broad_gap_whatever_their_density():
    assert clusters.islands(random_square(2000)) == (0, 0)
    assert clusters.islands(two_squares(2000, gap=0.5)) == (1, 0.2)
    assert clusters.islands(two_squares(2000, gap=0)).number == 0
    sparse = random_square(2000)
    sparse[:200] = sparse[:200] * 3 + 2
    assert clusters.islands(sparse) == (1, 0.1)
    crumb = np.concatenate([random_square(2000), 5 + 0.01 * random_square(clusters.ISLAND_NEIGHBOURS)])
    assert clusters.islands(crumb).number == 0
    rng = np.random.default_rng(0)
    assert clusters.islands(rng.standard_t(5, (5000, 2))).number == 0  # thinning out makes no island


def test_silhouette_tells_clusters_from_noise():
    planted, _ = surrogates.plant_clusters(1000, 20, 10, np.random.default_rng(0))
    assert clusters.silhouette(planted, 10) > 0.6
    noise = np.random.default_rng(0).standard_normal((1000, 20)).astype("f4")
    assert abs(clusters.silhouette(noise, 10)) < 0.1
    assert clusters.silhouette(noise, 10, seed=3) == clusters.silhouette(noise, 10, seed=3)


def test_kmeans_finds_clusters_and_filaments_apart_but_no_network():
    rng = np.random.default_rng(1)
    assert clusters.kmeans_recovery(*surrogates.plant_clusters(2000, 256, 10, rng)) == pytest.approx(1)
    assert clusters.kmeans_recovery(*surrogates.plant_network(2000, 256, 10, 0.1, rng, meeting=False)) > 0.7
    assert clusters.kmeans_recovery(*surrogates.plant_network(2000, 256, 10, 0.1, rng)) < 0.3


def test_planted_points_have_the_shape_asked_for():
    points, curve = surrogates.plant_network(103, 7, 10, 0.1, np.random.default_rng(0))
    assert points.shape == (103, 7)
    assert points.dtype == np.float32
    assert sorted(np.bincount(curve)) == [10] * 7 + [11] * 3
    for number in range(10):
        assert points[curve == number].mean(axis=0) == pytest.approx(0, abs=1e-5)


def test_neighbour_distance_is_small_for_a_true_map_and_one_for_a_shuffled_one():
    plane = random_square(1000)
    space = np.pad(plane, ((0, 0), (0, 5)))
    true = clusters.neighbour_distance(space, plane)
    assert true == pytest.approx(clusters.neighbour_distance(space, space))
    assert true < 0.1
    shuffled = np.random.default_rng(1).permutation(plane)
    assert clusters.neighbour_distance(space, shuffled) == pytest.approx(1, abs=0.1)


def test_distance_correlation_is_one_up_to_scale_and_zero_without_relation():
    plane = random_square(2000)
    assert clusters.distance_correlation(plane, 3 * plane + 1) == pytest.approx(1)
    assert clusters.distance_correlation(plane, random_square(2000, seed=1)) == pytest.approx(0, abs=0.05)


def test_align_undoes_shift_scale_rotation_and_mirror():
    plane = random_square(200)
    turned = np.stack([plane[:, 1], 5 * np.ones(200) + plane[:, 0]], axis=1) * 4
    aligned = clusters.align(plane, turned)
    assert aligned.agreement == pytest.approx(1)
    assert np.allclose(aligned.reference, aligned.embedding, atol=1e-6)
    assert clusters.align(plane, random_square(200, seed=1)).agreement < 0.1


def test_attribute_contrasts_find_the_attribute_with_an_area():
    plane = random_square(1000)
    left, scattered = plane[:, 0] < 0.3, np.random.default_rng(1).random(1000) < 0.3
    attributes = np.stack([left, scattered, np.ones(1000), np.zeros(1000)], axis=1).astype(np.int8)
    area, chance, everyone, nobody = clusters.attribute_contrasts(plane, attributes)
    assert area > 0.9
    assert abs(chance) < 0.15
    assert everyone == nobody == 0


def test_effect_size_is_the_difference_in_spreads():
    assert clusters.effect_size([1.0, 3.0], [5.0, 7.0]) == pytest.approx(-4 / np.sqrt(2))
    assert clusters.effect_size([0.0, 0.0], [0.0, 0.0]) == 0
