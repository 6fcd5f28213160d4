"What `--keep-materials` cannot keep is said beside the result"
import numpy as np
import trimesh

from sdf_dino.geometry.loading import load_mesh
from sdf_dino.parts.segment import Segmentation
from sdf_dino.parts.segment_request import SegmentRequest, write_target


def test_a_missing_picture_is_a_warning_of_the_result(tmp_path):
    ball = trimesh.creation.icosphere(1)
    source = tmp_path / "ball.obj"
    source.write_text("mtllib ball.mtl\nusemtl wood\n" + trimesh.exchange.obj.export_obj(ball))
    (tmp_path / "ball.mtl").write_text("newmtl wood\nmap_Kd gone.png\n")
    found = Segmentation(load_mesh(source), np.arange(80) % 2, {"stages": {}})
    request = SegmentRequest(keep_materials=True)
    for name in ("a.glb", "b.glb"): write_target(found, tmp_path / name, request)
    assert found.warnings == ["picture gone.png is missing"]
