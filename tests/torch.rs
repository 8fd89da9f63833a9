//! Files of PyTorch: the golden files of `golden/torch`, hostile pickles, and weights into networks by name.

use std::path::{Path, PathBuf};

use striate::format::npy::read_npz;
use striate::format::torch::{self, Matched, Named, load_into, store};
use striate::format::{Dtype, safetensors};
use striate::ops::{Activation, BatchNorm, Conv2D, Dense, Flatten, Padding, Pool2D};
use striate::{Graph, Model, Result, Tensor};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/torch").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

fn tensors(bytes: &[u8]) -> Result<Vec<Named<'_>>> {
    torch::tensors(Path::new("a.pth"), bytes)
}

fn error(bytes: &[u8]) -> String {
    match tensors(bytes) {
        Err(e) => e.to_string(),
        Ok(found) => panic!("read {} tensors", found.len()),
    }
}

// The tensors of a file, as those of the .npz beside it.
fn agrees(file: &str, expected: &str) {
    let bytes = bytes(file);
    let found = tensors(&bytes).unwrap();
    let expected = read_npz(&golden(expected)).unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, (name, array)) in found.iter().zip(expected) {
        assert_eq!(found.name(), name);
        assert_eq!(found.tensor().unwrap(), array.into_tensor().unwrap(), "{file}: {name}");
    }
}

#[test]
fn the_zip_and_the_legacy_layout_give_the_tensors() {
    agrees("small.pth", "small.npz");
    agrees("small_legacy.pth", "small.npz");
}

#[test]
fn a_checkpoint_gives_its_weights_with_views_and_other_numbers() {
    agrees("checkpoint.pth", "checkpoint.npz");
}

#[test]
fn big_endian_and_other_layouts_are_refused_by_name() {
    assert!(error(&bytes("big_endian.pth")).contains("byte order 'big'"));
    let legacy = bytes("small_legacy.pth");
    let at = legacy.windows(13).position(|w| w == b"little_endian").unwrap();
    let flag = legacy[at..].iter().position(|b| *b == 0x88).unwrap();
    let mut big = legacy.clone();
    big[at + flag] = 0x89;
    assert!(error(&big).contains("big-endian"));
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(error(&tar).contains("before 2017"));
    assert!(error(b"\x89PNG\r\n\x1a\n........").contains("a PNG image"));
    assert!(error(b"").contains("empty"));
}

// ---- hostile pickles ----

// A legacy file with this object in place of the state dictionary, and no storages.
fn legacy(object: &[u8]) -> Vec<u8> {
    let small = bytes("small_legacy.pth");
    let magic = &small[..15];
    let facts = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.";
    [magic, b"\x80\x02M\xe9\x03.", facts, b"\x80\x02", object, b".", b"\x80\x02]."].concat()
}

#[test]
fn a_name_that_is_no_tensor_is_an_error_that_says_it() {
    let e = error(&legacy(b"cos\nsystem\nX\x07\x00\x00\x00echo hi\x85R"));
    assert!(e.contains("'os.system'") && e.contains("nothing is executed"), "{e}");
    let e = error(&legacy(b"\x8c\x08builtins\x8c\x04eval\x93X\x01\x00\x00\x001\x85R"));
    assert!(e.contains("'builtins.eval'"), "{e}");
    let e = error(&legacy(b"c__main__\nNet\n)\x81"));
    assert!(e.contains("'__main__.Net'") && e.contains("state_dict()"), "{e}");
    let e = error(&legacy(b"c__torch__.net\nNet\n)\x81"));
    assert!(e.contains("TorchScript"), "{e}");
}

#[test]
fn an_opcode_that_is_not_carried_out_is_named() {
    assert!(error(&legacy(b"(ios\nsystem\n")).contains("INST"));
    assert!(error(&legacy(b"ccollections\nOrderedDict\n)\x81")).contains("NEWOBJ"));
    assert!(error(&legacy(b"\x82\x01")).contains("EXT1"));
    assert!(error(&legacy(b"\xff")).contains("0xff"));
    // Calls of what is a name, but cannot be called.
    assert!(error(&legacy(b"ctorch\nFloatStorage\n)R")).contains("cannot be called"));
}

#[test]
fn the_stack_and_the_memo_are_bounded() {
    for (object, what) in [
        (&b"0"[..], "stack is empty"),
        (b"1", "no mark"),
        (b"(\x86", "too short"),
        (b"h\x07", "memo has no entry 7"),
        (b"X\xff\xff\xff\x7fabc", "2147483647 bytes"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc", "18446744073709551615 bytes"),
        (b"K\x01K\x02K\x03s", "has no parts"),
        (b"}K\x01s", "stack is empty"),
        (b"(K\x01d", "without a value"),
        (b"\x80\x09", "protocol 9"),
        (b"\x8a\xffabc", "are left"),
    ] {
        let e = error(&legacy(object));
        assert!(e.contains(what) || e.contains("stack"), "{object:?}: {e}");
    }
    // Deep nesting takes no stack of the machine, and sharing no memory.
    let nested = [vec![b']'; 500_000], vec![b'a'; 499_999]].concat();
    assert!(error(&legacy(&nested)).contains("nested"));
    let mut doubled = b"]q\x00".to_vec();
    for i in 0..200_u8 {
        doubled.extend([b'h', i, b'h', i, 0x86, b'q', i + 1]);
    }
    assert!(error(&legacy(&doubled)).contains("nested"));
    let mut itself = b"}q\x00X\x01\x00\x00\x00ah\x00s".to_vec();
    assert!(error(&legacy(&itself)).contains("nested"));
    // One list that is made into a dictionary again and again.
    itself = b"](".to_vec();
    (0..2000).for_each(|_| itself.extend(b"K\x01K\x02\x86"));
    itself.extend(b"eq\x00");
    (0..2000).for_each(|_| itself.extend(b"ccollections\nOrderedDict\nh\x00\x85R"));
    assert!(error(&legacy(&itself)).contains("many dictionaries"));
}

// A legacy file with one tensor over a storage of six numbers.
fn one(offset: i32, dims: &[i32], strides: &[i32]) -> Vec<u8> {
    let ints = |list: &[i32]| {
        [b"(".to_vec(), list.iter().flat_map(|n| [&b"J"[..], &n.to_le_bytes()].concat()).collect(), b"t".to_vec()]
            .concat()
    };
    let storage = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x007X\x03\x00\x00\x00cpuK\x06NtQ";
    let tensor = [
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        &storage[..],
        b"J",
        &offset.to_le_bytes(),
        &ints(dims),
        &ints(strides),
        b"\x89}tR",
    ]
    .concat();
    let object = [b"}X\x01\x00\x00\x00a", &tensor[..], b"s"].concat();
    let file = legacy(&object);
    let numbers: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    [&file[..file.len() - 1], b"X\x01\x00\x00\x007a.", &6_i64.to_le_bytes(), &numbers].concat()
}

#[test]
fn sizes_and_strides_are_checked_against_the_storage() {
    let read =
        |offset, dims: &[i32], strides: &[i32]| tensors(&one(offset, dims, strides)).unwrap()[0].tensor().unwrap();
    assert_eq!(read(0, &[2, 3], &[3, 1]).data(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(1, &[2, 2], &[1, 2]).data(), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(read(0, &[3], &[2]).data(), [0.0, 2.0, 4.0]);
    assert_eq!(read(6, &[0, 3], &[3, 1]).data(), [0.0_f32; 0]);
    assert_eq!(read(5, &[], &[]).data(), [5.0]);
    for (offset, dims, strides, what) in [
        (0, &[2, 4][..], &[4, 1][..], "do not fit its storage of 6"),
        (1, &[2, 3], &[3, 1], "do not fit its storage of 6"),
        (-1, &[1], &[1], "offset is -1"),
        (0, &[-1], &[1], "no tuple of up to 8 counts"),
        (0, &[1_000_000], &[0], "meet a number twice"),
        (0, &[2, 2], &[1, 1], "meet a number twice"),
        (0, &[2, 3], &[1], "do not go with"),
        (0, &[i32::MAX, i32::MAX, i32::MAX], &[1, i32::MAX, i32::MAX], "twice"),
        (0, &[i32::MAX; 9], &[1; 9], "no tuple of up to 8"),
    ] {
        let e = error(&one(offset, dims, strides));
        assert!(e.contains(what), "{dims:?} {strides:?}: {e}");
    }
}

#[test]
fn storages_must_be_there_with_all_their_bytes() {
    let mut file = one(0, &[6], &[1]);
    let at = file.len() - 32;
    file[at] = 7;
    assert!(error(&file).contains("7 numbers of 4 bytes"));
    file[at] = 5;
    assert!(error(&file).contains("expected 6 numbers"));
    file.extend([0; 4]);
    file[at] = 6;
    assert!(error(&file).contains("4 bytes too many"));
    let (huge, len) = (i64::MAX.to_le_bytes(), one(0, &[6], &[1]).len());
    let mut file = one(0, &[6], &[1]);
    file[len - 32..len - 24].copy_from_slice(&huge);
    assert!(error(&file).contains("are left"));
}

/// Every truncation is an error; a flipped byte is an error or gives numbers, and never a panic.
#[test]
fn damaged_files_end_in_an_error() {
    for name in ["small.pth", "small_legacy.pth", "checkpoint.pth"] {
        let whole = bytes(name);
        for end in 0..whole.len() {
            assert!(tensors(&whole[..end]).is_err(), "{name} cut to {end} bytes");
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                if let Ok(found) = tensors(&damaged) {
                    found.iter().for_each(|t| _ = t.tensor().map(|t| t.data().len()));
                }
            }
        }
    }
}

// ---- into a network ----

// The network that golden/torch/make.py made weights for.
fn network(classes: usize) -> Graph {
    let mut g = Graph::new("small");
    let x = g.input([8, 8, 3]).unwrap();
    let x = g.add_named("features.0", Conv2D::new(4, 3).padding(Padding::Same), &[x]).unwrap();
    let x = g.add_named("features.1", BatchNorm::default(), &[x]).unwrap();
    let x = g.add_named("features.2", Activation::Relu, &[x]).unwrap();
    let x = g.add_named("features.3", Conv2D::new(6, 3).groups(2).no_bias().padding(Padding::Same), &[x]).unwrap();
    let x = g.add_named("features.4", Pool2D::max(2), &[x]).unwrap();
    let x = g.add_named("flatten", Flatten::new(), &[x]).unwrap();
    g.add_named("classifier", Dense::new(classes), &[x]).unwrap();
    g
}

fn model(graph: Graph) -> Model {
    Model::new(graph, 1).unwrap()
}

fn param(model: &Model, name: &str) -> Tensor {
    let p = model.params().iter().find(|p| p.name == name).unwrap();
    Tensor::new(&p.dims, p.data.to_vec()).unwrap()
}

#[test]
fn weights_find_their_layers_by_name_in_our_order_of_axes() {
    let bytes = bytes("small.pth");
    let tensors = tensors(&bytes).unwrap();
    let mut model = model(network(5));
    let loaded = load_into(&mut model, &tensors).unwrap();
    assert_eq!(loaded.matched, Matched::Names);
    assert_eq!(loaded.unused, ["features.1.num_batches_tracked"]);
    let file = |name: &str| tensors.iter().find(|t| t.name() == name).unwrap().tensor().unwrap();
    assert_eq!(param(&model, "features.3/kernel")[[2, 1, 0, 5]], file("features.3.weight")[[5, 0, 2, 1]]);
    assert_eq!(param(&model, "features.1/moving_variance"), file("features.1.running_var"));
    // Feature (y 1, x 2, channel 3) of [4, 4, 6] is row (1 * 4 + 2) * 6 + 3 here, and column 3 * 16 + 1 * 4 + 2 there.
    assert_eq!(param(&model, "classifier/kernel")[[39, 4]], file("classifier.weight")[[4, 54]]);
}

#[test]
fn what_is_stored_is_loaded_with_the_same_bits() {
    let before = model(network(5));
    let stored = store(&before).unwrap();
    let read = safetensors::read_from(Path::new("a.safetensors"), stored.as_slice(), stored.len() as u64).unwrap();
    assert_eq!(read.metadata["format"], "pt");
    assert!(read.tensors.iter().all(|t| t.dtype == Dtype::F32));
    let dims: Vec<(&str, &[usize])> = read.tensors.iter().map(|t| (t.name.as_str(), t.dims.as_slice())).collect();
    assert!(dims.contains(&("features.3.weight", &[6, 2, 3, 3])) && dims.contains(&("classifier.weight", &[5, 96])));
    let named: Vec<Named> =
        read.tensors.into_iter().map(|t| Named::new(t.name, Tensor::new(&t.dims, t.data).unwrap())).collect();
    let mut after = Model::new(network(5), 2).unwrap();
    load_into(&mut after, &named).unwrap();
    assert_eq!(before.params(), after.params());
}

#[test]
fn wrappers_are_taken_off_and_other_names_go_by_order() {
    let bytes = bytes("small.pth");
    let renamed = |f: &dyn Fn(&str) -> String| -> Vec<Named> {
        tensors(&bytes)
            .unwrap()
            .into_iter()
            .map(|t| {
                let name = f(t.name());
                t.renamed(name)
            })
            .collect()
    };
    let mut expect = model(network(5));
    load_into(&mut expect, &renamed(&str::to_string)).unwrap();
    let mut wrapped = model(network(5));
    assert_eq!(load_into(&mut wrapped, &renamed(&|n| format!("module.{n}"))).unwrap().matched, Matched::Names);
    assert_eq!(wrapped.params(), expect.params());
    let mut other = model(network(5));
    let own = renamed(&|n| n.replace("features.", "stage_").replace("classifier", "out"));
    assert_eq!(load_into(&mut other, &own).unwrap().matched, Matched::Order);
    assert_eq!(other.params(), expect.params());
    // The order of a safetensors file is that of the alphabet, which says nothing.
    let unordered: Vec<Named> = own.iter().map(|t| Named::new(t.name(), t.tensor().unwrap())).collect();
    let e = load_into(&mut other, &unordered).unwrap_err().to_string();
    assert!(e.contains("'features.0.weight' [4, 3, 3, 3]") && e.contains("features.0/kernel"), "{e}");
}

#[test]
fn the_first_parameter_that_does_not_fit_is_named() {
    let bytes = bytes("small.pth");
    let fails = |classes, change: &dyn Fn(Vec<Named<'_>>) -> Vec<Named<'static>>| {
        let mut model = model(network(classes));
        let before = model.params().to_vec();
        let e = load_into(&mut model, &change(tensors(&bytes).unwrap())).unwrap_err().to_string();
        assert_eq!(model.params(), before);
        e
    };
    fn owned(tensors: Vec<Named<'_>>) -> Vec<Named<'static>> {
        tensors.into_iter().map(|t| Named::new(t.name(), t.tensor().unwrap())).collect()
    }
    let e = fails(7, &owned);
    assert!(e.contains("'classifier.weight' has the shape [5, 96]") && e.contains("needs [7, 96]"), "{e}");
    assert!(e.contains("for 5 classes: build the network with 5 instead of 7"), "{e}");
    let e = fails(5, &|tensors| owned(tensors).into_iter().filter(|t| t.name() != "features.0.bias").collect());
    assert!(e.contains("no tensor 'features.0.bias' [4]"), "{e}");
    let e = fails(5, &|tensors| {
        let mut tensors = owned(tensors);
        tensors.push(Named::new("features.9.weight", Tensor::zeros(&[3])));
        tensors
    });
    assert!(e.contains("'features.9.weight' [3] that small has no place for"), "{e}");
    let e = fails(5, &|tensors| {
        owned(tensors)
            .into_iter()
            .map(|t| {
                let name = t.name().replace("classifier.weight", "clasifier.weight");
                t.renamed(name)
            })
            .collect()
    });
    assert!(e.contains("the nearest name in the file is 'clasifier.weight' [5, 96]"), "{e}");
}
