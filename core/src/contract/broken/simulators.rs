//! Sound simulators, and their flaws.

use super::failed;
use crate::contract::{Stop, simulator};
use crate::*;
use nalgebra::DMatrix;
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

/// A world whose table of groups is given.
struct Tabulates {
    run: Run,
    data: GroupData,
}

impl Environment for Tabulates {
    fn table(&self) -> Result<GroupData> {
        self.run.check()?;
        Ok(self.data.clone())
    }
}

/// Uniform features of two groups, and labels that are their sums; `change` spoils them.
fn tabled(run: &Run, change: impl FnOnce(&mut GroupData)) -> Result<Box<dyn Environment>> {
    let mut rng = run.streams.rng(0);
    let features = DMatrix::from_fn(2, 10, |_, _| rng.random::<f64>());
    let membership = DMatrix::from_fn(2, 10, |group, row| row % 2 == group);
    let labels = features.column_iter().map(|row| row.sum()).collect();
    let names = |names: [&str; 2]| names.map(String::from).to_vec();
    let table = GroupTable::new(features, membership, names(["x", "y"]), names(["even", "odd"]))?;
    let mut data = GroupData::new("uniform", table, "sum", labels)?;
    change(&mut data);
    Ok(Box::new(Tabulates { run: run.clone(), data }))
}

/// What a world that answers actions gets wrong.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    Grouping,
    Brief,
    Twice,
    Shrinking,
    NotANumber,
    SecondBest,
    Dreamt,
    Fickle,
    Following,
    Crowd,
    Serial,
    Lossy,
    Reversed,
    Truthful,
    Lenient,
    Careless,
    Grudging,
}

/// A world of few users and items; user u values item i by u + i and a number of the world's own.
struct Acts {
    run: Run,
    flaw: Flaw,
    own: f64,
    periods: usize,
    now: Option<Requests>,
    shown: Vec<u32>,
    rows: Vec<Observation>,
}

const USERS: u32 = 6;
const ITEMS: u32 = 5;

fn acting(run: &Run, flaw: Flaw) -> Result<Box<dyn Environment>> {
    run.check()?;
    let own = run.streams.rng(0).random();
    Ok(Box::new(Acts { run: run.clone(), flaw, own, periods: 0, now: None, shown: vec![], rows: vec![] }))
}

impl Acts {
    fn value(&self, user: u32, item: u32) -> f64 {
        f64::from(user + item) + self.own
    }

    fn now(&self) -> Result<&Requests> {
        self.now.as_ref().ok_or_else(|| Error::shape("period", "one that has begun", "none"))
    }
}

impl Environment for Acts {
    fn stage(&self) -> Result<Stage> {
        let (users, items) = (USERS as usize, ITEMS as usize);
        let entities = if self.flaw == Flaw::Grouping { items } else { users };
        let user_groups = vec![Groups::new("all", entities, vec![("one".into(), vec![0])])?];
        Ok(Stage { users, items, user_groups, scale: Scale { low: 0.0, high: 12.0, like_above: 6.0 } })
    }

    fn requests(&mut self, period: usize) -> Result<Requests> {
        if self.now.is_some() || period != self.periods || (self.flaw == Flaw::Brief && period == 1) {
            return Err(Error::shape("period", self.periods, period));
        }
        self.periods += 1;
        let mut users: Vec<u32> = (0..USERS - u32::from(self.flaw == Flaw::Shrinking && period == 1)).collect();
        let present_users = users.len();
        let turn = if self.flaw == Flaw::Following { self.shown.iter().sum::<u32>() as usize } else { period };
        users.rotate_left(turn % 5);
        if self.flaw == Flaw::Twice {
            users[1] = users[0];
        }
        Ok(self.now.insert(Requests { users, present_users, present_items: ITEMS as usize }).clone())
    }

    fn answer(&mut self, users: &[u32], slates: &Slates) -> Result<Audit> {
        let now = self.now()?;
        if self.flaw == Flaw::Careless {
            assert!(slates.items.iter().all(|&item| item < ITEMS), "no such item");
        }
        match now.check(users, slates) {
            Err(Error::Shape { what: "items of a slate", .. }) if self.flaw == Flaw::Lenient => {}
            Err(e) => {
                if self.flaw == Flaw::Grudging {
                    self.rows.push(Observation { user: 0, item: 0, value: 1.0 });
                }
                return Err(e);
            }
            Ok(()) => {}
        }
        let mut audit = Audit::default();
        for (at, (&user, slate)) in users.iter().zip(slates.items.chunks(slates.size)).enumerate() {
            let key = match self.flaw {
                Flaw::Crowd => at as u64,
                Flaw::Serial => u64::from(user) << 16 | self.rows.iter().filter(|row| row.user == user).count() as u64,
                _ => u64::from(user),
            };
            let mut noise = self.run.streams.child("noise").rng((self.periods as u64) << 32 | key);
            for (place, &item) in (0..).zip(slate) {
                let expected = self.value(user, item);
                let best = match self.flaw {
                    Flaw::SecondBest => ITEMS - 2,
                    Flaw::Dreamt => ITEMS,
                    _ => ITEMS - 1,
                };
                let best = self.value(user, best.saturating_sub(place));
                audit.best.push(if self.flaw == Flaw::NotANumber { f64::NAN } else { best });
                audit.expected.push(expected);
                let observed = expected + noise.random::<f64>();
                audit.observed.push(observed);
                let value = if self.flaw == Flaw::Truthful { expected } else { observed } as f32;
                self.rows.push(Observation { user, item, value });
            }
        }
        self.shown.extend(&slates.items);
        Ok(audit)
    }

    fn feedback(&mut self) -> Result<Feedback> {
        let (users, items) = (self.now()?.present_users, self.now()?.present_items);
        let mut rows = std::mem::take(&mut self.rows);
        match self.flaw {
            Flaw::Lossy => rows.truncate(1),
            Flaw::Reversed => rows.reverse(),
            _ => {}
        }
        self.now = None;
        Ok(Feedback { users, items, rows })
    }

    fn expected(&self, users: &[u32], items: &[u32]) -> Result<Vec<f64>> {
        self.now()?.check_there(users, items)?;
        if users.len() != items.len() {
            return Err(Error::shape("items of pairs", users.len(), items.len()));
        }
        let later = if self.flaw == Flaw::Fickle && !self.rows.is_empty() { 1.0 } else { 0.0 };
        Ok(users.iter().zip(items).map(|(&user, &item)| self.value(user, item) + later).collect())
    }
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
    /// Neither emits nor answers.
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
    /// Emits a table, with nothing wrong.
    Tables = "tables", |run| tabled(run, |_| {});
    /// Its table has no row.
    Bare = "bare", |run| tabled(run, |data| *data = data.select(&[]));
    /// A label of its table is not a number.
    Unlabelled = "unlabelled", |run| tabled(run, |data| data.labels[9] = f64::NAN);
    /// Its table has a label more than rows.
    Overlabelled = "overlabelled", |run| tabled(run, |data| data.labels.push(0.0));
    /// Emits a table, and does not hear that it is cancelled.
    DeafTables = "deaf-tables", |run| tabled(&run.clone().with_cancel(Arc::default()), |_| {});
    /// Another table at every opening.
    RestlessTables = "restless-tables",
        |run| tabled(&run.clone().with_seed(OPENED.fetch_add(1, Ordering::Relaxed)), |_| {});
    /// The same table for every seed.
    RigidTables = "rigid-tables", |run| tabled(&run.clone().with_seed(0), |_| {});
    /// Another table on another number of threads.
    ThreadedTables = "threaded-tables", |run| tabled(&run.child(&run.threads().to_string()), |_| {});
    /// The name of its table tells the number of threads.
    Telling = "telling", |run| tabled(run, |data| data.name = run.threads().to_string());
    /// Answers actions, with nothing wrong.
    Answers = "answers", |run| acting(run, Flaw::None);
    /// Its grouping is of other users.
    Estranged = "estranged", |run| acting(run, Flaw::Grouping);
    /// Does not go on after the first period.
    Brief = "brief", |run| acting(run, Flaw::Brief);
    /// A user asks twice.
    Repeating = "repeating", |run| acting(run, Flaw::Twice);
    /// There are fewer users than before.
    Shrinking = "shrinking", |run| acting(run, Flaw::Shrinking);
    /// A value is not a number.
    Blurred = "blurred", |run| acting(run, Flaw::NotANumber);
    /// The best value is that of the second best item.
    Modest = "modest", |run| acting(run, Flaw::SecondBest);
    /// The best value is that of an item that is not there.
    Dreaming = "dreaming", |run| acting(run, Flaw::Dreamt);
    /// Values of pairs change once these are shown.
    Fickle = "fickle", |run| acting(run, Flaw::Fickle);
    /// Those who ask depend on what was shown.
    Following = "following", |run| acting(run, Flaw::Following);
    /// Noise goes by the place in the batch.
    Crowded = "crowded", |run| acting(run, Flaw::Crowd);
    /// Noise is drawn anew for every agent.
    Serial = "serial", |run| acting(run, Flaw::Serial);
    /// Loses an observation.
    Lossy = "lossy", |run| acting(run, Flaw::Lossy);
    /// The last observation comes first.
    Reversed = "reversed", |run| acting(run, Flaw::Reversed);
    /// Agents learn the truth.
    Truthful = "truthful", |run| acting(run, Flaw::Truthful);
    /// Shows an item twice.
    Lenient = "lenient", |run| acting(run, Flaw::Lenient);
    /// Looks items up before it checks them.
    Careless = "careless", |run| acting(run, Flaw::Careless);
    /// Keeps what it refuses.
    Grudging = "grudging", |run| acting(run, Flaw::Grudging);
    /// Answers, and does not hear that it is cancelled.
    DeafAnswers = "deaf-answers", |run| acting(&run.clone().with_cancel(Arc::default()), Flaw::None);
    /// Answers otherwise at every opening.
    RestlessAnswers = "restless-answers",
        |run| acting(&run.clone().with_seed(OPENED.fetch_add(1, Ordering::Relaxed)), Flaw::None);
    /// Answers the same for every seed.
    RigidAnswers = "rigid-answers", |run| acting(&run.clone().with_seed(0), Flaw::None);
    /// Answers otherwise on another number of threads.
    ThreadedAnswers = "threaded-answers", |run| acting(&run.child(&run.threads().to_string()), Flaw::None);
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
fn each_flaw_of_a_table_fails_its_check() {
    let checked = |d: Descriptor<dyn Simulator>| failed(&simulator(&d));
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Tables>()), [""; 0]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Bare>()), ["opens", "table", "seed"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Unlabelled>()), ["table"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Overlabelled>()), ["table"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<DeafTables>()), ["cancel"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<RestlessTables>()), ["threads", "seed"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<RigidTables>()), ["seed"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<ThreadedTables>()), ["threads"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Telling>()), ["threads"]);
}

#[test]
fn each_flaw_of_an_answer_fails_its_check() {
    let checked = |d: Descriptor<dyn Simulator>| failed(&simulator(&d));
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Answers>()), [""; 0]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Estranged>()), ["stage"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Brief>()), ["plays"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Repeating>()), ["requests"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Shrinking>()), ["requests", "feedback"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Blurred>()), ["audit"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Modest>()), ["regret"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Dreaming>()), ["regret"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Fickle>()), ["expected"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Following>()), ["common"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Crowded>()), ["alone"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Serial>()), ["agents"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Lossy>()), ["feedback"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Reversed>()), ["feedback"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Truthful>()), ["feedback"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Lenient>()), ["refusals"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Careless>()), ["refusals"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<Grudging>()), ["refusals"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<DeafAnswers>()), ["cancel"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<RestlessAnswers>()), ["alone", "threads", "seed"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<RigidAnswers>()), ["seed"]);
    assert_eq!(checked(Descriptor::<dyn Simulator>::of::<ThreadedAnswers>()), ["threads"]);
}

/// Checks of what a world does not do are skipped; one that does nothing fails.
#[test]
fn a_world_need_not_do_all_things() {
    let skipped = |d: Descriptor<dyn Simulator>| {
        let outcomes = simulator(&d);
        let skipped = outcomes.iter().filter(|o| matches!(o.result, Err(Stop::Skipped(_)))).count();
        (failed(&outcomes), skipped)
    };
    assert_eq!(skipped(Descriptor::<dyn Simulator>::of::<Sound>()), (vec![], 12));
    assert_eq!(skipped(Descriptor::<dyn Simulator>::of::<Tables>()), (vec![], 13));
    assert_eq!(skipped(Descriptor::<dyn Simulator>::of::<Answers>()), (vec![], 3));
    assert_eq!(skipped(Descriptor::<dyn Simulator>::of::<Silent>()), (vec!["opens"], 16));
}
