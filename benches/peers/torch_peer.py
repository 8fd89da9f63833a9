#!/usr/bin/env python3
"""PyTorch and ONNX Runtime on the CPU: a training step, an inference, a convolution.

    torch_peer.py train|infer NETWORK --batch N --variant WORDS
    torch_peer.py conv INDEX --variant WORDS          (of benches/shapes/peers.txt)

The words of a variant, joined by '-': eager, compile or ort (inference alone); cl (channels_last); fused (the fused
optimiser); mm (glibc keeps large blocks).
"""
import os
import sys

import common

a = common.arguments("words of eager compile ort cl fused mm, joined by '-'", "eager")
WORDS = set(a.variant.split("-"))
unknown = WORDS - {"eager", "compile", "ort", "cl", "fused", "mm"}
if unknown:
    sys.exit(f"unknown words in --variant: {' '.join(sorted(unknown))}")
if "mm" in WORDS:
    common.keep_blocks()
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(common.CACHE, "inductor"))


def torch_ready():
    import torch
    torch.set_num_threads(a.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)
    return torch


def keras_mnist(nn):
    block = lambda ic, oc: [nn.Conv2d(ic, oc, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 64), *head)


def simple_convnet(nn):
    return nn.Sequential(nn.Conv2d(1, 30, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(4320, 100), nn.ReLU(), nn.Linear(100, 10))


def network(torch, name):
    if name == "keras-mnist":
        return keras_mnist(torch.nn)
    if name == "simple-convnet":
        return simple_convnet(torch.nn)
    if name == "efficientnet-lite0":
        import timm
        return timm.create_model("efficientnet_lite0", pretrained=False)
    import torchvision.models
    options = dict(init_weights=False, aux_logits=False) if name == "googlenet" else {}
    return getattr(torchvision.models, name.replace("resnet-", "resnet").replace("vgg-", "vgg").replace("-", "_"))(weights=None, **options)


def shape():
    return (a.batch, 1, 28, 28) if a.name in common.SMALL else (a.batch, 3, 224, 224)


def layout(torch):
    return torch.channels_last if "cl" in WORDS else torch.contiguous_format


def optimizer(torch, parameters):
    fused = True if "fused" in WORDS else None
    if a.name == "keras-mnist":
        return torch.optim.Adam(parameters, lr=1e-3, eps=1e-7, fused=fused)
    if a.name == "simple-convnet":
        return torch.optim.SGD(parameters, lr=0.1, fused=fused)
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, fused=fused)


def train():
    torch = torch_ready()
    model = network(torch, a.name).train().to(memory_format=layout(torch))
    rule, loss = optimizer(torch, model.parameters()), torch.nn.CrossEntropyLoss()
    small = a.name in common.SMALL
    batches = [(torch.rand(*shape()).to(memory_format=layout(torch)), torch.randint(0, 10 if small else 1000, (a.batch,)))
               for _ in range(32 if small else 2)]
    forward = lambda x, t: loss(model(x), t)
    if "compile" in WORDS:
        forward = torch.compile(forward)
    count = 0

    def step():
        nonlocal count
        x, t = batches[count % len(batches)]
        count += 1
        rule.zero_grad(set_to_none=True)
        value = forward(x, t)
        value.backward()
        rule.step()
        value.item()
    common.serve(a, f"PyTorch {torch.__version__}", step=step)


def infer():
    torch = torch_ready()
    model = network(torch, a.name).eval().to(memory_format=layout(torch))
    if "compile" in WORDS:
        import torch._inductor.config
        torch._inductor.config.freezing = True  # folds batch normalisation and packs the weights
        model = torch.compile(model)
    inputs = [torch.rand(*shape()).to(memory_format=layout(torch)) for _ in range(2)]
    count = 0

    def step():
        nonlocal count
        count += 1
        model(inputs[count % 2])
    with torch.no_grad():
        common.serve(a, f"PyTorch {torch.__version__}", step=step)


def exported():
    path = os.path.join(common.CACHE, "onnx", f"{a.name}-{a.batch}.onnx")
    if not os.path.exists(path):
        if os.fork() == 0:  # in a process of its own, since it must not count in the peak of memory
            import contextlib
            os.makedirs(os.path.dirname(path), exist_ok=True)
            torch = torch_ready()
            with contextlib.redirect_stdout(sys.stderr):
                torch.onnx.export(network(torch, a.name).eval(), (torch.rand(*shape()),), path + ".part", dynamo=True,
                                  external_data=False, verbose=False)
            os.rename(path + ".part", path)
            os._exit(0)
        os.wait()
    return path


def infer_onnx():
    path = exported()
    import numpy
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = a.threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name, rng = session.get_inputs()[0].name, numpy.random.default_rng(0)
    inputs = [rng.random(shape(), dtype=numpy.float32) for _ in range(2)]
    count = 0

    def step():
        nonlocal count
        count += 1
        session.run(None, {name: inputs[count % 2]})
    common.serve(a, f"ONNX Runtime {onnxruntime.__version__}", step=step)


def conv():
    torch = torch_ready()
    n, ic, h, w, oc, kh, kw, stride, padding, groups = common.CONVOLUTIONS[int(a.name)]
    weights = (torch.randn(oc, ic // groups, kh, kw) * 0.05).to(memory_format=layout(torch)).requires_grad_()
    x = torch.rand(n, ic, h, w).to(memory_format=layout(torch)).requires_grad_()
    b = torch.zeros(oc, requires_grad=True)
    y = lambda: torch.nn.functional.conv2d(x, weights, b, stride, padding, 1, groups)
    with torch.no_grad():
        dy = torch.rand_like(y())

    def forward():
        with torch.no_grad():
            y()
    gradients = lambda: torch.autograd.grad(y(), [weights, b, x], dy)
    common.serve(a, f"PyTorch {torch.__version__}", forward=forward, all=gradients)


TASKS = dict(train=train, infer=infer_onnx if "ort" in WORDS else infer, conv=conv)
if a.task not in TASKS:
    sys.exit(f"unknown task {a.task}: train, infer or conv")
TASKS[a.task]()
