//! The model file: it comes back to the bit, it tests itself, and it is not believed.

use std::path::PathBuf;

use striate::format::{Container, Kind};
use striate::rng::Rng;
use striate::{Model, Tensor, zoo};

struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("striate-model-{name}-{}.striate", std::process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn model() -> Model {
    let mut model = Model::new(zoo::recipe("residual-mnist").unwrap().graph, 5).unwrap();
    let mut rng = Rng::new(6);
    let samples: Vec<Vec<f32>> = (0..2).map(|_| (0..784).map(|_| rng.uniform()).collect()).collect();
    model.keep_golden(&samples).unwrap();
    model.labels = (0..10).map(|i| i.to_string()).collect();
    model
}

// Saves the model, changes the file's content (with a checksum that holds), and loads it.
fn changed(name: &str, change: impl FnOnce(&mut Container)) -> striate::Result<(Model, Option<String>)> {
    let file = File::new(name);
    model().save(&file.0).unwrap();
    let mut content = Container::load(&file.0, Kind::Model).unwrap();
    change(&mut content);
    content.save(&file.0).unwrap();
    Model::load_checked(&file.0)
}

#[test]
fn a_model_comes_back_to_the_bit() {
    let (back, warning) = changed("same", |_| {}).unwrap();
    let model = model();
    assert_eq!(warning, None);
    assert_eq!((back.params(), &back.labels, &back.golden), (model.params(), &model.labels, &model.golden));
    let x = Tensor::new(&[1, 28, 28, 1], model.golden[0].x.clone()).unwrap();
    assert_eq!(back.predict(&x).unwrap(), model.predict(&x).unwrap());
}

/// Weights that were changed behind the model's back give other outputs than the golden ones: a warning says so.
#[test]
fn golden_samples_tell_that_a_model_is_not_what_was_saved() {
    let (_, warning) = changed("golden", |content| {
        let weights = content.tensors.iter_mut().find(|t| t.0 == "weights/dense/kernel").unwrap();
        weights.2.iter_mut().for_each(|w| *w = -*w);
    })
    .unwrap();
    assert!(warning.unwrap().contains("golden samples give outputs that differ"));
}

#[test]
fn parts_that_do_not_agree_are_one_clear_error() {
    let graph = |content: &mut Container, from: &str, to: &str| {
        let graph = content.documents.get_mut("graph").unwrap();
        assert!(graph.contains(from), "{graph}");
        *graph = graph.replacen(from, to, 1);
    };
    let error = |name: &str, change: &dyn Fn(&mut Container)| changed(name, change).unwrap_err().to_string();
    // A network far larger than its weights, or than any memory.
    let e = error("units", &|c| graph(c, "\"units\":10", "\"units\":1000000000"));
    assert!(e.contains("dense/kernel has the shape [32, 10], but the network needs [32, 1000000000]"), "{e}");
    let e = error("input", &|c| graph(c, "[28,28,1]", "[1000000,1000000,1]"));
    assert!(e.contains("more than 2^40 elements"), "{e}");
    let e = error("op", &|c| graph(c, "\"op\":\"conv2d\"", "\"op\":\"conv3d\""));
    assert!(e.contains("did you mean 'conv2d'"), "{e}");
    let e = error("json", &|c| graph(c, "\"layer\"", "\"layers\""));
    assert!(e.contains("has no layers"), "{e}");
    let e = error("missing", &|c| c.tensors.retain(|t| t.0 != "weights/dense/bias"));
    assert!(e.contains("no tensor 'weights/dense/bias'"), "{e}");
    let e = error("extra", &|c| c.tensors.push(("weights/ghost".into(), vec![1], vec![0.0])));
    assert!(e.contains("'weights/ghost'"), "{e}");
    let e = error("golden-count", &|c| drop(c.documents.insert("golden".into(), "1000000000000".into())));
    assert!(e.contains("golden/2/x"), "{e}");
}
