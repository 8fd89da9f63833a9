//! EfficientNet-Lite0 from its shipped `.pth`, on five photos whose logits are known.

use striate::Tensor;
use striate::data::Image;
use striate::exchange::{self, Open};
use striate::format::FileKind;

use crate::files::{bytes, difference, floats, path};
use crate::torch::logits;

const PHOTOS: [(&str, &str); 5] =
    [("china", "palace"), ("flower", "daisy"), ("chelsea", "tiger cat"), ("coffee", "espresso"), ("camera", "tripod")];

#[test]
fn the_shipped_weights_give_the_logits_and_classes_of_the_photos() {
    let opened = exchange::open(&path("efficientnet_lite0/efficientnet-lite0-57934424.pth"), &Open::default()).unwrap();
    assert_eq!((opened.kind, opened.model.graph().name()), (FileKind::Torch, "efficientnet-lite0"));
    let preprocess = opened.model.preprocess.as_ref().unwrap();
    for (photo, class) in PHOTOS {
        let pixels = bytes(&format!("efficientnet_lite0/ref/{photo}_224x224x3_rgb.u8"));
        let image = Image::new([224, 224, 3], pixels).unwrap();
        let mut x = vec![0.0; 224 * 224 * 3];
        preprocess.levels().fill(image.pixels(), &mut x);
        let y = logits(&opened.model, &Tensor::new(&[1, 224, 224, 3], x).unwrap());
        let expected = floats(&format!("efficientnet_lite0/ref/{photo}_logits.f32"));
        let worst = difference(&y, &expected);
        // Some 60 layers deep, both sides in f32.
        assert!(worst < 2e-5, "{photo}: {worst:e}");
        let best = (0..1000).max_by(|a, b| y[*a].total_cmp(&y[*b])).unwrap();
        assert_eq!(opened.model.labels[best], class, "{photo}");
    }
}
