"""Makes golden/ops.json: outputs and gradients of the ops as Keras 3 on TensorFlow computes them.

    python golden/make_ops.py > golden/ops.json        # needs tensorflow and keras

Inputs are short decimals without ties, so that the file is small and no gradient sits on a kink.
Each case: the op and its fields as striate writes them, shapes without the batch, x, w, dy, and
what Keras answers: y, dx, dw (trainable parameters), w_after.
"""

import json

import keras
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(2)
BATCH = 2


def distinct(shape):
    """Distinct multiples of 1/64 around 0, none of them 0."""
    n = int(np.prod(shape))
    return ((rng.permutation(n) - n // 2 + 0.5) / 64).astype(np.float32).reshape(shape)


def numbers(a):
    return [float(f"{v:.9g}") for v in np.asarray(a, np.float32).ravel()]


cases = []


def case(op, config, shapes, f, layer=None, w=(), dw=(), shift=0.0):
    """Runs `f` on fresh inputs, the second moved by `shift`; `w` are the variables in striate's order, `dw` the trainable ones."""
    x = [tf.constant(distinct((BATCH, *s)) + np.float32(i * shift)) for i, s in enumerate(shapes)]
    before = [numbers(v) for v in w]
    with tf.GradientTape() as tape:
        for v in x:
            tape.watch(v)
        y = f(*x)
        dy = tf.constant(distinct(y.shape))
        loss = tf.reduce_sum(y * dy)
    trainable = [v.value if hasattr(v, "value") else v for v in dw]
    grads = tape.gradient(loss, list(x) + trainable)
    cases.append({
        "op": op, "config": config, "shapes": [list(s) for s in shapes], "batch": BATCH,
        "x": [numbers(v) for v in x], "w": before, "dy": numbers(dy), "y": numbers(y),
        "dx": [numbers(tf.convert_to_tensor(g)) for g in grads[: len(x)]],
        "dw": [numbers(g) for g in grads[len(x):]],
        "w_after": [numbers(v) for v in w],
    })


def pool2d(kind, size, stride, padding, shape):
    layer = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D,
             "min": keras.layers.MaxPooling2D}[kind](size, strides=stride, padding=padding)
    f = (lambda x: -layer(-x)) if kind == "min" else layer
    case("Pool2D", {"kind": kind, "window": list(size), "stride": list(stride), "padding": padding}, [shape], f)


pool2d("max", (2, 2), (2, 2), "valid", (4, 4, 2))
pool2d("max", (2, 2), (2, 2), "valid", (5, 7, 3))
pool2d("max", (3, 3), (2, 2), "same", (5, 6, 3))
pool2d("max", (3, 2), (1, 1), "same", (3, 4, 17))
pool2d("max", (3, 3), (2, 2), "valid", (7, 7, 2))
pool2d("min", (3, 3), (1, 2), "same", (4, 5, 2))
pool2d("average", (2, 2), (2, 2), "valid", (5, 4, 3))
pool2d("average", (3, 3), (2, 2), "same", (5, 6, 3))
pool2d("average", (3, 3), (1, 1), "same", (4, 4, 2))
for kind, layer in [("max", keras.layers.MaxPooling1D), ("average", keras.layers.AveragePooling1D)]:
    case("Pool1D", {"kind": kind, "window": 3, "stride": 2, "padding": "same"}, [(8, 3)],
         layer(3, strides=2, padding="same"))
case("GlobalPool", {"kind": "average"}, [(3, 5, 4)], keras.layers.GlobalAveragePooling2D())
case("GlobalPool", {"kind": "max"}, [(3, 5, 4)], keras.layers.GlobalMaxPooling2D())
case("GlobalPool", {"kind": "max"}, [(7, 4)], keras.layers.GlobalMaxPooling1D())


def batch_norm(shape, training):
    layer = keras.layers.BatchNormalization()
    layer.build((None, *shape))
    w = [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
    for i, v in enumerate(w):
        v.assign(np.abs(distinct(v.shape)) + 0.5 if i in (0, 3) else distinct(v.shape))
    op = "BatchNorm" if training else "BatchNorm (inference)"
    case(op, {}, [shape], lambda x: layer(x, training=training), w=w, dw=w[:2])


batch_norm((3, 4, 5), True)
batch_norm((6,), True)
batch_norm((3, 4, 5), False)

for radius, bias, alpha, beta in [(2, 2.0, 1e-4, 0.75), (2, 1.0, 0.5, 0.75), (1, 1.0, 0.25, 0.6), (1, 2.0, 0.25, 0.5)]:
    case("Lrn", {"size": 2 * radius + 1, "k": bias, "alpha": alpha, "beta": beta, "average": False}, [(2, 3, 7)],
         lambda x, r=radius, k=bias, a=alpha, b=beta: tf.nn.local_response_normalization(
             x, depth_radius=r, bias=k, alpha=a, beta=b))

for name, f in [
    ("linear", lambda x: x), ("relu", keras.activations.relu),
    ("leaky_relu(0.25)", lambda x: keras.activations.leaky_relu(x, negative_slope=0.25)),
    ("elu(1.5)", lambda x: keras.activations.elu(x, alpha=1.5)), ("silu", keras.activations.silu),
    ("hard_swish", keras.activations.hard_silu), ("sigmoid", keras.activations.sigmoid),
    ("tanh", keras.activations.tanh), ("softmax", keras.activations.softmax),
]:
    case("Activation", name, [(4, 21)], f)
case("Activation", "relu6", [(20, 21)], keras.activations.relu6)
case("ZeroPad", {"top": 1, "bottom": 2, "left": 3, "right": 0}, [(2, 3, 2)],
     keras.layers.ZeroPadding2D(((1, 2), (3, 0))))
case("Add", {}, [(2, 3)] * 3, lambda *x: keras.layers.Add()(list(x)))
case("Concat", {}, [(2, 2, 1), (2, 2, 3)], lambda *x: keras.layers.Concatenate()(list(x)))
case("Flatten", {}, [(2, 3, 2)], keras.layers.Flatten())

for name, f in [
    ("gelu", lambda x: keras.activations.gelu(x, approximate=False)), 
    ("gelu_tanh", lambda x: keras.activations.gelu(x, approximate=True)),
    ("mish", keras.activations.mish), ("selu", keras.activations.selu), ("softplus", keras.activations.softplus),
    ("softsign", keras.activations.softsign), ("exponential", keras.activations.exponential),
    ("hard_sigmoid", keras.activations.hard_sigmoid), ("log_softmax", keras.activations.log_softmax),
]:
    case("Activation", name, [(10, 21) if name == "hard_sigmoid" else (2, 21)], f)

for kind, layer in [
    ("multiply", keras.layers.Multiply), ("subtract", keras.layers.Subtract), ("maximum", keras.layers.Maximum),
    ("minimum", keras.layers.Minimum), ("average", keras.layers.Average),
]:
    case("Merge", {"kind": kind}, [(3, 2, 4), (1, 1, 4)], lambda a, b, f=layer(): f([a, b]),
         shift=1 / 256)
case("Merge", {"kind": "multiply"}, [(2, 3)] * 3, lambda *x: keras.layers.Multiply()(list(x)))
case("Merge", {"kind": "divide"}, [(3, 2, 4), (3, 2, 1)], lambda a, b: a / b)
case("Add", {}, [(3, 2, 4), (4,)], lambda a, b: keras.layers.Add()([a, b]))
case("Permute", {"axes": [2, 0, 1]}, [(2, 3, 4)], keras.layers.Permute((3, 1, 2)))
case("Slice", {"axis": 1, "start": 1, "end": 3}, [(2, 4, 3)], lambda x: x[:, :, 1:3])
for mode, name in [("reflect", "REFLECT"), ("constant(0.5)", "CONSTANT")]:
    case("Pad2D", {"top": 1, "bottom": 2, "left": 2, "right": 1, "mode": mode}, [(3, 3, 2)],
         lambda x, m=name: tf.pad(x, [[0, 0], [1, 2], [2, 1], [0, 0]], m, 0.5))


def learned(op, config, shape, layer):
    """A layer whose weights are all trainable, in striate's order."""
    layer.build((None, *shape))
    for v in layer.weights:
        v.assign(np.abs(distinct(v.shape)) + 0.25)
    case(op, config, [shape], layer, w=list(layer.weights), dw=list(layer.weights))


learned("LayerNorm", {}, (3, 4, 6), keras.layers.LayerNormalization())
learned("LayerNorm", {"axes": 2, "epsilon": 1e-5, "center": False}, (3, 4, 6),
        keras.layers.LayerNormalization(axis=[-2, -1], epsilon=1e-5, center=False))
for groups in [1, 2, 6]:
    learned("GroupNorm", {"groups": groups}, (3, 4, 6), keras.layers.GroupNormalization(groups))
learned("PRelu", {"alpha": "element"}, (2, 3, 2), keras.layers.PReLU())

lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
print('{"maker":"golden/make_ops.py","keras":"%s","tensorflow":"%s","cases":[\n%s\n]}'
      % (keras.__version__, tf.__version__, lines))
