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
from sdf_dino.geometry.shells import mesh_shells
from sdf_dino.geometry.surface import zero_set
from sdf_dino.geometry.validation import MeshRejected
from sdf_dino.parts.learned import Preset, pick_preset, segment_latent
from sdf_dino.parts.segment import face_confidence, recut, segment

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
from sdf_dino.cli.main import load_app
load_app()(["segment", sys.argv[1], "-o", sys.argv[2]], standalone_mode=False)
print(json.dumps("torch" in sys.modules))"""
    assert python(code, tmp_path / "ball.ply", tmp_path / "parts.ply") is False
    assert (tmp_path / "parts.ply").exists()


@pytest.mark.parametrize("parts, settings, words", [
    ("prototypes", {}, "only a trained head"), ("auto", {"weights": "probe9"}, "learned method"),
    ("few", {}, "Use a number"), (0, {}, "Use a number"), (2, {"method": "magic"}, "visibility, learned")])
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


@pytest.fixture(scope="module")
def table():
    "A slab on four posts, five closed shells, in units of its own"
    posts = [trimesh.creation.box((.1, .1, 1)).apply_translation([x, y, -.57])
             for x in (-.8, .8) for y in (-.4, .4)]
    mesh = trimesh.util.concatenate([trimesh.creation.box((2, 1, .1)), *posts])
    return mesh.apply_scale(30)


@pytest.fixture(scope="module")
def parts_of_table(table):
    return segment(table, 2)


def test_many_shells_are_segmented_without_rays_through_the_whole(table, parts_of_table):
    info = parts_of_table.info
    assert info["surface"] == "shells" and info["surface_reason"] == "it has 5 shells"
    assert parts_of_table.warnings == [] and set(info["stages"]) == {
        "load", "surface", "features", "tree", "borders"}
    labels = parts_of_table.labels
    assert parts_of_table.n_parts == 2 and len(set(labels[:12])) == len(set(labels[12:])) == 1


def test_a_segmentation_of_shells_does_what_any_does(table, parts_of_table, tmp_path):
    near = table.triangles_center + .1*table.face_normals
    assert np.array_equal(parts_of_table.label(near), parts_of_table.labels)
    assert parts_of_table.features.shape == (len(table.faces), 9)
    confidence = face_confidence(parts_of_table)
    assert confidence.shape == (len(table.faces),) and 0 <= confidence.min() <= confidence.max() <= 1
    tree = json.loads(parts_of_table.export(tmp_path / "table.tree.json").read_text())
    assert len(tree["tree"]["children"]) == 2
    parts_of_table.save(tmp_path)
    assert json.loads((tmp_path / "segmentation.json").read_text())["surface"] == "shells"


def test_another_cut_of_shells_is_what_a_fresh_call_finds(table, parts_of_table):
    for parts in (1, "auto"):
        assert np.array_equal(recut(parts_of_table, parts).labels, segment(table, parts).labels)


def test_more_parts_than_shells_make_is_said(parts_of_table):
    many = recut(parts_of_table, 30)
    assert many.n_parts == many.tree.n_leaves < 30 and "at most, not 30" in many.warnings[0]
    assert recut(many, 2).warnings == [] and many.info["parts_requested"] == "30"


def test_a_function_gets_samples_of_a_mesh_of_many_shells_too(table):
    found = segment(table, 2, lambda features: features, **FEW)
    assert found.info["surface"] != "shells" and found.n_parts == 2
    with pytest.raises(ParameterError, match="method visibility"):
        segment(table, 2, lambda features: features, surface="shells")


def test_a_speck_beside_a_mesh_changes_nothing(snowman, found):
    speck = trimesh.creation.icosphere(1, radius=.01).apply_translation([0, .3, 0])
    both = segment(trimesh.util.concatenate([snowman, speck]), 2, **FEW)
    assert both.info["surface"] == "triangles" and both.warnings == []
    assert (both.labels[:len(found.labels)] == found.labels).mean() > .98
    assert len(set(both.labels[len(found.labels):])) == 1


def test_a_piece_torn_off_a_solid_is_no_shell_of_its_own(snowman):
    height = snowman.triangles_center[:, 2]
    band = np.quantile(height, [.96, .98])
    kept = (height < band[0]) | (height > band[1])
    torn = trimesh.Trimesh(snowman.vertices, snowman.faces[kept], process=False)
    assert mesh_shells(torn).max() > 0
    assert segment(torn, 2, **FEW).info["surface"] != "shells"


def test_one_shell_may_be_asked_to_go_the_way_of_shells(snowman):
    assert segment(snowman, 2, surface="shells").n_parts == 2
