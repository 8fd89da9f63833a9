#!/usr/bin/env python3
"""A cold start: import, read a model and a picture of a digit, say which it is.

    cold_peer.py eager|ort|call THREADS PICTURE       (PyTorch, ONNX Runtime, Keras)

The first run makes the model file, with random weights; who starts this process measures its time.
"""
import json
import os
import sys

variant, threads, picture = sys.argv[1], sys.argv[2], sys.argv[3]
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = threads
CACHE = os.environ.get("STRIATE_PEERS_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "striate", "peers")
os.makedirs(CACHE, exist_ok=True)


def torch_network(torch):
    nn = torch.nn
    block = lambda ic, oc: [nn.Conv2d(ic, oc, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 64), *head)


def pixels():
    import numpy
    from PIL import Image
    image = Image.open(picture).convert("L").resize((28, 28))
    return numpy.asarray(image, dtype=numpy.float32) / 255


def eager():
    path = os.path.join(CACHE, "cold.pt")
    import torch
    torch.set_num_threads(int(threads))
    if not os.path.exists(path):
        torch.save(torch_network(torch).state_dict(), path)
    model = torch_network(torch)
    model.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        y = model.eval()(torch.from_numpy(pixels())[None, None])
    return f"PyTorch {torch.__version__}", int(y.argmax())


def ort():
    path = os.path.join(CACHE, "cold.onnx")
    if not os.path.exists(path):
        import contextlib
        import torch
        with contextlib.redirect_stdout(sys.stderr):
            torch.onnx.export(torch_network(torch).eval(), (torch.rand(1, 1, 28, 28),), path, dynamo=True,
                              external_data=False, verbose=False)
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    y = session.run(None, {session.get_inputs()[0].name: pixels()[None, None]})[0]
    return f"ONNX Runtime {onnxruntime.__version__}", int(y.argmax())


def call():
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    path = os.path.join(CACHE, "cold.keras")
    import keras
    import tensorflow
    layers = keras.layers
    if not os.path.exists(path):
        block = lambda filters: [layers.Conv2D(filters, 3, activation="relu", padding="same"), layers.MaxPooling2D(2)]
        head = [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
        keras.Sequential([keras.Input((28, 28, 1)), *block(32), *block(64), *block(64), *head]).save(path)
    model = keras.models.load_model(path)
    image = tensorflow.io.decode_png(open(picture, "rb").read(), channels=1)
    image = tensorflow.image.resize(image, (28, 28)) / 255
    y = model(image[None], training=False).numpy()
    return f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}", int(y.argmax())


KNOWN = dict(eager=eager, ort=ort, call=call)
if variant not in KNOWN:
    sys.exit(f"unknown variant {variant}: eager, ort or call")
version, digit = KNOWN[variant]()
print(json.dumps(dict(version=version, digit=digit)))
