#!/usr/bin/env bash
# Makes the peers' two Python environments: setup.sh [DIR], by default where the suite looks for them. About 7 GB and some
# minutes. PyPI's Linux wheel of PyTorch needs its CUDA packages even where there is no GPU; it then runs on the CPU.
set -euo pipefail
dir=${1:-${STRIATE_PEERS:-$HOME/.cache/striate/peers}}
mkdir -p "$dir"
python3 -m venv "$dir/tf"
"$dir/tf/bin/pip" install -q tensorflow-cpu==2.21.0 keras==3.15.1
python3 -m venv "$dir/torch"
"$dir/torch/bin/pip" install -q torch==2.15.0 torchvision==0.29.2 timm==1.0.31 onnx onnxruntime==1.31.1 onnxscript pillow
echo "The peers are in $dir. Now: STRIATE_PEERS=$dir cargo bench --bench suite"
