//! Dense indices for ids, independent of the order of the rows.
//!
//! Whole-number ids are sorted as numbers, all others as text. Nothing is ever allocated by the size of an id.

use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// The ids of one column of one part of a file, one per row.
#[derive(Clone, Debug)]
pub(super) enum Column {
    /// Whole numbers.
    Numbers(Vec<u64>),
    /// Any text: the distinct ids, and each row's.
    Texts {
        /// Place of every distinct id.
        places: HashMap<String, u32>,
        /// Place of each row's id.
        rows: Vec<u32>,
    },
}

impl Column {
    /// A column without rows.
    pub(super) fn new(text: bool) -> Self {
        if text { Self::Texts { places: HashMap::new(), rows: Vec::new() } } else { Self::Numbers(Vec::new()) }
    }
}

/// The distinct ids of all `parts` in order, and for each part the place of each row's id in that order.
pub(super) fn intern(parts: Vec<Column>) -> (Vec<String>, Vec<Vec<u32>>) {
    let numbers: Option<Vec<&[u64]>> =
        parts.iter().map(|p| if let Column::Numbers(n) = p { Some(&n[..]) } else { None }).collect();
    match numbers {
        Some(numbers) => intern_numbers(&numbers),
        None => intern_texts(parts),
    }
}

fn intern_numbers(parts: &[&[u64]]) -> (Vec<String>, Vec<Vec<u32>>) {
    let rows: usize = parts.iter().map(|p| p.len()).sum();
    let largest = parts.par_iter().filter_map(|p| p.iter().max()).max().copied().unwrap_or(0);
    let names = |distinct: &[u64]| distinct.iter().map(u64::to_string).collect();
    // A table over all numbers up to the largest, as long as that is in proportion to the rows.
    if largest < 4 * rows as u64 + 65_536 {
        let mut table = vec![u32::MAX; largest as usize + 1];
        parts.iter().flat_map(|p| p.iter()).for_each(|&n| table[n as usize] = 0);
        let distinct: Vec<u64> = (0..=largest).filter(|&n| table[n as usize] == 0).collect();
        distinct.iter().zip(0..).for_each(|(&n, at)| table[n as usize] = at);
        let dense = parts.par_iter().map(|p| p.iter().map(|&n| table[n as usize]).collect()).collect();
        return (names(&distinct), dense);
    }
    let distinct: HashSet<u64> = parts.iter().flat_map(|p| p.iter().copied()).collect();
    let mut distinct: Vec<u64> = distinct.into_iter().collect();
    distinct.sort_unstable();
    let place = |n: &u64| distinct.binary_search(n).expect("every number was collected") as u32;
    let dense = parts.par_iter().map(|p| p.iter().map(place).collect()).collect();
    (names(&distinct), dense)
}

fn intern_texts(parts: Vec<Column>) -> (Vec<String>, Vec<Vec<u32>>) {
    let parts: Vec<(Vec<String>, Vec<u32>)> = parts.into_iter().map(texts).collect();
    let mut distinct: Vec<String> = parts.iter().flat_map(|(local, _)| local.iter().cloned()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let dense = parts
        .into_par_iter()
        .map(|(local, mut rows)| {
            let place = |name| distinct.binary_search(name).expect("every name was collected") as u32;
            let places: Vec<u32> = local.iter().map(place).collect();
            rows.iter_mut().for_each(|row| *row = places[*row as usize]);
            rows
        })
        .collect();
    (distinct, dense)
}

/// The distinct ids of a column, and each row's place among them.
fn texts(column: Column) -> (Vec<String>, Vec<u32>) {
    match column {
        Column::Texts { places, rows } => {
            let mut names = vec![String::new(); places.len()];
            places.into_iter().for_each(|(name, at)| names[at as usize] = name);
            (names, rows)
        }
        // Numbers beside a part with texts, e.g. a test file in which no text id happens to occur.
        Column::Numbers(numbers) => {
            let (names, mut dense) = intern_numbers(&[&numbers]);
            (names, dense.pop().expect("one part in, one part out"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ids: &[&str]) -> Column {
        let mut places = HashMap::new();
        let rows = ids
            .iter()
            .map(|id| {
                let next = places.len() as u32;
                *places.entry(id.to_string()).or_insert(next)
            })
            .collect();
        Column::Texts { places, rows }
    }

    #[test]
    fn numbers_in_numeric_order() {
        let (names, dense) = intern(vec![Column::Numbers(vec![10, 9]), Column::Numbers(vec![9, 100])]);
        assert_eq!(names, ["9", "10", "100"]);
        assert_eq!(dense, [[1, 0], [0, 2]]);
    }

    #[test]
    fn huge_numbers_cost_no_more_than_small_ones() {
        let (names, dense) = intern(vec![Column::Numbers(vec![u64::MAX, 4_294_967_295, 0, u64::MAX])]);
        assert_eq!(names, ["0", "4294967295", "18446744073709551615"]);
        assert_eq!(dense, [[2, 1, 0, 2]]);
    }

    #[test]
    fn texts_in_text_order_and_mixed_with_numbers() {
        let (names, dense) = intern(vec![text(&["b", "a", "b"]), Column::Numbers(vec![10, 9, 9])]);
        assert_eq!(names, ["10", "9", "a", "b"]);
        assert_eq!(dense, [[3, 2, 3], [0, 1, 1]]);
    }

    #[test]
    fn no_rows() {
        assert_eq!(intern(vec![Column::new(false)]), (vec![], vec![vec![]]));
        assert_eq!(intern(vec![Column::new(true)]), (vec![], vec![vec![]]));
    }
}
