import numpy as np
import pytest

from helpers import embedding
from helpers.workspace import InputError

POINTS = np.random.default_rng(0).standard_normal((100, 5)).astype("f4")


@pytest.fixture
def counted(monkeypatch):
    """List of the options of every call of t-SNE, which is replaced by its first two coordinates."""
    calls = []

    def cheap(points, report, **options):
        report(500, 1000)
        calls.append(options)
        return points[:, :2].copy()

    monkeypatch.setattr(embedding, "embed_tsne", cheap)
    return calls


def test_maps_come_under_their_names_with_the_settings_asked_for(tmp_path, counted):
    maps = embedding.embed_all({"a": POINTS, "b": POINTS[:50]}, tmp_path, embedding.SECOND, seed=4)
    assert np.array_equal(maps["a"], POINTS[:, :2])
    assert maps["b"].shape == (50, 2)
    assert counted == [{"perplexity": 10, "early_exaggeration": 16, "seed": 4, "iterations": 1000}] * 2


def test_the_same_map_is_loaded_and_another_is_made(tmp_path, counted):
    embedding.embed_all({"a": POINTS}, tmp_path)
    assert np.array_equal(embedding.embed_all({"a": POINTS}, tmp_path)["a"], POINTS[:, :2])
    assert len(counted) == 1
    embedding.embed_all({"a": POINTS + 1}, tmp_path)
    embedding.embed_all({"a": POINTS + 1}, tmp_path, embedding.SECOND)
    embedding.embed_all({"a": POINTS + 1}, tmp_path, embedding.SECOND, seed=2)
    assert len(counted) == 4


def test_a_damaged_file_is_made_anew(tmp_path, counted):
    embedding.embed_all({"of a\ncloud": POINTS}, tmp_path)
    [path] = tmp_path.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-4])
    assert np.array_equal(
        embedding.embed_all({"of a\ncloud": POINTS}, tmp_path)["of a\ncloud"], POINTS[:, :2]
    )
    assert len(counted) == 2
    assert not list(tmp_path.glob(".*"))  # no half-written file stays behind


def test_progress_names_the_map(tmp_path, counted, monkeypatch, capsys):
    monkeypatch.setattr(embedding.LiveReport, "live", lambda self, text: self.line(text))
    embedding.embed_all({"a": POINTS, "the\nother": POINTS[:50]}, tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "map 1 of 2: a, 100 points, iteration 500 of 1,000"
    assert lines[1] == "map 2 of 2: the other, 50 points, iteration 500 of 1,000"
    assert lines[2].startswith("t-SNE maps with perplexity 30, exaggeration 12, made or loaded: 2 in ")


def test_real_maps_keep_nothing_when_there_are_too_few_points(tmp_path):
    with pytest.raises(InputError, match="needs more than 90 points"):
        embedding.embed_all({"a": POINTS[:40]}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (points,) = embedding.embed_all({"a": POINTS}, tmp_path, embedding.SECOND).values()
    assert points.shape == (100, 2)
    assert points.dtype == np.float32
