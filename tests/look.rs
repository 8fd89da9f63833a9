//! Feature maps, filters, units, deconvnet, inversion and maximisation: the numbers behind the pictures against plain
//! loops and definitions, the pictures as structure.

use std::ops::ControlFlow;

use striate::data::{Image, Preprocess};
use striate::inspect::{
    DeconvnetAsk, ExciteAsk, FeatureStyle, Goal, InvertConfig, MaximiseConfig, deconvnet, deconvnet_animation,
    deconvnet_sheet, feature_maps, features_animation, features_sheet, filter_images, filtered_sheet, filters_sheet,
    has_switches, invert, invert_animation, invert_sheet, invert_watched, kernel_layers, kernels, line_filters,
    map_layers, maximise, maximise_animation, maximise_sheet, most_exciting, stages, unit, unit_animation, unit_sheet,
    unit_words,
};
use striate::ops::{Activation, Conv2D, Dense, Flatten, Padding, Pool2D};
use striate::rng::Rng;
use striate::session::{Machine, Session};
use striate::visual::{Colour, Scene, Shape};
use striate::{Graph, Model, Sequential, Tensor, data, zoo};

mod pictures;

use pictures::assert_sound;

fn machine() -> Machine {
    Machine::default()
}

fn photo(name: &str) -> Image {
    Image::open(format!("{}/examples/photos/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn texts(picture: &striate::visual::Picture) -> Vec<String> {
    picture.scene().texts().map(|t| t.content().to_string()).collect()
}

/// Convolution as its formula says it, padded to the same size: one output in f64.
fn literal(image: &Image, w: &Tensor, [y, x, k]: [usize; 3]) -> f64 {
    let [h, width, c] = image.dims();
    let [kh, kw] = [w.dims()[0], w.dims()[1]];
    let mut sum = 0.0;
    for (i, j) in (0..kh).flat_map(|i| (0..kw).map(move |j| (i, j))) {
        let (sy, sx) = ((y + i).wrapping_sub(kh / 2), (x + j).wrapping_sub(kw / 2));
        if sy < h && sx < width {
            for channel in 0..c {
                let pixel = f64::from(f32::from(image.pixels()[(sy * width + sx) * c + channel]) / 255.0);
                sum += pixel * f64::from(w[[i, j, channel, k]]);
            }
        }
    }
    sum
}

/// E22: two photos as one batch, bytes / 255, two 7x7 line filters, stride 1, padded to the same size: every pixel.
#[test]
fn two_line_filters_on_two_photos_are_the_plain_loops_e22() {
    let images = [photo("china.jpg"), photo("flower.jpg")];
    assert_eq!(images[0].dims(), [427, 640, 3]);
    let w = line_filters(3);
    assert_eq!(w.dims(), [7, 7, 3, 2]);
    assert_eq!(w.data().iter().sum::<f32>(), 42.0);
    assert!((0..7).all(|i| w[[i, 3, 1, 0]] == 1.0 && w[[3, i, 2, 1]] == 1.0));
    let maps = filter_images(&images, &w, &machine()).unwrap();
    assert_eq!(maps.dims(), [2, 427, 640, 2]);
    for (n, image) in images.iter().enumerate() {
        for (y, x) in (0..427).flat_map(|y| (0..640).map(move |x| (y, x))) {
            for k in 0..2 {
                let (got, want) = (f64::from(maps[[n, y, x, k]]), literal(image, &w, [y, x, k]));
                // 21 ones: a few units in the last place of f32.
                assert!((got - want).abs() < 1e-5, "photo {n}, row {y}, column {x}, filter {k}: {got} and {want}");
            }
        }
    }
    let named = [("china.jpg".to_string(), images[0].clone()), ("flower.jpg".to_string(), images[1].clone())];
    let picture = filtered_sheet(&named, &["vertical line", "horizontal line"], &maps).unwrap();
    assert_sound(&picture);
    // Each photo, and its two maps with one grey for each pixel, black the smallest and white the largest number.
    let bitmaps: Vec<_> = picture
        .scene()
        .shapes()
        .iter()
        .filter_map(|s| if let Shape::Image(_, b) = s { Some(b) } else { None })
        .collect();
    assert_eq!(bitmaps.len(), 6);
    let of = |k: usize| (0..427 * 640).map(|i| maps.data()[i * 2 + k]).collect::<Vec<f32>>();
    let vertical = of(0);
    let (low, high) =
        (vertical.iter().copied().fold(f32::MAX, f32::min), vertical.iter().copied().fold(f32::MIN, f32::max));
    for (y, x) in [(0, 0), (200, 300), (426, 639), (100, 5)] {
        let grey = (255.0 * (vertical[y * 640 + x] - low) / (high - low)).round() as u8;
        assert_eq!(bitmaps[1].at(y, x), Colour(grey, grey, grey), "row {y}, column {x}");
    }
}

#[test]
fn feature_maps_are_the_layers_values_and_their_picture_names_them() {
    let model = Model::new(zoo::recipe("keras-mnist").unwrap().graph, 2).unwrap();
    let mut rng = Rng::new(1);
    let x: Vec<f32> = (0..784).map(|_| rng.uniform()).collect();
    let image = Image::new([28, 28, 1], x.iter().map(|v| (v * 255.0) as u8).collect()).unwrap();
    let layers = stages(model.graph()).unwrap();
    assert_eq!(layers, map_layers(model.graph()).unwrap());
    let maps = feature_maps(&model, &x, &layers, &machine()).unwrap();
    let mut session = Session::new(&model, machine()).unwrap();
    session.look(&x, 1).unwrap();
    for m in &maps {
        assert_eq!(m.maps.data(), session.value(&m.layer).unwrap().data(), "{}", m.layer);
        let last = m.channels() - 1;
        assert_eq!(m.channel(last)[1], m.maps[[0, 1, last]]);
    }
    for own_range in [false, true] {
        let style = FeatureStyle { channels: 6, own_range };
        let picture = features_sheet("keras-mnist", &image, &maps, &style).unwrap();
        assert_sound(&picture);
        let words = texts(&picture);
        assert!(layers.iter().all(|l| words.contains(l)), "{words:?}");
        let images = picture.scene().shapes().iter().filter(|s| matches!(s, Shape::Image(..))).count();
        assert_eq!(images, 1 + 6 * layers.len(), "the input and six maps of each layer");
        // The six whose values have the largest variance, in their order.
        let spread = |k: usize| {
            let values = maps[0].channel(k);
            let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
            values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64 - mean * mean
        };
        let mut best: Vec<usize> = (0..maps[0].channels()).collect();
        best.sort_by(|a, b| spread(*b).total_cmp(&spread(*a)));
        best[..6].sort_unstable();
        let start = words.iter().position(|w| w == "conv2d").unwrap() + 2;
        // Behind the fifth stand the numbers of the colour bar.
        let numbers = best[..5].iter().map(usize::to_string);
        assert!(numbers.eq(words[start..start + 5].iter().cloned()), "{:?} in {words:?}", &best[..6]);
        // The input alone, then a layer more in each frame, until all are there.
        let moving = features_animation("keras-mnist", &image, &maps, &style).unwrap();
        let images = |s: &Scene| s.shapes().iter().filter(|s| matches!(s, Shape::Image(..))).count();
        assert!(moving.frames().iter().map(images).eq((0..=layers.len()).map(|n| 1 + 6 * n)));
        assert_eq!(&moving.frames()[layers.len()], picture.scene());
    }
    let all =
        features_sheet("keras-mnist", &image, &maps[..1], &FeatureStyle { channels: 0, own_range: false }).unwrap();
    assert_eq!(all.scene().shapes().iter().filter(|s| matches!(s, Shape::Image(..))).count(), 33);
    let e = feature_maps(&model, &x, &["conv2d_9"], &machine()).unwrap_err();
    assert!(e.help().unwrap().starts_with("did you mean 'conv2d"), "{e}");
    let e = feature_maps(&model, &x, &["dense"], &machine()).unwrap_err();
    assert!(e.message().contains("no rows and columns") && e.help().unwrap().contains("conv2d_1"), "{e}");
    let flat = Sequential::new([2, 2, 1]).add(Flatten::new()).add(Dense::new(2)).build(0).unwrap();
    assert!(stages(flat.graph()).unwrap_err().message().contains("there are no maps"));
    let deep = stages(&zoo::recipe("resnet-18").unwrap().graph).unwrap();
    assert!((4..=12).contains(&deep.len()), "one layer for each size: {deep:?}");
}

#[test]
fn filters_are_drawn_weight_by_weight_before_and_after() {
    let before = Sequential::new([8, 8, 1]).add(Conv2D::new(3, 2)).add(Conv2D::new(2, 3)).build(0).unwrap();
    let mut after = before.clone();
    after.params_mut()[0].data.iter_mut().for_each(|w| *w *= -2.0);
    let (a, b) = (kernels(&before, None).unwrap(), kernels(&after, None).unwrap());
    assert_eq!((a.layer.as_str(), a.w.dims()), ("conv2d", &[2, 2, 1, 3][..]));
    assert_eq!(kernel_layers(&before), ["conv2d", "conv2d_1"]);
    let picture = filters_sheet("net", &[("before", &a), ("after", &b)], 0).unwrap();
    assert_sound(&picture);
    let bitmaps: Vec<_> = picture
        .scene()
        .shapes()
        .iter()
        .filter_map(|s| if let Shape::Image(_, b) = s { Some(b) } else { None })
        .collect();
    assert_eq!(bitmaps.len(), 6);
    let high = b.w.data().iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    for (k, (y, x)) in (0..3).flat_map(|k| [(0, 0), (0, 1), (1, 0), (1, 1)].map(|p| (k, p))) {
        for (set, kernels) in [&a, &b].into_iter().enumerate() {
            let place = f64::from(kernels.w[[y, x, 0, k]] / high) / 2.0 + 0.5;
            let want = striate::visual::ColourMap::SIGNED.at(place);
            assert_eq!(bitmaps[3 * set + k].at(y, x), want, "set {set}, kernel {k}");
        }
    }
    // Three input channels: a mosaic of 2 by 2 with a line between.
    let deep = kernels(&before, Some("conv2d_1")).unwrap();
    let picture = filters_sheet("net", &[("", &deep)], 1).unwrap();
    assert_sound(&picture);
    assert!(kernels(&before, Some("conv2d_2")).unwrap_err().help().unwrap().contains("did you mean"));
    let dense = Sequential::new([4]).add(Dense::new(2)).build(0).unwrap();
    assert!(kernels(&dense, None).unwrap_err().message().contains("no convolution"));
    assert!(kernels(&dense, Some("dense")).unwrap_err().message().contains("no filters"));
    assert!(filters_sheet("net", &[("a", &a), ("b", &deep)], 0).unwrap_err().message().contains("kernels of shape"));
}

fn grouped() -> Model {
    let mut g = Graph::new("grouped");
    let x = g.input([9, 9, 2]).unwrap();
    let first = Conv2D::new(4, 3).stride(2).padding(Padding::Same).activation(Activation::Relu);
    let a = g.add_named("first", first, &[x]).unwrap();
    let second = Conv2D::new(4, 3).groups(2).padding(Padding::Same).pad_value(0.25).activation(Activation::Tanh);
    let b = g.add_named("second", second, &[a]).unwrap();
    let p = g.add_named("pool", Pool2D::max(2), &[b]).unwrap();
    let f = g.add(Flatten::new(), &[p]).unwrap();
    g.add_named("end", Dense::new(3).activation(Activation::Softmax), &[f]).unwrap();
    let mut model = Model::new(g, 4).unwrap();
    let mut rng = Rng::new(8);
    model
        .params_mut()
        .iter_mut()
        .filter(|p| p.name.ends_with("bias"))
        .flat_map(|p| p.data.iter_mut())
        .for_each(|v| *v = rng.uniform());
    model
}

#[test]
fn a_units_products_add_up_to_what_the_engine_computed() {
    let model = grouped();
    let mut rng = Rng::new(3);
    let x: Vec<f32> = (0..162).map(|_| rng.normal() as f32).collect();
    let image = Image::new([9, 9, 1], vec![100; 81]).unwrap();
    let mut checked = 0;
    for (layer, c) in [("first", 4), ("second", 4), ("end", 3)] {
        let shape = model.graph().shape(model.graph().value(layer).unwrap());
        let [h, w] = if shape.rank() == 3 { [shape.dims()[0], shape.dims()[1]] } else { [1, 1] };
        for at in (0..h * w * c).map(|i| [i / c / w, i / c % w, i % c]) {
            let u = unit(&model, &x, layer, at, &machine()).unwrap();
            let sum = u.sum.as_ref().unwrap();
            let before = f64::from(u.before);
            assert!(
                (sum.sum + sum.bias - before).abs() < 1e-5,
                "{layer} {at:?}: {} + {} and {before}",
                sum.sum,
                sum.bias
            );
            let channels: f64 = (0..sum.x.dims()[2]).map(|c| sum.of_channel(c).1).sum();
            assert!((channels - sum.sum).abs() < 1e-9);
            if layer != "end" {
                assert!((u.activation.apply(before) - f64::from(u.value)).abs() < 1e-5);
                assert_eq!(sum.first_channel, if layer == "second" { at[2] / 2 * 2 } else { 0 });
            }
            // Nothing outside of what it sees has a gradient.
            for (i, g) in u.gradient.data().iter().enumerate() {
                let inside = u.patch.rows.contains(&(i / 2 / 9)) && u.patch.columns.contains(&(i / 2 % 9));
                assert!(inside || *g == 0.0, "{layer} {at:?}: gradient {g} at pixel {}", i / 2);
            }
            // The chain rule at the activation; a softmax mixes all values, so the dense layer is left out.
            if layer != "end" {
                let slope = u.activation.derivative(before) as f32;
                let pairs = u.gradient.data().iter().zip(u.gradient_before.data());
                assert!(pairs.into_iter().all(|(g, b)| (g - slope * b).abs() < 1e-5), "{layer} {at:?}");
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 203);
    let u = unit(&model, &x, "second", [0, 0, 3], &machine()).unwrap();
    // Above and before the first pixel stands the layer's own padding.
    let patch = &u.sum.as_ref().unwrap().x;
    assert!(patch[[0, 0, 0]] == 0.25 && patch[[2, 0, 1]] == 0.25 && u.class == "Conv2D");
    let picture = unit_sheet(&u, &image, &[]).unwrap();
    assert_sound(&picture);
    let words = texts(&picture);
    assert!(words.iter().any(|w| w == "x w: the products") && words.iter().any(|w| w.contains("+ bias")), "{words:?}");
    assert!(unit_words(&u).contains("sum of 18 products"), "{}", unit_words(&u));
    // The walk: patch, kernel, products, their sum, the bias, the activation, the gradient; each stays when it has come.
    let walk = unit_animation(&u, &image, &[]).unwrap();
    let first = |word: &str| {
        let at = walk.frames().iter().position(|f| f.texts().any(|t| t.content().starts_with(word)));
        at.unwrap_or_else(|| panic!("no '{word}'"))
    };
    let order = [
        "the image",
        "x: what it reads",
        "w: the kernel",
        "x w: the products",
        "sum of this",
        "all products",
        "+ bias",
    ];
    let mut at: Vec<usize> = order.map(first).to_vec();
    if u.activation != Activation::Linear {
        at.push(first(&format!("{}: ", u.activation)));
    }
    at.push(first("gradient to the image"));
    assert!(at.windows(2).all(|pair| pair[0] < pair[1]), "{at:?}");
    assert!(walk.frames().windows(2).all(|f| f[1].shapes().starts_with(f[0].shapes())));
    assert_eq!(walk.frames().last(), Some(picture.scene()));
    let pool = unit(&model, &x, "pool", [1, 0, 2], &machine()).unwrap();
    assert!(pool.sum.is_none() && pool.value == pool.before);
    assert_sound(&unit_sheet(&pool, &image, &[]).unwrap());
    let e = unit(&model, &x, "second", [5, 0, 0], &machine()).unwrap_err();
    assert!(e.help().unwrap().contains("rows are 0 to 4, columns 0 to 4, channels 0 to 3"), "{e}");
}

#[test]
fn the_images_that_excite_a_channel_are_those_with_its_largest_values() {
    let mnist = data::load("mnist").unwrap().first(10, 90);
    let model = Model::new(zoo::recipe("keras-mnist").unwrap().graph, 2).unwrap();
    let ask = ExciteAsk { layer: "conv2d_1", channel: 5, count: 4, limit: 70, machine: machine() };
    let found = most_exciting(&model, &*mnist.test, &ask).unwrap();
    let mut session = Session::new(&model, machine()).unwrap();
    let mut x = vec![0.0; 784];
    let mut all: Vec<(f32, usize)> = (0..70)
        .map(|i| {
            mnist.test.fill(i, &mut x).unwrap();
            session.look(&x, 1).unwrap();
            let values = session.value("conv2d_1").unwrap();
            (values.data().iter().skip(5).step_by(64).copied().fold(f32::MIN, f32::max), i)
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (e, (value, index)) in found.iter().zip(&all[..4]) {
        assert!(e.index == *index && (e.value - value).abs() < 1e-5, "{e:?}: {value} of image {index}");
    }
    assert_eq!(found.len(), 4);
    for e in &found {
        mnist.test.fill(e.index, &mut x).unwrap();
        let u = unit(&model, &x, "conv2d_1", [e.at[0], e.at[1], 5], &machine()).unwrap();
        assert!((u.value - e.value).abs() < 1e-5 && u.patch == e.patch);
        assert_eq!(e.class, mnist.test.label(e.index).to_string());
    }
    let first = unit(&model, &x, "conv2d_1", [found[0].at[0], found[0].at[1], 5], &machine()).unwrap();
    let shown: Vec<_> = found.iter().map(|e| (e.clone(), mnist.test.image(e.index).unwrap())).collect();
    let picture = unit_sheet(&first, &shown[0].1, &shown).unwrap();
    assert_sound(&picture);
    assert!(texts(&picture).contains(&format!("image {}", found[0].index)));
    let e = most_exciting(&model, &*mnist.test, &ExciteAsk { channel: 64, ..ask }).unwrap_err();
    assert!(e.message().contains("no channel 64"), "{e}");
}

// `tests/tape.rs` has the backward pass itself against plain loops.
#[test]
fn deconvnet_starts_from_the_strongest_units() {
    let model = grouped();
    let mut rng = Rng::new(5);
    let x: Vec<f32> = (0..162).map(|_| rng.normal() as f32).collect();
    let ask = DeconvnetAsk { layer: "first", channels: &[], count: 3, machine: machine() };
    let all = deconvnet(&model, &x, &ask).unwrap();
    let maps = feature_maps(&model, &x, &["first"], &machine()).unwrap();
    let largest = |c: usize| maps[0].channel(c).iter().copied().fold(f32::MIN, f32::max);
    let mut order: Vec<usize> = (0..4).collect();
    order.sort_by(|a, b| largest(*b).total_cmp(&largest(*a)));
    assert_eq!(all.iter().map(|r| r.channel).collect::<Vec<_>>(), order[..all.len()]);
    for r in &all {
        assert!((r.value - largest(r.channel)).abs() < 1e-5);
        assert!((maps[0].maps[[r.at[0], r.at[1], r.channel]] - r.value).abs() < 1e-5);
        // From the first layer, what comes back is the kernel times the value.
        let w = &model.params()[0].data;
        for (ky, kx, c) in (0..3).flat_map(|y| (0..3).flat_map(move |x| (0..2).map(move |c| (y, x, c)))) {
            let (y, x) = ((2 * r.at[0] + ky).wrapping_sub(1), (2 * r.at[1] + kx).wrapping_sub(1));
            if y < 9 && x < 9 {
                let want = r.value * w[((ky * 3 + kx) * 2 + c) * 4 + r.channel];
                assert!((r.pixels[[y, x, c]] - want).abs() < 1e-5, "{} and {want}", r.pixels[[y, x, c]]);
            }
        }
    }
    let image = Image::new([9, 9, 3], (0..243).map(|i| i as u8).collect()).unwrap();
    let picture = deconvnet_sheet("first", &image, &all).unwrap();
    assert_sound(&picture);
    assert!(texts(&picture).contains(&format!("channel {}", all[0].channel)));
    let moving = deconvnet_animation("first", &image, &all).unwrap();
    assert_eq!((moving.frames().len(), moving.frames().last()), (2 + 2 * all.len(), Some(picture.scene())));
    // No pool lies before the first layer, one before the last.
    let pools = model.graph().nodes().iter().any(|n| n.name == "pool");
    assert!(pools && !has_switches(model.graph(), "first").unwrap() && has_switches(model.graph(), "end").unwrap());
    let named = deconvnet(&model, &x, &DeconvnetAsk { channels: &[order[1]], ..ask.clone() }).unwrap();
    assert_eq!(named[0], all[1]);
    let fails = |ask: DeconvnetAsk<'_>| deconvnet(&model, &x, &ask).unwrap_err();
    assert!(fails(DeconvnetAsk { channels: &[4], ..ask.clone() }).help().unwrap().contains("channels are 0 to 3"));
    assert!(fails(DeconvnetAsk { layer: "end", ..ask.clone() }).message().contains("no rows and columns"));
    assert!(fails(DeconvnetAsk { layer: "frist", ..ask }).help().unwrap().contains("'first'"));
}

#[test]
fn inversion_restores_more_from_a_layer_that_keeps_more() {
    let mut g = Graph::new("net");
    let x = g.input([16, 16, 1]).unwrap();
    let a = g.add_named("all", Conv2D::new(8, 3).padding(Padding::Same), &[x]).unwrap();
    let b = g.add_named("half", Conv2D::new(8, 3).padding(Padding::Same).activation(Activation::Relu), &[a]).unwrap();
    let p = g.add_named("small", Pool2D::max(8), &[b]).unwrap();
    let f = g.add(Flatten::new(), &[p]).unwrap();
    g.add_named("end", Dense::new(2), &[f]).unwrap();
    let model = Model::new(g, 1).unwrap();
    let mnist = data::load("mnist").unwrap().first(1, 1);
    let image = mnist.train.image(0).unwrap().resized(16, 16).unwrap();
    let x = Preprocess::new([16, 16, 1]).unwrap().apply(&image).unwrap();
    let config = InvertConfig { steps: 150, smooth: 0.0, ..InvertConfig::default() };
    let found: Vec<_> = ["all", "half", "end"].iter().map(|l| invert(&model, &x, l, &config).unwrap()).collect();
    for i in &found {
        assert!(i.error < 0.2 * i.start, "{}: {} of {}", i.layer, i.error, i.start);
    }
    // Eight numbers for each pixel determine it; two numbers for all of them do not.
    let [all, half, end] = [0, 1, 2].map(|i| found[i].correlation);
    assert!(all > 0.99 && half > end && end < 0.7, "{all} {half} {end}");
    // The error is that of the layer's values for the image that is given back, rounded to bytes.
    let mut session = Session::new(&model, machine()).unwrap();
    let mut values = |x: &[f32]| {
        session.look(x, 1).unwrap();
        session.value("all").unwrap().into_data()
    };
    let back: Vec<f32> = found[0].image.pixels().iter().map(|b| f32::from(*b) / 255.0).collect();
    let (goal, got) = (values(&x), values(&back));
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let error = norm(&mut goal.iter().zip(&got).map(|(a, b)| a - b)) / norm(&mut goal.iter().copied());
    assert!((error - found[0].error).abs() < 0.01, "{error} and {}", found[0].error);
    let picture = invert_sheet("net", &image, &found).unwrap();
    assert_sound(&picture);
    for i in &found {
        let steps: Vec<usize> = i.moments.iter().map(|m| m.step).collect();
        assert_eq!(steps, [0, 1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63, 94, 141, 150]);
        assert_eq!((i.moments[0].value, i.moments[14].value), (i.start, i.error));
        assert!(i.moments[14].image == i.image && i.moments[7].value < i.start);
    }
    let moving = invert_animation("net", &image, &found).unwrap();
    assert_eq!((moving.frames().len(), moving.frames().last()), (15, Some(picture.scene())));
    assert_eq!(moving.frames()[5].texts().filter(|t| t.content() == "after 6 steps").count(), 3);
    // Whoever watches can end it, and keeps what was done.
    let mut watch = |done: usize| if done == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let early = invert_watched(&model, &x, "all", &config, &mut watch).unwrap();
    assert_eq!(early.moments.last().map(|m| (m.step, m.value)), Some((5, early.error)));
    assert_eq!(early.moments[..5], found[0].moments[..5]);
    assert!(invert(&model, &x, "al", &config).unwrap_err().help().unwrap().contains("'all'"));
    assert!(invert(&model, &x, "all", &InvertConfig { steps: 0, ..config.clone() }).is_err());
    assert!(invert(&model, &x, "all", &InvertConfig { levels: vec![[0.0, 1.0]; 3], ..config }).is_err());
}

#[test]
fn maximisation_finds_the_known_best_image() {
    // Channel 1 of a 1x1 convolution with weights 1, -1 and 1: white where the weight is above 0, black where below.
    let mut model =
        Sequential::new([12, 12, 3]).add(Conv2D::new(2, 1)).add(Flatten::new()).add(Dense::new(4)).build(0).unwrap();
    let w = Tensor::new(&[1, 1, 3, 2], vec![0.0, 1.0, 0.0, -1.0, 0.0, 1.0]).unwrap();
    model.set_param("conv2d/kernel", &w).unwrap();
    let config = MaximiseConfig { steps: 60, ..MaximiseConfig::default() };
    let goal = Goal::Channel { layer: "conv2d".into(), channel: 1 };
    let best = maximise(&model, &goal, &config).unwrap();
    assert!(
        best.image.pixels().chunks(3).all(|p| p[0] > 250 && p[1] < 5 && p[2] > 250),
        "{:?}",
        &best.image.pixels()[..12]
    );
    assert!((best.value - 2.0).abs() < 0.05 && (best.start - 0.5).abs() < 0.05, "{} to {}", best.start, best.value);
    let class = maximise(&model, &Goal::Class(2), &config).unwrap();
    let value = |image: &Image| {
        let x: Vec<f32> = image.pixels().iter().map(|b| f32::from(*b) / 255.0).collect();
        model.predict(&Tensor::new(&[12, 12, 3], x).unwrap()).unwrap().data()[2]
    };
    assert!(class.value > class.start && (value(&class.image) - class.value).abs() < 0.05 * class.value.abs());
    let again = maximise(&model, &Goal::Class(2), &config).unwrap();
    assert_eq!(again.image, class.image, "the same seed, the same image");
    for found in [&best, &class] {
        let (first, last) = (found.moments.first().unwrap(), found.moments.last().unwrap());
        assert_eq!((first.value as f32, last.value as f32, &last.image), (found.start, found.value, &found.image));
        assert_eq!((first.step, last.step, found.moments.len()), (0, 60, 12));
    }
    let all = [("channel 1".into(), best), ("class 2".into(), class)];
    let picture = maximise_sheet("net", &all).unwrap();
    assert_sound(&picture);
    let moving = maximise_animation("net", &all).unwrap();
    assert_eq!((moving.frames().len(), moving.frames().last()), (12, Some(picture.scene())));
    let fails = |goal: Goal| maximise(&model, &goal, &config).unwrap_err();
    assert!(fails(Goal::Class(4)).help().unwrap().contains("0 to 3"));
    assert!(fails(Goal::Channel { layer: "conv2d".into(), channel: 2 }).message().contains("no channel 2"));
    assert!(fails(Goal::Channel { layer: "conv".into(), channel: 0 }).help().unwrap().contains("'conv2d'"));
}
