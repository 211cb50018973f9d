//! One setting of each group, chosen by the rule of the experiment from means over seeds and folds; no test row takes
//! part.

use super::summary::SettingSummary;
use crate::experiment::{By, Choose, Setting};
use crate::protocol::VALIDATION_RMSE;
use serde::Serialize;

/// What was chosen by which rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The rule.
    #[serde(flatten)]
    pub rule: Choose,
    /// The groups in the order of the experiment.
    pub groups: Vec<Chosen>,
}

/// What was chosen of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// Labels of the settings in the group.
    pub among: Vec<String>,
    /// Label of the one that was chosen.
    pub chosen: Option<String>,
    /// Why none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Applies `rule` to the settings of an experiment and what came out of them, one by one.
///
/// Means over fewer cells than the others have can not be compared, so a setting with a failed cell is never chosen from
/// several. Among equals the lower error on validation rows wins, then the order of the experiment. A group of one
/// stands for itself. Settings that the experiment does not name take no part: it would choose otherwise with attacks.
pub(super) fn choose(rule: &Choose, settings: &[Setting], found: &[SettingSummary]) -> Choice {
    let named = || settings.iter().enumerate().filter(|(_, setting)| !setting.added);
    let most = named().map(|(n, _)| found[n].cells).max().unwrap_or(0);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (n, setting) in named() {
        match groups.iter_mut().find(|group| rule.same_group(&settings[group[0]], setting)) {
            Some(group) => group.push(n),
            None => groups.push(vec![n]),
        }
    }
    let whole = |s: &&SettingSummary| s.cells == most && most > 0;
    let error = |s: &SettingSummary| s.mean(VALIDATION_RMSE);
    let reference = rule.reference.as_ref().map(|label| {
        found
            .iter()
            .filter(whole)
            .find(|s| s.label == *label)
            .and_then(error)
            .ok_or("the reference has no whole result")
    });
    let of_group = |group: &Vec<usize>| -> Result<String, &'static str> {
        let members: Vec<&SettingSummary> = group.iter().map(|&n| &found[n]).collect();
        if let [only] = members[..] {
            return if only.cells > 0 { Ok(only.label.clone()) } else { Err("no finished cell") };
        }
        let mut left: Vec<(f64, f64, &SettingSummary)> = Vec::new();
        for s in members.into_iter().filter(whole) {
            let known = error(s).or((rule.within.is_none() && rule.by != By::Rmse).then_some(f64::INFINITY));
            left.extend(s.mean(rule.by.metric()).zip(known).map(|(by, error)| (by, error, s)));
        }
        let lowest =
            left.iter().map(|l| l.1).min_by(f64::total_cmp).ok_or("no setting has all figures in all cells")?;
        if let Some(within) = rule.within {
            let bound = within.rmse * reference.unwrap_or(Ok(lowest))?;
            left.retain(|l| l.1 <= bound);
        }
        // `min_by` returns the first among equals.
        let best = left.iter().min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        best.map(|b| b.2.label.clone()).ok_or("no setting is within the bound")
    };
    let chosen = groups.iter().map(|group| {
        let among = group.iter().map(|&n| found[n].label.clone()).collect();
        match of_group(group) {
            Ok(label) => Chosen { among, chosen: Some(label), reason: None },
            Err(reason) => Chosen { among, chosen: None, reason: Some(reason.into()) },
        }
    });
    Choice { rule: rule.clone(), groups: chosen.collect() }
}

#[cfg(test)]
mod tests {
    use super::super::summary::MeanFigure;
    use super::*;
    use crate::experiment::{Experiment, Overrides, Within};
    use std::path::Path;

    fn parse(text: &str) -> Vec<Setting> {
        let text = format!("[data]\npath = 'x'\n{text}");
        Experiment::parse("e", &text, Path::new(""), &Overrides::default()).unwrap().offline.unwrap().settings
    }

    /// Settings `als lambda=1` to `als lambda=5`, and `random`.
    fn settings() -> Vec<Setting> {
        parse("[[run]]\nrecommender = 'als'\nparams.lambda = [1, 2, 3, 4, 5]\n[[run]]\nrecommender = 'random'\n")
    }

    /// Finished cells, error on validation rows, dee.
    type Found = (usize, Option<f64>, Option<f64>);

    fn summary((setting, (cells, error, dee)): (&Setting, Found)) -> SettingSummary {
        let figure = |metric: &str, mean| {
            let (metric, k, group, sd) = (metric.to_string(), None, None, None);
            MeanFigure { metric, k, group, mean, sd, cells, n: 1 }
        };
        let figures = [(VALIDATION_RMSE, error), ("dee", dee)];
        SettingSummary {
            recommender: setting.plugin.into(),
            label: setting.label.clone(),
            params: setting.params.clone(),
            origins: Vec::new(),
            cells,
            fit_seconds: None,
            pareto: false,
            figures: figures.into_iter().filter_map(|(metric, value)| Some(figure(metric, value?))).collect(),
            attacks: Vec::new(),
        }
    }

    fn found(settings: &[Setting], of: [Found; 6]) -> Vec<SettingSummary> {
        settings.iter().zip(of).map(summary).collect()
    }

    fn rule(within: Option<f64>, reference: Option<&str>) -> Choose {
        let within = within.map(|rmse| Within { rmse });
        Choose { over: vec!["lambda".into()], by: By::Dee, within, reference: reference.map(Into::into) }
    }

    /// What is chosen of the settings of ALS.
    fn chosen(rule: &Choose, of: [(usize, Option<f64>, Option<f64>); 5]) -> Result<String, String> {
        let [a, b, c, d, e] = of;
        let settings = settings();
        let choice = choose(rule, &settings, &found(&settings, [a, b, c, d, e, (2, None, None)]));
        let [als, random] = &choice.groups[..] else { panic!("two groups") };
        assert_eq!((als.among.len(), random.chosen.as_deref()), (5, Some("random")));
        als.chosen.clone().ok_or_else(|| als.reason.clone().unwrap())
    }

    fn lambda(n: usize) -> Result<String, String> {
        Ok(format!("als lambda={n}"))
    }

    #[test]
    fn the_fairest_within_the_bound() {
        let of = [(1.00, 0.9), (1.01, 0.5), (1.03, 0.1), (1.02, 0.4), (2.0, 0.0)];
        let of = of.map(|(error, dee)| (2, Some(error), Some(dee)));
        assert_eq!(chosen(&rule(Some(1.02), None), of), lambda(4));
        assert_eq!(chosen(&rule(Some(1.0), None), of), lambda(1));
        assert_eq!(chosen(&rule(None, None), of), lambda(5));
        assert_eq!(chosen(&rule(Some(1.0), Some("als lambda=3")), of), lambda(3));
        let by_error = Choose { by: By::Rmse, ..rule(None, None) };
        assert_eq!(chosen(&by_error, of), lambda(1));
    }

    #[test]
    fn among_equals_the_more_accurate_then_the_first() {
        let of = [(1.02, 0.5), (1.01, 0.5), (1.00, 0.6), (1.01, 0.5), (1.01, 0.7)];
        let of = of.map(|(error, dee)| (2, Some(error), Some(dee)));
        assert_eq!(chosen(&rule(Some(1.02), None), of), lambda(2));
    }

    #[test]
    fn what_failed_or_lacks_a_figure_is_never_chosen() {
        let (some, none) = (Some(1.0), None);
        let of = [(1, some, Some(0.1)), (2, none, Some(0.2)), (2, some, none), (2, some, Some(0.4)), (0, none, none)];
        assert_eq!(chosen(&rule(Some(1.1), None), of), lambda(4));
        // Without a bound the error is not asked for.
        assert_eq!(chosen(&rule(None, None), of), lambda(2));
        let gone = Err("the reference has no whole result".to_string());
        assert_eq!(chosen(&rule(Some(1.1), Some("als lambda=1")), of), gone);
        let nothing = [(1, some, Some(0.1)), (2, none, none), (0, none, none), (0, none, none), (0, none, none)];
        assert_eq!(chosen(&rule(Some(1.1), None), nothing), Err("no setting has all figures in all cells".into()));
        let far = [(some, 0.1), (Some(9.0), 0.2), (Some(9.0), 0.2), (Some(9.0), 0.2), (Some(9.0), 0.2)];
        let far = far.map(|(error, dee)| (2, error, Some(dee)));
        assert_eq!(chosen(&rule(Some(1.0), Some("als lambda=1")), far), lambda(1));
        let reference = rule(Some(1.0), Some("random"));
        assert_eq!(chosen(&reference, far), gone);
    }

    #[test]
    fn nothing_finished_is_nothing_chosen() {
        let settings = settings();
        let choice = choose(&rule(None, None), &settings, &found(&settings, [(0, None, None); 6]));
        assert!(choice.groups.iter().all(|g| g.chosen.is_none() && g.reason.is_some()));
    }

    /// A control that attacks add has more cells here, and the best figures.
    #[test]
    fn attacks_make_no_difference() {
        for over in ["adversary", "eps"] {
            let rule = Choose { over: vec![over.into()], ..rule(None, None) };
            let choice = |attack: &str, count| {
                let settings = parse(&format!("{attack}[[run]]\nrecommender = 'apr'\nparams.eps = [0.25, 0.5]\n"));
                assert_eq!(settings.len(), count);
                let of = |s: &Setting| if s.added { (3, Some(0.5), Some(0.1)) } else { (2, Some(1.0), Some(0.5)) };
                let found: Vec<_> = settings.iter().map(|s| summary((s, of(s)))).collect();
                choose(&rule, &settings, &found)
            };
            assert_eq!(choice("[attack]\n", 3), choice("", 2));
        }
    }
}
