"""Makes golden/spatial.json: spatial layers as Keras 3 on TensorFlow computes them.

    python golden/make_spatial.py > golden/spatial.json        # needs tensorflow and keras

The cases have the form of golden/ops.json; see make_ops.py. Numbers are distinct multiples of 1/64.
"""

import json

import keras
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(3)
BATCH = 2


def distinct(shape):
    n = int(np.prod(shape))
    return ((rng.permutation(n) - n // 2 + 0.5) / 64).astype(np.float32).reshape(shape)


def numbers(a):
    return [float(f"{v:.9g}") for v in np.asarray(a, np.float32).ravel()]


cases = []


def case(op, config, shape, layer):
    """Runs a layer on fresh numbers; its weights are in striate's order."""
    layer.build((None, *shape))
    for v in layer.weights:
        v.assign(distinct(v.shape))
    x = tf.constant(distinct((BATCH, *shape)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        dy = tf.constant(distinct(y.shape))
        loss = tf.reduce_sum(y * dy)
    dx, *dw = tape.gradient(loss, [x] + [v.value for v in layer.weights])
    w = [numbers(v) for v in layer.weights]
    cases.append({
        "op": op, "config": config, "shapes": [list(shape)], "batch": BATCH, "x": [numbers(x)], "w": w,
        "dy": numbers(dy), "y": numbers(y), "dx": [numbers(dx)], "dw": [numbers(g) for g in dw], "w_after": w,
    })


def transpose(filters, kernel, stride, padding, shape, output_padding=None, bias=True, activation="linear"):
    config = {"filters": filters, "kernel": list(kernel), "stride": list(stride), "padding": padding, "bias": bias,
              "activation": activation}
    if output_padding:
        config["output_padding"] = list(output_padding)
    layer = keras.layers.Conv2DTranspose(filters, kernel, strides=stride, padding=padding, use_bias=bias,
                                         output_padding=output_padding, activation=activation)
    case("ConvTranspose2D", config, shape, layer)


transpose(3, (3, 3), (1, 1), "valid", (3, 4, 2))
transpose(3, (3, 3), (2, 2), "same", (3, 4, 2), activation="relu")
transpose(2, (2, 4), (2, 3), "valid", (4, 3, 3), bias=False)
transpose(2, (2, 1), (3, 2), "valid", (3, 3, 1))
transpose(2, (3, 4), (2, 2), "same", (3, 3, 2), output_padding=(1, 1))
transpose(2, (3, 3), (3, 2), "valid", (2, 3, 2), output_padding=(2, 1))


def separable(filters, kernel, shape, multiplier=1, stride=1, dilation=1, padding="valid", bias=True,
              activation="linear"):
    config = {"filters": filters, "kernel": list(kernel), "stride": stride, "dilation": dilation, "padding": padding,
              "multiplier": multiplier, "bias": bias, "activation": activation}
    layer = keras.layers.SeparableConv2D(filters, kernel, strides=stride, dilation_rate=dilation, padding=padding,
                                         depth_multiplier=multiplier, use_bias=bias, activation=activation)
    case("SeparableConv2D", config, shape, layer)


separable(3, (3, 3), (5, 4, 2))
separable(4, (3, 2), (5, 6, 3), multiplier=2, stride=2, padding="same", activation="relu")
separable(2, (2, 3), (6, 7, 2), dilation=2, bias=False)

for size in [(2, 2), (3, 1)]:
    for method in ["nearest", "bilinear"]:
        case("Upsample2D", {"size": list(size), "method": method}, (3, 4, 2),
             keras.layers.UpSampling2D(size, interpolation=method))
case("GlobalPool", {"kind": "average", "keep_dims": True}, (3, 5, 4), keras.layers.GlobalAveragePooling2D(keepdims=True))
case("GlobalPool", {"kind": "max", "keep_dims": True}, (7, 4), keras.layers.GlobalMaxPooling1D(keepdims=True))
for kind, layer in [("average", keras.layers.AdaptiveAveragePooling2D), ("max", keras.layers.AdaptiveMaxPooling2D)]:
    case("AdaptivePool2D", {"kind": kind, "size": [3, 2]}, (7, 5, 3), layer((3, 2)))
    case("AdaptivePool2D", {"kind": kind, "size": [2, 2]}, (6, 4, 3), layer((2, 2)))

lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
print('{"maker":"golden/make_spatial.py","keras":"%s","tensorflow":"%s","cases":[\n%s\n]}'
      % (keras.__version__, tf.__version__, lines))
