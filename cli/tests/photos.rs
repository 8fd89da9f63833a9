//! Photos and scans as people have them: any size, colour, place and format, dark on light or light on dark.

mod common;

use common::{Folder, json};
use striate::data::{self, Image};
use striate::rng::Rng;

/// How a digit of the test set is made a photo.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Height and width.
    size: [u32; 2],
    /// Pixels of the photo for one of the digit.
    scale: f32,
    paper: [f32; 3],
    ink: [f32; 3],
    /// Largest deviation of a pixel.
    noise: f32,
    jpeg: bool,
}

const LOOKS: [Look; 6] = [
    Look {
        size: [300, 400],
        scale: 7.0,
        paper: [235.0, 230.0, 220.0],
        ink: [30.0, 35.0, 60.0],
        noise: 8.0,
        jpeg: true,
    },
    Look { size: [900, 600], scale: 15.0, paper: [250.0; 3], ink: [10.0; 3], noise: 0.0, jpeg: true },
    Look { size: [64, 80], scale: 1.6, paper: [0.0; 3], ink: [255.0; 3], noise: 0.0, jpeg: false },
    Look {
        size: [200, 200],
        scale: 4.5,
        paper: [40.0, 90.0, 60.0],
        ink: [240.0, 240.0, 230.0],
        noise: 10.0,
        jpeg: false,
    },
    Look {
        size: [480, 360],
        scale: 9.0,
        paper: [210.0, 190.0, 120.0],
        ink: [150.0, 20.0, 20.0],
        noise: 12.0,
        jpeg: true,
    },
    Look { size: [28, 28], scale: 1.0, paper: [255.0; 3], ink: [0.0; 3], noise: 0.0, jpeg: false },
];
const PHOTOS: usize = 48;

/// The ink at a place of the digit, between its pixels too.
fn ink_at(digit: &Image, y: f32, x: f32) -> f32 {
    let at = |y: i32, x: i32| match (y, x) {
        (0..28, 0..28) => f32::from(digit.pixels()[(y * 28 + x) as usize]) / 255.0,
        _ => 0.0,
    };
    let (top, left) = (y.floor(), x.floor());
    let (v, u) = (y - top, x - left);
    let (top, left) = (top as i32, left as i32);
    let row = |y| at(y, left) * (1.0 - u) + at(y, left + 1) * u;
    row(top) * (1.0 - v) + row(top + 1) * v
}

fn photo(digit: &Image, look: Look, rng: &mut Rng) -> Vec<u8> {
    let [h, w] = look.size;
    let free = |size: u32, rng: &mut Rng| rng.uniform() * (size as f32 - 28.0 * look.scale).max(0.0);
    let (top, left) = (free(h, rng), free(w, rng));
    let mut pixels = Vec::with_capacity((h * w * 3) as usize);
    for y in 0..h {
        for x in 0..w {
            let place = |v: u32, start: f32| (v as f32 + 0.5 - start) / look.scale - 0.5;
            let ink = ink_at(digit, place(y, top), place(x, left));
            let grain = (rng.uniform() * 2.0 - 1.0) * look.noise;
            let mix = |(paper, full): (f32, f32)| (paper * (1.0 - ink) + full * ink + grain).clamp(0.0, 255.0) as u8;
            pixels.extend(look.paper.into_iter().zip(look.ink).map(mix));
        }
    }
    encode(&pixels, look)
}

fn encode(pixels: &[u8], Look { size: [h, w], jpeg, .. }: Look) -> Vec<u8> {
    let mut bytes = Vec::new();
    if jpeg {
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, 85);
        encoder.encode(pixels, w as u16, h as u16, jpeg_encoder::ColorType::Rgb).unwrap();
    } else {
        let mut encoder = png::Encoder::new(&mut bytes, w, h);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    }
    bytes
}

/// At most 3 of 48 photos are taken for another digit; the plain digits of the test set give about 1.
#[test]
fn photos_are_told_as_well_as_the_digits_they_show() {
    let folder = Folder::new();
    folder.ok(&["train", "mnist", "--limit", "12000", "--epochs", "2", "--quiet", "--out", "run"]);
    let test = data::load("mnist").unwrap().test;
    let mut rng = Rng::new(3).split("photos");
    let mut names = Vec::new();
    for i in 0..PHOTOS {
        let look = LOOKS[i % LOOKS.len()];
        let name = format!("{i}.{}", if look.jpeg { "jpg" } else { "png" });
        folder.write(&name, photo(&test.image(i).unwrap(), look, &mut rng));
        names.push(name);
    }
    let args: Vec<&str> =
        ["predict", "run", "--json", "--top", "1"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let answers = json(&folder.ok(&args));
    let wrong: Vec<String> = (0..PHOTOS)
        .filter(|i| answers[i]["top"][0]["class"].as_str() != Some(&test.label(*i).to_string()))
        .map(|i| format!("{}: {} is taken for {}", names[i], test.label(i), answers[i]["top"][0]["class"]))
        .collect();
    assert!(wrong.len() <= 3, "{} of {PHOTOS} photos: {wrong:#?}", wrong.len());
    some_answers(&folder);
}

fn some_answers(folder: &Folder) {
    let text = folder.ok(&["predict", "run", "0.jpg", "2.png", "-k", "20"]);
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().all(|line| line.matches('%').count() == 10), "20 asked for, 10 there are: {text}");
    assert!(text.starts_with("0.jpg: 7 "), "{text}");
    let (_, message) = folder.fails(&["predict", "run", "."]);
    assert!(message.contains(". is a folder") && message.contains("*.png"), "{message}");
    let (_, message) = folder.fails(&["predict", "run", "0.jpg", "none.png"]);
    assert!(message.contains("none.png"), "{message}");
}
