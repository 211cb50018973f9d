use super::*;
use crate::experiment::{Calibration, Experiment, Mitigation, Overrides, Weight};
use crate::per_user::PerUser;
use crate::protocol::Figure;
use evenhand_core::{
    Acting, Cardinality, Certificate, Factors, Groups, Interactions, Lottery, Output, Plan, Policy, Propensities, Rows,
    Scale, SizeRule, Slates, World, plugin,
};
use nalgebra::DMatrix;
use rand::RngExt;
use std::path::Path;

plugin! {
    /// For tests: the first items in this order, whatever the model knows, with a certificate of that gap.
    pub struct Stubborn: Policy = "test-stubborn" {
        /// The items.
        items: Vec<usize> = vec![0], in 0..;
        /// How many of them are shown; 0 for as many as asked for.
        size: usize = 0, in 0..;
        /// The gap.
        gap: f64 = 0.0, in -1.0..;
        /// Whether it has no certificate for the second user.
        unsure: bool = false;
    }
}

struct Shows(Stubborn);

impl Policy for Stubborn {
    fn prepare<'a>(&self, _: World<'a>, _: &Run) -> Result<Box<dyn Acting + 'a>> {
        Ok(Box::new(Shows(self.clone())))
    }
}

impl Acting for Shows {
    fn act(&self, _: &[u32], _: usize, _: &Run) -> Result<Slates> {
        unreachable!("it states its plans")
    }

    fn propensities(&self, _: &[u32], _: &Slates, _: &Run) -> Result<Propensities> {
        unreachable!("nobody asks")
    }

    fn plans(&self, users: &[u32], cardinality: Cardinality, _: &Run) -> Result<Vec<Plan>> {
        let size = if self.0.size == 0 { cardinality.size } else { self.0.size };
        let set: Vec<u32> = self.0.items.iter().take(size).map(|&item| item as u32).collect();
        let lottery = match cardinality.rule {
            SizeRule::Independent => Lottery::Independent { chances: vec![1.0; set.len()], items: set },
            _ => Lottery::certain(set),
        };
        // Only the first user has the gap.
        let certificate = |&user: &u32| Certificate {
            gap: match user {
                0 => self.0.gap,
                1 if self.0.unsure => f64::INFINITY,
                _ => 0.0,
            },
            evaluations: 3 + user as usize,
            converged: !(user == 1 && self.0.unsure),
        };
        Ok(users.iter().map(|u| Plan { lottery: lottery.clone(), certificate: Some(certificate(u)) }).collect())
    }
}

/// `[harm]` with those lines and policies.
fn part(lines: &str, policies: &str) -> Mitigation {
    let text = format!(
        "[data]\nsimulator = 'biased-ratings'\n[harm]\nharmful = {{ groups = 'genre', any = ['F'] }}\n{lines}\n\
         [[harm.run]]\nrecommender = 'als'\npolicy = {policies}\n"
    );
    Experiment::parse("e", &text, Path::new(""), &Overrides::default()).unwrap().harm.unwrap()
}

/// A model and its data: numbers of users, one row per user, and of items.
fn world(users: DMatrix<f32>, items: DMatrix<f32>) -> (Embedding, Dataset) {
    let none = Interactions::new(users.ncols(), items.ncols(), &Rows::default()).unwrap();
    let model = Box::new(Factors::new(users, items, Output::Order).unwrap());
    (
        Embedding { model, seconds: 0.0, audience: OnceLock::new(), weight: OnceLock::new() },
        Dataset::new("x", none, Scale::FIVE_STARS),
    )
}

/// Random profiles of three numbers.
fn random(users: usize, items: usize) -> (Embedding, Dataset) {
    let mut rng = Run::new(5).streams.child("world").rng(0);
    let mut draw = |n| DMatrix::from_fn(3, n, |_, _| rng.random_range(-1.0..1.0f32));
    world(draw(users), draw(items))
}

/// Every third item is.
fn labels(items: usize) -> Vec<bool> {
    (0..items).map(|item| item % 3 == 0).collect()
}

fn run_on(threads: usize) -> Run {
    Run::new(3).with_threads(threads).unwrap()
}

fn value(figures: &[Figure], metric: &str, group: Option<&str>) -> f64 {
    let found = figures.iter().find(|f| f.metric == metric && f.group.as_deref() == group);
    found.unwrap_or_else(|| panic!("{metric} of {group:?} in {figures:?}")).value
}

fn close(got: f64, expected: f64, within: f64) {
    assert!((got - expected).abs() <= within, "{got}, expected {expected}");
}

/// Nobody is attracted by anything, so profiles stay where they are: scores of user 0 are 2 and 3, those of user 1 are 1.
#[test]
fn users_who_do_not_change_by_hand() {
    let (two, three) = (2f32.ln(), 3f32.ln());
    let (embedding, mut data) =
        world(DMatrix::from_row_slice(1, 2, &[1.0, 0.0]), DMatrix::from_row_slice(1, 2, &[two, three]));
    let groups = [("M", vec![1]), ("F", vec![0]), ("none", vec![])].map(|(l, m)| (l.to_string(), m)).to_vec();
    data.user_groups.push(Groups::new("gender", 2, groups).unwrap());
    let part = part("c = 2\nlambda = 10\nalpha_harmful = 0\nalpha_harmless = 0\nkeep_users = true\n", "'top-k'");
    let measured = measure(&embedding, &part.cases[0], &part.options, (&data, &[false, true]), &Run::new(0)).unwrap();
    let of = |metric: &str, group| value(&measured.figures, metric, group);
    for (metric, first, second) in [("click", 0.5, 1.0 / 3.0), ("harm", 0.3, 1.0 / 3.0), ("objective", -2.5, -3.0)] {
        close(of(metric, None), (first + second) / 2.0, 1e-7);
        close(of(&format!("{metric}-sd"), None), f64::abs(first - second) / 2f64.sqrt(), 1e-7);
        close(of(metric, Some("gender=F")), first, 1e-7);
        close(of(metric, Some("gender=M")), second, 1e-7);
        let kept = measured.users.as_ref().unwrap().iter().find(|m| m.metric == metric).unwrap();
        assert_eq!(kept.values.iter().map(|(user, _)| *user).collect::<Vec<_>>(), [0, 1]);
        close(kept.values[1].1, second, 1e-7);
    }
    assert_eq!((of("distance", Some("gender=F")), of("distance", Some("gender=M"))), (0.0, 0.0));
    let fixed = [("distance", 0.0), ("set-size", 1.0), ("not-converged", 0.0), ("lambda", 10.0), ("c", 2.0)];
    fixed.into_iter().for_each(|(metric, expected)| assert_eq!(of(metric, None), expected, "{metric}"));
    let names: Vec<&str> = measured.figures.iter().map(|f| f.metric.as_str()).collect();
    assert!(!names.contains(&"draws") && !names.contains(&"gap"), "{names:?}");
    assert!(measured.figures.iter().all(|f| f.group.as_deref() != Some("gender=none")), "nobody is in it");
    assert!(measured.figures.iter().all(|f| f.group.is_some() || f.n == 2));
}

/// One number: the item pulls the profile to 1, the harmful one to -1. Many steps, worked out here, lead to the same place.
#[test]
fn a_user_who_changes_ends_where_many_steps_lead() {
    let (embedding, data) = world(DMatrix::from_element(1, 1, 0.25), DMatrix::from_row_slice(1, 2, &[1.0, -1.0]));
    let part = part("c = 3\nlambda = 2\nsteps = 4\n", "'uniform'");
    let measured = measure(&embedding, &part.cases[0], &part.options, (&data, &[false, true]), &Run::new(0)).unwrap();
    let (alpha, alpha_harmful, beta, c) = (0.25, 0.5, 0.2, 3.0);
    let taken = |u: f64| u.exp() / (u.exp() + c);
    let harm = |u: f64| (1.0 - taken(u)) * (-u).exp() / (u.exp() + (-u).exp());
    let step = |u: f64| {
        let (bad, good) = (harm(u), 1.0 - harm(u));
        beta * 0.25 + alpha * good - alpha_harmful * bad + (1.0 - beta - alpha * good - alpha_harmful * bad) * u
    };
    let after = |steps: usize| (0..steps).fold(0.25, |u, _| step(u));
    let end = after(1000);
    let of = |metric: &str| value(&measured.figures, metric, None);
    close(of("click"), taken(end), 1e-12);
    close(of("harm"), harm(end), 1e-12);
    close(of("objective"), taken(end) - 2.0 * harm(end), 1e-12);
    close(of("distance"), (after(4) - end).abs(), 1e-12);
    assert!(of("distance") > 1e-3 && of("iterations") > 1.0);
    assert!(measured.figures.iter().all(|f| !f.metric.ends_with("-sd")), "one user has no deviation");
}

#[test]
fn a_policy_that_can_not_state_its_lottery_is_drawn() {
    let (embedding, data) = random(9, 12);
    let harmful = labels(12);
    let of = |lines: &str, policy: &str, run: &Run| {
        let part = part(&format!("k = 3\nusers = 7\ndraws = 20\nlambda = 5\n{lines}"), policy);
        measure(&embedding, &part.cases[0], &part.options, (&data, &harmful), run).map(|m| m.figures)
    };
    let run = Run::new(1);
    for rule in ["exactly", "at-most"] {
        let mut drawn = of(&format!("rule = '{rule}'"), "'greedy'", &run).unwrap();
        assert_eq!(drawn.pop().map(|f| (f.metric, f.value)), Some(("draws".to_string(), 20.0)));
        assert_eq!(drawn, of(&format!("rule = '{rule}'"), "'top-k'", &run).unwrap());
    }
    let refused = of("rule = 'independent'", "'greedy'", &run).unwrap_err().to_string();
    assert_eq!(refused, "`greedy` can not state its distribution over sets, which `harm.rule` = `independent` needs");
    // Slates of its own draws: between the best and the uniform ones.
    let explores = "{ plugin = 'epsilon-greedy', epsilon = 0.5 }";
    let click =
        |policy: &str| value(&of("alpha_harmful = 0\nalpha_harmless = 0", policy, &run).unwrap(), "click", None);
    let (best, mixed, even) = (click("'top-k'"), click(explores), click("'uniform'"));
    assert!(even < mixed && mixed < best, "{even} {mixed} {best}");
    for threads in [1, 2, 7] {
        assert_eq!(of("", explores, &run_on(threads)).unwrap(), of("", explores, &run_on(3)).unwrap(), "{threads}");
    }
}

#[test]
fn equal_seeds_give_equal_bits_on_any_number_of_threads() {
    let harmful = labels(20);
    let lines = "users = 70\nkeep_users = true\nc = { grid = [1, 2, 4], click = 0.4 }\n";
    let part = part(lines, "['uniform', 'top-k', 'alternating']");
    let of = |case: usize, run: &Run| {
        // Anew, so that the weight is found anew too.
        let (embedding, data) = random(90, 20);
        let Measured { figures, users, .. } =
            measure(&embedding, &part.cases[case], &part.options, (&data, &harmful), run).unwrap();
        (figures, users.unwrap())
    };
    let who = |users: &[PerUser]| users[0].values.iter().map(|(user, _)| *user).collect::<Vec<_>>();
    let (_, first) = of(0, &run_on(1));
    assert!(who(&first).is_sorted() && who(&first).len() == 70);
    for case in 0..3 {
        let alone = of(case, &run_on(1));
        assert_eq!(who(&alone.1), who(&first), "all policies meet the same users");
        [2, 7].into_iter().for_each(|threads| assert_eq!(of(case, &run_on(threads)), alone, "{threads} threads"));
    }
    assert_ne!(who(&of(0, &Run::new(4)).1), who(&first));
}

#[test]
fn prices_change_the_objective_alone_of_a_policy_that_ignores_them() {
    let (embedding, data) = random(6, 12);
    let part = part("lambda = [0, 2, 50]", "'alternating'");
    let of = |case: usize| measure(&embedding, &part.cases[case], &part.options, (&data, &labels(12)), &Run::new(0));
    let all: Vec<Vec<Figure>> = (0..3).map(|case| of(case).unwrap().figures).collect();
    let [free, cheap, dear] = [0, 1, 2].map(|n| {
        let (click, harm) = (value(&all[n], "click", None), value(&all[n], "harm", None));
        close(value(&all[n], "objective", None), click - part.cases[n].lambda * harm, 1e-12);
        (click, harm)
    });
    assert!(free == cheap && cheap == dear && free.1 > 0.0, "{free:?} {cheap:?} {dear:?}");
}

#[test]
fn certificates_are_summed_up() {
    let (embedding, data) = random(4, 6);
    let of = |lines: &str| {
        let part =
            part("lambda = 1\nkeep_users = true\n", &format!("{{ plugin = 'test-stubborn', items = [1], {lines} }}"));
        measure(&embedding, &part.cases[0], &part.options, (&data, &labels(6)), &Run::new(0))
    };
    let all = of("gap = 0.5").unwrap().figures;
    let expected = [("gap", 0.125), ("gap-max", 0.5), ("certified", 0.75), ("ended", 1.0), ("evaluations", 4.5)];
    expected.into_iter().for_each(|(metric, expected)| assert_eq!(value(&all, metric, None), expected, "{metric}"));
    // A user without a certificate is not certified, and takes no part in the gap.
    let Measured { figures, users, .. } = of("gap = 0.75, unsure = true").unwrap();
    let expected = [("gap", 0.25), ("gap-max", 0.75), ("certified", 0.5), ("ended", 0.75), ("evaluations", 4.5)];
    expected.into_iter().for_each(|(metric, expected)| assert_eq!(value(&figures, metric, None), expected, "{metric}"));
    assert_eq!(figures.iter().find(|f| f.metric == "gap").unwrap().n, 3);
    let users = users.unwrap();
    let kept = |metric: &str| users.iter().find(|kept| kept.metric == metric).unwrap().values.clone();
    assert_eq!(kept("gap"), [(0, 0.75), (2, 0.0), (3, 0.0)]);
    assert_eq!(kept("ended"), [(0, 1.0), (1, 0.0), (2, 1.0), (3, 1.0)]);
    let refused = of("gap = -0.5").unwrap_err().to_string();
    let text = "data: `test-stubborn` states a gap of -0.5 for user 0, expected a number from 0, or infinity";
    assert_eq!(refused, text);
}

#[test]
fn a_policy_that_shows_what_it_must_not_fails() {
    let (embedding, data) = random(2, 6);
    let say = |lines: &str, policy: &str| {
        let part = part(lines, &format!("{{ plugin = 'test-stubborn', {policy} }}"));
        let measured = measure(&embedding, &part.cases[0], &part.options, (&data, &labels(6)), &Run::new(0));
        measured.map(|_| ()).map_err(|e| e.to_string())
    };
    let harmful = "data: `test-stubborn` shows item 3 to user 0, which is harmful";
    assert_eq!(say("k = 2", "items = [1, 3]"), Err(harmful.into()));
    assert_eq!(say("k = 2\nrule = 'independent'", "items = [1, 3]"), Err(harmful.into()));
    let sizes = |size: usize| {
        format!("data: `test-stubborn` shows sets of {size} to {size} items, {size}.00 on average, to user 0")
    };
    let two = "items = [1, 2], size = 2";
    assert_eq!(say("k = 1", two), Err(format!("{}, expected exactly 1", sizes(2))));
    assert_eq!(say("k = 1\nrule = 'at-most'", two), Err(format!("{}, expected at most 1", sizes(2))));
    assert_eq!(say("k = 1\nrule = 'independent'", two), Err(format!("{}, expected 1 on average", sizes(2))));
    assert_eq!(say("k = 3", two), Err(format!("{}, expected exactly 3", sizes(2))));
    assert_eq!((say("k = 2", two), say("k = 3\nrule = 'at-most'", two)), (Ok(()), Ok(())));
}

#[test]
fn the_largest_weight_is_chosen_at_which_enough_is_taken() {
    let (embedding, data) = random(30, 12);
    let (model, harmful, run) = (embedding.model.as_ref(), labels(12), Run::new(2));
    let of = |c: &str| part(&format!("{c}\nusers = 12"), "'uniform'");
    let grid = of("c = { grid = [4, 0.5, 2, 1], click = 0.45 }");
    let (found, users) = tried(model, &grid.options, &harmful, &run).unwrap();
    assert_eq!((found.iter().map(|t| t.c).collect::<Vec<_>>(), users), (vec![4.0, 0.5, 2.0, 1.0], 12));
    let at = |c: f64| found.iter().find(|t| t.c == c).unwrap();
    for (small, large) in [(0.5, 1.0), (1.0, 2.0), (2.0, 4.0)] {
        let (small, large) = (at(small), at(large));
        for (a, b) in [(small.uniform, large.uniform), (small.alternating, large.alternating)] {
            assert!(a.value.click > b.value.click && a.value.harm < b.value.harm, "{a:?} {b:?}");
        }
        assert!(small.alternating.value.click > small.uniform.value.click);
    }
    // Scores are about 1, so that of a single item is taken about as often as not at c = 1.
    let best = chosen(found.iter().map(|t| (t.c, t.uniform.value.click)), 0.45).unwrap();
    assert!(at(best).uniform.value.click >= 0.45 && best < 4.0 && at(4.0).uniform.value.click < 0.45);
    // A comparison calibrates on the same users in the same way.
    let measured = measure(&embedding, &grid.cases[0], &grid.options, (&data, &harmful), &run).unwrap();
    assert_eq!(value(&measured.figures, "c", None), best);
    assert_eq!(value(&measured.figures, "click", None), at(best).uniform.value.click);
    let none = of("c = { grid = [4, 2], click = 0.9 }");
    let fresh = random(30, 12).0;
    let refused = measure(&fresh, &none.cases[0], &none.options, (&data, &harmful), &run).unwrap_err().to_string();
    let text =
        "parameter `harm.c.grid` = [4.0, 2.0], expected a weight at which the mean click of `uniform` is at least 0.9";
    assert!(refused.starts_with(text) && refused.ends_with(", at 2"), "{refused}");
    let usual = part("c = 7", "'uniform'").options;
    assert_eq!((rule(&usual), usual.c.clone()), (Calibration::default(), Weight::Given(7.0)));
    assert_eq!(tried(model, &usual, &harmful, &run).unwrap().1, 10, "ten users unless the experiment says otherwise");
    assert_eq!(chosen([(1.0, 0.6), (2.0, 0.5), (3.0, 0.4)], 0.5), Some(2.0));
    assert_eq!(chosen([(1.0, 0.6)], 0.7), None);
}

#[test]
fn a_stopped_run_says_so() {
    let (embedding, data) = random(6, 12);
    let part = part("", "'uniform'");
    let run = Run::new(0).with_cancel(std::sync::Arc::new(true.into()));
    let stopped = measure(&embedding, &part.cases[0], &part.options, (&data, &labels(12)), &run);
    assert!(matches!(stopped, Err(evenhand_core::Error::Cancelled)), "{stopped:?}");
}
