//! What the policies that show the best of some scores have in common.

use evenhand_core::{Error, Propensities, Result, Slates, TopK};

/// Slates of `size` items from lists of best ones.
///
/// # Errors
/// [`Error::Shape`] where a list is of another length, which a model's own `top_k` may have to answer for.
pub(crate) fn slates(best: &TopK, size: usize) -> Result<Slates> {
    let mut slates = Slates::new(best.len(), size);
    for b in 0..best.len() {
        put(best, b, &mut slates, b)?;
    }
    Ok(slates)
}

/// Makes the list `from` of `best` the slate `to`.
///
/// # Errors
/// As [`slates`].
pub(crate) fn put(best: &TopK, from: usize, slates: &mut Slates, to: usize) -> Result<()> {
    let (size, items) = (slates.size, best.items(from));
    if items.len() != size {
        return Err(Error::shape("best items of a user", size, items.len()));
    }
    slates.items[to * size..][..size].copy_from_slice(items);
    slates.scores[to * size..][..size].copy_from_slice(best.scores(from));
    Ok(())
}

/// Propensities of a policy that certainly shows `shown`.
pub(crate) fn certain(shown: &Slates, slates: &Slates) -> Propensities {
    let same = shown.items.iter().zip(&slates.items).map(|(a, b)| f64::from(u8::from(a == b)));
    Propensities { values: same.collect(), draws: None }
}

#[cfg(test)]
pub(crate) mod tests {
    use evenhand_core::{Factors, Interactions, Model, Output, Posterior, Result, Rows, Run};
    use nalgebra::DMatrix;
    use rand_distr::{Distribution, StandardNormal};

    /// A model with these scores, user after user.
    pub(crate) fn given(scores: &[&[f32]]) -> Factors {
        let (users, items) = (scores.len(), scores.first().map_or(0, |s| s.len()));
        let items = DMatrix::from_fn(users, items, |user, item| scores[user][item]);
        Factors::new(DMatrix::identity(users, users), items, Output::Order).unwrap()
    }

    pub(crate) fn seen(users: usize, items: usize, pairs: &[(u32, u32)]) -> Interactions {
        let mut rows = Rows::default();
        pairs.iter().for_each(|&(user, item)| rows.push(user, item, 1.0));
        Interactions::new(users, items, &rows).unwrap()
    }

    /// A model whose scores are independent Gaussians.
    #[derive(serde::Serialize)]
    pub(crate) struct Uncertain {
        pub(crate) means: Factors,
        pub(crate) variances: Factors,
    }

    impl Model for Uncertain {
        fn kind(&self) -> &'static str {
            "uncertain"
        }

        fn users(&self) -> usize {
            self.means.users()
        }

        fn items(&self) -> usize {
            self.means.items()
        }

        fn output(&self) -> Output {
            Output::Order
        }

        fn validate(&self) -> Result<()> {
            self.means.validate()
        }

        fn score(&self, users: &[u32], out: &mut DMatrix<f32>, run: &Run) -> Result<()> {
            self.means.score(users, out, run)
        }

        fn posterior(&self) -> Option<&dyn Posterior> {
            Some(self)
        }
    }

    impl Posterior for Uncertain {
        fn sample(&self, users: &[u32], run: &Run) -> Result<Box<dyn Model>> {
            let mut drawn = self.means.clone();
            for &user in users {
                let mut rng = run.streams.rng(u64::from(user));
                for item in 0..self.items() {
                    let (at, normal): (_, f32) = ((user as usize, item), StandardNormal.sample(&mut rng));
                    drawn.items[at] = self.means.items[at] + self.variances.items[at].sqrt() * normal;
                }
            }
            Ok(Box::new(drawn))
        }

        fn variances(&self, _: &[u32], _: &Run) -> Result<Box<dyn Model>> {
            Ok(Box::new(self.variances.clone()))
        }
    }

    #[test]
    fn lists_that_are_too_short_are_refused() {
        let model = given(&[&[1.0, 2.0]]);
        let top = model.top_k(&[0], None, 1, &Run::new(0)).unwrap();
        assert_eq!(super::slates(&top, 1).unwrap().items, [1]);
        let refused = super::slates(&top, 2).unwrap_err().to_string();
        assert_eq!(refused, "best items of a user: expected 2, got 1");
    }
}
