//! Looking inside a network.
//!
//! What it is: [`draw`], [`Layers`], [`receptive_fields`], [`unit_patch`]. Whether it is right: [`certificate`].
//! What it sees: [`Tape`] runs it forward and back with everything kept, and [`attribute`] tells which
//! pixels an answer rests on.

mod attribute;
mod canvas;
mod certificate;
mod deconvnet;
mod drawing;
mod excite;
pub mod explain;
mod features;
mod filters;
mod invert;
mod layers;
mod maximise;
pub mod museum;
mod receptive_field;
mod score;
mod show;
mod tape;
mod unit;
mod unit_figure;
mod window;

pub use attribute::{
    AttributeConfig, Attribution, Curves, Method, Randomised, Trust, attribute, attribution_sheet, cam_layer, examine,
    grad_cam,
};
pub use canvas::{Levels, Moment};
pub use certificate::{Certificate, CheckConfig, Line, certificate};
pub use deconvnet::{DeconvnetAsk, Reconstruction, deconvnet, deconvnet_animation, deconvnet_sheet, has_switches};
pub use drawing::{draw, draw_volumes};
pub use excite::{ExciteAsk, Excited, most_exciting};
pub use features::{
    FeatureStyle, LayerMaps, feature_maps, features_animation, features_sheet, filter_images, filtered_sheet,
    line_filters, map_layers, stages,
};
pub use filters::{Kernels, filters_sheet, kernel_bitmaps, kernel_change, kernel_layers, kernel_words, kernels};
pub use invert::{Inversion, InvertConfig, invert, invert_animation, invert_sheet, invert_watched};
pub use layers::{Layer, Layers};
pub use maximise::{Goal, MaximiseConfig, Maximum, maximise, maximise_animation, maximise_sheet, maximise_watched};
pub use receptive_field::{Axis, Field, receptive_fields};
pub use score::class_probabilities;
pub use tape::{ReluRule, Spot, Tape, TapeConfig};
pub use unit::{Products, Unit, unit};
pub use unit_figure::{unit_animation, unit_sheet, unit_words};
pub use window::{Patch, unit_patch};
