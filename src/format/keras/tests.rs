//! tmp
use super::*;
#[test]
fn tmp_mnist() {
    let folder = std::path::Path::new("/work/shared/golden/keras_mnist");
    let npy = |n: &str| {
        crate::format::npy::Array::from_bytes(folder, &std::fs::read(folder.join(n)).unwrap())
            .unwrap()
            .into_tensor()
            .unwrap()
    };
    let x = npy("keras_mnist_input.npy");
    let y = npy("keras_mnist_probs.npy");
    for name in ["keras_mnist.h5", "keras_mnist.keras"] {
        let model = read(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        let got = model.predict(&x).unwrap();
        let d = got.data().iter().zip(y.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name} {d}");
        assert!(d < 1e-5);
    }
}
