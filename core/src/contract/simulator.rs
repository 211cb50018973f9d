//! Checks of simulators: the data sets that they emit.

use super::outcome::{Check, Outcome, Stop, caught, ensure, run_all};
use super::recipe;
use crate::{Dataset, Descriptor, Error, Interactions, Result, Run, Simulator};
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Checks a simulator with its default parameters.
pub fn simulator(descriptor: &Descriptor<dyn Simulator>) -> Vec<Outcome> {
    let mut outcomes = recipe(descriptor);
    let subject = Subject { descriptor, opened: OnceCell::new() };
    outcomes.extend(run_all(descriptor.name, &checks(), &subject));
    outcomes
}

const SEED: u64 = 20;

struct Subject<'a> {
    descriptor: &'a Descriptor<dyn Simulator>,
    /// The data set on two threads, or why there is none.
    opened: OnceCell<Result<Dataset, Stop>>,
}

fn checks<'a>() -> Vec<Check<Subject<'a>>> {
    vec![
        Check("opens", "opens with default parameters; the data set has rows", opens),
        Check("whole", "ids, groups and test rows speak of the same users and items", whole),
        Check("in-scale", "every value is finite and within the scale of the data set", in_scale),
        Check("threads", "the same bits on 1, 2 and 7 threads", threads),
        Check("cancel", "stops once the run is asked to, while opening or emitting", cancel),
        Check("seed", "the same world for the same seed, another one for another", seed),
    ]
}

impl Subject<'_> {
    fn emit(&self, seed: u64, threads: usize) -> Result<Dataset, Stop> {
        self.emit_on(&Run::new(seed).with_threads(threads)?)?.map_err(Stop::from)
    }

    /// The data set or why there is none, where the simulator emits any.
    fn emit_on(&self, run: &Run) -> Result<crate::Result<Dataset>, Stop> {
        match self.descriptor.with_defaults().open(run).and_then(|world| world.dataset()) {
            Err(Error::Unsupported { .. }) => Err(Stop::Skipped("does not emit a data set".into())),
            other => Ok(other),
        }
    }

    fn outcome(&self) -> &Result<Dataset, Stop> {
        self.opened.get_or_init(|| caught(|| self.emit(SEED, 2)).unwrap_or_else(|panic| Err(Stop::Failed(panic))))
    }

    fn dataset(&self) -> Result<&Dataset, Stop> {
        self.outcome().as_ref().map_err(|why| match why {
            Stop::Failed(_) => Stop::Skipped("there is no data set: see `opens`".into()),
            skipped => skipped.clone(),
        })
    }
}

fn opens(s: &Subject<'_>) -> Result<(), Stop> {
    match s.outcome() {
        Ok(data) => ensure(!data.ratings.is_empty(), || "the data set has no row".into()),
        Err(why) => Err(why.clone()),
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

fn threads(s: &Subject<'_>) -> Result<(), Stop> {
    for threads in [1, 7] {
        same(s.dataset()?, &s.emit(SEED, threads)?, &format!("2 and {threads} threads"))?;
    }
    Ok(())
}

fn cancel(s: &Subject<'_>) -> Result<(), Stop> {
    let run = Run::new(SEED).with_cancel(Arc::new(AtomicBool::new(true)));
    match s.emit_on(&run)? {
        Err(Error::Cancelled) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("asked to stop, it fails otherwise: {e}"))),
        Ok(_) => Err(Stop::Failed("asked to stop, it emits a data set".into())),
    }
}

fn seed(s: &Subject<'_>) -> Result<(), Stop> {
    let first = s.dataset()?;
    let other = s.emit(SEED + 1, 2)?;
    ensure(first.ratings != other.ratings, || "another seed gives the same rows".into())?;
    same(first, &s.emit(SEED, 2)?, "a first and a later opening")
}

fn same(a: &Dataset, b: &Dataset, between: &str) -> Result<(), Stop> {
    let bits = |x: &Interactions| x.iter().map(|(u, i, v)| (u, i, v.to_bits())).collect::<Vec<_>>();
    ensure(bits(&a.ratings) == bits(&b.ratings), || format!("the rows differ between {between}"))?;
    ensure(a == b, || format!("ids, groups, test rows or scale differ between {between}"))
}
