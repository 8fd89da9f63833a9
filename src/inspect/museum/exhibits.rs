//! The exhibits: what each mistake is, where it comes from, and what it teaches.

use super::Bug;

/// A mistake that was really made, with what is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhibit {
    /// What it is called by.
    pub id: &'static str,
    /// The mistake in a few words.
    pub title: &'static str,
    /// What is wrong.
    pub mistake: &'static str,
    /// Where it is seen.
    pub seen: &'static str,
    /// The right lines.
    pub right: &'static str,
    /// The wrong lines.
    pub wrong: &'static str,
    /// What it teaches.
    pub lesson: &'static str,
    pub(super) bug: Bug,
}

/// All exhibits, in the order of the rooms.
pub fn exhibits() -> &'static [Exhibit] {
    &EXHIBITS
}

const EXHIBITS: [Exhibit; 7] = [
    Exhibit {
        id: "D1",
        title: "im2col without a step",
        mistake: "im2col cuts one slice for each place of the window, and forgets the step of that slice. At stride 1 \
                  nothing changes. At stride 2 the slices are compact blocks, and most of the image is never read.",
        seen: "In im2col written with slices of arrays; tests at stride 1 pass, and pooling uses the same function at stride 2.",
        right: "col[:, :, u, v] = x[:, :, u : u + stride * oh : stride, v : v + stride * ow : stride]",
        wrong: "col[:, :, u, v] = x[:, :, u * stride : u * stride + oh, v * stride : v * stride + ow]",
        lesson: "Forward and backward make the same mistake, so the gradient check passes: it proves that the gradient \
                 belongs to the function, not that the function is the one you meant. Compare forward with its formula too.",
        bug: Bug::NoStep,
    },
    Exhibit {
        id: "D2",
        title: "filters reshaped, not transposed",
        mistake: "The filters [f, c, fh, fw] become a matrix by a reshape to [c fh fw, f], which deals their numbers out \
                  to the columns in turn. No column is a filter any more; with one filter it happens to be right.",
        seen: "Where a matrix has the right shape and the product runs: shapes agree, so nothing complains.",
        right: "matrix = w.reshape(f, c * fh * fw).T",
        wrong: "matrix = w.reshape(c * fh * fw, f)",
        lesson: "It learns as well as the right one, since it only stores its weights in another order, and the \
                 gradient check passes. But trained weights of others give nonsense, and pictures of the filters are noise.",
        bug: Bug::ScrambledFilters,
    },
    Exhibit {
        id: "D3",
        title: "two layouts in one layer",
        mistake: "Forward uses the scrambled matrix of D2, while the gradient to the filters is laid out for the right \
                  one. Every weight gets the gradient of another weight.",
        seen: "Where forward and backward were copied from different places, or one of them was repaired.",
        right: "dw = (col.T @ dy).T.reshape(f, c, fh, fw)   with   matrix = w.reshape(f, -1).T",
        wrong: "dw = (col.T @ dy).T.reshape(f, c, fh, fw)   with   matrix = w.reshape(-1, f)",
        lesson: "The filters wander at random while the dense layers learn around them, so the loss falls. The gradient \
                 check of the filters fails at once, and names the tensor.",
        bug: Bug::TwoLayouts,
    },
    Exhibit {
        id: "D4",
        title: "a col2im that returns zeros",
        mistake: "col2im allocates its result and never adds anything to it. Pooling uses it on the way back, so all \
                  that lies before the pool gets gradients of exactly 0.",
        seen: "Where the loop that accumulates works on a copy, or was never finished.",
        right: "x[:, :, u : u + stride * oh : stride, v : v + stride * ow : stride] += col[:, :, u, v]",
        wrong: "image = zeros(...); ...; return image   # nothing was added",
        lesson: "The filters stay at their random start, and the loss still falls: on digits, dense layers learn on \
                 random features. A loss that falls does not say that every layer learns.",
        bug: Bug::EmptyCol2im,
    },
    Exhibit {
        id: "D5",
        title: "a transpose whose result is lost",
        mistake: "The backward pass of pooling calls transpose and drops what it returns, so the gradient is read in \
                  the wrong order: right numbers, wrong places. In the same layer the size of the output forgets the padding.",
        seen: "Wherever a function returns a new array and looks as if it changed its argument.",
        right: "dy = dy.transpose(0, 2, 3, 1);   oh = (h + 2 * pad - ph) // stride + 1",
        wrong: "dy.transpose(0, 2, 3, 1);        oh = (h - ph) // stride + 1",
        lesson: "All sizes agree and all numbers are of the right order, so only a comparison number by number finds it. \
                 At padding 0 the second mistake never shows: test the setting that you do not use.",
        bug: Bug::LostTranspose,
    },
    Exhibit {
        id: "quarter",
        title: "a pool gradient of a quarter",
        mistake: "The gradient of a maximum pool is divided by the number of places under the window, as an average's is.",
        seen: "Where one backward pass was written for average pooling and adapted for the maximum.",
        right: "dcol[row, winner] = dy",
        wrong: "dcol[row, winner] = dy / (ph * pw)",
        lesson: "The direction is right, only the filters learn four times more slowly, which looks like a learning rate \
                 that is a little low. An optimiser such as Adam hides it altogether.",
        bug: Bug::QuarterGradient,
    },
    Exhibit {
        id: "overwrite",
        title: "a gradient that overwrites",
        mistake: "The gradient to the filters is written for each image of the batch instead of added, so that the last \
                  image alone counts.",
        seen: "In loops over a batch, and wherever a value is used twice: branches, shared weights, overlapping windows.",
        right: "for i in range(n): dw += col[i].T @ dy[i]",
        wrong: "for i in range(n): dw  = col[i].T @ dy[i]",
        lesson: "It learns, noisily and slowly. On a batch of one image it is right: check gradients on more than one.",
        bug: Bug::Overwrites,
    },
];
