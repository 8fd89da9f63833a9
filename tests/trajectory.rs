//! Ten Adam steps of the Keras network (E6) follow Keras' own losses and weights.
//!
//! `golden/keras_mnist` holds the weights before and after, and the losses, as
//! `golden/keras_mnist/make.py` wrote them with TensorFlow.

use std::collections::BTreeMap;
use std::path::PathBuf;

use striate::format::npy;
use striate::session::Machine;
use striate::train::{FitConfig, Trainer};
use striate::{Model, Tensor, data, zoo};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/keras_mnist").join(name)
}

// Keras numbers its layers on within one process: `conv2d_3` there is the first of its kind.
fn weights(name: &str) -> Vec<Tensor> {
    npy::read_npz(&golden(name)).unwrap().into_iter().map(|(_, array)| array.into_tensor().unwrap()).collect()
}

#[test]
fn ten_adam_steps_give_the_losses_and_weights_of_keras() {
    let mut model = Model::new(zoo::recipe("keras-mnist").unwrap().graph, 0).unwrap();
    let names: Vec<String> = model.params().iter().map(|p| p.name.clone()).collect();
    for (name, value) in names.iter().zip(weights("keras_mnist_init.npz")) {
        model.set_param(name, &value).unwrap();
    }
    let train = data::load("mnist").unwrap().train;
    let mut trainer = Trainer::new(&model, FitConfig::default(), Machine::default()).unwrap();
    let expect = npy::Array::read(&golden("keras_mnist_10steps_losses.npy")).unwrap().into_tensor().unwrap();
    for (step, expect) in expect.data().iter().enumerate() {
        let (mut x, mut labels) = (vec![0.0; 64 * 784], vec![0; 64]);
        for i in 0..64 {
            train.fill(step * 64 + i, &mut x[i * 784..(i + 1) * 784]).unwrap();
            labels[i] = train.label(step * 64 + i);
        }
        let loss = trainer.step(&x, &labels, 1.0).unwrap().loss;
        // Both sum 64 losses of about 2 in f32, on activations with a relative error of some 1e-6 (sums of up to 576
        // terms), and ten updates carry those errors on: 2e-5 leaves a factor of about ten.
        assert!((loss - f64::from(*expect)).abs() < 2e-5, "step {step}: loss {loss}, Keras {expect}");
    }
    trainer.store(&mut model);
    let after: BTreeMap<&String, Tensor> = names.iter().zip(weights("keras_mnist_after10steps.npz")).collect();
    let (mut worst, mut total, mut count) = (0.0_f32, 0.0_f64, 0_usize);
    for param in model.params() {
        for (w, k) in param.data.iter().zip(after[&param.name].data()) {
            worst = worst.max((w - k).abs());
            total += f64::from((w - k).abs());
            count += 1;
        }
    }
    // Adam moves a weight by at most about 1e-3 a step, and by the *sign* of its gradient where that is tiny, so a
    // rounding error can turn single weights by a whole step; the mean shows that all others agree to the last digits.
    assert!(worst < 2e-3, "largest difference {worst}");
    let mean = total / count as f64;
    assert!(mean < 1e-6, "mean difference {mean}");
}
