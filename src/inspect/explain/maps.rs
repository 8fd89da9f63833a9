//! Small arrays of numbers as people write them: planes side by side, as an image or one kernel has.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Planes of numbers, `[h, w, c]`.
///
/// As text, numbers stand apart by blanks or commas, rows by `;` or `/` or on lines of their own, and channels by `|`.
///
/// ```
/// use striate::inspect::explain::Maps;
/// let x: Maps = "1 2; 3 4 | 5 6; 7 8".parse()?;
/// assert_eq!((x.dims(), x.at(1, 0, 1)), ([2, 2, 2], 7.0));
/// assert_eq!("1,2/3,4".parse::<Maps>()?, Maps::from_fn([2, 2, 1], |i, j, _| (2 * i + j + 1) as f64));
/// assert!("1 2; 3".parse::<Maps>().unwrap_err().to_string().contains("row 1 has 1 number, row 0 has 2"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Maps {
    dims: [usize; 3],
    data: Vec<f64>,
}

impl Maps {
    /// Planes of this size with these numbers, channels last.
    ///
    /// # Errors
    /// A size of 0, another count of numbers, or one that is not finite.
    pub fn new(dims: [usize; 3], data: Vec<f64>) -> Result<Self> {
        if dims.contains(&0) || dims.iter().product::<usize>() != data.len() {
            return Err(Error::shape(format!(
                "{} numbers do not make {}x{}x{}",
                data.len(),
                dims[0],
                dims[1],
                dims[2]
            ))
            .with_help("give height x width x channels numbers, at least one"));
        }
        if let Some(i) = data.iter().position(|v| !v.is_finite()) {
            let (row, column) = (i / dims[2] / dims[1], i / dims[2] % dims[1]);
            return Err(Error::argument(format!("the number at row {row}, column {column} is {}", data[i]))
                .with_help("give finite numbers"));
        }
        Ok(Self { dims, data })
    }

    /// Planes whose element (row, column, channel) is `f(row, column, channel)`.
    pub fn from_fn([h, w, c]: [usize; 3], f: impl Fn(usize, usize, usize) -> f64) -> Self {
        let data = (0..h * w * c).map(|at| f(at / c / w, at / c % w, at % c)).collect();
        Self { dims: [h, w, c], data }
    }

    /// The planes of an array `[h, w]` or `[h, w, c]`.
    ///
    /// # Errors
    /// Another number of axes, or a number that is not finite.
    pub fn from_tensor(array: &Tensor) -> Result<Self> {
        let data = array.data().iter().map(|v| f64::from(*v)).collect();
        match *array.dims() {
            [w] => Self::new([1, w, 1], data),
            [h, w] => Self::new([h, w, 1], data),
            [h, w, c] => Self::new([h, w, c], data),
            _ => Err(Error::shape(format!("an array of shape {:?} is no image", array.dims()))
                .with_help("give [h, w] or [h, w, c]")),
        }
    }

    /// Height, width, channels.
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// The numbers, channels last.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// The number at (row, column, channel), counted from 0.
    ///
    /// # Panics
    /// There is no such place.
    pub fn at(&self, row: usize, column: usize, channel: usize) -> f64 {
        let [h, w, c] = self.dims;
        assert!(row < h && column < w && channel < c, "({row}, {column}, {channel}) is not in {h}x{w}x{c}");
        self.data[(row * w + column) * c + channel]
    }

    /// The same planes turned by half a turn.
    #[must_use]
    pub fn flipped(&self) -> Self {
        let [h, w, _] = self.dims;
        Self::from_fn(self.dims, |i, j, c| self.at(h - 1 - i, w - 1 - j, c))
    }

    /// One plane, row by row.
    pub fn plane(&self, channel: usize) -> Vec<Vec<f64>> {
        let [h, w, _] = self.dims;
        (0..h).map(|i| (0..w).map(|j| self.at(i, j, channel)).collect()).collect()
    }
}

impl Serialize for Maps {
    /// As a list of channels, each a list of rows.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        (0..self.dims[2]).map(|c| self.plane(c)).collect::<Vec<_>>().serialize(s)
    }
}

impl fmt::Display for Maps {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |row: &Vec<f64>| row.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        let plane = |c| self.plane(c).iter().map(words).collect::<Vec<_>>().join("; ");
        f.write_str(&(0..self.dims[2]).map(plane).collect::<Vec<_>>().join(" | "))
    }
}

impl FromStr for Maps {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let planes = text.split('|').map(plane).collect::<Result<Vec<_>>>()?;
        let (h, w) = (planes[0].len(), planes[0][0].len());
        for (c, plane) in planes.iter().enumerate() {
            let (rows, columns) = (plane.len(), plane[0].len());
            if (rows, columns) != (h, w) {
                return Err(Error::shape(format!("channel {c} is {rows}x{columns}, channel 0 is {h}x{w}"))
                    .with_help("all channels have one size"));
            }
        }
        let at = |i: usize| planes[i % planes.len()][i / planes.len() / w][i / planes.len() % w];
        Self::new([h, w, planes.len()], (0..h * w * planes.len()).map(at).collect())
    }
}

fn plane(text: &str) -> Result<Vec<Vec<f64>>> {
    let lines = text.split([';', '/', '\n']).map(str::trim).filter(|line| !line.is_empty());
    let rows: Vec<Vec<f64>> = lines.enumerate().map(|(i, line)| row(i, line)).collect::<Result<_>>()?;
    let Some(first) = rows.first() else {
        return Err(Error::argument("a matrix without numbers")
            .with_help("write rows apart by ';', as in \"1 2; 3 4\", and channels by '|'"));
    };
    if let Some((i, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != first.len()) {
        let count = |n: usize| if n == 1 { "1 number".into() } else { format!("{n} numbers") };
        return Err(Error::shape(format!("ragged rows: row {i} has {}, row 0 has {}", count(row.len()), first.len()))
            .with_help("give each row as many numbers; rows count from 0"));
    }
    Ok(rows)
}

fn row(i: usize, line: &str) -> Result<Vec<f64>> {
    let words = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let numbers = words.map(|word| {
        let number = word.parse::<f64>().ok().filter(|v| v.is_finite());
        number.ok_or_else(|| {
            Error::argument(format!("'{word}' in row {i} is not a finite number"))
                .with_help("write a matrix as \"1 2; 3 4\", its channels apart by '|'")
        })
    });
    let numbers: Vec<f64> = numbers.collect::<Result<_>>()?;
    if numbers.is_empty() { Err(Error::argument(format!("row {i} has no numbers"))) } else { Ok(numbers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_every_form_and_written_back() {
        let forms = ["1 2 3; 4 5 -6.5", "1,2,3/4,5,-6.5", "1 2 3\n4 5 -6.5\n", " 1, 2, 3 ; 4, 5, -65e-1 ;"];
        for form in forms {
            let maps: Maps = form.parse().unwrap();
            assert_eq!((maps.dims(), maps.at(1, 2, 0)), ([2, 3, 1], -6.5), "{form}");
            assert_eq!(maps.to_string().parse::<Maps>().unwrap(), maps);
        }
        let two: Maps = "1 2 | 3 4".parse().unwrap();
        assert_eq!(two.data(), [1.0, 3.0, 2.0, 4.0]);
        assert_eq!(serde_json::to_string(&two).unwrap(), "[[[1.0,2.0]],[[3.0,4.0]]]");
    }

    #[test]
    fn bad_text_gets_one_error_that_says_where() {
        let error = |text: &str| text.parse::<Maps>().unwrap_err().to_string();
        assert!(error("1 2; 3 4 5").contains("ragged rows: row 1 has 3 numbers, row 0 has 2"));
        assert!(error("1 2; 3 x").contains("'x' in row 1"));
        assert!(error("1 nan").contains("'nan' in row 0 is not a finite number"));
        assert!(error("1 1e999").contains("not a finite number"));
        assert!(error("").contains("without numbers"));
        assert!(error("1 2 |").contains("without numbers"));
        assert!(error("1 2 | 3 4; 5 6").contains("channel 1 is 2x2, channel 0 is 1x2"));
    }

    #[test]
    fn arrays_become_planes() {
        let of = |dims: &[usize], len: usize| Maps::from_tensor(&Tensor::new(dims, vec![1.0; len]).unwrap());
        assert_eq!(of(&[2, 3], 6).unwrap().dims(), [2, 3, 1]);
        assert_eq!(of(&[3], 3).unwrap().dims(), [1, 3, 1]);
        assert!(of(&[1, 2, 3, 1], 6).unwrap_err().to_string().contains("is no image"));
        let nan = Tensor::new(&[1, 2], vec![0.0, f32::NAN]).unwrap();
        assert!(Maps::from_tensor(&nan).unwrap_err().to_string().contains("row 0, column 1 is NaN"));
    }
}
