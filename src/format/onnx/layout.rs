//! How the axes of one side lie in the memory of the other.
//!
//! ONNX speaks of `[n, c, h, w]`, this library keeps `[h, w, c]` of each sample
//! in memory. A [`Layout`] says, for each axis that one side speaks of, which
//! *pieces* of memory it is made of. Most rearrangements are then a matter of
//! words alone:
//!
//! ```text
//! memory [h, w, c]     axes c, h, w        pieces 0:h 1:w 2:c      c = [2], h = [0], w = [1]
//! Transpose            axes h, w, c                                h = [0], w = [1], c = [2]
//! Flatten              axes (c h w)                                [2, 0, 1]
//! channels in groups   axes g, c/g, h, w   pieces 0:h 1:w 2:g 3:c/g
//! ```
//!
//! Only an op that asks for an order which memory does not have costs a
//! permutation ([`Layout::route`]), and a dense layer not even that: the rows of
//! its kernel are put in the order of memory ([`Layout::rows`]).
//!
//! Axes of size 1 have no pieces. The batch is no axis here.

/// Axes as pieces of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The sizes of the pieces, in the order of memory, all above 1.
    pieces: Vec<usize>,
    /// The pieces that make up each axis, slowest first.
    axes: Vec<Vec<usize>>,
}

/// How memory gets another order: seen as `dims`, with the axes then in this `order`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub dims: Vec<usize>,
    pub order: Vec<usize>,
}

impl Layout {
    /// Axes of these sizes, which lie in memory in this order.
    pub fn new(dims: &[usize], memory: &[usize]) -> Self {
        let mut layout = Self { pieces: Vec::new(), axes: vec![Vec::new(); dims.len()] };
        for axis in memory.iter().copied().filter(|axis| dims[*axis] != 1) {
            layout.axes[axis].push(layout.pieces.len());
            layout.pieces.push(dims[axis]);
        }
        layout
    }

    /// Axes that lie in memory in their own order.
    pub fn plain(dims: &[usize]) -> Self {
        Self::new(dims, &Vec::from_iter(0..dims.len()))
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// The size of an axis.
    pub fn size(&self, axis: usize) -> usize {
        self.axes[axis].iter().map(|piece| self.pieces[*piece]).product()
    }

    /// The sizes of all axes.
    pub fn dims(&self) -> Vec<usize> {
        (0..self.rank()).map(|axis| self.size(axis)).collect()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.pieces.iter().product()
    }

    /// Axis `i` is what axis `order[i]` was; memory stays.
    pub fn transpose(&self, order: &[usize]) -> Self {
        Self { pieces: self.pieces.clone(), axes: order.iter().map(|axis| self.axes[*axis].clone()).collect() }
    }

    /// With axes of size 1 at these places of the result, which are in ascending order; memory stays.
    pub fn unsqueeze(&self, at: &[usize]) -> Self {
        let mut layout = self.clone();
        at.iter().for_each(|axis| layout.axes.insert(*axis, Vec::new()));
        layout
    }

    /// Without these axes, which have size 1; memory stays.
    pub fn squeeze(&self, gone: &[usize]) -> Self {
        let kept = (0..self.rank()).filter(|axis| !gone.contains(axis));
        self.transpose(&kept.collect::<Vec<_>>())
    }

    /// The same elements, counted through row by row, as axes of other sizes; memory stays.
    ///
    /// `None` if a new axis would begin in the middle of a piece: memory must first be in the order of the axes.
    pub fn reshape(&self, dims: &[usize]) -> Option<Self> {
        let mut runs = self.axes.concat();
        runs.reverse();
        let mut layout = Self { pieces: self.pieces.clone(), axes: vec![Vec::new(); dims.len()] };
        for (axis, size) in dims.iter().enumerate() {
            let mut left = *size;
            while left > 1 {
                let piece = runs.pop()?;
                let has = layout.pieces[piece];
                if has > left {
                    has.is_multiple_of(left).then_some(())?;
                    layout.split(piece, left, &mut runs);
                }
                let taken = layout.pieces[piece];
                left.is_multiple_of(taken).then_some(())?;
                layout.axes[axis].push(piece);
                left /= taken;
            }
        }
        runs.is_empty().then_some(layout)
    }

    // Makes two of one piece; the second comes next in `runs`, whose last entry is its next.
    fn split(&mut self, piece: usize, outer: usize, runs: &mut Vec<usize>) {
        let inner = self.pieces[piece] / outer;
        self.pieces[piece] = outer;
        self.pieces.insert(piece + 1, inner);
        let moved = |p: &mut usize| *p += usize::from(*p > piece);
        self.axes.iter_mut().flatten().for_each(moved);
        runs.iter_mut().for_each(moved);
        runs.push(piece + 1);
    }

    /// What brings memory into the order of these axes, one after the other; `None` if it has that order.
    pub fn route(&self, axes: &[usize]) -> Option<Route> {
        let wanted: Vec<usize> = axes.iter().flat_map(|axis| self.axes[*axis].iter().copied()).collect();
        // Pieces that stay side by side move as one.
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for piece in wanted {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == piece => *count += 1,
                _ => runs.push((piece, 1)),
            }
        }
        let mut memory = runs.clone();
        memory.sort_unstable();
        let dims = memory.iter().map(|(first, count)| self.pieces[*first..first + count].iter().product()).collect();
        let order: Vec<usize> = runs.iter().filter_map(|run| memory.iter().position(|m| m == run)).collect();
        (order.len() > 1).then_some(Route { dims, order })
    }

    /// The axes in the order in which they begin in memory, with these at the end.
    pub fn ending(&self, last: &[usize]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rank()).filter(|axis| !last.contains(axis)).collect();
        // An axis of size 1 may be anywhere; it goes behind the axis before it.
        let mut place = 0;
        let begin = |pieces: &Vec<usize>| {
            place = pieces.iter().copied().min().unwrap_or(place);
            place
        };
        let begins: Vec<usize> = self.axes.iter().map(begin).collect();
        order.sort_by_key(|axis| begins[*axis]);
        order.extend(last);
        order
    }

    /// For each element of an axis in the order of memory, its number by the axis: row `i` of a kernel that fits memory
    /// is row `rows[i]` of one that fits the axis. All other axes have size 1.
    pub fn rows(&self, axis: usize) -> Vec<usize> {
        let mut steps = vec![0; self.pieces.len()];
        let mut step = 1;
        for piece in self.axes[axis].iter().rev() {
            steps[*piece] = step;
            step *= self.pieces[*piece];
        }
        let mut rows = vec![0];
        for (size, step) in self.pieces.iter().zip(steps) {
            rows = rows.iter().flat_map(|row| (0..*size).map(move |i| row + i * step)).collect();
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A feature map [c, h, w] that lies in memory as [h, w, c].
    fn map() -> Layout {
        Layout::new(&[3, 4, 5], &[1, 2, 0])
    }

    fn chw() -> Option<Route> {
        Some(Route { dims: vec![20, 3], order: vec![1, 0] })
    }

    #[test]
    fn a_transposition_is_a_matter_of_words() {
        let x = map();
        assert_eq!((x.dims(), x.len(), x.ending(&[])), (vec![3, 4, 5], 60, vec![1, 2, 0]));
        assert_eq!(x.route(&[1, 2, 0]), None);
        assert_eq!(x.route(&[0, 1, 2]), chw());
        let t = x.transpose(&[1, 2, 0]);
        assert_eq!((t.dims(), t.route(&[0, 1, 2])), (vec![4, 5, 3], None));
    }

    #[test]
    fn flatten_keeps_memory_and_tells_the_rows() {
        let flat = map().reshape(&[60]).unwrap();
        assert_eq!((flat.dims(), flat.route(&[0])), (vec![60], chw()));
        let rows = flat.rows(0);
        // Memory counts h, w, c; the axis counts c, h, w.
        assert_eq!(rows[..5], [0, 20, 40, 1, 21]);
    }

    #[test]
    fn shuffling_channels_moves_only_channels() {
        let x = Layout::new(&[6, 4, 5], &[1, 2, 0]);
        let shuffled = x.reshape(&[2, 3, 4, 5]).unwrap().transpose(&[1, 0, 2, 3]).reshape(&[6, 4, 5]).unwrap();
        assert_eq!(shuffled.ending(&[]), [1, 2, 0]);
        assert_eq!(shuffled.route(&[1, 2, 0]), Some(Route { dims: vec![20, 2, 3], order: vec![0, 2, 1] }));
    }

    #[test]
    fn axes_of_size_one_are_nowhere() {
        let pooled = Layout::new(&[7, 1, 1], &[1, 2, 0]);
        assert_eq!(pooled, Layout::plain(&[7, 1, 1]));
        assert_eq!(pooled.squeeze(&[1, 2]).unsqueeze(&[0]).dims(), [1, 7]);
        assert_eq!(pooled.route(&[2, 0, 1]), None);
        assert_eq!(Layout::plain(&[1]).rows(0), [0]);
    }

    #[test]
    fn what_cuts_a_piece_is_refused() {
        assert_eq!(map().reshape(&[5, 12]), None);
        assert_eq!(map().reshape(&[30]), None);
        assert_eq!(map().reshape(&[120]), None);
        assert_eq!(Layout::plain(&[60]).reshape(&[5, 12]).unwrap().dims(), [5, 12]);
    }
}
