//! Checks of group regressors that learn row by row.

use super::super::outcome::{Stop, caught, ensure};
use super::tables::{self, Tables};
use super::{Subject, predictors, refused};
use crate::{Error, Expert, GroupRegressor, GroupTable, OnlineRegressor, Result, Run};

/// A row that was gone through.
pub(super) struct Round {
    prediction: Option<f64>,
    experts: Vec<Expert>,
}

impl Subject<'_> {
    /// A fresh learner of the kit's rows.
    fn begin(&self) -> Result<Box<dyn OnlineRegressor>> {
        begin(self.recipe()?.as_ref(), &self.data.train, self.run())
    }

    fn streaming(&self) -> &Result<Vec<Round>, String> {
        let stream = || stream(self, self.run(), &self.data.train, &self.data.labels);
        self.streamed.get_or_init(|| caught(stream)?.map_err(|e| e.to_string()))
    }

    /// All rounds, gone through once for all checks that compare with them.
    fn streamed(&self) -> Result<&[Round], Stop> {
        if !self.recipe()?.online() {
            return Err(Stop::Skipped("does not learn row by row".into()));
        }
        let why = |_: &String| Stop::Skipped("the rows can not be gone through: see `rounds`".into());
        self.streaming().as_ref().map(Vec::as_slice).map_err(why)
    }

    pub(super) fn if_streamed(&self) -> Option<&[Round]> {
        self.streamed().ok()
    }
}

fn begin(recipe: &dyn GroupRegressor, table: &GroupTable, run: &Run) -> Result<Box<dyn OnlineRegressor>> {
    recipe.begin(table.features(), table.groups().len(), run)
}

/// Predicts a row and learns its label.
fn go(learner: &mut dyn OnlineRegressor, (features, active): (&[f64], &[bool]), label: f64) -> Result<Round> {
    let prediction = learner.predict(features, active)?;
    let experts = learner.experts().to_vec();
    learner.observe(features, active, label)?;
    Ok(Round { prediction, experts })
}

/// Goes through as many rows as there are labels.
fn go_through(learner: &mut dyn OnlineRegressor, table: &GroupTable, labels: &[f64]) -> Result<Vec<Round>> {
    labels.iter().enumerate().map(|(row, &label)| go(learner, table.row(row), label)).collect()
}

/// A fresh learner goes through as many rows as there are labels.
pub(super) fn stream(s: &Subject<'_>, run: &Run, table: &GroupTable, labels: &[f64]) -> Result<Vec<Round>> {
    go_through(begin(s.recipe()?.as_ref(), table, run)?.as_mut(), table, labels)
}

/// Fails where a bit differs, as far as both go.
pub(super) fn same(a: &[Round], b: &[Round], between: &str) -> Result<(), Stop> {
    for (row, (a, b)) in a.iter().zip(b).enumerate() {
        let parts =
            |r: &Round| r.experts.iter().map(|e| (e.group, e.prediction.to_bits(), e.weight.to_bits())).collect();
        let (a_parts, b_parts): (Vec<_>, Vec<_>) = (parts(a), parts(b));
        let equal = a.prediction.map(f64::to_bits) == b.prediction.map(f64::to_bits);
        ensure(equal && a_parts == b_parts, || {
            let said = [a, b].map(|r| r.prediction);
            format!("row by row, row {} is predicted {said:?}, or by other experts: {between}", row + 1)
        })?;
    }
    Ok(())
}

/// Whether rows were predicted that had to be, and none by an infinity: those in a group of which a row was learned.
pub(super) fn whole(rounds: &[Round], table: &GroupTable) -> Result<(), Stop> {
    let mut peopled = vec![false; table.groups().len()];
    for (row, Round { prediction, .. }) in rounds.iter().enumerate() {
        let active = table.row(row).1;
        let needed = active.iter().zip(&peopled).any(|(active, peopled)| *active && *peopled);
        ensure(prediction.map_or(!needed, f64::is_finite), || {
            format!("row {}, in groups {active:?}, is predicted {prediction:?}", row + 1)
        })?;
        peopled.iter_mut().zip(active).for_each(|(peopled, active)| *peopled |= active);
    }
    Ok(())
}

/// Two learners of one recipe, taking turns, learn as one alone.
pub(super) fn apart(s: &Subject<'_>, recipe: &dyn GroupRegressor, rounds: &[Round]) -> Result<(), Stop> {
    let Tables { train, labels, .. } = &s.data;
    let mut both = [begin(recipe, train, s.run())?, begin(recipe, train, s.run())?];
    let mut seen = [Vec::new(), Vec::new()];
    for (row, label) in labels.iter().enumerate() {
        for (at, (learner, seen)) in both.iter_mut().zip(&mut seen).enumerate() {
            let label = if at == 1 { *label } else { 1.0 - label };
            seen.push(go(learner.as_mut(), train.row(row), label)?);
        }
    }
    same(rounds, &seen[1], "alone, and in turns with another learner")
}

pub(super) fn begins(s: &Subject<'_>) -> Result<(), Stop> {
    let online = s.recipe()?.online();
    match s.begin() {
        Ok(_) => ensure(online, || "it says that it does not learn row by row, and begins".into()),
        Err(Error::Unsupported { .. }) if !online => Ok(()),
        Err(e) if online => Err(Stop::Failed(format!("it says that it learns row by row, and does not begin: {e}"))),
        Err(e) => Err(Stop::Failed(format!("it ends in another error than `Error::Unsupported`: {e}"))),
    }
}

pub(super) fn rounds(s: &Subject<'_>) -> Result<(), Stop> {
    if let (true, Err(why)) = (s.recipe()?.online(), s.streaming()) {
        return match s.begin() {
            Ok(_) => Err(Stop::Failed(why.clone())),
            Err(_) => Err(Stop::Skipped("it does not begin: see `begins`".into())),
        };
    }
    whole(s.streamed()?, &s.data.train)
}

pub(super) fn causal(s: &Subject<'_>) -> Result<(), Stop> {
    let (rounds, Tables { train, labels, .. }) = (s.streamed()?, &s.data);
    for from in [0, 1, 7, labels.len() / 2] {
        let mut labels = labels.clone();
        labels[from..].iter_mut().for_each(|label| *label = 1.0 - *label);
        let other = stream(s, s.run(), train, &labels)?;
        same(&rounds[..=from], &other, &format!("labels differ from row {} on", from + 1))?;
    }
    Ok(())
}

pub(super) fn order(s: &Subject<'_>) -> Result<(), Stop> {
    let (rounds, Tables { train, labels, .. }) = (s.streamed()?, &s.data);
    for count in [1, 10, labels.len() / 2] {
        let first = stream(s, s.run(), train, &labels[..count])?;
        same(rounds, &first, &format!("all rows follow, and only the first {count}"))?;
    }
    // Other rows follow.
    let half = labels.len() / 2;
    let turned: Vec<usize> = (0..half).chain((half..labels.len()).rev()).collect();
    let of_them: Vec<f64> = turned.iter().map(|&row| labels[row]).collect();
    let other = stream(s, s.run(), &train.select(&turned), &of_them)?;
    same(&rounds[..half], &other, "the second half follows forwards, and backwards")
}

pub(super) fn traceless(s: &Subject<'_>) -> Result<(), Stop> {
    let (rounds, Tables { train, labels, probe }) = (s.streamed()?, &s.data);
    let mut learner = s.begin()?;
    let mut seen = Vec::new();
    for (row, &label) in labels.iter().enumerate() {
        let (features, active) = train.row(row);
        let others = [train.row(labels.len() - 1 - row), probe.row(row % probe.rows()), (features, active)];
        for (features, active) in others {
            learner.predict(features, active)?;
        }
        // The label is that of the row predicted last.
        seen.push(go(learner.as_mut(), (features, active), label)?);
    }
    same(rounds, &seen, "each row is predicted once, and after others")
}

pub(super) fn experts(s: &Subject<'_>) -> Result<(), Stop> {
    let (rounds, Tables { train, .. }) = (s.streamed()?, &s.data);
    if rounds.iter().all(|round| round.experts.is_empty()) {
        return Err(Stop::Skipped("it is not made of experts".into()));
    }
    for (row, Round { prediction, experts }) in rounds.iter().enumerate() {
        let about = |said: &str| format!("row {}: {said}: {experts:?}", row + 1);
        let Some(prediction) = prediction else {
            ensure(experts.is_empty(), || about("no prediction, and experts"))?;
            continue;
        };
        ensure(!experts.is_empty(), || about(&format!("no experts, and a prediction of {prediction}")))?;
        let active = train.row(row).1;
        let asleep = experts.iter().find(|e| e.group.is_some_and(|group| !active.get(group).is_some_and(|&a| a)));
        ensure(asleep.is_none(), || about("an expert of a group that the row is not in"))?;
        let twice = (1..experts.len()).any(|n| experts[..n].iter().any(|e| e.group == experts[n].group));
        ensure(!twice, || about("two experts of a group"))?;
        let odd = experts.iter().any(|e| !(0.0..=1.0).contains(&e.weight) || !e.prediction.is_finite());
        ensure(!odd, || about("a share out of 0 to 1, or a prediction that is not finite"))?;
        let sum: f64 = experts.iter().map(|e| e.weight).sum();
        ensure((sum - 1.0).abs() <= 1e-9, || about(&format!("shares add up to {sum}")))?;
        let mixed: f64 = experts.iter().map(|e| e.weight * e.prediction).sum();
        let near = (mixed - prediction).abs() <= 1e-9 * prediction.abs().max(1.0);
        ensure(near, || about(&format!("they predict {mixed} by share, the prediction is {prediction}")))?;
    }
    Ok(())
}

pub(super) fn nobody(s: &Subject<'_>) -> Result<(), Stop> {
    let (rounds, Tables { train, labels, .. }) = (s.streamed()?, &s.data);
    let (of_none, of_some): (Vec<usize>, _) = (0..labels.len()).partition(|&row| !train.row(row).1.contains(&true));
    if of_none.iter().any(|&row| rounds[row].prediction.is_some()) {
        return Err(Stop::Skipped("rows in no group are predicted".into()));
    }
    let of_them: Vec<f64> = of_some.iter().map(|&row| labels[row]).collect();
    let without = stream(s, s.run(), &train.select(&of_some), &of_them)?;
    let mut learner = s.begin()?;
    let mut seen = Vec::new();
    for (row, &label) in labels.iter().enumerate() {
        let round = go(learner.as_mut(), train.row(row), label)?;
        if of_some.binary_search(&row).is_ok() {
            seen.push(round);
        }
    }
    same(&without, &seen, "without rows in no group, and with them")
}

pub(super) fn refusals(s: &Subject<'_>) -> Result<(), Stop> {
    let (rounds, Tables { train, labels, .. }) = (s.streamed()?, &s.data);
    let (d, groups) = (train.features(), train.groups().len());
    let sizes = [
        ("a row of fewer features", tables::sized(d - 1, groups, 1)),
        ("a row of more features", tables::sized(d + 1, groups, 1)),
        ("a row in fewer groups", tables::sized(d, groups - 1, 1)),
        ("a row in more groups", tables::sized(d, groups + 1, 1)),
    ];
    let mut learner = s.begin()?;
    let mut seen = Vec::new();
    for (row, &label) in labels.iter().enumerate() {
        let (features, active) = train.row(row);
        for (what, other) in &sizes {
            refused(what, learner.predict(other.row(0).0, other.row(0).1))?;
        }
        let prediction = learner.predict(features, active)?;
        let experts = learner.experts().to_vec();
        for (what, other) in &sizes {
            refused(&format!("the label of {what}"), learner.observe(other.row(0).0, other.row(0).1, label))?;
        }
        for sick in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refused = learner.observe(features, active, sick).is_err();
            ensure(refused, || format!("row {}: the label is {sick}, and no error", row + 1))?;
        }
        learner.observe(features, active, label)?;
        seen.push(Round { prediction, experts });
    }
    same(rounds, &seen, "nothing is refused, and what is refused in between")
}

pub(super) fn freezes(s: &Subject<'_>) -> Result<(), Stop> {
    s.streamed()?;
    let Tables { train, labels, probe } = &s.data;
    let mut learner = s.begin()?;
    let mut earlier = Vec::new();
    let mut from = 0;
    for to in [0, 1, labels.len() / 2, labels.len()] {
        for (row, &label) in labels.iter().enumerate().take(to).skip(from) {
            go(learner.as_mut(), train.row(row), label)?;
        }
        from = to;
        let frozen = learner.freeze();
        for table in [train, probe] {
            for (row, frozen) in predictors::predictions(frozen.as_ref(), table)?.into_iter().enumerate() {
                let (features, active) = table.row(row);
                let (predicted, known) = (learner.predict(features, active)?, !frozen.is_nan());
                let near = predicted.is_some() == known
                    && predicted.is_none_or(|p| (p - frozen).abs() <= 1e-9 * p.abs().max(1.0));
                ensure(near, || format!("after {to} rows, {predicted:?} is predicted, frozen {frozen}"))?;
            }
        }
        let observed = predictors::observe(frozen.as_ref(), train)?;
        earlier.push((to, frozen, observed));
    }
    for (to, frozen, observed) in &earlier {
        let later = predictors::observe(frozen.as_ref(), train)?;
        observed.same(&later, &format!("freezing after {to} rows and the end"))?;
    }
    Ok(())
}
