"""Small networks in every form of Keras file, with what Keras predicts for them.

    python make.py            (TensorFlow 2.21.0, Keras 3.15.1, h5py; writes into this folder)

Keras 3 writes its own forms. The files of Keras 1 and 2 are put together with h5py from configs as those versions
wrote them, with weights of networks of today, rearranged as the old layouts want; so what they predict is known too.
"""

import json
import os
import pathlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import h5py
import keras
import numpy as np
from keras import layers as L

HERE = pathlib.Path(__file__).parent
outputs = {}


def randomise(model, seed):
    rng = np.random.default_rng(seed)
    values = []
    for w in model.weights:
        name = w.path.split("/")[-1]
        value = rng.normal(0, 0.5, w.shape)
        if name in ("moving_variance", "gamma"):
            value = rng.uniform(0.5, 1.5, w.shape)
        values.append(value.astype("float32"))
    model.set_weights(values)


def keep(name, model, seed, x=None):
    rng = np.random.default_rng(seed + 1000)
    if x is None:
        x = rng.normal(0, 1, (2, *model.input_shape[1:])).astype("float32")
    y = model.predict(x, verbose=0)
    outputs[name] = {
        "x": {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]},
        "y": {"shape": list(y.shape), "data": [float(v) for v in y.ravel()]},
    }
    return x, y


def sequential():
    return keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            L.ZeroPadding2D(((1, 0), (0, 1))),
            L.Conv2D(4, 3, strides=2, activation="relu", name="first"),
            L.BatchNormalization(epsilon=1e-4, name="norm"),
            L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="leaky_relu"),
            L.SeparableConv2D(5, 3, padding="same", use_bias=False),
            L.PReLU(shared_axes=[1, 2]),
            L.Conv2DTranspose(3, 3, strides=2, padding="same"),
            L.LayerNormalization(),
            L.MaxPooling2D(2, padding="same"),
            L.UpSampling2D(2, interpolation="bilinear"),
            L.Cropping2D(((1, 0), (0, 2))),
            L.AveragePooling2D(2),
            L.Permute((2, 1, 3)),
            L.Flatten(),
            L.Dropout(0.5),
            L.Dense(6, activation="softmax"),
        ],
        name="in_a_row",
    )


def functional():
    x = keras.Input((8, 8, 2), name="image")
    y = L.Rescaling([0.5, 2.0], offset=[0.25, -1.0])(x)
    a = L.Conv2D(6, 3, padding="same", use_bias=False, name="left")(y)
    a = L.BatchNormalization(scale=False, name="left_norm")(a)
    a = L.ReLU(max_value=6.0)(a)
    b = L.Conv2D(6, (1, 3), padding="same", groups=1, dilation_rate=(1, 2), activation="gelu", name="right")(y)
    b = L.GroupNormalization(groups=3)(b)
    s = L.GlobalAveragePooling2D(keepdims=True)(a)
    s = L.Conv2D(6, 1, activation="hard_sigmoid")(s)
    a = L.Multiply()([a, s])
    c = L.Concatenate()([a, b, L.Average()([a, b]), L.Maximum()([a, b])])
    inner = keras.Sequential(
        [keras.Input((8, 8, 24)), L.Conv2D(4, 1, name="squeeze"), L.BatchNormalization(name="inner_norm")], name="inner"
    )
    d = inner(c)
    d = L.Activation("silu")(d)
    d = L.Dense(4, activation="tanh", name="pixelwise")(d)
    e = L.GlobalMaxPooling2D()(d)
    return keras.Model(x, L.Dense(3, name="logits")(e), name="branches")


def sequence():
    return keras.Sequential(
        [
            keras.Input((12, 3)),
            L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="elu"),
            L.MaxPooling1D(2),
            L.Conv1D(5, 3, strides=2, padding="same", name="second"),
            L.LeakyReLU(negative_slope=0.1),
            L.Cropping1D((1, 0)),
            L.GlobalAveragePooling1D(),
            L.Dense(2, activation="sigmoid"),
        ],
        name="sequence",
    )


def keras3():
    for seed, (name, make) in enumerate([("sequential", sequential), ("functional", functional), ("sequence", sequence)]):
        keras.utils.clear_session()
        model = make()
        randomise(model, seed)
        keep(name, model, seed)
        # One or two forms of each, to keep the folder small.
        for form in {"sequential": [".keras"], "functional": [".keras", ".h5"], "sequence": [".weights.h5"]}[name]:
            path = HERE / f"{name}{form}"
            model.save_weights(path) if form == ".weights.h5" else model.save(path)


def old_file(name, config, groups, version, backend, weights_only=False):
    """A file as Keras 1 or 2 wrote it: groups = [(layer, [(weight, array)])]."""
    with h5py.File(HERE / name, "w") as f:
        root = f if weights_only else f.create_group("model_weights")
        for where in {f, root}:
            if version:
                where.attrs["keras_version"] = version.encode()
                where.attrs["backend"] = backend.encode()
        if not weights_only:
            f.attrs["model_config"] = json.dumps(config).encode()
        root.attrs["layer_names"] = [layer.encode() for layer, _ in groups]
        for layer, weights in groups:
            g = root.create_group(layer)
            g.attrs["weight_names"] = [weight.encode() for weight, _ in weights]
            for weight, value in weights:
                g.create_dataset(weight, data=value)


def keras2():
    keras.utils.clear_session()
    x = keras.Input((6, 6, 2))
    a = L.Conv2D(3, 3, padding="same", name="conv")(x)
    b = L.BatchNormalization(name="bn")(a)
    b = L.LeakyReLU(negative_slope=0.3)(b)
    c = L.Add()([a, b])
    model = keras.Model(x, L.Dense(2)(L.Flatten()(c)))
    randomise(model, 5)
    keep("keras2", model, 5)
    conv, bn, dense = model.get_layer("conv"), model.get_layer("bn"), model.layers[-1]
    init = {"class_name": "VarianceScaling", "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}}
    base = {"trainable": True, "dtype": "float32"}
    conv_config = {"filters": 3, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "data_format": "channels_last",
                   "dilation_rate": [1, 1], "activation": "linear", "use_bias": True, "kernel_initializer": init,
                   "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 1e-4}}, "activity_regularizer": None}

    def entry(cls, name, config, inputs):
        nodes = [[[i, 0, 0, {}] for i in inputs]] if inputs else []
        return {"name": name, "class_name": cls, "config": {"name": name, **base, **config}, "inbound_nodes": nodes}

    config = {"class_name": "Model", "config": {"name": "model_1", "layers": [
        entry("InputLayer", "input_1", {"batch_input_shape": [None, 6, 6, 2], "sparse": False}, []),
        entry("Conv2D", "conv", conv_config, ["input_1"]),
        entry("BatchNormalization", "bn", {"axis": [3], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True}, ["conv"]),
        entry("LeakyReLU", "leaky_re_lu_1", {"alpha": 0.30000001192092896}, ["bn"]),
        entry("Add", "add_1", {}, ["conv", "leaky_re_lu_1"]),
        entry("Flatten", "flatten_1", {"data_format": "channels_last"}, ["add_1"]),
        entry("Dense", "dense_1", {"units": 2, "activation": "linear", "use_bias": True}, ["flatten_1"]),
    ], "input_layers": [["input_1", 0, 0]], "output_layers": [["dense_1", 0, 0]]}}
    groups = [("input_1", []), ("conv", [("conv/kernel:0", conv.kernel), ("conv/bias:0", conv.bias)]),
              ("bn", [(f"bn/{n}:0", getattr(bn, n)) for n in ("gamma", "beta", "moving_mean", "moving_variance")]),
              ("leaky_re_lu_1", []), ("add_1", []), ("flatten_1", []),
              ("dense_1", [("dense_1/kernel:0", dense.kernel), ("dense_1/bias:0", dense.bias)])]
    groups = [(layer, [(n, v.numpy()) for n, v in weights]) for layer, weights in groups]
    old_file("keras2.h5", config, groups, "2.2.4", "tensorflow")
    old_file("keras2_weights.h5", config, groups, "2.2.4", "tensorflow", weights_only=True)


def keras1():
    """Channels first, as Theano's users had it: kernels [oc, ic, kh, kw], turned around."""
    keras.utils.clear_session()
    x = keras.Input((6, 5, 2))
    a = L.Conv2D(3, 3, activation="relu", name="conv")(x)
    a = L.MaxPooling2D((2, 1))(a)
    flat = L.Flatten()(L.Permute((3, 1, 2))(a))
    model = keras.Model(x, L.Dense(2, activation="softmax", name="dense")(flat))
    randomise(model, 6)
    keep("keras1", model, 6)
    kernel, bias = model.get_layer("conv").get_weights()
    theano = kernel.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1]
    dense = model.get_layer("dense").get_weights()
    config = {"class_name": "Sequential", "config": [
        {"class_name": "Convolution2D", "config": {
            "name": "convolution2d_1", "batch_input_shape": [None, 2, 6, 5], "nb_filter": 3, "nb_row": 3, "nb_col": 3,
            "activation": "relu", "border_mode": "valid", "subsample": [1, 1], "dim_ordering": "th", "init": "glorot_uniform",
            "bias": True, "W_regularizer": None, "b_regularizer": None, "activity_regularizer": None, "W_constraint": None,
            "b_constraint": None, "trainable": True, "input_dtype": "float32"}},
        {"class_name": "MaxPooling2D", "config": {"name": "maxpooling2d_1", "pool_size": [2, 1], "strides": [2, 1],
                                                  "border_mode": "valid", "dim_ordering": "th", "trainable": True}},
        {"class_name": "Dropout", "config": {"name": "dropout_1", "p": 0.5, "trainable": True}},
        {"class_name": "Flatten", "config": {"name": "flatten_1", "trainable": True}},
        {"class_name": "Dense", "config": {"name": "dense_1", "output_dim": 2, "init": "glorot_uniform", "activation": "softmax",
                                           "bias": True, "input_dim": 12, "trainable": True}},
    ]}
    groups = [("convolution2d_1", [("convolution2d_1_W", theano), ("convolution2d_1_b", bias)]), ("maxpooling2d_1", []),
              ("dropout_1", []), ("flatten_1", []), ("dense_1", [("dense_1_W", dense[0]), ("dense_1_b", dense[1])])]
    old_file("keras1.h5", config, groups, None, None)


def chunks():
    """What h5py can do besides: chunks, deflate, shuffle, a checksum, big-endian, f16, f64, the newer groups."""
    data = np.arange(60, dtype="float32").reshape(6, 10) / 8
    with h5py.File(HERE / "chunks.h5", "w") as f:
        f.create_dataset("deflated", data=data, chunks=(4, 3), compression="gzip", shuffle=True, fletcher32=True)
        f.create_dataset("plain", data=data, chunks=(5, 5))
        f.create_dataset("big", data=data.astype(">f4"))
        f.create_dataset("half", data=data.astype("<f2"))
        f.create_dataset("double", data=data.astype("<f8"))
        newer = f.create_group("newer", track_order=True)
        newer.attrs["names"] = ["long text", "of any length"]
        newer.attrs["fixed"] = [b"a", b"bb"]
        newer.create_dataset("tensor", data=data)


if __name__ == "__main__":
    keras3()
    keras2()
    keras1()
    chunks()
    (HERE / "expected.json").write_text(json.dumps(outputs))
