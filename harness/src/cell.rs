//! Cells: one recommender setting on one division of the data, one agent in its world, one policy against harm, or one
//! group regressor on its table, with one seed. The unit that is run, stored and resumed.

use crate::compare::Place;
use crate::experiment::{
    Eval, GroupLearning, Groupwise, GroupwiseOptions, HarmOptions, Indicators, Interactive, Mitigation, Offline,
    Options, Orders,
};
use crate::protocol::{Attacked, Curve, Figure, Seconds, groupwise, harm, interactive, offline};
use evenhand_core::dense::Dense;
use evenhand_core::{Dataset, GroupData, Groups, Interactions};
use evenhand_kernels::Cpu;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::OnceLock;

/// Raised when the same cell would be measured to another result: then stored cells count no more. What concerns one
/// protocol alone has a revision there.
pub const RESULT_VERSION: u32 = 3;

/// What was found in one cell, as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The cell's key: see [`key`].
    pub key: String,
    /// All that decides the result, as hashed into the key.
    pub cell: Json,
    /// The numbers.
    pub figures: Vec<Figure>,
    /// The numbers of every period, of agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    /// The numbers of full rankings, clean and under every attack, of recommenders that were attacked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<Attacked>,
    /// Wall-clock times of every period in seconds, of agents; no part of the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Curve>,
    /// Rows of the metrics of every user, where those are kept beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rows: Option<usize>,
    /// Wall-clock times of the run that found them.
    pub seconds: Seconds,
    /// The program that found them: see [`build`]. No part of the identity, or every new build would start anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// What computed dense products, by its name: times of two devices do not compare. No part of the identity: numbers
    /// do, but for the last digits of what is trained on a fairness loss. Cells that do not say are older than all
    /// devices but the CPU.
    #[serde(default = "cpu")]
    pub device: String,
}

fn cpu() -> String {
    Cpu.name().into()
}

/// The BLAKE3 hash of the running program, 16 of its hexadecimal digits; `None` where it can not be read.
///
/// A plugin that was changed without a new version number has the same identity, but never the same program.
pub fn build() -> Option<&'static str> {
    static BUILD: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        // By its path, the program may be a newer one by now.
        let running = Path::new("/proc/self/exe");
        let path = if running.exists() { running.into() } else { std::env::current_exe().ok()? };
        let mut hash = blake3::Hasher::new();
        std::io::copy(&mut std::fs::File::open(path).ok()?, &mut hash).ok()?;
        Some(hash.finalize().to_hex()[..16].to_string())
    };
    BUILD.get_or_init(read).as_deref()
}

/// All that decides the result of a recommender: the setting and fold of `place` on the data of that digest. Threads,
/// device and labels do not, nor whether the metrics of every user are kept.
pub fn of_recommender(part: &Offline, data: &str, place: Place) -> Json {
    let setting = &part.settings[place.setting];
    let Eval { k, relevant, users: _ } = &part.eval;
    let mut identity = json!({
        "version": RESULT_VERSION,
        "protocol": offline::NAME,
        "revision": offline::REVISION,
        "recommender": setting.plugin,
        "params": setting.params,
        "origins": setting.origins,
        "data": data,
        "split": part.split,
        "validation": part.validation,
        "eval": { "k": k, "relevant": relevant },
        "seed": place.seed,
        "fold": place.fold,
    });
    // Only where there are attacks: cells that were kept before there could be any stay valid.
    if let Some(attack) = &part.attack {
        identity["attack"] = json!(attack);
    }
    identity
}

/// All that decides the result of an agent. Whether its actions are logged does not.
pub fn of_agent(part: &Interactive, place: Place) -> Json {
    let Options { periods, slate, pairs, log: _ } = part.options;
    json!({
        "version": RESULT_VERSION,
        "protocol": interactive::NAME,
        "simulator": part.world,
        "origins": part.origins,
        "options": { "periods": periods, "slate": slate, "pairs": pairs },
        "agent": part.agents[place.setting].identity(),
        "seed": place.seed,
    })
}

/// All that decides the result of a policy against harm, on data of that digest whose harm labels have the other one.
/// Which prices other cases have does not, nor whether the numbers of every user are kept.
pub fn of_harm(part: &Mitigation, data: &str, labels: &str, place: Place) -> Json {
    let HarmOptions { k, rule, c, lambda: _, alpha_harmful, alpha_harmless, beta, users, steps, draws, keep_users: _ } =
        &part.options;
    json!({
        "version": RESULT_VERSION,
        "protocol": harm::NAME,
        "revision": harm::REVISION,
        "data": data,
        "harmful": labels,
        "options": {
            "k": k, "rule": rule, "c": c, "alpha_harmful": alpha_harmful, "alpha_harmless": alpha_harmless, "beta": beta,
            "users": users, "steps": steps, "draws": draws,
        },
        "case": part.cases[place.setting].identity(),
        "seed": place.seed,
    })
}

/// All that decides the result of a group regressor on a table of that digest, where rows come in an order from a file
/// in one of that hash. What is asked for of regressors that learn the other way does not.
pub fn of_group_regressor(part: &Groupwise, data: &str, order: Option<&str>, place: Place) -> Json {
    let run = &part.runs[place.setting];
    let GroupwiseOptions { test, indicators: Indicators { batch, online }, comparator } = part.options;
    let options = match run.learning {
        GroupLearning::Batch => json!({ "test": test, "indicators": batch }),
        GroupLearning::Online => {
            let order = match (order, &part.orders) {
                (Some(hash), _) => hash,
                (None, Orders::AsIs) => "as-is",
                (None, _) => "shuffled",
            };
            json!({ "indicators": online, "comparator": comparator, "order": order })
        }
    };
    json!({
        "version": RESULT_VERSION,
        "protocol": groupwise::NAME,
        "revision": groupwise::REVISION,
        "data": data,
        "options": options,
        "run": run.identity(),
        "seed": place.seed,
    })
}

/// The key of a cell: the BLAKE3 hash of its identity as JSON with sorted keys, 32 of its 64 hexadecimal digits.
pub fn key(identity: &Json) -> String {
    let mut text = String::new();
    canonical(identity, &mut text);
    blake3::hash(text.as_bytes()).to_hex()[..32].to_string()
}

/// JSON with sorted keys, whatever the build of `serde_json` makes of their order.
fn canonical(json: &Json, out: &mut String) {
    match json {
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&Json::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Json::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                canonical(value, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The BLAKE3 hash of everything in a data set that can influence a result: rows, times, scale and groups of users and
/// items. Not its name, nor the names of users and items.
pub fn digest(data: &Dataset) -> String {
    let mut hash = blake3::Hasher::new();
    let mut number = |n: usize| {
        hash.update(&(n as u64).to_le_bytes());
    };
    number(data.ratings.users());
    number(data.ratings.items());
    number(usize::from(data.test.is_some()));
    number(data.user_groups.len());
    number(data.item_groups.len());
    number(data.protected_users);
    number(data.protected_items);
    for part in std::iter::once(&data.ratings).chain(&data.test) {
        rows(&mut hash, part);
    }
    for value in [data.scale.low, data.scale.high, data.scale.like_above] {
        hash.update(&value.to_le_bytes());
    }
    data.user_groups.iter().chain(&data.item_groups).for_each(|g| groups(&mut hash, g));
    hash.finalize().to_hex().to_string()
}

/// The BLAKE3 hash of everything in a table of features and memberships that can influence a result: features,
/// memberships, labels, and the names of features and groups. Not its name, nor that of the label.
pub fn digest_of_table(data: &GroupData) -> String {
    let table = &data.table;
    let mut hash = blake3::Hasher::new();
    for count in [table.rows(), table.features(), table.groups().len()] {
        hash.update(&(count as u64).to_le_bytes());
    }
    for name in table.groups().iter().chain(table.feature_names()) {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
    }
    for (row, label) in data.labels.iter().enumerate() {
        let (features, active) = table.row(row);
        features.iter().for_each(|value| {
            hash.update(&value.to_le_bytes());
        });
        active.iter().for_each(|&there| {
            hash.update(&[u8::from(there)]);
        });
        hash.update(&label.to_le_bytes());
    }
    hash.finalize().to_hex().to_string()
}

fn rows(hash: &mut blake3::Hasher, part: &Interactions) {
    let by_user = part.by_user();
    let mut all = |bytes: Vec<u8>| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    };
    all(by_user.offsets().iter().flat_map(|&o| (o as u64).to_le_bytes()).collect());
    all(by_user.all_partners().iter().flat_map(|p| p.to_le_bytes()).collect());
    all(by_user.all_values().iter().flat_map(|v| v.to_le_bytes()).collect());
    all(part.times().into_iter().flatten().flat_map(|t| t.to_le_bytes()).collect());
}

fn groups(hash: &mut blake3::Hasher, groups: &Groups) {
    let mut text = |t: &str| {
        hash.update(&(t.len() as u64).to_le_bytes());
        hash.update(t.as_bytes());
    };
    text(groups.name());
    groups.labels().iter().for_each(|label| text(label));
    for g in 0..groups.len() {
        hash.update(&(groups.members(g).len() as u64).to_le_bytes());
        groups.members(g).iter().for_each(|m| {
            hash.update(&m.to_le_bytes());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{GroupTable, Rows, Scale};
    use nalgebra::DMatrix;

    #[test]
    fn keys_do_not_depend_on_the_order_of_fields() {
        let a: Json = serde_json::from_str(r#"{"b":[1,{"y":1,"x":0.1}],"a":"é\""}"#).unwrap();
        let b: Json = serde_json::from_str(r#"{"a":"é\"","b":[1,{"x":0.1,"y":1}]}"#).unwrap();
        assert_eq!(key(&a), key(&b));
        assert_ne!(key(&a), key(&json!({ "a": "é\"", "b": [1, { "x": 0.1, "y": 2 }] })));
        let mut text = String::new();
        canonical(&b, &mut text);
        assert_eq!(text, r#"{"a":"é\"","b":[1,{"x":0.1,"y":1}]}"#);
    }

    /// Stored cells are found again by later versions as long as this value stays.
    #[test]
    fn keys_are_stable() {
        assert_eq!(key(&json!({ "seed": 1, "params": { "reg": 0.1 } })), "ea68f28aad92addf86731c99ab484fa9");
    }

    #[test]
    fn the_digest_sees_everything_that_counts() {
        let data = |value: f32, users: usize| {
            let mut rows = Rows::default();
            rows.push(0, 1, value);
            Dataset::new("x", Interactions::new(users, 2, &rows).unwrap(), Scale::FIVE_STARS)
        };
        let base = data(3.0, 2);
        let mut others = vec![data(4.0, 2), data(3.0, 3)];
        others.push(Dataset { scale: Scale::SIGNED, ..base.clone() });
        others.push(Dataset { test: Some(base.ratings.clone()), ..base.clone() });
        let groups = |members| Groups::new("g", 2, vec![("a".into(), members), ("b".into(), vec![])]).unwrap();
        others.push(Dataset { user_groups: vec![groups(vec![0])], ..base.clone() });
        others.push(Dataset { user_groups: vec![groups(vec![1])], ..base.clone() });
        others.push(Dataset { item_groups: vec![groups(vec![1])], ..base.clone() });
        let mut digests: Vec<String> = others.iter().chain([&base]).map(digest).collect();
        assert_eq!(digest(&Dataset { name: "y".into(), ..base.clone() }), digest(&base));
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 8);
    }

    #[test]
    fn the_digest_of_a_table_sees_everything_that_counts() {
        let data = |feature: f64, there: bool, label: f64, [name, group, feature_name]: [&str; 3]| {
            let (features, membership) = (DMatrix::from_element(1, 1, feature), DMatrix::from_element(1, 1, there));
            let table = GroupTable::new(features, membership, vec![feature_name.into()], vec![group.into()]).unwrap();
            GroupData::new(name, table, "y", vec![label]).unwrap()
        };
        let base = digest_of_table(&data(1.0, true, 2.0, ["d", "g", "x"]));
        assert_eq!(digest_of_table(&data(1.0, true, 2.0, ["e", "g", "x"])), base);
        let others = [
            data(1.5, true, 2.0, ["d", "g", "x"]),
            data(1.0, false, 2.0, ["d", "g", "x"]),
            data(1.0, true, 2.5, ["d", "g", "x"]),
            data(1.0, true, 2.0, ["d", "h", "x"]),
            data(1.0, true, 2.0, ["d", "g", "z"]),
        ];
        let mut digests: Vec<String> = others.iter().map(digest_of_table).chain([base]).collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 6);
    }
}
