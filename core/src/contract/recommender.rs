//! Checks of recommenders: how they fit. What they return is checked in `states`.

use super::outcome::{Check, Outcome, Stop, caught, ensure, run_all};
use super::states::{self, observe};
use super::{learners, recipe, small};
use crate::dense::{Dense, Reference};
use crate::params::parameters;
use crate::{Descriptor, Error, Interactions, Model, Recommender, Result, Run, Training};
use serde_json::{Value as Json, json};
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Checks a recommender with its default parameters.
pub fn recommender(descriptor: &Descriptor<dyn Recommender>) -> Vec<Outcome> {
    recommender_with(descriptor, &json!({}))
}

/// Checks a recommender with those parameters, an object; absent ones take their defaults.
pub fn recommender_with(descriptor: &Descriptor<dyn Recommender>, params: &Json) -> Vec<Outcome> {
    checked(descriptor, params, &(Arc::new(Reference) as Arc<dyn Dense>))
}

/// Checks a recommender with its default parameters where `dense` computes dense products, instead of
/// [`Reference`].
pub fn recommender_on(descriptor: &Descriptor<dyn Recommender>, dense: &Arc<dyn Dense>) -> Vec<Outcome> {
    checked(descriptor, &json!({}), dense)
}

fn checked(descriptor: &Descriptor<dyn Recommender>, params: &Json, dense: &Arc<dyn Dense>) -> Vec<Outcome> {
    let mut outcomes = recipe(descriptor);
    let on = |threads| Run::new(SEED).with_dense(dense.clone()).with_threads(threads);
    let runs = [1, 2, 7].map(|threads| on(threads).expect("the system starts seven threads"));
    let subject = Subject { descriptor, params, runs, train: small::ratings(), fitted: OnceCell::new() };
    outcomes.extend(run_all(descriptor.name, &checks(), &subject));
    outcomes
}

const SEED: u64 = 20;

/// A recommender under test.
pub(super) struct Subject<'a> {
    descriptor: &'a Descriptor<dyn Recommender>,
    params: &'a Json,
    /// On one, two and seven threads.
    pub(super) runs: [Run; 3],
    pub(super) train: Interactions,
    fitted: OnceCell<Result<Box<dyn Model>, String>>,
}

fn checks<'a>() -> Vec<Check<Subject<'a>>> {
    vec![
        Check("fits", "fits a small data set; the model has its shape and passes its own check", fits),
        Check("finite", "every score is finite", states::finite),
        Check("threads", "the same bits on 1, 2 and 7 threads", threads),
        Check("seed", "the same bits for the same seed, whatever was fitted before", seed),
        Check("batches", "the score of a user does not depend on the rest of the batch", states::batches),
        Check("out-of-range", "users, items and lengths out of range are errors", states::out_of_range),
        Check("predict", "predictions of pairs agree with the scores", states::predict),
        Check("top-k", "the best items are those of the sorted scores, seen ones left out", states::top_k),
        Check("ranks", "held-out items stand where the sorted scores put them, among those not seen", states::ranks),
        Check("snapshot", "a model comes back from its snapshot bit for bit", states::snapshot),
        Check("hostile-snapshot", "a damaged snapshot is an error", states::hostile_snapshot),
        Check("empty-rows", "users and items without a rating get a finite score", empty_rows),
        Check("constant", "equal ratings are fitted", constant),
        Check("duplicates", "repeated pairs are fitted", duplicates),
        Check("tiny", "data of no or few rows are fitted or refused, without a panic", tiny),
        Check("checkerboard", "taste is learned: what users like is ranked above what they do not", checkerboard),
        Check("cancel", "a run that was cancelled ends in `Error::Cancelled`", cancel),
        Check(
            "learns",
            "fresh observations are learned, newcomers join, and what does not fit leaves no trace",
            learners::learns,
        ),
        Check(
            "posterior",
            "draws and variances of a user depend on the user alone, and agree with each other",
            learners::posterior,
        ),
        Check("refit", "refits from its own model, with the same bits on 1 and 7 threads", refit),
    ]
}

impl Subject<'_> {
    /// A fresh recipe: what another one has done must not show.
    pub(super) fn recipe(&self) -> Result<Box<dyn Recommender>> {
        self.descriptor.build(&mut <dyn erased_serde::Deserializer>::erase(self.params))
    }

    /// The run on two threads.
    pub(super) fn run(&self) -> &Run {
        &self.runs[1]
    }

    pub(super) fn fit(&self, train: &Interactions) -> Result<Box<dyn Model>> {
        self.recipe()?.fit(&Training::new(train), self.run())
    }

    /// The model of the small ratings, fitted once for all checks that only look at it.
    pub(super) fn model(&self) -> Result<&dyn Model, Stop> {
        match self.outcome() {
            Ok(model) => Ok(model.as_ref()),
            Err(_) => Err(Stop::Skipped("there is no model: see `fits`".into())),
        }
    }

    fn outcome(&self) -> &Result<Box<dyn Model>, String> {
        let fit = || caught(|| self.fit(&self.train))?.map_err(|e| e.to_string());
        self.fitted.get_or_init(fit)
    }

    /// Fits `train` and looks at every score.
    fn survives(&self, train: &Interactions) -> Result<(), Stop> {
        let model = self.fit(train)?;
        states::whole(model.as_ref(), train, self.run())
    }
}

fn fits(s: &Subject<'_>) -> Result<(), Stop> {
    let model = s.outcome().as_ref().map_err(|e| Stop::Failed(e.clone()))?;
    model.validate()?;
    states::shape(model.as_ref(), &s.train)
}

fn threads(s: &Subject<'_>) -> Result<(), Stop> {
    let expected = observe(s.model()?, &s.train, s.run())?;
    let [one, _, seven] = &s.runs;
    for run in [one, seven] {
        let got = observe(s.recipe()?.fit(&Training::new(&s.train), run)?.as_ref(), &s.train, run)?;
        expected.same(&got, &format!("2 and {} threads", run.threads()))?;
    }
    Ok(())
}

fn seed(s: &Subject<'_>) -> Result<(), Stop> {
    let expected = observe(s.model()?, &s.train, s.run())?;
    let recipe = s.recipe()?;
    let written = parameters(recipe.as_ref());
    // How this one ends is the business of `constant`.
    let _ = caught(|| recipe.fit(&Training::new(&small::constant()), &s.run().clone().with_seed(SEED + 1)).is_ok());
    ensure(parameters(recipe.as_ref()) == written, || "fitting changed the parameters".into())?;
    let got = observe(recipe.fit(&Training::new(&s.train), s.run())?.as_ref(), &s.train, s.run())?;
    expected.same(&got, "a first and a later fit")
}

fn empty_rows(s: &Subject<'_>) -> Result<(), Stop> {
    s.survives(&small::holes())
}

fn constant(s: &Subject<'_>) -> Result<(), Stop> {
    s.survives(&small::constant())
}

fn duplicates(s: &Subject<'_>) -> Result<(), Stop> {
    s.survives(&small::duplicates())
}

fn tiny(s: &Subject<'_>) -> Result<(), Stop> {
    for (what, train) in small::tiny() {
        let tried = caught(|| s.fit(&train).map(|model| states::whole(model.as_ref(), &train, s.run())));
        match tried {
            // A refusal is a fair answer.
            Ok(Err(_) | Ok(Ok(()))) => {}
            Ok(Ok(Err(Stop::Failed(why) | Stop::Skipped(why)))) | Err(why) => {
                return Err(Stop::Failed(format!("{what}: {why}")));
            }
        }
    }
    Ok(())
}

/// Each user likes the items of its colour, one of which is withheld; among all items not known as liked that one has
/// to come first. The board is offered in stars and as bare likes, since some recommenders learn from the value of a
/// row and others from its being there; one of the two will do. One user in ten may go wrong.
fn checkerboard(s: &Subject<'_>) -> Result<(), Stop> {
    if !s.recipe()?.personalised() {
        return Err(Stop::Skipped("not personalised".into()));
    }
    let users: Vec<u32> = (0..small::BOARD).collect();
    let likes = small::likes();
    let mut solved = Vec::new();
    for train in [small::stars(), small::likes()] {
        // Who can not read one form may refuse it.
        let Ok(model) = s.fit(&train) else { continue };
        let top = model.top_k(&users, Some(&likes), 1, s.run())?;
        solved.push(users.iter().filter(|&&u| top.items(u as usize) == [u]).count());
        if solved.last().is_some_and(|&n| 10 * n >= 9 * users.len()) {
            return Ok(());
        }
    }
    Err(Stop::Failed(format!("solved for {solved:?} of {} users (in stars, as bare likes)", users.len())))
}

fn cancel(s: &Subject<'_>) -> Result<(), Stop> {
    let run = s.run().clone().with_cancel(Arc::new(AtomicBool::new(true)));
    let stopped = |what: &str, result: Result<Box<dyn Model>>| match result {
        Err(Error::Cancelled) => Ok(()),
        Err(e) => Err(Stop::Failed(format!("{what} ends in another error: {e}"))),
        Ok(_) => Err(Stop::Failed(format!("{what} goes on; call `run.check()?` at its start"))),
    };
    stopped("fitting", s.recipe()?.fit(&Training::new(&s.train), &run))?;
    stopped("refitting", s.recipe()?.refit(&Training::new(&s.train), s.model()?, &run))
}

fn refit(s: &Subject<'_>) -> Result<(), Stop> {
    let [one, _, seven] = &s.runs;
    let again = |run| -> Result<_, Stop> {
        let model = s.recipe()?.refit(&Training::new(&s.train), s.model()?, run)?;
        states::whole(model.as_ref(), &s.train, run)?;
        observe(model.as_ref(), &s.train, run)
    };
    again(one)?.same(&again(seven)?, "1 and 7 threads")?;
    // A model of another shape may be refused or ignored, but not break the process.
    let (model, (_, other)) = (s.model()?, &small::tiny()[0]);
    let tried = caught(|| s.recipe().and_then(|recipe| recipe.refit(&Training::new(other), model, s.run())).is_ok());
    tried.map(|_| ()).map_err(|why| Stop::Failed(format!("from a model of another shape: {why}")))
}
