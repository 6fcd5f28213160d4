"An unfit worker of a cluster is an error that names it"
import json
import math
from contextlib import nullcontext

import pytest

from sdf_dino.core import cluster as cluster_module
from sdf_dino.core.cluster import WorkerCheck, connect_cluster
from sdf_dino.core.errors import ParameterError
from sdf_dino.core.workers import lock_folder, run_parallel

LAYOUT = "sdf_dino.geometry.shapes:probe_shapes"


class Workers:
    "A Dask client whose workers answer as told"
    def __init__(self, **answers): self.answers = answers
    def run(self, function, check, on_error): return self.answers


def check(target=LAYOUT, probes=(), **libraries):
    code = cluster_module._code_behind(target)
    return WorkerCheck(target, json.dumps({**code, "libraries": {**code["libraries"], **libraries}}), probes)


def test_a_worker_with_the_same_code_and_folders_is_fit(tmp_path):
    assert cluster_module._find_fault(check(probes=(str(tmp_path),))) is None


@pytest.mark.parametrize("versions, words", [
    ({"numpy": "1.0"}, "numpy 1.0 → 2"), ({"sdf_dino": "9.9"}, "sdf_dino 9.9 → "), ({"python": "3.99"}, "python 3.99 →")])
def test_other_versions_are_named(versions, words): assert words in cluster_module._find_fault(check(**versions))[0]


def test_other_code_is_named_by_its_module():
    code = cluster_module._code_behind(LAYOUT)
    other = {**code, "modules": {**code["modules"], "geometry.shapes": "0123456789ab"}}
    assert "geometry.shapes" in cluster_module._find_fault(WorkerCheck(LAYOUT, json.dumps(other), ()))[0]


def test_a_folder_of_the_same_name_on_another_disk_is_found_out(tmp_path):
    with cluster_module._probe_files([tmp_path]) as probes:
        assert cluster_module._find_fault(check(probes=tuple(probes))) is None
    cluster_module._find_fault.cache_clear()
    assert f"does not see the folder {tmp_path}" in cluster_module._find_fault(check(probes=tuple(probes)))[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("answer, words", [
    (("runs other code", "Mend it"), "worker tcp://b: runs other code. Mend it"),
    (ModuleNotFoundError("No module named 'sdf_dino'"), "worker tcp://b: cannot run .* No module named")])
def test_the_unfit_worker_is_named(answer, words):
    workers = Workers(**{"tcp://a": None, "tcp://b": answer})
    with pytest.raises(ParameterError, match=words): check().check_all(workers)


@pytest.fixture(scope="module")
def scheduler():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
def test_calls_on_a_cluster_return_as_they_finish(scheduler, tmp_path):
    with lock_folder(tmp_path):
        assert sorted(run_parallel(math.gcd, [(8, 12), (9, 6)], scheduler=scheduler)) == [3, 4]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_real_worker_that_is_unfit_is_named(scheduler, tmp_path, monkeypatch):
    with connect_cluster(scheduler, math.gcd, [tmp_path]): pass
    monkeypatch.setattr(cluster_module, "_probe_files", lambda folders: nullcontext([str(tmp_path / "other" / "probe")]))
    with pytest.raises(ParameterError, match=f"worker tcp://.* does not see the folder {tmp_path}"):
        list(run_parallel(math.gcd, [(8, 12)], scheduler=scheduler, shared=[tmp_path]))


@pytest.mark.slow
def test_a_worker_that_joined_later_is_checked_before_its_first_call(scheduler, tmp_path):
    from distributed import Client
    unfit = check("math:gcd", probes=(str(tmp_path / "other" / "probe"),))
    with Client(scheduler) as client:
        with pytest.raises(ParameterError, match="worker tcp://"): client.submit(unfit.check_worker).result()
