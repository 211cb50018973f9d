//! A sound simulator, and its flaws.

use super::failed;
use crate::contract::{Stop, simulator};
use crate::*;
use rand::RngExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static OPENED: AtomicU64 = AtomicU64::new(0);

/// A world whose data set is given.
struct Emits(Option<Dataset>);

impl Environment for Emits {
    fn dataset(&self) -> Result<Dataset> {
        self.0.clone().ok_or(Error::Unsupported { plugin: "silent".into(), operation: "emitting a data set" })
    }
}

/// Uniform ratings; `change` spoils them.
fn world(run: &Run, change: impl FnOnce(&mut Dataset)) -> Result<Box<dyn Environment>> {
    run.check()?;
    let mut rng = run.streams.rng(0);
    let mut rows = Rows::default();
    (0..20).for_each(|n| rows.push(n % 5, n / 5, rng.random_range(1.0..5.0)));
    let mut data = Dataset::new("uniform", Interactions::new(5, 4, &rows)?, Scale::FIVE_STARS);
    change(&mut data);
    Ok(Box::new(Emits(Some(data))))
}

macro_rules! worlds { ($($(#[doc = $doc:literal])+ $ty:ident = $name:literal, |$run:ident| $open:expr;)*) => { $(
    plugin! { $(#[doc = $doc])+ struct $ty: Simulator = $name {} }
    impl Simulator for $ty {
        fn open(&self, $run: &Run) -> Result<Box<dyn Environment>> { $open }
    }
)* } }
worlds! {
    /// Nothing wrong.
    Sound = "sound", |run| world(run, |_| {});
    /// Emits nothing.
    Silent = "silent", |_run| Ok(Box::new(Emits(None)));
    /// Does not open.
    Shut = "shut", |_run| panic!("no key");
    /// Its scale is narrower than its values.
    Beyond = "beyond", |run| world(run, |data| data.scale.high = 4.0);
    /// Has lost the name of an item.
    Torn = "torn", |run| world(run, |data| data.item_ids = Ids::numbered(3));
    /// Does not hear that it is cancelled.
    Deaf = "deaf", |run| world(&run.clone().with_cancel(Arc::default()), |_| {});
    /// A new world at every opening.
    Restless = "restless", |run| world(&run.clone().with_seed(OPENED.fetch_add(1, Ordering::Relaxed)), |_| {});
    /// The same world for every seed.
    Rigid = "rigid", |run| world(&run.clone().with_seed(0), |_| {});
    /// Another world for another number of threads.
    Threaded = "threaded", |run| world(&run.child(&run.threads().to_string()), |_| {});
}

#[test]
fn each_flaw_fails_its_check() {
    let checked = |d: Descriptor<dyn Simulator>| failed(&simulator(&d));
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Sound>()), [""; 0]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Shut>()), ["opens", "cancel"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Beyond>()), ["in-scale"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Torn>()), ["whole"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Deaf>()), ["cancel"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Restless>()), ["threads", "seed"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Rigid>()), ["seed"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Threaded>()), ["threads"]);
}

#[test]
fn a_world_without_data_is_skipped() {
    let outcomes = simulator(&Descriptor::<dyn Simulator>::of::<Silent>());
    let skipped = outcomes.iter().filter(|o| matches!(o.result, Err(Stop::Skipped(_)))).count();
    assert_eq!((failed(&outcomes), skipped), (vec![], 6));
}
