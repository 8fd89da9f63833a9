//! Weights of PyTorch through the zoo's own builders: `torch/*.safetensors`, made by torchvision with fixed seeds, and the
//! logits in f64.
//!
//! Tolerance: f32 rounds each sum by up to 2^-24 of its terms' sizes, and the longest sums have some thousand terms in 20 to
//! 50 layers. PyTorch's own f32 logits are within 4e-6 of those in f64; sums in another order may be five times as far.

use striate::exchange::{self, Open};
use striate::session::{Machine, Session};
use striate::{Model, Tensor};

use crate::files::{difference, npy, path};

/// What the last softmax is applied to, for samples `[n, h, w, c]`.
pub fn logits(model: &Model, x: &Tensor) -> Vec<f32> {
    let mut session = Session::new(model, Machine::default()).unwrap();
    session.infer(x.data(), x.dims()[0]).unwrap();
    session.logits().to_vec()
}

fn agrees(name: &str, entry: &str) {
    let opened = exchange::open(&path(&format!("torch/{name}.safetensors")), &Open::default()).unwrap();
    assert_eq!(opened.model.graph().name(), entry, "{:?}", opened.notes);
    assert_eq!(opened.model.labels.len(), 1000);
    let x = npy(&format!("torch/{name}_input_nchw.npy")).permute(&[0, 2, 3, 1]).unwrap();
    let expected = npy(&format!("torch/{name}_logits_f64.npy"));
    let torch_itself = difference(npy(&format!("torch/{name}_logits.npy")).data(), expected.data());
    let ours = difference(&logits(&opened.model, &x), expected.data());
    assert!(torch_itself < 4e-6 && ours < 2e-5, "{name}: {ours:e}, PyTorch in f32 {torch_itself:e}");
}

#[test]
fn squeezenet_1_1_gives_the_logits() {
    agrees("squeezenet1_1", "squeezenet-1.1");
}

#[test]
fn mobilenet_v2_gives_the_logits() {
    agrees("mobilenet_v2", "mobilenet-v2");
}

/// What is written with PyTorch's names is recognised, and has the same bits.
#[test]
fn written_weights_come_back() {
    let opened = exchange::open(&path("torch/squeezenet1_1.safetensors"), &Open::default()).unwrap();
    let file = std::env::temp_dir().join(format!("striate-reference-{}.safetensors", std::process::id()));
    exchange::save(&opened.model, &file, &exchange::Save::default()).unwrap();
    let again = exchange::open(&file, &Open::default());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(again.unwrap().model.params(), opened.model.params());
}
