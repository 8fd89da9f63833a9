//! No text makes the reader of networks in TOML panic; what it reads, it can write and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate::zoo::Recipe;

fuzz_target!(|text: &str| {
    if let Ok(recipe) = Recipe::from_toml(text) {
        let written = recipe.to_toml().unwrap();
        assert_eq!(Recipe::from_toml(&written).unwrap().to_toml().unwrap(), written);
    }
});
