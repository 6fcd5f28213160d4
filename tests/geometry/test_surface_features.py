"Samples of a surface"
import trimesh
from scipy.spatial import cKDTree

from sdf_dino.geometry.surface_features import sample_surface


def test_landmarks_and_all_samples_are_evenly_spread():
    ring = trimesh.creation.torus(.3, .12)
    samples = sample_surface(ring, n_landmarks=256, n_samples=1024)
    for points in (samples.points[:256], samples.points):
        gap = cKDTree(points).query(points, 2)[0][:, 1]
        assert gap.min() > .5 * gap.mean()
