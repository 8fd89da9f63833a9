#!/usr/bin/env python3
"""The whole of `striate train mnist` in Keras: read MNIST, train five epochs, evaluate, save.

    mnist_peer.py FOLDER fit|fit-mm THREADS           (FOLDER holds the four IDX files, compressed)

Who starts this process measures its time.
"""
import gzip
import json
import os
import resource
import sys
import tempfile

folder, variant, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
if "mm" in variant.split("-") and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
    os.environ.update(MALLOC_MMAP_THRESHOLD_="4000000000", MALLOC_TRIM_THRESHOLD_="8000000000")
    os.execv(sys.executable, [sys.executable] + sys.argv)
os.environ.update(OMP_NUM_THREADS=str(threads), TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
import numpy
import tensorflow
tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
import keras
from keras import layers


def read(name, header):
    with gzip.open(os.path.join(folder, name)) as file:
        return numpy.frombuffer(file.read(), numpy.uint8, offset=header)


def images(name):
    return read(name, 16).reshape(-1, 28, 28, 1).astype(numpy.float32) / 255


x, t = images("train-images-idx3-ubyte.gz"), read("train-labels-idx1-ubyte.gz", 8)
x_test, t_test = images("t10k-images-idx3-ubyte.gz"), read("t10k-labels-idx1-ubyte.gz", 8)
block = lambda filters: [layers.Conv2D(filters, 3, activation="relu", padding="same"), layers.MaxPooling2D(2)]
head = [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
model = keras.Sequential([keras.Input((28, 28, 1)), *block(32), *block(64), *block(64), *head])
model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, t, batch_size=64, epochs=5, verbose=0)
_, accuracy = model.evaluate(x_test, t_test, verbose=0)
with tempfile.TemporaryDirectory() as out:
    model.save(os.path.join(out, "model.keras"))
print(json.dumps(dict(version=f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}", threads=threads,
                      accuracy=accuracy, peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)))
