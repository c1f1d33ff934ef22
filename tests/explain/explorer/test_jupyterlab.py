"""The explorer in JupyterLab, in a headless browser."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jupyterlab")
pytest.importorskip("anywidget")

pytestmark = pytest.mark.slow

TOKEN = "explorer"
PATIENCE = 120_000
"""Milliseconds for each of server, page, kernel and first map, on a busy machine."""

NOTEBOOK = """
from pyro_hea import DisentangledVAE, read_alloys
explorer = DisentangledVAE.load("model").explore(read_alloys("alloys.csv"))
explorer
"""


def installed_browser(browsers) -> str | None:
    """A Chromium: playwright's own, or the system's."""
    own = browsers.chromium.executable_path
    if Path(own).is_file():
        return own
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


@pytest.fixture
def page():
    with playwright.sync_playwright() as browsers:
        path = installed_browser(browsers)
        if path is None:
            pytest.skip("no Chromium is installed: playwright install chromium")
        browser = browsers.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


@pytest.fixture
def lab(vae, alloys, tmp_path):
    """Address of a JupyterLab whose folder holds a notebook, a model and its alloys."""
    vae.save(tmp_path / "model")
    alloys.table.to_csv(tmp_path / "alloys.csv", index=False)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "explore.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    homes = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}"),
            *("--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}", "--allow-root"),
            *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
            *(
                "--LabApp.news_url=None",
                "--LabApp.check_for_updates_class="
                "jupyterlab.handlers.announcements.NeverCheckForUpdate",
            ),
        ],
        cwd=tmp_path,
        env=os.environ | homes | {"IPYTHONDIR": str(tmp_path / "ipython")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api?token={TOKEN}", server)
        yield f"{address}/lab/tree/explore.ipynb?token={TOKEN}"
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(address: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        assert server.poll() is None, "JupyterLab did not start"
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("JupyterLab does not answer")


WATCH = """
() => {
  const name = () => document.querySelector('.pyro-hea-alloy').innerText;
  let moved, before = name();
  window.answers = [];  // milliseconds from the mouse to another alloy's name
  for (const act of ['pointerdown', 'pointermove'])
    document.addEventListener(act, () => { moved = performance.now(); }, true);
  new MutationObserver(() => {
    if (name() === before) return;
    before = name();
    window.answers.push(performance.now() - moved);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}
"""


def alloy_after(page, act) -> str:
    """Name of the alloy under the cursor once `act` has changed it."""
    name = page.locator(".pyro-hea-alloy")
    before = name.inner_text()
    for _ in range(10):  # a browser that is starved of processor time may lose an event
        act()
        try:
            page.wait_for_function(
                "old => document.querySelector('.pyro-hea-alloy').innerText !== old",
                arg=before,
                timeout=5_000,
            )
        except playwright.TimeoutError:
            continue
        after = name.inner_text()
        assert re.fullmatch(r"([A-Z][a-z]?[0-9.]*)+", after)
        return after
    pytest.fail("the alloy under the cursor did not change")


def test_the_alloy_under_the_cursor_changes_with_click_drag_and_mouse(lab, page):
    errors = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))

    page.goto(lab)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")

    page.wait_for_selector(".js-plotly-plot .heatmaplayer image")
    assert page.locator(".js-plotly-plot .scatterlayer .point").count() == 60
    page.locator(".pyro-hea-alloy").wait_for()
    assert page.locator(".pyro-hea-amount").count() > 0

    frame = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()

    def place(across, down):
        return frame["x"] + across * frame["width"], frame["y"] + down * frame["height"]

    clicked = alloy_after(page, lambda: page.mouse.click(*place(0.12, 0.15)))
    page.mouse.move(*place(0.85, 0.85))
    page.wait_for_timeout(500)
    assert page.locator(".pyro-hea-alloy").inner_text() == clicked  # a mouse that only passes

    page.evaluate(WATCH)
    page.mouse.down()
    for step in range(1, 13):
        page.mouse.move(*place(0.85 - 0.06 * step, 0.85 - 0.06 * step))
        page.wait_for_timeout(300)
    page.mouse.up()
    answers = page.evaluate("window.answers")
    assert len(answers) >= 6
    print("milliseconds from move to alloy:", sorted(round(a) for a in answers))

    page.get_by_label("the mouse").select_option("decodes wherever it is")
    alloy_after(page, lambda: [page.mouse.move(*place(share, 0.5)) for share in (0.3, 0.6)])
    page.get_by_role("button", name="keep this alloy").click()
    page.get_by_text("1 kept, the last ").wait_for()
    assert errors == []
