"Segmenting one mesh: what must hold of its labels, which method needs what, and what is refused"
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from conftest import ROOT

from sdf_dino.core.errors import ParameterError
from sdf_dino.field.fitting import FitConfig
from sdf_dino.geometry.sampling import Sampler
from sdf_dino.geometry.shapes import probe_shapes
from sdf_dino.geometry.surface import zero_set
from sdf_dino.geometry.validation import MeshRejected
from sdf_dino.parts.learned import Preset, pick_preset, segment_latent
from sdf_dino.parts.segment import StageTimer, recut, segment

FEW = {"landmarks": 256, "samples": 1024}
AS_TRAINED = Preset(FitConfig(5, finetune_steps=20, finetune_points=512), 0, Sampler(2000, 500))


@pytest.fixture(scope="module")
def snowman():
    return zero_set(probe_shapes()["snowman"].sdf, 40)


@pytest.fixture(scope="module")
def found(snowman):
    return segment(snowman, 2, **FEW)


def python(code, *words, **env):
    "What a program of a process of its own prints, as JSON"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=ROOT,
                          env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_same_seed_gives_the_same_labels(snowman, found):
    again = segment(snowman, 2, **FEW)
    assert np.array_equal(again.labels, found.labels)
    assert np.array_equal(again.features, found.features)


LABELS = """
import json, sys
import numpy as np
from sdf_dino import load_mesh, segment
print(json.dumps(segment(load_mesh(sys.argv[1]), "auto").labels.tolist()))
"""


@pytest.mark.slow
def test_the_number_of_threads_does_not_change_the_labels(snowman, tmp_path):
    snowman.export(tmp_path / "snowman.ply")
    one, two = (python(LABELS, tmp_path / "snowman.ply", OMP_NUM_THREADS=n) for n in "12")
    assert one == two and len(set(one)) > 1


def test_visibility_needs_no_torch():
    code = """
import json, sys
import sdf_dino, trimesh
sdf_dino.segment(trimesh.creation.icosphere(2))
print(json.dumps("torch" in sys.modules))"""
    assert python(code) is False


def test_the_command_needs_no_torch(tmp_path):
    trimesh.creation.icosphere(2).export(tmp_path / "ball.ply")
    code = """
import json, sys
from sdf_dino.cli import app
app(["segment", sys.argv[1], "-o", sys.argv[2]], standalone_mode=False)
print(json.dumps("torch" in sys.modules))"""
    assert python(code, tmp_path / "ball.ply", tmp_path / "parts.ply") is False
    assert (tmp_path / "parts.ply").exists()


@pytest.mark.parametrize("parts, settings, words", [
    ("prototypes", {}, "only a trained head"), ("auto", {"weights": "probe9"}, "learned method"),
    ("few", {}, "Use a number"), (0, {}, "Use a number"), (2, {"method": "magic"}, "visibility or learned")])
def test_what_the_method_cannot_do_is_refused(snowman, parts, settings, words):
    with pytest.raises(ParameterError, match=words): segment(snowman, parts, **settings)


def test_more_parts_than_the_tree_has_leaves_are_refused(found):
    with pytest.raises(ParameterError, match="Use 1 to"): recut(found, 100_000)


@pytest.mark.parametrize("parts", [1, 3, "auto"])
def test_another_cut_is_what_a_fresh_call_finds(snowman, found, parts):
    fresh, cut = segment(snowman, parts, **FEW), recut(found, parts)
    assert np.array_equal(cut.labels, fresh.labels)
    assert cut.info["parts_requested"] == str(parts) and found.info["parts_requested"] == "2"
    assert cut.info["confidence"] == fresh.info["confidence"]


def test_plates_that_face_each_other_are_two_parts():
    gap, thickness = .005, .05
    plates = [trimesh.creation.box((.8, .8, thickness)) for _ in range(2)]
    plates = [plate.subdivide().subdivide().subdivide() for plate in plates]
    for plate, side in zip(plates, (-1, 1)):
        plate.apply_translation([0, 0, side*(gap + thickness)/2])
    mesh = trimesh.util.concatenate(plates)
    height = mesh.triangles_center[:, 2]
    labels = segment(mesh, 2).labels
    facing = np.abs(np.abs(height) - gap/2) < 1e-6
    assert facing.sum() > 100
    below, above = labels[facing & (height < 0)], labels[facing & (height > 0)]
    assert len(set(below)) == len(set(above)) == 1 and below[0] != above[0]


def test_points_inside_get_the_part_of_the_surface_that_they_see(snowman, found):
    below = snowman.triangles_center - .01*snowman.face_normals
    assert (found.label(below) == found.labels).mean() > .95


def test_the_record_says_how_parts_were_made(snowman, found, tmp_path):
    assert found.info["method"] == "visibility" and found.info["surface"] == "triangles"
    assert set(found.info["stages"]) == {"load", "surface", "features", "tree", "borders"}
    assert len(found.info["part_confidence"]) == 2 and 0 < found.info["confidence"] <= 1
    found.save(tmp_path)
    assert json.loads((tmp_path / "segmentation.json").read_text())["parts"] == 2


def test_a_learned_record_names_weights_and_fit(tmp_path):
    mesh = trimesh.creation.capsule(2., .5, count=[12, 12])
    found = segment(mesh, "auto", "learned", weights="probe9", preset=AS_TRAINED,
                    fit_cache=tmp_path, **FEW)
    assert found.info["weights"] == "probe9" and not found.info["adapted"]
    assert found.info["fit"]["steps"] > 0 and found.info["method"] == "learned"
    assert len(list(tmp_path.iterdir())) == 1, "the fit is kept"


def test_a_known_shape_takes_the_same_way_as_a_mesh():
    found = segment_latent("snowman", 2, method="learned", preset=AS_TRAINED, resolution=32)
    assert found.info["latent"] == "snowman" and found.info["weights"] == "probe9"
    assert found.n_parts == 2 and len(found.labels) == len(found.mesh.faces) == len(found.features)
    prototypes = recut(found, "prototypes")
    assert prototypes.info["confidence"] is None and prototypes.n_parts > 1
    with pytest.raises(ParameterError, match="They hold"): segment_latent("spoon")


def test_presets_by_name():
    assert pick_preset("best").fit.finetune_steps > pick_preset("fast").fit.finetune_steps
    with pytest.raises(ParameterError, match="fast or best"): pick_preset("good")


def test_the_bar_names_the_stage_at_work():
    timer = StageTimer(("load", "fit"))
    timer.finish("load")
    assert timer._bar.n == 1 and timer._bar.desc.startswith("fit")
    timer.finish("fit")
    assert list(timer.seconds) == ["load", "fit"]


def test_a_flat_mesh_is_refused():
    corners = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    square = trimesh.Trimesh(corners, [[0, 1, 2], [1, 3, 2]], process=False)
    with pytest.raises(MeshRejected) as error: segment(square, 2)
    assert error.value.reason == "flat"


def test_a_fit_that_did_not_converge_is_a_warning():
    hasty = Preset(FitConfig(1, 0, 64), 0, Sampler(500, 64))
    mesh = trimesh.creation.box((1., 1., .003))
    found = segment(mesh, 2, "learned", weights="probe9", preset=hasty)
    assert any("does not represent it" in warning for warning in found.warnings)
