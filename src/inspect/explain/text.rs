//! Text as a page of a book has it: numbers without needless digits, matrices with straight columns, blocks side by side.

use super::Maps;
use crate::conv::Axis;

/// Columns of a page.
pub(super) const WIDTH: usize = 80;
// Wrapped lines may still be indented.
const WRAPPED: usize = WIDTH - 2;

/// A number with at most four digits after the point; very large and very small ones with a power of ten.
pub(super) fn num(v: f64) -> String {
    let size = v.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        return format!("{v:.3e}");
    }
    let text = format!("{v:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// A number inside of a sum or product: a negative one in brackets.
pub(super) fn factor(v: f64) -> String {
    let text = num(v);
    if text.starts_with('-') { format!("({text})") } else { text }
}

/// Lines of text that are set as one.
pub(super) type Block = Vec<String>;

/// A matrix in square brackets, its columns straight.
pub(super) fn bracketed(rows: &[Vec<String>]) -> Block {
    let columns = rows.first().map_or(0, Vec::len);
    let len = |s: &String| s.chars().count();
    let widths: Vec<usize> = (0..columns).map(|j| rows.iter().map(|r| len(&r[j])).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:>width$}"));
        format!("[ {} ]", cells.collect::<Vec<_>>().join("  "))
    };
    rows.iter().map(line).collect()
}

/// A plane of numbers as a block.
pub(super) fn plane(maps: &Maps, channel: usize) -> Block {
    bracketed(&maps.plane(channel).iter().map(|row| row.iter().map(|v| num(*v)).collect()).collect::<Vec<_>>())
}

/// A block with its name above it.
pub(super) fn titled(title: &str, block: Block) -> Block {
    std::iter::once(title.to_string()).chain(block).collect()
}

/// The width of a block.
pub(super) fn width(block: &Block) -> usize {
    block.iter().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Blocks side by side, their last lines level, with `gap` blanks between; below each other where the page is too narrow.
pub(super) fn beside(blocks: &[Block], gap: usize) -> Block {
    let total: usize = blocks.iter().map(width).sum::<usize>() + gap * blocks.len().saturating_sub(1);
    if total + 2 > WIDTH {
        return blocks.iter().enumerate().fold(Block::new(), |mut all, (i, block)| {
            all.extend((i > 0 && block.len() > 1).then(String::new));
            all.extend(block.iter().cloned());
            all
        });
    }
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let line = |i: usize| {
        let part = |block: &Block| {
            let text = (i + block.len()).checked_sub(height).map_or("", |at| &block[at]);
            format!("{text:<width$}", width = width(block))
        };
        blocks.iter().map(part).collect::<Vec<_>>().join(&" ".repeat(gap)).trim_end().to_string()
    };
    (0..height).map(line).collect()
}

/// A block of one sign, level with the middle of a matrix of so many rows.
pub(super) fn sign(text: &str, rows: usize) -> Block {
    (0..rows).map(|i| if i == rows / 2 { text.to_string() } else { String::new() }).collect()
}

/// Words in lines that fit a page even when they are indented, the following ones indented by `indent`.
pub(super) fn wrapped(text: &str, indent: usize) -> Block {
    let mut lines = Block::new();
    let lead = text.chars().take_while(|c| *c == ' ').count();
    let (mut line, mut empty) = (" ".repeat(lead), true);
    for word in text.trim_start().split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WRAPPED {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines
}

/// Lines moved to the right.
pub(super) fn indented(block: &Block) -> Block {
    block.iter().map(|line| if line.is_empty() { String::new() } else { format!("  {line}") }).collect()
}

/// The formula of an axis with its numbers; where a last, partial window counts, it is rounded up.
pub(super) fn formula(axis: &Axis) -> String {
    let floor = (axis.input + axis.before + axis.after - axis.reach()) / axis.stride + 1;
    let text = axis.formula();
    if floor == axis.output { text } else { text.replacen("floor", "ceil", 1) }
}

/// How many rows or columns the floor of an axis drops, as a remark; nothing if none.
pub(super) fn dropped(axis: &Axis, what: &str) -> String {
    match axis.dropped() {
        0 => String::new(),
        1 => format!("   the floor drops the last {what}"),
        n => format!("   the floor drops the last {n} {what}s"),
    }
}

/// The sizes of the output of both axes, by the formula with its numbers.
pub(super) fn sizes(axes: [&Axis; 2]) -> Block {
    let names = [("height", "row"), ("width", "column")];
    let line = |(axis, (name, what)): (&Axis, (&str, &str))| {
        let dilated = match axis.dilation {
            1 => String::new(),
            d => format!("   reach ({} - 1) {d} + 1 = {}", axis.kernel, axis.reach()),
        };
        format!("{name:<7} {}{dilated}{}", formula(axis), dropped(axis, what))
    };
    axes.into_iter().zip(names).map(line).collect()
}

/// Joins lines, each with its end.
pub(super) fn page(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_needless_digits() {
        let all = [1.0, -0.0, 2.5, 1.0 / 3.0, -12_345.678_94, 1e9, -3e-7, 0.0].map(num);
        assert_eq!(all, ["1", "0", "2.5", "0.3333", "-12345.6789", "1.000e9", "-3.000e-7", "0"]);
        assert_eq!([factor(-2.0), factor(2.0)], ["(-2)", "2"]);
    }

    #[test]
    fn blocks_stand_side_by_side_while_they_fit() {
        let a = bracketed(&[vec!["1".into(), "-20".into()], vec!["333".into(), "4".into()]]);
        assert_eq!(a, ["[   1  -20 ]", "[ 333    4 ]"]);
        let row = beside(&[titled("x", a.clone()), sign("=", 2), a.clone()], 2);
        assert_eq!(row, ["x", "[   1  -20 ]     [   1  -20 ]", "[ 333    4 ]  =  [ 333    4 ]"]);
        assert_eq!(beside(&vec![a; 8], 2).len(), 8 * 2 + 7);
    }

    #[test]
    fn long_sums_are_wrapped() {
        let lines = wrapped(&vec!["1·(-2) +"; 40].join(" "), 4);
        assert!(lines.len() > 3 && lines.iter().all(|l| l.chars().count() <= WIDTH));
        assert!(lines[1..].iter().all(|l| l.starts_with("    ") && !l.starts_with("     ")), "{lines:?}");
        assert_eq!(wrapped("  a  b", 4), ["  a  b"]);
    }
}
