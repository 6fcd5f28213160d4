"The page of `sdf_dino view` in a real browser: each control by a click, what is drawn by its pixels, exports read back"
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import trimesh
from conftest import BIN, run
from websocket import WebSocketBadStatusException, create_connection
from test_browser import Page, hued, needs_browser, until

from sdf_dino.core.errors import ParameterError
from sdf_dino.core.plotting import part_colors
from sdf_dino.geometry.shapes import random_compound
from sdf_dino.geometry.surface import zero_set
from sdf_dino.parts.session_file import read_session, replay_session
from sdf_dino.parts.segment import segment

pytest.importorskip("viser")
pytestmark = [pytest.mark.slow, needs_browser]
KEYS = {"ArrowRight": 39, "End": 35, "Home": 36}
SHIFT = {"key": "Shift", "code": "ShiftLeft", "windowsVirtualKeyCode": 16}
FIND = """const find = (kind, text) => [...document.querySelectorAll(kind)].find(e => e.textContent === text);
const row = (label) => find('label', label).closest('.mantine-Flex-root');
const middle = (e) => { e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();
  return [r.x + r.width/2, r.y + r.height/2]; };
const rest = (kind, text) => {                 // the middle of what neither moves nor lies below something else
  const e = find(kind, text);
  if (!e) return null;
  const [x, y] = middle(e), before = e.dataset.middle, on_top = document.elementFromPoint(x, y);
  e.dataset.middle = [x, y];
  return before === e.dataset.middle && on_top && e.contains(on_top) ? [x, y] : null; };"""


class ViewPage(Page):
    "A page of `sdf_dino view`, with the hands of a user"
    def ask(self, code): return self.js("(() => {" + FIND + "return " + code + "})()")

    def press(self, text, kind="button"):
        self.click(*until(lambda: self.ask(f"rest({kind!r}, {text!r})")))

    def head(self): return self.ask("document.body.innerText") or ""

    def shows(self, text): return until(lambda: text in self.head())

    def parts(self): return int(re.search(r"(\d+) parts of", self.head())[1])

    def key(self, key, kind="keyDown", **more): self.tell("Input.dispatchKeyEvent", type=kind, **key, **more)

    def slide(self, label, key):
        self.ask(f"row({label!r}).querySelector('[role=slider]').focus()")
        words = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        for kind in ("keyDown", "keyUp"): self.key(words, kind)

    def write(self, label, text):
        self.click(*self.ask(f"middle(row({label!r}).querySelector('input'))"))
        everything = {"key": "a", "code": "KeyA", "windowsVirtualKeyCode": 65}
        self.key(everything, modifiers=2, commands=["selectAll"])
        self.tell("Input.insertText", text=text)

    def choose(self, label, option):
        self.click(*self.ask(f"middle(row({label!r}).querySelector('input'))"))
        self.press(option, "[role=option]")

    def shift_click(self, x, y):
        self.key(SHIFT, modifiers=8)
        for kind, held in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            button = "none" if kind == "mouseMoved" else "left"
            self.tell("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=held,
                      clickCount=int(button == "left"), modifiers=8)
        self.key(SHIFT, "keyUp")

    def drop_selection(self):
        "A click beside the mesh, again where the page was busy"
        until(lambda: self.click(20, 800) or "Click a part" in self.head())

    def canvas(self, keep=""): return self.picture(keep)[:, :1000]

    def still(self):
        "The canvas once nothing moves: arrow keys also turn the camera a little"
        frames = [self.canvas()]
        def rests():
            frames.append(self.canvas())
            return np.array_equal(*frames[-2:])
        until(rests)
        return frames[-1]

    def place_of(self, part):
        "Where a part is seen: a pixel well inside of its colour"
        seen = hued(self.still(), part)
        inner = seen & np.roll(seen, 6, 0) & np.roll(seen, -6, 0) & np.roll(seen, 6, 1) & np.roll(seen, -6, 1)
        places = np.argwhere(inner)
        return [int(n) for n in places[len(places) // 2][::-1]] if len(places) else None


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for seed in (7, 8): zero_set(random_compound(seed).sdf, 40).export(folder / f"compound_{seed}.ply")
    (folder / "broken.glb").write_bytes(b"glTF no more")
    return folder


@pytest.fixture(scope="module")
def page(served, tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [BIN / "sdf_dino", "view", served / "compound_7.ply", "--port", str(port), "--no-open"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        url = re.match(r"(http://127\.0\.0\.1:\d+) shows compound_7\.ply", server.stdout.readline())[1]
        with ViewPage(url, tmp_path_factory.mktemp("browser"), (1400, 1000)) as page:
            page.downloads = tmp_path_factory.mktemp("downloads")
            page.tell("Page.setDownloadBehavior", behavior="allow", downloadPath=str(page.downloads))
            page.shows("parts of")
            page.js("document.head.insertAdjacentHTML('beforeend', '<style>.mantine-Notifications-root {display: none}</style>')")
            until(lambda: page.place_of(0))
            yield page
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0, "Ctrl-C ends the command without an error"


def downloaded(page, ending):
    "The file that the browser has saved, once it is whole"
    found = until(lambda: [p for p in page.downloads.glob("*" + ending) if p.stat().st_size])[0]
    until(lambda: not list(page.downloads.glob("*.crdownload")))
    return found


def test_the_canvas_shows_several_parts(page):
    until(lambda: sum(hued(page.canvas("view"), part).sum() > 300 for part in range(6)) >= 3)


def test_the_slider_sets_the_number_of_parts(page):
    before = page.parts()
    page.slide("Parts", "ArrowRight")
    page.shows(f"{before + 1} parts of")
    page.press("Undo")
    page.shows(f"{before} parts of")
    page.press("Redo")
    page.shows(f"{before + 1} parts of")
    page.press("Undo")
    page.shows(f"{before} parts of")


def test_the_pointer_names_a_part_and_a_click_selects_it(page):
    x, y = until(lambda: page.place_of(1))
    page.tell("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="none", buttons=0)
    page.shows("Under the pointer: part 1")
    page.click(x, y)
    page.shows("Selected: part 1.")


def test_a_selected_part_is_renamed(page):
    page.write("Name", "wing")
    page.press("Rename")
    page.shows("wing ·")


def pick_two_places(page):
    "One place of part 0, and one of another part"
    page.drop_selection()
    page.click(*until(lambda: page.place_of(0)))
    page.shows("Selected: part 0.")
    page.shift_click(*until(lambda: other_place(page)))
    page.shows("Picked places: 2")


def test_two_clicked_parts_are_merged_and_split_again(page):
    before = page.parts()
    pick_two_places(page)
    page.press("Merge")
    page.shows(f"{before - 1} parts of")
    page.press("Split")
    page.shows(f"{before} parts of")
    for left in (before - 1, before):
        page.press("Undo")
        page.shows(f"{left} parts of")


def other_place(page):
    "A place of the mesh whose colour is faded, since another part is selected"
    still = page.still()
    rgb = still.astype(int)
    drawn = (rgb.max(2) - rgb.min(2) > 6) & (rgb.max(2) < 252) & ~hued(still, 0)
    inner = drawn & np.roll(drawn, 8, 0) & np.roll(drawn, -8, 0) & np.roll(drawn, 8, 1) & np.roll(drawn, -8, 1)
    places = np.argwhere(inner[200:]) + [200, 0]
    return [int(n) for n in places[len(places) // 2][::-1]] if len(places) else None


def test_places_are_linked_and_kept_apart(page):
    before = page.parts()
    pick_two_places(page)
    page.press("Together")
    page.shows(f"{before - 1} parts of")
    page.press("Apart")
    page.shows("earlier edit")
    page.press("Undo")
    page.shows(f"{before} parts of")
    page.press("Apart")
    page.shows("Done: apart")
    page.press("Undo")
    page.shows("Undone")
    page.drop_selection()


def test_a_part_of_the_list_is_hidden_and_shown(page):
    n = until(lambda: hued(page.canvas(), 0).sum())
    label = page.ask("[...document.querySelectorAll('button')].find(e => e.textContent.startsWith('part 0 ·')).textContent")
    page.press(label)
    page.shows("Selected: part 0.")
    page.press("Hide or show")
    page.shows("(hidden)")
    until(lambda: hued(page.canvas(), 0).sum() < .05 * n)
    page.press("Show all")
    until(lambda: hued(page.canvas(), 0).sum() > .5 * n)
    page.press("● " + label)
    page.shows("Click a part")


def test_parts_move_apart(page):
    drawn = lambda image: np.ptp(np.argwhere(image.min(2) < 200), axis=0).max()
    before = drawn(page.still())
    page.slide("Explode", "End")          # arrow keys would turn the camera too
    until(lambda: drawn(page.canvas("exploded")) > 1.15 * before)
    page.slide("Explode", "Home")
    until(lambda: drawn(page.canvas()) < 1.05 * before)


def test_seams_and_similarity_are_drawn(page):
    page.choose("Colour by", "seam confidence")
    until(lambda: hued(page.canvas("seams"), 0).sum() < 50)
    green = lambda image: ((image[..., 1] > image[..., 0] + 25) & (image[..., 1] > image[..., 2] + 25)).sum()
    until(lambda: green(page.canvas()) > 50)
    page.choose("Colour by", "similarity")
    x, y = 500, 480
    page.click(x, y)
    until(lambda: len(np.unique(page.canvas("similarity")[..., 1] // 16)) > 6)
    page.choose("Colour by", "parts")
    page.drop_selection()
    until(lambda: page.place_of(0))


def test_exports_and_the_session_are_saved(page, served):
    parts = page.parts()
    page.press("Export")
    scene = trimesh.load(downloaded(page, "_parts.glb"))
    mesh = trimesh.load(served / "compound_7.ply")
    assert len(scene.geometry) == parts and sum(len(g.faces) for g in scene.geometry.values()) == len(mesh.faces)
    page.choose("Format", ".json")
    page.press("Export")
    table = json.loads(downloaded(page, "_parts.json").read_text())
    colors = {row["color"] for row in table["parts"]}
    assert colors == {"#%02x%02x%02x" % tuple(part_colors(row["part"]).tolist()) for row in table["parts"]}
    page.press("Save session")
    path = downloaded(page, ".edits.json")
    replayed = replay_session(segment(served / "compound_7.ply"), path)
    names = {edit["part"]: edit["name"] for edit in read_session(path)["edits"] if edit["edit"] == "rename"}
    assert replayed.n_parts == parts and all(replayed.names[part] == name for part, name in names.items())
    target = page.downloads / "replayed.json"
    run("sdf_dino", "segment", served / "compound_7.ply", "--edits", path, "-o", target)
    assert json.loads(target.read_text())["parts"] == [{**row, "name": names.get(row["part"], row["name"])}
                                                       for row in table["parts"]]
    assert "wing" in {row["name"] for row in table["parts"]}


def test_a_bad_file_leaves_the_mesh_and_a_session_comes_back(page, served):
    page.write("Path", "broken.glb")
    page.press("Open path")
    page.shows("broken.glb:")
    assert page.parts() and "compound_7.ply" in page.head()
    root = page.tell("DOM.getDocument")["root"]["nodeId"]
    picker = page.tell("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
    page.tell("DOM.setFileInputFiles", nodeId=picker, files=[str(next(page.downloads.glob("*.edits.json")))])
    page.shows("Session loaded")
    page.tell("DOM.setFileInputFiles", nodeId=picker, files=[str(served / "compound_8.ply")])
    page.shows("compound_8.ply\n")


DROP = """(() => { const data = new DataTransfer(); data.items.add(new File([new Uint8Array(BYTES)], 'dropped.ply'));
document.querySelector('canvas').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true})); })()"""


def test_a_dropped_file_is_opened_and_the_list_goes_on(page, served):
    page.js(DROP.replace("BYTES", str(list((served / "compound_7.ply").read_bytes()))))
    page.shows("dropped.ply\n")
    page.press("Previous")
    page.shows("compound_8.ply\n")
    page.press("Next")
    page.shows("broken.glb:")
    page.press("Next")
    page.shows("compound_7.ply\n")
    page.press("Next")
    page.shows("compound_8.ply\n")
    page.choose("File", "compound_7.ply")
    page.shows("compound_7.ply\n")


@pytest.mark.parametrize("axis", ["+x", "+z"])
def test_the_mesh_is_turned_to_another_axis(page, axis):
    before = page.still()
    page.choose("Up", axis)
    until(lambda: (page.still() != before).any(2).mean() > .02)


@pytest.mark.parametrize("headers", [{"Origin": "http://example.org"}, {"Origin": "null"}, {"Host": "example.org"}])
def test_the_pages_of_other_sites_get_no_answer(page, headers):
    url = page.js("location.origin")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(url, headers=headers))
    settings = {"origin": headers.get("Origin"), "host": headers.get("Host"), "suppress_origin": "Host" in headers}
    with pytest.raises(WebSocketBadStatusException, match="403"):
        create_connection(url.replace("http", "ws"), **{k: v for k, v in settings.items() if v})
    create_connection(url.replace("http", "ws"), origin=url).close()


def test_a_file_of_another_folder_is_refused(page):
    page.write("Path", "/etc/hostname")
    page.press("Open path")
    page.shows("outside of the folder")


def test_the_command_refuses_what_is_no_mesh_and_what_is_no_port(served):
    from sdf_dino.parts.app import view_command
    with pytest.raises(ParameterError, match="65535"): view_command(served, port=0)
    done = subprocess.run([BIN / "sdf_dino", "view", served / "broken.glb", "--no-open"], capture_output=True, text=True)
    assert done.returncode == 1 and "broken.glb" in done.stderr and len(done.stderr.splitlines()) == 1


def test_without_viser_the_command_says_what_to_install(served):
    code = "import sys; sys.modules['viser'] = None; from sdf_dino.parts.app import start_page; start_page(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, served], capture_output=True, text=True)
    assert "pip install 'sdf_dino[app]'" in done.stderr
