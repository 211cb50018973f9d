//! Ratings with two separate sources of unfairness: population imbalance and observation bias.
//!
//! Half of the users (group M) and half of the items (group M) match each other, and so do the other halves (F).
//! A cell of the users x items matrix is *matching* where user and item are in groups of the same letter,
//! *crossed* otherwise. Every user of a group follows one of `rank` taste patterns of that group:
//!
//! ```text
//! P(a pattern likes an item)       = p matching, q crossed     p != q: population imbalance
//! P(a cell is observed)            = r matching, s crossed     r != s: observation bias
//! value                            = +1 for a like, -1 otherwise
//! ```
//!
//! Population imbalance is in the truth: the groups differ in what they like. Observation bias is in the data alone: of two
//! equally liked groups one is seen less. The observed cells are the training rows, the others, with their true
//! values, the test rows: known only because the world is made up.
//!
//! Jaewoong Cho, Moonseok Choi and Changho Suh, "Equal Experience in Recommender Systems", arXiv 2210.05936, 2022.

mod compat;
mod general;
mod mt19937;

use evenhand_core::{Dataset, Environment, Error, Groups, Interactions, Params, Result, Rows, Run, Scale, Simulator};
use evenhand_core::{choice, plugin};

choice! {
    /// Where the random numbers come from.
    pub enum Mode {
        /// From the seed of the run, all independent; any sizes.
        General = "general",
        /// From the generator behind the recorded results, bit for bit: always the same data, whatever the seed. Both halves
        /// of the items share their random numbers, so that likes are nested: where p >= q, an item of the crossed half
        /// is liked only where its counterpart in the matching half is. Users and items must be even, `rank` must divide
        /// users / 2, and `test_share` must be 1.
        SeedCompatible = "seed-compatible",
    }
}

plugin! {
    /// Likes and dislikes of two groups of users for two groups of items, with population imbalance and observation bias.
    pub struct BiasedRatings: Simulator = "biased-ratings",
        from "Cho, Choi & Suh 2022, Equal Experience in Recommender Systems, arXiv 2210.05936" {
        /// Number of users; the first half (rounded up) is group M, the rest F.
        users: usize = 600, in 2..;
        /// Number of items; the first half (rounded up) is group M, the rest F.
        items: usize = 400, in 2..;
        /// Number of taste patterns per group of users. They are spread evenly over the users, in random order.
        rank: usize = 10, in 1..;
        /// Chance of a like in a matching cell (M user on M item, F user on F item).
        p: f64 = 0.4, in 0.0..=1.0;
        /// Chance of a like in a crossed cell. Where it differs from `p`, the population is imbalanced.
        q: f64 = 0.1, in 0.0..=1.0;
        /// Chance that a matching cell is observed.
        r: f64 = 0.2, in 0.0..=1.0;
        /// Chance that a crossed cell is observed. Where it differs from `r`, the observation is biased.
        s: f64 = 0.2, in 0.0..=1.0;
        /// Share of the unobserved cells that become test rows, drawn at random. 1: all of them, as in the paper's
        /// code. 0: the data set comes without a test set, to be split like any other.
        test_share: f64 = 1.0, in 0.0..=1.0;
        /// Where the random numbers come from.
        mode: Mode = Mode::General;
    }
}

impl Simulator for BiasedRatings {
    fn open(&self, run: &Run) -> Result<Box<dyn Environment>> {
        self.check()?;
        self.check_together()?;
        let cells = match self.mode {
            Mode::General => general::draw(self, run)?,
            Mode::SeedCompatible => compat::draw(self, run)?,
        };
        Ok(Box::new(Emitted(self.dataset(&cells)?)))
    }
}

/// A world that is all in its data set.
struct Emitted(Dataset);

impl Environment for Emitted {
    fn dataset(&self) -> Result<Dataset> {
        Ok(self.0.clone())
    }
}

/// The cells of the matrix by what becomes of them.
#[derive(Default)]
struct Cells {
    train: Rows,
    test: Rows,
}

fn value(liked: bool) -> f32 {
    if liked { 1.0 } else { -1.0 }
}

/// 0 for the first half (group M), 1 for the second (group F).
fn half(index: usize, count: usize) -> usize {
    usize::from(index >= count.div_ceil(2))
}

impl BiasedRatings {
    /// Chance of a like in a cell of those two halves.
    fn like(&self, user_half: usize, item_half: usize) -> f64 {
        if user_half == item_half { self.p } else { self.q }
    }

    /// Chance that a cell of those two halves is observed.
    fn observe(&self, user_half: usize, item_half: usize) -> f64 {
        if user_half == item_half { self.r } else { self.s }
    }

    fn check_together(&self) -> Result<()> {
        let refuse = |field: &str, value: String, range: String| {
            Err(Error::OutOfRange { plugin: Some(Self::NAME.into()), field: field.into(), value, range })
        };
        // Every cell becomes a row, and rows are counted in 32 bits.
        let most = u32::MAX as usize / self.items;
        if self.users > most {
            let range = format!("at most {most} with items = {}: users x items below 2^32", self.items);
            return refuse("users", self.users.to_string(), range);
        }
        if self.mode == Mode::General {
            return Ok(());
        }
        for (field, value) in [("users", self.users), ("items", self.items)] {
            if !value.is_multiple_of(2) {
                return refuse(field, value.to_string(), "an even number with mode = seed-compatible".into());
            }
        }
        let of_a_group = self.users / 2;
        if !of_a_group.is_multiple_of(self.rank) {
            let range = format!("a divisor of users / 2 = {of_a_group} with mode = seed-compatible");
            return refuse("rank", self.rank.to_string(), range);
        }
        if self.test_share != 1.0 {
            return refuse("test_share", self.test_share.to_string(), "1 with mode = seed-compatible".into());
        }
        Ok(())
    }

    fn dataset(&self, cells: &Cells) -> Result<Dataset> {
        let interactions = |rows| Interactions::new(self.users, self.items, rows);
        let mut data = Dataset::new(Self::NAME, interactions(&cells.train)?, Scale::SIGNED);
        data.test = if self.test_share > 0.0 { Some(interactions(&cells.test)?) } else { None };
        data.user_groups = vec![halves("gender", self.users)?];
        data.item_groups = vec![halves("genre", self.items)?];
        Ok(data)
    }
}

fn halves(name: &str, count: usize) -> Result<Groups> {
    let (middle, end) = (count.div_ceil(2) as u32, count as u32);
    Groups::new(name, count, vec![("M".into(), (0..middle).collect()), ("F".into(), (middle..end).collect())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn open(recipe: &BiasedRatings, seed: u64) -> Dataset {
        let data = recipe.open(&Run::new(seed).with_threads(1).unwrap()).unwrap().dataset().unwrap();
        data.check().unwrap();
        data
    }

    fn refusal(recipe: BiasedRatings) -> String {
        let error = recipe.open(&Run::new(0)).err().expect("a refusal").to_string();
        error.strip_prefix("`biased-ratings`: ").expect("the plugin is named").into()
    }

    /// Likes and number of the rows in each of the cells MM, MF, FM, FF.
    fn count(data: &Dataset, rows: &Interactions) -> [(usize, usize); 4] {
        let mut counts = [(0, 0); 4];
        for (user, item, value) in rows.iter() {
            let (u, i) = (data.user_groups[0].of(user), data.item_groups[0].of(item));
            assert!((u.len(), i.len()) == (1, 1) && (value == 1.0 || value == -1.0));
            let at = &mut counts[(2 * u[0] + i[0]) as usize];
            *at = (at.0 + usize::from(data.scale.likes(value)), at.1 + 1);
        }
        counts
    }

    #[test]
    fn both_modes_follow_the_chances() {
        for mode in [Mode::General, Mode::SeedCompatible] {
            // Two users per pattern: many independent likes.
            let recipe = BiasedRatings { rank: 150, p: 0.7, q: 0.2, r: 0.4, s: 0.1, mode, ..Default::default() };
            let data = open(&recipe, 1);
            let test = data.test.as_ref().unwrap();
            assert_eq!(data.ratings.len() + test.len(), 600 * 400);
            let (train, test) = (count(&data, &data.ratings), count(&data, test));
            for (cell, (like, observe)) in [(0.7, 0.4), (0.2, 0.1), (0.2, 0.1), (0.7, 0.4)].into_iter().enumerate() {
                assert_eq!(train[cell].1 + test[cell].1, 300 * 200);
                // 0.012 is four standard deviations of the widest of these shares.
                assert!((train[cell].1 as f64 / 6e4 - observe).abs() < 0.012, "{mode:?} {cell} {train:?}");
                let liked = (train[cell].0 + test[cell].0) as f64 / 6e4;
                assert!((liked - like).abs() < 0.012, "{mode:?} {cell} {liked}");
            }
        }
    }

    #[test]
    fn sure_chances_leave_nothing_to_luck() {
        for mode in [Mode::General, Mode::SeedCompatible] {
            let recipe = BiasedRatings {
                users: 4,
                items: 6,
                rank: 1,
                p: 1.0,
                q: 0.0,
                r: 1.0,
                s: 0.0,
                mode,
                ..Default::default()
            };
            let data = open(&recipe, 0);
            assert_eq!(count(&data, &data.ratings), [(6, 6), (0, 0), (0, 0), (6, 6)]);
            assert_eq!(count(&data, data.test.as_ref().unwrap()), [(0, 0), (0, 6), (0, 6), (0, 0)]);
        }
    }

    #[test]
    fn users_share_few_patterns_and_any_sizes_will_do() {
        let recipe = BiasedRatings { users: 27, items: 31, rank: 4, r: 1.0, s: 1.0, ..Default::default() };
        let data = open(&recipe, 5);
        let rows = data.ratings.by_user();
        let of_half = |users: std::ops::Range<usize>| {
            users.map(|u| rows.values(u).iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let (m, f) = (of_half(0..14), of_half(14..27));
        assert_eq!((m.iter().collect::<HashSet<_>>().len(), f.iter().collect::<HashSet<_>>().len()), (4, 4));
        assert!(m.iter().all(|pattern| !f.contains(pattern)), "groups draw patterns of their own");
        assert_eq!((data.user_groups[0].members(0).len(), data.item_groups[0].members(1).len()), (14, 15));
        open(&BiasedRatings { users: 2, items: 2, rank: usize::MAX, ..recipe }, 0);
    }

    #[test]
    fn the_seed_matters_in_general_mode_only() {
        let general = BiasedRatings { users: 40, items: 30, ..Default::default() };
        assert_eq!(open(&general, 7), open(&general, 7));
        assert_ne!(open(&general, 7), open(&general, 8));
        let compatible = BiasedRatings { mode: Mode::SeedCompatible, ..general };
        assert_eq!(open(&compatible, 7), open(&compatible, 8));
    }

    #[test]
    fn a_share_of_the_unobserved_cells_is_the_test_set() {
        let share = |test_share| open(&BiasedRatings { test_share, ..Default::default() }, 3);
        let (all, some, none) = (share(1.0), share(0.25), share(0.0));
        assert_eq!((&all.ratings, &some.ratings), (&some.ratings, &none.ratings));
        let [all, some] = [all, some].map(|d| d.test.unwrap().iter().map(|(u, i, _)| (u, i)).collect::<HashSet<_>>());
        assert!(some.is_subset(&all) && (some.len() as f64 / all.len() as f64 - 0.25).abs() < 0.005);
        assert!(none.test.is_none());
    }

    #[test]
    fn what_can_not_work_is_refused() {
        let compatible = BiasedRatings { mode: Mode::SeedCompatible, ..Default::default() };
        let say = |change: fn(&mut BiasedRatings)| {
            let mut recipe = compatible.clone();
            change(&mut recipe);
            refusal(recipe)
        };
        let end = "with mode = seed-compatible";
        assert_eq!(say(|c| c.users = 601), format!("parameter `users` = 601, expected an even number {end}"));
        assert_eq!(say(|c| c.items = 3), format!("parameter `items` = 3, expected an even number {end}"));
        assert_eq!(say(|c| c.rank = 7), format!("parameter `rank` = 7, expected a divisor of users / 2 = 300 {end}"));
        assert_eq!(say(|c| c.test_share = 0.5), format!("parameter `test_share` = 0.5, expected 1 {end}"));
        assert_eq!(say(|c| c.p = 1.5), "parameter `p` = 1.5, expected 0.0..=1.0");
        assert_eq!(say(|c| c.users = 0), "parameter `users` = 0, expected 2..");
        let huge = say(|c| (c.mode, c.users, c.items) = (Mode::General, usize::MAX, 1 << 20));
        assert!(huge.ends_with("expected at most 4095 with items = 1048576: users x items below 2^32"), "{huge}");
    }

    #[test]
    fn it_stops_where_asked_to() {
        let cancel = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let run = Run::new(0).with_cancel(cancel);
        for mode in [Mode::General, Mode::SeedCompatible] {
            let recipe = BiasedRatings { mode, ..Default::default() };
            assert!(matches!(recipe.open(&run).err(), Some(Error::Cancelled)), "{mode:?}");
        }
    }
}
