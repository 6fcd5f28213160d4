"Mirror pairs, their sides, and both sides cut alike"
import numpy as np
import pytest
import trimesh

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.parts.mirror_parts import mirror_parts
from sdf_dino.parts.segment import Segmentation


def creature(**metadata):
    "A body and four legs, in pieces: faces, their parts (body 0, left legs 1 2, right legs 3 4)"
    parts = [trimesh.creation.box((.6, .4, 1.2)), trimesh.creation.icosphere(2, .25).apply_translation((0, .25, .7))]
    places = [(x, -.5, z) for x in (.2, -.2) for z in (-.4, .4)]
    parts += [trimesh.creation.box((.15, .8, .15)).subdivide().apply_translation(place) for place in places]
    mesh = trimesh.util.concatenate(parts)
    mesh.metadata.update(metadata)
    return mesh, np.repeat([0, 0, 1, 2, 3, 4], [len(part.faces) for part in parts])


def segmentation(mesh, labels, confidence=None):
    "A result with these labels; `confidence`: of each part"
    n = labels.max() + 1
    info = {"part_confidence": confidence or [.8]*n, "seam_confidence": np.full((n, n), .5).tolist()}
    class Shells: features = None
    return Segmentation(mesh, labels, info, basis=Shells())


def test_pairs_and_sides_of_a_gltf_are_left_and_right():
    found = mirror_parts(segmentation(*creature(format="glb"))).info["symmetry"]
    assert found["pairs"] == [[1, 3], [2, 4]] and found["symmetric"] == [0] and found["alone"] == []
    assert found["sides"] == {"1": "left", "2": "left", "3": "right", "4": "right"}


def test_sides_elsewhere_are_a_and_b():
    sides = mirror_parts(segmentation(*creature(format="obj"))).info["symmetry"]["sides"]
    assert set(sides.values()) == {"a", "b"} and sides["1"] == sides["2"] != sides["3"]


def test_a_part_without_a_partner_is_alone():
    mesh, labels = creature()
    labels[labels == 4] = 0
    found = mirror_parts(segmentation(mesh, labels)).info["symmetry"]
    assert found["pairs"] == [[1, 3]] and 2 in found["alone"]


@pytest.mark.parametrize("sure_side", ["left", "right"])
def test_the_surer_side_decides(sure_side):
    mesh, labels = creature()
    labels[labels == 4] = 0                                  # a right leg is lost
    confidence = [.5, .9, .9, .9] if sure_side == "left" else [.9, .5, .5, .5]
    made = mirror_parts(segmentation(mesh, labels, confidence), "alike")
    found = made.info["symmetry"]
    assert found["alone"] == [] and len(found["pairs"]) == (2 if sure_side == "left" else 1)
    assert made.n_parts == (5 if sure_side == "left" else 3) and "one side" in made.warnings[-1]
    assert len(made.info["part_confidence"]) == made.n_parts == len(made.info["seam_confidence"])
    assert made.labels.max() == made.n_parts - 1 and made.tree_parts is None


def test_sides_that_agree_are_left_as_they_are():
    found = segmentation(*creature())
    made = mirror_parts(found, "alike")
    assert made.labels is found.labels and made.warnings == []


def test_legs_that_are_one_part_are_symmetric():
    mesh, labels = creature()
    found = mirror_parts(segmentation(mesh, (labels > 0).astype(int)), "alike")
    assert found.info["symmetry"]["symmetric"] == [0, 1] and found.n_parts == 2


def test_a_shape_without_a_plane_says_so():
    mesh, labels = creature()
    mesh = trimesh.util.concatenate([mesh, trimesh.creation.icosphere(2, .5).apply_translation((1, .7, .3))])
    made = mirror_parts(segmentation(mesh, np.r_[labels, np.full(len(mesh.faces) - len(labels), 5)]), "alike")
    assert made.info["symmetry"] is None and "no plane" in made.warnings[-1]


def test_nothing_is_done_unasked_and_other_words_are_refused():
    found = segmentation(*creature())
    assert mirror_parts(found, "none") is found
    with pytest.raises(ParameterError, match="symmetry"): mirror_parts(found, "both")


def test_a_file_tells_its_format(tmp_path):
    mesh, labels = creature()
    mesh.export(tmp_path / "a.glb")
    found = mirror_parts(segmentation(load_mesh(tmp_path / "a.glb"), labels)).info["symmetry"]
    assert found["sides"]["1"] == "left"
