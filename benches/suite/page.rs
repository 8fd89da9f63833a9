//! The prose of BENCHMARKS.md.

pub const HEAD: &str = "# Benchmarks

striate beside TensorFlow with Keras, PyTorch and ONNX Runtime, on one machine; then striate alone, on one thread and two,
and beside the machine's peak.

![Time of the best peer, as a multiple of striate's](docs/benchmarks.png)

## Beside its peers
";

pub const TABLE: &str = "How it was measured: all sides of a row are started and warmed up, each in a process of its own, and then take turns. In
each of six rounds a side runs for 0.4 s, or two steps if they take longer, while the others are stopped; every other round
goes through them in the opposite order. A machine that others share has a core less for seconds to minutes. So a round
begins when all threads at once reach their peak, if they do so within 20 s; rounds are many and short; and only times
of the same round are compared: *peer / striate* is the median of the rounds' ratios, and *of the rounds* their lowest and
highest. Times are the medians of the rounds' medians; *spread* is from the
lowest tenth to the highest of all rounds.

The best peer is the fastest of all its variants: `cl` is channels_last, `fused` the fused optimiser, `compile`
torch.compile, `function` tf.function, `batch` train_on_batch, and `mm` means that glibc was told to keep large blocks,
a trick that a user has to know. Training steps go through 32 batches (two of the large networks), predictions through two
inputs, the same number on all sides. Networks have random weights.

A cold start is a whole process, from the command to the answer: it starts, reads a stored model and a picture, and says what is
on it. Each is a new process; the files are in the page cache, from a run before. `resnet-18`: the same weights on all sides,
a JPEG photo, and all must give the same class; PyTorch once as its documentation shows it (torchvision's model and transforms, a
`state_dict`) and once without torchvision (a frozen TorchScript file, Pillow and NumPy). `mnist`: a small network and a
digit. `train mnist` is the whole of a training by command, in two rounds.
";

pub const THREADS: &str = "## Two threads

The same work of ours on one thread and on two, in turn as above, for batches of 8 and more.
";

pub const PEAK: &str = "## Beside the peak

What direct convolution reaches of the machine's peak in layers with 32 channels or more on both sides (within a group), at
batch 8, on all threads: multiply-adds of the formula at the peak, divided by the time. It is measured by the laboratory behind
`striate bench`, on inputs that are used over and over; the peak, multiply-adds on registers alone, is measured anew before and
after each layer. Shown is all layers' arithmetic over all their time, and the lowest and the highest layer. The algorithm is the
first of `pointwise`, `narrow`, `packed` and `direct` that accepts the layer, in the engine's order; where the engine takes
Winograd's algorithm, which is faster and would pass 100 %, it is the one that comes next. Dense layers are left out: they wait for weights.
";

pub const AGAIN: &str = "## How to make it again

```text
benches/peers/setup.sh                                  the peers' environments, once
cargo build --release
cargo bench --bench suite -- --write                    some 30 minutes; writes this page, its plot and the JSON
cargo bench --bench suite -- \"train keras-mnist\" --write   one row again, merged into the others
cargo bench --bench suite -- threads peak --write       our own rows, which need no peers
cargo bench --bench suite -- --quick                    does everything work? one short round, nothing is written
```

`STRIATE_PEERS` names the folder of the environments, where it is not the default of `setup.sh`. The numbers are kept in
`benches/results.json`; `-- --table` prints the tables from it, and `-- --list` the names of the rows. `--all` runs all variants
of the peers, not only those that were the best before. The plots of how cost grows are made by
`cargo bench --bench growth -- --write`.

## How cost grows

![Time for a multiply-add, as batch, image and channels grow](docs/growth.png)

Time for a multiply-add of a 3x3 convolution as one size grows and the others stay (batch: 56x56x64; image side: one image,
64 channels; channels: 8 images of 28x28), and of a prediction by `keras-mnist`. A point more than 1.3 times above the line
between its neighbours would be a cliff; `cargo bench --bench growth` lists them.
";
