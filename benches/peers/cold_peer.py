#!/usr/bin/env python3
"""A cold start: import, read a model and a picture, say what is on it.

    cold_peer.py photo eager|script|ort THREADS PICTURE WEIGHTS [make]
    cold_peer.py digit eager|ort|call   THREADS PICTURE [make]

photo: ResNet-18 on a photo, with the weights of a safetensors file in torchvision's names. eager: torchvision's model and
transforms with a state_dict, as its documentation shows; script: a TorchScript file, so that torchvision need not be
imported; ort: ONNX Runtime. digit: a small network for MNIST with random weights, in PyTorch, ONNX Runtime or Keras (call).

With `make` it writes the files that the other runs read. Who starts this process measures its time.
"""
import json
import os
import sys

what, variant, threads, picture = sys.argv[1:5]
weights = sys.argv[5] if what == "photo" else None
make = sys.argv[-1] == "make"
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = threads
CACHE = os.environ.get("STRIATE_PEERS_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "striate", "peers")
FILES = os.path.join(CACHE, f"cold-{what}")


def small_network(torch):
    nn = torch.nn
    block = lambda ic, oc: [nn.Conv2d(ic, oc, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 64), *head)


def resnet():
    import torchvision
    return torchvision.models.resnet18(weights=None)


def digit_input():
    import numpy
    from PIL import Image
    image = Image.open(picture).convert("L").resize((28, 28))
    return numpy.asarray(image, dtype=numpy.float32)[None, None] / 255


def photo_input():
    """The shorter side to 256, the middle 224x224, then ImageNet's mean and deviation."""
    import numpy
    from PIL import Image
    image = Image.open(picture).convert("RGB")
    w, h = image.size
    scale = 256 / min(w, h)
    w, h = max(256, int(w * scale)), max(256, int(h * scale))
    image = image.resize((w, h), Image.Resampling.BILINEAR)
    left, top = round((w - 224) / 2), round((h - 224) / 2)
    pixels = numpy.asarray(image.crop((left, top, left + 224, top + 224)), dtype=numpy.float32) / 255
    pixels = (pixels - numpy.float32([0.485, 0.456, 0.406])) / numpy.float32([0.229, 0.224, 0.225])
    return numpy.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


def torch_ready():
    import torch
    torch.set_num_threads(int(threads))
    return torch


def eager():
    torch = torch_ready()
    if what == "photo":
        from PIL import Image
        model = resnet()
        import torchvision.transforms as T
        steps = [T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
        x = T.Compose(steps)(Image.open(picture).convert("RGB"))[None]
    else:
        model, x = small_network(torch), torch.from_numpy(digit_input())
    model.load_state_dict(torch.load(FILES + ".pt", weights_only=True))
    with torch.inference_mode():
        y = model.eval()(x)
    return f"PyTorch {torch.__version__}", int(y.argmax())


def script():
    torch = torch_ready()
    model = torch.jit.load(FILES + ".script.pt")
    with torch.inference_mode():
        y = model(torch.from_numpy(photo_input()))
    return f"PyTorch {torch.__version__}", int(y.argmax())


def ort():
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(FILES + ".onnx", options, providers=["CPUExecutionProvider"])
    x = photo_input() if what == "photo" else digit_input()
    y = session.run(None, {session.get_inputs()[0].name: x})[0]
    return f"ONNX Runtime {onnxruntime.__version__}", int(y.argmax())


def call():
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    import keras
    import tensorflow
    model = keras.models.load_model(FILES + ".keras")
    image = tensorflow.io.decode_png(open(picture, "rb").read(), channels=1)
    image = tensorflow.image.resize(image, (28, 28)) / 255
    y = model(image[None], training=False).numpy()
    return f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}", int(y.argmax())


def made(path, mark):
    """Whether a file is there already, made of the same weights; else the mark is to be written after it."""
    try:
        return os.path.exists(path) and open(path + ".mark").read() == mark
    except OSError:
        return False


def make_file():
    import hashlib
    os.makedirs(CACHE, exist_ok=True)
    path = FILES + dict(eager=".pt", script=".script.pt", ort=".onnx", call=".keras")[variant]
    mark = hashlib.sha256(open(weights, "rb").read()).hexdigest() if weights else "random"
    if made(path, mark):
        return
    if variant == "call":
        make_keras(path)
    else:
        make_torch(path)
    with open(path + ".mark", "w") as file:
        file.write(mark)


def make_torch(path):
    import contextlib
    torch = torch_ready()
    torch.manual_seed(0)
    model, x = (resnet(), torch.rand(1, 3, 224, 224)) if weights else (small_network(torch), torch.rand(1, 1, 28, 28))
    if weights:
        from safetensors.torch import load_file
        model.load_state_dict(load_file(weights), strict=False)
    model.eval()
    with contextlib.redirect_stdout(sys.stderr):
        if variant == "eager":
            torch.save(model.state_dict(), path)
        elif variant == "script":
            with torch.no_grad():
                torch.jit.freeze(torch.jit.trace(model, x)).save(path)
        else:
            torch.onnx.export(model, (x,), path, dynamo=True, external_data=False, verbose=False)


def make_keras(path):
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    import keras
    layers = keras.layers
    block = lambda filters: [layers.Conv2D(filters, 3, activation="relu", padding="same"), layers.MaxPooling2D(2)]
    head = [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
    keras.Sequential([keras.Input((28, 28, 1)), *block(32), *block(64), *block(64), *head]).save(path)


KNOWN = dict(eager=eager, script=script, ort=ort, call=call)
if variant not in KNOWN:
    sys.exit(f"unknown variant {variant}: {', '.join(KNOWN)}")
if make:
    make_file()
    sys.exit()
version, answer = KNOWN[variant]()
print(json.dumps({"version": version, "class": answer}))
