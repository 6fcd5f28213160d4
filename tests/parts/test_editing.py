"Fields of parts: bounds that hold the truth, and edits that change one part"
import numpy as np
import pytest
import torch
import trimesh

from sdf_dino.field.decoder import DecoderConfig, DeepSDF
from sdf_dino.geometry.primitives import Box, Sphere
from sdf_dino.geometry.sampling import MeshField
from sdf_dino.geometry.shapes import Shape
from sdf_dino.geometry.surface import zero_set
from sdf_dino.parts.editing import (
    PartField, _without_bubbles, far_change, part_evidence, place_part, replace_part, seam_distance, swap_part,
    with_part_latent)


@pytest.fixture(scope="module")
def two():
    return Shape("two", [Box((.3, .2, .1)).moved(z=-.1), Sphere(.18).moved(z=.1)])


@pytest.fixture(scope="module")
def networks():
    "Two random part fields"
    torch.manual_seed(0)
    net = DeepSDF(DecoderConfig(8, 16, 2)).eval().requires_grad_(False)
    return Shape("networks", [PartField(net, torch.randn(8), [[x - .2]*3, [x + .2]*3], .1) for x in (-.1, .1)])


CUBE = np.random.default_rng(0).uniform(-.5, .5, (2000, 3))


@pytest.mark.parametrize("part", [0, 1])
def test_the_true_part_lies_within_its_bounds(two, part):
    mesh = zero_set(two.sdf, 96)
    points, bounds, box = part_evidence(MeshField(mesh), mesh, two.label(mesh.triangles_center), part)
    low, high = bounds.T
    true, outside = two.part_sdf(points)[part], two.sdf(points) > .01
    assert (low <= high + 1e-5).all() and .5 < (low == high).mean() < 1
    assert (points >= box[0] - 1e-6).all() and (points <= box[1] + 1e-6).all()
    assert ((low - .01 < true) & (true < high + .01))[outside].all()
    deep_and_alone = (true < -.05) & (two.part_sdf(points)[1 - part] > .05)
    assert (high[deep_and_alone] < 0).all(), "its inside is covered"


def test_one_part_has_no_seam():
    box = trimesh.creation.box()
    assert np.isinf(seam_distance(box, np.zeros(12))).all()


def test_bubbles_go():
    box = trimesh.creation.box()
    bubble = trimesh.creation.icosphere(1, .05).apply_translation([2, 0, 0])
    assert len(_without_bubbles(trimesh.util.concatenate([box, bubble])).faces) == len(box.faces)


def test_a_scaled_part_keeps_its_centre(networks):
    old, new = networks.parts[1].bounds, place_part(networks, 1, scale=1.5).parts[1].bounds
    assert np.allclose(new.mean(0), old.mean(0)) and np.allclose(np.ptp(new, axis=0), 1.5*np.ptp(old, axis=0))


def test_a_replacement_has_the_place_and_size_of_the_old_part(networks):
    old, new = networks.parts[1].bounds, replace_part(networks, 1, Sphere(2.)).parts[1].bounds
    assert np.allclose(new.mean(0), old.mean(0)) and np.isclose(np.ptp(new, axis=0).max(), np.ptp(old, axis=0).max())


@pytest.mark.parametrize("shift", [(0, 0, 0), (.1, 0, 0)])
def test_another_code_changes_one_part_placed_or_not(networks, shift):
    shape = place_part(networks, 1, shift=shift) if any(shift) else networks
    new = with_part_latent(shape, 1, torch.randn(8))
    assert np.array_equal(new.part_sdf(CUBE)[0], shape.part_sdf(CUBE)[0])
    assert not np.allclose(new.part_sdf(CUBE)[1], shape.part_sdf(CUBE)[1])


def test_the_other_parts_are_the_same_objects(networks):
    assert place_part(networks, 1, shift=(.1, 0, 0)).parts[0] is networks.parts[0]
    assert swap_part(networks, 1).n_parts == 1


def test_a_second_part_that_moves_is_noticed(two):
    moved = place_part(two, 1, shift=(.05, 0, 0))
    both = place_part(Shape("both", [two.parts[0].moved(x=.1), two.parts[1]]), 1, shift=(.05, 0, 0))
    assert far_change(two, moved, 1)["clamped"] < 1e-6 and far_change(two, both, 1)["clamped"] > 1e-3
