//! The same steps in double precision, as plainly as they can be written.

use super::assert_near;
use evenhand_kernels::cuda::pairs::{Adversary, Batch, Descent, Rule, Tables};
use evenhand_plugins::pairwise::Triples;
use nalgebra::DMatrix;

/// The lists of a batch.
pub(super) struct Arranged {
    users: Vec<u32>,
    starts: Vec<u32>,
    pairs: [Vec<u32>; 3],
    items: Vec<u32>,
    item_starts: Vec<u32>,
    places: Vec<u32>,
}

impl Arranged {
    pub(super) fn new(triples: &Triples) -> Self {
        let order = sorted(triples);
        let users = different(order.iter().map(|pair| pair[0]));
        let items = different([1, 2].into_iter().flat_map(|side| order.iter().map(move |pair| pair[side])));
        let slot = |list: &[u32], entity| list.iter().position(|&e| e == entity).unwrap() as u32;
        let pairs = [
            order.iter().map(|pair| slot(&users, pair[0])).collect(),
            order.iter().map(|pair| slot(&items, pair[1])).collect(),
            order.iter().map(|pair| slot(&items, pair[2])).collect::<Vec<u32>>(),
        ];
        let (mut starts, mut item_starts, mut places) = (vec![0], vec![0], Vec::new());
        for &user in &users {
            starts.push(starts.last().unwrap() + order.iter().filter(|pair| pair[0] == user).count() as u32);
        }
        for &item in &items {
            for (n, pair) in order.iter().enumerate() {
                places.extend(
                    [1, 2].into_iter().filter(|&side| pair[side] == item).map(|side| (2 * n + side - 1) as u32),
                );
            }
            item_starts.push(places.len() as u32);
        }
        Self { users, starts, pairs, items, item_starts, places }
    }

    pub(super) fn batch(&self) -> Batch<'_> {
        let Self { users, starts, pairs: [owners, positives, negatives], items, item_starts, places } = self;
        Batch { users, starts, owners, positives, negatives, items, item_starts, places }
    }
}

/// Pairs by user, users by first occurrence.
fn sorted(triples: &Triples) -> Vec<[u32; 3]> {
    let users = different(triples.users.iter().copied());
    let mut order: Vec<_> =
        (0..triples.len()).map(|n| [triples.users[n], triples.positives[n], triples.negatives[n]]).collect();
    order.sort_by_key(|pair| users.iter().position(|&user| user == pair[0]));
    order
}

fn different(entities: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut different = Vec::new();
    entities.for_each(|entity| {
        if !different.contains(&entity) {
            different.push(entity);
        }
    });
    different
}

pub(super) fn wide(table: &DMatrix<f32>) -> DMatrix<f64> {
    table.map(f64::from)
}

pub(super) fn loss(margin: f64, cut: bool) -> f64 {
    let x = if cut { margin.max(-80.0) } else { margin };
    (-x).max(0.0) + (-x.abs()).exp().ln_1p()
}

fn slope(margin: f64, cut: bool) -> f64 {
    if cut && margin < -80.0 { 0.0 } else { -1.0 / (1.0 + margin.exp()) }
}

/// Parameters, or something of their shape.
#[derive(Clone)]
pub(super) struct Numbers {
    users: DMatrix<f64>,
    items: DMatrix<f64>,
    biases: Vec<f64>,
    biased: bool,
}

impl Numbers {
    fn fill(&self, value: f64) -> Self {
        let mut filled = self.clone();
        filled.all().for_each(|x| *x = value);
        filled
    }

    fn all(&mut self) -> impl Iterator<Item = &mut f64> {
        self.users.iter_mut().chain(self.items.iter_mut()).chain(&mut self.biases)
    }

    /// `self += weight other`
    fn add(&mut self, weight: f64, other: &Self) {
        self.all().zip(other.clone().all()).for_each(|(to, from)| *to += weight * *from);
    }

    fn margin(&self, [u, i, j]: [u32; 3]) -> f64 {
        let [i, j] = [i, j].map(|item| item as usize);
        let user = self.users.column(u as usize);
        user.dot(&(self.items.column(i) - self.items.column(j))) + self.biases[i] - self.biases[j]
    }

    fn gradient(&self, pairs: &[[u32; 3]], cut: bool) -> Self {
        let mut gradient = self.fill(0.0);
        for &pair in pairs {
            let slope = slope(self.margin(pair), cut);
            let [u, i, j] = pair.map(|entity| entity as usize);
            for f in 0..self.users.nrows() {
                gradient.users[(f, u)] += slope * (self.items[(f, i)] - self.items[(f, j)]);
                gradient.items[(f, i)] += slope * self.users[(f, u)];
                gradient.items[(f, j)] -= slope * self.users[(f, u)];
            }
            if self.biased {
                gradient.biases[i] += slope;
                gradient.biases[j] -= slope;
            }
        }
        gradient
    }

    /// The gradient of half the squared parameters of the pairs.
    fn squared(&self, pairs: &[[u32; 3]]) -> Self {
        let mut gradient = self.fill(0.0);
        for [u, items @ ..] in pairs.iter().map(|pair| pair.map(|entity| entity as usize)) {
            let mut user = gradient.users.column_mut(u);
            user += self.users.column(u);
            for item in items {
                let mut row = gradient.items.column_mut(item);
                row += self.items.column(item);
                gradient.biases[item] += self.biases[item];
            }
        }
        gradient
    }

    /// Rows become steps of that length; biases stay.
    fn steps(&self, eps: f64) -> Self {
        let mut steps = self.clone();
        for mut row in steps.users.column_iter_mut().chain(steps.items.column_iter_mut()) {
            let scale = eps / row.norm_squared().max(1e-12).sqrt();
            row *= scale;
        }
        steps.biases.fill(0.0);
        steps
    }

    pub(super) fn compare(&self, got: &Tables) {
        let biases = got.biases.as_deref().unwrap_or_default();
        assert_eq!(biases.len(), if self.biased { self.biases.len() } else { 0 });
        assert_eq!((got.users.shape(), got.items.shape()), (self.users.shape(), self.items.shape()));
        got.users.iter().zip(&self.users).for_each(|(&got, &expected)| assert_near(got, expected, "a user's number"));
        got.items.iter().zip(&self.items).for_each(|(&got, &expected)| assert_near(got, expected, "an item's number"));
        biases.iter().zip(&self.biases).for_each(|(&got, &expected)| assert_near(got, expected, "a bias"));
    }
}

/// What [`evenhand_kernels::cuda::Pairs`] holds.
pub(super) struct Model {
    pub(super) at: Numbers,
    pub(super) squares: Numbers,
    rule: Rule,
    delta: Option<Numbers>,
}

impl Model {
    pub(super) fn new(tables: &Tables, rule: Rule) -> Self {
        let biases = tables.biases.as_ref().map(|biases| biases.iter().copied().map(f64::from).collect());
        let at = Numbers {
            users: wide(&tables.users),
            items: wide(&tables.items),
            biases: biases.unwrap_or_else(|| vec![0.0; tables.items.ncols()]),
            biased: tables.biases.is_some(),
        };
        let start = if let Descent::Adagrad { start, .. } = rule.descent { f64::from(start) } else { 0.0 };
        Self { squares: at.fill(start), at, rule, delta: None }
    }

    /// One step; gives the margins of the pairs by user.
    pub(super) fn step(&mut self, batch: &Triples, against: Option<(Adversary<'_>, Option<&Triples>)>) -> Vec<f64> {
        let Rule { descent, l2, weight, cut } = self.rule;
        let [l2, weight] = [l2, weight].map(f64::from);
        let pairs = sorted(batch);
        let mut clean = self.at.clone();
        if let (Some((Adversary { stale: true, .. }, _)), Some(delta)) = (against, &self.delta) {
            clean.add(1.0, delta);
        }
        let margins = pairs.iter().map(|&pair| clean.margin(pair)).collect();
        let mut gradient = clean.gradient(&pairs, cut);
        if let Some((adversary, all)) = against {
            let (mut direction, attacked) = match all {
                None => (gradient.clone(), pairs.clone()),
                Some(all) => (self.at.gradient(&sorted(all), cut), sorted(all)),
            };
            if adversary.l2 {
                let weight = l2 * pairs.len() as f64 / attacked.len() as f64;
                direction.add(weight, &self.at.squared(&attacked));
            }
            let steps = direction.steps(f64::from(adversary.eps));
            let mut moved = self.at.clone();
            moved.add(1.0, &steps);
            gradient.add(f64::from(adversary.weight), &moved.gradient(&pairs, cut));
            if all.is_some() {
                self.delta = Some(steps);
            }
        }
        gradient.add(l2, &self.at.squared(&pairs));
        for ((x, square), g) in self.at.all().zip(self.squares.all()).zip(gradient.all()) {
            let g = weight * *g;
            *x -= match descent {
                Descent::Plain { rate } => f64::from(rate) * g,
                Descent::Adagrad { rate, .. } => {
                    *square += g * g;
                    f64::from(rate) * g / (*square + 1e-7).sqrt()
                }
            };
        }
        margins
    }
}
