"""Checks ONNX files that striate wrote: the checker accepts them, and onnxruntime computes the same.

    python check_export.py FOLDER       # needs onnx and onnxruntime

For each NAME.onnx of the folder, NAME.json has an input and the output that striate gives, in ONNX's order. The tests
call this script if STRIATE_PYTHON names a Python with both packages.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime


# Untrained deep networks have large logits: of ResNet-50, onnxruntime's own results with and without its optimisations
# differ by 2e-5.
TOLERANCE = 1e-4


def array(numbers):
    return np.array(numbers["data"], np.float32).reshape(numbers["dims"])


def difference(path):
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path))
    case = json.loads(path.with_suffix(".json").read_text())
    (found,) = session.run(None, {"x": array(case["x"])})
    expected = array(case["y"])
    assert found.shape == expected.shape, (path.name, found.shape, expected.shape)
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-3)


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    assert paths, "no .onnx in the folder"
    wrong = []
    for path in paths:
        try:
            worst = difference(path)
            if not worst < TOLERANCE:
                wrong.append(f"{path.name}: differs by {worst:.1e}")
        except Exception as error:
            wrong.append(f"{path.name}: {error}")
    print(f"{len(paths)} files, {len(wrong)} wrong")
    print("\n".join(wrong))
    sys.exit(bool(wrong))


main()
