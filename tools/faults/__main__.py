"""Attack the project's commands with hundreds of faults, and count what comes of them (`make faults`)."""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}  # equal sums in each run

from helpers.files import project_root, write_json
from tools.faults.attack import LOST, VERDICTS, WRONG, Lab, attack
from tools.faults.cases import list_cases, sample

EXAMPLES = "400"  # generated calls of each numeric function
lab = None  # of a worker process


def open_lab(root):
    """Begin a worker process."""
    global lab
    lab = Lab(tempfile.mkdtemp(dir=root))


def work_on(case):
    """A case, its verdict and the seconds it took."""
    started = time.monotonic()
    return case, attack(case, lab), time.monotonic() - started


def run_cases(cases, workers):
    """Results of `work_on` of all cases, in the order of their numbers; what is wrong is shown at once."""
    root = tempfile.mkdtemp(prefix="faults-")
    context = multiprocessing.get_context("fork")  # TensorFlow is imported once, and has not computed yet
    try:
        with ProcessPoolExecutor(workers, context, open_lab, (root,)) as pool:
            found = []
            for future in as_completed([pool.submit(work_on, case) for case in cases]):
                found.append(future.result())
                case, verdict, _ = found[-1]
                if verdict.verdict in (WRONG, LOST):
                    print(f"{case}\n    {verdict.verdict}: {verdict.why}", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return sorted(found)


def show_table(found):
    """Print how often which fault came to what."""
    print(f"\n{'fault':24}{'times':>7}" + "".join(f"{verdict:>9}" for verdict in VERDICTS))
    faults = dict.fromkeys(case.fault for case, *_ in found)
    for fault in (*faults, None):
        kinds = [verdict.verdict for case, verdict, _ in found if fault in (None, case.fault)]
        counts = "".join(f"{kinds.count(verdict):9}" for verdict in VERDICTS)
        print(f"{fault or 'all':24}{len(kinds):7}{counts}")


def attack_numbers():
    """Generated arrays for every public numeric function; exit code of the test that holds them."""
    test = project_root() / "tests" / "test_arrays.py"
    environment = os.environ | {"FAULT_EXAMPLES": os.environ.get("FAULT_EXAMPLES", EXAMPLES)}
    command = [sys.executable, "-m", "pytest", "-q", str(test)]
    return subprocess.run(command, env=environment, cwd=project_root(), check=False).returncode


def main(arguments=None):
    """Exit code 1 where anything was wrong or lost."""
    parser = argparse.ArgumentParser("python -m tools.faults", description=__doc__)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of cases to repeat")
    parser.add_argument("--route", help="faults on this route only")
    parser.add_argument("--sample", action="store_true", help="the sample of `make test`")
    parser.add_argument("--list", action="store_true", help="show all cases")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for all verdicts")
    options = parser.parse_args(arguments)
    cases = sample() if options.sample else list_cases()
    if options.only:
        cases = [case for case in list_cases() if case.number in options.only]
    cases = [case for case in cases if options.route in (None, case.route)]
    if options.list:
        print(*cases, sep="\n")
        return 0
    started = time.monotonic()
    found = run_cases(cases, min(options.workers, len(cases)))
    show_table(found)
    print(f"{len(found)} faults in {time.monotonic() - started:.0f} s; repeat one: --only NUMBER")
    if options.json:
        rows = [
            {**case._asdict(), **verdict._asdict(), "seconds": seconds} for case, verdict, seconds in found
        ]
        write_json(options.json, rows)
    if options.only:
        print(*(f"{case}\n    {verdict.verdict}: {verdict.why}" for case, verdict, _ in found), sep="\n")
    bad = any(verdict.verdict in (WRONG, LOST) for _, verdict, _ in found)
    whole = not (options.only or options.sample or options.route)
    return int(bad or (whole and attack_numbers() != 0))


if __name__ == "__main__":
    sys.exit(main())
