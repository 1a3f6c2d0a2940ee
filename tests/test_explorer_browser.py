"""The explorer in a real browser: JupyterLab in headless Chromium, where a slider is moved."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest

from helpers.files import project_root

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NOTEBOOK = """\
import numpy as np
from helpers import explorer, models

rng = np.random.default_rng(0)
z = (rng.standard_normal((3000, 8)) @ rng.standard_normal((8, 8))).astype("f4")
decoder = models.build_decoder(8, filters=(4, 4, 4, 4))
explorer.explore(z, decoder)"""
START_SECONDS, CELL_SECONDS, MOVE_SECONDS = 240, 240, 60  # generous: the machine may be busy
PICTURE = ".jp-OutputArea img.widget-image"
FACT = ".widget-inline-hbox:has(label:text-is('fact')) .noUi-handle"
# A cell that is run before the kernel has connected is not run at all.
KERNEL_IDLE = """() => {
    const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here; with Debian: apt-get install chromium"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab that serves the notebook explorer.ipynb."""
    folder = tmp_path_factory.mktemp("lab")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)], metadata=kernel)
    nbformat.write(notebook, folder / "explorer.ipynb")
    settings = folder / "config" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "page_config.json").write_text(
        '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}'
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(project_root()),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    options = [
        *("--no-browser", "--allow-root", f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1"),
        *("--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"),
    ]
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api", server, folder / "server.log")
        yield f"http://127.0.0.1:{port}/lab/tree/explorer.ipynb"
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for(address, server, log):
    """Return as soon as the server answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not start in {START_SECONDS} s:\n{log.read_text()}")


@pytest.fixture
def page():
    """An empty page of headless Chromium; `page.errors` collects what its console reports as an error."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1300})
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on(
            "console", lambda message: page.errors.append(message.text) if message.type == "error" else None
        )
        yield page
        browser.close()


def image_bytes(page):
    """Bytes of the picture as the browser has them."""
    script = "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"
    return bytes(page.locator(PICTURE).first.evaluate(script))


def test_a_moved_slider_changes_the_figure_in_the_browser(lab, page):
    page.goto(lab)
    page.wait_for_function(KERNEL_IDLE, timeout=1000 * START_SECONDS)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    picture = page.locator(PICTURE).first
    picture.wait_for(state="visible", timeout=1000 * CELL_SECONDS)
    first_bytes, first_view = image_bytes(page), picture.screenshot()
    assert first_bytes[:3] == b"\xff\xd8\xff"  # a JPEG
    address = picture.get_attribute("src")

    handle = page.locator(FACT).first
    handle.focus()
    for _ in range(34):  # from the end, where no point is trimmed, to 1.35
        handle.press("ArrowLeft")
    page.wait_for_function(
        "([selector, address]) => document.querySelector(selector).src !== address",
        arg=[PICTURE, address],
        timeout=1000 * MOVE_SECONDS,
    )
    page.wait_for_timeout(2000)
    assert image_bytes(page) != first_bytes
    assert picture.screenshot() != first_view
    assert page.errors == []
