"""Makes the golden files of this folder: the Keras network of the notes, before and after ten steps.

    python make.py MNIST_FOLDER OUT_FOLDER [--init keras_mnist_init.npz]

MNIST_FOLDER holds train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or with .gz.
Three files go to OUT_FOLDER:

    keras_mnist_init.npz          weights before training (HWIO kernels), or a copy of --init
    keras_mnist_after10steps.npz  weights after ten steps of Adam, 1e-3
    keras_mnist_10steps_losses.npy  the loss of each batch, taken before its update

The steps see the first 640 training images in file order, 64 at a time, without
shuffling. Needs TensorFlow 2.21 and Keras 3.15; the seed is 0. A run with the same
--init repeats the losses up to the rounding of f32, not to the bit: TensorFlow's sums
depend on the machine.
"""

import argparse
import gzip
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

STEPS, BATCH = 10, 64


def read_idx(folder, name):
    """The array of an IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist/)."""
    plain = folder / name
    data = plain.read_bytes() if plain.exists() else gzip.decompress((folder / (name + ".gz")).read_bytes())
    assert data[:3] == b"\0\0\x08", f"{name} is not an IDX file of bytes"
    rank = data[3]
    dims = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(dims)


def network():
    layers = keras.layers
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])


def weights(model):
    """Arrays by 'layer/kernel' and 'layer/bias', in the order of the layers."""
    return {f"{layer.name}/{w.name}": w.numpy() for layer in model.layers for w in layer.weights}


def ten_steps(model, images, labels):
    """Trains in place; returns the loss of each batch before its update."""
    optimizer = keras.optimizers.Adam(1e-3)
    cross_entropy = keras.losses.CategoricalCrossentropy()
    losses = []
    for at in range(0, STEPS * BATCH, BATCH):
        x, y = images[at:at + BATCH], labels[at:at + BATCH]
        with tf.GradientTape() as tape:
            loss = cross_entropy(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        losses.append(loss.numpy())
    return np.array(losses, np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--init", type=Path, help="start from these weights")
    args = parser.parse_args()

    keras.utils.set_random_seed(0)
    images = read_idx(args.mnist, "train-images-idx3-ubyte")[:STEPS * BATCH, ..., None].astype(np.float32) / 255
    labels = keras.utils.to_categorical(read_idx(args.mnist, "train-labels-idx1-ubyte")[:STEPS * BATCH], 10)

    # Two networks, so that the names are conv2d... before and conv2d_3... after, as in the notes.
    before, trained = network(), network()
    if args.init:
        with np.load(args.init) as init:
            before.set_weights(list(init.values()))
    trained.set_weights(before.get_weights())
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez(args.out / "keras_mnist_init.npz", **weights(before))
    losses = ten_steps(trained, images, labels)
    np.savez(args.out / "keras_mnist_after10steps.npz", **weights(trained))
    np.save(args.out / "keras_mnist_10steps_losses.npy", losses)
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}: losses {losses}")


if __name__ == "__main__":
    main()
