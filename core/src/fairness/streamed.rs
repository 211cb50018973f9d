//! Losses that depend on the predictions through few numbers.

use super::{FairnessData, Pointwise};
use crate::{Error, Groups, Interactions, Result};
use nalgebra::DMatrix;

/// A fairness loss in the form in which its trainer computes the sums.
pub enum Streamed<'a> {
    /// A function of sums over classes of cells of the whole users x items matrix.
    Cells(CellSums<'a>),
    /// A function of the predictions of the training rows.
    Observed(Observed<'a>),
}

/// A loss `L = outer(Z)` of the class sums `Z[a, b] = sum f(y_ui)` over users u of class a and items i of class b.
///
/// The derivative at a cell is `dL/dZ[a, b] f'(y_ui)`: after one pass over the predictions that adds up Z, a table as
/// small as Z gives the gradient of any cell.
pub struct CellSums<'a> {
    /// Class of every user.
    pub users: Classes,
    /// Class of every item.
    pub items: Classes,
    /// What is summed.
    pub of: Pointwise,
    /// From Z (user classes x item classes) to the value and to dL/dZ.
    pub outer: Box<Outer<'a>>,
}

/// From sums to a value and its derivatives.
pub type Outer<'a> = dyn Fn(&DMatrix<f64>) -> (f64, DMatrix<f64>) + Send + Sync + 'a;

/// A loss of the predictions of the training rows, in the order of [`Interactions::iter`].
pub struct Observed<'a> {
    /// From the predictions to the value; the second slice becomes its derivatives.
    pub evaluate: Box<OfRows<'a>>,
}

/// From predictions to a value and its derivatives.
pub type OfRows<'a> = dyn Fn(&[f64], &mut [f64]) -> f64 + Send + Sync + 'a;

/// A class for each of some entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    of: Vec<u32>,
    sizes: Vec<usize>,
}

impl Classes {
    /// One class for all of `entities`.
    pub fn one(entities: usize) -> Self {
        Self { of: vec![0; entities], sizes: vec![entities] }
    }

    /// A class for each of `entities`.
    pub fn each(entities: usize) -> Self {
        Self { of: (0..entities as u32).collect(), sizes: vec![1; entities] }
    }

    /// A class for every set of groups that some entity belongs to, in order of first occurrence; and those sets.
    ///
    /// For groups that do not overlap: the groups, and perhaps a class of those that are in none.
    pub fn by_membership(groups: &Groups) -> (Self, Vec<&[u32]>) {
        let mut classes = Self { of: Vec::with_capacity(groups.entities()), sizes: Vec::new() };
        let mut sets: Vec<&[u32]> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for entity in 0..groups.entities() as u32 {
            let set = groups.of(entity);
            let class = *known.entry(set).or_insert_with(|| {
                sets.push(set);
                classes.sizes.push(0);
                sets.len() - 1
            });
            classes.sizes[class] += 1;
            classes.of.push(class as u32);
        }
        (classes, sets)
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// The class of every entity.
    pub fn of(&self) -> &[u32] {
        &self.of
    }

    /// Number of entities of every class.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }
}

impl Streamed<'_> {
    /// Checks that every user and every item of `data` has a class.
    ///
    /// # Errors
    /// [`Error::Shape`] for classes of another number of users or items.
    pub fn check(&self, data: &FairnessData<'_>) -> Result<()> {
        let Self::Cells(CellSums { users, items, .. }) = self else { return Ok(()) };
        let sizes = |users, items| format!("{users} users, {items} items");
        let (expected, got) = ((data.train.users(), data.train.items()), (users.of.len(), items.of.len()));
        if expected == got {
            return Ok(());
        }
        Err(Error::shape("classes of the fairness loss", sizes(expected.0, expected.1), sizes(got.0, got.1)))
    }

    /// The dense form, by definition: value at `scores` (items x users), and `gradient` of the same shape.
    ///
    /// # Errors
    /// [`Error::Shape`] for scores of another shape than `data`; as [`Self::check`].
    pub fn evaluate(&self, scores: &DMatrix<f64>, data: &FairnessData<'_>, gradient: &mut DMatrix<f64>) -> Result<f64> {
        self.check(data)?;
        data.check_scores(scores)?;
        gradient.resize_mut(scores.nrows(), scores.ncols(), 0.0);
        Ok(match self {
            Self::Cells(loss) => loss.dense(scores, gradient),
            Self::Observed(loss) => loss.dense(scores, data.train, gradient),
        })
    }
}

impl CellSums<'_> {
    fn dense(&self, scores: &DMatrix<f64>, gradient: &mut DMatrix<f64>) -> f64 {
        let mut sums = DMatrix::zeros(self.users.len(), self.items.len());
        for (scores, &a) in scores.column_iter().zip(&self.users.of) {
            for (&y, &b) in scores.iter().zip(&self.items.of) {
                sums[(a as usize, b as usize)] += self.of.value(y);
            }
        }
        let (value, table) = (self.outer)(&sums);
        for ((scores, mut gradient), &a) in scores.column_iter().zip(gradient.column_iter_mut()).zip(&self.users.of) {
            for ((&y, gradient), &b) in scores.iter().zip(gradient.iter_mut()).zip(&self.items.of) {
                *gradient = table[(a as usize, b as usize)] * self.of.slope(y);
            }
        }
        value
    }
}

impl Observed<'_> {
    fn dense(&self, scores: &DMatrix<f64>, train: &Interactions, gradient: &mut DMatrix<f64>) -> f64 {
        let cells: Vec<(usize, usize)> = train.iter().map(|(user, item, _)| (item as usize, user as usize)).collect();
        let predicted: Vec<f64> = cells.iter().map(|&cell| scores[cell]).collect();
        let mut slopes = vec![0.0; cells.len()];
        let value = (self.evaluate)(&predicted, &mut slopes);
        gradient.fill(0.0);
        cells.iter().zip(slopes).for_each(|(&cell, slope)| gradient[cell] += slope);
        value
    }
}

impl std::fmt::Debug for Streamed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cells(c) => write!(f, "Cells({:?}, {} x {} classes)", c.of, c.users.len(), c.items.len()),
            Self::Observed(_) => write!(f, "Observed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_sets_of_groups() {
        let lists = vec![("a".into(), vec![1, 2]), ("b".into(), vec![2, 4])];
        let groups = Groups::new("g", 5, lists).unwrap();
        let (classes, sets) = Classes::by_membership(&groups);
        assert_eq!(sets, [[].as_slice(), &[0], &[0, 1], &[1]]);
        assert_eq!((classes.of(), classes.sizes()), ([0, 1, 2, 0, 3].as_slice(), [2, 1, 1, 1].as_slice()));
        assert_eq!((Classes::one(3).sizes(), Classes::each(2).of()), ([3].as_slice(), [0, 1].as_slice()));
    }

    #[test]
    fn classes_for_others_are_refused() {
        let mut rows = crate::Rows::default();
        rows.push(2, 1, 1.0);
        let train = Interactions::new(3, 2, &rows).unwrap();
        let data = FairnessData { train: &train, user_groups: None, item_groups: None, like_above: 0.0 };
        let form = |users, items| {
            let outer = Box::new(|sums: &DMatrix<f64>| (sums.sum(), DMatrix::from_element(1, 1, 1.0)));
            let (users, items) = (Classes::one(users), Classes::one(items));
            Streamed::Cells(CellSums { users, items, of: Pointwise::Score, outer })
        };
        let mut gradient = DMatrix::from_element(2, 3, f64::NAN);
        let scores = DMatrix::from_element(2, 3, 0.5);
        assert_eq!(form(3, 2).evaluate(&scores, &data, &mut gradient).unwrap(), 3.0);
        assert!(gradient.iter().all(|&g| g == 1.0));
        let refused = form(2, 2).evaluate(&scores, &data, &mut gradient).unwrap_err().to_string();
        assert_eq!(refused, "classes of the fairness loss: expected 3 users, 2 items, got 2 users, 2 items");
    }
}
