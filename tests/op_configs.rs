//! The ops as text: what is written is read again, short forms get their defaults, and typing errors are refused.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use striate::conv::Padding;
use striate::ops::{
    Activation, AdaptivePool2D, Add, Affine, BatchNorm, Concat, ConvTranspose2D, Dropout, Flatten, GlobalPool,
    GroupNorm, LayerNorm, Lrn, Merge, MergeKind, PRelu, Pad2D, PadMode, Permute, Pool1D, Pool2D, PoolKind, Reshape,
    SeparableConv2D, Slice, StochasticDepth, Upsample2D, ZeroPad,
};

fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(op: &T) {
    let text = serde_json::to_string(op).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), op, "{text}");
    if text.starts_with('{') {
        let typo = text.replacen('{', r#"{"strid":1,"#, 1).replace(",}", "}");
        assert!(serde_json::from_str::<T>(&typo).unwrap_err().to_string().contains("strid"), "{typo}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    there_and_back(&Pool2D::max(2));
    there_and_back(&Pool2D::new(PoolKind::Average, [3, 2]).strides([2, 1]).padding(Padding::all(1)).ceil(true));
    there_and_back(&Pool1D::min(3).stride(2).padding(Padding::Same).count_padding(true));
    there_and_back(&Pool2D::max(3).dilation(2));
    there_and_back(&AdaptivePool2D::max([6, 7]));
    let up = ConvTranspose2D::new(4, [3, 2]).stride(2).padding(Padding::Same);
    there_and_back(&up);
    there_and_back(&up.output_padding([1, 0]).dilation(2).groups(2).no_bias());
    there_and_back(&SeparableConv2D::new(4, 3).stride(2).dilation([1, 2]).multiplier(2).no_bias());
    there_and_back(&Upsample2D::nearest([2, 3]));
    there_and_back(&Upsample2D::bilinear(1).to([8, 9]).align_corners(true));
    there_and_back(&GlobalPool::average());
    there_and_back(&GlobalPool::max().keep_dims(true));
    there_and_back(&BatchNorm::default().momentum(0.9));
    there_and_back(&BatchNorm::default().center(false).scale(false));
    there_and_back(&LayerNorm::over(2).epsilon(1e-6).scale(false));
    there_and_back(&GroupNorm::new(8).center(false));
    there_and_back(&Affine::layer_scale(1e-6));
    [PRelu::channel(), PRelu::one(), PRelu::element()].iter().for_each(there_and_back);
    there_and_back(&Pad2D::new([1, 2, 3, 4]).mode(PadMode::Constant(-0.1)));
    there_and_back(&Lrn::new(3).average(true));
    there_and_back(&Dropout::new(0.1));
    there_and_back(&Add::new());
    there_and_back(&Merge::multiply());
    there_and_back(&Merge::new(MergeKind::Average));
    there_and_back(&Concat::new());
    there_and_back(&Flatten::new());
    there_and_back(&Permute::new(&[2, 0, 1]));
    there_and_back(&Slice::channels(3, 8));
    there_and_back(&StochasticDepth::new(0.2));
    there_and_back(&Reshape::new(&[2, -1]));
    there_and_back(&ZeroPad::sides(1, 2, 3, 4));
    Activation::ALL.iter().for_each(there_and_back);
}

#[test]
fn short_forms_get_their_defaults() {
    let pool: Pool2D = serde_json::from_str(r#"{"kind":"max","window":[2,2]}"#).unwrap();
    assert_eq!(pool, Pool2D::max(2));
    assert_eq!(
        serde_json::from_str::<BatchNorm>("{}").unwrap(),
        BatchNorm { momentum: 0.99, epsilon: 1e-3, center: true, scale: true }
    );
    assert_eq!(serde_json::from_str::<Lrn>(r#"{"size":5}"#).unwrap(), Lrn::default());
    let e = serde_json::from_str::<Activation>(r#""rleu""#).unwrap_err();
    assert!(e.to_string().contains("did you mean 'relu'"), "{e}");
}
