"What a browser really draws: the page that a notebook leaves behind, and the live view in JupyterLab"
import base64
import colorsys
import io
import json
import os
import re
import shutil
import subprocess
import urllib.request

import nbformat
import numpy as np
import pytest
from conftest import BIN, PATIENCE, run, wait_for
from PIL import Image
from websocket import create_connection

from sdf_dino.geometry.export import html_text
from sdf_dino.core.plotting import part_colors
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.surface import zero_set

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt install chromium)")
pytestmark = [pytest.mark.slow]
FLAGS = """--headless --no-sandbox --disable-gpu --use-angle=swiftshader --enable-unsafe-swiftshader
           --disable-quic --no-first-run --disable-background-networking --disable-component-update
           --disable-sync --remote-debugging-port=0 --remote-allow-origins=*"""


def until(ask):
    "The first true answer"
    answers = []
    wait_for(lambda: answers.append(ask()) or answers[-1], pause=.3)
    return answers[-1]


class Page:
    "A page in a Chromium without a screen, driven over its debugging socket"
    def __init__(self, url, profile, size=(900, 700)):
        words = [BROWSER, *FLAGS.split(), f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", url]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.count = 0
        port_file = profile / "DevToolsActivePort"
        port = until(lambda: port_file.exists() and port_file.read_text()).split()[0]

        def tabs():
            listed = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
            return [tab for tab in listed if tab["type"] == "page"]
        self.socket = create_connection(until(tabs)[0]["webSocketDebuggerUrl"], timeout=PATIENCE)

    def __enter__(self): return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)

    def tell(self, method, **params):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while (said := json.loads(self.socket.recv())).get("id") != self.count: pass
        return said.get("result", {})

    def js(self, code):
        said = self.tell("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        return said.get("result", {}).get("value")

    def place(self, selector):
        "Left, top, width and height of the first element, scrolled into view"
        element = f"document.querySelector('{selector}')"
        self.js(f"{element}.scrollIntoView({{block: 'center'}})")
        return self.js(f"(({{x, y, width, height}}) => [x, y, width, height])({element}.getBoundingClientRect())")

    def click(self, x, y):
        for kind, held in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            button = "none" if kind == "mouseMoved" else "left"
            event = {"type": kind, "x": x, "y": y, "button": button, "buttons": held}
            self.tell("Input.dispatchMouseEvent", **event, clickCount=int(button == "left"))

    def picture(self, keep="", box=None):
        "RGB of what is seen, of a box of it when one is given; kept in `SDF_DINO_SCREENSHOTS` when that is set"
        data = base64.b64decode(self.tell("Page.captureScreenshot")["data"])
        image = Image.open(io.BytesIO(data)).convert("RGB")
        if box: image = image.crop((box[0], box[1], box[0] + box[2], box[1] + box[3]))
        folder = os.environ.get("SDF_DINO_SCREENSHOTS")
        if keep and folder: image.save(f"{folder}/{keep}.png", optimize=True)
        return np.asarray(image)


def hued(image, part):
    "Which pixels have the hue of a part, however the light falls"
    hsv = np.asarray(Image.fromarray(image).convert("HSV"), int)
    off = np.abs(hsv[..., 0] - round(colorsys.rgb_to_hsv(*part_colors(part) / 255)[0] * 255))
    return (np.minimum(off, 255 - off) < 6) & (hsv[..., 1] > 90) & (hsv[..., 2] > 40)


def shows(page, least, box=None, keep=""):
    "The picture, in a list, once each part has as many pixels as it should"
    image = page.picture(keep, box)
    return [image] if all(hued(image, part).sum() > n for part, n in least.items()) else []


def snowman():
    shape = probe_shapes()["snowman"]
    mesh = zero_set(shape.sdf, 32)
    return mesh, shape.label(mesh.triangles_center)


@needs_browser
def test_a_page_of_parts_draws_them(tmp_path):
    (tmp_path / "parts.html").write_text(html_text(*snowman()))
    with Page(f"file://{tmp_path}/parts.html", tmp_path / "profile") as page:
        seen, = until(lambda: shows(page, {0: 2000, 1: 500}, keep="page"))
    assert hued(seen, 2).sum() < 50, "a colour that no part has"


VIEWS = """
import json
from dataclasses import replace
from pathlib import Path
from sdf_dino.parts.learned import PRESETS, segment_latent
from sdf_dino.parts.viewer import relabel, save_view, side_by_side
as_trained = replace(PRESETS["fast"], adapt_steps=0)
shapes = [segment_latent(name, weights="compounds", method="learned", preset=as_trained, resolution=32)
          for name in ("compound_2", "compound_3")]
row = side_by_side(*shapes)
save_view(row, "alone.html", zoom=1.)
together = relabel(row, 4)
first = len(shapes[0].labels)
shared = set(together.labels[:first].tolist()) & set(together.labels[first:].tolist())
Path("shared.json").write_text(json.dumps(sorted(shared)))
save_view(together, "together.html", zoom=1.);"""


def write_one_cell_notebook(path, source):
    kernel = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source.strip())]
    nbformat.write(nbformat.v4.new_notebook(metadata=kernel, cells=cells), path)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    "A folder with an executed notebook that saved two views, also as HTML"
    folder = tmp_path_factory.mktemp("views")
    write_one_cell_notebook(folder / "notebook.ipynb", VIEWS)
    run("jupyter-nbconvert", "--to", "notebook", "--execute", "--inplace", folder / "notebook.ipynb",
        "--ExecutePreprocessor.store_widget_state=False")
    run("jupyter-nbconvert", "--to", "html", folder / "notebook.ipynb")
    return folder


def test_an_executed_notebook_keeps_its_views(executed):
    notebook, page = executed / "notebook.ipynb", executed / "notebook.html"
    for text in (notebook.read_text().replace('\\"', '"'), page.read_text()):
        frames = re.findall(r'<iframe[^>]*src="([^"]+)"', text, re.S)
        assert frames == ["alone.html", "together.html"]
        assert all((executed / frame).stat().st_size > 1e6 for frame in frames)
    pictures = re.findall(r'<img[^>]*src="data:image/png', page.read_text())
    assert len(pictures) == 2, "for readers that show no frames"
    assert notebook.stat().st_size < 300_000


@needs_browser
def test_the_exported_notebook_draws_its_views(executed, tmp_path):
    common = json.loads((executed / "shared.json").read_text())
    with Page(f"file://{executed}/notebook.html", tmp_path / "profile") as page:
        until(lambda: page.js("!!document.querySelector('iframe')"))
        until(lambda: shows(page, {0: 500, 1: 500}, page.place("iframe"), "exported"))
        frame = 'iframe[src="together.html"]'
        seen, = until(lambda: shows(page, {common[0]: 500}, page.place(frame), "together"))
    halves = np.split(seen, [seen.shape[1] // 2], axis=1)
    drawn = [part for part in common if all(hued(half, part).sum() > 200 for half in halves)]
    assert drawn, "both shapes have a part in common, in one colour"


LIVE = """
import json
from pathlib import Path
from sdf_dino.parts.learned import segment_latent
from sdf_dino.parts.viewer import PartViewer
view = PartViewer(segment_latent("snowman", 2, resolution=32), height=400)
def write_state(_):
    names = sorted(set(view.seg.labels.tolist()))
    part = int(view.seg.labels[view.face_input.value])
    Path("state.json").write_text(json.dumps({"part": part, "parts": len(names), "names": names}))
view.face_input.observe(write_state, "value")
view.parts_slider.observe(write_state, "value")
view"""


@pytest.fixture
def lab(tmp_path):
    "A JupyterLab with one notebook, and a page that has run it"
    (tmp_path / "settings" / "@jupyterlab" / "apputils-extension").mkdir(parents=True)
    (tmp_path / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    write_one_cell_notebook(tmp_path / "live.ipynb", LIVE)
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"), "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
           "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "spaces")}
    server = subprocess.Popen([BIN / "jupyter-lab", "--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token=",
                               "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={tmp_path}"],
                              env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = json.loads(until(lambda: list((tmp_path / "runtime").glob("jpserver-*.json")))[0].read_text())["url"]
        with Page(f"{url}doc/tree/live.ipynb", tmp_path / "profile") as page:
            kernel = "jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.status"
            until(lambda: page.js(f"window.jupyterapp && {kernel} == 'idle'"))
            page.js("jupyterapp.commands.execute('notebook:run-all-cells').then(String)")
            yield page
    finally: server.terminate(), server.wait(30)


@needs_browser
def test_the_live_view_answers(lab, tmp_path):
    "Parts drawn, one hidden, a place clicked, the number changed: seen in pixels and told by the kernel"
    def state(): return (tmp_path / "state.json").exists() and json.loads((tmp_path / "state.json").read_text())
    until(lambda: lab.js("document.querySelectorAll('.jp-OutputArea canvas').length > 0"))
    box = lab.place(".jp-OutputArea canvas")
    first, = until(lambda: shows(lab, {0: 500, 1: 500}, box, "parts"))
    lab.js("document.querySelectorAll('.widget-checkbox input')[0].click()")
    until(lambda: hued(lab.picture("hidden", box), 0).sum() < 20)
    assert shows(lab, {1: 500}, box), "the other part stays"
    y, x = np.median(np.nonzero(hued(first, 1)), axis=1)
    lab.click(box[0] + x, box[1] + y)
    assert until(state)["part"] == 1, "with a part hidden, a click still finds the face under the mouse"
    until(lambda: hued(lab.picture("alike", box), 1).sum() < .2 * hued(first, 1).sum())
    lab.js("document.querySelector('.noUi-handle').focus()")
    key = {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39}
    lab.tell("Input.dispatchKeyEvent", type="keyDown", **key)
    until(lambda: state()["parts"] == 3)
    until(lambda: shows(lab, dict.fromkeys(state()["names"], 50), box, "three"))
