//! Tables of orders in which the rows of a table are taken.

use super::super::number;
use super::super::rows::complaint;
use super::cells::Cells;
use evenhand_core::{Error, Result};
use std::path::Path;

/// The order of rows of each of `seeds`, from a file with a column for each seed: `473`, or any name that ends in
/// `_473`. Its lines are the rows to take, from 0, the first one first.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] for a seed without a column (with those that there are) or with two, and, with the
/// line, for a column that does not name each of `rows` rows once.
pub fn load_orders(path: &Path, rows: usize, seeds: &[u64]) -> Result<Vec<Vec<usize>>> {
    let cells = Cells::open(path, None)?;
    let columns: Vec<usize> = seeds.iter().map(|&seed| column(&cells, seed)).collect::<Result<_>>()?;
    let mut orders = vec![Vec::with_capacity(rows); seeds.len()];
    let mut seen = vec![vec![false; rows]; seeds.len()];
    let range = format!("a row from 0 to {}", rows.saturating_sub(1));
    cells.each(|line, fields| {
        for ((&at, order), seen) in columns.iter().zip(&mut orders).zip(&mut seen) {
            let fault = |range: &str| cells.fault(line, complaint(&cells.names[at], fields[at], range));
            let row = number::id(fields[at]).and_then(|row| usize::try_from(row).ok()).filter(|&row| row < rows);
            let row = row.ok_or_else(|| fault(&range))?;
            if std::mem::replace(&mut seen[row], true) {
                return Err(fault("each row once, and this one stood above"));
            }
            order.push(row);
        }
        Ok(())
    })?;
    match orders.iter().find(|order| order.len() != rows) {
        Some(short) => {
            let reason = format!("{} lines below the header, expected {rows}: one for each row", short.len());
            Err(Error::data(path, reason))
        }
        None => Ok(orders),
    }
}

/// The column of a seed.
fn column(cells: &Cells, seed: u64) -> Result<usize> {
    let of = |name: &str| number::id(name.rsplit_once('_').map_or(name, |(_, seed)| seed).as_bytes());
    let mut places = (0..cells.names.len()).filter(|&at| of(&cells.names[at]) == Some(seed));
    match (places.next(), places.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(cells.misnamed(format!("two columns of the seed {seed}"))),
        (None, _) => {
            let mut seeds: Vec<u64> = cells.names.iter().filter_map(|name| of(name)).collect();
            seeds.sort_unstable();
            let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
            let there = if seeds.is_empty() { "none".into() } else { seeds.join(", ") };
            Err(cells.misnamed(format!("no column of the seed {seed}, expected `seed_{seed}`; seeds there: {there}")))
        }
    }
}
