//! How blocks of threads share the items.
//!
//! A block of threads goes through many tiles of items for one panel of users. Where there are fewer panels than
//! blocks that run at a time, or a few more than a multiple of that, the items are split, so that no part of the
//! device waits.

/// Blocks of threads that run on a multiprocessor at a time.
const RESIDENT: usize = 2;

/// What a split costs in tiles: at its start nearly every score is among the best.
const START: usize = 16;

/// The items in splits of so many tiles each, the last one perhaps of fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cuda) struct Splits {
    pub(in crate::cuda) count: u32,
    pub(in crate::cuda) tiles: u32,
}

impl Splits {
    /// At most `most` splits of `tiles` tiles for so many panels of users, at least 1 of each.
    pub(in crate::cuda) fn new(panels: usize, tiles: usize, multiprocessors: usize, most: usize) -> Self {
        let running = RESIDENT * multiprocessors;
        // A grid has at most so many blocks in its second dimension.
        let most = most.min(tiles).clamp(1, 65_535);
        let least = running.div_ceil(panels).min(most);
        let splits = (least..=most.min(least + 3)).map(|wanted| {
            let each = tiles.div_ceil(wanted);
            let count = tiles.div_ceil(each);
            let rounds = (panels * count).div_ceil(running);
            (rounds * (each + START), count, each)
        });
        let (_, count, each) = splits.min().expect("there is a first one");
        Self { count: count as u32, tiles: each as u32 }
    }

    /// In steps of so many, round and round, the tiles of a split are all visited, and soon from all its parts.
    pub(in crate::cuda) fn step(self) -> u32 {
        // The golden section leaves no gap for long.
        let near = (f64::from(self.tiles) * 0.618_033_988_75) as u32;
        (2..=near).rev().find(|&step| greatest_divisor(step, self.tiles) == 1).unwrap_or(1)
    }
}

fn greatest_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tiles_are_in_one_split() {
        for panels in [1, 2, 63, 100, 300, 5000] {
            for tiles in [1, 2, 3, 100, 461, 8000] {
                for most in [0, 1, 5, usize::MAX] {
                    let splits = Splits::new(panels, tiles, 132, most);
                    let (count, each) = (splits.count as usize, splits.tiles as usize);
                    assert!(count >= 1 && count <= most.max(1) && count * each >= tiles && (count - 1) * each < tiles);
                    if most > tiles && panels < 264 {
                        assert!(each == 1 || count * panels > 100, "{panels} {tiles}: {splits:?}");
                    }
                }
            }
        }
        assert_eq!(Splits::new(2540, 461, 132, 9), Splits { count: 1, tiles: 461 });
        assert_eq!(Splits::new(1, 461, 132, 1000), Splits { count: 231, tiles: 2 });
    }

    #[test]
    fn steps_visit_every_tile() {
        for tiles in (1..300).chain([461, 1 << 20]) {
            let step = Splits { count: 1, tiles }.step();
            assert!((1..=tiles).contains(&step) && greatest_divisor(step, tiles) == 1, "{step} of {tiles}");
            assert!(tiles < 100 || (0.5..0.63).contains(&(f64::from(step) / f64::from(tiles))), "{step} of {tiles}");
        }
    }
}
