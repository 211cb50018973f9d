//! The MT19937 generator with the integer seeding and the draws of numpy's legacy global stream.
//!
//! Only for reproducing recorded data; everything else draws from `run.streams`. Written out here because the
//! stream must stay the same for ever, and the derived draws (uniform, bounded, shuffle) are numpy's own.
//! Matsumoto & Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998.

const WORDS: usize = 624;
const MIDDLE: usize = 397;

/// A generator at some point of its stream.
pub(super) struct Mt19937 {
    state: [u32; WORDS],
    next: usize,
}

impl Mt19937 {
    /// The classic initialisation by one integer, not the one by an array that Python's own `random` uses.
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for i in 1..WORDS {
            let before = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: WORDS }
    }

    /// The next 32 random bits.
    pub(super) fn word(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A uniform number in [0, 1) with 53 random bits, from two words.
    pub(super) fn uniform(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// A whole number in `0..=last`: words are masked to the bits of `last` and drawn again until one fits.
    pub(super) fn bounded(&mut self, last: u32) -> u32 {
        let mask = last.checked_ilog2().map_or(0, |bits| u32::MAX >> (31 - bits));
        loop {
            let drawn = self.word() & mask;
            if drawn <= last {
                return drawn;
            }
        }
    }

    /// Shuffles from the last place down. At most 2^32 elements.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.bounded(place as u32) as usize);
        }
    }

    fn twist(&mut self) {
        for i in 0..WORDS {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % WORDS] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + MIDDLE) % WORDS] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published outputs for the reference seed; the 10,000th is the one the C++ standard demands.
    #[test]
    fn known_answers() {
        let mut rng = Mt19937::new(5489);
        let words: Vec<u32> = (0..10_000).map(|_| rng.word()).collect();
        assert_eq!((&words[..3], words[9_999]), ([3499211612, 581869302, 3890346734].as_slice(), 4123659995));
    }

    /// `numpy.random.seed(42); numpy.random.rand(3)`.
    #[test]
    fn uniforms_are_those_of_numpy() {
        let mut rng = Mt19937::new(42);
        let drawn: Vec<f64> = (0..3).map(|_| rng.uniform()).collect();
        assert_eq!(drawn, [0.3745401188473625, 0.9507143064099162, 0.7319939418114051]);
    }

    /// `numpy.random.seed(42); numpy.random.permutation(10)` (which shuffles 0..10).
    #[test]
    fn shuffles_are_those_of_numpy() {
        let mut list: Vec<u32> = (0..10).collect();
        Mt19937::new(42).shuffle(&mut list);
        assert_eq!(list, [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
    }

    #[test]
    fn bounds_are_reached_and_kept() {
        let mut rng = Mt19937::new(1);
        for last in [0, 1, 2, 3, 4, 7] {
            let mut counts = [0; 8];
            (0..400).for_each(|_| counts[rng.bounded(last) as usize] += 1);
            assert!(
                counts[..=last as usize].iter().all(|&c| c > 0)
                    && counts[last as usize + 1..] == [0; 8][last as usize + 1..]
            );
        }
        let halves = (0..64).filter(|_| rng.bounded(u32::MAX) > u32::MAX / 2).count();
        assert!((1..64).contains(&halves));
    }
}
