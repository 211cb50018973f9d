//! Parameters declared by hand, carelessly.

use super::failed;
use crate::contract::recipe;
use crate::params::{Field, Kind, bounds};
use crate::{Descriptor, Model, Origin, Params, Recommender, Result, Run, Training, plugin};
use serde::{Deserialize, Serialize};

/// Claims a range without checking it, and reads whatever comes.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Loose {
    rate: f64,
    rounds: u32,
}

impl Default for Loose {
    fn default() -> Self {
        Self { rate: 0.5, rounds: 3 }
    }
}

impl Params for Loose {
    const FIELDS: &'static [Field] = &[
        Field {
            name: "rate",
            kind: Kind::Number,
            range: "0.0..1.0",
            bounds: Some(|| bounds(0.0..1.0)),
            doc: "A rate.",
        },
        Field { name: "sweeps", kind: Kind::Integer, range: "", bounds: None, doc: "" },
    ];
    const NAME: &'static str = "Very loose";
    const SUMMARY: &'static str = "Loose.";
    const PAPER: &'static str = "";
    const ORIGIN: Origin = Origin { package: "here", version: "0", module: "here" };

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl Recommender for Loose {
    fn fit(&self, _: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        unreachable!("only its parameters are looked at")
    }
}

#[test]
fn careless_parameters_are_found_out() {
    let outcomes = recipe(&Descriptor::<dyn Recommender>::of::<Loose>());
    let every = ["documented", "defaults", "ranges", "finite-parameters", "unknown-field", "wrong-type"];
    assert_eq!(failed(&outcomes), every);
    assert!(outcomes[2].to_string().ends_with("failed: `rate` = -1 is accepted"), "{}", outcomes[2]);
}

plugin! {
    /// Parameters of every type, with ends of every sort.
    struct Careful: Recommender = "careful" {
        /// Closed below.
        count: usize = 3, in 1..;
        /// Open above.
        share: f32 = 0.1, in 0.1..1.0;
        /// Closed on both sides, of either sign.
        shift: i64 = 0, in -5..=5;
        /// Perhaps a number.
        perhaps: Option<f64> = None, in 0.0..=1.0;
        /// Some numbers.
        several: Vec<f64> = vec![1.0, 2.0], in 0.5..;
        /// A flag.
        flag: bool = true;
        /// A text.
        text: String = "a".into();
        /// A number of any size.
        any: f64 = -1e9;
    }
}

impl Recommender for Careful {
    fn fit(&self, _: &Training<'_>, _: &Run) -> Result<Box<dyn Model>> {
        unreachable!("only its parameters are looked at")
    }
}

#[test]
fn careful_parameters_pass() {
    super::assert_all(recipe(&Descriptor::<dyn Recommender>::of::<Careful>()));
}
