//! The zoo: networks by name, each with the settings that it is trained with.
//!
//! A [`Recipe`] is a network and its training settings; it can be written as a
//! small TOML file, changed there, and trained from there with the same bits.

mod keras_mnist;
mod recipe;
mod residual_mnist;
mod simple_convnet;

use crate::error::{Result, unknown};

pub use recipe::Recipe;

/// One entry of the zoo.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name on the command line.
    pub name: &'static str,
    /// One line on what it is.
    pub about: &'static str,
    build: fn() -> Result<Recipe>,
}

const ENTRIES: [Entry; 3] = [
    Entry { name: "keras-mnist", about: keras_mnist::ABOUT, build: keras_mnist::recipe },
    Entry { name: "simple-convnet", about: simple_convnet::ABOUT, build: simple_convnet::recipe },
    Entry { name: "residual-mnist", about: residual_mnist::ABOUT, build: residual_mnist::recipe },
];

/// All entries.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The recipe with this name.
///
/// # Errors
/// There is none; the nearest name is suggested.
///
/// ```
/// let recipe = striate::zoo::recipe("keras-mnist")?;
/// assert_eq!(striate::Model::new(recipe.graph, 0)?.count_params(), (93_322, 0));
/// # Ok::<(), striate::Error>(())
/// ```
pub fn recipe(name: &str) -> Result<Recipe> {
    match ENTRIES.iter().find(|e| e.name == name) {
        Some(entry) => (entry.build)(),
        None => Err(unknown("model", name, ENTRIES.iter().map(|e| e.name))),
    }
}
