"""Grad-CAM, Grad-CAM++, saliency, guided back-propagation and integrated gradients of a small network, by PyTorch.

    python golden/make_attribution.py > golden/attribution.json

Needs PyTorch (made with 2.15.0, on the CPU). The network has a batch normalisation in use (moving statistics), and all
numbers are computed in f64 from f32 weights. Tensors are written channels last, kernels [kh, kw, ic, oc].
"""

import json

import torch
import torch.nn.functional as F

torch.manual_seed(7)


def draw(*shape, scale=1.0):
    return (scale * torch.randn(*shape)).float().double()


W = {
    "first/kernel": draw(6, 3, 3, 3, scale=0.4),
    "first/bias": draw(6, scale=0.2),
    "second/kernel": draw(8, 6, 3, 3, scale=0.3),
    "norm/gamma": 1 + draw(8, scale=0.2),
    "norm/beta": draw(8, scale=0.3),
    "norm/moving_mean": draw(8, scale=0.3),
    "norm/moving_variance": draw(8).abs() + 0.5,
    "end/kernel": draw(4, 8),
    "end/bias": draw(4, scale=0.2),
}
EPSILON = 1e-3
x = draw(1, 3, 12, 12)
baseline = torch.tensor([0.1, -0.2, 0.3]).float().double().view(1, 3, 1, 1).expand_as(x)
CLASS, STEPS = 2, 16


class GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy.clamp(min=0) * (x > 0)


def network(x, relu=F.relu):
    x = relu(F.conv2d(x, W["first/kernel"], W["first/bias"], padding=1))
    x = F.max_pool2d(x, 2)
    x = F.conv2d(x, W["second/kernel"], padding=1)
    x = F.batch_norm(x, W["norm/moving_mean"], W["norm/moving_variance"], W["norm/gamma"], W["norm/beta"], eps=EPSILON)
    a = relu(x)
    return a, F.linear(a.mean((2, 3)), W["end/kernel"], W["end/bias"])


def gradient(x, relu=F.relu):
    x = x.clone().requires_grad_(True)
    network(x, relu)[1][0, CLASS].backward()
    return x.grad


def cams():
    a, y = network(x.clone().requires_grad_(True))
    (g,) = torch.autograd.grad(y[0, CLASS], a)
    plain = F.relu((g.mean((2, 3), keepdim=True) * a).sum(1))
    below = 2 * g**2 + g**3 * a.sum((2, 3), keepdim=True)
    weight = torch.where(below == 0, torch.zeros_like(below), g**2 / below)
    alpha = (weight * F.relu(g)).sum((2, 3), keepdim=True)
    return y[0], plain[0], F.relu((alpha * a).sum(1))[0]


def integrated():
    steps = [baseline + (i + 0.5) / STEPS * (x - baseline) for i in range(STEPS)]
    mean = sum(gradient(s) for s in steps) / STEPS
    return ((x - baseline) * mean).sum(1)[0]


def channels_last(t):
    if t.dim() == 4:
        t = t.permute(2, 3, 1, 0) if t.shape[0] != 1 else t.permute(0, 2, 3, 1)[0]
    elif t.dim() == 2 and t.shape == (4, 8):
        t = t.T
    return t.contiguous()


def numbers(t):
    return [float(f"{v:.9g}") for v in channels_last(t.detach()).flatten().tolist()]


logits, cam, cam_plus_plus = cams()
print(json.dumps({
    "made_by": f"golden/make_attribution.py, PyTorch {torch.__version__}",
    "class": CLASS, "steps": STEPS, "baseline": [float(v) for v in baseline[0, :, 0, 0]],
    "x": numbers(x), "weights": {name: numbers(w) for name, w in W.items()},
    "logits": numbers(logits), "gradient": numbers(gradient(x)), "guided": numbers(gradient(x, GuidedReLU.apply)),
    "grad_cam": numbers(cam), "grad_cam_plus_plus": numbers(cam_plus_plus), "integrated": numbers(integrated()),
}))
