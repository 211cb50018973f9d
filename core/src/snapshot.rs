//! Snapshots of fitted models: `{ kind, format, provenance, state }` as JSON.
//!
//! Numbers return bit for bit: they are written with the fewest digits that identify them, and read back
//! exactly. A model with a non-finite number is refused, since JSON can not hold one.

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
    restore: fn(&str) -> Result<Box<dyn Model>>,
}

impl Restorer {
    /// The entry of model type `M`.
    pub const fn of<M: Restore>() -> Self {
        Self {
            kind: M::KIND,
            format: M::FORMAT,
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
        $crate::private::inventory::submit! { $crate::snapshot::Restorer::of::<$ty>() }
    };
}

restorable!(crate::Factors = "factors", format 1);

fn restorer(kind: &str) -> Option<&'static Restorer> {
    inventory::iter::<Restorer>.into_iter().find(|r| r.kind == kind)
}

/// Writes a snapshot.
///
/// # Errors
/// [`Error::Snapshot`] for a state that is not whole, a model type that is not registered, or a failed write.
pub fn save(model: &dyn Model, provenance: &Provenance, to: impl Write) -> Result<()> {
    #[derive(Serialize)]
    struct Whole<'a> {
        kind: &'static str,
        format: u32,
        provenance: &'a Provenance,
        state: &'a dyn Model,
    }
    model.validate()?;
    let kind = model.kind();
    let format =
        restorer(kind).ok_or_else(|| Error::Snapshot(format!("model kind `{kind}` is not registered")))?.format;
    let whole = Whole { kind, format, provenance, state: model };
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
    let Some(known) = restorer(&whole.kind) else {
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
