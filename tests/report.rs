//! Reports from the library: which accuracy is which, which mistakes come first, and what the pictures are made of.

use std::ops::ControlFlow;

use striate::data::{Dataset, ImageSet, Preprocess};
use striate::inspect::{kernel_bitmaps, kernels};
use striate::ops::{Activation, Conv2D, Dense, Flatten, Padding};
use striate::report::{Report, ReportConfig, Run};
use striate::train::{Fit, FitConfig, History};
use striate::visual::mosaic;
use striate::{ErrorKind, Model, Sequential, Tensor};

/// Images of 4x4 pixels, dark or light; sample `i` of every fifth has the wrong label.
fn dots(n: u32) -> ImageSet {
    let light = |i: u32| i % 2 == 1;
    let pixels =
        (0..n).flat_map(|i| (0..16).map(move |k| if light(i) { 255 - k - i as u8 % 40 } else { k + i as u8 % 40 }));
    let labels = (0..n).map(|i| u32::from(light(i) != (i % 5 == 4))).collect();
    let classes = vec!["dark".to_string(), "light".to_string()];
    ImageSet::new("dots", pixels.collect(), labels, classes, Preprocess::new([4, 4, 1]).unwrap()).unwrap()
}

fn network(outputs: usize) -> Model {
    let head = if outputs == 1 { Activation::Sigmoid } else { Activation::Softmax };
    Sequential::new([4, 4, 1])
        .add(Conv2D::new(3, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(Flatten::new())
        .add(Dense::new(outputs).activation(head))
        .build(7)
        .unwrap()
}

fn config() -> FitConfig {
    FitConfig { epochs: 3, batch_size: 8, seed: 7, ..FitConfig::default() }
}

fn trained(data: &dyn Dataset) -> (Model, History) {
    let mut model = network(2);
    let history = Fit::new(data, &config()).validate(data).run(&mut model).unwrap();
    (model, history)
}

fn report(model: &Model, before: Option<&Model>, history: &History, data: &dyn Dataset) -> striate::Result<Report> {
    let run = Run {
        title: "a test",
        model,
        before,
        history,
        config: &config(),
        train: data,
        validation: Some(data),
        test: data,
        settings: &[],
        notes: &[],
    };
    Report::of(&run, &ReportConfig::default(), &mut |_, _, _| ControlFlow::Continue(()))
}

#[test]
fn each_accuracy_is_that_of_the_weights_it_names() {
    let data = dots(21);
    let (model, history) = trained(&data);
    let found = report(&model, None, &history, &data).unwrap();
    assert_eq!(found.epoch, Some(3));
    let last = history.last().unwrap();
    let [ran, again, validation, test] = &found.accuracies[..] else { panic!("{:?}", found.accuracies) };
    assert_eq!([ran, again, validation, test].map(|a| a.samples), [21; 4]);
    assert_eq!((ran.value(), validation.value()), (last.accuracy, last.val_accuracy.unwrap()));
    let own = model.evaluate(&data).unwrap();
    assert_eq!((again.value(), test.value(), test.loss), (own.accuracy(), own.accuracy(), own.loss));
    assert_eq!(test.interval(), own.confusion.accuracy_interval());

    // Weights of an earlier epoch, as early stopping leaves them: its numbers, not those of the last.
    let mut early = network(2);
    let once = FitConfig { epochs: 1, ..config() };
    Fit::new(&data, &once).run(&mut early).unwrap();
    let found = report(&early, None, &history, &data).unwrap();
    assert_eq!((found.epoch, found.accuracies[0].value()), (Some(1), history.epochs[0].accuracy));
    assert!(found.html().unwrap().contains("that of epoch 1: training went on to epoch 3"));

    let found = report(&network(2), None, &history, &data).unwrap();
    assert_eq!(found.epoch, None);
    assert!(found.html().unwrap().contains("that of no epoch in the table"));
}

#[test]
fn mistakes_are_all_there_and_the_surest_comes_first() {
    let data = dots(40);
    let (model, history) = trained(&data);
    let found = report(&model, None, &history, &data).unwrap();
    let evaluation = &found.test.evaluation;
    assert_eq!(found.test.mistakes.len() as u64, evaluation.confusion.total() - evaluation.confusion.correct());
    for m in &found.test.mistakes {
        let mut x = vec![0.0; 16];
        data.fill(m.index, &mut x).unwrap();
        let y = model.predict(&Tensor::new(&[1, 4, 4, 1], x).unwrap()).unwrap();
        assert_eq!((m.label as u32, m.predicted), (data.label(m.index), Some(usize::from(y[[0, 1]] > y[[0, 0]]))));
        assert_ne!(Some(m.label), m.predicted);
        assert!((m.confidence() - y[[0, m.predicted.unwrap()]]).abs() < 1e-6);
    }
    assert!(found.test.mistakes.windows(2).all(|w| w[0].confidence() >= w[1].confidence()));
    let right: Vec<usize> = found.test.right.iter().map(|e| e.label).collect();
    assert!(right.windows(2).all(|w| w[0] < w[1]) && !right.is_empty(), "one of each class: {right:?}");
}

#[test]
fn filters_are_those_of_the_seed_and_of_the_model() {
    let data = dots(20);
    let (model, history) = trained(&data);
    let before = network(2);
    let found = report(&model, Some(&before), &history, &data).unwrap().filters.unwrap();
    let (then, now) = (kernels(&before, None).unwrap(), kernels(&model, None).unwrap());
    let (tiles, _) = kernel_bitmaps(&[("then", &then), ("now", &now)], 0).unwrap();
    assert_eq!(found.before.unwrap(), mosaic(&tiles[0], 8).unwrap());
    assert_eq!(found.after, mosaic(&tiles[1], 8).unwrap());
    let moved: f64 = now.w.data().iter().zip(then.w.data()).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let size: f64 = then.w.data().iter().map(|v| f64::from(*v).powi(2)).sum();
    assert!((found.changes[0].share.unwrap() - (moved / size).sqrt()).abs() < 1e-12);
    let same = report(&model, Some(&model), &history, &data).unwrap().filters.unwrap();
    assert_eq!(same.changes[0].share, Some(0.0));
    let unknown = report(&model, None, &history, &data).unwrap();
    assert!(unknown.html().unwrap().contains("What they were before training is not known"));
}

#[test]
fn a_single_output_stands_for_two_classes() {
    let data = dots(20);
    let mut model = network(1);
    let config = FitConfig { loss: "binary_cross_entropy".parse().unwrap(), ..config() };
    let history = Fit::new(&data, &config).run(&mut model).unwrap();
    let run = Run {
        title: "one output",
        model: &model,
        before: None,
        history: &history,
        config: &config,
        train: &data,
        validation: None,
        test: &data,
        settings: &[],
        notes: &[],
    };
    let found = Report::of(&run, &ReportConfig::default(), &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(found.accuracies.len(), 3);
    for m in found.test.mistakes.iter().chain(&found.test.right) {
        assert!((m.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    let cams = found.cams.as_ref().unwrap();
    assert!(cams.examples.iter().all(|e| e.cams.len() == 1 && e.cams[0].class == 1));
    found.html().unwrap();
}

#[test]
fn bad_weights_are_told_and_not_hidden() {
    let data = dots(10);
    let (mut model, history) = trained(&data);
    let broken = Tensor::new(&[2], vec![f32::NAN, 0.0]).unwrap();
    let bias = model.params().iter().rev().find(|p| p.dims == [2]).unwrap().name.clone();
    model.set_param(&bias, &broken).unwrap();
    let found = report(&model, None, &history, &data).unwrap();
    assert!(found.test.mistakes.iter().all(|m| m.predicted.is_none()) && found.test.mistakes.len() == 10);
    assert!(found.cams.as_ref().unwrap_err().contains("no number"));
    let page = found.html().unwrap();
    assert!(page.contains("No answer") && page.contains("taken for no number"));
}

#[test]
fn a_report_can_be_stopped_and_needs_an_epoch() {
    // More than one batch, so that there is something left to stop.
    let data = dots(70);
    let (model, history) = trained(&data);
    let error = report(&model, None, &History::default(), &data).unwrap_err();
    assert!(error.message().contains("has not finished an epoch"));
    for part in ["training set", "test set", "pictures"] {
        let run = Run {
            title: "",
            model: &model,
            before: None,
            history: &history,
            config: &config(),
            train: &data,
            validation: None,
            test: &data,
            settings: &[],
            notes: &[],
        };
        let stop =
            &mut |what: &str, _, _| if what == part { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let error = Report::of(&run, &ReportConfig::default(), stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stopped, "{part}");
    }
}
