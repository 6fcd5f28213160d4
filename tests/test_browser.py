"What a browser really draws: the page that a notebook leaves behind, and the live view in JupyterLab"
import base64
import colorsys
import io
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request

import nbformat
import numpy as np
import pytest
from conftest import BIN, run
from PIL import Image
from websocket import create_connection

from sdf_dino.geometry.export import html_text
from sdf_dino.core.plotting import part_colors
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.surface import zero_set

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt install chromium)")
pytestmark = pytest.mark.xdist_group("browser")
FLAGS = """--headless --no-sandbox --disable-gpu --use-angle=swiftshader --enable-unsafe-swiftshader --disable-quic --no-first-run
           --disable-background-networking --disable-component-update --disable-sync --remote-debugging-port=0 --remote-allow-origins=*"""


def until(ask, seconds=120):
    "The first true answer"
    end = time.time() + seconds
    while time.time() < end:
        if answer := ask(): return answer
        time.sleep(.3)
    raise AssertionError("it did not come in time")


class Page:
    "A page in a Chromium without a screen, driven over its debugging socket"
    def __init__(self, url, profile, size=(900, 700)):
        words = [BROWSER, *FLAGS.split(), f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", url]
        self.process, self.count = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 0
        port = until(lambda: (profile / "DevToolsActivePort").exists() and (profile / "DevToolsActivePort").read_text()).split()[0]
        tabs = lambda: [t for t in json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json")) if t["type"] == "page"]
        self.socket = create_connection(until(tabs)[0]["webSocketDebuggerUrl"], timeout=90)

    def __enter__(self): return self

    def __exit__(self, *_):
        self.socket.close(), self.process.terminate(), self.process.wait(20)

    def tell(self, method, **params):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while (said := json.loads(self.socket.recv())).get("id") != self.count: pass
        return said.get("result", {})

    def js(self, code):
        return self.tell("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True).get("result", {}).get("value")

    def place(self, selector):
        "Left, top, width and height of the first element, scrolled into view"
        self.js(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
        return self.js(f"(({{x, y, width, height}}) => [x, y, width, height])(document.querySelector('{selector}').getBoundingClientRect())")

    def click(self, x, y):
        for kind, held in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            button = "none" if kind == "mouseMoved" else "left"
            self.tell("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=held, clickCount=int(button == "left"))

    def picture(self, keep="", box=None):
        "RGB of what is seen, of a box of it when one is given; kept in `SDF_DINO_SCREENSHOTS` when that is set"
        image = Image.open(io.BytesIO(base64.b64decode(self.tell("Page.captureScreenshot")["data"]))).convert("RGB")
        if box: image = image.crop((box[0], box[1], box[0] + box[2], box[1] + box[3]))
        if keep and os.environ.get("SDF_DINO_SCREENSHOTS"): image.save(f"{os.environ['SDF_DINO_SCREENSHOTS']}/{keep}.png", optimize=True)
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


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    "The run directory of a finished `44_look`, its notebook exported to HTML"
    data = tmp_path_factory.mktemp("look")
    run("sdf_dino", "run", "44_look", "toy", "-p", "resolution=32", data=data)
    (folder,) = (data / "runs" / "44_look").glob("toy-*")
    run("jupyter-nbconvert", "--to", "html", folder / "notebook.ipynb")
    return folder


def test_an_executed_notebook_keeps_its_views(left):
    for text in ((left / "notebook.ipynb").read_text().replace('\\"', '"'), (left / "notebook.html").read_text()):
        frames = re.findall(r'<iframe[^>]*src="([^"]+)"', text, re.S)
        assert frames == ["alone.html", "together.html"] and all((left / f).stat().st_size > 1e6 for f in frames)
    assert len(re.findall(r'<img[^>]*src="data:image/png', text)) == 2, "pictures of their own, for readers that show no frames"
    assert (left / "notebook.ipynb").stat().st_size < 300_000


@needs_browser
def test_the_exported_notebook_draws_its_views(left, tmp_path):
    with Page(f"file://{left}/notebook.html", tmp_path / "profile") as page:
        until(lambda: page.js("!!document.querySelector('iframe')"))
        until(lambda: shows(page, {0: 500, 1: 500}, page.place("iframe"), "exported"))
        seen, = until(lambda: shows(page, {0: 500, 1: 500}, page.place('iframe[src="together.html"]'), "together"))
    halves = np.split(seen, [seen.shape[1] // 2], axis=1)
    assert any(all(hued(half, part).sum() > 200 for half in halves) for part in (0, 1)), "a part that both shapes have, in one colour"


LIVE = """
import json
from pathlib import Path
from sdf_dino.parts.viewer import PartViewer
from sdf_dino.parts.segment import segment_latent
view = Look(segment_latent("snowman", 2, resolution=32, points=300), height=400)
def told(_):
    names = sorted(set(view.seg.labels.tolist()))
    Path("told.json").write_text(json.dumps({"part": int(view.seg.labels[view.face.value]), "parts": len(names), "names": names}))
view.face.observe(told, "value"), view.number.observe(told, "value")
view"""


@pytest.fixture
def lab(tmp_path):
    "A JupyterLab with one notebook, and a page that has run it"
    (tmp_path / "news").mkdir(), (tmp_path / "settings" / "@jupyterlab" / "apputils-extension").mkdir(parents=True)
    (tmp_path / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    kernel = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(metadata=kernel, cells=[nbformat.v4.new_code_cell(LIVE.strip())]), tmp_path / "live.ipynb")
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
    "Parts drawn, one hidden by its box, the place clicked asked, the number moved: seen in pixels and told by the kernel"
    told = lambda: (tmp_path / "told.json").exists() and json.loads((tmp_path / "told.json").read_text())
    until(lambda: lab.js("document.querySelectorAll('.jp-OutputArea canvas').length > 0"))
    box = lab.place(".jp-OutputArea canvas")
    first, = until(lambda: shows(lab, {0: 500, 1: 500}, box, "parts"))
    lab.js("document.querySelectorAll('.widget-checkbox input')[0].click()")
    until(lambda: hued(lab.picture("hidden", box), 0).sum() < 20)
    assert shows(lab, {1: 500}, box), "the other part stays"
    y, x = np.median(np.nonzero(hued(first, 1)), axis=1)
    lab.click(box[0] + x, box[1] + y)
    assert until(told)["part"] == 1, "with a part hidden, a click still finds the face under the mouse"
    until(lambda: hued(lab.picture("alike", box), 1).sum() < .2 * hued(first, 1).sum())
    lab.js("document.querySelector('.noUi-handle').focus()")
    lab.tell("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    until(lambda: told()["parts"] == 3)
    until(lambda: shows(lab, dict.fromkeys(told()["names"], 50), box, "three"))
