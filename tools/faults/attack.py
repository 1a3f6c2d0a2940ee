"""One case: a fault, the next run of the same command, and the verdict on both."""

import errno
import random
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from helpers.files import sha256_of
from tools.colab_stand_in.drive_faults import FaultyDrive
from tools.faults import cases, damages
from tools.faults.processes import KILLED, execute, small_disk
from tools.faults.routes import ROUTES, epochs_done, epochs_trained, hurry

RIGHT, REFUSED, WRONG, LOST = "right", "refused", "wrong", "lost"
VERDICTS = (RIGHT, REFUSED, WRONG, LOST)
NOT_PUBLISHED = "Not all of"  # begins a line that says what is not in MyDrive: no reason to end with an error
NAMED = ("damaged", "left out", "set aside", "kept as", "cannot be", "is no", "is not", "anew", "missing")
PAGE = 4096  # bytes that the smallest file takes on a disk
EPOCHS = 5  # that a whole study trains


class Verdict(NamedTuple):
    """What a case came to, and in words why."""

    verdict: str
    why: str = ""


class Lab:
    """Folders of one process: `place`, where all happens, and the states of each route, made when needed."""

    def __init__(self, root):
        self.root, self.place = Path(root), Path(root) / "place"
        self.kept, self.known = Path(root) / "kept", {}
        self.kept.mkdir(parents=True)

    def lay_out(self, name, state, place=None):
        """Make the folder what it is in a state of a route."""
        place = place or self.place
        if name not in self.known:
            self._prepare(name)
        if place.is_mount():
            shutil.copytree(self.kept / name / state, place, dirs_exist_ok=True)
            return
        self._clear()
        shutil.copytree(self.kept / name / state, place)

    def _clear(self):
        shutil.rmtree(self.place, ignore_errors=True)

    def _keep(self, name, state):
        shutil.copytree(self.place, self.kept / name / state)

    def _prepare(self, name):
        """Run a route undisturbed, and once until it is killed; keep its states and its result."""
        route = ROUTES[name]
        self._clear()
        self.place.mkdir()
        self._run(lambda place: route.make(place) or 0)
        self._keep(name, cases.FRESH)
        counter, counted = FaultyDrive(self.place), self.root / "calls.txt"

        def count(place):
            code = route.run(place)
            counted.write_text(str(counter.calls))
            return code

        ended = self._run(count, drive=counter)
        calls, result = int(counted.read_text()), route.result(self.place)
        self._keep(name, cases.DONE)
        self.known[name] = calls, ended.seconds, result
        if route.drive:
            self.lay_out(name, cases.FRESH)
            counter.folder = str(self.place / route.drive)
            self._run(count, drive=counter)
            self.known[name] = calls, ended.seconds, result, int(counted.read_text())
        if name == "pack":
            self.lay_out(name, cases.FRESH)
            killer = killing(self.place, round(0.8 * calls), 0)
            execute(route.run, self.place, drive=killer, first=hurry)
            self._keep(name, cases.MIDWAY)

    def _run(self, command, **options):
        ended = execute(command, self.place, first=hurry, **options)
        if ended.code != 0:
            raise RuntimeError(f"Undisturbed, a route ended with {ended.code}: {ended.said[-2000:]}")
        return ended


def killing(place, number, seed):
    """A disk on which the process is killed at this call."""
    drive = FaultyDrive(place, seed=seed)
    drive.killed_from, drive.killed_really = number, True
    return drive


def attack(case, lab):
    """`Verdict` of a case."""
    rng, route = random.Random(case.number), ROUTES[case.route]
    lab.lay_out(case.route, case.state)
    known = lab.known[case.route]
    if hasattr(damages, case.fault):
        return _after_damage(case, lab, route, rng, known)
    if case.fault == cases.FULL_DISK:
        return _on_full_disk(case, lab, route, rng, known)
    for _ in range(2 if case.fault == cases.TWO_KILLS else 1):
        options = _disturb(case, lab.place, route, rng, known)
        ended = execute(route.run, lab.place, first=hurry, **options)
    return _after_process(case, lab, route, ended, known)


def _disturb(case, place, route, rng, known):
    """Options of `execute` that disturb a process."""
    calls, seconds = known[:2]
    if case.fault in (cases.KILL_AT_CALL, cases.TWO_KILLS):
        return {"drive": killing(place, rng.randint(1, calls), case.number)}
    if case.fault == cases.KILL_AT_MOMENT:
        return {"kill_after": rng.uniform(0, seconds)}
    if case.fault == cases.FILE_LIMIT:
        return {"largest_file": int(2 ** rng.uniform(8, 18))}
    drive = FaultyDrive(place / route.drive, seed=case.number)
    if case.fault == cases.FALTERING:
        drive.rate = rng.uniform(0.02, 0.2)
    elif case.fault == cases.REFUSING:
        drive.only = {"write": errno.ENOSPC} if case.route == "publish" else {"read": errno.EACCES}
    else:
        start = rng.randint(1, known[3])
        drive.gone = range(start, start + (6 if case.fault == cases.PASSING else 10**9))
    return {"drive": drive}


def _on_full_disk(case, lab, route, rng, known):
    """Run where there is room for a part of the result only, then with more room."""
    size = _room(lab.kept / case.route / case.state)
    needed = _room(lab.kept / case.route / cases.DONE) - size
    shutil.rmtree(lab.place)
    lab.place.mkdir()
    with small_disk(lab.place, size + int(rng.uniform(0.05, 1) * needed)) as enlarge:
        if enlarge is None:
            return attack(case._replace(fault=cases.FILE_LIMIT), lab)
        lab.lay_out(case.route, case.state)
        ended = execute(route.run, lab.place, first=hurry)
        enlarge()
        return _after_process(case, lab, route, ended, known)


def _room(folder):
    """Bytes that the files of a folder take."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*"))


def _after_process(case, lab, route, ended, known):
    """Verdict on a process that was disturbed, and on the next one, which is not."""
    first = _judge_ending(route, ended)
    if ended.code != KILLED and first.verdict == WRONG:
        return first
    left = EPOCHS - epochs_done(lab.place, but=Path()) if case.route == "study" else 0
    again = execute(route.run, lab.place, first=hurry)
    second = _judge_result(case, route, again, known[2], lab.place, left)
    if second.verdict == REFUSED:
        return Verdict(WRONG, f"the next run is refused: {second.why}")
    return first if second.verdict == RIGHT and ended.code != KILLED else second


def _after_damage(case, lab, route, rng, known):
    """Spoil a file, and judge the next run."""
    path = next(iter(sorted(lab.place.glob(case.where))), None)
    if path is None:
        return Verdict(WRONG, "there is no such file; has the layout changed?")
    getattr(damages, case.fault)(path, rng)
    left = EPOCHS - epochs_done(lab.place, but=path) if case.route == "study" else 0
    kept = _contents(lab.place, route.kept, path)
    expected = known[2]
    if case.fault == "edit":  # what counts is what the user gives now
        execute(lambda place: shutil.rmtree(place / "packed") or route.run(place), lab.place, first=hurry)
        expected = route.result(lab.place)
        lab.lay_out(case.route, case.state)
        damages.edit(path, rng)
    ended = execute(route.run, lab.place, first=hurry)
    verdict = _judge_result(case, route, ended, expected, lab.place, left, path)
    gone = kept - _contents(lab.place, ("**/*",), None)
    return Verdict(LOST, f"{len(gone)} files are gone") if gone else verdict


def _contents(place, patterns, but):
    """sha256 of all files that the patterns find, but hidden ones."""
    files = {path for pattern in patterns for path in place.glob(pattern) if path.is_file() and path != but}
    return {sha256_of(path) for path in files if path.name[0] != "."}


def _judge_ending(route, ended):
    """Whether a process did its work, or said in one sentence why not."""
    said = [line for line in ended.said.splitlines() if line.strip()]
    if "Traceback (most recent call last)" in ended.said:
        return Verdict(WRONG, f"traceback, ends with: {said[-1][:300]}")
    if ended.code == 2 and said:
        return Verdict(REFUSED, said[-1])
    return Verdict(RIGHT) if ended.code == 0 else Verdict(WRONG, f"exit {ended.code}: {said[-1:]}")


def _judge_result(case, route, ended, expected, place, left, spoiled=None):
    """Verdict on a run that nothing disturbed; `left`: epochs of a study that were to be trained."""
    verdict = _judge_ending(route, ended)
    if verdict.verdict != RIGHT:
        return verdict
    if case.route == "study" and epochs_trained(ended.said) > left:
        return Verdict(LOST, f"{epochs_trained(ended.said)} epochs trained, {left} were missing")
    found = _result(route, place)
    differs = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if not differs:
        return verdict
    lines = [line for line in ended.said.splitlines() if _speaks_of(line, spoiled)]
    if lines:
        return Verdict(REFUSED, lines[-1])
    return Verdict(WRONG, f"without a word another {', '.join(map(str, differs[:6]))}")


def _result(route, place):
    """Result of a route; nothing where it cannot even be read."""
    try:
        return route.result(place)
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _speaks_of(line, spoiled):
    """Whether a line says what has become of a file that was spoiled, or that it is not in MyDrive."""
    if line.startswith(NOT_PUBLISHED):
        return True
    name = spoiled and re.search(re.escape(spoiled.name), line)
    return bool(name) and any(word in line for word in NAMED)
