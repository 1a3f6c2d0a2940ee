import itertools
import os
import signal
import subprocess
import sys
import time
from functools import partial

import archives
import numpy as np
import psutil
import pytest

from data_prep.packing import store
from data_prep.packing.store import CHUNK_ROWS, JOURNAL, ROWS, check_packed, npy_header
from data_prep.prepare_celeba import prepare

COUNT = 3000
KILLS = 5
OPTIONS = ("--size", 128, "--workers", 2)  # larger images make a run long enough to be hit


def records(out):
    """Number of chunks that the journal of an unfinished preparation speaks for."""
    journal = out / JOURNAL
    return journal.read_text().count("\n") - 1 if journal.exists() else 0


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Archive of 3,000 images with lists, its undisturbed result, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("many")
    distinct = archives.jpegs(50, width=260, height=300)
    data = itertools.cycle(distinct.values())
    source = archives.official(folder, {f"{number:06d}.jpg": next(data) for number in range(COUNT)})
    started = time.monotonic()
    assert archives.run(source, folder / "out", *OPTIONS).returncode == 0
    return source, archives.result(folder / "out"), time.monotonic() - started


def start(source, out):
    return subprocess.Popen(
        archives.command(source, out, *OPTIONS),
        cwd=archives.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background has Ctrl-C ignored by all that it starts.
        preexec_fn=None if os.name == "nt" else partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_records(process, out):
    while process.poll() is None and records(out) < 1:
        time.sleep(0.02)


def kill_after(seconds, source, out, midway):
    """Start a preparation and kill it; return the chunks that its journal speaks for, if it was midway.

    With `midway` it is killed no earlier than the journal speaks for a chunk.
    """
    process = start(source, out)
    time.sleep(seconds)
    if midway:
        wait_for_records(process, out)
    workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.communicate()
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    if (out / "manifest.json").exists():
        check_packed(out, hashes=True)
        return 0
    return records(out) if (out / ROWS).exists() else 0


def test_kills_at_random_moments_change_nothing(many, tmp_path):
    source, undisturbed, duration = many
    seed = time.time_ns()
    print("seed of the moments:", seed)
    found = []
    for kill, share in enumerate(np.random.default_rng(seed).uniform(0.1, 0.9, KILLS)):
        out = tmp_path / str(kill)
        midway = kill == 0
        found.append(kill_after(0 if midway else share * duration, source, out, midway))
        assert archives.run(source, out, *OPTIONS).returncode == 0
        assert archives.result(out) == undisturbed
        assert not (out / ROWS).exists() and not (out / JOURNAL).exists()
    assert any(0 < chunks < COUNT / CHUNK_ROWS for chunks in found), found


def test_killed_worker_is_told_and_changes_nothing(many, tmp_path):
    source, undisturbed, _ = many
    out = tmp_path / "out"
    process = start(source, out)
    wait_for_records(process, out)
    workers = psutil.Process(process.pid).children(recursive=True)
    max(workers, key=lambda worker: worker.memory_info().rss).kill()
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 2 and "worker process was ended" in stderr
    assert archives.result(out) == {}
    assert archives.run(source, out, *OPTIONS).returncode == 0
    assert archives.result(out) == undisturbed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console only")
def test_interrupt_says_one_line_and_goes_on(many, tmp_path):
    source, undisturbed, _ = many
    out = tmp_path / "out"
    process = start(source, out)
    wait_for_records(process, out)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130 and stderr.count("\n") == 1 and "interrupted" in stderr
    assert archives.result(out) == {} and 0 < records(out) < COUNT / CHUNK_ROWS
    assert archives.run(source, out, *OPTIONS).returncode == 0
    assert archives.result(out) == undisturbed


def test_interrupt_while_the_journal_is_flushed_counts_no_chunk_twice(tmp_path, monkeypatch):
    source = archives.write_zip(tmp_path / "faces.zip", archives.jpegs(3 * CHUNK_ROWS, width=20, height=20))
    options = {"crop": 20, "size": 8, "workers": 1}
    prepare(source, tmp_path / "fresh", **options)
    flush_really = os.fsync

    def interrupt_after_flushing(descriptor):
        flush_really(descriptor)
        if records(tmp_path / "out"):
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(store, "FLUSH_SECONDS", 0)
    monkeypatch.setattr(os, "fsync", interrupt_after_flushing)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out", **options)
    assert records(tmp_path / "out") == 1
    prepare(source, tmp_path / "out", **options)
    assert archives.result(tmp_path / "out") == archives.result(tmp_path / "fresh")


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """Source and target of a preparation that was interrupted in its fourth chunk."""
    source = archives.write_zip(tmp_path / "faces.zip", archives.jpegs(5 * CHUNK_ROWS, width=20, height=20))
    calls = itertools.count()

    def decode(*arguments):
        if next(calls) == 3 * CHUNK_ROWS + 7:
            raise KeyboardInterrupt
        return decode_really(*arguments)

    decode_really = store.decode
    monkeypatch.setattr(store, "decode", decode)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out", crop=20, size=8, workers=1)
    monkeypatch.undo()
    assert records(tmp_path / "out") == 3 and archives.result(tmp_path / "out") == {}
    return source, tmp_path / "out"


def mark_first_row(out):
    """Change the first packed byte, to see whether that row is kept or made anew; return its place."""
    place = len(npy_header(0, 8))
    with (out / ROWS).open("r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 255]))
    return place


def first_byte_differs(source, out):
    """Finish the preparation; whether its first byte differs from that of an undisturbed one."""
    fresh = out.with_name("fresh")
    prepare(source, out, crop=20, size=8)
    prepare(source, fresh, crop=20, size=8)
    images = [np.load(folder / "images.npy") for folder in (out, fresh)]
    assert (images[0].ravel()[1:] == images[1].ravel()[1:]).all()
    return images[0].ravel()[0] != images[1].ravel()[0]


@pytest.fixture
def decoded(monkeypatch):
    """Grows by one entry whenever this process decodes an image."""
    calls, decode_really = [], store.decode
    monkeypatch.setattr(store, "decode", lambda *arguments: calls.append(1) or decode_really(*arguments))
    return calls


def test_finished_chunks_are_not_done_again(interrupted, decoded):
    source, out = interrupted
    prepare(source, out, crop=20, size=8, workers=1)
    assert len(decoded) == 2 * CHUNK_ROWS
    assert not first_byte_differs(source, out)


@pytest.mark.parametrize("damage", ["row", "digit of a chunk", "digit of a size", "no object", "no seal"])
def test_damaged_row_or_record_is_done_again(damage, interrupted, decoded):
    source, out = interrupted
    lines = (out / JOURNAL).read_text().splitlines(keepends=True)
    if damage == "row":
        mark_first_row(out)
    else:
        old, new = {
            "digit of a chunk": ('"chunk": 0', '"chunk": 4'),
            "digit of a size": (": 64}", ": 46}"),
            "no object": (lines[1], "[]\n"),
            "no seal": ('"seal"', '"eal"'),
        }[damage]
        assert old in lines[1]
        lines[1] = lines[1].replace(old, new, 1)
        (out / JOURNAL).write_text("".join(lines))
    prepare(source, out, crop=20, size=8, workers=1)
    assert len(decoded) == 3 * CHUNK_ROWS
    assert not first_byte_differs(source, out)
    assert archives.result(out) == archives.result(out.with_name("fresh"))


def test_torn_last_line_of_the_journal_is_ignored(interrupted):
    source, out = interrupted
    with (out / JOURNAL).open("a") as journal:
        journal.write('{"chunk": 3, "sizes": {"20×20": 6')
    assert not first_byte_differs(source, out)


@pytest.mark.parametrize("change", ["settings", "source", "unreadable journal", "rows cut off"])
def test_what_does_not_fit_is_discarded(change, interrupted, capfd):
    source, out = interrupted
    mark_first_row(out)
    if change == "settings":
        prepare(source, out, crop=16, size=8)
        assert "discarded" in capfd.readouterr().err
    elif change == "source":
        archives.write_zip(source, archives.jpegs(5 * CHUNK_ROWS + 1, width=20, height=20))
    elif change == "unreadable journal":
        (out / JOURNAL).write_bytes(b"\xff\x00")
    else:
        with (out / ROWS).open("r+b") as file:
            file.truncate(1000)
    assert not first_byte_differs(source, out)


def test_bad_image_found_late_can_be_skipped_from_there(tmp_path, decoded):
    files = archives.jpegs(3 * CHUNK_ROWS, width=20, height=20)
    last = max(files)
    source = archives.write_zip(tmp_path / "faces.zip", files | {last: b"bad"})
    out, options = tmp_path / "out", ("--crop", 20, "--size", 8, "--workers", 1)
    assert archives.run(source, out, *options).returncode == 2 and records(out) == 2
    prepare(source, out, crop=20, size=8, workers=1, strict=False)
    assert len(decoded) == CHUNK_ROWS
    prepare(source, tmp_path / "fresh", crop=20, size=8, workers=1, strict=False)
    assert archives.result(out) == archives.result(tmp_path / "fresh")
    assert check_packed(out)["images"] == 3 * CHUNK_ROWS - 1
