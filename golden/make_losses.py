"""Writes losses.json: Keras' losses and their gradients in float64, and init.json: statistics of its initialisers.

Run with TensorFlow 2.21 and Keras 3.15:  python golden/make_losses.py
"""

import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf

keras.backend.set_floatx("float64")
HERE = pathlib.Path(__file__).parent
BATCH = 5


def logits(outputs):
    x = np.random.default_rng(outputs).normal(size=(BATCH, outputs)) * 3
    x[1] *= 10  # a confident row
    return x.astype(np.float32).astype(np.float64)


def measure(loss, x, y, weights, classes):
    sample_weight = None if weights is None else np.asarray(weights)[classes]
    with tf.GradientTape() as tape:
        v = tf.Variable(x)
        mean = loss(tf.constant(y), v, sample_weight=sample_weight)
    return float(mean), tape.gradient(mean, v).numpy().ravel().tolist()


def case(name, outputs, smoothing, weights, soft=False):
    rng = np.random.default_rng(7)
    x = logits(outputs)
    classes = rng.integers(0, max(outputs, 2), BATCH)
    hot = classes[:, None].astype(float) if outputs == 1 else np.eye(outputs)[classes]
    values = rng.uniform(size=(BATCH, outputs)).astype(np.float32).astype(float) if soft else hot
    loss = {
        "categorical_cross_entropy": lambda: keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
        "sparse_categorical_cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "binary_cross_entropy": lambda: keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing),
        "mean_squared_error": lambda: keras.losses.MeanSquaredError(),
    }[name]()
    sparse = name.startswith("sparse")
    value, gradient = measure(loss, x, classes if sparse else values, weights, classes)
    return {
        "loss": name, "label_smoothing": smoothing, "class_weights": weights, "outputs": outputs,
        "logits": x.ravel().tolist(), "classes": classes.tolist(), "values": values.ravel().tolist() if soft else None,
        "mean": value, "gradient": gradient,
    }


def losses():
    weights = [0.5, 2.0, 1.0, 4.0]
    return [
        case("categorical_cross_entropy", 4, 0.0, None),
        case("categorical_cross_entropy", 10, 0.125, None),
        case("categorical_cross_entropy", 4, 0.25, weights),
        case("sparse_categorical_cross_entropy", 10, 0.0, None),
        case("sparse_categorical_cross_entropy", 4, 0.0, weights),
        case("binary_cross_entropy", 1, 0.0, None),
        case("binary_cross_entropy", 1, 0.25, [0.5, 3.0]),
        case("binary_cross_entropy", 6, 0.125, None, soft=True),
        case("mean_squared_error", 3, 0.0, None, soft=True),
        case("mean_squared_error", 4, 0.0, weights),
    ]


def initialisers():
    """Mean, standard deviation, smallest and largest of 3x3x32x128 weights: fans 288 and 1152."""
    init = keras.initializers
    makers = {
        "glorot_uniform": init.GlorotUniform, "glorot_normal": init.GlorotNormal, "he_uniform": init.HeUniform,
        "he_normal": init.HeNormal, "lecun_uniform": init.LecunUniform, "lecun_normal": init.LecunNormal,
        "truncated_normal": init.TruncatedNormal, "normal": init.RandomNormal, "uniform": init.RandomUniform,
    }
    rows = []
    for name, make in makers.items():
        w = np.asarray(make(seed=1)((3, 3, 32, 128), dtype="float64"))
        rows.append({"name": name, "mean": w.mean(), "std": w.std(), "min": w.min(), "max": w.max()})
    return rows


def write(name, rows):
    (HERE / name).write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


write("losses.json", losses())
write("init.json", initialisers())
