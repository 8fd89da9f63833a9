"""Makes the small ONNX files of this folder, with what onnxruntime computes from them.

    python make.py          # needs onnx and onnxruntime; writes NAME.onnx and cases.json

Each case is a network in the style of one exporter, with the tricks that an importer must see through. `cases.json` has
its input and output in ONNX's order.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(7)


def weights(name, *dims):
    return numpy_helper.from_array((RNG.standard_normal(dims) / 3).astype(np.float32), name)


def positive(name, *dims):
    return numpy_helper.from_array(RNG.uniform(0.5, 2.0, dims).astype(np.float32), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def scalar(name, value):
    return numpy_helper.from_array(np.array(value, np.float32), name)


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), output.split(), name=attributes.pop("name", ""), **attributes)


def dynamic_flatten():
    """PyTorch with a dynamic batch: x.view(x.size(0), -1), then a dense layer, a MatMul with a bias beside it."""
    nodes = [
        node("Conv", "x w b", "c", name="/features/features.0/Conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "c", "r", name="/features/features.1/Relu"),
        node("Shape", "r", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axis0", "n1"),
        node("Concat", "n1 rest", "to", axis=0),
        node("Reshape", "r to", "flat"),
        node("MatMul", "flat m", "product", name="/classifier/MatMul"),
        node("Add", "bias product", "y", name="/classifier/Add"),
    ]
    zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
    constants = [weights("w", 4, 3, 3, 3), weights("b", 4), zero, ints("axis0", 0), ints("rest", -1)]
    return nodes, constants + [weights("m", 120, 5), weights("bias", 5)], ["n", 3, 5, 6], ["n", 5]


def squeeze_and_excite():
    """MobileNetV3 and EfficientNet: channels scaled by what the whole image says; SiLU as its formula."""
    nodes = [
        node("Conv", "x w", "c", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
        node("Sigmoid", "c", "g"),
        node("Mul", "g c", "a"),
        node("ReduceMean", "a", "p", axes=[2, 3], keepdims=1),
        node("Conv", "p w1 b1", "s", kernel_shape=[1, 1]),
        node("Relu", "s", "sr"),
        node("Conv", "sr w2", "e", kernel_shape=[1, 1]),
        node("HardSigmoid", "e", "h", alpha=1 / 6),
        node("Mul", "h a", "y"),
    ]
    constants = [weights("w", 6, 3, 3, 3), weights("w1", 2, 6, 1, 1), weights("b1", 2), weights("w2", 6, 2, 1, 1)]
    return nodes, constants, ["n", 3, 7, 8], ["n", 6, 4, 4]


def shuffle():
    """ShuffleNet: channels in groups, turned, and back; a split into halves and a join."""
    nodes = [
        node("Conv", "x w", "c", kernel_shape=[1, 1], group=2),
        node("Reshape", "c five", "g"),
        node("Transpose", "g", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t four", "u"),
        node("Split", "u halves", "left right", axis=1),
        node("Conv", "right d", "rd", kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=3),
        node("Concat", "left rd", "y", axis=1),
    ]
    shapes = [ints("five", 0, 2, 3, 4, 5), ints("four", 0, 6, 4, 5), ints("halves", 3, 3)]
    return nodes, shapes + [weights("w", 6, 2, 1, 1), weights("d", 3, 1, 3, 3)], ["n", 4, 4, 5], ["n", 6, 4, 5]


def convnext():
    """ConvNeXt: depthwise 7x7, layer normalisation and dense layers on [n, h, w, c], layer scale, a shortcut."""
    nodes = [
        node("Conv", "x w b", "c", kernel_shape=[7, 7], pads=[3, 3, 3, 3], group=4),
        node("Transpose", "c", "t", perm=[0, 2, 3, 1]),
        node("LayerNormalization", "t gamma beta", "l", axis=-1, epsilon=1e-6),
        node("MatMul", "l m1", "e"),
        node("Add", "e b1", "eb"),
        node("Div", "eb root", "d"),
        node("Erf", "d", "f"),
        node("Add", "f one", "fo"),
        node("Mul", "eb fo", "q"),
        node("Mul", "q half", "gelu"),
        node("MatMul", "gelu m2", "k"),
        node("Mul", "scale k", "ls"),
        node("Transpose", "ls", "back", perm=[0, 3, 1, 2]),
        node("Add", "back x", "sum"),
        node("GlobalAveragePool", "sum", "p"),
        node("Flatten", "p", "y"),
    ]
    numbers = [scalar("root", 2**0.5), scalar("one", 1), scalar("half", 0.5), positive("scale", 4)]
    matrices = [weights("m1", 4, 8), weights("b1", 8), weights("m2", 8, 4), positive("gamma", 4), weights("beta", 4)]
    return nodes, [weights("w", 4, 1, 7, 7), weights("b", 4)] + numbers + matrices, ["n", 4, 5, 6], ["n", 4]


def keras_channels_last():
    """tf2onnx: images [n, h, w, c], one Transpose in front, a Reshape of [n, h, w, c] before the dense layer."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w b", "c", name="model/conv/BiasAdd", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        node("BatchNormalization", "c gamma beta mean var", "n", epsilon=1e-3),
        node("LeakyRelu", "n", "r", alpha=0.2),
        node("Pad", "r pads", "d", mode="constant"),
        node("AveragePool", "d", "p", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=0, count_include_pad=1),
        node("Transpose", "p", "back", perm=[0, 2, 3, 1]),
        node("Reshape", "back to", "flat"),
        node("Gemm", "flat m k", "z", alpha=0.5, beta=2.0),
        node("Softmax", "z", "y", axis=-1),
    ]
    norm = [positive("gamma", 4), weights("beta", 4), weights("mean", 4), positive("var", 4)]
    constants = [weights("w", 4, 3, 3, 3), weights("b", 4), ints("pads", 0, 0, 0, 1, 0, 0, 1, 1), ints("to", -1, 24)]
    return nodes, constants + norm + [weights("m", 24, 3), weights("k", 3)], ["n", 7, 9, 3], ["n", 3]


def decoder():
    """What grows: a transposed convolution, instance and group normalisation, Resize, PReLU, clip, a shortcut cut out."""
    nodes = [
        node("ConvTranspose", "x w b", "c", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        node("InstanceNormalization", "c gamma beta", "i"),
        node("PRelu", "i slope", "r"),
        node("Resize", "r none scales", "u", mode="linear", coordinate_transformation_mode="half_pixel"),
        node("Slice", "u starts ends axes", "s"),
        node("Clip", "s low high", "k"),
        node("Sub", "k mean", "m"),
        node("Div", "m std", "y"),
    ]
    nodes[3].input[1] = ""
    constants = [weights("w", 3, 4, 3, 3), weights("b", 4), positive("gamma", 4), weights("beta", 4), positive("slope", 4, 1, 1)]
    numbers = [scalar("low", -0.5), scalar("high", 0.75), weights("mean", 1, 4, 1, 1), positive("std", 4, 1, 1)]
    lists = [ints("starts", 1, 0), ints("ends", -1, 9), ints("axes", 2, 3)]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    return nodes, constants + numbers + lists + [scales], ["n", 3, 3, 4], ["n", 4, 10, 9]


def sequence():
    """One axis: convolution, pool, a dense layer on each step, the mean over steps."""
    nodes = [
        node("Conv", "x w b", "c", kernel_shape=[5], strides=[2], pads=[2, 2]),
        node("Tanh", "c", "t"),
        node("MaxPool", "t", "p", kernel_shape=[3], strides=[2], ceil_mode=1),
        node("Transpose", "p", "q", perm=[0, 2, 1]),
        node("MatMul", "q m", "d"),
        node("ReduceMean", "d", "y", axes=[1], keepdims=0),
    ]
    return nodes, [weights("w", 6, 3, 5), weights("b", 6), weights("m", 6, 4)], ["n", 3, 24], ["n", 4]


CASES = [dynamic_flatten, squeeze_and_excite, shuffle, convnext, keras_channels_last, decoder, sequence]


def main():
    cases = {}
    for make in CASES:
        nodes, constants, x_dims, y_dims = make()
        x_info = helper.make_tensor_value_info("x", TensorProto.FLOAT, x_dims)
        y_info = helper.make_tensor_value_info("y", TensorProto.FLOAT, y_dims)
        graph = helper.make_graph(nodes, make.__name__, [x_info], [y_info], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="make.py")
        onnx.checker.check_model(model, full_check=True)
        path = HERE / f"{make.__name__}.onnx"
        path.write_bytes(model.SerializeToString())
        session = onnxruntime.InferenceSession(str(path))
        x = RNG.standard_normal([2, *x_dims[1:]]).astype(np.float32)
        y = session.run(None, {"x": x})[0]
        assert list(y.shape[1:]) == y_dims[1:], (make.__name__, y.shape)
        numbers = lambda a: {"dims": list(a.shape), "data": [float(f"{v:.9g}") for v in a.ravel()]}
        cases[make.__name__] = {"x": numbers(x), "y": numbers(y)}
    (HERE / "cases.json").write_text(json.dumps(cases) + "\n")


main()
