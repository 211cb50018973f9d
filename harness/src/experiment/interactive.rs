//! The interactive part of an experiment: which agents meet which world.

use super::Setting;
use super::document;
use super::plugin::Named;
use super::reader::Reader;
use super::setting::List;
use crate::catalog;
use crate::failure::Failure;
use evenhand_core::params::parameters;
use evenhand_core::{Policy, Simulator};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::ops::Range;
use std::sync::Arc;

/// Agents to be compared in a world that answers.
pub struct Interactive {
    /// The world, drawn anew for each seed of the experiment; the same one for all agents.
    pub simulator: Box<dyn Simulator>,
    /// Effective parameters of the simulator, with `plugin`, its name.
    pub world: Json,
    /// Package and version of the simulator and of every plugin nested in it.
    pub origins: Vec<String>,
    /// How long and how.
    pub options: Options,
    /// Where the length of the slates was given, for messages.
    pub slate_place: String,
    /// Who is compared, in order.
    pub agents: Vec<Agent>,
}

/// How agents are compared: the keys of `[interactive]` beside `simulator` and `agent`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Number of periods, at least 1.
    pub periods: usize,
    /// Items shown to a user who asks, at least 1.
    pub slate: usize,
    /// Number of random pairs, at most 10,000,000, of those users and items that are there from the start; on them the
    /// predictions of agents are measured, whatever the agents choose.
    pub pairs: usize,
    /// Whether every action is logged with its propensity, for evaluating other policies on the log.
    pub log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { periods: 30, slate: 1, pairs: 1000, log: false }
    }
}

/// One agent: a recommender, a policy over it, and how it learns. A row of the table.
pub struct Agent {
    /// The recommender; its label is the agent's.
    pub setting: Setting,
    /// The policy.
    pub policy: Arc<dyn Policy>,
    /// Effective parameters of the policy, with `plugin`, its name.
    pub policy_params: Json,
    /// How it learns.
    pub learning: Learning,
    /// How it answers users of whom it has no observation.
    pub cold: Cold,
}

/// How an agent learns from what it observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learning {
    /// The model takes in the observations of each period. The default for recommenders that can.
    Online,
    /// A new model is fitted to all observations after each period, with the same random numbers each time. The default for
    /// all other recommenders.
    Refit,
    /// The same, starting from the model before.
    WarmStart,
}

/// How an agent answers users of whom it has no observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cold {
    /// With items drawn uniformly, and no prediction. The default where models are fitted again and again.
    Random,
    /// As the model and the policy see fit. The default where the model learns online, from its prior on.
    Model,
}

/// So many pairs are predicted in each period; more would tell no more.
const MOST_PAIRS: usize = 10_000_000;

/// Reads `[interactive]`.
pub(super) fn read<'t>(reader: &mut Reader<'_, 't>, value: document::Value<'t>) -> Result<Interactive, Failure> {
    let span = value.span();
    let mut table = reader.table(value, "interactive")?;
    let missing = |what: &str| reader.document.error(span.clone(), format!("`[interactive]` without {what}"));
    let simulator = table.remove("simulator").ok_or_else(|| missing("`simulator`"))?;
    let given = table.remove("agent").ok_or_else(|| missing("`[[interactive.agent]]`: nothing to compare"))?;
    let place = |key: &str, table: &document::Table<'_>| table.get(key).map(|v| v.span());
    let places = ["periods", "slate", "pairs"].map(|key| (key, place(key, &table)));
    let options: Options = reader.document.read(table, span.clone(), "interactive", &["simulator", "agent"])?;
    let values = [(options.periods, 1..usize::MAX), (options.slate, 1..usize::MAX), (options.pairs, 0..MOST_PAIRS + 1)];
    let slate_place = reader.document.place(places[1].1.as_ref().unwrap_or(&span));
    for ((key, place), (value, range)) in places.into_iter().zip(values) {
        if !range.contains(&value) {
            let expected = if value == 0 { "at least 1".into() } else { format!("at most {}", range.end - 1) };
            let text = format!("`interactive.{key}` = {value}, expected {expected}");
            return Err(reader.document.error(place.unwrap_or_else(|| span.clone()), text));
        }
    }
    let recipe = reader.simulator(&simulator)?;
    let mut world = parameters(recipe.as_ref());
    let origins = catalog::origins(reader.catalog, "simulator", recipe.name(), &world);
    world["plugin"] = recipe.name().into();
    let agents = reader.listed(given, "interactive.agent", agents, |a| &a.setting.label, same)?;
    Ok(Interactive { simulator: recipe, world, origins, options, slate_place, agents })
}

/// Whether two agents are the same but for their labels.
fn same(a: &Agent, b: &Agent) -> bool {
    a.identity() == b.identity()
}

impl Agent {
    /// All that decides what the agent does, its randomness apart.
    pub fn identity(&self) -> Json {
        json!({
            "recommender": self.setting.plugin,
            "params": self.setting.params,
            "policy": self.policy_params,
            "origins": self.setting.origins,
            "learning": self.learning,
            "cold": self.cold,
        })
    }
}

/// The agents of one `[[interactive.agent]]`: one for each setting of the recommender and each of the policy.
fn agents<'t>(
    reader: &Reader<'_, 't>,
    mut table: document::Table<'t>,
    label: Option<&str>,
    span: Range<usize>,
) -> Result<Vec<Agent>, Failure> {
    const OWN: [&str; 3] = ["policy", "learning", "cold"];
    let [policy, learning, cold] = OWN.map(|key| table.remove(key));
    let policy = policy.ok_or_else(|| {
        let text = "`[[interactive.agent]]` without `policy`, e.g. policy = \"greedy\"";
        reader.document.error(span.clone(), text)
    })?;
    let policies = reader.policies(&policy)?;
    let place = learning.as_ref().map(|value| value.span());
    let learning: Option<Learning> = learning.map(|v| reader.choice(&v, "learning")).transpose()?;
    let cold: Option<Cold> = cold.map(|v| reader.choice(&v, "cold")).transpose()?;
    let agent = |mut setting: Setting, policy: &Named| {
        let able = setting.recipe.online();
        if learning == Some(Learning::Online) && !able {
            let text = format!("`{}` does not learn online, expected refit or warm-start", setting.plugin);
            return Err(reader.document.error(place.clone().unwrap_or_default(), text));
        }
        let (policy, shown) = policy;
        if label.is_none() || policies.len() > 1 {
            setting.label = format!("{} {shown}", setting.label);
        }
        let learning = learning.unwrap_or(if able { Learning::Online } else { Learning::Refit });
        let usual = if learning == Learning::Online { Cold::Model } else { Cold::Random };
        let mut policy_params = parameters(policy.as_ref());
        setting.origins.extend(catalog::origins(reader.catalog, "policy", policy.name(), &policy_params));
        policy_params["plugin"] = policy.name().into();
        let (policy, cold) = (policy.clone(), cold.unwrap_or(usual));
        Ok(Agent { setting, policy, policy_params, learning, cold })
    };
    // A recipe can not be cloned, so the settings are read once for each policy.
    let list = List::of_recommenders("interactive.agent", &OWN);
    let read = |_: &_| Ok(reader.run(table.clone(), label, span.clone(), &list)?.into_iter());
    let mut settings = policies.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    let mut agents = Vec::new();
    while let Some(first) = settings[0].next() {
        let others: Vec<Setting> = settings[1..].iter_mut().filter_map(Iterator::next).collect();
        for (setting, policy) in std::iter::once(first).chain(others).zip(&policies) {
            agents.push(agent(setting, policy)?);
        }
    }
    Ok(agents)
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, Overrides};
    use super::*;
    use std::path::Path;

    const HEAD: &str = "[interactive]\nsimulator = { plugin = 'user-item', users = 50 }\nperiods = 7\n";

    fn parse(text: &str, set: &[&str]) -> Result<Experiment, Failure> {
        let overrides = Overrides { set: set.iter().map(|s| s.to_string()).collect(), ..Overrides::default() };
        Experiment::parse("e.toml", text, Path::new(""), &overrides)
    }

    fn agents(lines: &str, set: &[&str]) -> Vec<Agent> {
        let text = format!("{HEAD}[[interactive.agent]]\n{lines}");
        parse(&text, set).unwrap().interactive.unwrap().agents
    }

    fn labels(agents: &[Agent]) -> Vec<&str> {
        agents.iter().map(|a| a.setting.label.as_str()).collect()
    }

    #[test]
    fn agents_are_settings_times_policies() {
        let lines = "recommender = 'als'\nparams = { factors = [2, 4] }\n\
                     policy = ['greedy', { plugin = 'epsilon-greedy', epsilon = [0.1, 0.2] }]\n";
        let plain = agents(lines, &[]);
        assert_eq!(
            labels(&plain),
            [
                "als factors=2 greedy",
                "als factors=2 epsilon-greedy(epsilon=0.1)",
                "als factors=2 epsilon-greedy(epsilon=0.2)",
                "als factors=4 greedy",
                "als factors=4 epsilon-greedy(epsilon=0.1)",
                "als factors=4 epsilon-greedy(epsilon=0.2)",
            ]
        );
        assert_eq!(plain[5].setting.params["factors"], 4);
        assert_eq!(plain[5].policy_params, json!({ "plugin": "epsilon-greedy", "epsilon": 0.2 }));
        assert!(plain[0].setting.origins.iter().any(|o| o.starts_with("policy/greedy ")));
        assert_eq!((plain[0].learning, plain[0].cold), (Learning::Refit, Cold::Random));
        let named = agents(&format!("label = 'mine'\n{lines}"), &["interactive.agent.mine.policy=greedy"]);
        assert_eq!(labels(&named), ["mine factors=2", "mine factors=4"]);
        let online = agents("recommender = 'bayesian-linear'\npolicy = 'thompson'\n", &[]);
        assert_eq!((online[0].learning, online[0].cold), (Learning::Online, Cold::Model));
        let told = "recommender = 'bayesian-linear'\npolicy = 'greedy'\nlearning = 'warm-start'\ncold = 'model'\n";
        assert_eq!((agents(told, &[])[0].learning, agents(told, &[])[0].cold), (Learning::WarmStart, Cold::Model));
    }

    #[test]
    fn an_experiment_may_have_agents_alone_and_comes_back() {
        let agent = "[[interactive.agent]]\nrecommender = 'random'\npolicy = 'greedy'\n";
        let first = parse(&format!("seeds = '0..3'\n{HEAD}{agent}"), &["interactive.periods=9"]).unwrap();
        let again = parse(&first.effective, &[]).unwrap();
        assert!(first.offline.is_none() && again.seeds == [0, 1, 2]);
        let (first, again) = (first.interactive.unwrap(), again.interactive.unwrap());
        assert_eq!((first.options.periods, first.options.slate), (9, 1));
        assert_eq!((&first.world, &first.options), (&again.world, &again.options));
        assert_eq!((&first.world["plugin"], &first.world["users"]), (&"user-item".into(), &50.into()));
    }

    #[test]
    fn mistakes_are_placed() {
        let agent = "[[interactive.agent]]\nrecommender = 'als'\n";
        let greedy = "policy = 'greedy'\n";
        for (text, expected) in [
            (
                "name = 'x'".to_string(),
                "e.toml:1:1: no `[[run]]`, no `[interactive]`, no `[harm]` and no `[groupwise]`: nothing to compare",
            ),
            ("[interactive]\nperiods = 3\n".into(), "e.toml:1:1: `[interactive]` without `simulator`"),
            (HEAD.into(), "e.toml:1:1: `[interactive]` without `[[interactive.agent]]`: nothing to compare"),
            (
                format!("{HEAD}perids = 3\n{agent}{greedy}"),
                "e.toml:4:1: unknown key `perids` (did you mean `periods`?)",
            ),
            (format!("{HEAD}slate = 0\n{agent}{greedy}"), "e.toml:4:9: `interactive.slate` = 0, expected at least 1"),
            (format!("{HEAD}{agent}"), "e.toml:4:1: `[[interactive.agent]]` without `policy`"),
            (format!("{HEAD}{agent}{greedy}epsilon = 1\n"), "e.toml:7:1: unknown key `epsilon`"),
            (
                format!("{HEAD}{agent}policy = 'greedi'\n"),
                "e.toml:6:10: no policy plugin `greedi` (did you mean `greedy`?)",
            ),
            (
                format!("{HEAD}{agent}policy = {{ plugin = 'epsilon-greedy', epsilon = 1.5 }}\n"),
                "e.toml:6:49: `epsilon-greedy`: parameter `epsilon` = 1.5, expected 0.0..=1.0",
            ),
            (
                format!("{HEAD}{agent}{greedy}learning = 'online'\n"),
                "e.toml:7:12: `als` does not learn online, expected refit or warm-start",
            ),
            (
                format!("{HEAD}{agent}{greedy}learning = 'refti'\n"),
                "e.toml:7:12: `learning` = `refti`, expected online, refit, warm-start (did you mean `refit`?)",
            ),
            (format!("{HEAD}{agent}{greedy}{agent}{greedy}label = 'als greedy'\n"), ""),
            (
                "[interactive]\nsimulator = { plugin = 'user-item', users = 0 }\n[[interactive.agent]]\n".into(),
                "e.toml:2:45: `user-item`: parameter `users` = 0, expected 1..",
            ),
        ] {
            match parse(&text, &[]) {
                Err(error) => {
                    let got = error.to_string();
                    assert!(!expected.is_empty() && got.starts_with(expected), "expected {expected}\n     got {got}");
                }
                // A twin is left out with a warning.
                Ok(experiment) => {
                    assert_eq!(expected, "", "{text}");
                    assert!(experiment.warnings[0].contains("has the same parameters as"), "{:?}", experiment.warnings);
                }
            }
        }
    }
}
