"Answers of many meshes, their vote, and the lines of the test coseg"
import os
import sys
from unittest.mock import patch

import numpy as np
import pytest

from sdf_dino.core.errors import ParameterError
from sdf_dino.core.workers import close_idle_sandboxes
from sdf_dino.data.psb import toy_archive
from sdf_dino.evaluate import co_segmentation
from sdf_dino.evaluate.benchmark import EvaluationSettings
from sdf_dino.evaluate.co_segmentation import (
    cluster_jointly, co_segmentation_lines, collect_answers, vote_scores)

TRUE = np.array(list("aaaabb"))
METHOD = "sdf_dino.evaluate.co_segmentation:point_coordinates"


@pytest.fixture
def data(tmp_path): return str(toy_archive(tmp_path / "psb"))


def test_points_without_an_answer_are_wrong():
    assert vote_scores([0, 0, 0, -1, 1, 1], TRUE) == {"miou": (3/4 + 1)/2, "acc": 5/6}


def test_features_and_meshes_without_an_answer_are_clustered_together():
    found = [np.array([[0., 0], [0, 1], [9, 9]]), np.full(2, -1), np.array([[9., 8]])]
    assert cluster_jointly(found, 2).tolist() in ([0, 0, 1, -1, -1, 1], [1, 1, 0, -1, -1, 0])


def test_shared_labels_are_not_clustered():
    assert cluster_jointly([np.array([3, 3]), np.array([4])], 2).tolist() == [3, 3, 4]


def test_an_answer_is_kept(data, tmp_path):
    collect_answers(data, [81], METHOD, tmp_path, n_points=200)
    made = (tmp_path / "81.safetensors").stat().st_mtime_ns
    collect_answers(data, [81], METHOD, tmp_path, n_points=200)
    assert (tmp_path / "81.safetensors").stat().st_mtime_ns == made


def test_lines_of_a_method(data, tmp_path):
    settings = EvaluationSettings(data=data, seeds=2, folder=str(tmp_path / "rows"))
    lines = [line for found in co_segmentation_lines("kmeans_xyz", settings) for line in found]
    tests = {"coseg", "coseg/centred", "coseg/32_clusters", "coseg/Ant"}
    assert {line["test"] for line in lines} == tests
    assert {(line["shapes"], line["failed"], line["seeds"]) for line in lines} == {(1, 0, 2)}
    again = AssertionError("clustered again")
    with patch.object(co_segmentation, "cluster_jointly", side_effect=again):
        assert len([*co_segmentation_lines("kmeans_xyz", settings)]) == 4, "votes are kept"


@pytest.mark.slow
def test_a_crash_has_no_answer_and_labels_of_one_mesh_are_refused(data, tmp_path):
    (tmp_path / "of_a_user.py").write_text(
        "import os\ndef dies(s, k, seed): os.abort()\n"
        "def halves(s, k, seed): return (s.points[:, 0] > 0)*1\n")
    close_idle_sandboxes()      # waiting children do not know the new path
    path = os.pathsep.join([*sys.path, str(tmp_path)])
    with patch.object(sys, "path", [*sys.path, str(tmp_path)]), \
            patch.dict(os.environ, PYTHONPATH=path):
        (found, _, _), = collect_answers(data, [81], "of_a_user:dies", tmp_path / "dead",
                                         n_points=50)
        assert (found == -1).all()
        with pytest.raises(ParameterError, match="labels_are_shared"):
            collect_answers(data, [81], "of_a_user:halves", tmp_path / "one", n_points=50)
