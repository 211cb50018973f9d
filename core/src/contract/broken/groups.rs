//! A sound group regressor, and its flaws.

use super::failed;
use crate::contract::{Outcome, Stop, group_regressor_with};
use crate::*;
use rand::RngExt;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

choice! {
    /// Which rule is broken.
    enum Flaw {
        /// No rule.
        None = "none",
        /// No rule, and it states no linear function.
        Curved = "curved",
        /// Panics at a table of many rows.
        Panic = "panic",
        /// Does not predict a row whose group had one member.
        Missing = "missing",
        /// Predicts an infinity where it knows nothing.
        Infinite = "infinite",
        /// Predicts by the place in the table.
        Place = "place",
        /// Has no model of a group of one member.
        Absent = "absent",
        /// Has a model of a group without members, which predicts nothing.
        Eager = "eager",
        /// Writes where it has no model.
        Scribbling = "scribbling",
        /// States another linear function than it predicts by.
        Crooked = "crooked",
        /// States a linear function where it predicts nothing.
        Boundless = "boundless",
        /// Writes where there is no linear function.
        Scrawling = "scrawling",
        /// Predicts tables of any size.
        Trusting = "trusting",
        /// Knows groups that are none.
        Rangeless = "rangeless",
        /// States linear functions of any size.
        Roomy = "roomy",
        /// Does not look at the features.
        Dull = "dull",
        /// Predicts 0 by the model of a group.
        Hollow = "hollow",
        /// Learns from any number of labels.
        Lax = "lax",
        /// Takes labels that are not finite for 0.
        Gullible = "gullible",
        /// Refuses tables of few rows.
        Fragile = "fragile",
        /// Learns by the number of threads.
        Threads = "threads",
        /// Remembers the seed before.
        Seed = "seed",
        /// Learns otherwise while another one learns.
        Sociable = "sociable",
        /// Does not hear that it is cancelled.
        Deaf = "deaf",
        /// Begins, and says that it does not.
        Shy = "shy",
        /// Does not begin, and says that it does.
        Boastful = "boastful",
        /// Refuses to begin in its own way.
        Rude = "rude",
        /// Leaves out a round.
        Absentminded = "absentminded",
        /// Has seen these rows before, and sees that a label changed.
        Clairvoyant = "clairvoyant",
        /// Remembers how many rows there were before.
        Horizon = "horizon",
        /// Learns by predicting twice.
        Tracing = "tracing",
        /// Its experts' shares add up to more than 1.
        Heavy = "heavy",
        /// Names other groups than those that took part.
        Misnaming = "misnaming",
        /// Names experts where it predicts nothing.
        Ghosts = "ghosts",
        /// Says that its experts predict something else.
        Lying = "lying",
        /// Learns from a row in no group.
        Grudging = "grudging",
        /// Takes rows of any size.
        Lenient = "lenient",
        /// Passes over a label that is not finite.
        Credulous = "credulous",
        /// Learns the features before it looks at the label.
        Hasty = "hasty",
        /// Goes on learning when frozen.
        Alive = "alive",
        /// Predicts otherwise when frozen.
        Bent = "bent",
    }
}

plugin! {
    /// Ridge regression for each group, and the mean of those that are active: sound, but for one flaw.
    struct Ridge: GroupRegressor = "ridge" {
        /// Which rule is broken.
        flaw: Flaw = Flaw::None;
        /// Whether it learns row by row.
        online: bool = true;
    }
}

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
    /// Learners that are there.
    static LIVING: Cell<usize> = const { Cell::new(0) };
    /// Labels of the learners of the kit's rows that are gone, the last one last.
    static EARLIER: RefCell<Vec<Vec<f64>>> = const { RefCell::new(Vec::new()) };
}

/// What shows in the bits alone.
const TINY: f64 = 1e-12;

impl Ridge {
    fn learner(&self, features: usize, groups: usize, run: &Run) -> Learner {
        let seed = run.streams.rng(0).random::<u64>();
        let other_seed = SEED.replace(Some(seed)).is_some_and(|earlier| earlier != seed);
        let noticed = EARLIER.with_borrow(|earlier| match (self.flaw, &earlier[..]) {
            (Flaw::Clairvoyant, [.., a, b]) => {
                a.len() == b.len() && a.iter().zip(b).filter(|(a, b)| a != b).count() == 1
            }
            (Flaw::Horizon, [.., last]) => last.len() == 1,
            _ => false,
        });
        LIVING.set(LIVING.get() + 1);
        let shift = match self.flaw {
            Flaw::Sociable if LIVING.get() > 1 => TINY,
            Flaw::Threads => TINY * run.threads() as f64,
            Flaw::Seed if other_seed => TINY,
            _ if noticed => TINY,
            _ => 0.0,
        };
        let model = Model { flaw: self.flaw, features, models: vec![Normal::new(features); groups], shift };
        let shared = Arc::new(Mutex::new(model));
        Learner { flaw: self.flaw, shared, experts: vec![], labels: vec![], pending: false, frozen: Cell::new(false) }
    }
}

impl GroupRegressor for Ridge {
    fn online(&self) -> bool {
        self.online && self.flaw != Flaw::Shy
    }

    fn fit(&self, table: &GroupTable, labels: &[f64], run: &Run) -> Result<Box<dyn GroupPredictor>> {
        if self.flaw != Flaw::Deaf {
            run.check()?;
        }
        assert!(self.flaw != Flaw::Panic || table.rows() < 100, "too many");
        let mut labels = labels.to_vec();
        if self.flaw == Flaw::Gullible {
            labels.iter_mut().filter(|label| !label.is_finite()).for_each(|label| *label = 0.0);
        }
        if self.flaw != Flaw::Lax {
            table.check_labels(&labels)?;
        }
        if self.flaw == Flaw::Fragile && table.rows() < 10 {
            return Err(Error::Unusable("too few rows".into()));
        }
        let mut learner = self.learner(table.features(), table.groups().len(), run);
        for (row, &label) in labels.iter().enumerate().take(table.rows()) {
            let (features, active) = table.row(row);
            learner.observe(features, active, label)?;
        }
        Ok(learner.freeze())
    }

    fn begin(&self, features: usize, groups: usize, run: &Run) -> Result<Box<dyn OnlineRegressor>> {
        match self.flaw {
            Flaw::Rude => Err(Error::Unusable("not now".into())),
            Flaw::Boastful => Err(Error::Unsupported { plugin: "ridge".into(), operation: "learning row by row" }),
            _ if !self.online => Err(Error::Unsupported { plugin: "ridge".into(), operation: "learning row by row" }),
            _ => Ok(Box::new(self.learner(features, groups, run))),
        }
    }
}

/// Ridge regression of a group, of penalty 1: the inverse of the penalised sum of squares, and the weights.
#[derive(Clone)]
pub(super) struct Normal {
    inverse: Vec<Vec<f64>>,
    pub(super) weights: Vec<f64>,
    members: usize,
}

impl Normal {
    pub(super) fn new(d: usize) -> Self {
        let unit = |i| (0..d).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
        Self { inverse: (0..d).map(unit).collect(), weights: vec![0.0; d], members: 0 }
    }

    pub(super) fn learn(&mut self, x: &[f64], label: Option<f64>) {
        let u: Vec<f64> = self.inverse.iter().map(|row| dot(row, x)).collect();
        let by = 1.0 + dot(&u, x);
        let missed = label.map_or(0.0, |label| label - dot(&self.weights, x));
        for (i, row) in self.inverse.iter_mut().enumerate() {
            self.weights[i] += u[i] * missed / by;
            row.iter_mut().zip(&u).for_each(|(p, u_j)| *p -= u[i] * u_j / by);
        }
        self.members += usize::from(label.is_some());
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[derive(Clone)]
struct Model {
    flaw: Flaw,
    features: usize,
    models: Vec<Normal>,
    shift: f64,
}

impl Model {
    /// The active groups that had members.
    fn awake<'a>(&'a self, active: &'a [bool]) -> impl Iterator<Item = usize> + 'a {
        let least = if self.flaw == Flaw::Missing && self.features == 5 { 2 } else { 1 };
        (0..self.models.len()).filter(move |&g| active[g] && self.models[g].members >= least)
    }

    fn experts(&self, x: &[f64], active: &[bool]) -> Vec<Expert> {
        let weight = 1.0 / self.awake(active).count() as f64;
        let expert = |g| Expert { group: Some(g), prediction: dot(&self.models[g].weights, x) + self.shift, weight };
        self.awake(active).map(expert).collect()
    }
}

fn mixed(experts: &[Expert]) -> Option<f64> {
    (!experts.is_empty()).then(|| experts.iter().map(|e| e.weight * e.prediction).sum())
}

struct Learner {
    flaw: Flaw,
    shared: Arc<Mutex<Model>>,
    experts: Vec<Expert>,
    labels: Vec<f64>,
    /// Whether a row was predicted and not observed.
    pending: bool,
    frozen: Cell<bool>,
}

fn locked(shared: &Mutex<Model>) -> MutexGuard<'_, Model> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Learner {
    /// Those of other tables and those that were frozen are soon forgotten.
    fn drop(&mut self) {
        LIVING.set(LIVING.get() - 1);
        if locked(&self.shared).features == 5 && !self.labels.is_empty() && !self.frozen.get() {
            EARLIER.with_borrow_mut(|earlier| earlier.push(std::mem::take(&mut self.labels)));
        }
    }
}

impl OnlineRegressor for Learner {
    fn predict(&mut self, features: &[f64], active: &[bool]) -> Result<Option<f64>> {
        let mut model = locked(&self.shared);
        let sizes = (model.features, model.models.len());
        if self.flaw != Flaw::Lenient {
            check_row(features, active, sizes)?;
        }
        if self.flaw == Flaw::Tracing && std::mem::replace(&mut self.pending, true) {
            model.shift += TINY;
        }
        let active: Vec<bool> = (0..sizes.1).map(|g| active.get(g).copied().unwrap_or(false)).collect();
        self.experts = model.experts(features, &active);
        if self.flaw == Flaw::Absentminded && sizes.0 == 5 && self.labels.len() == 5 {
            self.experts.clear();
        }
        let prediction = mixed(&self.experts);
        match self.flaw {
            Flaw::Heavy => {
                self.experts.iter_mut().for_each(|e| (e.weight, e.prediction) = (e.weight * 1.1, e.prediction / 1.1))
            }
            Flaw::Misnaming => self.experts.iter_mut().for_each(|e| e.group = e.group.map(|g| g + 1)),
            Flaw::Lying => self.experts.iter_mut().for_each(|e| e.prediction += 1e-6),
            Flaw::Ghosts if prediction.is_none() => {
                self.experts = vec![Expert { group: None, prediction: 0.0, weight: 1.0 }];
            }
            _ => {}
        }
        Ok(prediction)
    }

    fn observe(&mut self, features: &[f64], active: &[bool], label: f64) -> Result<()> {
        let mut model = locked(&self.shared);
        let flaw = self.flaw;
        check_row(features, active, (model.features, model.models.len()))?;
        let mut learn = |label| {
            let awake = model.models.iter_mut().zip(active).filter(|(_, active)| **active);
            let features = if flaw == Flaw::Dull { &vec![0.0; features.len()] } else { features };
            awake.for_each(|(model, _)| model.learn(features, label));
            if flaw == Flaw::Grudging && !active.contains(&true) {
                model.shift += TINY;
            }
        };
        if !label.is_finite() {
            if flaw == Flaw::Hasty {
                learn(None);
            }
            let refused = Error::Diverged { what: "a label".into(), step: None };
            return if flaw == Flaw::Credulous { Ok(()) } else { Err(refused) };
        }
        learn(Some(label));
        self.pending = false;
        if active.contains(&true) || flaw != Flaw::Absentminded {
            self.labels.push(label);
        }
        Ok(())
    }

    fn experts(&self) -> &[Expert] {
        &self.experts
    }

    fn freeze(&self) -> Box<dyn GroupPredictor> {
        self.frozen.set(true);
        if self.flaw == Flaw::Alive {
            return Box::new(Frozen(Arc::clone(&self.shared)));
        }
        let mut model = locked(&self.shared).clone();
        model.shift += if self.flaw == Flaw::Bent { 1e-6 } else { 0.0 };
        Box::new(Frozen(Arc::new(Mutex::new(model))))
    }
}

struct Frozen(Arc<Mutex<Model>>);

impl GroupPredictor for Frozen {
    fn predict(&self, table: &GroupTable, out: &mut [f64]) -> Result<()> {
        let model = locked(&self.0);
        if model.flaw != Flaw::Trusting {
            table.check_predicted((model.features, model.models.len()), out)?;
        }
        let active = |row| (0..model.models.len()).map(|g| table.row(row).1.get(g).copied().unwrap_or(false)).collect();
        for (row, out) in out.iter_mut().enumerate().take(table.rows()) {
            let active: Vec<bool> = active(row);
            let unknown = if model.flaw == Flaw::Infinite && model.features == 5 { f64::INFINITY } else { f64::NAN };
            *out = mixed(&model.experts(table.row(row).0, &active)).unwrap_or(unknown);
            *out += if model.flaw == Flaw::Place { TINY * row as f64 } else { 0.0 };
        }
        Ok(())
    }

    fn predict_by(&self, group: usize, table: &GroupTable, out: &mut [f64]) -> Result<bool> {
        let model = locked(&self.0);
        table.check_predicted((model.features, model.models.len()), out)?;
        let Some(of_group) = model.models.get(group) else {
            let refused = Error::shape("group", model.models.len(), group);
            return if model.flaw == Flaw::Rangeless { Ok(false) } else { Err(refused) };
        };
        match (model.flaw, of_group.members) {
            (Flaw::Absent, 1) => return Ok(false),
            (Flaw::Eager, 0) => out.fill(f64::NAN),
            (Flaw::Scribbling, 0) => {
                out.fill(0.0);
                return Ok(false);
            }
            (_, 0) => return Ok(false),
            (Flaw::Hollow, _) => out.fill(0.0),
            _ => (0..).zip(out).for_each(|(row, out)| *out = dot(&of_group.weights, table.row(row).0) + model.shift),
        }
        Ok(true)
    }

    fn linear(&self, active: &[bool], out: &mut [f64]) -> Result<bool> {
        let model = locked(&self.0);
        let (d, groups) = (model.features, model.models.len());
        match model.flaw {
            Flaw::Curved => return Err(Error::Unsupported { plugin: "ridge".into(), operation: "being straight" }),
            Flaw::Roomy if (active.len(), out.len()) != (groups, d + 1) => return Ok(false),
            _ if active.len() != groups => return Err(Error::shape("groups", groups, active.len())),
            _ if out.len() != d + 1 => return Err(Error::shape("weights and an intercept", d + 1, out.len())),
            _ => {}
        }
        let awake: Vec<usize> = model.awake(active).collect();
        if awake.is_empty() {
            if matches!(model.flaw, Flaw::Boundless | Flaw::Scrawling) {
                out.fill(0.0);
            }
            return Ok(model.flaw == Flaw::Boundless);
        }
        out[d] = model.shift + if model.flaw == Flaw::Crooked { 1e-6 } else { 0.0 };
        for (x, out) in out[..d].iter_mut().enumerate() {
            *out = awake.iter().map(|&g| model.models[g].weights[x]).sum::<f64>() / awake.len() as f64;
        }
        Ok(true)
    }
}

fn checked(flaw: &str, online: bool) -> Vec<Outcome> {
    group_regressor_with(&Descriptor::<dyn GroupRegressor>::of::<Ridge>(), &json!({ "flaw": flaw, "online": online }))
}

fn skipped(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().filter(|o| matches!(o.result, Err(Stop::Skipped(_)))).map(|o| o.check).collect()
}

#[test]
fn sound_ones_pass_whatever_they_can_do() {
    let of_rounds = ["rounds", "causal", "order", "traceless", "experts", "nobody", "refusals", "freezes"];
    for (flaw, online, expected) in
        [("none", true, &[][..]), ("none", false, &of_rounds), ("curved", true, &["linear"])]
    {
        let outcomes = checked(flaw, online);
        assert_eq!((failed(&outcomes), skipped(&outcomes)), (vec![], expected.to_vec()), "{flaw}: {outcomes:#?}");
    }
}

#[test]
fn each_flaw_of_a_fit_fails_its_check() {
    for (flaw, expected) in [
        ("panic", &["fits"][..]),
        ("missing", &["finite"]),
        ("infinite", &["finite", "linear"]),
        ("place", &["rows"]),
        ("absent", &["predict-by"]),
        ("eager", &["predict-by"]),
        ("scribbling", &["predict-by"]),
        ("crooked", &["linear"]),
        ("boundless", &["linear"]),
        ("scrawling", &["linear"]),
        ("trusting", &["shapes"]),
        ("rangeless", &["shapes"]),
        ("roomy", &["shapes"]),
        ("dull", &["learns"]),
        ("hollow", &["learns"]),
        ("lax", &["labels"]),
        ("gullible", &["labels"]),
        ("fragile", &["degenerate"]),
        ("threads", &["threads"]),
        ("seed", &["seed"]),
        ("deaf", &["cancel"]),
        ("rude", &["begins"]),
    ] {
        let outcomes = checked(flaw, false);
        assert_eq!(failed(&outcomes), expected, "{flaw}: {outcomes:#?}");
    }
}

#[test]
fn each_flaw_of_a_round_fails_its_check() {
    for (flaw, expected) in [
        ("threads", &["threads"][..]),
        ("seed", &["seed"]),
        ("sociable", &["seed"]),
        ("shy", &["begins"]),
        ("boastful", &["begins"]),
        ("rude", &["begins"]),
        ("absentminded", &["rounds"]),
        ("clairvoyant", &["causal"]),
        ("horizon", &["order"]),
        ("tracing", &["traceless"]),
        ("heavy", &["experts"]),
        ("misnaming", &["experts"]),
        ("ghosts", &["experts"]),
        ("lying", &["experts"]),
        ("grudging", &["nobody"]),
        ("lenient", &["refusals"]),
        ("credulous", &["refusals"]),
        ("hasty", &["refusals"]),
        ("alive", &["freezes"]),
        ("bent", &["freezes"]),
    ] {
        let outcomes = checked(flaw, true);
        assert_eq!(failed(&outcomes), expected, "{flaw}: {outcomes:#?}");
    }
}
