import threading
import time

import numpy as np
import pytest

from helpers import reporting
from helpers.files import InputError
from helpers.latent import maps as maps_module

POINTS = np.random.default_rng(0).standard_normal((100, 5)).astype("f4")


@pytest.fixture
def counted(monkeypatch):
    """List of the options of every call of t-SNE, which is replaced by its first two coordinates."""
    calls = []

    def cheap(points, report, **options):
        report(500, 1000)
        calls.append(options)
        return points[:, :2].copy()

    monkeypatch.setattr(maps_module, "embed_tsne", cheap)
    return calls


def test_maps_come_under_their_names_with_the_settings_asked_for(tmp_path, counted):
    maps = maps_module.embed_all({"a": POINTS, "b": POINTS[:50]}, tmp_path, maps_module.SECOND, seed=4)
    assert np.array_equal(maps["a"], POINTS[:, :2])
    assert maps["b"].shape == (50, 2)
    assert counted == [{"perplexity": 10, "early_exaggeration": 16, "seed": 4, "iterations": 1000}] * 2


def test_the_same_map_is_loaded_and_another_is_made(tmp_path, counted):
    maps_module.embed_all({"a": POINTS}, tmp_path)
    assert np.array_equal(maps_module.embed_all({"a": POINTS}, tmp_path)["a"], POINTS[:, :2])
    assert len(counted) == 1
    maps_module.embed_all({"a": POINTS + 1}, tmp_path)
    maps_module.embed_all({"a": POINTS + 1}, tmp_path, maps_module.SECOND)
    maps_module.embed_all({"a": POINTS + 1}, tmp_path, maps_module.SECOND, seed=2)
    assert len(counted) == 4


def test_a_damaged_file_is_made_anew(tmp_path, counted):
    maps_module.embed_all({"of a\ncloud": POINTS}, tmp_path)
    [path] = tmp_path.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-4])
    assert np.array_equal(
        maps_module.embed_all({"of a\ncloud": POINTS}, tmp_path)["of a\ncloud"], POINTS[:, :2]
    )
    assert len(counted) == 2
    assert not list(tmp_path.glob(".*"))  # no half-written file stays behind


def test_progress_names_the_maps_at_work(tmp_path, monkeypatch, capsys):
    seen = threading.Event()

    def slow(points, report, **options):
        report(500, 1000)
        assert seen.wait(10)
        return points[:, :2].copy()

    def live(self, text):
        if text.count("iteration") == 2:
            self.line(text)
            seen.set()

    monkeypatch.setattr(maps_module.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(maps_module, "embed_tsne", slow)
    monkeypatch.setattr(reporting.LiveReport, "live", live)
    maps_module.embed_all({"a": POINTS, "the\nother": POINTS[:50]}, tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "0 of 2 maps; a, 100 points, iteration 500 of 1,000; the other, 50 points, iteration 500 of 1,000"
    )
    assert lines[1].startswith("t-SNE maps with perplexity 30, exaggeration 12, made or loaded: 2 in ")


def test_a_failing_map_ends_the_others(tmp_path, monkeypatch):
    reports = []

    def endless(points, report, **options):
        if len(points) == 50:
            raise InputError("This cloud has no map.")
        while len(reports) < 2000:  # about 20 s, unless it is stopped
            reports.append(time.sleep(0.01))
            report(len(reports), 2000)

    monkeypatch.setattr(maps_module.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(maps_module, "embed_tsne", endless)
    with pytest.raises(InputError, match="This cloud has no map"):
        maps_module.embed_all({"a": POINTS, "b": POINTS[:50], "c": POINTS[:60]}, tmp_path)
    assert len(reports) < 1500
    assert list(tmp_path.iterdir()) == []


def test_large_maps_are_made_one_at_a_time(tmp_path, monkeypatch):
    at_work, most = [], []

    def watch(points, report, **options):
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()
        return points[:, :2].copy()

    monkeypatch.setattr(maps_module.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(maps_module, "embed_tsne", watch)
    clouds = {name: POINTS + number for number, name in enumerate("abc")}
    maps_module.embed_all(clouds, tmp_path / "small")
    assert max(most) == 2
    most.clear()
    maps_module.embed_all({**clouds, "d": np.repeat(POINTS, 20, axis=0)}, tmp_path / "large")
    assert max(most) == 1


def test_real_maps_keep_nothing_when_there_are_too_few_points(tmp_path):
    with pytest.raises(InputError, match="needs more than 90 points"):
        maps_module.embed_all({"a": POINTS[:40]}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (points,) = maps_module.embed_all({"a": POINTS}, tmp_path, maps_module.SECOND).values()
    assert points.shape == (100, 2)
    assert points.dtype == np.float32
