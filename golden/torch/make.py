"""Makes small files in the layouts of torch.save, without PyTorch: golden/torch/*.pth, and what they hold as .npz.

The bytes follow torch/serialization.py: the same globals, persistent ids, order and names. Run with Python 3 and
numpy: python golden/torch/make.py
"""

import collections
import io
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import numpy as np

HERE = pathlib.Path(__file__).parent
MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}


def stub(module, name, make=None):
    """A thing that pickle writes as the global `module.name`."""
    here = sys.modules.setdefault(module, types.ModuleType(module))
    thing = make or type(name, (), {})
    thing.__module__, thing.__qualname__, thing.__name__ = module, name, name
    setattr(here, name, thing)
    return thing


def no_call(*_):
    raise NotImplementedError("only ever named, never called")


sys.modules.setdefault("torch", types.ModuleType("torch"))
TYPES = {kind: stub("torch", name) for kind, name in {**STORAGES, "bf2": "BFloat16Storage"}.items()}
REBUILD = stub("torch._utils", "_rebuild_tensor_v2", lambda *_: no_call())
PARAMETER = stub("torch._utils", "_rebuild_parameter", lambda *_: no_call())


class Storage:
    def __init__(self, kind, raw, numbers):
        self.kind, self.raw, self.numbers, self.key = kind, raw, numbers, None


class Tensor:
    """A strided view of a storage, as torch.Tensor.__reduce_ex__ writes it."""

    def __init__(self, storage, offset, size, stride, parameter=False):
        self.args = (storage, offset, tuple(size), tuple(stride), False, collections.OrderedDict())
        self.parameter = parameter

    def __reduce_ex__(self, protocol):
        if self.parameter:
            return PARAMETER, (Tensor(*self.args[:4]), True, collections.OrderedDict())
        return REBUILD, self.args


def tensor(array, **keys):
    array = np.asarray(array, order="C")
    storage = Storage(array.dtype.str[1:], array.tobytes(), array.size)
    strides = [s // array.itemsize for s in array.strides]
    return Tensor(storage, 0, array.shape, strides, **keys)


class Pickler(pickle.Pickler):
    def __init__(self, out, legacy):
        super().__init__(out, protocol=2)
        self.legacy, self.storages = legacy, []

    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        if thing.key is None or all(thing is not s for s in self.storages):
            self.storages.append(thing)
            thing.key = str(94000000000 + len(self.storages)) if self.legacy else str(len(self.storages) - 1)
        identity = ("storage", TYPES[thing.kind], thing.key, "cpu", thing.numbers)
        return identity + (None,) if self.legacy else identity


def save_zip(path, value, compression=zipfile.ZIP_STORED, byteorder="little"):
    out = io.BytesIO()
    pickler = Pickler(out, legacy=False)
    pickler.dump(value)
    stem = path.stem
    with zipfile.ZipFile(path, "w", compression) as archive:
        write = lambda name, data: archive.writestr(zipfile.ZipInfo(f"{stem}/{name}"), data, compression)
        write("data.pkl", out.getvalue())
        write("byteorder", byteorder)
        for storage in pickler.storages:
            write(f"data/{storage.key}", storage.raw)
        write("version", "3\n")


def save_legacy(path, value):
    body = io.BytesIO()
    pickler = Pickler(body, legacy=True)
    pickler.dump(value)
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with open(path, "wb") as out:
        pickle.dump(MAGIC, out, protocol=2)
        pickle.dump(1001, out, protocol=2)
        pickle.dump(facts, out, protocol=2)
        out.write(body.getvalue())
        storages = sorted(pickler.storages, key=lambda s: s.key)
        pickle.dump([s.key for s in storages], out, protocol=2)
        for storage in storages:
            out.write(struct.pack("<q", storage.numbers) + storage.raw)


def make():
    rng = np.random.default_rng(7)
    normal = lambda *shape: rng.normal(size=shape).astype("f4")
    expect = collections.OrderedDict()
    state = collections.OrderedDict()

    def add(name, array, **keys):
        state[name], expect[name] = tensor(array, **keys), np.asarray(array).astype("f4")

    # conv - norm - conv - dense, as torch.nn names them.
    add("features.0.weight", normal(4, 3, 3, 3), parameter=True)
    add("features.0.bias", normal(4))
    for part in ["weight", "bias", "running_mean"]:
        add(f"features.1.{part}", normal(4))
    add("features.1.running_var", rng.random(4).astype("f4") + 0.5)
    add("features.1.num_batches_tracked", np.array(3, "i8"))
    add("features.3.weight", normal(6, 2, 3, 3))
    add("classifier.weight", normal(5, 6 * 4 * 4))
    add("classifier.bias", normal(5))
    save_zip(HERE / "small.pth", state)
    save_legacy(HERE / "small_legacy.pth", state)
    np.savez(HERE / "small.npz", **expect)

    # Views: a transposed one, a slice, two tensors of one storage; other kinds of numbers; a checkpoint around it.
    base = normal(6, 4)
    shared = Storage("f4", base.tobytes(), base.size)
    odd = collections.OrderedDict()
    odd["turned.weight"] = Tensor(shared, 0, (4, 6), (1, 4))
    odd["slice.weight"] = Tensor(shared, 5, (2, 3), (8, 1))
    odd["double.weight"] = tensor(normal(3).astype("f8"))
    odd["half.weight"] = tensor(normal(3).astype("f2"))
    bits = (normal(3).view("u4") >> 16).astype("u2")
    odd["brain.weight"] = Tensor(Storage("bf2", bits.tobytes(), 3), 0, (3,), (1,))
    odd["empty.weight"] = tensor(np.zeros((0, 3), "f4"))
    expect = {
        "turned.weight": base.T,
        "slice.weight": base.ravel()[[5, 6, 7, 13, 14, 15]].reshape(2, 3),
        "double.weight": np.frombuffer(odd["double.weight"].args[0].raw, "f8").astype("f4"),
        "half.weight": np.frombuffer(odd["half.weight"].args[0].raw, "f2").astype("f4"),
        "brain.weight": (bits.astype("u4") << 16).view("f4"),
        "empty.weight": np.zeros((0, 3), "f4"),
    }
    optimizer = {"state": {0: {"step": tensor(np.array(9, "i8"))}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    checkpoint = {"epoch": 3, "best": 0.75, "state_dict": odd, "optimizer": optimizer, "args": (None, True, 1 << 40)}
    save_zip(HERE / "checkpoint.pth", checkpoint, zipfile.ZIP_DEFLATED)
    np.savez(HERE / "checkpoint.npz", **{k: np.ascontiguousarray(v) for k, v in expect.items()})
    save_zip(HERE / "big_endian.pth", collections.OrderedDict(a=tensor(normal(2))), byteorder="big")


make()
