"""Measuring in processes of their own: memory that a process has once had stays with it."""

import importlib
import json
import os
import subprocess
import sys
import traceback

from helpers import monitor
from helpers.workspace import project_root

FORKS = hasattr(os, "fork")  # not on Windows
MARK = "measured: "  # begins the lines that hold results; libraries print others


def measure_apart(module, tasks):
    """Results (from JSON) of the function `measure` of `module` for each of `tasks`, dicts of its arguments.

    Each task has a process of its own, in which nothing has happened but the module's import; where the
    system can fork, that is done once for all of them. RuntimeError, with the reason, when one fails.
    """
    together = [tasks] if FORKS else [[task] for task in tasks]
    return [result for some in together for result in _run(module, some)]


def _run(module, tasks):
    done = subprocess.run(
        [sys.executable, "-m", "helpers.apart", module, json.dumps(tasks)],
        cwd=project_root(),
        env={"TF_ENABLE_ONEDNN_OPTS": "1", **os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip() or f"it was ended with code {done.returncode}").splitlines()[-1]
        raise RuntimeError(f"The measuring process failed: {reason}")
    return [json.loads(line.removeprefix(MARK)) for line in done.stdout.splitlines() if line.startswith(MARK)]


def _measure(function, task):
    """Print the result of a task; the exit code."""
    try:
        monitor.start_backend()
        print(f"{MARK}{json.dumps(function(**task))}", flush=True)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _measure_forked(function, task):
    """`_measure` in a child of this process."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = _measure(function, task)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        print(f"it was ended by signal {-code}, perhaps for lack of memory", file=sys.stderr)
    return code


def main(module, tasks):
    """Measure all tasks; exit code of the first that fails, else 0."""
    function = importlib.import_module(module).measure
    run = _measure_forked if FORKS else _measure
    return next((code for code in (run(function, task) for task in json.loads(tasks)) if code), 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
