//! Draws the pictures in `examples/digits`: digits in pen strokes on paper, as a phone or a scanner sees them.
//!
//! `cargo run --release --example draw_digits` writes them anew, byte for byte: sizes, ink, paper and light differ
//! from picture to picture, and each has the noise of a camera, drawn from a fixed seed.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use striate::rng::Rng;

type Point = [f32; 2];

/// One picture: strokes in a unit square (x to the right, y down), and how they look.
struct Drawing {
    name: &'static str,
    strokes: &'static [&'static [Point]],
    size: [usize; 2],
    /// Half the width of the pen, as a part of the digit's height.
    pen: f32,
    ink: [f32; 3],
    paper: [f32; 3],
    /// How much darker the right edge is than the left one.
    shade: f32,
    noise: f32,
}

const DRAWINGS: [Drawing; 4] = [
    Drawing {
        name: "2",
        strokes: &[&[
            [0.2, 0.25],
            [0.3, 0.08],
            [0.55, 0.02],
            [0.75, 0.15],
            [0.74, 0.35],
            [0.5, 0.65],
            [0.18, 0.95],
            [0.45, 0.93],
            [0.85, 0.95],
        ]],
        size: [64, 48],
        pen: 0.055,
        ink: [40.0, 40.0, 48.0],
        paper: [250.0, 250.0, 250.0],
        shade: 0.0,
        noise: 2.0,
    },
    Drawing {
        name: "3",
        strokes: &[&[
            [0.2, 0.15],
            [0.45, 0.03],
            [0.72, 0.12],
            [0.7, 0.32],
            [0.42, 0.47],
            [0.72, 0.55],
            [0.8, 0.78],
            [0.5, 0.97],
            [0.17, 0.86],
        ]],
        size: [120, 160],
        pen: 0.045,
        ink: [30.0, 45.0, 120.0],
        paper: [236.0, 228.0, 205.0],
        shade: 0.25,
        noise: 6.0,
    },
    Drawing {
        name: "5",
        strokes: &[
            &[[0.3, 0.06], [0.27, 0.42], [0.5, 0.36], [0.75, 0.5], [0.77, 0.75], [0.55, 0.95], [0.2, 0.9]],
            &[[0.3, 0.06], [0.5, 0.05], [0.78, 0.02]],
        ],
        size: [100, 80],
        pen: 0.05,
        ink: [60.0, 20.0, 20.0],
        paper: [215.0, 215.0, 222.0],
        shade: 0.1,
        noise: 4.0,
    },
    Drawing {
        name: "7",
        strokes: &[&[[0.15, 0.08], [0.5, 0.08], [0.82, 0.06], [0.65, 0.4], [0.5, 0.7], [0.42, 0.98]]],
        size: [300, 225],
        pen: 0.04,
        ink: [25.0, 25.0, 25.0],
        paper: [200.0, 195.0, 185.0],
        shade: 0.35,
        noise: 8.0,
    },
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits");
    for drawing in &DRAWINGS {
        let [h, w] = drawing.size;
        let file = BufWriter::new(File::create(folder.join(format!("{}.png", drawing.name)))?);
        let mut encoder = png::Encoder::new(file, w as u32, h as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&drawing.pixels())?;
    }
    Ok(())
}

impl Drawing {
    fn pixels(&self) -> Vec<u8> {
        let [h, w] = self.size.map(|s| s as f32);
        let curves: Vec<Vec<Point>> = self.strokes.iter().map(|s| smooth(s)).collect();
        let mut rng = Rng::new(0).split(self.name);
        // The digit takes 70 % of the height, in the middle of the picture.
        let scale = 0.7 * h;
        let mut bytes = Vec::new();
        for i in 0..self.size[0] * self.size[1] {
            let (y, x) = ((i / self.size[1]) as f32 + 0.5, (i % self.size[1]) as f32 + 0.5);
            let at = [(x - 0.5 * w) / scale + 0.5, (y - 0.5 * h) / scale + 0.5];
            let distance = curves.iter().map(|c| distance(at, c)).fold(f32::INFINITY, f32::min);
            // The edge of the ink is one pixel wide.
            let cover = ((self.pen - distance) * scale + 0.5).clamp(0.0, 1.0);
            let light = 1.0 - self.shade * x / w;
            let grain = self.noise * (rng.uniform() + rng.uniform() - 1.0);
            let channel = |c: usize| (self.paper[c] * (1.0 - cover) + self.ink[c] * cover) * light + grain;
            bytes.extend([0, 1, 2].map(|c| channel(c).clamp(0.0, 255.0) as u8));
        }
        bytes
    }
}

// A Catmull-Rom curve through the points, as a line of short pieces.
fn smooth(points: &[Point]) -> Vec<Point> {
    let at = |i: isize| points[i.clamp(0, points.len() as isize - 1) as usize];
    let mut curve = vec![points[0]];
    for i in 0..points.len() as isize - 1 {
        let [a, b, c, d] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
        for t in (1..=12).map(|k| k as f32 / 12.0) {
            curve.push([0, 1].map(|k| {
                let (p, q) = (2.0 * a[k] - 5.0 * b[k] + 4.0 * c[k] - d[k], 3.0 * (b[k] - c[k]) + d[k] - a[k]);
                0.5 * (2.0 * b[k] + t * (c[k] - a[k] + t * (p + t * q)))
            }));
        }
    }
    curve
}

// From a point to the nearest point of a line.
fn distance(p: Point, line: &[Point]) -> f32 {
    let to_piece = |pair: &[Point]| {
        let ([ax, ay], [bx, by]) = (pair[0], pair[1]);
        let (dx, dy) = (bx - ax, by - ay);
        let t = (((p[0] - ax) * dx + (p[1] - ay) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
        let (ex, ey) = (p[0] - ax - t * dx, p[1] - ay - t * dy);
        (ex * ex + ey * ey).sqrt()
    };
    line.windows(2).map(to_piece).fold(f32::INFINITY, f32::min)
}
