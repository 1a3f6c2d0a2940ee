"""Execute a notebook with other parameters, showing its progress on the terminal."""

import os
import time
from pathlib import Path

import matplotlib
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from helpers.drive.transfer import DamagedSource
from helpers.files import InputError
from helpers.workspace import TooFewImages

PARAMETERS_TAG = "parameters"
INPUT_ERRORS = {kind.__name__: kind for kind in (InputError, TooFewImages, DamagedSource)}
QUIET = (
    "--log-level=ERROR"  # else each kernel warns of eavesdroppers on connections that never leave the machine
)


class TalkingClient(NotebookClient):
    """Executes a notebook and passes on the last line of what a cell shows while it runs."""

    def process_message(self, msg, cell, cell_index):
        """Print the text of streams and displays, then treat the message as usual."""
        content = msg["content"]
        text = content.get("text") or content.get("data", {}).get("text/plain", "")
        if msg["msg_type"] in ("stream", "display_data", "update_display_data"):
            lines = [line for line in text.splitlines() if line.strip()]
            if lines and not any(kind.startswith("image/") for kind in content.get("data", {})):
                print(f"    {lines[-1][:110]}", flush=True)
        return super().process_message(msg, cell, cell_index)


def execute_notebook(path, parameters, target, also=""):
    """Execute the notebook at `path` in its own folder and write it to `target`; return the seconds taken.

    `parameters`: name -> value, assigned in a cell after the one tagged 'parameters' (papermill's
    convention); empty for none. `also`: code that this cell runs afterwards. On an error the notebook is
    written as far as it came, as <target>.failed.ipynb, and CellExecutionError is raised; InputError, or its
    kind, where the notebook ends in one or the kernel was killed.
    """
    path, target = Path(path), Path(target)
    notebook = nbformat.read(path, as_version=4)
    if parameters or also:
        _inject(notebook, [*(f"{name} = {value!r}" for name, value in parameters.items()), also])
    client = TalkingClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=[QUIET],
    )
    client.record_timing = False
    client.on_cell_start = lambda cell, cell_index: _announce(cell, cell_index, len(notebook.cells))
    started = time.monotonic()
    try:
        client.execute(env=kernel_environment())
    except (CellExecutionError, DeadKernelError) as error:
        failed = target.with_suffix(".failed.ipynb")
        nbformat.write(notebook, failed)
        if isinstance(error, CellExecutionError):
            if kind := INPUT_ERRORS.get(error.ename):
                raise kind(error.evalue) from None
            raise
        raise InputError(
            f"The process that ran {path.name} was killed, perhaps for lack of memory; {failed.name} shows "
            "how far it came, and the same command goes on from the last whole epoch."
        ) from error
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    nbformat.write(notebook, target)
    target.with_suffix(".failed.ipynb").unlink(missing_ok=True)
    return time.monotonic() - started


def kernel_environment():
    """Variables of a kernel that shows its figures, drawn as matplotlib does without a user's rc file."""
    settings = os.path.join(matplotlib.get_data_path(), "matplotlibrc")
    inline = "module://matplotlib_inline.backend_inline"
    return {**os.environ, "MPLBACKEND": inline, "MATPLOTLIBRC": settings}


def _inject(notebook, lines):
    tagged = [i for i, cell in enumerate(notebook.cells) if PARAMETERS_TAG in cell.metadata.get("tags", [])]
    source = "\n".join(lines).strip()
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(tagged[0] + 1, cell)


def _announce(cell, cell_index, cells):
    first_line = cell.source.partition("\n")[0]
    if cell.cell_type == "markdown" and first_line.startswith("#"):
        print(f"  [{cell_index + 1}/{cells}] {first_line.lstrip('# ')}", flush=True)
