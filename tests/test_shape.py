import numpy as np
import pytest

from helpers.latent import neighbours


def test_a_ball_fills_the_share_of_its_square_and_cube_that_geometry_says():
    rng = np.random.default_rng(0)
    for dimensions, share in ((2, np.pi / 4), (3, np.pi / 6)):
        points = rng.standard_normal((200_000, dimensions))
        points *= (rng.uniform(size=(len(points), 1)) ** (1 / dimensions)) / np.linalg.norm(
            points, axis=1, keepdims=True
        )
        stretched = points * np.arange(1, dimensions + 1) + 7  # neither scale nor place matters
        assert neighbours.log10_volume_share(stretched, 1) == pytest.approx(np.log10(share), abs=0.01)


def test_a_normal_cloud_in_many_dimensions_fills_next_to_nothing_of_its_box():
    points = np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)
    assert neighbours.log10_volume_share(points) < -6
    assert neighbours.log10_volume_share(points[:, :2]) > -2


def test_an_ellipsoid_that_reaches_out_of_the_box_fills_no_more_than_the_box():
    diagonal = np.random.default_rng(0).standard_normal((500, 1)) * np.ones(40)
    assert neighbours.log10_volume_share(diagonal) == 0


def lattice(n=20, half_side=1.0):
    steps = (np.arange(n) + 0.5) / n * 2 * half_side - half_side
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


def test_largest_empty_circles_find_a_hole_and_touch_no_point():
    points = lattice()
    points = points[np.linalg.norm(points - [0.3, -0.2], axis=1) > 0.35]
    centres, radii = neighbours.largest_empty_circles(points, 1, 5)
    assert centres[0] == pytest.approx([0.3, -0.2], abs=0.06)
    assert radii[0] == pytest.approx(0.38, abs=0.04)
    assert (np.diff(radii) <= 0).all()
    distances = np.linalg.norm(points[None] - centres[:, None], axis=-1).min(axis=1)
    assert distances == pytest.approx(radii)
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1) + np.eye(len(centres)) * 9
    assert (apart > np.minimum.outer(radii, radii)).all()


def test_empty_circles_stay_inside_the_window_and_may_be_fewer_than_asked_for():
    points = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    centres, _ = neighbours.largest_empty_circles(points, 0.2, 30, centre=(0.5, 0.5))
    assert np.abs(centres - 0.5).max() <= 0.2
    assert len(neighbours.largest_empty_circles(lattice(3), 1, 30)[0]) == 4


def test_void_share_of_random_points_lines_and_a_lattice():
    rng = np.random.default_rng(1)
    shares = [neighbours.void_share(rng.uniform(-2, 2, (4000, 2)), 1) for _ in range(10)]
    assert np.mean(shares) == pytest.approx(np.exp(-np.pi / 4), abs=0.01)
    lines = np.column_stack([rng.uniform(-1, 1, 900), rng.choice([-0.6, 0.0, 0.6], 900)])
    assert neighbours.void_share(lines, 1) > 0.7
    assert neighbours.void_share(lattice(), 1) < 0.25
    assert np.isnan(neighbours.void_share(lines, 0.1, centre=(5, 5)))


def test_regions_are_counted_for_each_number_of_neighbours():
    rng = np.random.default_rng(2)
    clouds = [rng.standard_normal((200, 8)) + 40 * k for k in range(3)]
    few, many = neighbours.count_regions(np.concatenate(clouds), [1, 10])
    assert many == 3
    assert few > 30
    assert neighbours.count_regions(clouds[0], [10]) == [1]


def test_density_between_halves_tells_one_cloud_from_two():
    rng = np.random.default_rng(3)
    one = rng.standard_normal((20_000, 3)) * [3, 1, 1]
    two = one + 4 * 3 * (np.arange(len(one)) % 2)[:, None] * [1, 0, 0]
    at_halves = np.exp(-(np.sqrt(2 / np.pi) ** 2) / 2)  # the halves of a normal cloud lie at ±√(2/π) sigma
    assert neighbours.density_between_halves(one) == pytest.approx(1 / at_halves, abs=0.1)
    assert neighbours.density_between_halves(two) < 0.5


def test_core_radii_are_equal_for_any_ellipse_and_longer_at_the_corners_of_a_square():
    rng = np.random.default_rng(4)
    normal = rng.standard_normal((60_000, 2))
    tilted = normal @ np.array([[3, 1], [0, 0.4]]) + 7
    for points in (normal, tilted):
        assert neighbours.core_radii(points) == pytest.approx(np.sqrt(2 * np.log(2)) * np.ones(8), rel=0.03)
    square = neighbours.core_radii(rng.uniform(-1, 1, (60_000, 2)) * [5, 1])
    assert (square[1::2] > 1.1 * square[::2]).all()
    assert square.std() / square.mean() > 0.05
