//! Many held-out items of one user ranked at once: a search for each score in place of a pass for each item.
//!
//! With the targets sorted, `t_0 <= t_1 <= ...`, a score `s` is greater than the first `b = #{ t < s }` of them and
//! equal to those that follow with `t = s`. So it is enough to count how often each `b` occurs, and how often with an
//! equal target: sums over these counts are the positions.

use super::Position;

/// Scores of the held-out items of one user, sorted, and how the scores counted so far lie between them.
///
/// It keeps its room, so that one serves any number of users.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// The targets, then NaN.
    ascending: Vec<f32>,
    /// Which target stands at each place of `ascending`.
    order: Vec<u32>,
    /// At each place the counted scores that are greater than exactly so many targets, and those that equal the next
    /// one.
    counts: Vec<[[u32; 2]; Targets::LANES]>,
}

impl Targets {
    /// Scores that are counted at a time, each in a count of its own: adding to what was just written has to wait for
    /// it.
    pub const LANES: usize = 4;

    /// Forgets what was counted and starts with those targets, none of them NaN.
    pub fn set(&mut self, targets: &[f32]) {
        self.order.clear();
        self.order.extend(0..targets.len() as u32);
        self.order.sort_unstable_by(|&a, &b| targets[a as usize].total_cmp(&targets[b as usize]));
        self.ascending.clear();
        self.ascending.extend(self.order.iter().map(|&target| targets[target as usize]));
        // NaN equals nothing, so a score above all targets has no target to equal.
        self.ascending.push(f32::NAN);
        self.counts.clear();
        self.counts.resize(self.ascending.len(), [[0; 2]; Self::LANES]);
    }

    /// The targets, ascending.
    pub fn ascending(&self) -> &[f32] {
        &self.ascending[..self.order.len()]
    }

    /// Counts scores of which each is greater than the first `below` of [`Self::ascending`] and no more. One of
    /// negative infinity counts for nothing where all targets are finite.
    ///
    /// # Panics
    /// When there are fewer targets.
    #[inline(always)]
    pub fn add(&mut self, scores: [f32; Self::LANES], below: [usize; Self::LANES]) {
        // Slices of one length need one check of a bound.
        let ascending = &self.ascending[..];
        let counts = &mut self.counts[..ascending.len()];
        for lane in 0..Self::LANES {
            let [above, equal] = &mut counts[below[lane]][lane];
            *above += 1;
            *equal += u32::from(ascending[below[lane]] == scores[lane]);
        }
    }

    /// Adds scores that were counted elsewhere, at each place of [`Self::ascending`] and at its end: those that are
    /// greater than exactly so many targets, and those of them that equal the next one. At the first place only the
    /// latter matter.
    ///
    /// # Panics
    /// Where these are not one more than the targets.
    pub fn add_counts(&mut self, greater: &[u32], equal: &[u32]) {
        assert_eq!([greater.len(), equal.len()], [self.counts.len(); 2], "counts at each place and at the end");
        for (count, (greater, equal)) in self.counts.iter_mut().zip(greater.iter().zip(equal)) {
            count[0][0] += greater;
            count[0][1] += equal;
        }
    }

    /// Writes how many of the scores were greater than and equal to each target, in the order in which they were set.
    ///
    /// # Panics
    /// When there is no place for each target.
    pub fn finish(&self, positions: &mut [Position]) {
        assert_eq!(positions.len(), self.order.len(), "one position for each target");
        let count = |place: usize, which: usize| -> u32 { self.counts[place].iter().map(|lane| lane[which]).sum() };
        let mut greater: u32 = (0..self.counts.len()).map(|place| count(place, 0)).sum();
        let mut first = 0;
        // No score lies between equal targets: what equals them was counted at the first of them.
        for ties in self.ascending().chunk_by(|a, b| a == b) {
            greater -= count(first, 0);
            let equal = count(first, 1);
            for &target in &self.order[first..first + ties.len()] {
                let position = &mut positions[target as usize];
                (position.greater, position.equal) = (greater, equal);
            }
            first += ties.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all magnitudes, with both zeros, neighbours, and the ends of the range.
    fn numbers() -> Vec<f32> {
        let some = [0.0, 1e-45, 1e-38, 0.3, 1.0, 1.0f32.next_up(), 1.0f32.next_down(), 77.0, 1e30, f32::MAX];
        some.iter().flat_map(|&number| [number, -number]).collect()
    }

    #[test]
    fn counts_are_those_of_every_pair() {
        let numbers = numbers();
        let all = numbers.len();
        let mut found = Targets::default();
        for from in 0..all {
            for to in from..=all {
                // Steps that have no divisor in common with the count visit all; some targets twice.
                for step in [1, 7] {
                    let targets: Vec<f32> =
                        (from..to).chain(from..to.min(from + 3)).map(|n| numbers[n * step % all]).collect();
                    found.set(&targets);
                    for &scores in
                        numbers.as_chunks().0.iter().chain(&[[f32::NEG_INFINITY, 0.5, 0.5, f32::NEG_INFINITY]])
                    {
                        let below = |score: f32| found.ascending().partition_point(|&target| target < score);
                        found.add(scores, scores.map(below));
                    }
                    let mut positions = vec![Position { candidates: 9, ..Position::default() }; targets.len()];
                    found.finish(&mut positions);
                    for (position, target) in positions.iter().zip(&targets) {
                        let scores = numbers.iter().chain(&[0.5, 0.5]);
                        let greater = scores.clone().filter(|&score| score > target).count() as u32;
                        let equal = scores.filter(|&score| score == target).count() as u32;
                        assert_eq!(*position, Position { greater, equal, candidates: 9 }, "{target} of {targets:?}");
                    }
                    // The same counts, made elsewhere, in two parts.
                    let counts = found.counts.clone();
                    found.set(&targets);
                    for lanes in [0..1, 1..Targets::LANES] {
                        let part = |which: usize| -> Vec<u32> {
                            counts.iter().map(|all| all[lanes.clone()].iter().map(|lane| lane[which]).sum()).collect()
                        };
                        let mut greater = part(0);
                        greater[0] = 0;
                        found.add_counts(&greater, &part(1));
                    }
                    let expected = positions.clone();
                    found.finish(&mut positions);
                    assert_eq!(positions, expected);
                }
            }
        }
    }
}
