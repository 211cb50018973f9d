//! Checks of simulators that answer actions. Few users are shown anything, so that large worlds are checked quickly.

use super::outcome::{Stop, ensure};
use super::simulator::Subject;
use crate::{Audit, Environment, Error, Feedback, Requests, Result, Slates};

/// Periods that are gone through.
const PERIODS: usize = 3;
/// Users who are shown something in a period.
const SHOWN: usize = 20;
/// Items that they are shown, where there are as many.
const SIZE: usize = 2;
/// Periods after which everything must have come back.
const PATIENCE: usize = 100;

/// What happened in a period.
pub(super) struct Period {
    requests: Requests,
    users: Vec<u32>,
    slates: Slates,
    audit: Audit,
    feedback: Feedback,
}

/// The first of those who ask.
fn shown(requests: &Requests) -> &[u32] {
    &requests.users[..requests.users.len().min(SHOWN)]
}

/// Different items for each user and period; another `turn` shows other ones.
fn slates(users: &[u32], requests: &Requests, period: usize, turn: usize) -> Slates {
    let there = requests.present_items;
    let size = SIZE.min(there);
    let item = |user: u32, place| ((user as usize + period + turn + place) % there.max(1)) as u32;
    let items = users.iter().flat_map(|&user| (0..size).map(move |place| item(user, place))).collect();
    Slates { size, items, scores: vec![0.0; users.len() * size] }
}

/// Goes through some periods.
pub(super) fn play(world: &mut dyn Environment, turn: usize) -> Result<Vec<Period>> {
    let one = |period| {
        let requests = world.requests(period)?;
        let users = shown(&requests).to_vec();
        let slates = slates(&users, &requests, period, turn);
        let audit = world.answer(&users, &slates)?;
        Ok(Period { requests, users, slates, audit, feedback: world.feedback()? })
    };
    (0..PERIODS).map(one).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Fails where a bit differs.
pub(super) fn same(a: &[Period], b: &[Period], between: &str) -> Result<(), Stop> {
    for (period, (a, b)) in a.iter().zip(b).enumerate() {
        let audit = |p: &Period| [&p.audit.expected, &p.audit.best, &p.audit.observed].map(|values| bits(values));
        let rows = |f: &Feedback| f.rows.iter().map(|r| (r.user, r.item, r.value.to_bits())).collect::<Vec<_>>();
        let there = |f: &Feedback| (f.users, f.items);
        let differ = |what: &str| format!("{what} of period {period} differ between {between}");
        ensure(a.requests == b.requests, || differ("the requests"))?;
        ensure(audit(a) == audit(b), || differ("the answers"))?;
        let equal = there(&a.feedback) == there(&b.feedback) && rows(&a.feedback) == rows(&b.feedback);
        ensure(equal, || differ("the observations"))?;
    }
    Ok(())
}

pub(super) fn stage(s: &Subject<'_>) -> Result<(), Stop> {
    let stage = s.stage()?;
    ensure(stage.users > 0 && stage.items > 0, || format!("{} users and {} items", stage.users, stage.items))?;
    let torn = stage.user_groups.iter().find(|groups| groups.entities() != stage.users);
    torn.map_or(Ok(()), |groups| {
        let (name, users, got) = (groups.name(), stage.users, groups.entities());
        Err(Stop::Failed(format!("grouping `{name}` is of {got} users, the stage has {users}")))
    })?;
    let scale = stage.scale;
    ensure(scale.low <= scale.like_above && scale.like_above <= scale.high, || format!("the scale is {scale:?}"))
}

pub(super) fn plays(s: &Subject<'_>) -> Result<(), Stop> {
    s.played()?.as_ref().map(drop).map_err(Clone::clone)
}

pub(super) fn requests(s: &Subject<'_>) -> Result<(), Stop> {
    let (stage, periods) = (s.stage()?, s.periods()?);
    let (mut users, mut items) = (1, 1);
    for (period, Period { requests: r, feedback, .. }) in periods.iter().enumerate() {
        let there = (r.present_users, r.present_items);
        let grows = (users..=stage.users).contains(&there.0) && (items..=stage.items).contains(&there.1);
        ensure(grows, || {
            let most = (stage.users, stage.items);
            format!("{there:?} users and items in period {period}, expected {:?} to {most:?}", (users, items))
        })?;
        (users, items) = there;
        let absent = r.users.iter().find(|&&user| user as usize >= users);
        absent.map_or(Ok(()), |user| Err(Stop::Failed(format!("user {user} asks, there are {users}"))))?;
        let mut sorted = r.users.clone();
        sorted.sort_unstable();
        let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]);
        twice.map_or(Ok(()), |pair| Err(Stop::Failed(format!("user {} asks twice in period {period}", pair[0]))))?;
        let says = (feedback.users, feedback.items);
        ensure(says == there, || format!("{there:?} users and items in period {period}, the feedback says {says:?}"))?;
    }
    ensure(periods.iter().any(|p| !p.requests.users.is_empty()), || format!("nobody asks in {PERIODS} periods"))
}

pub(super) fn audit(s: &Subject<'_>) -> Result<(), Stop> {
    for (period, Period { slates, audit, .. }) in s.periods()?.iter().enumerate() {
        let parts = [("expected", &audit.expected), ("best", &audit.best), ("observed", &audit.observed)];
        for (what, values) in parts {
            let (expected, got) = (slates.items.len(), values.len());
            ensure(got == expected, || format!("{got} values {what} in period {period} for {expected} items shown"))?;
            let sick = values.iter().find(|v| !v.is_finite());
            sick.map_or(Ok(()), |v| Err(Stop::Failed(format!("a value {what} in period {period} is {v}"))))?;
        }
    }
    Ok(())
}

/// The best values are those of the pairs of a user and all items that are there.
pub(super) fn regret(s: &Subject<'_>) -> Result<(), Stop> {
    s.periods()?;
    let mut world = s.open()?;
    for period in 0..PERIODS {
        let requests = world.requests(period)?;
        let users = shown(&requests);
        let items: Vec<u32> = (0..requests.present_items as u32).collect();
        let all: Vec<Vec<f64>> =
            users.iter().map(|&user| world.expected(&vec![user; items.len()], &items)).collect::<Result<_>>()?;
        let slates = slates(users, &requests, period, 0);
        let audit = world.answer(users, &slates)?;
        for ((user, mut values), best) in users.iter().zip(all).zip(audit.best.chunks(slates.size.max(1))) {
            values.sort_by(|a, b| b.total_cmp(a));
            let differs = best.iter().zip(&values).find(|(a, b)| (**a - **b).abs() > 1e-9 * b.abs().max(1.0));
            differs.map_or(Ok(()), |(best, value)| {
                Err(Stop::Failed(format!("a best value of user {user} in period {period} is {best}, expected {value}")))
            })?;
        }
        world.feedback()?;
    }
    Ok(())
}

pub(super) fn expected(s: &Subject<'_>) -> Result<(), Stop> {
    s.periods()?;
    let mut world = s.open()?;
    for period in 0..PERIODS {
        let requests = world.requests(period)?;
        let users = shown(&requests);
        let slates = slates(users, &requests, period, 0);
        let pairs: Vec<u32> = users.iter().flat_map(|&user| std::iter::repeat_n(user, slates.size)).collect();
        let before = world.expected(&pairs, &slates.items)?;
        let audit = world.answer(users, &slates)?;
        for (when, values) in [("before", before), ("after", world.expected(&pairs, &slates.items)?)] {
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
            let agree = values.len() == audit.expected.len() && values.iter().zip(&audit.expected).all(near);
            ensure(agree, || {
                format!("period {period}: pairs are of other value {when} they are shown than in the audit")
            })?;
        }
        world.feedback()?;
    }
    Ok(())
}

pub(super) fn common(s: &Subject<'_>) -> Result<(), Stop> {
    let periods = s.periods()?;
    let other = play(s.open()?.as_mut(), 1)?;
    let differs = periods.iter().zip(&other).position(|(a, b)| a.requests != b.requests);
    differs.map_or(Ok(()), |period| {
        Err(Stop::Failed(format!("the requests of period {period} differ between worlds that were shown other items")))
    })
}

pub(super) fn agents(s: &Subject<'_>) -> Result<(), Stop> {
    s.periods()?;
    let mut world = s.open()?;
    for period in 0..PERIODS {
        let requests = world.requests(period)?;
        let users = shown(&requests);
        let [same, other] = [0, 1].map(|turn| slates(users, &requests, period, turn));
        let first = world.answer(users, &same)?;
        world.answer(users, &other)?;
        let later = world.answer(users, &same)?;
        let parts =
            [(&first.expected, &later.expected), (&first.best, &later.best), (&first.observed, &later.observed)];
        ensure(parts.into_iter().all(|(first, later)| bits(first) == bits(later)), || {
            format!("an agent that comes later in period {period} gets other answers to the same slates")
        })?;
        world.feedback()?;
    }
    Ok(())
}

pub(super) fn alone(s: &Subject<'_>) -> Result<(), Stop> {
    let Period { requests, users, slates: together, audit, .. } = &s.periods()?[0];
    let mut world = s.open()?;
    world.requests(0)?;
    // The last user first; every second one is shown other items than before, and not compared.
    for (place, &user) in users.iter().enumerate().rev() {
        let own = slates(&[user], requests, 0, place % 2);
        let answer = world.answer(&[user], &own)?;
        let at = place * together.size..(place + 1) * together.size;
        let parts =
            [(&answer.expected, &audit.expected), (&answer.best, &audit.best), (&answer.observed, &audit.observed)];
        let agree = parts.into_iter().all(|(alone, batch)| bits(alone) == bits(&batch[at.clone()]));
        ensure(place % 2 == 1 || agree, || format!("user {user} answers alone otherwise than among others"))?;
    }
    Ok(())
}

pub(super) fn feedback(s: &Subject<'_>) -> Result<(), Stop> {
    s.periods()?;
    let mut world = s.open()?;
    // What was shown and has not come back: user, item, value as it is to be seen.
    let mut open: Vec<(u32, u32, f32)> = Vec::new();
    let (mut users, mut items) = (0, 0);
    for period in 0..PERIODS + PATIENCE {
        let requests = world.requests(period)?;
        if period < PERIODS {
            let users = shown(&requests);
            let slates = slates(users, &requests, period, 0);
            let audit = world.answer(users, &slates)?;
            let whom = users.iter().flat_map(|&user| std::iter::repeat_n(user, slates.size));
            let rows = whom.zip(&slates.items).zip(&audit.observed);
            open.extend(rows.map(|((user, &item), &value)| (user, item, value as f32)));
        }
        let back = world.feedback()?;
        back.check(users, items)?;
        (users, items) = (back.users, back.items);
        let mut from = 0;
        for row in &back.rows {
            let known = |&(user, item, value): &(u32, u32, f32)| {
                (user, item, value.to_bits()) == (row.user, row.item, row.value.to_bits())
            };
            let Some(at) = open[from..].iter().position(known) else {
                return Err(Stop::Failed(format!("period {period}: {row:?} was not observed, or comes out of order")));
            };
            from += at;
            open.remove(from);
        }
        if period + 1 >= PERIODS && open.is_empty() {
            return Ok(());
        }
    }
    Err(Stop::Failed(format!("{} items shown have not come back after {PATIENCE} periods", open.len())))
}

pub(super) fn refusals(s: &Subject<'_>) -> Result<(), Stop> {
    s.periods()?;
    fn refused<T>(what: &str, result: Result<T>) -> Result<(), Stop> {
        match result {
            Err(Error::Shape { .. }) => Ok(()),
            Err(e) => Err(Stop::Failed(format!("{what} ends in another error than `Error::Shape`: {e}"))),
            Ok(_) => Err(Stop::Failed(format!("{what} is accepted"))),
        }
    }
    let mut world = s.open()?;
    let of = |size, items: Vec<u32>| Slates { size, scores: vec![0.0; items.len()], items };
    let first = of(1, vec![0]);
    refused("an answer before the first period", world.answer(&[0], &first))?;
    refused("feedback before the first period", world.feedback())?;
    refused("a value before the first period", world.expected(&[0], &[0]))?;
    refused("period 1 before period 0", world.requests(1))?;

    let requests = world.requests(0)?;
    let (users, items) = (requests.present_users as u32, requests.present_items as u32);
    refused("period 0 in period 0", world.requests(0))?;
    refused("period 1 before the feedback of period 0", world.requests(1))?;
    for (what, user) in [("a user who is not there", users), ("no user at all", u32::MAX)] {
        refused(what, world.answer(&[user], &first))?;
        refused(what, world.expected(&[user], &[0]))?;
    }
    for (what, item) in [("an item that is not there", items), ("no item at all", u32::MAX)] {
        refused(what, world.answer(&[0], &of(1, vec![item])))?;
        refused(what, world.expected(&[0], &[item]))?;
    }
    refused(
        "a slate of more items than are there",
        world.answer(&[0], &of(items as usize + 1, (0..=items).collect())),
    )?;
    refused("an item twice in a slate", world.answer(&[0], &of(2, vec![0, 0])))?;
    refused("a user without a slate", world.answer(&[0], &of(1, vec![])))?;
    refused("a slate without a user", world.answer(&[], &first))?;
    refused("a user without an item", world.expected(&[0], &[]))?;
    refused("an item without a user", world.expected(&[], &[0]))?;

    let back = world.feedback()?;
    ensure(back.rows.is_empty(), || "what was refused comes back all the same".into())?;
    refused("an answer after the feedback", world.answer(&[0], &first))?;
    refused("feedback after the feedback", world.feedback())?;
    refused("period 0 once more", world.requests(0))?;
    refused("period 2 after period 0", world.requests(2))?;
    world.requests(1).map(drop).map_err(Stop::from)
}
