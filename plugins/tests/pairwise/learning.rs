//! `bpr` and `apr`: every option learns, and the same bits come out wherever they should.

use crate::world::{auc, bits, factors, fit, fits, likes, recommender, table};
use evenhand_core::{Error, Factors, Interactions, Observer, Run, Scale, Training};
use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};

/// `common` with `more`.
fn with(common: &Json, more: Json) -> Json {
    let mut params = common.clone();
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

#[test]
fn every_option_learns() {
    let (train, run) = (likes(40, 30, 1), Run::new(1));
    let common = json!({ "factors": 4, "epochs": 25, "batch": 50, "learning_rate": 0.1, "start": 0.01 });
    for optimiser in ["sgd", "adagrad"] {
        for negatives in ["uniform", "popularity"] {
            for (candidates, item_bias, precision, drop_last) in [(1, true, "f32", false), (4, false, "f64", true)] {
                let params = with(
                    &common,
                    json!({ "optimiser": optimiser, "negatives": negatives, "candidates": candidates,
                        "item_bias": item_bias, "precision": precision, "drop_last": drop_last }),
                );
                let fitted = fit("bpr", &params, &train, &run);
                assert_eq!((fitted.latent, fitted.rank()), (4, 4 + usize::from(item_bias)));
                let auc = auc(&fitted, &train);
                assert!(auc > 0.9, "{params}: {auc}");
            }
        }
    }
    let common = json!({ "factors": 4, "epochs": 15, "adversarial_epochs": 10, "batch": 50, "learning_rate": 0.1 });
    for more in [
        json!({}),
        json!({ "adversary": "random", "item_bias": true }),
        json!({ "preset": "notebook", "candidates": 4 }),
        json!({ "scope": "full", "optimiser_state": "reset", "l2": 0.01, "attack_l2": true, "precision": "f64" }),
    ] {
        let params = with(&common, more);
        let auc = auc(&fit("apr", &params, &train, &run), &train);
        assert!(auc > 0.9, "{params}: {auc}");
    }
}

/// Without an adversary one method is the other.
#[test]
fn apr_without_an_adversary_is_bpr() {
    let (train, run) = (likes(20, 16, 2), Run::new(5));
    for (item_bias, precision) in [(true, "f32"), (false, "f64")] {
        let common = json!({ "factors": 5, "item_bias": item_bias, "precision": precision, "batch": 30, "l2": 0.01,
            "learning_rate": 0.1, "start": 0.01 });
        let bpr = fit("bpr", &with(&common, json!({ "optimiser": "adagrad", "epochs": 5 })), &train, &run);
        let more = json!({ "adversary": "none", "epochs": 3, "adversarial_epochs": 2 });
        let apr = fit("apr", &with(&common, more), &train, &run);
        assert_eq!(bits(&bpr), bits(&apr));
        let against = json!({ "adversary": "gradient", "epochs": 3, "adversarial_epochs": 2 });
        assert_ne!(bits(&bpr), bits(&fit("apr", &with(&common, against), &train, &run)));
        let forgetful =
            json!({ "adversary": "none", "epochs": 3, "adversarial_epochs": 2, "optimiser_state": "reset" });
        assert_ne!(bits(&bpr), bits(&fit("apr", &with(&common, forgetful), &train, &run)));
        let idle = json!({ "adversary": "gradient", "adversarial_weight": 0.0, "epochs": 3, "adversarial_epochs": 2 });
        assert_eq!(bits(&bpr), bits(&fit("apr", &with(&common, idle), &train, &run)));
    }
}

/// Data of several blocks and batches, also of batches that more than one thread works on.
#[test]
fn the_same_bits_on_any_number_of_threads() {
    let data =
        |dense| table(600, 700, |user, item| (fits(user, item) && (user * 7 + item * 3) % 29 < dense).then_some(1.0));
    let (train, many) = (data(2), data(5));
    assert!((10_000..20_000).contains(&train.len()) && many.len() > 1 << 15, "{}, {}", train.len(), many.len());
    let bpr = json!({ "factors": 4, "epochs": 1 });
    let apr = json!({ "factors": 4, "epochs": 0, "adversarial_epochs": 1, "batch": 4096 });
    for (name, params, train) in [
        // More likes than are made ready at a time.
        ("bpr", with(&bpr, json!({ "optimiser": "adagrad", "batch": 5000 })), &many),
        ("bpr", with(&bpr, json!({ "candidates": 2 })), &train),
        ("bpr", with(&bpr, json!({ "negatives": "popularity", "item_bias": false, "precision": "f64" })), &train),
        ("bpr", with(&bpr, json!({ "optimiser": "adagrad", "batch": 300, "candidates": 2 })), &train),
        ("apr", apr.clone(), &train),
        ("apr", with(&apr, json!({ "adversary": "random" })), &train),
        ("apr", with(&apr, json!({ "preset": "notebook", "l2": 0.1 })), &train),
    ] {
        let on = |threads| bits(&fit(name, &params, train, &Run::new(7).with_threads(threads).unwrap()));
        let one = on(1);
        assert!(one == on(2) && one == on(7), "{name} {params}");
    }
}

#[derive(Default)]
struct Notes {
    texts: Mutex<Vec<String>>,
    figures: Mutex<Vec<(usize, String, f64)>>,
}

impl Observer for Notes {
    fn figure(&self, step: usize, name: &str, value: f64) {
        self.figures.lock().unwrap().push((step, name.into(), value));
    }

    fn note(&self, text: &str) {
        self.texts.lock().unwrap().push(text.into());
    }
}

/// The curve that says how far training is: the share of pairs that were in order before they were learned from.
#[test]
fn more_and_more_pairs_are_in_order() {
    let train = likes(40, 30, 1);
    for (name, params) in [
        ("bpr", json!({ "factors": 4, "epochs": 12, "learning_rate": 0.1 })),
        ("bpr", json!({ "factors": 4, "epochs": 12, "learning_rate": 0.1, "optimiser": "adagrad", "batch": 50 })),
        ("apr", json!({ "factors": 4, "epochs": 6, "learning_rate": 0.1, "adversarial_epochs": 6, "batch": 50 })),
    ] {
        let params = with(&params, json!({ "start": 0.01 }));
        let notes = Arc::new(Notes::default());
        let run = Run::new(3).with_observer(notes.clone());
        fit(name, &params, &train, &run);
        let figures = notes.figures.lock().unwrap();
        let of_epochs: Vec<_> = figures.iter().map(|(epoch, name, _)| (*epoch, name.as_str())).collect();
        assert_eq!(of_epochs, (0..12).map(|epoch| (epoch, "pairs-in-order")).collect::<Vec<_>>(), "{name} {params}");
        let shares: Vec<f64> = figures.iter().map(|figure| figure.2).collect();
        let (first, last) = (shares[0], shares[11]);
        assert!((0.35..0.85).contains(&first) && last > 0.85 && last <= 1.0, "{name} {params}: {shares:?}");
    }
}

/// The factors, and what was noted on the way.
fn noted(name: &str, params: &Json, train: &Training<'_>) -> (Factors, Vec<String>) {
    let notes = Arc::new(Notes::default());
    let fitted = recommender(name, params).fit(train, &Run::new(3).with_observer(notes.clone())).unwrap();
    let texts = notes.texts.lock().unwrap().clone();
    (factors(fitted.as_ref()), texts)
}

fn small(name: &str) -> Vec<Json> {
    match name {
        "bpr" => {
            vec![json!({ "factors": 3, "epochs": 2 }), json!({ "factors": 3, "epochs": 2, "optimiser": "adagrad" })]
        }
        _ => vec![json!({ "factors": 3, "epochs": 1, "adversarial_epochs": 1, "preset": "notebook" })],
    }
}

/// Where the factors of both start.
fn start(name: &str, params: &Json, train: &Interactions) -> Factors {
    fit(name, &with(params, json!({ "learning_rate": 0.0 })), train, &Run::new(3))
}

#[test]
fn who_likes_everything_is_noted_and_skipped() {
    let train = table(6, 5, |user, item| (user < 2 || (user > 3 && item == user % 5)).then_some(1.0));
    for name in ["bpr", "apr"] {
        for params in small(name) {
            let (fitted, notes) = noted(name, &params, &Training::new(&train));
            let text = "users who like every item there is, from whom nothing can be learned: 2";
            assert_eq!(notes, [text], "{name} {params}");
            let before = start(name, &params, &train);
            let moved: Vec<bool> = (0..6).map(|u| fitted.users.column(u) != before.users.column(u)).collect();
            assert_eq!(moved, [false, false, false, false, true, true], "{name} {params}");
        }
    }
}

#[test]
fn data_that_nothing_can_be_learned_from() {
    for (users, items, cells) in
        [(0, 0, false), (3, 0, false), (0, 3, false), (1, 1, true), (4, 1, true), (3, 4, false)]
    {
        let train = table(users, items, |_, _| cells.then_some(1.0));
        for name in ["bpr", "apr"] {
            for params in small(name) {
                let (fitted, notes) = noted(name, &params, &Training::new(&train));
                assert_eq!(bits(&fitted), bits(&start(name, &params, &train)), "{name} {params}");
                let last = notes.last().map(String::as_str).unwrap_or_default();
                assert!(last.ends_with("nothing is learned"), "{name} {params} on {users} x {items}: {notes:?}");
            }
        }
    }
    // One user alone is enough.
    let train = table(1, 6, |_, item| (item < 3).then_some(1.0));
    for name in ["bpr", "apr"] {
        for params in small(name) {
            let fitted = fit(name, &params, &train, &Run::new(3));
            assert_ne!(bits(&fitted), bits(&start(name, &params, &train)), "{name} {params}");
        }
    }
}

/// Ratings of everything: by their presence all is liked, by their height half of it.
#[test]
fn likes_by_height() {
    let train = table(12, 10, |user, item| Some(if fits(user, item) { 5.0 } else { 1.0 }));
    let train = Training::new(&train).with_users(&[], Scale::FIVE_STARS);
    let params = json!({ "factors": 4, "epochs": 30, "learning_rate": 0.1 });
    let (_, notes) = noted("bpr", &params, &train);
    assert_eq!(notes.len(), 2, "{notes:?}");
    for (name, params) in [("bpr", params.clone()), ("apr", with(&params, json!({ "batch": 20 })))] {
        let (fitted, notes) = noted(name, &with(&params, json!({ "likes": "liked" })), &train);
        assert!(notes.is_empty(), "{notes:?}");
        let scores = fitted.items.tr_mul(&fitted.users);
        for user in 0..12 {
            let of = |own| (0..10).filter(move |&i| fits(user as u32, i as u32) == own).map(|i| scores[(i, user)]);
            let (worst, best) = (of(true).fold(f32::MAX, f32::min), of(false).fold(f32::MIN, f32::max));
            assert!(worst > best, "{name}, user {user}: {worst}, {best}");
        }
    }
}

/// What does not fill a batch is left out, unless that were everything.
#[test]
fn the_last_batch() {
    let train = table(9, 6, |user, item| (item == user % 6 || item == (user + 1) % 6).then_some(1.0));
    assert_eq!(train.len(), 18);
    let of = |batch: usize, drop_last: bool| {
        let params =
            json!({ "factors": 3, "epochs": 2, "optimiser": "adagrad", "batch": batch, "drop_last": drop_last });
        bits(&fit("bpr", &params, &train, &Run::new(2)))
    };
    assert_eq!(of(6, true), of(6, false));
    assert_eq!(of(18, true), of(18, false));
    assert_eq!(of(19, true), of(19, false), "there is no other batch");
    assert_ne!(of(7, true), of(7, false));
}

#[test]
fn a_refit_goes_on_from_the_earlier_model() {
    let (few, all, run) = (likes(10, 8, 4), likes(14, 11, 4), Run::new(6));
    for name in ["bpr", "apr"] {
        for params in small(name) {
            for item_bias in [true, false] {
                let params = with(&params, json!({ "item_bias": item_bias }));
                let earlier = recommender(name, &params).fit(&Training::new(&few), &run).unwrap();
                let refit = |params: &Json, train| {
                    recommender(name, params).refit(&Training::new(train), earlier.as_ref(), &run)
                };
                let still = with(&params, json!({ "learning_rate": 0.0 }));
                let at = factors(refit(&still, &all).unwrap().as_ref());
                let fresh = fit(name, &still, &all, &run);
                let (old, rank) = (earlier.factors().unwrap(), at.rank());
                for (at, old, fresh) in [(&at.users, &old.users, &fresh.users), (&at.items, &old.items, &fresh.items)] {
                    let known = old.ncols();
                    assert_eq!((at.nrows(), at.columns(0, known)), (rank, old.columns(0, known)), "{name} {params}");
                    assert_eq!(at.columns_range(known..), fresh.columns_range(known..), "{name} {params}");
                }
                assert_ne!(bits(&factors(refit(&params, &few).unwrap().as_ref())), bits(old), "{name} {params}");
                let other = with(&params, json!({ "factors": 4 }));
                assert!(matches!(refit(&other, &all), Err(Error::Shape { .. })), "{name} of another rank");
                let fewer = likes(9, 8, 4);
                assert!(matches!(refit(&params, &fewer), Err(Error::Shape { .. })), "{name} on fewer users");
            }
        }
    }
}

#[test]
fn the_stale_place_needs_an_attack_on_all() {
    let train = likes(6, 5, 1);
    let fit = |params: Json| recommender("apr", &params).fit(&Training::new(&train), &Run::new(0));
    let epochs = json!({ "epochs": 1, "adversarial_epochs": 1 });
    let by_chance = json!({ "clean_delta": "stale", "scope": "full", "adversary": "random" });
    for more in [json!({ "clean_delta": "stale" }), by_chance] {
        let refused = fit(with(&epochs, more)).err();
        assert!(matches!(&refused, Some(Error::OutOfRange { field, .. }) if field == "clean_delta"), "{refused:?}");
    }
    let by_chance = json!({ "preset": "notebook", "adversary": "random" });
    let of_batch = json!({ "preset": "notebook", "scope": "batch" });
    let of_all = json!({ "clean_delta": "stale", "scope": "full" });
    for more in [of_all, of_batch, json!({ "preset": "notebook" }), by_chance] {
        assert!(fit(with(&epochs, more)).is_ok());
    }
}

#[test]
fn steps_that_run_away_are_an_error() {
    let train = likes(10, 8, 1);
    for (name, params) in [
        ("bpr", json!({ "learning_rate": 1e30 })),
        ("apr", json!({ "learning_rate": 1e30 })),
        // The sums of squares overflow, after which Adagrad would stand still.
        ("apr", json!({ "l2": 1e30 })),
        ("bpr", json!({ "optimiser": "adagrad", "l2": 1e30 })),
    ] {
        let refused = recommender(name, &params).fit(&Training::new(&train), &Run::new(0)).err();
        assert!(matches!(&refused, Some(Error::Diverged { step: Some(_), .. })), "{name} {params}: {refused:?}");
    }
    // Single precision can not hold what double precision can.
    for optimiser in ["sgd", "adagrad"] {
        let params = json!({ "optimiser": optimiser, "precision": "f64", "start": 1e39, "learning_rate": 0.0 });
        let refused = recommender("bpr", &params).fit(&Training::new(&train), &Run::new(0)).err();
        assert!(matches!(&refused, Some(Error::Diverged { .. })), "{optimiser}: {refused:?}");
    }
}

/// Margins below the cut have no slope, yet they are in the wrong order.
#[test]
fn hopeless_pairs_are_not_in_order() {
    let train = likes(40, 30, 1);
    for optimiser in ["sgd", "adagrad"] {
        let notes = Arc::new(Notes::default());
        let params = json!({ "optimiser": optimiser, "learning_rate": 0.0, "start": 1000.0, "epochs": 1 });
        fit("bpr", &params, &train, &Run::new(1).with_observer(notes.clone()));
        let figures = notes.figures.lock().unwrap();
        assert!(figures.len() == 1 && (0.3..0.7).contains(&figures[0].2), "{optimiser}: {figures:?}");
    }
}

#[test]
fn a_refit_that_would_lose_biases_is_refused() {
    let train = likes(10, 8, 1);
    let run = Run::new(0);
    let biased = recommender("bpr", &json!({ "factors": 4, "epochs": 1 })).fit(&Training::new(&train), &run).unwrap();
    let refit = |item_bias: bool| {
        let params = json!({ "factors": 4, "epochs": 0, "adversarial_epochs": 0, "item_bias": item_bias });
        recommender("apr", &params).refit(&Training::new(&train), biased.as_ref(), &run)
    };
    let kept = refit(true).unwrap();
    assert_eq!(bits(kept.factors().unwrap()), bits(biased.factors().unwrap()));
    let refused = refit(false).err().unwrap().to_string();
    assert_eq!(refused, "factors of the earlier model besides the latent ones: expected none, got 1, item biases");
}
