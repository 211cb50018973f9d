//! Pairwise steps, against the same computed plainly in double precision and against those of the plugins.

mod plain;

use super::Case;
use super::data::factors;
use evenhand_core::Streams;
use evenhand_kernels::cuda::pairs::{Adversary, Batch, Descent, MOST_FACTORS, Rule, Tables};
use evenhand_kernels::cuda::{Cuda, Pairs};
use evenhand_plugins::pairwise::{Against, Attack, CleanDelta, Direction, Scope, Stepper, Triples};
use nalgebra::DMatrix;
use plain::{Arranged, Model, loss, wide};
use rand::RngExt;

pub(crate) const CASES: &[Case] = &[
    ("margins_from_0_to_100", margins_from_0_to_100),
    ("steps_are_those_of_double_precision", steps_are_those_of_double_precision),
    ("steps_against_an_adversary", steps_against_an_adversary),
    ("steps_are_those_of_the_plugins", steps_are_those_of_the_plugins),
    ("long_batches", long_batches),
    ("batches_without_pairs", batches_without_pairs),
    ("what_is_not_finite_stays_in_its_rows", what_is_not_finite_stays_in_its_rows),
    ("bad_pairs_are_refused", bad_pairs_are_refused),
];

const ADAGRAD: Descent = Descent::Adagrad { rate: 0.05, start: 0.1 };
const RULE: Rule = Rule { descent: ADAGRAD, l2: 0.0, weight: 1.0, cut: true };

pub(super) fn tables(rank: usize, users: usize, items: usize, biased: bool) -> Tables {
    let biases = biased.then(|| factors(1, items, false, "b").as_slice().to_vec());
    Tables { users: factors(rank, users, false, "pu"), items: factors(rank, items, false, "pi"), biases }
}

pub(super) fn triples(pairs: usize, users: usize, items: usize, label: &str) -> Triples {
    let mut rng = Streams::new(9).child(label).rng(pairs as u64);
    let mut draw = |bound: usize| (0..pairs).map(|_| rng.random_range(0..bound as u32)).collect();
    Triples { users: draw(users), positives: draw(items), negatives: draw(items) }
}

fn of(pairs: &[[u32; 3]]) -> Triples {
    let [users, positives, negatives] = [0, 1, 2].map(|at| pairs.iter().map(|pair| pair[at]).collect());
    Triples { users, positives, negatives }
}

/// Takes the same steps on the device and in double precision, and compares after each; then once more from the start.
pub(super) fn same(
    cuda: &Cuda,
    tables: &Tables,
    rule: Rule,
    steps: &[Triples],
    against: Option<(Adversary<'_>, Option<&Triples>)>,
) {
    let mut results = Vec::new();
    for _ in 0..2 {
        let mut pairs = Pairs::new(cuda, tables, rule).unwrap();
        let mut model = Model::new(tables, rule);
        let all = against.and_then(|(_, all)| all).map(Arranged::new);
        let all_lists = all.as_ref().map(Arranged::batch);
        let adversary = against.map(|(adversary, _)| Adversary { all: all_lists.as_ref(), ..adversary });
        for batch in steps {
            pairs.step(&Arranged::new(batch).batch(), adversary.as_ref()).unwrap();
            let margins = model.step(batch, against);
            let [got, losses] = pairs.margins().unwrap();
            for (n, &margin) in margins.iter().enumerate() {
                assert_near(got[n], margin, "a margin");
                assert_near(losses[n], loss(margin, rule.cut), "a loss");
            }
            assert_eq!((got.len(), losses.len()), (margins.len(), margins.len()));
            let tables = pairs.tables().unwrap();
            model.at.compare(&tables);
            let sums = pairs.squares().unwrap();
            assert_eq!(sums.is_some(), matches!(rule.descent, Descent::Adagrad { .. }));
            sums.iter().for_each(|sums| model.squares.compare(sums));
            results.push((tables, sums));
        }
    }
    let (first, again) = results.split_at(steps.len());
    assert_eq!(first, again, "the same bits twice");
}

fn assert_near(got: f32, expected: f64, what: &str) {
    let error = (f64::from(got) - expected).abs();
    assert!(error <= 3e-5 * expected.abs().max(0.1), "{what}: {got}, expected {expected}");
}

fn margins_from_0_to_100(cuda: &Cuda) {
    let margins = [0.0, 100.0, -100.0, -80.0, -80.5, -79.5, 0.0009765625, -3.0, 88.0, 90.0, -90.0, 3e4, -3e4];
    let n = margins.len() as u32;
    for (cut, bias) in [(true, false), (false, false), (true, true), (false, true)] {
        // Each pair has a user and items of its own.
        let (users, items) =
            (DMatrix::from_element(1, n as usize, 1.0), DMatrix::from_element(1, 2 * n as usize, 0.25));
        let mut tables = Tables { users, items, biases: bias.then(|| vec![0.5; 2 * n as usize]) };
        for (pair, margin) in margins.into_iter().enumerate() {
            match &mut tables.biases {
                Some(biases) => biases[2 * pair] += margin,
                None => tables.items[(0, 2 * pair)] += margin,
            }
        }
        let batch = of(&(0..n).map(|pair| [pair, 2 * pair, 2 * pair + 1]).collect::<Vec<_>>());
        let mut pairs = Pairs::new(cuda, &tables, Rule { descent: Descent::Plain { rate: 1.0 }, cut, ..RULE }).unwrap();
        pairs.step(&Arranged::new(&batch).batch(), None).unwrap();
        let [got, losses] = pairs.margins().unwrap();
        let after = pairs.tables().unwrap();
        for (pair, margin) in margins.into_iter().enumerate() {
            assert_eq!(got[pair], margin);
            let wide = f64::from(margin);
            let expected = loss(wide, cut);
            assert!(
                (f64::from(losses[pair]) - expected).abs() <= 1e-6 * expected + 1e-38,
                "{margin}: {}",
                losses[pair]
            );
            // The derivative by the other item's factor or bias is its opposite; that item moves by it.
            let slope = if cut && margin < -80.0 { 0.0 } else { -1.0 / (1.0 + wide.exp()) };
            let moved = match &after.biases {
                Some(biases) => biases[2 * pair + 1] - 0.5,
                None => after.items[(0, 2 * pair + 1)] - 0.25,
            };
            assert!((f64::from(moved) - slope).abs() < 2e-7, "{margin}: {moved}, expected {slope}");
        }
    }
}

/// Batches with users and items once and often, on both sides and even in one pair.
fn odd_batches() -> [Triples; 3] {
    let mut of_one_user = triples(37, 7, 9, "odd");
    of_one_user.users.fill(3);
    let on_both_sides = of(&[[0, 1, 2], [1, 2, 1], [0, 2, 1], [2, 1, 1], [0, 1, 2]]);
    [triples(41, 7, 9, "odd"), of_one_user, on_both_sides]
}

fn steps_are_those_of_double_precision(cuda: &Cuda) {
    for rank in [1, 8, 16, 31, 32, 33, 64, 100, 257, MOST_FACTORS] {
        let biased = rank % 3 == 1;
        let tables = tables(rank, 7, 9, biased);
        same(cuda, &tables, RULE, &odd_batches(), None);
        let rule = Rule { descent: Descent::Plain { rate: 0.03 }, l2: 0.2, weight: 0.5, cut: false };
        same(cuda, &tables, rule, &odd_batches()[..1], None);
    }
    for biased in [false, true] {
        same(cuda, &tables(12, 7, 9, biased), Rule { l2: 0.2, weight: 0.5, ..RULE }, &odd_batches(), None);
    }
}

fn steps_against_an_adversary(cuda: &Cuda) {
    let all = triples(90, 7, 9, "all");
    for rank in [1, 7, 32, 100, 257] {
        for (l2, of_all, stale) in
            [(false, false, false), (true, false, false), (false, true, false), (true, true, false), (true, true, true)]
        {
            let against = Adversary { eps: 0.5, weight: 0.7, l2, all: None, stale };
            let rule = Rule { l2: 0.1, ..RULE };
            let against = Some((against, of_all.then_some(&all)));
            same(cuda, &tables(rank, 7, 9, rank != 7), rule, &odd_batches(), against);
        }
    }
}

fn steps_are_those_of_the_plugins(cuda: &Cuda) {
    let tables = tables(20, 7, 9, false);
    let all = triples(90, 7, 9, "all");
    let arranged = Arranged::new(&all);
    let batch_of_all = arranged.batch();
    for (attack_l2, scope, clean_delta) in [
        (false, Scope::Batch, CleanDelta::Zero),
        (true, Scope::Batch, CleanDelta::Zero),
        (true, Scope::Full, CleanDelta::Zero),
        (false, Scope::Full, CleanDelta::Stale),
    ] {
        let mut pairs = Pairs::new(cuda, &tables, Rule { l2: 0.125, ..RULE }).unwrap();
        let mut stepper = Stepper::new(&wide(&tables.users), &wide(&tables.items), 0.05, 0.125, true).unwrap();
        let attack = Attack { direction: Direction::Gradient, eps: 0.5, relative: false };
        let against = Against { attack, weight: 0.75, scope, clean_delta, attack_l2 };
        let adversary = Adversary {
            eps: 0.5,
            weight: 0.75,
            l2: attack_l2,
            all: (scope == Scope::Full).then_some(&batch_of_all),
            stale: clean_delta == CleanDelta::Stale,
        };
        for batch in odd_batches() {
            pairs.step(&Arranged::new(&batch).batch(), Some(&adversary)).unwrap();
            stepper.step(&batch, Some(&against), &all).unwrap();
            let ([users, items], [user_sums, item_sums]) = (stepper.factors(), stepper.sums());
            let (after, sums) = (pairs.tables().unwrap(), pairs.squares().unwrap().unwrap());
            for (got, expected) in
                [(after.users, users), (after.items, items), (sums.users, user_sums), (sums.items, item_sums)]
            {
                got.iter().zip(&expected).for_each(|(&got, &expected)| assert_near(got, expected, "a number"));
            }
        }
    }
}

fn long_batches(cuda: &Cuda) {
    for (rank, users, items) in [(2, 300, 70), (40, 70, 300)] {
        let batches = [triples(700, users, items, "long"), triples(300, users, items, "long")];
        same(cuda, &tables(rank, users, items, true), RULE, &batches, None);
    }
}

fn batches_without_pairs(cuda: &Cuda) {
    let tables = tables(3, 4, 5, true);
    let mut pairs = Pairs::new(cuda, &tables, RULE).unwrap();
    let none: [Vec<f32>; 2] = Default::default();
    assert_eq!(pairs.margins().unwrap(), none);
    let empty = Batch::default();
    let mut adversary = Adversary { eps: 1.0, weight: 1.0, l2: true, all: None, stale: true };
    pairs.step(&empty, None).unwrap();
    pairs.step(&empty, Some(&adversary)).unwrap();
    adversary.all = Some(&empty);
    pairs.step(&empty, Some(&adversary)).unwrap();
    pairs.step(&empty, Some(&adversary)).unwrap();
    assert_eq!((pairs.tables().unwrap(), pairs.margins().unwrap()), (tables, none));
    let nothing = Tables { users: DMatrix::zeros(3, 0), items: DMatrix::zeros(3, 0), biases: Some(vec![]) };
    let mut pairs = Pairs::new(cuda, &nothing, RULE).unwrap();
    pairs.step(&empty, Some(&adversary)).unwrap();
    assert_eq!(pairs.tables().unwrap(), nothing);
}

fn what_is_not_finite_stays_in_its_rows(cuda: &Cuda) {
    let mut tables = tables(5, 4, 6, true);
    tables.users[(2, 1)] = f32::NAN;
    tables.items[(0, 5)] = f32::INFINITY;
    let adversary = Adversary { eps: 0.5, weight: 1.0, l2: true, all: None, stale: false };
    let mut pairs = Pairs::new(cuda, &tables, RULE).unwrap();
    pairs.step(&Arranged::new(&of(&[[0, 0, 1], [1, 2, 3], [2, 5, 4]])).batch(), Some(&adversary)).unwrap();
    let after = pairs.tables().unwrap();
    let finite = |table: &DMatrix<f32>, column: usize| table.column(column).iter().all(|x| x.is_finite());
    assert!(finite(&after.users, 0) && finite(&after.users, 3) && finite(&after.items, 0) && finite(&after.items, 1));
    assert!(!finite(&after.users, 1) && !finite(&after.items, 2) && !finite(&after.items, 3));
    assert!(!finite(&after.items, 5) && pairs.margins().unwrap()[1][1].is_nan());
}

fn bad_pairs_are_refused(cuda: &Cuda) {
    let good = tables(3, 4, 5, true);
    let say = |tables: &Tables, rule| Pairs::new(cuda, tables, rule).unwrap_err().to_string();
    let with = |users: DMatrix<f32>, items: DMatrix<f32>| Tables { users, items, biases: None };
    let table = |rank, count| DMatrix::zeros(rank, count);
    assert_eq!(say(&with(table(0, 4), table(0, 5)), RULE), "rank of the user factors: expected 1 to 1024, got 0");
    assert_eq!(
        say(&with(table(1025, 1), table(1025, 1)), RULE),
        "rank of the user factors: expected 1 to 1024, got 1025"
    );
    assert_eq!(say(&with(table(3, 4), table(2, 5)), RULE), "rank of the item factors: expected 3, got 2");
    let biases = Tables { biases: Some(vec![0.0; 4]), ..good.clone() };
    assert_eq!(say(&biases, RULE), "biases of the items: expected 5, got 4");
    let rule = |rule| say(&good, rule);
    assert_eq!(rule(Rule { l2: -1.0, ..RULE }), "parameter `l2` = -1, expected 0 or more, finite");
    assert_eq!(rule(Rule { weight: f32::NAN, ..RULE }), "parameter `weight` = NaN, expected 0 or more, finite");
    let descent = Descent::Plain { rate: f32::INFINITY };
    assert_eq!(rule(Rule { descent, ..RULE }), "parameter `rate` = inf, expected 0 or more, finite");

    let mut pairs = Pairs::new(cuda, &good, RULE).unwrap();
    let arranged = Arranged::new(&of(&[[0, 1, 2], [3, 4, 0]]));
    let batch = arranged.batch();
    let mut say = |batch: Batch<'_>, adversary| pairs.step(&batch, adversary).unwrap_err().to_string();
    assert_eq!(say(Batch { users: &[0, 4], ..batch }, None), "user of a batch: expected below 4, got 4");
    let adversary = Adversary { eps: -1.0, weight: 1.0, l2: true, all: None, stale: true };
    assert_eq!(say(batch, Some(&adversary)), "parameter `eps` = -1, expected 0 or more, finite");
    let wrong = Batch { items: &[1, 4, 2, 5], ..batch };
    let adversary = Adversary { eps: 1.0, all: Some(&wrong), ..adversary };
    assert_eq!(say(batch, Some(&adversary)), "item of a batch: expected below 5, got 5");
    assert_eq!(pairs.tables().unwrap(), good);
}
