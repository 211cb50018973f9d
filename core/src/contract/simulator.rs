//! Checks of simulators: how they open, and the data sets and tables that they emit. Answers to actions are checked in
//! `answers`.

use super::answers::{self, Period};
use super::outcome::{Check, Outcome, Stop, caught, ensure, run_all};
use super::recipe;
use crate::{Dataset, Descriptor, Environment, Error, GroupData, Interactions, Result, Run, Simulator, Stage};
use serde_json::{Value as Json, json};
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Checks a simulator with its default parameters.
pub fn simulator(descriptor: &Descriptor<dyn Simulator>) -> Vec<Outcome> {
    simulator_with(descriptor, &json!({}))
}

/// Checks a simulator with those parameters, an object; absent ones take their defaults.
pub fn simulator_with(descriptor: &Descriptor<dyn Simulator>, params: &Json) -> Vec<Outcome> {
    let mut outcomes = recipe(descriptor);
    let cells = (OnceCell::new(), OnceCell::new(), OnceCell::new(), OnceCell::new());
    let subject = Subject { descriptor, params, emitted: cells.0, tabled: cells.1, stage: cells.2, played: cells.3 };
    outcomes.extend(run_all(descriptor.name, &checks(), &subject));
    outcomes
}

const SEED: u64 = 20;

/// A simulator under test. What has been opened once serves all checks that only look at it.
pub(super) struct Subject<'a> {
    descriptor: &'a Descriptor<dyn Simulator>,
    params: &'a Json,
    /// The data set on two threads, or why there is none.
    emitted: OnceCell<Result<Dataset, Stop>>,
    /// The table of groups on two threads, or why there is none.
    tabled: OnceCell<Result<GroupData, Stop>>,
    /// What is known of the world that answers actions, or why there is none.
    stage: OnceCell<Result<Stage, Stop>>,
    /// Some periods on two threads, or why there are none.
    played: OnceCell<Result<Vec<Period>, Stop>>,
}

fn checks<'a>() -> Vec<Check<Subject<'a>>> {
    vec![
        Check("opens", "opens; emits a data set or a table that has rows, answers actions, or several of these", opens),
        Check("whole", "ids, groups and test rows speak of the same users and items", whole),
        Check("in-scale", "every value is finite and within the scale of the data set", in_scale),
        Check("table", "a table of groups has one label per row, finite", table),
        Check("stage", "there are users and items; groupings speak of these users", answers::stage),
        Check("plays", "goes through its periods: requests, answers, feedback", answers::plays),
        Check("requests", "those who ask are there, each once; nobody leaves", answers::requests),
        Check("audit", "a finite expected, best and observed value for every item shown", answers::audit),
        Check("regret", "the best values are those of the best items there", answers::regret),
        Check(
            "expected",
            "values of pairs agree with those of the audit, before and after they are shown",
            answers::expected,
        ),
        Check("common", "who asks does not depend on what was shown", answers::common),
        Check("agents", "agents that show the same in a period get the same answers", answers::agents),
        Check("alone", "what a user returns does not depend on what others are shown", answers::alone),
        Check("feedback", "every item shown comes back once, in order, with the value observed", answers::feedback),
        Check(
            "refusals",
            "calls out of turn and what can not be shown are errors that leave no trace",
            answers::refusals,
        ),
        Check("threads", "the same bits on 1, 2 and 7 threads", threads),
        Check("cancel", "stops once the run is asked to: while opening, emitting or beginning a period", cancel),
        Check("seed", "the same world for the same seed, another one for another", seed),
    ]
}

impl Subject<'_> {
    fn open_on(&self, run: &Run) -> Result<Box<dyn Environment>> {
        self.descriptor.build(&mut <dyn erased_serde::Deserializer>::erase(self.params))?.open(run)
    }

    /// A fresh world, always the same one.
    pub(super) fn open(&self) -> Result<Box<dyn Environment>> {
        self.open_on(&Run::new(SEED).with_threads(2)?)
    }

    fn emit(&self, run: &Run) -> Result<Dataset, Stop> {
        able(self.open_on(run).and_then(|world| world.dataset()), "emit a data set")
    }

    fn tabulate(&self, run: &Run) -> Result<GroupData, Stop> {
        able(self.open_on(run).and_then(|world| world.table()), "emit a table of groups")
    }

    fn play(&self, run: &Run) -> Result<Vec<Period>> {
        answers::play(self.open_on(run)?.as_mut(), 0)
    }

    fn emitted(&self) -> &Result<Dataset, Stop> {
        let emit = || self.emit(&Run::new(SEED).with_threads(2)?);
        self.emitted.get_or_init(|| caught(emit).unwrap_or_else(|panic| Err(Stop::Failed(panic))))
    }

    fn dataset(&self) -> Result<&Dataset, Stop> {
        there(self.emitted(), "there is no data set: see `opens`")
    }

    fn tabled(&self) -> &Result<GroupData, Stop> {
        let tabulate = || self.tabulate(&Run::new(SEED).with_threads(2)?);
        self.tabled.get_or_init(|| caught(tabulate).unwrap_or_else(|panic| Err(Stop::Failed(panic))))
    }

    fn table(&self) -> Result<&GroupData, Stop> {
        there(self.tabled(), "there is no table: see `opens`")
    }

    fn staged(&self) -> &Result<Stage, Stop> {
        let stage = || able(self.open().and_then(|world| world.stage()), "answer actions");
        self.stage.get_or_init(|| caught(stage).unwrap_or_else(|panic| Err(Stop::Failed(panic))))
    }

    pub(super) fn stage(&self) -> Result<&Stage, Stop> {
        there(self.staged(), "there is no world: see `opens`")
    }

    /// Some periods, where the world answers actions, or why they could not be gone through.
    pub(super) fn played(&self) -> Result<&Result<Vec<Period>, Stop>, Stop> {
        self.stage()?;
        let play = || Ok(self.play(&Run::new(SEED).with_threads(2)?)?);
        Ok(self.played.get_or_init(|| caught(play).unwrap_or_else(|panic| Err(Stop::Failed(panic)))))
    }

    pub(super) fn periods(&self) -> Result<&[Period], Stop> {
        there(self.played()?, "the periods can not be gone through: see `plays`").map(Vec::as_slice)
    }

    /// What there is to be compared.
    fn all(&self) -> Result<Made<'_>, Stop> {
        match (self.dataset(), self.table(), self.periods()) {
            (Err(Stop::Skipped(why)), Err(Stop::Skipped(_)), Err(Stop::Skipped(_))) => Err(Stop::Skipped(why)),
            (data, table, periods) => Ok(Made { data: data.ok(), table: table.ok(), periods: periods.ok() }),
        }
    }

    /// Fails where a bit differs on another run.
    fn same_on(&self, run: &Run, between: &str) -> Result<(), Stop> {
        let Made { data, table, periods } = self.all()?;
        data.map_or(Ok(()), |data| same(data, &self.emit(run)?, between))?;
        table.map_or(Ok(()), |table| same_table(table, &self.tabulate(run)?, between))?;
        periods.map_or(Ok(()), |periods| answers::same(periods, &self.play(run)?, between))
    }
}

/// What a world has made.
struct Made<'a> {
    data: Option<&'a Dataset>,
    table: Option<&'a GroupData>,
    periods: Option<&'a [Period]>,
}

/// A world need not do all things.
fn able<T>(result: Result<T>, what: &str) -> Result<T, Stop> {
    match result {
        Err(Error::Unsupported { .. }) => Err(Stop::Skipped(format!("does not {what}"))),
        other => other.map_err(Stop::from),
    }
}

/// What a check looks at; one that failed is the business of another check.
fn there<'a, T>(outcome: &'a Result<T, Stop>, why: &str) -> Result<&'a T, Stop> {
    outcome.as_ref().map_err(|stop| match stop {
        Stop::Failed(_) => Stop::Skipped(why.into()),
        skipped => skipped.clone(),
    })
}

fn opens(s: &Subject<'_>) -> Result<(), Stop> {
    match (s.emitted(), s.tabled(), s.staged()) {
        (Err(Stop::Failed(why)), _, _) | (_, Err(Stop::Failed(why)), _) | (_, _, Err(Stop::Failed(why))) => {
            Err(Stop::Failed(why.clone()))
        }
        (Err(_), Err(_), Err(_)) => {
            Err(Stop::Failed("neither emits a data set nor a table of groups, nor answers actions".into()))
        }
        (data, table, _) => {
            let rows = data.as_ref().map_or(true, |data| !data.ratings.is_empty());
            ensure(rows, || "the data set has no row".into())?;
            ensure(table.as_ref().map_or(true, |data| data.table.rows() > 0), || "the table has no row".into())
        }
    }
}

fn whole(s: &Subject<'_>) -> Result<(), Stop> {
    Ok(s.dataset()?.check()?)
}

fn in_scale(s: &Subject<'_>) -> Result<(), Stop> {
    let data = s.dataset()?;
    let scale = data.scale;
    ensure(scale.low <= scale.like_above && scale.like_above <= scale.high, || format!("the scale is {scale:?}"))?;
    let parts = [Some(&data.ratings), data.test.as_ref()];
    let mut rows = parts.into_iter().flatten().flat_map(Interactions::iter);
    // NaN is in no range.
    rows.find(|row| !(scale.low..=scale.high).contains(&row.2)).map_or(Ok(()), |(user, item, value)| {
        let (low, high) = (scale.low, scale.high);
        Err(Stop::Failed(format!("user {user}, item {item}: {value}, expected {low} to {high}")))
    })
}

fn table(s: &Subject<'_>) -> Result<(), Stop> {
    let data = s.table()?;
    Ok(data.table.check_labels(&data.labels)?)
}

fn threads(s: &Subject<'_>) -> Result<(), Stop> {
    for threads in [1, 7] {
        s.same_on(&Run::new(SEED).with_threads(threads)?, &format!("2 and {threads} threads"))?;
    }
    Ok(())
}

fn cancel(s: &Subject<'_>) -> Result<(), Stop> {
    let stopped = |what: &str, error: Option<Error>| match error {
        Some(Error::Cancelled) => Ok(()),
        Some(e) => Err(Stop::Failed(format!("asked to stop, {what} ends in another error: {e}"))),
        None => Err(Stop::Failed(format!("asked to stop, {what} goes on"))),
    };
    let mut world = match s.open_on(&Run::new(SEED).with_cancel(Arc::new(AtomicBool::new(true)))) {
        Ok(world) => world,
        Err(error) => return stopped("opening", Some(error)),
    };
    if !matches!(s.emitted(), Err(Stop::Skipped(_))) {
        stopped("emitting", world.dataset().err())?;
    }
    if !matches!(s.tabled(), Err(Stop::Skipped(_))) {
        stopped("emitting a table", world.table().err())?;
    }
    if !matches!(s.staged(), Err(Stop::Skipped(_))) {
        stopped("beginning a period", world.requests(0).err())?;
    }
    Ok(())
}

fn seed(s: &Subject<'_>) -> Result<(), Stop> {
    let Made { data, table, periods } = s.all()?;
    let other = Run::new(SEED + 1).with_threads(2)?;
    if let Some(data) = data {
        ensure(data.ratings != s.emit(&other)?.ratings, || "another seed gives the same rows".into())?;
    }
    if let Some(table) = table {
        let differs = same_table(table, &s.tabulate(&other)?, "seeds").is_err();
        ensure(differs, || "another seed gives the same table".into())?;
    }
    if let Some(periods) = periods {
        let differs = answers::same(periods, &s.play(&other)?, "seeds").is_err();
        ensure(differs, || "another seed gives the same requests and answers".into())?;
    }
    s.same_on(&Run::new(SEED).with_threads(2)?, "a first and a later opening")
}

fn same(a: &Dataset, b: &Dataset, between: &str) -> Result<(), Stop> {
    let bits = |x: &Interactions| x.iter().map(|(u, i, v)| (u, i, v.to_bits())).collect::<Vec<_>>();
    ensure(bits(&a.ratings) == bits(&b.ratings), || format!("the rows differ between {between}"))?;
    ensure(a == b, || format!("ids, groups, test rows or scale differ between {between}"))
}

fn same_table(a: &GroupData, b: &GroupData, between: &str) -> Result<(), Stop> {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let differ = |what: &str| format!("{what} of the table differ between {between}");
    let features = |data: &GroupData| bits(data.table.matrix().as_slice());
    ensure(features(a) == features(b), || differ("features"))?;
    ensure(bits(&a.labels) == bits(&b.labels), || differ("labels"))?;
    let named = |data: &GroupData| (data.name.clone(), data.label.clone());
    ensure(a.table == b.table && named(a) == named(b), || differ("memberships or names"))
}
