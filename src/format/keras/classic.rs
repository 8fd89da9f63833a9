//! Keras 1: the names that its classes and options had, brought to those of today.
//!
//! Source: the API of Keras 1.2, and the renames that Keras 2.0 announced.

use serde_json::{Map, Value as Json, json};

const CLASSES: [(&str, &str); 6] = [
    ("Convolution1D", "Conv1D"),
    ("Convolution2D", "Conv2D"),
    ("AtrousConvolution1D", "Conv1D"),
    ("AtrousConvolution2D", "Conv2D"),
    ("SeparableConvolution2D", "SeparableConv2D"),
    ("Deconvolution2D", "Conv2DTranspose"),
];

const MERGES: [(&str, &str); 5] =
    [("sum", "Add"), ("mul", "Multiply"), ("ave", "Average"), ("max", "Maximum"), ("concat", "Concatenate")];

const OPTIONS: [(&str, &str); 17] = [
    ("nb_filter", "filters"),
    ("filter_length", "kernel_size"),
    ("subsample", "strides"),
    ("subsample_length", "strides"),
    ("atrous_rate", "dilation_rate"),
    ("border_mode", "padding"),
    ("bias", "use_bias"),
    ("output_dim", "units"),
    ("p", "rate"),
    ("pool_length", "pool_size"),
    ("stride", "strides"),
    ("init", "kernel_initializer"),
    ("W_regularizer", "kernel_regularizer"),
    ("b_regularizer", "bias_regularizer"),
    ("W_constraint", "kernel_constraint"),
    ("b_constraint", "bias_constraint"),
    ("concat_axis", "axis"),
];

// Options of Merge that only its modes "dot" and "cos", and functions, use.
const UNUSED: [&str; 8] = [
    "mode",
    "mode_type",
    "dot_axes",
    "output_shape",
    "output_shape_type",
    "output_mask",
    "output_mask_type",
    "arguments",
];

/// The class of today, and the options under today's names; what is of today already stays.
pub fn renamed(class: &str, mut map: Map<String, Json>) -> (String, Map<String, Json>) {
    let class = match class {
        "Merge" => merge(&mut map),
        _ => CLASSES.iter().find(|(old, _)| *old == class).map_or(class, |(_, new)| *new).to_string(),
    };
    for (old, new) in OPTIONS {
        if !map.contains_key(new)
            && let Some(value) = map.remove(old)
        {
            map.insert(new.to_string(), value);
        }
    }
    if let (Some(rows), Some(columns)) = (map.remove("nb_row"), map.remove("nb_col")) {
        map.insert("kernel_size".into(), json!([rows, columns]));
    }
    match map.remove("dim_ordering").as_ref().and_then(Json::as_str) {
        Some("th") => map.insert("data_format".into(), json!("channels_first")),
        Some("tf") => map.insert("data_format".into(), json!("channels_last")),
        _ => None,
    };
    (class, map)
}

// `Merge` was one class with a mode; options of modes that are not used go.
fn merge(map: &mut Map<String, Json>) -> String {
    let mode = map.get("mode").and_then(Json::as_str).unwrap_or_default().to_string();
    let Some((_, class)) = MERGES.iter().find(|(name, _)| *name == mode) else { return "Merge".into() };
    for unused in UNUSED {
        map.remove(unused);
    }
    if *class != "Concatenate" {
        map.remove("concat_axis");
    }
    class.to_string()
}
