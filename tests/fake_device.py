"""An accelerator made of CPU tensors, for machines without one. As on Apple's GPUs there are no float64 and no
factorisations; as on every GPU, tensors of two devices do not mix. It counts what makes the program wait for it"""
import warnings
from contextlib import contextmanager, nullcontext
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")       # torch lets a tensor claim to lie there, whatever the machine
AUTOCAST = torch.autocast
aten = torch.ops.aten
NOT_THERE = {aten.linalg_qr, aten._linalg_eigh, aten.linalg_cholesky_ex, aten._linalg_svd}
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.bincount, aten.equal, aten.multinomial, aten.masked_select}
INDEXING = {aten.index, aten.index_put_, aten.index_put, aten._index_put_impl_}


class FakeTensor(torch.Tensor):
    "A tensor that says it lies on the device; its values are in `inner`"
    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=DEVICE)

    def __init__(self, inner): self.inner = inner

    def __repr__(self, **_): return f"FakeTensor({self.inner})"

    def tolist(self): return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError(f"{function} outside of `fake_device`")


def is_fake(x): return isinstance(x, FakeTensor)


def unwrap(x):
    if is_fake(x): return x.inner
    return torch.device("cpu") if isinstance(x, torch.device) else x


def wrap(x):
    if not isinstance(x, torch.Tensor) or is_fake(x): return x
    if x.dtype in (torch.float64, torch.complex128):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
    return FakeTensor(x)


class FakeDevice(TorchDispatchMode):
    "Runs operations on the inner tensors; `waits` names those that the program waits for"
    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, packet = kwargs or {}, function.overloadpacket
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        strangers = [x for x in tensors if not is_fake(x)]
        target = kwargs.get("device")
        here = len(strangers) < len(tensors) if target is None else target.type == DEVICE.type
        if here and packet in NOT_THERE: raise NotImplementedError(f"{function} is not on the MPS device")
        if target is not None or packet is aten.copy_: self.note_copy(target, tensors, strangers, kwargs)
        elif here: self.check(packet, strangers)
        if packet in WAITING and here: self.waits.append(str(packet))
        result = function(*tree_map(unwrap, args), **tree_map(unwrap, kwargs))
        changed = {id(x.inner): x for x in tree_leaves(args) if is_fake(x)} if function._schema.is_mutable else {}
        def wrapped(x): return changed[id(x)] if id(x) in changed else wrap(x) if here else x
        return tree_map(wrapped, result)

    def note_copy(self, target, tensors, strangers, kwargs):
        "Copies between devices make the program wait, unless they go to the device and say that they do not"
        if not tensors or len(strangers) == len(tensors) and (target is None or target.type == "cpu"): return
        if not strangers and (target is None or target.type == DEVICE.type): return
        if strangers and target is not None and kwargs.get("non_blocking"): return
        self.waits.append("copy between devices")

    def check(self, packet, strangers):
        "An index may lie on the CPU, but is copied then; other tensors may not"
        if not any(x.dim() for x in strangers): return
        if packet not in INDEXING: raise RuntimeError(f"{packet}: tensors on two devices, meta and cpu")
        self.waits.append("index on the CPU")


class Creation(TorchFunctionMode):
    "Tensors from Python's numbers, which torch would put on the real device of that name"
    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        creates = function in (torch.tensor, torch.as_tensor)
        if not creates or torch.device(kwargs.get("device") or "cpu") != DEVICE: return function(*args, **kwargs)
        rest = {key: value for key, value in kwargs.items() if key != "device"}
        return function(*args, **rest).to(DEVICE, non_blocking=True)


class Generator(torch.Generator):
    "Random numbers of the device are the CPU's"
    def __new__(cls, device="cpu"): return super().__new__(cls, "cpu")


def autocast(device_type, *args, **kwargs):
    return nullcontext() if device_type == DEVICE.type else AUTOCAST(device_type, *args, **kwargs)


@contextmanager
def fake_device():
    "Inside, `DEVICE` can be used like a GPU by CUDA; yields the list of what was waited for"
    mode = FakeDevice()
    like_cuda = mock.patch("sdf_dino.field.device._TAKEN_AT_ONCE", ("cuda", DEVICE.type))
    with mock.patch("torch.Generator", Generator), mock.patch("torch.autocast", autocast), like_cuda:
        with mode, Creation(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")    # it is done here
            yield mode.waits
