//! The rows of the suite: what is measured, on which sides, and what is to be reached.

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// A training step of a network, with a batch.
    Train(&'static str, usize),
    /// A prediction of a network, with a batch.
    Infer(&'static str, usize),
    /// A convolution of `benches/shapes/peers.txt` by its number: forward, and forward with all gradients.
    Conv(usize),
    /// A process that starts, reads ResNet-18 and a photo, and says what is on it.
    Photo,
    /// The same with the small network for MNIST and a digit.
    Digit,
    /// `train mnist` from the start of the process to its end.
    Mnist,
    /// Our own work on one thread and on two: a training step (else a prediction) of a network, with a batch.
    Threads { train: bool, network: &'static str, batch: usize },
    /// The share of the machine's peak that direct convolution reaches in the layers of a file of `benches/shapes`.
    Peak(&'static str),
}

/// Which peers, each with a variant. Those of the first list are tried always: they were the best in a run of all.
struct Peers {
    usual: &'static [(&'static str, &'static str)],
    rest: &'static [(&'static str, &'static str)],
}

const TRAIN_SMALL: Peers = Peers {
    usual: &[("torch", "eager-cl-fused-mm"), ("tf", "batch-mm"), ("tf", "fit")],
    rest: &[
        ("torch", "eager"),
        ("torch", "eager-mm"),
        ("torch", "eager-cl-mm"),
        ("torch", "compile-cl-fused-mm"),
        ("tf", "batch"),
        ("tf", "batch-xla"),
    ],
};
const TRAIN_LARGE: Peers = Peers {
    usual: &[("torch", "eager-cl-mm"), ("tf", "batch-mm")],
    rest: &[
        ("torch", "eager"),
        ("torch", "eager-mm"),
        ("torch", "eager-cl"),
        ("torch", "compile-cl-mm"),
        ("tf", "batch"),
    ],
};
const INFER: Peers = Peers {
    usual: &[("torch", "ort"), ("torch", "eager-cl-mm"), ("tf", "function")],
    rest: &[("torch", "eager"), ("torch", "compile-cl"), ("torch", "compile-cl-mm")],
};
const CONV: Peers = Peers {
    usual: &[("torch", "eager-mm"), ("torch", "eager-cl-mm"), ("tf", "function-mm")],
    rest: &[("torch", "eager"), ("torch", "eager-cl"), ("tf", "function"), ("tf", "function-xla")],
};
const PHOTO: Peers = Peers { usual: &[("torch", "ort"), ("torch", "eager"), ("torch", "script")], rest: &[] };
const DIGIT: Peers = Peers { usual: &[("torch", "ort"), ("torch", "eager"), ("tf", "call")], rest: &[] };
const MNIST: Peers = Peers { usual: &[("tf", "fit")], rest: &[("tf", "fit-mm")] };

// What TensorFlow's Keras has of the networks.
const KERAS: [&str; 6] = ["keras-mnist", "simple-convnet", "vgg-16", "resnet-50", "resnet-152", "mobilenet-v2"];
const NETWORKS: [&str; 8] =
    ["alexnet", "vgg-16", "googlenet", "resnet-18", "resnet-50", "resnet-152", "mobilenet-v2", "efficientnet-lite0"];
/// The lines of `benches/shapes/peers.txt`.
pub const CONVOLUTIONS: usize = 11;

const TRAINED: [(&str, usize); 4] = [("keras-mnist", 64), ("simple-convnet", 100), ("resnet-18", 8), ("resnet-50", 8)];
/// The files of `benches/shapes` whose layers are measured against the peak.
pub const SHAPES: [&str; 6] = ["vgg-16", "resnet-18", "resnet-50", "googlenet", "mobilenet-v2", "efficientnet-lite0"];

/// All that is measured, in the order of the tables.
pub fn all() -> Vec<Work> {
    let train = TRAINED.map(|(network, batch)| Work::Train(network, batch));
    let infer = NETWORKS.into_iter().flat_map(|network| [1, 8].map(|batch| Work::Infer(network, batch)));
    let conv = (0..CONVOLUTIONS).map(Work::Conv);
    let whole = [Work::Photo, Work::Digit, Work::Mnist];
    let threads = TRAINED.map(|(network, batch)| Work::Threads { train: true, network, batch });
    let more = NETWORKS.map(|network| Work::Threads { train: false, network, batch: 8 });
    let peak = SHAPES.map(Work::Peak);
    train.into_iter().chain(infer).chain(conv).chain(whole).chain(threads).chain(more).chain(peak).collect()
}

impl Work {
    /// Its name, by which it is chosen and kept.
    pub fn name(self) -> String {
        match self {
            Self::Train(network, batch) => format!("train {network} {batch}"),
            Self::Infer(network, batch) => format!("infer {network} {batch}"),
            Self::Conv(index) => format!("conv {index}"),
            Self::Photo => "cold start resnet-18".into(),
            Self::Digit => "cold start mnist".into(),
            Self::Mnist => "train mnist".into(),
            Self::Threads { train: true, network, batch } => format!("threads {network} {batch}, training step"),
            Self::Threads { train: false, network, batch } => format!("threads {network} {batch}, prediction"),
            Self::Peak(file) => format!("peak {file}"),
        }
    }

    /// The peers that can do it, each with a variant.
    pub fn peers(self, all: bool) -> Vec<(&'static str, &'static str)> {
        let (peers, network) = match self {
            Self::Train(network, batch) => (if batch > 8 { TRAIN_SMALL } else { TRAIN_LARGE }, Some(network)),
            Self::Infer(network, _) => (INFER, Some(network)),
            Self::Conv(_) => (CONV, None),
            Self::Photo => (PHOTO, None),
            Self::Digit => (DIGIT, None),
            Self::Mnist => (MNIST, None),
            Self::Threads { .. } | Self::Peak(_) => return Vec::new(),
        };
        let can = |(peer, _): &(&str, &str)| *peer != "tf" || network.is_none_or(|network| KERAS.contains(&network));
        let rest = if all { peers.rest } else { &[] };
        peers.usual.iter().chain(rest).copied().filter(can).collect()
    }

    /// Peers that have a line of the table each, with a goal each, where the best of all would hide the others.
    pub fn apart(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Photo => &[("eager", 20.0), ("script", 20.0), ("ort", 1.0)],
            _ => &[],
        }
    }
}

/// How many times as fast as one thread two threads are to be, at least.
pub const THREADS_GOAL: f64 = 1.85;
/// The share of the peak that direct convolution is to reach, at least.
pub const PEAK_GOAL: f64 = 0.8;

/// How many times as fast as the best peer a row of the table is to be, at least; for memory, how many times smaller.
pub fn goal(row: &str) -> f64 {
    let goals = [
        ("train keras-mnist", 2.0),
        ("train simple-convnet", 2.0),
        ("train resnet", 1.3),
        ("train mnist", 2.5),
        ("peak memory", 2.0),
        ("infer", 1.2),
    ];
    // 3x3, stride 1, 64 channels or more: where Winograd's algorithm gets ahead.
    let winograd = ["conv 4 ", "conv 5 ", "conv 6 ", "conv 7 "].iter().any(|name| row.starts_with(name));
    let other = if winograd { 1.5 } else { 1.0 };
    goals.iter().find(|(name, _)| row.starts_with(name)).map_or(other, |(_, goal)| *goal)
}
