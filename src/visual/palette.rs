//! Palettes: the 256 colours that stand for all colours of some pages.
//!
//! The most frequent colours (the page, the ink, the frames) are kept as they are. The others are boxes in the cube of
//! red, green and blue: the box with the most pixels times its longest side is cut where half of its pixels are on either
//! side, until there are enough, and each becomes the mean of its pixels.
//!
//! Source: Heckbert, "Color image quantization for frame buffer display", 1982, doi:10.1145/800064.801294.

use std::collections::BTreeMap;

const MOST: usize = 256;
// So many of the most frequent colours are kept as they are, where there are more than the palette holds.
const KEPT: usize = 64;

/// The colours of some pages, numbered as they come, with how often each was seen.
#[derive(Default)]
pub(super) struct Colours {
    numbers: BTreeMap<[u8; 3], u32>,
    seen: Vec<([u8; 3], u64)>,
}

pub(super) struct Palette {
    /// Three bytes a colour.
    pub bytes: Vec<u8>,
    /// The place in the palette of each numbered colour.
    pub index: Vec<u8>,
}

impl Colours {
    /// The numbers of the pixels of a page.
    pub fn numbered(&mut self, rgb: &[u8]) -> Vec<u32> {
        let mut last = ([0; 3], u32::MAX);
        let mut out = Vec::with_capacity(rgb.len() / 3);
        for pixel in rgb.chunks_exact(3) {
            let colour = [pixel[0], pixel[1], pixel[2]];
            if last.1 == u32::MAX || last.0 != colour {
                let next = self.seen.len() as u32;
                let number = *self.numbers.entry(colour).or_insert(next);
                if number == next {
                    self.seen.push((colour, 0));
                }
                last = (colour, number);
            }
            self.seen[last.1 as usize].1 += 1;
            out.push(last.1);
        }
        out
    }

    /// At most 256 colours, and which of them stands for each.
    pub fn palette(&self) -> Palette {
        let mut order: Vec<usize> = (0..self.seen.len()).collect();
        order.sort_by_key(|i| (std::cmp::Reverse(self.seen[*i].1), self.seen[*i].0));
        let kept = if order.len() <= MOST { order.len() } else { KEPT };
        let (mut bytes, mut index) = (Vec::new(), vec![0; self.seen.len()]);
        let boxes = order[..kept].iter().map(|i| vec![*i]).chain(self.boxes(order[kept..].to_vec(), MOST - kept));
        for (place, members) in boxes.enumerate() {
            members.iter().for_each(|i| index[*i] = place as u8);
            bytes.extend(self.mean(&members));
        }
        Palette { bytes, index }
    }

    fn boxes(&self, all: Vec<usize>, most: usize) -> Vec<Vec<usize>> {
        if all.is_empty() {
            return Vec::new();
        }
        let mut boxes = vec![(self.worth(&all), all)];
        while boxes.len() < most {
            // Of equal ones the first.
            let best = (0..boxes.len()).max_by_key(|i| (boxes[*i].0, std::cmp::Reverse(*i)));
            let Some(at) = best.filter(|i| boxes[*i].0 > 0) else { break };
            let (one, other) = self.cut(std::mem::take(&mut boxes[at].1));
            boxes[at] = (self.worth(&one), one);
            boxes.push((self.worth(&other), other));
        }
        boxes.into_iter().map(|(_, members)| members).collect()
    }

    fn worth(&self, members: &[usize]) -> u64 {
        members.iter().map(|i| self.seen[*i].1).sum::<u64>() * u64::from(self.longest(members).1)
    }

    // The channel along which a box is longest, and how long.
    fn longest(&self, members: &[usize]) -> (usize, u8) {
        let side = |c: usize| {
            let values = || members.iter().map(|i| self.seen[*i].0[c]);
            values().max().unwrap_or(0) - values().min().unwrap_or(0)
        };
        (0..3).map(|c| (c, side(c))).max_by_key(|(c, side)| (*side, 3 - c)).unwrap_or((0, 0))
    }

    // A box of two colours or more, cut where half of its pixels are on either side.
    fn cut(&self, mut members: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
        let (channel, _) = self.longest(&members);
        members.sort_by_key(|i| (self.seen[*i].0[channel], self.seen[*i].0));
        let half = members.iter().map(|i| self.seen[*i].1).sum::<u64>() / 2;
        let mut sum = 0;
        let before = |i: &usize| {
            sum += self.seen[*i].1;
            sum <= half
        };
        let at = members.iter().copied().take_while(before).count().clamp(1, members.len() - 1);
        let other = members.split_off(at);
        (members, other)
    }

    fn mean(&self, members: &[usize]) -> [u8; 3] {
        let pixels: u64 = members.iter().map(|i| self.seen[*i].1).sum();
        [0, 1, 2].map(|c| {
            let sum: u64 = members.iter().map(|i| u64::from(self.seen[*i].0[c]) * self.seen[*i].1).sum();
            ((sum + pixels / 2) / pixels.max(1)) as u8
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_kept_exactly() {
        let mut colours = Colours::default();
        let page = [[9, 8, 7], [1, 2, 3], [9, 8, 7]].concat();
        let numbers = colours.numbered(&page);
        let palette = colours.palette();
        let back: Vec<u8> = numbers
            .iter()
            .flat_map(|n| {
                let at = 3 * usize::from(palette.index[*n as usize]);
                palette.bytes[at..at + 3].to_vec()
            })
            .collect();
        assert_eq!(back, page);
    }

    // A page of white, and 4096 colours that are as frequent as each other.
    #[test]
    fn many_colours_are_cut_into_boxes_and_none_is_far_from_its_own() {
        let mut page = vec![255; 3 * 5000];
        page.extend((0..4096_u32).flat_map(|i| [(i % 16 * 16) as u8, (i / 16 % 16 * 16) as u8, (i / 256 * 16) as u8]));
        let mut colours = Colours::default();
        let numbers = colours.numbered(&page);
        let palette = colours.palette();
        assert_eq!(palette.bytes.len(), 3 * 256);
        let mut squares = 0.0;
        for (pixel, n) in page.chunks(3).zip(&numbers) {
            let at = 3 * usize::from(palette.index[*n as usize]);
            let off = (0..3).map(|c| (f64::from(pixel[c]) - f64::from(palette.bytes[at + c])).powi(2)).sum::<f64>();
            assert!(pixel != [255, 255, 255] || off == 0.0, "the page stays white");
            assert!(off.sqrt() <= 60.0, "{pixel:?} became {:?}", &palette.bytes[at..at + 3]);
            squares += off;
        }
        // 192 boxes of 21 colours are cubes of 2.8 steps: the mean square is about 3 * 16^2 * (2.8^2 - 1) / 12.
        assert!(squares / 4096.0 < 700.0, "{}", squares / 4096.0);
    }
}
