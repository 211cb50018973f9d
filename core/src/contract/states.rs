//! Checks of fitted models: scores, best items, snapshots.

use super::outcome::{Stop, caught, ensure};
use super::recommender::Subject;
use super::small;
use crate::metrics::Position;
use crate::snapshot::{self, Provenance};
use crate::{Interactions, Model, Run, TopK};
use nalgebra::DMatrix;
use serde_json::{Value as Json, json};

/// Everything that one sees of a model.
pub(super) struct View {
    scores: DMatrix<f32>,
    top: TopK,
    positions: Vec<Position>,
}

/// How many best items the checks ask for.
const K: usize = 5;

fn everyone(model: &dyn Model) -> Vec<u32> {
    (0..model.users() as u32).collect()
}

pub(super) fn scores(model: &dyn Model, users: &[u32], run: &Run) -> Result<DMatrix<f32>, Stop> {
    // Of another shape and not zero: a model that adds to what it finds is found out.
    let mut out = DMatrix::from_element(3, 2, 7.0);
    model.score(users, &mut out, run)?;
    let (expected, got) = ((model.items(), users.len()), out.shape());
    ensure(got == expected, || format!("scores are {got:?}, expected items x batch, {expected:?}"))?;
    Ok(out)
}

/// Looks at a model: all scores, the best items but for those in `seen`, and where those in it stand.
pub(super) fn observe(model: &dyn Model, seen: &Interactions, run: &Run) -> Result<View, Stop> {
    let users = everyone(model);
    let top = model.top_k(&users, Some(seen), K, run)?;
    let positions = model.ranks(&users, None, seen, run)?;
    Ok(View { scores: scores(model, &users, run)?, top, positions })
}

impl View {
    /// Fails where a bit differs.
    pub(super) fn same(&self, other: &Self, between: &str) -> Result<(), Stop> {
        same_bits(&self.scores, &other.scores, between)?;
        ensure(self.top == other.top, || format!("the best items differ between {between}"))?;
        ensure(self.positions == other.positions, || format!("the positions differ between {between}"))
    }
}

pub(super) fn same_bits(a: &DMatrix<f32>, b: &DMatrix<f32>, between: &str) -> Result<(), Stop> {
    ensure(a.shape() == b.shape(), || format!("shapes {:?} and {:?} between {between}", a.shape(), b.shape()))?;
    let differs = a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits());
    differs.map_or(Ok(()), |at| {
        let (item, user) = a.vector_to_matrix_index(at);
        Err(Stop::Failed(format!("user {user}, item {item}: {} and {} between {between}", a[at], b[at])))
    })
}

pub(super) fn shape(model: &dyn Model, train: &Interactions) -> Result<(), Stop> {
    let (expected, got) = ((train.users(), train.items()), (model.users(), model.items()));
    ensure(got == expected, || format!("the model is for {got:?} users and items, the data have {expected:?}"))
}

/// The model has the shape of its data, passes its own check, and every score is finite.
pub(super) fn whole(model: &dyn Model, train: &Interactions, run: &Run) -> Result<(), Stop> {
    shape(model, train)?;
    model.validate()?;
    all_finite(&scores(model, &everyone(model), run)?)
}

fn all_finite(scores: &DMatrix<f32>) -> Result<(), Stop> {
    let sick = scores.iter().position(|v| !v.is_finite());
    sick.map_or(Ok(()), |at| {
        let (item, user) = scores.vector_to_matrix_index(at);
        Err(Stop::Failed(format!("the score of user {user}, item {item} is {}", scores[at])))
    })
}

pub(super) fn finite(s: &Subject<'_>) -> Result<(), Stop> {
    let model = s.model()?;
    all_finite(&scores(model, &everyone(model), s.run())?)
}

pub(super) fn batches(s: &Subject<'_>) -> Result<(), Stop> {
    let model = s.model()?;
    let all = scores(model, &everyone(model), s.run())?;
    let last = model.users() as u32 - 1;
    // Unordered, with a repetition; and of one; and of none.
    for batch in [&[last, 0, 3, 0][..], &[last], &[]] {
        let expected = all.select_columns(&batch.iter().map(|&u| u as usize).collect::<Vec<_>>());
        let between = format!("the batch of everyone and the batch {batch:?} (its columns count)");
        same_bits(&expected, &scores(model, batch, s.run())?, &between)?;
    }
    Ok(())
}

pub(super) fn out_of_range(s: &Subject<'_>) -> Result<(), Stop> {
    let (model, run) = (s.model()?, s.run());
    let (user, item) = (model.users() as u32, model.items() as u32);
    let mut out = DMatrix::zeros(0, 0);
    let tried = [
        ("scores of a user", model.score(&[0, user], &mut out, run).is_err()),
        ("best items of a user", model.top_k(&[user], None, K, run).is_err()),
        ("positions for a user", model.ranks(&[user], None, &s.train, run).is_err()),
        ("predictions for a user", model.predict(&[user], &[0], &mut [0.0], run).is_err()),
        ("predictions for an item", model.predict(&[0], &[item], &mut [0.0], run).is_err()),
    ];
    for (what, refused) in tried {
        ensure(refused, || format!("{what} out of range are given out"))?;
    }
    let refused = model.predict(&[0, 1], &[0], &mut [0.0, 0.0], run).is_err();
    ensure(refused, || "two users and one item are taken for pairs".into())
}

pub(super) fn predict(s: &Subject<'_>) -> Result<(), Stop> {
    let model = s.model()?;
    let all = scores(model, &everyone(model), s.run())?;
    // All pairs, in an order in which neither users nor items stand together.
    let (users, items) = (model.users(), model.items());
    let pairs: Vec<(u32, u32)> =
        (0..users * items).map(|n| n * 7 % (users * items)).map(|n| ((n % users) as u32, (n / users) as u32)).collect();
    let (us, is): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let mut got = vec![f32::NAN; pairs.len()];
    model.predict(&us, &is, &mut got, s.run())?;
    let largest = all.amax();
    for (&(user, item), &got) in pairs.iter().zip(&got) {
        let score = all[(item as usize, user as usize)];
        ensure(close(score, got, largest), || format!("user {user}, item {item}: score {score}, prediction {got}"))?;
    }
    Ok(())
}

/// Equal but for rounding. Terms as large as the largest score may have cancelled out in a small one.
fn close(a: f32, b: f32, largest: f32) -> bool {
    (a - b).abs() <= 1e-4 * a.abs().max(0.1 * largest)
}

/// The best items by score, ties to the lower item. Both zeros are equal.
fn best(scores: &[f32], hidden: &[u32], k: usize) -> Vec<u32> {
    let score = |item: u32| scores[item as usize] + 0.0; // the sum of -0 and 0 is 0
    let mut items: Vec<u32> = (0..scores.len() as u32).filter(|i| !hidden.contains(i)).collect();
    items.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
    items.truncate(k);
    items
}

pub(super) fn top_k(s: &Subject<'_>) -> Result<(), Stop> {
    let (model, run) = (s.model()?, s.run());
    // Backwards: place in the batch and user index differ.
    let users: Vec<u32> = everyone(model).into_iter().rev().collect();
    let all = scores(model, &users, run)?;
    let largest = all.amax();
    for (seen, k) in [(None, K), (None, model.items() + 3), (Some(&s.train), 1), (Some(&s.train), K), (None, 0)] {
        let top = model.top_k(&users, seen, k, run)?;
        ensure(top.len() == users.len(), || format!("lists for {} users, expected {}", top.len(), users.len()))?;
        for (b, &user) in users.iter().enumerate() {
            let column = all.column(b);
            let hidden = seen.map_or(&[][..], |s| s.by_user().partners(user as usize));
            let expected = best(column.as_slice(), hidden, k);
            let got = top.items(b);
            ensure(got == expected, || format!("best {k} of user {user}: {got:?}, by scores {expected:?}"))?;
            for (&item, &score) in got.iter().zip(top.scores(b)) {
                let expected = column[item as usize];
                ensure(close(expected, score, largest), || {
                    format!("user {user}, item {item}: {score}, scored {expected}")
                })?;
            }
        }
    }
    Ok(())
}

/// Where each held-out item stands by the sorted scores, straight from the definition.
fn standing(scores: &[f32], seen: &[u32], held_out: &[u32]) -> Vec<Position> {
    let rivals: Vec<f32> =
        (0..).zip(scores).filter(|(i, _)| !seen.contains(i) && !held_out.contains(i)).map(|(_, &s)| s).collect();
    let position = |&item: &u32| {
        let count =
            |of: fn(&f32, &f32) -> bool| rivals.iter().filter(|rival| of(rival, &scores[item as usize])).count();
        let (greater, equal) = (count(f32::gt) as u32, count(f32::eq) as u32);
        Position { greater, equal, candidates: rivals.len() as u32 }
    };
    held_out.iter().map(position).collect()
}

pub(super) fn ranks(s: &Subject<'_>) -> Result<(), Stop> {
    stand_by_scores(s.model()?, s)?;
    // Items that nobody has rated often score the same. Whether they can be fitted is the business of `empty-rows`.
    match caught(|| s.fit(&small::holes())) {
        Ok(Ok(model)) => stand_by_scores(model.as_ref(), s),
        _ => Ok(()),
    }
}

fn stand_by_scores(model: &dyn Model, s: &Subject<'_>) -> Result<(), Stop> {
    // Backwards, with a repetition; the held-out items are in part seen, and some users have none.
    let users: Vec<u32> = everyone(model).into_iter().rev().chain([3]).collect();
    let all = scores(model, &users, s.run())?;
    let held_out = small::held_out();
    for (about, seen) in [("among all items", None), ("among unseen items", Some(&s.train))] {
        let mut got = model.ranks(&users, seen, &held_out, s.run())?.into_iter();
        for (b, &user) in users.iter().enumerate() {
            let hidden = seen.map_or(&[][..], |s| s.by_user().partners(user as usize));
            let held_out = held_out.by_user().partners(user as usize);
            let got: Vec<Position> = got.by_ref().take(held_out.len()).collect();
            let expected = standing(all.column(b).as_slice(), hidden, held_out);
            ensure(got == expected, || {
                format!("items {held_out:?} of user {user} stand at {got:?} {about}, by scores at {expected:?}")
            })?;
        }
        ensure(got.next().is_none(), || format!("there are positions left {about}"))?;
    }
    Ok(())
}

fn saved(model: &dyn Model) -> Result<String, Stop> {
    let provenance = Provenance { plugin: "contract".into(), seed: 3, ..Provenance::default() };
    let mut bytes = Vec::new();
    snapshot::save(model, &provenance, &mut bytes)?;
    String::from_utf8(bytes).map_err(|e| Stop::Failed(e.to_string()))
}

pub(super) fn snapshot(s: &Subject<'_>) -> Result<(), Stop> {
    let model = s.model()?;
    let text = saved(model)?;
    let (back, _) = snapshot::load(text.as_bytes())?;
    ensure(back.kind() == model.kind(), || format!("kind `{}` comes back as `{}`", model.kind(), back.kind()))?;
    ensure(back.output() == model.output(), || "the meaning of the scores changes".into())?;
    shape(back.as_ref(), &s.train)?;
    let [before, after] = [model, back.as_ref()].map(|model| observe(model, &s.train, s.run()));
    before?.same(&after?, "the model and its snapshot")
}

/// A cut or mislabelled snapshot is an error. One with a changed part may load where the part could be meant (another
/// number in the place of a number), but neither loading nor scoring may panic.
pub(super) fn hostile_snapshot(s: &Subject<'_>) -> Result<(), Stop> {
    let model = s.model()?;
    let text = saved(model)?;
    // Cutting at every byte would take seconds.
    for end in (0..text.len()).step_by(text.len() / 61 + 1).chain([text.len() - 1]) {
        ensure(snapshot::load(&text.as_bytes()[..end]).is_err(), || format!("cut after {end} bytes, it loads"))?;
    }
    let whole: Json = serde_json::from_str(&text).map_err(|e| Stop::Failed(e.to_string()))?;
    for (key, value) in [("format", json!(u32::MAX)), ("kind", json!("no-such-kind")), ("state", json!("none"))] {
        let mut changed = whole.clone();
        changed[key] = value;
        let refused = snapshot::load(changed.to_string().as_bytes()).is_err();
        ensure(refused, || format!("it loads with `{key}` = {}", changed[key]))?;
    }
    for at in places(&whole["state"]) {
        for damaged in damages(&whole["state"], &at) {
            let mut changed = whole.clone();
            changed["state"] = damaged;
            let tried = caught(|| {
                let (back, _) = snapshot::load(changed.to_string().as_bytes())?;
                // Other claims of size are not followed: nothing says that there is memory for them.
                if (back.users(), back.items()) == (model.users(), model.items()) {
                    back.score(&everyone(model), &mut DMatrix::zeros(0, 0), s.run())?;
                }
                Ok::<_, crate::Error>(())
            });
            let _ = tried.map_err(|why| Stop::Failed(format!("damaged at `state{at}`: {why}")))?;
        }
    }
    Ok(())
}

/// Pointers to the parts of a state; of an array, its first and last elements stand for the others.
fn places(state: &Json) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut next = 0;
    while let Some(at) = found.get(next).cloned() {
        match state.pointer(&at) {
            Some(Json::Object(map)) => {
                found.extend(map.keys().map(|k| format!("{at}/{}", k.replace('~', "~0").replace('/', "~1"))));
            }
            Some(Json::Array(list)) if !list.is_empty() => {
                found.push(format!("{at}/0"));
                found.extend((list.len() > 1).then(|| format!("{at}/{}", list.len() - 1)));
            }
            _ => {}
        }
        next += 1;
    }
    found
}

/// The state with the part at `at` replaced by things that it should not be.
fn damages(state: &Json, at: &str) -> Vec<Json> {
    let part = state.pointer(at).expect("places exist");
    let values = match part {
        Json::Number(_) => vec![json!(-1), json!(0), json!(1u64 << 53), json!(1e30), json!("1"), Json::Null],
        Json::Array(list) => {
            let longer = list.iter().chain(list.last()).cloned().collect();
            vec![json!(list[..list.len().saturating_sub(1)]), Json::Array(longer), json!([]), Json::Null]
        }
        Json::Object(map) => {
            let without = |key: &String| {
                let mut less = map.clone();
                less.remove(key);
                Json::Object(less)
            };
            map.keys().map(without).chain([json!([]), Json::Null]).collect()
        }
        _ => vec![json!(-1), Json::Null],
    };
    let put = |value| {
        let mut changed = state.clone();
        *changed.pointer_mut(at).expect("places exist") = value;
        changed
    };
    values.into_iter().map(put).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_equal_whatever_their_sign() {
        assert_eq!(best(&[-0.0, 0.0, 1.0, -0.0], &[], 9), [2, 0, 1, 3]);
        assert_eq!(best(&[-0.0, 0.0, 1.0, 2.0], &[2], 2), [3, 0]);
    }

    #[test]
    fn closeness_follows_the_largest_score() {
        assert!(close(1e-6, 1e-6, 1e-6) && !close(1e-6, 2e-6, 1e-6));
        assert!(close(0.0, 1e-6, 1.0) && !close(0.0, 1e-4, 1.0));
        assert!(close(0.5, 10.5, 1e6) && close(1e6, 1e6 + 50.0, 1e6));
        assert!(!close(f32::NAN, f32::NAN, 1.0));
    }
}
