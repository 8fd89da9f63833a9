"""Opens the files that striate wrote with Keras, and compares what they predict.

    python check_export.py FOLDER

FOLDER has for each network NAME.keras, NAME.h5 and NAME.weights.h5, with NAME.json: an input and the output that
striate gave for it. Prints the largest difference of each file, relative to the largest output; fails above 1e-5.
"""

import json
import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np


def tensor(entry):
    return np.array(entry["data"], dtype="float32").reshape(entry["shape"])


def main(folder):
    worst = 0.0
    cases = sorted(folder.glob("*.json"))
    for case in cases:
        expected = json.loads(case.read_text())
        x, y = tensor(expected["x"]), tensor(expected["y"])
        models = [(kind, keras.models.load_model(case.with_suffix(kind), compile=False)) for kind in (".keras", ".h5")]
        # The network without its weights, to be filled from the file of weights alone.
        bare = models[0][1].__class__.from_config(models[0][1].get_config())
        bare.load_weights(case.with_suffix(".weights.h5"))
        for kind, model in [*models, (".weights.h5", bare)]:
            difference = np.abs(model.predict(x, verbose=0) - y).max() / np.abs(y).max()
            worst = max(worst, float(difference))
            print(f"{case.stem}{kind}: {difference:.1e}")
    print(f"{len(cases)} networks, at most {worst:.1e}")
    return 0 if cases and worst <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
