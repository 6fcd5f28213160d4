"Scores against their definitions, tried out on every pair, matching and path"
from itertools import combinations, permutations

import numpy as np
import pytest
import trimesh
from sklearn.metrics import rand_score

from sdf_dino.core.errors import ParameterError
from sdf_dino.data.psb import psb_models, toy_archive
from sdf_dino.evaluate.metrics import (
    HumanSegmentations, area_errors, border_distances, cut_discrepancy, label_overlap, mean_rows,
    part_scores, rand_index_error, score_faces)
from sdf_dino.geometry.smoothing import face_adjacency, split_components

RNG = np.random.default_rng(0)
LABELLINGS = [(RNG.integers(4, size=n), RNG.integers(3, size=n), RNG.random(n) + .1)
              for n in (12, 25, 40)]


def members(labels): return [set(np.flatnonzero(labels == name)) for name in np.unique(labels)]


def entropy(*labels):
    share = np.unique(np.stack(labels), axis=1, return_counts=True)[1] / len(labels[0])
    return -(share * np.log(share)).sum()


def best_matching(table):
    "Largest sum of one entry for each of three columns, in different rows of four"
    rows_of = permutations(range(4), 3)
    return max(sum(table[row][column] for column, row in enumerate(rows)) for rows in rows_of)


def test_overlap_takes_any_kind_of_label():
    assert label_overlap([-1, 10**9, -1], ["b", "a", "b"]).tolist() == [[0, 2], [1, 0]]


def test_labellings_of_different_length_are_refused():
    with pytest.raises(ParameterError, match="2 and 1"): label_overlap([0, 1], [0])


@pytest.mark.parametrize("a, b, _", LABELLINGS)
def test_iou_and_accuracy_against_every_matching(a, b, _):
    iou = [[len(p & q) / len(p | q) for q in members(b)] for p in members(a)]
    hits = [[len(p & q) for q in members(b)] for p in members(a)]
    found = part_scores(a, b)
    assert found["miou"] == pytest.approx(best_matching(iou) / 4)
    assert found["acc"] == pytest.approx(best_matching(hits) / len(a))
    assert found["best_match_miou"] == pytest.approx(np.mean([max(row) for row in iou]))


@pytest.mark.parametrize("a, b, _", LABELLINGS)
def test_ari_and_nmi_against_their_definitions(a, b, _):
    together = [((a[i] == a[j]), (b[i] == b[j])) for i, j in combinations(range(len(a)), 2)]
    together = np.array(together)
    expected = together[:, 0].mean() * together[:, 1].mean()
    ari = (together.all(1).mean() - expected) / (together.mean() - expected)
    nmi = 2 * (entropy(a) + entropy(b) - entropy(a, b)) / (entropy(a) + entropy(b))
    found = part_scores(a, b)
    assert found["ari"] == pytest.approx(ari) and found["nmi"] == pytest.approx(nmi)


def test_names_of_parts_do_not_matter():
    assert all(np.isclose(v, 1) for v in part_scores([0]*4 + [1]*4, [3]*4 + [1]*4).values())


@pytest.mark.parametrize("a, b, _", LABELLINGS)
def test_rand_index_error_counts_pairs(a, b, _):
    pairs = combinations(range(len(a)), 2)
    disagreeing = sum((a[i] == a[j]) != (b[i] == b[j]) for i, j in pairs)
    assert rand_index_error(a, b) == pytest.approx(disagreeing / (len(a) * ((len(a) - 1) // 2)))
    assert rand_index_error(a, b) == rand_index_error(b, a)
    if len(a) % 2: assert rand_index_error(a, b) == pytest.approx(1 - rand_score(a, b))


def test_rand_index_error_of_one_or_two_faces():
    assert rand_index_error([0, 0], [0, 1]) == 1 and rand_index_error([0], [3]) == 0


@pytest.mark.parametrize("a, b, areas", LABELLINGS)
def test_area_errors_face_by_face(a, b, areas):
    def outside(x, y, face):
        segment = x == x[face]
        return areas[segment & (y != y[face])].sum() / areas[segment].sum()

    def unmatched(x, y):
        best = [max(areas[(x == v) & (y == u)].sum() for u in set(y)) for v in set(x)]
        return 1 - sum(best) / areas.sum()

    faces = range(len(a))
    errors = np.array([[outside(a, b, face), outside(b, a, face)] for face in faces])
    found = area_errors(a, b, areas)
    assert found["missing_rate"] == pytest.approx(unmatched(b, a))
    assert found["false_alarm_rate"] == pytest.approx(unmatched(a, b))
    assert found["gce"] == pytest.approx(errors.mean(0).min())
    assert found["lce"] == pytest.approx(errors.min(1).mean())


def test_consistency_errors_of_one_segment_vanish():
    a, _, areas = LABELLINGS[0]
    found = area_errors(a, 0 * a, areas)
    assert np.allclose([found["gce"], found["lce"]], 0)


def relaxed_distances(mesh, labels):
    "Border vertices, and distances along edges by repeated relaxation"
    faces, xyz = mesh.faces.tolist(), mesh.vertices
    edges = {frozenset(edge) for face in faces for edge in combinations(face, 2)}
    border = set()
    for edge in edges:
        sides = {labels[i] for i, face in enumerate(faces) if edge <= set(face)}
        if len(sides) > 1: border |= edge
    distance = np.array([0. if v in border else np.inf for v in range(len(xyz))])
    for _ in xyz:
        for u, v in map(tuple, edges):
            step = np.linalg.norm(xyz[u] - xyz[v])
            distance[u] = min(distance[u], distance[v] + step)
            distance[v] = min(distance[v], distance[u] + step)
    return border, distance


def test_cut_discrepancy_against_relaxation():
    mesh = trimesh.creation.icosphere(1)
    mesh.vertices *= [1, 1, 3]
    graph = face_adjacency(mesh.faces)
    labels = [(mesh.triangles_center[:, 2] > z).astype(int) for z in (.2, 2.2)]
    (border_a, distance_a), (border_b, distance_b) = (relaxed_distances(mesh, l) for l in labels)
    found = [border_distances(mesh, l, graph) for l in labels]
    assert set(found[0][0]) == border_a and np.allclose(found[0][1], distance_a)
    apart = [*(distance_b[v] for v in border_a), *(distance_a[v] for v in border_b)]
    centroid = np.average(mesh.triangles_center, axis=0, weights=mesh.area_faces)
    from_centroid = np.linalg.norm(mesh.triangles_center - centroid, axis=1)
    radius = np.average(from_centroid, weights=mesh.area_faces)
    assert cut_discrepancy(mesh, *found) == pytest.approx(np.mean(apart) / radius)


@pytest.fixture
def ant(tmp_path): return psb_models(toy_archive(tmp_path))[0]


def test_a_segment_is_split_into_its_connected_components(ant):
    people = HumanSegmentations(ant)
    axis = np.abs(ant.mesh.face_normals).argmax(1)
    sides = split_components(axis, people.graph[0])
    mean = np.mean([rand_index_error(sides, drawn) for drawn in ant.segmentations()])
    assert people.score(axis)["rand_index_error"] == pytest.approx(mean)
    assert score_faces(ant, axis)["whole"]["rand_index_error"] != pytest.approx(mean)


def test_names_of_segments_do_not_matter(ant):
    people, first = HumanSegmentations(ant), ant.segmentations()[0]
    assert people.score(first + 5) == people.score(first)


def test_one_segment_has_no_cut_discrepancy(ant):
    people, first = HumanSegmentations(ant), ant.segmentations()[0]
    assert people.score(0 * first)["cut_discrepancy"] is None
    assert people.score(first)["cut_discrepancy"] > 0


def test_means_leave_out_what_is_undefined():
    assert mean_rows([]) == {} and mean_rows([{"x": None}]) == {"x": None}
