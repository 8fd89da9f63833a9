//! The picture of a convolution: the patch on the input, the kernel, the products, their sum in the output.
//!
//! As an animation, the kernel moves over the input and the output fills up, from the left, then down (V13, V14).

use super::draw::{Column, Padded, Sheet, W, X, Y, frames, indices, lines, numbered, show};
use super::text::{factor, formula};
use super::{ConvCell, ConvSteps, Maps};
use crate::conv::Geometry;
use crate::error::Result;
use crate::visual::{Animation, Matrix, NumberCell, Paint, Picture, Text};

// Seconds of a frame.
const PACE: f64 = 1.1;
const ROOM: f64 = 760.0;

impl ConvSteps {
    /// The step of the output at row, column and channel; all other outputs are shown too.
    ///
    /// ```
    /// let picture = striate::inspect::explain::Convolution::example().steps()?.picture([0, 1, 0])?;
    /// assert!(picture.svg().contains("y(0, 1) = 2·1"));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such output, or the picture would be too large.
    pub fn picture(&self, at: [usize; 3]) -> Result<Picture> {
        Ok(Picture::new(self.sheet(self.cell(at)?, self.cells.len()).scene()?))
    }

    /// All outputs one after the other.
    ///
    /// # Errors
    /// There are too many outputs, or the picture would be too large.
    pub fn animation(&self) -> Result<Animation> {
        super::check_frames(self.cells.len())?;
        let sheets = self.cells.iter().enumerate().map(|(i, cell)| self.sheet(cell, i + 1));
        Animation::new(frames(&sheets.collect::<Vec<_>>())?, PACE)
    }

    // The page on which `cell` is worked out and the first `done` outputs are filled in.
    fn sheet(&self, cell: &ConvCell, done: usize) -> Sheet {
        let g = &self.geometry;
        let first = cell.kernel / g.oc_per_group() * g.ic_per_group();
        let active = |c: usize| c.checked_sub(first).filter(|c| *c < g.ic_per_group());
        let inputs = (0..g.ic).map(|c| Some(self.input(cell, c, active(c).is_some()))).collect();
        let of_channel = |f: &dyn Fn(usize) -> Matrix| (0..g.ic).map(|c| active(c).map(f)).collect::<Vec<_>>();
        let sign = |text: &str| Column::Words((0..g.ic).map(|c| active(c).map_or("", |_| text).into()).collect(), 14.0);
        let mut columns = Vec::new();
        if self.case.flip {
            // The kernel first: flipped, it is laid on the input.
            let [plain, flipped] = [false, true].map(|f| Column::Shared(of_channel(&|c| self.kernel(cell, c, f))));
            columns.extend([plain, sign("→"), flipped, sign("×"), Column::Shared(inputs), sign("=")]);
        } else {
            let kernel = Column::Shared(of_channel(&|c| self.kernel(cell, c, false)));
            columns.extend([Column::Shared(inputs), sign("×"), kernel, sign("=")]);
        }
        columns.push(Column::Shared(of_channel(&|c| self.products(cell, c))));
        let sums = (0..g.ic).map(|c| active(c).map_or(String::new(), |c| sum(cell, c))).collect();
        columns
            .push(Column::Words(sums, self.words_width(|cell| (0..g.ic_per_group()).map(|c| sum(cell, c)).collect())));
        columns.push(Column::Words(vec![self.bias(cell)], self.words_width(|cell| vec![self.bias(cell)])));
        columns.push(Column::Own((0..g.oc).map(|k| self.output(cell, k, done)).collect()));
        Sheet {
            title: self.title(),
            subtitle: self.subtitle(),
            columns,
            foot: [self.foot(cell), Vec::new()],
            description: self.equation(cell),
        }
    }

    fn title(&self) -> String {
        let g = &self.geometry;
        let kernels = if g.oc == 1 { "a".into() } else { format!("{} kernels, each", g.oc) };
        let channels = if g.ic == 1 { String::new() } else { format!("×{}", g.ic) };
        let each = if g.ic_per_group() == 1 { String::new() } else { format!("×{}", g.ic_per_group()) };
        let (h, w) = (g.h.input, g.w.input);
        let tail = if g.oc == 1 { " kernel" } else { "" };
        format!("{}: {h}×{w}{channels} under {kernels} {}×{}{each}{tail}", self.case.name(), g.h.kernel, g.w.kernel)
    }

    fn subtitle(&self) -> String {
        let g = &self.geometry;
        let mut words = vec![format!("output {}×{}: {}", g.h.output, g.w.output, formula(&g.h).replace('-', "−"))];
        if (g.h.input, g.h.kernel, g.h.stride, g.h.before, g.h.after)
            != (g.w.input, g.w.kernel, g.w.stride, g.w.before, g.w.after)
        {
            words.push(formula(&g.w).replace('-', "−"));
        }
        for (name, [a, b]) in [("stride", self.case.stride), ("dilation", self.case.dilation)] {
            if [a, b] != [1, 1] {
                words.push(if a == b { format!("{name} {a}") } else { format!("{name} {a}×{b}") });
            }
        }
        if g.groups > 1 {
            words.push(format!("{} groups", g.groups));
        }
        words.join(", ")
    }

    // The sum in full where it fits into a line, else by channels.
    fn foot(&self, cell: &ConvCell) -> Vec<String> {
        let full = lines(&self.equation(cell).replace('-', "−"), ROOM);
        if full.len() == 1 {
            return full;
        }
        let sums = cell.channel_sums.iter().map(|s| factor(*s)).collect::<Vec<_>>().join(" + ");
        let bias = if self.case.bias.is_empty() { String::new() } else { format!(" + bias {}", factor(cell.bias)) };
        let text = format!("{} = {sums}{bias} = {}", self.name_of(cell), show(cell.y));
        lines(&text.replace('-', "−"), ROOM)
    }

    fn input(&self, cell: &ConvCell, channel: usize, active: bool) -> Matrix {
        let g = &self.geometry;
        let axes = [&g.h, &g.w];
        let mut plane = Padded::new(&self.case.x, channel, axes, &show(g.pad_value.into()));
        if active {
            for term in cell.terms.iter().filter(|t| t.channel == channel) {
                if let Some(place) = plane.under(axes, cell.at, term.tap) {
                    *place =
                        place.clone().fill(Paint::Tint(X)).note(format!("×{}", show(term.w))).edge(Paint::Series(X));
                }
            }
        }
        plane.matrix(numbered("x", "channel", g.ic, channel), (self.input_width(), 40.0))
    }

    // Wide enough for every number under every weight, so that nothing moves in an animation.
    fn input_width(&self) -> f64 {
        let numbers = self.case.x.data().iter().map(|v| NumberCell::new(show(*v)));
        let weights =
            self.case.kernels.iter().flat_map(Maps::data).map(|w| NumberCell::new("").note(format!("×{}", show(*w))));
        let pad = NumberCell::new(show(self.geometry.pad_value.into()));
        Matrix::width_for(&numbers.chain(weights).chain([pad]).collect::<Vec<_>>(), 40.0)
    }

    fn kernel(&self, cell: &ConvCell, c: usize, flipped: bool) -> Matrix {
        let g = &self.geometry;
        let kernel = &self.case.kernels[cell.kernel];
        let laid = if flipped { kernel.flipped() } else { kernel.clone() };
        let name = match (flipped, g.oc) {
            (true, _) => "flipped".into(),
            (false, 1) => "w".into(),
            (false, _) => format!("w of kernel {}", cell.kernel),
        };
        let width = self.width(self.case.kernels.iter().flat_map(Maps::data), 34.0);
        let fill = if self.case.flip && !flipped { Paint::Page } else { Paint::Tint(W) };
        self.small(numbered(&name, "channel", g.ic_per_group(), c), laid.plane(c).concat().iter(), (width, fill))
    }

    fn products(&self, cell: &ConvCell, c: usize) -> Matrix {
        let taps = self.geometry.h.kernel * self.geometry.w.kernel;
        let products: Vec<f64> = cell.terms[c * taps..][..taps].iter().map(|t| t.product).collect();
        let all: Vec<f64> = self.cells.iter().flat_map(|cell| &cell.terms).map(|t| t.product).collect();
        let width = self.width(&all, 34.0);
        self.small("products".into(), products.iter(), (width, Paint::Page))
    }

    fn width<'a>(&self, numbers: impl IntoIterator<Item = &'a f64>, least: f64) -> f64 {
        let cells: Vec<NumberCell> = numbers.into_iter().map(|v| NumberCell::new(show(*v))).collect();
        Matrix::width_for(&cells, least)
    }

    fn small<'a>(&self, title: String, numbers: impl Iterator<Item = &'a f64>, (width, fill): (f64, Paint)) -> Matrix {
        let cells = numbers.map(|v| NumberCell::new(show(*v)).fill(fill)).collect();
        Matrix { title, columns: self.geometry.w.kernel, cells, cell: (width, 34.0), ..Matrix::default() }
    }

    fn bias(&self, cell: &ConvCell) -> String {
        if self.case.bias.is_empty() { "→".into() } else { format!("+ bias {} →", show(cell.bias)) }
    }

    // The room that words about any output need.
    fn words_width(&self, words: impl Fn(&ConvCell) -> Vec<String>) -> f64 {
        let all = self.cells.iter().flat_map(words);
        all.map(|text| Text::new(text).size(13.0).width()).fold(20.0, f64::max).ceil()
    }

    fn output(&self, cell: &ConvCell, k: usize, done: usize) -> Matrix {
        let g: &Geometry = &self.geometry;
        let pixels = g.h.output * g.w.output;
        let cells = self.cells[k * pixels..][..pixels].iter().enumerate().map(|(i, of)| {
            let shown = k * pixels + i < done;
            let plain = NumberCell::new(if shown { show(of.y) } else { String::new() });
            if of == cell { plain.fill(Paint::Tint(Y)).edge(Paint::Series(Y)).bold() } else { plain }
        });
        let width = self.width(self.y.data(), 40.0);
        let (row_names, column_names) = (indices(g.h.output), indices(g.w.output));
        let title = numbered("y", "kernel", g.oc, k);
        Matrix { title, columns: g.w.output, cells: cells.collect(), cell: (width, 40.0), row_names, column_names }
    }
}

fn sum(cell: &ConvCell, channel: usize) -> String {
    format!("sum {}", show(cell.channel_sums[channel]))
}

#[cfg(test)]
mod tests {
    use super::super::draw::assert_labels_are_apart;
    use super::*;
    use crate::conv::Padding;
    use crate::inspect::explain::Convolution;
    use crate::visual::{Scene, Shape};

    fn cases() -> Vec<Convolution> {
        let some = |dims: [usize; 3], salt: usize| {
            Maps::from_fn(dims, |i, j, c| ((i * 7 + j * 3 + c * 5 + salt) % 11) as f64 * 0.75 - 4.0)
        };
        let deep = Convolution {
            x: some([4, 5, 3], 0),
            kernels: vec![some([2, 3, 3], 1), some([2, 3, 3], 5)],
            bias: vec![0.5, -0.25],
            ..Convolution::example()
        };
        vec![
            Convolution::example(),
            Convolution { flip: true, padding: Padding::Full, ..Convolution::example() },
            Convolution {
                padding: Padding::Same,
                dilation: [2, 2],
                stride: [2, 1],
                pad_value: -1.0,
                ..Convolution::example()
            },
            Convolution {
                x: some([4, 4, 4], 2),
                kernels: vec![some([2, 2, 2], 1), some([2, 2, 2], 3)],
                bias: vec![],
                groups: 2,
                ..Convolution::example()
            },
            deep,
        ]
    }

    fn texts(scene: &Scene) -> Vec<String> {
        scene.texts().map(|t| t.content().to_string()).collect()
    }

    #[test]
    fn labels_never_overlap_and_all_pages_have_one_size() {
        for case in cases() {
            let steps = case.steps().unwrap();
            let animation = steps.animation().unwrap();
            assert_eq!(animation.frames().len(), steps.cells.len());
            animation.frames().iter().for_each(assert_labels_are_apart);
        }
    }

    #[test]
    fn the_patch_is_tinted_with_its_weights_and_the_output_framed() {
        let steps = Convolution::example().steps().unwrap();
        let picture = steps.picture([1, 2, 0]).unwrap();
        let fills = |paint: Paint| {
            picture.scene().shapes().iter().filter(|s| matches!(s, Shape::Fill(_, p) if *p == paint)).count()
        };
        assert_eq!([fills(Paint::Tint(X)), fills(Paint::Tint(W)), fills(Paint::Tint(Y))], [4, 4, 1]);
        let words = texts(picture.scene());
        // Input under the kernel 1 0; 2 −1 at rows 1 to 2, columns 2 to 3.
        for want in
            ["×1", "×0", "×2", "×−1", "sum 4", "+ bias 1 →", "y(1, 2) = 3·1 + 2·0 + 1·2 + 1·(−1) + 1 = 5", "products"]
        {
            assert!(words.iter().any(|w| w == want), "'{want}' is not in {words:?}");
        }
    }

    #[test]
    fn the_output_fills_up() {
        let steps = Convolution::example().steps().unwrap();
        let animation = steps.animation().unwrap();
        let numbers =
            |scene: &Scene| scene.texts().filter(|t| t.bounds().x > scene.page().w - 150.0).map(Text::content).count();
        let counts: Vec<usize> = animation.frames().iter().map(numbers).collect();
        assert!(counts.windows(2).all(|w| w[1] == w[0] + 1), "{counts:?}");
    }

    #[test]
    fn what_is_too_large_says_what_would_fit() {
        let x = Maps::from_fn([90, 90, 1], |i, j, _| (i + j) as f64);
        let steps = Convolution { x, ..Convolution::example() }.steps().unwrap();
        assert!(steps.picture([0, 0, 0]).unwrap_err().to_string().contains("too large to be looked at"));
        assert!(steps.animation().unwrap_err().to_string().contains("at most 400"));
    }
}
