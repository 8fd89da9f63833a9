"""Writes schedules.json: Keras' learning rate schedules in float64.

Run with TensorFlow 2.21 and Keras 3.15:  python golden/make_schedules.py
"""

import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np

keras.backend.set_floatx("float64")
schedules = keras.optimizers.schedules
STEPS, WARMUP, STEPS_PER_EPOCH = 40, 8, 5
LOSSES = [1.0, 0.9, 0.9, 0.95, 0.9, 0.89995, 0.91, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6]


def curve(schedule):
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(STEPS)]


def plateau(**settings):
    """The learning rate after each epoch whose loss is that of LOSSES; it starts at 1."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    callback = keras.callbacks.ReduceLROnPlateau(monitor="loss", mode="min", **settings)
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(LOSSES):
        callback.on_epoch_end(epoch, {"loss": loss})
        rates.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
    return rates


out = {
    "cosine": curve(schedules.CosineDecay(np.float64(1), STEPS, alpha=0.125)),
    "warm_cosine": curve(
        schedules.CosineDecay(np.float64(1 / (WARMUP + 1)), STEPS - WARMUP, alpha=0.125, warmup_target=1.0, warmup_steps=WARMUP)
    ),
    "exponential": curve(schedules.ExponentialDecay(np.float64(1), STEPS_PER_EPOCH, 0.75)),
    "step": curve(schedules.ExponentialDecay(np.float64(1), 3 * STEPS_PER_EPOCH, 0.5, staircase=True)),
    "losses": LOSSES,
    "plateau": plateau(factor=0.5, patience=2, min_lr=0.1),
    "plateau_with_cooldown": plateau(factor=0.25, patience=1, cooldown=2),
}
pathlib.Path(__file__).with_name("schedules.json").write_text(json.dumps(out) + "\n")
