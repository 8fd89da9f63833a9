//! What is written is read again; damaged files end in errors. Files of h5py are read in the tests of `keras`.

use super::*;
use crate::error::Result;

fn sample() -> Group {
    let mut root = Group::default();
    root.text("model_config", &"{}".repeat(40_000));
    root.text("empty", "");
    root.texts("none", &[]);
    root.texts("names", &["a".into(), "grüße".into()]);
    let many: Vec<String> = (0..9000).map(|i| format!("layer number {i}")).collect();
    root.texts("many", &many);
    root.tensor("a/b/kernel", &[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, -0.0]).unwrap();
    root.tensor("a/b/scalar", &[], vec![7.0]).unwrap();
    root.group("a/c").unwrap().text("name", "c");
    for i in 0..700 {
        root.tensor(&format!("large/{i}"), &[1], vec![i as f32]).unwrap();
    }
    root
}

fn read_all(bytes: &[u8]) -> Result<f32> {
    let file = File::open(bytes)?;
    for name in ["model_config", "empty"] {
        file.text("", name)?;
    }
    for name in ["none", "names", "many"] {
        file.texts("", name)?;
    }
    let mut sum = 0.0;
    for path in file.tensors() {
        sum += file.tensor(path)?.1.iter().sum::<f32>();
    }
    Ok(sum)
}

#[test]
fn what_is_written_is_read() {
    let bytes = sample().to_file().unwrap();
    assert_eq!(bytes, sample().to_file().unwrap());
    let file = File::open(&bytes).unwrap();
    assert_eq!(file.text("", "model_config").unwrap().unwrap(), "{}".repeat(40_000));
    assert_eq!(file.text("", "empty").unwrap().unwrap(), "");
    assert_eq!(file.texts("", "names").unwrap(), ["a", "grüße"]);
    assert_eq!(file.texts("", "none").unwrap(), [""; 0]);
    assert_eq!(file.texts("", "many").unwrap()[8999], "layer number 8999");
    assert_eq!(file.tensor("a/b/kernel").unwrap(), (vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, -0.0]));
    assert_eq!(file.tensor("a/b/scalar").unwrap(), (vec![], vec![7.0]));
    assert_eq!((file.count("a/b"), file.count("a"), file.count("large")), (2, 0, 700));
    assert!(file.has_group("a/c") && !file.has_group("a/b/kernel") && !file.has_group("x"));
    assert!(file.text("a", "name").unwrap().is_none());
    assert_eq!(file.tensor("large/699").unwrap().1, [699.0]);
    assert_eq!(read_all(&bytes).unwrap(), 15.0 + 7.0 + (0..700).sum::<i32>() as f32);
}

#[test]
fn truncations_end_in_errors() {
    let bytes = sample().to_file().unwrap();
    for length in (0..bytes.len()).step_by(97).chain(bytes.len() - 40..bytes.len()) {
        assert!(read_all(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
    }
}

#[test]
fn flipped_bytes_neither_panic_nor_hang() {
    let mut root = Group::default();
    root.texts("names", &["a".into(), "bb".into()]);
    root.text("config", "{}");
    root.tensor("a/kernel", &[2, 2], vec![1.0; 4]).unwrap();
    let bytes = root.to_file().unwrap();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            if let Ok(file) = File::open(&damaged) {
                let _ = (file.texts("", "names"), file.text("", "config"), file.tensor("a/kernel"));
            }
        }
    }
}

/// A million numbers out of a file of three kilobytes.
#[test]
fn claims_beyond_the_file_are_refused() {
    let mut root = Group::default();
    root.tensor("a", &[7, 5], vec![0.5; 35]).unwrap();
    let mut bytes = root.to_file().unwrap();
    let at = bytes.windows(16).position(|w| w == [7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    bytes[at..at + 8].copy_from_slice(&(1_u64 << 36).to_le_bytes());
    let error = File::open(&bytes).unwrap().tensor("a").unwrap_err().to_string();
    assert!(error.contains("tensor 'a'") && error.contains("more than its bytes can hold"), "{error}");
}

/// What h5py writes besides; made by `golden/keras/make.py`.
#[test]
fn forms_of_h5py_are_read() {
    let bytes = include_bytes!("../../../golden/keras/chunks.h5");
    let file = File::open(bytes).unwrap();
    let expected: Vec<f32> = (0..60).map(|i| i as f32 / 8.0).collect();
    for name in ["deflated", "plain", "big", "half", "double", "newer/tensor"] {
        assert_eq!(file.tensor(name).unwrap(), (vec![6, 10], expected.clone()), "{name}");
    }
    assert_eq!(file.texts("newer", "names").unwrap(), ["long text", "of any length"]);
    assert_eq!(file.texts("newer", "fixed").unwrap(), ["a", "bb"]);
    assert!(file.tensor("newer").unwrap_err().to_string().contains("is a group"));
}
