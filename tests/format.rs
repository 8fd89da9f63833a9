//! Files as strangers, bad disks and other programs hand them to us.
//!
//! Round trips are exact to the bit; every truncation and every flipped bit of a
//! striate file is found; no bytes make a reader panic or allocate for a claim
//! that the file cannot back (E19).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use striate::format::npy::{Array, Numbers, npz_from_bytes, read_npz};
use striate::format::safetensors::{self, Contents};
use striate::format::{Container, ContainerRef, Kind, TensorRef};
use striate::{Error, Result};

const HERE: &str = "some.file";

fn load(bytes: &[u8], kind: Kind) -> Result<Container> {
    Container::read_from(Path::new(HERE), bytes, bytes.len() as u64, kind)
}

fn read_plain(bytes: &[u8]) -> Result<Contents> {
    safetensors::read_from(Path::new(HERE), bytes, bytes.len() as u64)
}

fn small() -> Container {
    Container {
        kind: Kind::Model,
        documents: [("graph", r#"{"nodes":[]}"#), ("labels", "[\"\u{d2b9}\",\"cat\"]")]
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into(),
        tensors: vec![
            ("bias".into(), vec![3], vec![-0.0, f32::from_bits(0x7fc0_1234), f32::MIN_POSITIVE / 2.0]),
            ("kernel".into(), vec![1, 1, 2, 1], vec![0.5, -0.5]),
            ("none".into(), vec![0, 4], vec![]),
            ("step".into(), vec![], vec![7.0]),
        ],
    }
}

fn to_bytes(c: &Container) -> Vec<u8> {
    let tensors: Vec<TensorRef> = c.tensors.iter().map(|(name, dims, data)| TensorRef { name, dims, data }).collect();
    ContainerRef { kind: c.kind, documents: &c.documents, tensors: &tensors }.to_bytes().unwrap()
}

fn bits(c: &Container) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect();
    c.tensors.iter().map(|(name, dims, data)| (name.clone(), dims.clone(), bits(data))).collect()
}

/// The error's text, which must name the file and must have a remedy.
fn text(result: Result<Container>) -> String {
    full(&result.unwrap_err())
}

fn full(e: &Error) -> String {
    assert!(e.to_string().contains(HERE) && e.help().is_some(), "{e}");
    e.to_string()
}

/// Replaces `from` by `to` (of the same length) and makes the checksum hold again.
fn forge(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("the text is there");
    let mut forged = bytes.to_vec();
    forged[at..at + to.len()].copy_from_slice(to.as_bytes());
    let digits = 8 + r#"{"__metadata__":{"checksum":""#.len();
    forged[digits..digits + 64].fill(b'0');
    let hex: String = Sha256::digest(&forged).iter().map(|b| format!("{b:02x}")).collect();
    forged[digits..digits + 64].copy_from_slice(hex.as_bytes());
    forged
}

// ---- the striate file ----

#[test]
fn a_striate_file_is_a_safetensors_file() {
    let contents = read_plain(&to_bytes(&small())).unwrap();
    assert_eq!(contents.metadata["format"], "striate-model");
    assert_eq!(contents.metadata["version"], "1");
    assert_eq!(contents.metadata["graph"], r#"{"nodes":[]}"#);
    let names: Vec<&str> = contents.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["bias", "kernel", "none", "step"]);
}

#[test]
fn the_order_of_the_tensors_does_not_matter() {
    let mut turned = small();
    turned.tensors.reverse();
    assert_eq!(to_bytes(&turned), to_bytes(&small()));
}

#[test]
fn every_truncation_is_found() {
    let bytes = to_bytes(&small());
    for length in 0..bytes.len() {
        let e = text(load(&bytes[..length], Kind::Model));
        assert!(length < 9 || e.contains("truncated") && e.contains(&format!("found {length}")), "{length}: {e}");
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert!(text(load(&longer, Kind::Model)).contains(&format!(
        "expected {} bytes, found {}",
        bytes.len(),
        longer.len()
    )));
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = to_bytes(&small());
    assert_eq!(bits(&load(&bytes, Kind::Model).unwrap()), bits(&small()));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let e = text(load(&flipped, Kind::Model));
            assert!(at < 37 || e.contains("damaged"), "byte {at}, bit {bit}: {e}");
        }
    }
}

#[test]
fn another_kind_version_or_dtype_is_named() {
    let bytes = to_bytes(&small());
    let checkpoint = to_bytes(&Container { kind: Kind::Checkpoint, ..small() });
    assert!(text(load(&checkpoint, Kind::Model)).contains("this is a striate-checkpoint, not a striate-model"));
    assert!(text(load(&bytes, Kind::Checkpoint)).contains("this is a striate-model, not a striate-checkpoint"));
    let newer = forge(&bytes, r#""version":"1""#, r#""version":"7""#);
    let e = text(load(&newer, Kind::Model));
    assert!(e.contains("written by format version 7, this program reads up to 1 (update striate)"), "{e}");
    let other = forge(&bytes, "striate-model", "striate-scene");
    assert!(text(load(&other, Kind::Model)).contains("this is a striate-scene"));
    let integers = forge(&bytes, r#""F32","shape":[3]"#, r#""I32","shape":[3]"#);
    assert!(text(load(&integers, Kind::Model)).contains("tensor 'bias'"));
    let typed = forge(&bytes, r#""labels":"["#, r#""labels":NaN "#.get(..11).unwrap());
    assert!(text(load(&typed, Kind::Model)).contains("the header is not valid"));
}

#[test]
fn forged_claims_are_refused_with_their_numbers() {
    let bytes = to_bytes(&small());
    let claim = |from, to| text(load(&forge(&bytes, from, to), Kind::Model));
    assert!(claim("[12,20]", "[10,18]").contains("tensors 'bias' and 'kernel' overlap at byte 10"));
    assert!(claim("[12,20]", "[13,21]").contains("1 unused bytes before tensor 'kernel'"));
    assert!(claim("[12,20]", "[20,12]").contains("does not fill bytes 20 to 12"));
    assert!(claim("[1,1,2,1]", "[1,1,2,9]").contains("tensor 'kernel' of shape [1, 1, 2, 9]"));
    assert!(claim("\"none\"", "\"bias\"").contains("the name 'bias' is used twice"));
    assert!(claim("\"version\"", "\"format\" ").contains("the header is not valid"));
    assert!(claim("\"F32\"", "\"F99\"").contains("tensor 'bias' has the dtype 'F99'"));
}

#[test]
fn foreign_files_are_recognised() {
    let foreign = |bytes: &[u8]| text(load(bytes, Kind::Model));
    assert!(foreign(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").contains("not a striate file: it looks like a PNG image"));
    assert!(foreign(b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0").contains("it looks like an HDF5 file"));
    assert!(foreign(b"PK\x03\x04aaaaaaaaaaaaaa").contains("it looks like a zip archive"));
    assert!(foreign(b"").contains("the file is empty"));
    let plain = safetensors::to_bytes(&BTreeMap::new(), &[TensorRef { name: "w", dims: &[1], data: &[1.0] }]).unwrap();
    assert!(foreign(&plain).contains("a safetensors file, but not one that striate wrote"));
    assert!(load(&[0; 1000], Kind::Model).is_err());
}

#[test]
fn missing_files_and_folders_are_named() {
    let e = Container::load(Path::new("no/such/some.file"), Kind::Model).unwrap_err();
    assert!(full(&e).contains("cannot read"));
    assert!(Container::load(Path::new("."), Kind::Model).unwrap_err().to_string().contains("is a folder"));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let save = |documents: &BTreeMap<String, String>, tensors: &[TensorRef]| {
        ContainerRef { kind: Kind::Model, documents, tensors }.to_bytes().unwrap_err().to_string()
    };
    let w = TensorRef { name: "w", dims: &[1], data: &[1.0] };
    let none = BTreeMap::new();
    assert!(save(&[("version".into(), "2".into())].into(), &[]).contains("a document cannot be named 'version'"));
    assert!(save(&none, &[w, w]).contains("two tensors are named 'w'"));
    assert!(save(&none, &[TensorRef { dims: &[2], ..w }]).contains("tensor 'w': 1 numbers do not fill the shape [2]"));
    assert!(save(&none, &[TensorRef { name: "__metadata__", ..w }]).contains("cannot be named"));
    assert!(save(&none, &[TensorRef { dims: &[usize::MAX, 2], ..w }]).contains("do not fill"));
}

// ---- safetensors ----

fn plain(json: &str, data: &[u8]) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json.as_bytes(), data].concat()
}

/// Byte for byte what Python's safetensors writes for the same tensor.
#[test]
fn the_layout_is_the_one_of_safetensors() {
    let w = TensorRef { name: "w", dims: &[2], data: &[1.0, 2.0] };
    let bytes = safetensors::to_bytes(&BTreeMap::new(), &[w]).unwrap();
    let json = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  "#;
    assert_eq!(bytes, plain(json, &[0, 0, 128, 63, 0, 0, 0, 64]));
}

#[test]
fn other_dtypes_become_f32() {
    let json = r#"{"a":{"dtype":"F16","shape":[1],"data_offsets":[8,10]},"b":{"dtype":"F64","shape":[],"data_offsets":[0,8]},
        "c":{"dtype":"I64","shape":[1,1],"data_offsets":[10,18]}}"#;
    let data = [&0.1_f64.to_le_bytes()[..], &[0, 0x3c], &77_i64.to_le_bytes()].concat();
    let contents = read_plain(&plain(json, &data)).unwrap();
    let found: Vec<(&str, f32)> = contents.tensors.iter().map(|t| (t.name.as_str(), t.data[0])).collect();
    assert_eq!(found, [("b", 0.1), ("a", 1.0), ("c", 77.0)]);
    let large = [&[0; 10][..], &i64::MAX.to_le_bytes()].concat();
    let e = read_plain(&plain(json, &large)).unwrap_err();
    assert!(full(&e).contains("tensor 'c': I64 holds 9223372036854775807, which no f32 is equal to"), "{e}");
}

#[test]
fn hostile_headers_are_refused() {
    let one = |entry: &str| format!(r#"{{"w":{entry}}}"#);
    let huge = r#"{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}"#;
    let cases = [
        (one(huge), "expected 4398046511190 bytes to the end of tensor 'w', found 86"),
        (one(r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}"#), "does not fill"),
        (one(r#"{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,18446744073709551615]}"#), "fill"),
        (one(r#"{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,0],"data_offsets":[0,0]}"#), "has 9 axes"),
        (one(r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#), "invalid value"),
        (one(r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}"#), "unknown field `x`"),
        (one(r#"{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}"#), "duplicate field"),
        (r#"{"__metadata__":{"a":NaN}}"#.into(), "not valid"),
        (r#"{"__metadata__":{"a":1}}"#.into(), "expected a string"),
        (r#"{"__metadata__":{"a":"1","a":"2"}}"#.into(), "the metadata key 'a' is used twice"),
        (r#"{"__metadata__":{},"__metadata__":{}}"#.into(), "used twice"),
        (format!("{{\"w\":{}", "[".repeat(100_000)), "not valid"),
        ("{}x".into(), "trailing"),
    ];
    for (json, part) in cases {
        let e = read_plain(&plain(&json, b"")).unwrap_err();
        assert!(full(&e).contains(part) && e.to_string().len() < 500, "{part}: {e}");
    }
    let claimed = [&99_000_000_u64.to_le_bytes()[..], b"{\"w\":"].concat();
    assert!(read_plain(&claimed).unwrap_err().to_string().contains("expected 99000008 bytes or more, found 13"));
    assert!(read_plain(&plain("{}", b"")).unwrap().tensors.is_empty());
}

// ---- npy and npz ----

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/keras_mnist").join(name)
}

/// E6: the parameters of the notes' Keras model, 93,322 of them.
#[test]
fn e6_keras_golden_files_are_read() {
    for (name, first) in
        [("keras_mnist_init.npz", "conv2d/kernel"), ("keras_mnist_after10steps.npz", "conv2d_3/kernel")]
    {
        let arrays = read_npz(&golden(name)).unwrap();
        assert_eq!((arrays[0].0.as_str(), arrays[0].1.dims()), (first, &[3, 3, 1, 32][..]));
        assert_eq!(arrays.iter().map(|(_, a)| a.numbers().len()).sum::<usize>(), 93_322);
    }
    let losses = Array::read(&golden("keras_mnist_10steps_losses.npy")).unwrap().into_tensor().unwrap();
    assert_eq!((losses.dims(), losses[[0]]), (&[10][..], 2.303_448_7));
}

#[test]
fn the_bytes_are_those_of_numpy() {
    let path = golden("keras_mnist_10steps_losses.npy");
    assert_eq!(Array::read(&path).unwrap().to_bytes(), std::fs::read(&path).unwrap());
}

fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u32).to_le_bytes();
    let length = if version == 1 { &length[..2] } else { &length };
    [b"\x93NUMPY", &[version, 0][..], length, header.as_bytes(), data].concat()
}

#[test]
fn headers_of_all_versions_are_read() {
    let header = r#"{"shape": (2L, 1),"descr": '|u1' , 'fortran_order':False}"#;
    for version in 1..=3 {
        let array = Array::from_bytes(Path::new(HERE), &npy(version, header, &[5, 6])).unwrap();
        assert_eq!((array.dims(), array.numbers()), (&[2, 1][..], &Numbers::U8(vec![5, 6])));
    }
    let scalar = npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (), }\n", &[9]);
    assert!(Array::from_bytes(Path::new(HERE), &scalar).unwrap().dims().is_empty());
}

#[test]
fn npy_files_that_are_not_read_say_why() {
    let with = |descr: &str, order: &str, shape: &str| {
        npy(1, &format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"), &[0; 8])
    };
    let cases = [
        (with("'>f4'", "False", "(2,)"), "the type '>f4' is not read"),
        (with("'|O'", "False", "(2,)"), "the type '|O' is not read"),
        (with("[('a', '<f4')]", "False", "(2,)"), "not valid at '[('a'"),
        (with("'<f4'", "True", "(2, 1)"), "Fortran order"),
        (with("'<f4'", "False", "(3,)"), "shape [3] of '<f4' takes 12 bytes (at most 8 axes), found 8"),
        (with("'<f4'", "False", "(4294967296, 4294967296)"), "takes too many bytes"),
        (with("'<f4'", "False", "(99999999999999999999999,)"), "not valid at '9999"),
        (with("'<f4'", "False", "(2, "), "not valid"),
        (with("'<f8'", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "at most 8 axes"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "it looks like a PNG image"),
        (b"".to_vec(), "the file is empty"),
        (b"\x93NUMPY\x09\0".to_vec(), "version 9"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff".to_vec(), "a header of 4294967295 bytes"),
        (b"\x93NUMPY\x01\0\xff".to_vec(), "truncated"),
    ];
    for (bytes, part) in cases {
        let e = Array::from_bytes(Path::new(HERE), &bytes).unwrap_err().to_string();
        assert!(e.contains(part) && e.contains(HERE), "{part}: {e}");
    }
}

#[test]
fn integers_become_f32_only_without_loss() {
    let tensor = |n| Array::new(&[1], Numbers::I64(vec![n])).unwrap().into_tensor();
    assert_eq!(tensor(-3).unwrap().data(), [-3.0]);
    assert!(tensor(16_777_217).unwrap_err().to_string().contains("16777217"));
}

#[test]
fn every_truncated_golden_archive_is_refused() {
    let bytes = std::fs::read(golden("keras_mnist_init.npz")).unwrap();
    for length in (0..bytes.len()).step_by(997).chain(bytes.len() - 2000..bytes.len()) {
        assert!(npz_from_bytes(Path::new(HERE), &bytes[..length]).is_err(), "{length}");
    }
}

// ---- properties ----

fn dims() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0_usize..5, 0..5)
}

fn tensor() -> impl Strategy<Value = (Vec<usize>, Vec<u32>)> {
    dims().prop_flat_map(|dims| {
        let count: usize = dims.iter().product();
        (Just(dims), prop::collection::vec(any::<u32>(), count))
    })
}

fn container() -> impl Strategy<Value = Container> {
    let name = "[a-z0-9/_\"\\\\\u{ac00}\n]{0,12}";
    let tensors = prop::collection::btree_map(name, tensor(), 0..6);
    let documents = prop::collection::btree_map("[a-b\"\u{ac00}]{1,4}", any::<String>(), 0..4);
    (any::<bool>(), documents, tensors).prop_map(|(model, documents, tensors)| Container {
        kind: if model { Kind::Model } else { Kind::Checkpoint },
        documents,
        tensors: tensors
            .into_iter()
            .map(|(name, (dims, bits))| (name, dims, bits.into_iter().map(f32::from_bits).collect()))
            .collect(),
    })
}

fn array() -> impl Strategy<Value = Array> {
    (tensor(), 0..5).prop_map(|((dims, bits), kind)| {
        let numbers = match kind {
            0 => Numbers::F32(bits.iter().map(|b| f32::from_bits(*b)).collect()),
            1 => Numbers::F64(bits.iter().map(|b| f64::from_bits(u64::from(*b) << 31)).collect()),
            2 => Numbers::I32(bits.iter().map(|b| b.cast_signed()).collect()),
            3 => Numbers::I64(bits.iter().map(|b| i64::from(*b) - (1 << 40)).collect()),
            _ => Numbers::U8(bits.iter().map(|b| *b as u8).collect()),
        };
        Array::new(&dims, numbers).unwrap()
    })
}

/// Bytes that begin like a file of some kind, so that a reader goes on.
fn almost_a_file() -> impl Strategy<Value = Vec<u8>> {
    let starts = [
        &b""[..],
        b"\x93NUMPY\x01\0\x20\0{'descr': '<f4', ",
        b"\x10\0\0\0\0\0\0\0{\"",
        b"PK\x03\x04",
        b"PK\x05\x06\0\0",
    ];
    (prop::sample::select(starts.to_vec()), prop::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(start, rest)| [start, &rest].concat())
}

proptest! {
    #[test]
    fn containers_come_back_to_the_bit(original in container()) {
        let file = std::env::temp_dir().join(format!("striate-format-{}.striate", std::process::id()));
        original.save(&file).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let loaded = Container::load(&file, original.kind).unwrap();
        std::fs::remove_file(&file).unwrap();
        prop_assert_eq!(bits(&loaded), bits(&original));
        prop_assert_eq!(&loaded.documents, &original.documents);
        prop_assert_eq!(&bytes, &to_bytes(&original));
        prop_assert_eq!(&bytes, &to_bytes(&loaded));
        prop_assert_eq!(u64::from_le_bytes(*bytes.first_chunk().unwrap()) % 8, 0);
    }

    #[test]
    fn damaged_containers_are_refused(original in container(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let bytes = to_bytes(&original);
        let at = at.index(bytes.len());
        prop_assert!(load(&bytes[..at], original.kind).is_err());
        let mut changed = bytes.clone();
        changed[at] = to;
        prop_assert_eq!(load(&changed, original.kind).is_err(), to != bytes[at]);
        let _ = read_plain(&changed);
        prop_assert!(read_plain(&bytes[..at]).is_err());
    }

    #[test]
    fn arrays_come_back_to_the_bit(array in array(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = array.to_bytes();
        let back = Array::from_bytes(Path::new(HERE), &bytes).unwrap();
        prop_assert_eq!(back.dims(), array.dims());
        prop_assert_eq!(back.to_bytes(), bytes.clone());
        let at = at.index(bytes.len());
        prop_assert!(Array::from_bytes(Path::new(HERE), &bytes[..at]).is_err());
        bytes[at] = to;
        let _ = Array::from_bytes(Path::new(HERE), &bytes);
    }

    #[test]
    fn a_changed_archive_never_panics(at in 0_usize..4000, to in any::<u8>()) {
        let mut bytes = std::fs::read(golden("keras_mnist_init.npz")).unwrap();
        let at = if at < 2000 { at } else { bytes.len() + 1999 - at };
        bytes[at] = to;
        let _ = npz_from_bytes(Path::new(HERE), &bytes);
    }

    #[test]
    fn arbitrary_bytes_are_no_file(bytes in almost_a_file()) {
        prop_assert!(load(&bytes, Kind::Model).is_err());
        prop_assert!(read_plain(&bytes).is_err());
        prop_assert!(Array::from_bytes(Path::new(HERE), &bytes).is_err());
        prop_assert!(npz_from_bytes(Path::new(HERE), &bytes).is_err());
    }
}
