//! The worked examples of the notes, to the digit.

use striate::{Model, summary, zoo};

fn model(name: &str) -> Model {
    Model::new(zoo::recipe(name).unwrap().graph, 0).unwrap()
}

/// E7, E8: the summary table, with the names that a fresh program gives.
#[test]
fn e7_the_summary_of_the_keras_network() {
    let expect = "\
Model: \"sequential\"
_________________________________________________________________
 Layer (type)                Output Shape              Param #
=================================================================
 conv2d (Conv2D)             (None, 28, 28, 32)        320

 max_pooling2d (MaxPooling2D  (None, 14, 14, 32)       0
 )

 conv2d_1 (Conv2D)           (None, 14, 14, 64)        18496

 max_pooling2d_1 (MaxPooling  (None, 7, 7, 64)         0
 2D)

 conv2d_2 (Conv2D)           (None, 7, 7, 64)          36928

 max_pooling2d_2 (MaxPooling  (None, 3, 3, 64)         0
 2D)

 flatten (Flatten)           (None, 576)               0

 dense (Dense)               (None, 64)                36928

 dense_1 (Dense)             (None, 10)                650

=================================================================
Total params: 93,322
Trainable params: 93,322
Non-trainable params: 0
_________________________________________________________________";
    let table = summary(&model("keras-mnist"));
    let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n"), expect);
}

/// E9: the parameter formulas. E10: the shape steps; 7 to 3 drops a row and a column.
#[test]
fn e9_e10_parameters_and_shapes_step_by_step() {
    let model = model("keras-mnist");
    let graph = model.graph();
    let steps: Vec<(usize, Vec<usize>)> = graph
        .nodes()
        .iter()
        .map(|n| (graph.params(n).iter().map(|p| p.len()).sum(), n.shape.dims().to_vec()))
        .collect();
    let expect: [(usize, &[usize]); 10] = [
        (0, &[28, 28, 1]),
        (32 * (3 * 3) + 32, &[28, 28, 32]),
        (0, &[14, 14, 32]),
        (32 * 64 * (3 * 3) + 64, &[14, 14, 64]),
        (0, &[7, 7, 64]),
        (64 * 64 * (3 * 3) + 64, &[7, 7, 64]),
        (0, &[3, 3, 64]),
        (0, &[576]),
        (576 * 64 + 64, &[64]),
        (64 * 10 + 10, &[10]),
    ];
    for ((params, shape), (want_params, want_shape)) in steps.iter().zip(expect) {
        assert_eq!((*params, shape.as_slice()), (want_params, want_shape));
    }
}

/// E1, E5: SimpleConvNet has 780 + 432,100 + 1,010 parameters, 4,320 features, and 0.865 million multiply-adds.
#[test]
fn e5_simple_convnet_in_numbers() {
    let recipe = zoo::recipe("simple-convnet").unwrap();
    let model = model("simple-convnet");
    let graph = model.graph();
    let params: Vec<usize> =
        graph.nodes().iter().map(|n| graph.params(n).iter().map(|p| p.len()).sum()).filter(|n| *n > 0).collect();
    assert_eq!(params, [780, 432_100, 1_010]);
    assert_eq!(model.count_params().0, 433_890);
    assert_eq!(graph.shape(graph.value("flatten").unwrap()).dims(), [4_320]);
    assert_eq!(graph.mul_adds(), 24 * 24 * 30 * 25 + 4_320 * 100 + 100 * 10);
    // 16.7 epochs: 10,000 updates of 100 of 60,000 images.
    assert_eq!((recipe.train.updates, recipe.train.batch_size), (Some(10_000), 100));
}

/// D13: Dense(64) and the third convolution have 36,928 parameters each by coincidence; their shapes differ.
#[test]
fn d13_the_same_count_is_not_the_same_shape() {
    let model = model("keras-mnist");
    let dims = |name: &str| model.params().iter().find(|p| p.name == name).unwrap().dims.clone();
    assert_eq!(dims("conv2d_2/kernel"), [3, 3, 64, 64]);
    assert_eq!(dims("dense/kernel"), [576, 64]);
}
