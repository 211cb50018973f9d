//! Snapshots of fitted models: `{ kind, format, provenance, state }` as JSON.
//!
//! Numbers return bit for bit: they are written with the fewest digits that identify them, and read back
//! exactly. A model with a non-finite number is refused, since JSON can not hold one: what is written has been read back.

use crate::{Error, Model, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io::{Read, Write};

/// How a model came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name of the recommender.
    pub plugin: String,
    /// Package and version that fitted it.
    pub package: String,
    /// Its effective parameters.
    pub params: serde_json::Value,
    /// Seed of the run.
    pub seed: u64,
    /// Name of the data set.
    pub data: String,
}

/// A model type that can be restored. Register it with [`restorable!`](crate::restorable).
pub trait Restore: Model + serde::de::DeserializeOwned + 'static {
    /// The tag that [`Model::kind`] returns.
    const KIND: &'static str;
    /// Version of the state's layout; raised when old snapshots can no longer be read.
    const FORMAT: u32;
}

/// An entry of the table of model types.
pub struct Restorer {
    kind: &'static str,
    format: u32,
    module: &'static str,
    restore: fn(&str) -> Result<Box<dyn Model>>,
}

impl Restorer {
    /// The entry of model type `M`, registered in `module`.
    pub const fn of<M: Restore>(module: &'static str) -> Self {
        Self {
            kind: M::KIND,
            format: M::FORMAT,
            module,
            restore: |text| {
                let model: M = serde_json::from_str(text).map_err(|e| Error::Snapshot(e.to_string()))?;
                model.validate()?;
                Ok(Box::new(model))
            },
        }
    }
}

inventory::collect!(Restorer);

/// Registers a model type for restoring: `restorable!(Factors = "factors", format 1);`
#[macro_export]
macro_rules! restorable {
    ($ty:ty = $kind:literal, format $format:literal) => {
        impl $crate::snapshot::Restore for $ty {
            const KIND: &'static str = $kind;
            const FORMAT: u32 = $format;
        }
        $crate::private::inventory::submit! { $crate::snapshot::Restorer::of::<$ty>(::core::module_path!()) }
    };
}

restorable!(crate::Factors = "factors", format 1);

/// The entry of that kind, if it is linked in.
fn restorer(kind: &str) -> Result<Option<&'static Restorer>> {
    let mut found: Vec<_> = inventory::iter::<Restorer>.into_iter().filter(|r| r.kind == kind).collect();
    found.sort_by_key(|r| r.module); // the linker's order is unspecified
    match found[..] {
        [first, second, ..] => {
            let (first, second) = (first.module, second.module);
            Err(Error::Snapshot(format!("two model types are registered as `{kind}`: in {first} and in {second}")))
        }
        _ => Ok(found.pop()),
    }
}

/// Writes a snapshot, once its state has been restored on trial.
///
/// # Errors
/// [`Error::Snapshot`] for a state that is not whole or can not be restored, a model type that is not registered, or a
/// failed write.
pub fn save(model: &dyn Model, provenance: &Provenance, to: impl Write) -> Result<()> {
    #[derive(Serialize)]
    struct Whole<'a> {
        kind: &'static str,
        format: u32,
        provenance: &'a Provenance,
        state: &'a RawValue,
    }
    model.validate()?;
    let kind = model.kind();
    let known = restorer(kind)?.ok_or_else(|| Error::Snapshot(format!("model kind `{kind}` is not registered")))?;
    let state = serde_json::value::to_raw_value(model).map_err(|e| Error::Snapshot(e.to_string()))?;
    (known.restore)(state.get()).map_err(|e| match e {
        Error::Snapshot(why) => Error::Snapshot(format!("a state that can not be restored: {why}")),
        other => other,
    })?;
    let whole = Whole { kind, format: known.format, provenance, state: &state };
    serde_json::to_writer(to, &whole).map_err(|e| Error::Snapshot(e.to_string()))
}

/// Reads a snapshot.
///
/// # Errors
/// [`Error::Snapshot`] for anything that is not a snapshot of a linked model type in a layout this version reads.
pub fn load(mut from: impl Read) -> Result<(Box<dyn Model>, Provenance)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole<'a> {
        kind: String,
        format: u32,
        provenance: Provenance,
        #[serde(borrow)]
        state: &'a RawValue,
    }
    let mut text = String::new();
    from.read_to_string(&mut text).map_err(|e| Error::Snapshot(e.to_string()))?;
    let whole: Whole<'_> = serde_json::from_str(&text).map_err(|e| Error::Snapshot(e.to_string()))?;
    let Some(known) = restorer(&whole.kind)? else {
        return Err(Error::Snapshot(format!("model kind `{}` is not linked in", whole.kind)));
    };
    if whole.format != known.format {
        let (got, expected) = (whole.format, known.format);
        return Err(Error::Snapshot(format!("`{}` in format {got}, this version reads {expected}", whole.kind)));
    }
    Ok(((known.restore)(whole.state.get())?, whole.provenance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Factors, Output, Run};
    use nalgebra::DMatrix;

    fn model() -> Factors {
        let users = DMatrix::from_row_slice(2, 2, &[0.1, -3.4e38, 1e-45, 1.0 / 3.0]);
        let items = DMatrix::from_row_slice(2, 3, &[1.0, 0.2, -0.0, 7.0, 16777217.0, 0.3]);
        Factors::new(users, items, Output::Rating).unwrap()
    }

    fn text() -> String {
        let mut out = Vec::new();
        save(&model(), &Provenance { plugin: "als".into(), ..Provenance::default() }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn comes_back_bit_for_bit() {
        let (back, provenance) = load(text().as_bytes()).unwrap();
        let bits = |m: &DMatrix<f32>| m.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let (a, b) = (model(), back.factors().unwrap().clone());
        assert_eq!((bits(&a.users), bits(&a.items)), (bits(&b.users), bits(&b.items)));
        assert_eq!(provenance.plugin, "als");
        let mut scores = DMatrix::zeros(0, 0);
        assert!(back.score(&[5], &mut scores, &Run::new(0)).is_err());
    }

    /// A model whose own check does not look at its number.
    #[derive(Serialize, Deserialize)]
    struct Careless<const N: usize>(f64);

    impl<const N: usize> Model for Careless<N> {
        fn kind(&self) -> &'static str {
            ["careless", "twice", "twice"][N]
        }

        fn users(&self) -> usize {
            1
        }

        fn items(&self) -> usize {
            1
        }

        fn output(&self) -> Output {
            Output::Order
        }

        fn validate(&self) -> Result<()> {
            Ok(())
        }

        fn score(&self, users: &[u32], out: &mut DMatrix<f32>, _: &Run) -> Result<()> {
            *out = DMatrix::from_element(1, users.len(), self.0 as f32);
            Ok(())
        }
    }

    restorable!(Careless<0> = "careless", format 1);
    restorable!(Careless<1> = "twice", format 1);
    mod again {
        restorable!(super::Careless<2> = "twice", format 1);
    }

    #[test]
    fn what_would_not_load_is_not_written() {
        let mut out = Vec::new();
        let save = |number, out: &mut Vec<u8>| save(&Careless::<0>(number), &Provenance::default(), out);
        for sick in [f64::NAN, f64::INFINITY] {
            let refused = save(sick, &mut out).unwrap_err().to_string();
            assert!(refused.starts_with("snapshot: a state that can not be restored: invalid type: null"), "{refused}");
            assert!(out.is_empty());
        }
        save(0.5, &mut out).unwrap();
        assert_eq!(load(&out[..]).unwrap().0.kind(), "careless");
    }

    #[test]
    fn a_kind_that_is_registered_twice_is_refused() {
        let here = "evenhand_core::snapshot::tests";
        let expected = format!("snapshot: two model types are registered as `twice`: in {here} and in {here}::again");
        let saved = save(&Careless::<1>(0.5), &Provenance::default(), Vec::new());
        assert_eq!(saved.unwrap_err().to_string(), expected);
        let text = text().replace("\"kind\":\"factors\"", "\"kind\":\"twice\"");
        assert_eq!(load(text.as_bytes()).err().unwrap().to_string(), expected);
    }

    /// The first layout ever written must stay readable.
    #[test]
    fn the_first_format_loads() {
        let old = r#"{"kind":"factors","format":1,"provenance":{"plugin":"als","package":"evenhand-plugins 0.1.0",
            "params":{"factors":1},"seed":7,"data":"x"},"state":{"users":{"rank":1,"count":2,"values":[0.5,2.0]},
            "items":{"rank":1,"count":1,"values":[3.0]},"latent":1,"output":"order"}}"#;
        let (model, _) = load(old.as_bytes()).unwrap();
        let mut scores = DMatrix::zeros(0, 0);
        model.score(&[1], &mut scores, &Run::new(0)).unwrap();
        assert_eq!(scores[(0, 0)], 6.0);
    }

    #[test]
    fn hostile_input_is_an_error() {
        let whole = text();
        let swap = |from: &str, to: &str| load(whole.replacen(from, to, 1).as_bytes()).err().unwrap().to_string();
        assert!(swap("\"count\":2", "\"count\":10000000000").contains("2 x 10000000000 factors claimed, 4 values"));
        assert!(swap("\"rank\":2", "\"rank\":9223372036854775809").contains("claimed"));
        assert!(swap("\"format\":1", "\"format\":2").contains("format 2, this version reads 1"));
        assert!(swap("\"kind\":\"factors\"", "\"kind\":\"bomb\"").contains("`bomb` is not linked in"));
        assert!(swap("0.1", "null").contains("null"));
        assert!(swap("0.1", "1e999").contains("range"));
        assert!(swap("\"output\"", "\"extra\":1,\"output\"").contains("unknown field `extra`"));
        let swapped = swap("\"rank\":2,\"count\":2", "\"rank\":1,\"count\":4");
        assert!(swapped.contains("rank of the users' factors is 1, of the items' 2"));
        for end in 0..whole.len() {
            assert!(load(&whole.as_bytes()[..end]).is_err(), "cut at {end}");
        }
        let mut sick = model();
        sick.items[(0, 1)] = f32::NAN;
        let refused = save(&sick, &Provenance::default(), Vec::new()).unwrap_err();
        assert_eq!(refused.to_string(), "snapshot: a factor of item 1 is not finite");
    }
}
