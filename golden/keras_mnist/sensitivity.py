"""How far Keras' own trajectory moves when its initial weights are changed in their last digit.

    python sensitivity.py MNIST_FOLDER INIT.npz GOLDEN_AFTER.npz GOLDEN_LOSSES.npy OUT.json

Repeats the ten steps of make.py from INIT, each weight multiplied by 1 + 1e-7 times a standard
normal number, for eight seeds, and writes for each seed the distance of every loss from the
golden one, and the largest and the mean distance of the weights at the end. A ReLU or a max-pool
that two f32 computations decide differently (in step 1 one pre-activation is 1e-8) moves the
trajectory by far more than rounding: that is the tolerance that a test of it needs.
"""

import json
import sys
from pathlib import Path

import numpy as np
from make import network, read_idx, ten_steps

NOISE, SEEDS = 1e-7, 8


def main():
    folder, init, after, losses, out = map(Path, sys.argv[1:])
    images = read_idx(folder, "train-images-idx3-ubyte")[:640].reshape(-1, 28, 28, 1).astype(np.float32) / 255
    labels = np.eye(10, dtype=np.float32)[read_idx(folder, "train-labels-idx1-ubyte")[:640]]
    start, end, golden = np.load(init), np.load(after), np.load(losses)
    runs = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        model = network()
        model.set_weights([start[k] * (1 + NOISE * rng.standard_normal(start[k].shape)).astype(np.float32) for k in start.files])
        loss = ten_steps(model, images, labels)
        gaps = np.concatenate([np.abs(w - end[k]).ravel() for w, k in zip(model.get_weights(), end.files)])
        runs.append({
            "seed": seed,
            "losses": [float(d) for d in np.abs(loss - golden)],
            "weights_max": float(gaps.max()),
            "weights_mean": float(gaps.mean()),
        })
    out.write_text(json.dumps({"noise": NOISE, "runs": runs}, indent=1) + "\n")


main()
