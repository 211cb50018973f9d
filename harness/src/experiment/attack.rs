//! The attacks on fitted factors that an experiment asks for, and the controls that go with them.

use super::Setting;
use super::document;
use super::reader::Reader;
use super::several::{distinct, elements, listed};
use crate::failure::Failure;
use evenhand_plugins::pairwise::{Attack, Direction};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use toml::Spanned;

/// How the factors of fitted models are perturbed: every direction with every length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attacks {
    /// Where rows of factors are moved; without repetition.
    pub direction: Vec<Direction>,
    /// How far, at least 0; without repetition.
    pub eps: Vec<f64>,
    /// Whether lengths count in lengths of the row itself.
    pub relative: bool,
    /// Draws of negatives and of random directions, at least 1.
    pub draws: usize,
}

impl Default for Attacks {
    fn default() -> Self {
        Self { direction: vec![Direction::Gradient, Direction::Random], eps: vec![0.5], relative: false, draws: 5 }
    }
}

impl Attacks {
    /// Every attack, the first direction with every length first.
    pub fn each(&self) -> impl Iterator<Item = Attack> {
        let relative = self.relative;
        let of_direction =
            move |&direction: &Direction| self.eps.iter().map(move |&eps| Attack { direction, eps, relative });
        self.direction.iter().flat_map(of_direction)
    }
}

/// What a direction is called in experiments and reports.
pub(crate) fn direction_name(direction: Direction) -> String {
    serde_json::to_value(direction).ok().and_then(|name| name.as_str().map(str::to_string)).expect("a name")
}

/// Reads `[attack]`.
pub(super) fn read<'t>(reader: &Reader<'_, 't>, value: document::Value<'t>) -> Result<Attacks, Failure> {
    let span = value.span();
    let mut table = reader.table(value, "attack")?;
    ["direction", "eps"].into_iter().for_each(|key| listed(&mut table, key));
    let place = |key: &str| table.get(key).map_or(span.clone(), Spanned::span);
    let (each_eps, places) = (elements(&table, "eps"), ["direction", "eps", "draws"].map(place));
    let mut attacks: Attacks = reader.document.read(table, span, "attack", &[])?;
    let error = |place: &Range<usize>, text: String| Err(reader.document.error(place.clone(), text));
    if attacks.direction.is_empty() {
        return error(&places[0], "`attack.direction`: expected at least one direction".into());
    }
    if attacks.eps.is_empty() {
        return error(&places[1], "`attack.eps`: expected at least one length".into());
    }
    if attacks.draws == 0 {
        return error(&places[2], "`attack.draws` = 0, expected at least 1".into());
    }
    for (at, eps) in attacks.eps.iter_mut().enumerate() {
        // Written so that NaN is refused. Factors are single numbers.
        if !(*eps >= 0.0 && *eps <= f64::from(f32::MAX)) {
            let shown = if *eps > f64::from(f32::MAX) { format!("{eps:e}") } else { eps.to_string() };
            let text = format!("`attack.eps` = {shown}, expected a finite number from 0, at most {:.1e}", f32::MAX);
            return error(each_eps.get(at).unwrap_or(&places[1]), text);
        }
        // -0 is 0.
        *eps += 0.0;
    }
    attacks.direction = distinct(attacks.direction);
    attacks.eps = distinct(attacks.eps);
    Ok(attacks)
}

/// The settings, each of them followed by its control where it has one that is not among them. One control for all settings
/// of a recommender is called after the recommender. `place` is where attacks are asked for.
pub(super) fn with_controls(
    reader: &Reader<'_, '_>,
    given: Vec<Setting>,
    place: &Range<usize>,
) -> Result<Vec<Setting>, Failure> {
    let control = |setting: &Setting| {
        let recipe = setting.recipe.control()?;
        Some(Setting { added: true, ..reader.setting(recipe, format!("{}, control", setting.label)) })
    };
    let mut wanted: Vec<Option<Setting>> = given.iter().map(control).collect();
    for recommender in distinct(given.iter().map(|setting| setting.plugin).collect()) {
        let of_it = given.iter().zip(&mut wanted).filter(|(setting, _)| setting.plugin == recommender);
        let of_it: Vec<&mut Setting> = of_it.filter_map(|(_, control)| control.as_mut()).collect();
        if of_it.windows(2).all(|pair| pair[0].same(pair[1])) {
            of_it.into_iter().for_each(|control| control.label = format!("{recommender}, control"));
        }
    }
    let mut controls: Vec<Option<Setting>> = Vec::new();
    let mut names: Vec<Option<String>> = Vec::new();
    for (setting, control) in given.iter().zip(wanted) {
        let Some(control) = control else {
            controls.push(None);
            names.push(None);
            continue;
        };
        let known = given.iter().chain(controls.iter().flatten());
        if let Some(same) = known.clone().find(|other| other.same(&control)) {
            names.push(Some(same.label.clone()));
            controls.push(None);
            continue;
        }
        if known.clone().any(|other| other.label == control.label) {
            let text = format!("`{}` is no label to choose: the control of `{}` has it", control.label, setting.label);
            return Err(reader.document.error(place.clone(), text));
        }
        names.push(Some(control.label.clone()));
        controls.push(Some(control));
    }
    let paired = given.into_iter().zip(names).zip(controls);
    Ok(paired
        .flat_map(|((setting, name), control)| std::iter::once(Setting { control: name, ..setting }).chain(control))
        .collect())
}

#[cfg(test)]
mod tests;
