//! Two sizes, vertical and horizontal, that a file may give as one number if they are equal.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Vertical and horizontal size; made from one number or from two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(size: usize) -> Self {
        Self([size; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(sizes: [usize; 2]) -> Self {
        Self(sizes)
    }
}

impl From<(usize, usize)> for Pair {
    fn from((vertical, horizontal): (usize, usize)) -> Self {
        Self([vertical, horizontal])
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number or a pair of numbers")]
enum Written {
    Both(usize),
    Each([usize; 2]),
}

pub(super) fn serialize<S: Serializer>(pair: &[usize; 2], s: S) -> Result<S::Ok, S::Error> {
    if pair[0] == pair[1] { pair[0].serialize(s) } else { pair.serialize(s) }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[usize; 2], D::Error> {
    Ok(match Written::deserialize(d)? {
        Written::Both(size) => [size; 2],
        Written::Each(sizes) => sizes,
    })
}
