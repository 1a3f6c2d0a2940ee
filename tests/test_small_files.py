"""Small files against one archive, and Linux' settings, which are read and never written."""

import os
import sys

import pytest

from data_prep import small_files
from data_prep.small_files import Comparison, Writeback, compare_small_files, read_writeback
from helpers.files import InputError


def write_settings(folder, **values):
    names = [*small_files.PAIRS, *small_files.PAIRS.values()]
    for name in names:
        (folder / name).write_text(f"{values.get(name, 0)}\n")
    return folder


def test_both_forms_hold_the_same_content_and_nothing_is_left(tmp_path, monkeypatch):
    seen = {}

    def look(folder, **options):
        seen["files"] = sum(path.stat().st_size for path in (folder / "files").rglob("*.jpg"))
        seen["folders"] = len(list((folder / "files").iterdir()))
        with small_files.zipfile.ZipFile(folder / "all.zip") as archive:
            seen["archive"] = sum(entry.file_size for entry in archive.infolist())
            seen["names"] = len(archive.namelist())
        remove(folder, **options)

    remove = small_files.shutil.rmtree
    monkeypatch.setattr(small_files.shutil, "rmtree", look)
    comparison = compare_small_files(tmp_path, 700)
    assert seen == {"files": 4_900_000, "archive": 4_900_000, "names": 700, "folders": 2}
    assert (comparison.count, comparison.content_bytes) == (700, 4_900_000)
    assert comparison.files_seconds > 0 and comparison.archive_seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_each_file_is_flushed_as_the_archive_is(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(small_files, "flush_to_disk", flushed.append)
    compare_small_files(tmp_path, 5)
    assert len(flushed) == 6 and flushed[-1].name == "all.zip"


def test_a_folder_that_cannot_be_written_to_gets_one_sentence(tmp_path, capsys):
    with pytest.raises(InputError, match="give a folder of your own"):
        compare_small_files(tmp_path / "nowhere", 3)
    assert small_files.main(["--folder", str(tmp_path / "nowhere"), "--count", "3"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_rates_follow_from_the_seconds():
    lines = small_files.format_comparison(Comparison(2000, 14_000_000, 7.0, 0.5)).splitlines()
    assert lines[0].split()[:4] == ["2,000", "small", "files", "7.00"]
    assert "2.0 MB/s" in lines[0] and "28.0 MB/s" in lines[1]
    assert lines[2].endswith("14.0 times as long")


@pytest.mark.skipif(sys.platform != "linux", reason="vm.dirty_bytes is Linux' own")
def test_what_may_wait_follows_from_bytes_or_from_the_share(tmp_path):
    share = read_writeback(write_settings(tmp_path, dirty_ratio=20, dirty_background_ratio=10))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < share.allowed["dirty_bytes"] <= 0.2 * memory
    assert share.allowed["dirty_background_bytes"] == pytest.approx(
        share.allowed["dirty_bytes"] / 2, rel=0.01
    )
    fixed = read_writeback(write_settings(tmp_path, dirty_bytes=1000, dirty_background_ratio=10))
    assert fixed.allowed["dirty_bytes"] == 1000


def test_the_way_back_names_what_was_in_use():
    settings = {"dirty_bytes": 0, "dirty_ratio": 30, "dirty_background_bytes": 7, "dirty_background_ratio": 0}
    text = small_files.format_writeback(
        Writeback(settings, {"dirty_bytes": 3e9, "dirty_background_bytes": 7})
    )
    assert "sysctl vm.dirty_bytes=50331648 vm.dirty_background_bytes=16777216" in text
    assert "sysctl vm.dirty_ratio=30 vm.dirty_background_bytes=7" in text
    assert "3,000 MB may wait now, 50 MB" in text


def test_without_linux_there_are_no_settings(tmp_path):
    assert read_writeback(tmp_path) is None
    assert "Linux" in small_files.format_writeback(None)


def test_settings_are_not_written(tmp_path):
    folder = write_settings(tmp_path, dirty_ratio=20, dirty_background_ratio=10)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    small_files.format_writeback(read_writeback(folder))
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
