"Parts that respect components or nodes: no cut crosses a seed, whatever the tree and the seeds are"
import numpy as np
import pytest
import trimesh
from gltf_files import BOX, GltfWriter
from hypothesis import given
from hypothesis import strategies as st

from sdf_dino.core.errors import ParameterError
from sdf_dino.geometry.loading import load_mesh
from sdf_dino.geometry.part_tree import PartTree
from sdf_dino.parts.respect import MAX_SEEDS, face_seeds, gathered_seeds, respect_seeds, seeded_tree
from sdf_dino.parts.segment import recut, segment


def random_tree(n, rng):
    "A part tree with random merges and heights"
    nodes, merges = list(range(n)), []
    for new in range(n, 2*n - 1):
        pair = [nodes.pop(rng.integers(len(nodes))) for _ in range(2)]
        merges.append(pair)
        nodes.append(new)
    return PartTree(np.array(merges, int).reshape(-1, 2), np.sort(rng.random(n - 1)), .5)


def crosses(labels, seed):
    "Whether a part holds a piece of a seed and something of another"
    for part in np.unique(labels):
        inside = np.unique(seed[labels == part])
        if len(inside) > 1 and len(np.unique(labels[np.isin(seed, inside)])) > 1: return True
    return False


@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 6), st.booleans(), st.integers(0, 10**6))
def test_no_cut_crosses_a_seed(n_leaves, n_faces, n_seeds, apart, number):
    rng = np.random.default_rng(number)
    seed = np.unique(rng.integers(0, n_seeds, n_faces), return_inverse=True)[1]
    tree, leaf = seeded_tree(random_tree(n_leaves, rng), rng.integers(0, n_leaves, n_faces), seed,
                             rng.random(n_faces), apart)
    assert tree.n_leaves == leaf.max() + 1 and (np.diff(tree.heights) >= 0).all()
    assert sorted(tree.merges.ravel().tolist()) == list(range(2*tree.n_leaves - 2))
    for k in range(1, tree.n_leaves + 1):
        labels = tree.cut(k)[leaf]
        assert not crosses(labels, seed) and len(np.unique(labels)) == k
        if apart and k >= seed.max() + 1: assert len(np.unique(np.c_[labels, seed], axis=0)) == k
    if apart: assert tree.estimated_k() >= seed.max() + 1


def test_one_seed_keeps_the_tree():
    tree = random_tree(9, np.random.default_rng(0))
    same, leaf = seeded_tree(tree, np.arange(9), np.zeros(9, int), np.ones(9))
    assert np.allclose(same.heights, tree.heights) and leaf.tolist() == list(range(9))
    for k in range(1, 10): assert len(np.unique(np.c_[same.cut(k), tree.cut(k)], axis=0)) == k


@pytest.fixture(scope="module")
def crossing():
    "Three bars that cross, found as one solid"
    bars = [trimesh.creation.box(size) for size in ((2, .3, .3), (.3, 2, .3), (.3, .3, 2))]
    mesh = trimesh.util.concatenate(bars)
    mesh.metadata["nodes"] = [["bars", 0, 24], ["post", 24, 12]]
    return segment(mesh, 3, surface="field", landmarks=64, samples=256)


def test_bars_that_cross_are_told_apart_by_components_and_by_nodes(crossing):
    bars = np.arange(36) // 12
    assert crosses(crossing.labels, bars)
    parts = respect_seeds(crossing, "components")
    assert parts.n_parts == 3 and not crosses(parts.labels, bars)
    nodes = respect_seeds(recut(crossing, "auto"), "nodes")
    assert nodes.n_parts >= 2 and not set(nodes.labels[:24]) & set(nodes.labels[24:])
    assert recut(nodes, 1).n_parts == 1 and nodes.info["seeds"] == 2


def test_the_result_exports_its_tree_and_keeps_its_features(crossing, tmp_path):
    parts = respect_seeds(crossing, "components")
    assert parts.export(tmp_path / "a.tree.glb").exists()
    assert np.array_equal(parts.features, crossing.features)
    assert set(crossing.warnings) <= set(parts.warnings)


def test_nothing_changes_unasked(crossing):
    assert respect_seeds(crossing, "none") is crossing


def test_one_seed_is_said(crossing):
    one = trimesh.Trimesh(crossing.mesh.vertices, crossing.mesh.faces, process=False)
    parts = respect_seeds(segment(one, 2, surface="shells"), "nodes")
    assert "no two nodes" in parts.warnings[-1]


def test_of_very_many_seeds_those_of_one_leaf_are_one():
    seed = np.arange(2*MAX_SEEDS)
    assert np.array_equal(gathered_seeds(seed, seed % 3), seed % 3)
    seed, leaf = np.r_[seed, 0], np.r_[seed % 3, 1]          # the first seed lies in two leaves
    gathered = gathered_seeds(seed, leaf)
    assert len(np.unique(gathered)) == 4 and gathered[0] == gathered[-1]
    few = np.arange(MAX_SEEDS)
    assert np.array_equal(gathered_seeds(few, np.zeros(MAX_SEEDS, int)), few)


def test_other_words_and_prototypes_are_refused(crossing):
    with pytest.raises(ParameterError, match="respect"): respect_seeds(crossing, "groups")
    crossing.info["parts_requested"], kept = "prototypes", crossing.info["parts_requested"]
    with pytest.raises(ParameterError, match="prototypes"): respect_seeds(crossing, "nodes")
    crossing.info["parts_requested"] = kept


def test_nodes_of_a_file_are_its_seeds(tmp_path):
    writer = GltfWriter()
    for i in range(2): writer.node(mesh=writer.mesh(writer.box_primitive(BOX + [i, 0, 0])), name=f"n{i}")
    assert face_seeds(load_mesh(writer.glb(tmp_path / "a.glb")), "nodes").tolist() == [0]*12 + [1]*12


def test_more_seeds_than_memory_pairs_are_refused():
    seed = np.repeat(np.arange(30_000), 2)
    leaf = np.random.default_rng(0).integers(0, 4096, len(seed))
    with pytest.raises(ParameterError, match="pieces whole"): gathered_seeds(seed, leaf)
