#!/usr/bin/env python3
"""Keras 3 on TensorFlow (CPU): a training step, an inference, a convolution.

    tf_peer.py train|infer NETWORK --batch N --variant WORDS
    tf_peer.py conv INDEX --variant WORDS             (of benches/shapes/peers.txt)

The words of a variant, joined by '-': batch (train_on_batch), fit (the whole of `Model.fit`, time per step), function
(tf.function); xla (compiled by XLA); mm (glibc keeps large blocks).
"""
import os
import sys

import common

a = common.arguments("words of batch fit function xla mm, joined by '-'", "batch")
WORDS = set(a.variant.split("-"))
unknown = WORDS - {"batch", "fit", "function", "xla", "mm"}
if unknown:
    sys.exit(f"unknown words in --variant: {' '.join(sorted(unknown))}")
if "mm" in WORDS:
    common.keep_blocks()
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
import numpy
import tensorflow
tensorflow.config.threading.set_intra_op_parallelism_threads(a.threads)
tensorflow.config.threading.set_inter_op_parallelism_threads(a.threads)
import keras
from keras import layers

keras.utils.set_random_seed(0)
VERSION = f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}"
XLA = "xla" in WORDS
rng = numpy.random.default_rng(0)


def keras_mnist():
    block = lambda filters: [layers.Conv2D(filters, 3, activation="relu", padding="same"), layers.MaxPooling2D(2)]
    head = [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((28, 28, 1)), *block(32), *block(64), *block(64), *head])


def simple_convnet():
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(30, 5, activation="relu"), layers.MaxPooling2D(2),
                             layers.Flatten(), layers.Dense(100, activation="relu"), layers.Dense(10, activation="softmax")])


def network():
    apps = keras.applications
    known = {"vgg-16": apps.VGG16, "resnet-50": apps.ResNet50, "resnet-152": apps.ResNet152,
             "mobilenet-v2": apps.MobileNetV2}
    if a.name == "keras-mnist":
        return keras_mnist(), keras.optimizers.Adam(1e-3)
    if a.name == "simple-convnet":
        return simple_convnet(), keras.optimizers.SGD(0.1)
    if a.name not in known:
        sys.exit(f"Keras has no {a.name}")
    return known[a.name](weights=None, input_shape=(224, 224, 3), classes=1000), keras.optimizers.SGD(0.01, momentum=0.9)


def shape(count):
    return (count, 28, 28, 1) if a.name in common.SMALL else (count, 224, 224, 3)


def targets(count):
    classes = 10 if a.name in common.SMALL else 1000
    return numpy.eye(classes, dtype=numpy.float32)[rng.integers(0, classes, count)]


def train():
    model, rule = network()
    model.compile(rule, "categorical_crossentropy", jit_compile=XLA)
    if "fit" in WORDS:
        return fit(model)
    batches = [(rng.random(shape(a.batch), dtype=numpy.float32), targets(a.batch))
               for _ in range(32 if a.name in common.SMALL else 2)]
    count = 0

    def step():
        nonlocal count
        x, t = batches[count % len(batches)]
        count += 1
        model.train_on_batch(x, t)
    common.serve(a, VERSION, step=step)


def fit(model):
    """One `Model.fit`, whose epochs of 200 batches begin when they are ordered to; the first compiles."""
    import time
    images = 200 * a.batch
    x, t = rng.random(shape(images), dtype=numpy.float32), targets(images)

    class Clock(keras.callbacks.Callback):
        orders = common.orders()

        def on_epoch_begin(self, epoch, logs=None):
            if epoch > 0 and next(self.orders, None) is None:
                raise EOFError
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            if epoch > 0:
                common.report(a, VERSION, [(time.perf_counter() - self.start) * 1e3 / 200], passes="step")
    try:
        model.fit(x, t, batch_size=a.batch, epochs=1_000_000, verbose=0, callbacks=[Clock()])
    except EOFError:  # no more orders
        pass


def infer():
    model, _ = network()
    inputs = [tensorflow.constant(rng.random(shape(a.batch), dtype=numpy.float32)) for _ in range(2)]
    call = tensorflow.function(lambda x: model(x, training=False), jit_compile=XLA or None)
    count = 0

    def step():
        nonlocal count
        count += 1
        call(inputs[count % 2]).numpy()
    common.serve(a, VERSION, step=step)


def conv():
    n, ic, h, w, oc, kh, kw, stride, padding, groups = common.CONVOLUTIONS[int(a.name)]
    x = tensorflow.constant(rng.random((n, h, w, ic), dtype=numpy.float32))
    weights = tensorflow.constant(rng.standard_normal((kh, kw, ic // groups, oc), dtype=numpy.float32) * 0.05)
    b, pad = tensorflow.zeros(oc), [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    if groups > 1:
        weights = tensorflow.reshape(weights, (kh, kw, ic, oc // ic))

    def y(x, weights, b):
        if groups > 1:
            product = tensorflow.nn.depthwise_conv2d(x, weights, [1, stride, stride, 1], "SAME")
        else:
            product = tensorflow.nn.conv2d(x, weights, stride, pad)
        return tensorflow.nn.bias_add(product, b)
    forward = tensorflow.function(y, jit_compile=XLA or None)

    @tensorflow.function(jit_compile=XLA or None)
    def gradients(x, weights, b, dy):
        with tensorflow.GradientTape() as tape:
            tape.watch([x, weights, b])
            result = y(x, weights, b)
        return tape.gradient(result, [x, weights, b], dy)
    dy = tensorflow.constant(rng.random(forward(x, weights, b).shape, dtype=numpy.float32))
    # Reading one number waits for the result without copying it.
    common.serve(a, VERSION, forward=lambda: forward(x, weights, b)[0, 0, 0, 0].numpy(),
                 all=lambda: gradients(x, weights, b, dy)[0][0, 0, 0, 0].numpy())


TASKS = dict(train=train, infer=infer, conv=conv)
if a.task not in TASKS:
    sys.exit(f"unknown task {a.task}: train, infer or conv")
TASKS[a.task]()
