"Self-distillation on the parts of shapes"
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from sdf_dino.distill.dino import DINOConfig
from sdf_dino.distill.part_tokens import (
    TOKEN_HEAD, TokenConfig, TokenTrainer, TokenViews, anchor_loss, koleo_loss,
    part_prototypes, part_token_features, stretched, token_inputs, token_views, train_part_tokens)
from sdf_dino.geometry.part_descriptors import mesh_part_samples

SHORT = DINOConfig(steps=40, lr=1e-3, momentum=.9, sinkhorn=True)
WIDTH = 66


def kinds_of_parts(n=12, k=6, seed=0):
    "Views of shapes whose parts are of three kinds, which the second view perturbs"
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, WIDTH))
    views = []
    for _ in range(n):
        kind = np.arange(k) % 3
        both = centres[kind] + .2*rng.normal(size=(2, k, WIDTH))
        affinity = np.full((2, k, k), 1/k, np.float32)
        views.append({k: TokenViews(both.astype(np.float32), affinity)})
    return views


def test_the_same_seed_gives_the_same_network():
    first, second = (train_part_tokens(kinds_of_parts(), dino=SHORT)[0] for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters()): assert torch.equal(a, b)


def test_training_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train_part_tokens(kinds_of_parts(), dino=replace(SHORT, steps=2))
    assert torch.rand(1) == expected


def test_kinds_become_prototypes_that_all_shapes_share():
    views = kinds_of_parts()
    network, _ = train_part_tokens(views, TokenConfig(anchor=0.), replace(SHORT, steps=150),
                                   replace(TOKEN_HEAD, prototypes=3))
    descriptors, affinity = TokenTrainer(views).views[6]
    prototypes = network(descriptors[:, 0], affinity[:, 0])[1].argmax(-1)
    assert all(len(prototypes[:, i::3].unique()) == 1 for i in range(3))
    assert len(prototypes.unique()) == 3


def test_the_student_gets_parts_of_the_right_index():
    trainer = TokenTrainer(kinds_of_parts(), TokenConfig(noise=0.))
    descriptors, affinity = trainer.batch()
    inputs, among, index = trainer.student_view(descriptors[:, 0], affinity[:, 0])
    n = index.shape[1]
    assert 3 <= n <= 4 and among.shape == (len(inputs), n, n)
    assert all(len(set(row)) == n for row in index.tolist())
    for shape in range(len(inputs)):
        assert torch.equal(inputs[shape], descriptors[shape, 0, index[shape]])


@pytest.mark.parametrize("attend", [0, 2])
def test_the_order_of_parts_does_not_matter(attend):
    network, _ = train_part_tokens(kinds_of_parts(), dino=replace(SHORT, steps=5),
                                   head=replace(TOKEN_HEAD, attend=attend))
    descriptors = torch.from_numpy(kinds_of_parts(1)[0][6].descriptors[:1])
    affinity = torch.rand(1, 6, 6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    here = network(descriptors, affinity)[0][:, order]
    there = network(descriptors[:, order], affinity[:, order][:, :, order])[0]
    assert torch.allclose(here, there, atol=1e-5)


def test_points_of_the_second_view_lie_on_the_first():
    box = trimesh.creation.box((.9, .5, .2))
    other, to_first = stretched(box, np.random.default_rng(0))
    assert np.allclose(to_first(other.vertices), box.vertices)
    assert not np.allclose(np.ptp(other.vertices, axis=0), np.ptp(box.vertices, axis=0), atol=.01)


def test_views_of_one_seed_are_equal_and_of_another_not():
    mesh = trimesh.creation.box((1, .6, .4)).subdivide().subdivide()
    first, again, other = (token_views(mesh, (3,), seed)[3].descriptors for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.allclose(first, other)


def test_a_part_alone_has_the_prototype_that_it_has_among_others():
    network, _ = train_part_tokens(kinds_of_parts(), dino=replace(SHORT, steps=5))
    box = trimesh.creation.box()
    shape, _ = mesh_part_samples(box, np.arange(12) // 2)
    logits = network(torch.from_numpy(token_inputs(shape)[0]))[1]
    assert part_prototypes(network, [shape])[0].tolist() == logits.argmax(1).tolist()


def test_features_are_of_unit_length_for_any_number_of_parts():
    network, _ = train_part_tokens(kinds_of_parts(), dino=replace(SHORT, steps=2))
    box = trimesh.creation.box()
    shapes = [mesh_part_samples(box, labels)[0] for labels in (np.zeros(12), np.arange(12) // 2)]
    for features, k in zip(part_token_features(network, shapes), (1, 6)):
        assert features.shape == (k, 64)
        assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("scale", [1., 1e3])
def test_losses_read_directions_only(scale):
    features = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    assert torch.isclose(koleo_loss(features), koleo_loss(scale*features), atol=1e-4)
    assert anchor_loss(features, scale*features) < 1e-6
    assert koleo_loss(features) < koleo_loss(features + 5)
