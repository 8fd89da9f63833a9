//! What every picture must keep, whatever it shows: a sound SVG, a PNG of the
//! right size, labels inside the page that do not touch, and the same bytes twice.

use proptest::prelude::*;

use super::*;

/// A picture keeps what every picture must.
pub(crate) fn assert_sound(picture: &Picture) {
    assert_numbers_are_finite(picture.scene());
    assert_labels_are_apart(picture.scene());
    assert_svg_is_sound(picture);
    assert_png_is_sound(picture);
}

fn coordinates(shape: &Shape) -> Vec<f64> {
    let rect = |r: &Rect| vec![r.x, r.y, r.w, r.h];
    match shape {
        Shape::Fill(r, _) | Shape::Outline(r, _) | Shape::Image(r, _) => rect(r),
        Shape::Line(points, _) | Shape::Polygon(points, _) => points.iter().flat_map(|p| [p.0, p.1]).collect(),
        Shape::Circle(centre, radius, ..) => vec![centre.0, centre.1, *radius],
        Shape::Text(text) => rect(&text.bounds()),
    }
}

fn assert_numbers_are_finite(scene: &Scene) {
    for shape in scene.shapes() {
        assert!(coordinates(shape).iter().all(|v| v.is_finite()), "{shape:?}");
    }
}

fn assert_labels_are_apart(scene: &Scene) {
    let boxes: Vec<(&str, Rect)> = scene.texts().map(|t| (t.content(), t.bounds())).collect();
    for (i, (text, bounds)) in boxes.iter().enumerate() {
        assert!(scene.page().holds(bounds), "'{text}' at {bounds:?} leaves the page {:?}", scene.page());
        for (other, near) in &boxes[i + 1..] {
            assert!(!bounds.overlaps(near), "'{text}' at {bounds:?} lies on '{other}' at {near:?}");
        }
    }
}

fn assert_svg_is_sound(picture: &Picture) {
    let svg = picture.svg();
    let tree = roxmltree::Document::parse(&svg).expect("well-formed XML");
    let root = tree.root_element();
    assert_eq!(root.attribute("role"), Some("img"));
    for name in ["title", "desc"] {
        assert!(root.children().any(|n| n.has_tag_name(("http://www.w3.org/2000/svg", name))), "{name}");
    }
    let texts = tree.descendants().filter(|n| n.tag_name().name() == "text").map(|n| n.text().unwrap_or(""));
    assert!(texts.eq(picture.scene().texts().map(Text::content)), "the SVG has the scene's texts");
    assert!(!svg.contains("NaN\"") && !svg.contains("inf\""));
    assert_eq!(svg, picture.svg());
}

fn decode(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size that fits")];
    let info = reader.next_frame(&mut pixels).expect("sound data");
    (info.width, info.height, pixels)
}

fn assert_png_is_sound(picture: &Picture) {
    let bytes = picture.png().unwrap();
    let (w, h, pixels) = decode(&bytes);
    let page = picture.scene().page();
    assert_eq!((f64::from(w), f64::from(h)), ((page.w * PNG_SCALE).round(), (page.h * PNG_SCALE).round()));
    assert!(pixels.chunks_exact(3).any(|p| p[0] < 64), "something dark is drawn");
    let last = pixels.len() - 3;
    assert_eq!((&pixels[..3], &pixels[last..]), (&[255; 3][..], &[255; 3][..]), "the corners are page");
    assert_eq!(bytes, picture.png().unwrap());
}

fn falling(count: usize) -> Vec<f64> {
    (1..=count).map(|i| 2.3 / i as f64).collect()
}

fn accuracy(loss: &[f64]) -> Vec<f64> {
    loss.iter().map(|l| 1.0 - l / 3.0).collect()
}

fn texts(picture: &Picture) -> Vec<&str> {
    picture.scene().texts().map(Text::content).collect()
}

/// The number of points of each line in the colour of series `colour`.
fn lines(picture: &Picture, colour: usize) -> Vec<usize> {
    let of = |shape: &Shape| match shape {
        Shape::Line(points, stroke) if stroke.paint == Paint::Series(colour) && stroke.width >= 1.0 => {
            Some(points.len())
        }
        _ => None,
    };
    picture.scene().shapes().iter().filter_map(of).collect()
}

#[test]
fn training_curves_show_every_epoch_of_both_lines() {
    let (train, test) = (falling(7), falling(7).iter().map(|l| l + 0.1).collect::<Vec<_>>());
    let (train_accuracy, test_accuracy) = (accuracy(&train), accuracy(&test));
    let curves = TrainingCurves {
        title: "A run",
        subtitle: "its settings",
        train_loss: &train,
        train_accuracy: &train_accuracy,
        test_loss: Some(&test),
        test_accuracy: Some(&test_accuracy),
        ..TrainingCurves::default()
    };
    let picture = training_curves(&curves).unwrap();
    assert_sound(&picture);
    // In each of two panels: the line, and its sample of two points beside the name.
    for colour in [0, 1] {
        assert_eq!(lines(&picture, colour), [7, 2, 7, 2]);
    }
    let words = texts(&picture);
    for wanted in ["A run", "its settings", "Loss", "Accuracy", "training", "test", "best 0.4286 at epoch 7"] {
        assert!(words.contains(&wanted), "{wanted} in {words:?}");
    }
}

#[test]
fn training_curves_take_one_epoch_updates_and_a_log_scale() {
    let (loss, steps) = (falling(1), falling(600));
    let curves = TrainingCurves {
        title: "One epoch",
        train_loss: &loss,
        train_accuracy: &[0.5],
        step_loss: Some(&steps),
        loss_scale: Scale::Log,
        ..TrainingCurves::default()
    };
    let picture = training_curves(&curves).unwrap();
    assert_sound(&picture);
    assert!(lines(&picture, 0)[0] > 300, "{:?}", lines(&picture, 0));
}

#[test]
fn training_curves_refuse_what_does_not_fit() {
    let error = training_curves(&TrainingCurves::default()).unwrap_err();
    assert!(error.to_string().contains("without an epoch"));
    let error = training_curves(&TrainingCurves {
        train_loss: &[1.0, 0.5],
        train_accuracy: &[0.5],
        ..TrainingCurves::default()
    });
    assert!(error.unwrap_err().to_string().contains("1 values for 2 epochs"));
}

/// E4: the loss falls with the updates; ten thousand of them stay legible and small.
#[test]
fn e4_loss_curve_of_ten_thousand_updates_is_thinned_and_smoothed() {
    let mut loss: Vec<f64> = falling(10_000);
    loss[5_000] = 9.0;
    for scale in [Scale::Linear, Scale::Log] {
        let picture = loss_curve(&LossCurve { title: "Loss", loss: &loss, scale, ..LossCurve::default() }).unwrap();
        assert_sound(&picture);
        let raw = lines(&picture, 0)[0];
        assert!((500..4_000).contains(&raw), "{raw} points are drawn");
        assert!(texts(&picture).contains(&"mean of 101 updates"));
        let highest = picture.scene().shapes().iter().flat_map(|s| match s {
            Shape::Line(points, stroke) if stroke.opacity == 0.35 => points.clone(),
            _ => Vec::new(),
        });
        let (x, _) = highest.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert!((x - picture.scene().page().w * 0.4).abs() < 60.0, "the spike in the middle is kept, at {x}");
        assert!(picture.svg().len() < 100_000);
    }
}

#[test]
fn gaps_are_drawn_as_gaps_and_said() {
    let values = [1.0, 0.5, f64::NAN, 0.25, f64::INFINITY, 0.2, 0.1];
    let chart =
        LineChart { title: "Gaps".into(), series: vec![Series::counted("run", &values)], ..LineChart::default() };
    let picture = chart.picture().unwrap();
    assert_sound(&picture);
    assert_eq!(lines(&picture, 0), [2, 2, 2]);
    assert!(texts(&picture).contains(&"run: 2 of 7 points are NaN or infinite and left out"));
}

#[test]
fn log_scale_says_what_it_cannot_show() {
    let chart = LineChart {
        y: AxisStyle::new("loss").scale(Scale::Log),
        series: vec![Series::counted("run", &[0.0, -1.0, 0.5, 0.1])],
        ..LineChart::default()
    };
    let picture = chart.picture().unwrap();
    assert_sound(&picture);
    assert!(texts(&picture).contains(&"run: 2 of 4 points are NaN, infinite or not positive and left out"));
}

#[test]
fn constant_single_and_absent_values_still_make_a_chart() {
    for values in [&[0.0][..], &[0.3; 5], &[-7.0; 2], &[f64::NAN; 3], &[1e12, 1e12 + 1.0]] {
        for scale in [Scale::Linear, Scale::Log] {
            let y = AxisStyle::new("value").scale(scale);
            let series = vec![Series::counted("run", values).best(Best::Lowest)];
            assert_sound(&LineChart { title: "Edge".into(), y, series, ..LineChart::default() }.picture().unwrap());
        }
    }
}

#[test]
fn many_long_names_go_above_the_plot_and_are_counted() {
    let series = |i: usize| Series::counted(format!("a rather long name of run number {i}"), &falling(9)).colour(i);
    let chart = LineChart {
        title: "Many runs of the same network with a title that is far too long for a picture of this width".into(),
        series: (0..30).map(series).collect(),
        width: 480.0,
        ..LineChart::default()
    };
    let picture = chart.picture().unwrap();
    assert_sound(&picture);
    assert!(texts(&picture).iter().any(|t| t.starts_with("and 2") && t.ends_with(" more")), "{:?}", texts(&picture));
}

#[test]
fn charts_refuse_what_cannot_be_drawn() {
    let none = LineChart { title: "Empty".into(), ..LineChart::default() };
    assert!(none.picture().unwrap_err().to_string().contains("has no series"));
    let with = |points| LineChart { series: vec![Series::new("s", points)], ..LineChart::default() };
    assert!(with(vec![]).picture().unwrap_err().to_string().contains("no points"));
    assert!(with(vec![(2.0, 0.0), (1.0, 0.0)]).picture().unwrap_err().to_string().contains("goes back"));
    let small = LineChart { width: 100.0, ..with(vec![(1.0, 1.0)]) };
    assert!(small.picture().unwrap_err().to_string().contains("no room"));
    assert!(LineChart { height: f64::NAN, ..with(vec![(1.0, 1.0)]) }.picture().is_err());
}

#[test]
fn text_is_shown_as_it_is_and_cannot_break_the_svg() {
    let name = "<b> & \"quotes\" \u{1} 고양이";
    let chart =
        LineChart { title: name.into(), series: vec![Series::counted(name, &falling(3))], ..LineChart::default() };
    assert_sound(&chart.picture().unwrap());
}

#[test]
fn confusion_matrix_has_true_classes_in_rows_from_the_top() {
    let labels = ["cat", "dog"];
    let matrix =
        Confusion { title: "Pets", labels: &labels, counts: &[12_000, 500, 321, 11_000], ..Confusion::default() };
    let picture = confusion(&matrix).unwrap();
    assert_sound(&picture);
    let place = |wanted: &str| {
        let text = picture.scene().texts().find(|t| t.content() == wanted).unwrap_or_else(|| panic!("{wanted}"));
        (text.bounds().x, text.bounds().y)
    };
    let (cat_as_dog, dog_as_cat) = (place("500"), place("321"));
    assert!(cat_as_dog.0 > dog_as_cat.0 && cat_as_dog.1 < dog_as_cat.1);
    assert!(texts(&picture).contains(&"23,000 of 23,821 samples right: 96.55 %"));
}

#[test]
fn confusion_matrices_of_any_size_are_legible() {
    for classes in [1, 3, 10, 26, 100] {
        for name in ["", "a class with a long name that goes on and on"] {
            let labels: Vec<String> = (0..classes).map(|i| format!("{i}{name}")).collect();
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let counts: Vec<u64> = (0..classes * classes).map(|i| if i % 3 == 0 { 0 } else { i as u64 }).collect();
            let matrix = Confusion { title: "Classes", labels: &labels, counts: &counts, ..Confusion::default() };
            assert_sound(&confusion(&matrix).unwrap());
        }
    }
}

#[test]
fn confusion_takes_no_sample_and_the_largest_counts_but_no_other_shape() {
    for counts in [[0; 4], [u64::MAX; 4]] {
        let matrix = Confusion { title: "Ends", labels: &["a", "b"], counts: &counts, ..Confusion::default() };
        assert_sound(&confusion(&matrix).unwrap());
    }
    let error = confusion(&Confusion { labels: &["a", "b"], counts: &[1, 2, 3], ..Confusion::default() });
    assert!(error.unwrap_err().to_string().contains("2 classes have 4 counts"));
    assert!(confusion(&Confusion::default()).is_err());
}

#[test]
fn on_a_phone_a_dot_plot_has_its_words_over_the_rows() {
    let row = |name: &str, mean: f64, (low, high)| DotRow {
        name: name.into(),
        mean,
        interval: Some((low, high)),
        note: format!("{:.2} %", 100.0 * mean),
        ..DotRow::default()
    };
    let plot =
        |rows: Vec<DotRow>| DotPlot { title: String::new(), subtitle: String::new(), width: 300.0, ..dot_plot(rows) };
    let rows = vec![row("training, as it ran", 0.993, (0.9923, 0.9937)), row("test", 0.9914, (0.9894, 0.993))];
    let picture = plot(rows).picture().unwrap();
    assert_sound(&picture);
    let words = texts(&picture);
    assert!(words.contains(&"99.30 %") && words.contains(&"99.14 %"), "{words:?}");
    assert!(!words.contains(&"mean; p against the best"), "there is no column to head: {words:?}");
    let svg = picture.svg();
    assert!(svg.contains("test: 99.14 %, interval 98.94 % to 99.30 %") && svg.contains(">Test accuracy</title>"));
    let long = "a name that is far longer than there is room for on a line of this picture";
    for (value, ends) in [(0.0, (0.0, 0.3)), (1.0, (1.0, 1.0)), (0.5, (0.0, 1.0))] {
        let with_values = DotRow { values: vec![0.1, 0.9], note: long.into(), ..row(long, value, ends) };
        assert_sound(&plot(vec![with_values, row(long, value, ends)]).picture().unwrap());
    }
    let names = texts(&plot(vec![row("name", 0.5, (0.4, 0.6))]).picture().unwrap()).len();
    assert!(names > 3 && plot(Vec::new()).picture().is_err());
    let refused = DotPlot { width: 100.0, ..plot(vec![row("name", 0.5, (0.4, 0.6))]) }.picture();
    assert!(refused.unwrap_err().to_string().contains("no room"));
}

#[test]
fn an_svg_for_a_page_has_ids_of_its_own_and_takes_the_colours_of_the_page() {
    let picture = training_curves(&TrainingCurves {
        title: "A <run>",
        train_loss: &falling(3),
        train_accuracy: &accuracy(&falling(3)),
        ..TrainingCurves::default()
    })
    .unwrap();
    let svg = picture.inline_svg("curves");
    let tree = roxmltree::Document::parse(&svg).expect("well-formed");
    let ids: Vec<&str> = tree.descendants().filter_map(|n| n.attribute("id")).collect();
    assert_eq!(ids, ["curves-title", "curves-desc"]);
    assert!(tree.descendants().all(|n| n.tag_name().name() != "style"));
    let rules = theme(&[ColourMap::SIGNED]);
    let classes: Vec<&str> =
        tree.descendants().filter_map(|n| n.attribute("class")).flat_map(str::split_whitespace).collect();
    assert!(classes.len() > 10 && classes.iter().all(|c| rules.contains(&format!(".{c}{{"))), "{classes:?}");
    assert!(rules.contains(&format!("--ink:{};", Paint::Ink.dark())));
}

#[test]
fn image_grid_shows_sharp_pixels_in_order() {
    let (black, white) = ([0_u8; 3], [200_u8, 10, 20]);
    let pixels = [black, white, white, black].concat();
    let cell = Cell { pixels: &pixels, height: 2, width: 2, channels: 3, label: "true 3\npredicted 5" };
    let grid = ImageGrid { title: "Squares", cells: &[cell; 7], columns: 3, side: 100.0, ..ImageGrid::default() };
    let picture = image_grid(&grid).unwrap();
    assert_sound(&picture);
    let images = picture.scene().shapes().iter().filter(|s| matches!(s, Shape::Image(..))).count();
    assert_eq!(images, 7);
    let first = picture.scene().shapes().iter().find_map(|s| match s {
        Shape::Image(rect, _) => Some(*rect),
        _ => None,
    });
    let rect = first.unwrap();
    let (w, _, raster) = decode(&picture.png().unwrap());
    let at = |x: f64, y: f64| {
        let (x, y) = ((rect.x + x) * PNG_SCALE, (rect.y + y) * PNG_SCALE);
        raster[3 * (y as usize * w as usize + x as usize)..][..3].to_vec()
    };
    // Just beside the edge between two pixels nothing is blended.
    assert_eq!((at(48.0, 10.0), at(52.0, 10.0), at(48.0, 60.0)), (black.to_vec(), white.to_vec(), white.to_vec()));
}

#[test]
fn image_grid_refuses_pixels_that_do_not_fit() {
    let cell = Cell { pixels: &[0; 5], height: 2, width: 2, channels: 1, label: "" };
    let error = image_grid(&ImageGrid { cells: &[cell], ..ImageGrid::default() }).unwrap_err();
    assert!(error.to_string().starts_with("image 0: 5 bytes do not make 2 x 2"), "{error}");
    assert!(image_grid(&ImageGrid::default()).is_err());
}

#[test]
fn save_goes_by_the_ending() {
    let picture = loss_curve(&LossCurve { title: "Loss", loss: &falling(4), ..LossCurve::default() }).unwrap();
    let folder = std::env::temp_dir().join(format!("striate-visual-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    picture.save(folder.join("a.svg")).unwrap();
    picture.save(folder.join("a.PNG")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("a.svg")).unwrap(), picture.svg());
    assert_eq!(std::fs::read(folder.join("a.PNG")).unwrap(), picture.png().unwrap());
    assert!(picture.save(folder.join("a.gif")).unwrap_err().to_string().contains(".svg or .png"));
    assert!(picture.save(folder.join("no/such/a.svg")).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn colour_bar_and_scene_stand_alone() {
    let marks = vec![(0.0, "−1".to_string()), (0.5, "0".to_string()), (1.0, "1".to_string())];
    let bar = ColourBar { map: ColourMap::SIGNED, marks, label: "weight".into() };
    let mut scene = Scene::new(120.0, 160.0, "A bar", "");
    bar.draw(&mut scene, Rect::new(20.0, 20.0, ColourBar::THICKNESS, 120.0));
    assert_sound(&Picture::new(scene));
}

#[test]
fn a_picture_without_pixels_or_with_too_many_is_refused() {
    for (side, scale) in [(0.0, 1.0), (10.0, 0.0), (10.0, -1.0), (f64::NAN, 1.0), (1e6, 1.0), (10.0, f64::INFINITY)] {
        assert!(Scene::new(side, side, "t", "").to_png(scale).is_err(), "{side} x {scale}");
    }
}

fn value() -> impl Strategy<Value = f64> {
    let special =
        prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 0.0, -0.0]);
    prop_oneof![6 => -5.0..5.0_f64, 2 => any::<f64>(), 1 => special]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_series_makes_a_sound_chart(
        values in prop::collection::vec(prop::collection::vec(value(), 1..60), 1..6),
        log: bool,
        unit in 0..3_usize,
        size in (300.0..1200.0_f64, 260.0..700.0_f64),
        line in 0..4_usize,
        name in "\\PC{0,30}",
    ) {
        let line = [Line::Solid, Line::Dashed, Line::Dotted, Line::Faint][line];
        let series = |(i, v): (usize, &Vec<f64>)| Series::counted(format!("{name} {i}"), v).colour(i).line(line).best(Best::Lowest);
        let chart = LineChart {
            title: name.clone(),
            x: AxisStyle::new("Epoch").unit(Unit::Whole),
            y: AxisStyle::new("Value").scale(if log { Scale::Log } else { Scale::Linear }).unit([Unit::Plain, Unit::Whole, Unit::Percent][unit]),
            series: values.iter().enumerate().map(series).collect(),
            width: size.0.round(),
            height: size.1.round(),
            ..LineChart::default()
        };
        assert_sound(&chart.picture().unwrap());
    }
}

fn ramp(h: usize, w: usize) -> Bitmap {
    Bitmap::new([h, w, 1], &(0..h * w).map(|i| (i * 255 / (h * w)) as u8).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_sheet_keeps_texts_apart_and_breaks_lines_evenly() {
    let long = "a title that is a good deal longer than the image under it";
    let bar = Range { low: -2.0, high: 3.5, map: ColourMap::SIGNED }.bar("what the colours measure");
    let panel = |i: usize| {
        let panel = Panel::new(ramp(3 + i % 3, 4), 60.0 + 10.0 * (i % 4) as f64).title(long).caption(long).caption("b");
        Item::Image(match i % 5 {
            0 => panel.bar(bar.clone()),
            1 => panel.mark([0.0, 1.0, 2.0, 2.0], Paint::Series(1)),
            2 => panel.square(),
            _ => panel,
        })
    };
    let chart = LineChart {
        title: "a chart".into(),
        series: vec![Series::counted("falls", &falling(8))],
        width: 430.0,
        height: 230.0,
        ..LineChart::default()
    };
    let numbers = Panel::new(ramp(3, 3), 180.0).numbers((0..9).map(|i| format!("{i}.25")).collect());
    let tiny = Panel::new(ramp(9, 9), 60.0).numbers(vec!["-0.000123".into(); 81]);
    let words = Item::Words(vec![long.into(), long.repeat(9)], 200.0);
    let sections = vec![
        Section { heading: long.into(), note: long.repeat(4), items: (0..23).map(panel).collect() },
        Section {
            heading: String::new(),
            note: String::new(),
            items: vec![Item::Image(numbers), Item::Image(tiny), words],
        },
        Section {
            heading: "charts".into(),
            note: String::new(),
            items: vec![Item::Chart(chart.clone()), Item::Chart(chart)],
        },
    ];
    let picture =
        Sheet { title: "A sheet".into(), subtitle: long.repeat(5), sections, ..Sheet::default() }.picture().unwrap();
    assert_sound(&picture);
    let words = texts(&picture);
    assert!((0..9).all(|i| words.contains(&format!("{i}.25").as_str())), "{words:?}");
    assert!(!words.contains(&"-0.000123"), "numbers without room are left out");
    // Sixteen alike, of which ten fit on a line, stand eight and eight.
    let alike = (0..16).map(|_| Item::Image(Panel::new(ramp(2, 2), 84.0))).collect();
    let section = Section { items: alike, ..Section::default() };
    let picture = Sheet { sections: vec![section], ..Sheet::default() }.picture().unwrap();
    let tops =
        picture.scene().shapes().iter().filter_map(|s| if let Shape::Image(r, _) = s { Some(r.y) } else { None });
    let tops: Vec<f64> = tops.collect();
    assert_eq!(tops.iter().filter(|y| **y == tops[0]).count(), 8, "{tops:?}");
    let refused = |sheet: Sheet| sheet.picture().unwrap_err().to_string();
    assert!(refused(Sheet::default()).contains("shows nothing"));
    let huge = Section { items: vec![Item::Image(Panel::new(ramp(2, 2), 1e9))], ..Section::default() };
    assert!(refused(Sheet { sections: vec![huge], ..Sheet::default() }).contains("cannot be shown"));
}

fn multiples(n: usize, points: usize) -> Multiples {
    let panel = |i: usize| Multiple {
        title: format!("optimiser {i}"),
        note: "rate 0.001, 0.123 at the end".into(),
        line: (1..=points).map(|x| (x as f64, (i + 1) as f64 / x as f64)).collect(),
        band: (1..=points).map(|x| (x as f64, 0.8 / x as f64, (i + 2) as f64 / x as f64)).collect(),
        broken: if i == 2 { vec![vec![(1.0, 1.0), (2.0, 1e30), (1e9, f64::INFINITY)]] } else { Vec::new() },
        mark: Some((1.0, (i + 1) as f64)),
        colour: i,
    };
    Multiples {
        title: "Many".into(),
        subtitle: "one panel each".into(),
        x: AxisStyle::new("Update").unit(Unit::Whole),
        y: AxisStyle::new("Loss").scale(Scale::Log),
        panels: (0..n).map(panel).collect(),
        dots: points < 10,
    }
}

#[test]
fn multiples_give_each_its_line_and_the_others_behind_it() {
    let picture = multiples(3, 20).picture().unwrap();
    assert_sound(&picture);
    for (colour, expect) in [vec![20], vec![20], vec![2, 2, 2, 20]].into_iter().enumerate() {
        let mut found = lines(&picture, colour);
        found.sort_unstable();
        assert_eq!(found, expect, "the third has a line that breaks off, and the two arms of its cross");
    }
    let others = picture.scene().shapes().iter().filter(|s| matches!(s, Shape::Line(_, s) if s.opacity == 0.6)).count();
    assert_eq!(others, 6);
    assert!(multiples(0, 5).picture().is_err() && multiples(65, 5).picture().is_err());
}

fn dot_plot(rows: Vec<DotRow>) -> DotPlot {
    DotPlot {
        title: "Accuracy".into(),
        subtitle: "of a few".into(),
        x: AxisStyle::new("Test accuracy").unit(Unit::Percent),
        notes: "mean; p against the best".into(),
        rows,
        ..DotPlot::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn multiples_and_dot_plots_keep_their_labels_apart(n in 1..12_usize, points in 1..60_usize, values in prop::collection::vec(prop_oneof![0.0..1.0_f64, Just(f64::NAN), Just(0.5)], 0..8), long: bool) {
        let mut page = multiples(n, points);
        page.panels[0].line.push((points as f64, f64::NAN));
        assert_sound(&page.picture().unwrap());
        let name = if long { "a name that is so long that there is no room for it anywhere on any page".repeat(2) } else { "sgd".into() };
        let row = |i: usize| DotRow {
            name: format!("{i} {name}"),
            mean: values.first().copied().unwrap_or(f64::NAN),
            interval: i.is_multiple_of(2).then_some((0.1 * i as f64, 0.2 * i as f64)),
            values: values.clone(),
            note: format!("97.31 %; p = 0.012, {name}"),
            colour: i,
        };
        assert_sound(&dot_plot((0..n).map(row).collect()).picture().unwrap());
    }
}

#[test]
fn bubbles_have_areas_like_their_sizes_and_names_of_their_own() {
    let bubble = |i: usize| Bubble {
        label: format!("network {i}"),
        x: 1e6 * (1 + i * i) as f64,
        y: 0.5 + 0.03 * (i * 7 % 12) as f64,
        size: (1 + i) as f64,
        colour: i,
    };
    let chart = BubbleChart {
        title: "Bubbles".into(),
        x: AxisStyle::new("cost").scale(Scale::Log),
        y: AxisStyle::new("accuracy").unit(Unit::Percent),
        bubbles: (0..12).map(bubble).collect(),
        links: vec![(0, 1), (1, 5)],
        key: vec![(3.0, "three".into()), (12.0, "twelve".into())],
        ..BubbleChart::default()
    };
    let draw = |chart: &BubbleChart| {
        let mut scene = Scene::new(900.0, 520.0, "Bubbles", "");
        chart.draw(&mut scene, Rect::new(20.0, 20.0, 860.0, 480.0)).map(|()| Picture::new(scene))
    };
    let picture = draw(&chart).unwrap();
    assert_sound(&picture);
    assert!((0..12).all(|i| texts(&picture).contains(&format!("network {i}").as_str())), "{:?}", texts(&picture));
    let discs = picture.scene().shapes().iter().filter_map(|s| match s {
        Shape::Circle(_, radius, Paint::Tint(_), _) => Some(radius * radius),
        _ => None,
    });
    let mut areas: Vec<f64> = discs.collect();
    areas.sort_by(f64::total_cmp);
    assert!(areas.iter().enumerate().all(|(i, a)| (a / areas[11] - (1 + i) as f64 / 12.0).abs() < 1e-9), "{areas:?}");
    let refused = |chart: BubbleChart| draw(&chart).unwrap_err().to_string();
    assert!(refused(BubbleChart { bubbles: Vec::new(), ..chart.clone() }).contains("has no bubbles"));
    assert!(refused(BubbleChart { bubbles: vec![Bubble::default()], ..chart.clone() }).contains("no place or no size"));
    assert!(refused(BubbleChart { links: vec![(0, 12)], ..chart }).contains("not there"));
}

#[test]
fn a_dot_plot_stands_on_a_sheet_in_the_width_that_is_given() {
    let row = |i: usize| DotRow { name: format!("run {i}"), mean: 0.9, values: vec![0.89, 0.91], ..DotRow::default() };
    let plot = dot_plot((0..3).map(row).collect());
    let items = vec![Item::Dots(plot.clone(), 420.0), Item::Dots(plot, 500.0)];
    let section = Section { items, ..Section::default() };
    let sheet = Sheet { title: "Two plots".into(), sections: vec![section], ..Sheet::default() };
    assert_sound(&sheet.picture().unwrap());
    let empty = Section { items: vec![Item::Dots(DotPlot::default(), 420.0)], ..Section::default() };
    assert!(Sheet { sections: vec![empty], ..Sheet::default() }.picture().is_err());
}
