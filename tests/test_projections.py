import numpy as np
import pytest
from sklearn.cluster import KMeans

from benchmarks.bench_latent import embed_with_scikit_learn
from helpers.files import InputError
from helpers.latent import clusters as clusters_module
from helpers.latent import maps, neighbours


def clusters(n=300, count=5, dimensions=10, distance=8.0, seed=0):
    """Points (n, dimensions) in `count` clusters of spread 1, and the numbers of their clusters."""
    rng = np.random.default_rng(seed)
    centres = distance * rng.standard_normal((count, dimensions))
    labels = rng.integers(count, size=n)
    return (centres[labels] + rng.standard_normal((n, dimensions))).astype("f4"), labels


@pytest.mark.parametrize("embed", [maps.embed_tsne, embed_with_scikit_learn])
def test_tsne_separates_planted_clusters_and_repeats_itself(embed):
    points, labels = clusters()
    embedding = embed(points, iterations=300)
    assert embedding.shape == (300, 2)
    assert embedding.dtype == np.float32
    found = KMeans(5, n_init=5, random_state=0).fit_predict(embedding)
    pairs = set(zip(labels.tolist(), found.tolist(), strict=True))
    assert len(pairs) == 5  # each cluster of the map is one of the points'
    assert np.array_equal(embedding, embed(points, iterations=300))


def test_another_seed_gives_another_map():
    points = np.random.default_rng(0).standard_normal((100, 8)).astype("f4")
    first, second = (maps.embed_tsne(points, 10, seed=seed, iterations=100) for seed in (1, 2))
    assert not np.array_equal(first, second)


def test_tsne_through_the_fft_repeats_itself():
    points, _ = clusters(n=maps.MANY_POINTS)
    first, second = (maps.embed_tsne(points, perplexity=5, iterations=100) for _ in range(2))
    assert np.array_equal(first, second)


def test_openTSNE_and_scikit_learn_keep_about_the_same_neighbours():
    points = np.random.default_rng(0).standard_normal((500, 8)).astype("f4")
    embeddings = [embed(points, iterations=500) for embed in (maps.embed_tsne, embed_with_scikit_learn)]
    kept = [clusters_module.neighbour_preservation(points, embedding) for embedding in embeddings]
    assert kept[0] == pytest.approx(kept[1], abs=0.05)
    assert min(kept) > 0.2


def test_tsne_reports_how_far_it_is():
    reports = []
    points, _ = clusters(n=100)
    maps.embed_tsne(points, 10, iterations=300, report=lambda done, of: reports.append((done, of)))
    assert reports[-1] == (300, 300)
    assert reports == sorted(set(reports))


def test_a_report_that_returns_something_does_not_end_the_map():
    points, _ = clusters(n=100)
    silent = maps.embed_tsne(points, 10, iterations=300)
    talking = maps.embed_tsne(points, 10, iterations=300, report=lambda *numbers: True)
    assert np.array_equal(silent, talking)


def test_tsne_leaves_the_points_alone_and_takes_two_dimensions():
    points, _ = clusters(n=100, dimensions=2)
    copy = points.copy()
    assert np.isfinite(maps.embed_tsne(points, 10, iterations=100)).all()
    assert np.array_equal(points, copy)


def test_tsne_says_what_it_cannot_do():
    points, _ = clusters(n=90)
    with pytest.raises(InputError, match="perplexity 30 needs more than 90 points, here are 90; lower"):
        maps.embed_tsne(points)
    points[0, 0] = np.inf
    with pytest.raises(InputError, match="not finite"):
        maps.embed_tsne(points, 10)
    with pytest.raises(InputError, match="all rows are the same"):
        maps.embed_tsne(np.full((50, 3), 0.1, "f4"), 10)


def test_neighbour_preservation_is_1_for_the_points_themselves_and_small_for_noise():
    points, _ = clusters(n=1200, dimensions=2)
    assert clusters_module.neighbour_preservation(points, points) == 1
    noise = np.random.default_rng(1).standard_normal((1200, 2))
    assert clusters_module.neighbour_preservation(points, noise) == pytest.approx(10 / 1199, abs=0.005)


def test_neighbour_preservation_against_a_plain_loop():
    points, _ = clusters(n=60, count=1)
    embedding, shares = points[:, :2], []
    for row in range(60):
        near = []
        for space in (points, embedding):
            order = np.argsort(np.linalg.norm(space - space[row], axis=1))
            near.append(set(order[order != row][:10]))
        shares.append(len(near[0] & near[1]) / 10)
    assert clusters_module.neighbour_preservation(points, embedding) == pytest.approx(np.mean(shares))


def test_identical_points_are_neighbours_of_each_other_and_not_of_themselves():
    rows = neighbours.nearest_rows(np.zeros((40, 3)), np.arange(40), 5)
    assert rows.shape == (40, 5)
    assert (rows != np.arange(40)[:, None]).all()


def test_elbow_of_planted_clusters_is_their_number_and_noise_has_none():
    counts = list(range(2, 41, 2))
    points, _ = clusters(n=2000, count=10, dimensions=16)
    noise = np.random.default_rng(0).standard_normal((2000, 16)).astype("f4")
    found, none = (
        clusters_module.elbow(counts, clusters_module.inertia_curve(z, counts)) for z in (points, noise)
    )
    assert found.clusters in (10, 12)
    assert found.strength > 0.5
    assert none.strength < 0.1


def test_a_power_law_has_no_elbow():
    counts = np.arange(2, 81, 2)
    assert clusters_module.elbow(counts, 1000.0 * counts**-0.3).strength == pytest.approx(0, abs=1e-9)
    bent = np.where(counts < 20, counts**-1.0, 20.0**-1.0)
    assert clusters_module.elbow(counts, bent).clusters == 20


def test_inertia_falls_and_repeats_itself():
    points, _ = clusters(n=500)
    inertias = clusters_module.inertia_curve(points, [1, 2, 5])
    assert inertias[0] == pytest.approx(((points - points.mean(axis=0)) ** 2).sum(), rel=0.02)
    assert (np.diff(inertias) < 0).all()
    assert np.array_equal(inertias, clusters_module.inertia_curve(points, [1, 2, 5]))
    assert not np.array_equal(inertias, clusters_module.inertia_curve(points, [1, 2, 5], seed=2))


def test_more_clusters_than_points_get_one_clear_sentence():
    points, _ = clusters(n=20)
    with pytest.raises(InputError, match="30 clusters cannot be made of 20 points"):
        clusters_module.inertia_curve(points, [2, 30])
