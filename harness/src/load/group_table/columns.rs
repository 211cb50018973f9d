//! The columns of a table that are used, as numbers.

use super::super::number;
use super::super::rows::complaint;
use super::cells::Cells;
use evenhand_core::Result;
use std::collections::HashMap;

/// Distinct values from which on a column holds no categories.
const MOST_VALUES: usize = 1000;

/// What a column is read for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// Its numbers.
    pub(super) numbers: bool,
    /// They are a feature.
    pub(super) feature: bool,
    /// They are 0 or 1.
    pub(super) membership: bool,
    /// Its distinct values.
    pub(super) values: bool,
    /// Each of them becomes a feature or a group.
    pub(super) all_values: bool,
}

/// One column.
#[derive(Default)]
pub(super) struct Column {
    /// One number per row, if numbers are wanted.
    pub(super) numbers: Vec<f64>,
    /// One place among the values per row, if values are wanted.
    pub(super) codes: Vec<u32>,
    /// The distinct values, sorted: whole numbers by number, others as text.
    pub(super) values: Vec<String>,
}

impl Column {
    /// The place of a value.
    pub(super) fn code(&self, value: &str) -> Option<u32> {
        self.values.iter().position(|v| v == value).map(|at| at as u32)
    }
}

/// All columns of a file, in its order; empty where nothing is wanted.
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
    pub(super) rows: usize,
}

impl Columns {
    /// Reads what is `wanted` of each column.
    ///
    /// # Errors
    /// [`Error::Data`](evenhand_core::Error::Data) with the line of a cell that does not say it.
    pub(super) fn read(cells: &Cells, wanted: &[Wanted]) -> Result<Self> {
        let used = |at: &usize| wanted[*at].numbers || wanted[*at].values;
        let mut readers: Vec<Reader> = (0..wanted.len()).filter(used).map(|at| Reader::new(at, wanted[at])).collect();
        let mut rows = 0;
        cells.each(|line, fields| {
            rows += 1;
            readers.iter_mut().try_for_each(|reader| {
                let field = fields[reader.at];
                let said = reader.take(field);
                said.map_err(|expected| cells.fault(line, complaint(&cells.names[reader.at], field, expected)))
            })
        })?;
        let mut all: Vec<Column> = wanted.iter().map(|_| Column::default()).collect();
        for reader in readers {
            let at = reader.at;
            all[at] = reader.finish();
        }
        Ok(Self { all, rows })
    }
}

/// A column on the way.
struct Reader {
    at: usize,
    wanted: Wanted,
    column: Column,
    places: HashMap<Vec<u8>, u32>,
}

impl Reader {
    fn new(at: usize, wanted: Wanted) -> Self {
        Self { at, wanted, column: Column::default(), places: HashMap::new() }
    }

    /// Reads one cell; the error is what was expected.
    fn take(&mut self, field: &[u8]) -> Result<(), &'static str> {
        if self.wanted.numbers {
            let number = match number::real(field) {
                Some(number) if self.wanted.membership && number != 0.0 && number != 1.0 => return Err("0 or 1"),
                Some(number) => number,
                None if self.wanted.membership => return Err("0 or 1"),
                None if self.wanted.feature && is_text(field) => {
                    return Err("a finite number; a column of text belongs in `categories`");
                }
                None => return Err("a finite number"),
            };
            self.column.numbers.push(number);
        }
        if self.wanted.values {
            let code = match self.places.get(field) {
                Some(&code) => code,
                None if field.is_empty() => return Err("a value"),
                None if self.wanted.all_values && self.places.len() == MOST_VALUES => {
                    return Err("at most 1000 different values in a column of categories or groups");
                }
                None => {
                    let next = self.places.len() as u32;
                    self.places.insert(field.to_vec(), next);
                    next
                }
            };
            self.column.codes.push(code);
        }
        Ok(())
    }

    /// The column, its values sorted.
    fn finish(self) -> Column {
        let mut values: Vec<(Vec<u8>, u32)> = self.places.into_iter().collect();
        let numbers = values.iter().all(|(value, _)| number::id(value).is_some());
        values.sort_unstable_by_key(|(value, _)| (number::id(value).filter(|_| numbers), value.clone()));
        let mut places = vec![0; values.len()];
        (0..).zip(&values).for_each(|(place, &(_, code))| places[code as usize] = place);
        let mut column = self.column;
        column.codes.iter_mut().for_each(|code| *code = places[*code as usize]);
        column.values = values.iter().map(|(value, _)| String::from_utf8_lossy(value).into_owned()).collect();
        column
    }
}

/// Whether a cell that is no number is a word rather than a mark for a missing number.
fn is_text(field: &[u8]) -> bool {
    let missing = ["", "na", "n/a", "nan", "null", "none", "?", "-"];
    let infinite = std::str::from_utf8(field).is_ok_and(|text| text.parse::<f64>().is_ok());
    !infinite && !missing.iter().any(|mark| field.eq_ignore_ascii_case(mark.as_bytes()))
}
