//! The one source of randomness: Philox4x32-10, a counter-based generator.
//!
//! A counter-based generator computes word `i` of a stream from the key and
//! `i` alone. So a stream can be cut at any point and its pieces drawn by
//! different threads, in any order, with the same bits; and a resumed run needs
//! to store no generator state, only the step it had reached.
//!
//! Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3", SC'11, doi:10.1145/2063384.2063405.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// A stream of random words that can be split into independent streams.
///
/// ```
/// use striate::rng::Rng;
/// let root = Rng::new(7);
/// let mut a = root.split("shuffle").split_at(3);
/// let mut b = root.split("shuffle").split_at(3);
/// assert_eq!(a.next_u32(), b.next_u32());
/// assert_ne!(root.split("dropout").word(0), root.split("shuffle").word(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rng {
    key: [u32; 2],
    position: u64,
}

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { key: halves(seed), position: 0 }
    }

    /// The stream named `label` below this one; independent of the parent's position.
    #[must_use]
    pub fn split(&self, label: &str) -> Self {
        let hash =
            label.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
        self.child(hash, 1)
    }

    /// The stream numbered `index` below this one; independent of the parent's position.
    #[must_use]
    pub fn split_at(&self, index: u64) -> Self {
        self.child(index, 2)
    }

    // Words of a stream have 0 in the third and fourth counter word; children do not.
    fn child(&self, id: u64, space: u32) -> Self {
        let [low, high] = halves(id);
        let out = philox([low, high, space, 0x5354_5249], self.key);
        Self { key: [out[0], out[1]], position: 0 }
    }

    /// Word `index` of this stream.
    #[inline]
    pub fn word(&self, index: u64) -> u32 {
        self.block(index / 4)[(index % 4) as usize]
    }

    /// Words `4 * index .. 4 * index + 4` of this stream.
    #[inline]
    pub fn block(&self, index: u64) -> [u32; 4] {
        let [low, high] = halves(index);
        philox([low, high, 0, 0], self.key)
    }

    /// The next word.
    pub fn next_u32(&mut self) -> u32 {
        let word = self.word(self.position);
        self.position += 1;
        word
    }

    /// The next two words as one.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// A whole number in `0..bound`, without bias (Lemire's method, doi:10.1145/3230636).
    ///
    /// A bound of 0 gives 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let threshold = if bound == 0 { 0 } else { bound.wrapping_neg() % bound };
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// A uniform number in `[0, 1)` with 24 random bits.
    pub fn uniform(&mut self) -> f32 {
        unit(self.next_u32())
    }

    /// A standard normal number (Box-Muller in f64, with platform-independent functions).
    pub fn normal(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
        let u = ((self.next_u64() >> 11) as f64 + 0.5) * SCALE;
        let v = ((self.next_u64() >> 11) as f64 + 0.5) * SCALE;
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
    }

    /// Shuffles `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u32 + 1) as usize;
            items.swap(i, j);
        }
    }
}

/// A word as a uniform number in `[0, 1)`.
#[inline]
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

#[inline]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let a = u64::from(MULTIPLIER[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIER[1]) * u64::from(counter[2]);
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    // The authors' known answers for philox4x32-10 (Random123, kat_vectors).
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]);
        let pi = [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344];
        assert_eq!(philox(pi, [0xA409_3822, 0x299F_31D0]), [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]);
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut rng = Rng::new(1);
        let n = 100_000;
        let draws: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn below_is_in_range_and_even() {
        let mut rng = Rng::new(2);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[rng.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (9_600..10_400).contains(c)), "{counts:?}");
    }

    #[test]
    fn shuffle_keeps_all_items() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(3).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
