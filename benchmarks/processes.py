"""Measurements in processes of their own, so that peaks of memory do not mix."""

import json
import subprocess
import sys


def in_fresh_process(module, name, path):
    """Result of the function `name` of benchmarks.`module`, called with a path in a new process."""
    code = (
        f"import json; from pathlib import Path; from benchmarks import {module}; "
        f"print(json.dumps({module}.{name}(Path({str(path)!r}))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])
