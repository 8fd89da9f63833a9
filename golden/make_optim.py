"""Writes optim.json: trajectories of Keras' optimisers in float64.

Run with TensorFlow 2.21 and Keras 3.15:  python golden/make_optim.py

Each case gives the weights after every step on the same fixed gradients. Some
gradients are tiny or zero, so that the place of epsilon in a formula is seen.
"""

import json
import math
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np

keras.backend.set_floatx("float64")

STEPS = 16
SCALES = [1.0, 0.1, 3.0, 1e-3, 1e-6, 0.0, 10.0]
START = [0.5, -1.25, 2.0, 0.03125, -0.75, 1.5, -3.0]


def f32(values):
    """The nearest float32 numbers, so that both sides start from the same bits."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def gradients():
    return [f32([s * math.sin(1.7 * t + 2.3 * i + 0.4) for i, s in enumerate(SCALES)]) for t in range(STEPS)]


# The class in Keras, and its settings; striate's names are the same, but for those in RENAMED.
CASES = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.5, "weight_decay": 0.25}),
    ("Adagrad", {"learning_rate": 0.1}),
    ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.0, "weight_decay": 0.125}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adadelta", {"learning_rate": 0.5, "rho": 0.875, "epsilon": 1e-4, "weight_decay": 0.0625}),
    ("RMSprop", {"learning_rate": 0.01}),
    ("RMSprop", {"learning_rate": 0.01, "momentum": 0.75, "rho": 0.875}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True, "epsilon": 1e-3}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True, "momentum": 0.75, "epsilon": 1e-3, "weight_decay": 0.25}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.05, "beta_1": 0.75, "beta_2": 0.875, "epsilon": 1e-3}),
    ("Adam", {"learning_rate": 0.05, "beta_2": 0.75, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"learning_rate": 0.05, "weight_decay": 0.25}),
    ("Nadam", {}),
    ("Nadam", {"learning_rate": 0.05, "beta_1": 0.75, "epsilon": 1e-3, "weight_decay": 0.125}),
    ("Adamax", {"learning_rate": 0.05}),
    ("Adamax", {"learning_rate": 0.05, "beta_1": 0.75, "beta_2": 0.5, "epsilon": 1e-3, "weight_decay": 0.125}),
]
RENAMED = {"initial_accumulator_value": "initial_accumulator"}


def trajectory(kind, settings, grads):
    # Settings are float32 in striate; the same numbers, defaults too, are given to Keras.
    kind = getattr(keras.optimizers, kind)
    config = kind(**settings).get_config()
    numbers = ["learning_rate", "weight_decay", "momentum", "rho", "beta_1", "beta_2", "epsilon", "initial_accumulator_value"]
    config.update({k: float(np.float32(config[k])) for k in numbers if config.get(k) is not None})
    optimizer = kind.from_config(config)
    w = keras.Variable(f32(START), dtype="float64")
    path = []
    for g in grads:
        optimizer.apply([keras.ops.convert_to_tensor(g)], [w])
        path.append([float(f"{v:.11g}") for v in w.numpy()])
    return path


def main():
    grads = gradients()
    cases = [
        {
            "optimizer": {"name": kind.lower(), **{RENAMED.get(k, k): v for k, v in settings.items()}},
            "w": trajectory(kind, settings, grads),
        }
        for kind, settings in CASES
    ]
    out = {"keras": keras.__version__, "start": START, "gradients": [g.tolist() for g in grads], "cases": cases}
    path = pathlib.Path(__file__).with_name("optim.json")
    path.write_text(json.dumps(out, indent=None, separators=(",", ":")).replace('{"optimizer"', '\n{"optimizer"') + "\n")


main()
