"Files survive kills, and damage is found"
import errno

import numpy as np
import pytest
import torch

from sdf_dino.core.errors import CheckpointError
from sdf_dino.core.files import atomic_write, load_tensors, read_json, save_tensors, write_json


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_json(tmp_path / "a.json", {"ari": .5})
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a.json") as path:
        path.write_text("half a fi")
        raise KeyboardInterrupt
    assert read_json(tmp_path / "a.json") == {"ari": .5}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_tensors_come_back_with_shapes_types_and_metadata(tmp_path):
    tensors = {"points": np.random.rand(5, 3).astype("f4"), "empty": np.zeros((0, 3), "f4"),
               "step": np.array(3), "torch": torch.ones(2), "transposed": np.arange(6).reshape(2, 3).T}
    save_tensors(tmp_path / "a.safetensors", tensors, {"name": "chair", "scale": 2.})
    arrays, meta = load_tensors(tmp_path / "a.safetensors")
    assert meta == {"name": "chair", "scale": 2.} and set(arrays) == set(tensors)
    for name, value in tensors.items():
        assert np.array_equal(arrays[name], value) and arrays[name].shape == tuple(value.shape)


def test_equal_contents_give_equal_bytes(tmp_path):
    tensors, meta = {"a": np.zeros(2), "b": np.ones(3)}, {"name": "chair", "scale": 2.}
    save_tensors(tmp_path / "1.safetensors", tensors, meta)
    save_tensors(tmp_path / "2.safetensors", dict(reversed(tensors.items())), dict(reversed(meta.items())))
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


@pytest.mark.parametrize("damage", [
    lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], lambda data: data[:-4], lambda data: b"junk"],
    ids=["flipped bit", "truncated", "other file"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    file = tmp_path / "a.safetensors"
    save_tensors(file, {"points": np.ones((4, 3))})
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CheckpointError, match="a.safetensors"): load_tensors(file)


def test_a_full_disk_is_named_with_its_file(tmp_path):
    with pytest.raises(OSError) as error, atomic_write(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == str(tmp_path / "a.json") and error.value.errno == errno.ENOSPC
