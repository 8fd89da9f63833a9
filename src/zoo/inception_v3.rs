//! Inception v3: branches of small and one-sided kernels (1x7 and 7x1), with one auxiliary head.
//!
//! 23,834,568 parameters, and 27,161,264 with the auxiliary head (torchvision's table), which is trained along with
//! weight 0.4 and takes no part in a prediction.
//!
//! Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, arXiv:1512.00567,
//! table 1 and figures 5 to 7; sizes where the paper is silent are those of the authors' code, which torchvision has.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Concat, Dropout, GlobalPool, Padding, Pool2D};
use crate::train::FitConfig;
use crate::train::schedule::{Curve, Exponential};
use crate::zoo::Entry;
use crate::zoo::block::{Net, Size, conv, valid};
use crate::zoo::block_inception::{basic, chain};
use crate::zoo::entry::{IMAGENET, Pixels};
use crate::zoo::settings::Published;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "inception-v3",
    about: "11 Inception blocks with 1x7 and 7x1 kernels, and an auxiliary head",
    family: "Inception",
    input: [299, 299, 3],
    classes: 1000,
    // The weights that torchvision hands on are from TensorFlow: pixels from -1 to 1.
    pixels: Some(Pixels { mean: [0.5; 3], std: [0.5; 3], ..IMAGENET }),
    train,
    build,
}];

fn train() -> FitConfig {
    // RMSprop with decay 0.9 and epsilon 1, 0.94 times the rate every two epochs (section 8 of the paper).
    let curve = Curve::Exponential(Exponential { decay: libm::sqrt(0.94) });
    Published { rate: 0.045, batch: 1600, decay: 0.0, epochs: 100, curve }.rmsprop(1.0)
}

fn build(size: &Size) -> Result<Graph> {
    let (net, x) = Net::new(size)?;
    let mut net = net.with_norm(0.9, 1e-3);
    let mut x = stem(&mut net, x)?;
    for (at, pooled) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
        x = block_a(&mut net, at, pooled, x)?;
    }
    x = block_b(&mut net, "Mixed_6a", x)?;
    for (at, width) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
        x = block_c(&mut net, at, width, x)?;
    }
    auxiliary(&mut net, size, x)?;
    x = block_d(&mut net, "Mixed_7a", x)?;
    for at in ["Mixed_7b", "Mixed_7c"] {
        x = block_e(&mut net, at, x)?;
    }
    let x = net.add("avgpool", GlobalPool::average(), x)?;
    let x = net.add("dropout", Dropout::new(0.5), x)?;
    net.classify("fc", size.classes, x)
}

fn stem(net: &mut Net, x: Value) -> Result<Value> {
    let x = basic(net, "Conv2d_1a_3x3", valid(32, 3).stride(2), x)?;
    let x = basic(net, "Conv2d_2a_3x3", valid(32, 3), x)?;
    let x = basic(net, "Conv2d_2b_3x3", conv(64, 3), x)?;
    let x = net.add("maxpool1", Pool2D::max(3).stride(2), x)?;
    let x = basic(net, "Conv2d_3b_1x1", valid(80, 1), x)?;
    let x = basic(net, "Conv2d_4a_3x3", valid(192, 3), x)?;
    net.add("maxpool2", Pool2D::max(3).stride(2), x)
}

// Figure 5: 5x5, and 3x3 twice.
fn block_a(net: &mut Net, at: &str, pooled: usize, x: Value) -> Result<Value> {
    let one = chain(net, at, &[("branch1x1", conv(64, 1))], x)?;
    let five = chain(net, at, &[("branch5x5_1", conv(48, 1)), ("branch5x5_2", conv(64, 5))], x)?;
    let double = [("branch3x3dbl_1", conv(64, 1)), ("branch3x3dbl_2", conv(96, 3)), ("branch3x3dbl_3", conv(96, 3))];
    let three = chain(net, at, &double, x)?;
    let pool = pooled_branch(net, at, pooled, x)?;
    net.join(format!("{at}.concat"), Concat::new(), &[one, five, three, pool])
}

// Half the size: stride 2 in each branch.
fn block_b(net: &mut Net, at: &str, x: Value) -> Result<Value> {
    let three = chain(net, at, &[("branch3x3", valid(384, 3).stride(2))], x)?;
    let double =
        [("branch3x3dbl_1", conv(64, 1)), ("branch3x3dbl_2", conv(96, 3)), ("branch3x3dbl_3", valid(96, 3).stride(2))];
    let double = chain(net, at, &double, x)?;
    let pool = net.add(format!("{at}.branch_pool"), Pool2D::max(3).stride(2), x)?;
    net.join(format!("{at}.concat"), Concat::new(), &[three, double, pool])
}

// Figure 6: 7x7 as 1x7 and 7x1, once and twice.
fn block_c(net: &mut Net, at: &str, width: usize, x: Value) -> Result<Value> {
    let one = chain(net, at, &[("branch1x1", conv(192, 1))], x)?;
    let single =
        [("branch7x7_1", conv(width, 1)), ("branch7x7_2", conv(width, [1, 7])), ("branch7x7_3", conv(192, [7, 1]))];
    let seven = chain(net, at, &single, x)?;
    let double = [
        ("branch7x7dbl_1", conv(width, 1)),
        ("branch7x7dbl_2", conv(width, [7, 1])),
        ("branch7x7dbl_3", conv(width, [1, 7])),
        ("branch7x7dbl_4", conv(width, [7, 1])),
        ("branch7x7dbl_5", conv(192, [1, 7])),
    ];
    let double = chain(net, at, &double, x)?;
    let pool = pooled_branch(net, at, 192, x)?;
    net.join(format!("{at}.concat"), Concat::new(), &[one, seven, double, pool])
}

// Half the size again.
fn block_d(net: &mut Net, at: &str, x: Value) -> Result<Value> {
    let three = chain(net, at, &[("branch3x3_1", conv(192, 1)), ("branch3x3_2", valid(320, 3).stride(2))], x)?;
    let seven = [
        ("branch7x7x3_1", conv(192, 1)),
        ("branch7x7x3_2", conv(192, [1, 7])),
        ("branch7x7x3_3", conv(192, [7, 1])),
        ("branch7x7x3_4", valid(192, 3).stride(2)),
    ];
    let seven = chain(net, at, &seven, x)?;
    let pool = net.add(format!("{at}.branch_pool"), Pool2D::max(3).stride(2), x)?;
    net.join(format!("{at}.concat"), Concat::new(), &[three, seven, pool])
}

// Figure 7: 1x3 and 3x1 side by side.
fn block_e(net: &mut Net, at: &str, x: Value) -> Result<Value> {
    let one = chain(net, at, &[("branch1x1", conv(320, 1))], x)?;
    let three = chain(net, at, &[("branch3x3_1", conv(384, 1))], x)?;
    let three = both(net, &format!("{at}.branch3x3_2"), three)?;
    let double = [("branch3x3dbl_1", conv(448, 1)), ("branch3x3dbl_2", conv(384, 3))];
    let double = chain(net, at, &double, x)?;
    let double = both(net, &format!("{at}.branch3x3dbl_3"), double)?;
    let pool = pooled_branch(net, at, 192, x)?;
    net.join(format!("{at}.concat"), Concat::new(), &[one, three, double, pool])
}

fn both(net: &mut Net, at: &str, x: Value) -> Result<Value> {
    let a = basic(net, &format!("{at}a"), conv(384, [1, 3]), x)?;
    let b = basic(net, &format!("{at}b"), conv(384, [3, 1]), x)?;
    net.join(format!("{at}.concat"), Concat::new(), &[a, b])
}

fn pooled_branch(net: &mut Net, at: &str, filters: usize, x: Value) -> Result<Value> {
    let pool = Pool2D::average(3).stride(1).padding(Padding::all(1)).count_padding(true);
    let pooled = net.add(format!("{at}.pool"), pool, x)?;
    chain(net, at, &[("branch_pool", conv(filters, 1))], pooled)
}

// The auxiliary head: a classifier on the 17x17 blocks.
fn auxiliary(net: &mut Net, size: &Size, x: Value) -> Result<()> {
    let y = net.add("AuxLogits.pool", Pool2D::average(5).stride(3), x)?;
    let y = basic(net, "AuxLogits.conv0", valid(128, 1), y)?;
    let y = basic(net, "AuxLogits.conv1", valid(768, 5), y)?;
    let y = net.add("AuxLogits.avgpool", GlobalPool::average(), y)?;
    net.head("AuxLogits.fc", size.classes, 0.4, y)
}
