//! One step of the autoencoder, with and without fairness: predictions, loss and the gradient of every parameter.

use crate::golden::File;
use evenhand_core::{Dataset, FairnessData, Groups, Interactions, Nested, Rows, Run, Scale, Training};
use evenhand_plugins::autoencoder::{Autoencoder, Layer, Missing, Step, step};
use evenhand_plugins::precision::Precision;
use nalgebra::{DMatrix, DVector};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    name: String,
    rating: String,
    hidden: usize,
    tau: f64,
    h: f64,
    delta: f64,
    lam: f64,
    l2: f64,
    train: Vec<Vec<f32>>,
    user_groups: BTreeMap<String, Vec<u32>>,
    item_groups: BTreeMap<String, Vec<u32>>,
    params: Parameters,
    pred: Vec<Vec<f64>>,
    runs: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(rename = "encoder.0.weight")]
    encoder_weight: Vec<Vec<f64>>,
    #[serde(rename = "encoder.0.bias")]
    encoder_bias: Vec<f64>,
    #[serde(rename = "encoder.2.weight")]
    middle_weight: Vec<Vec<f64>>,
    #[serde(rename = "encoder.2.bias")]
    middle_bias: Vec<f64>,
    #[serde(rename = "decoder.0.weight")]
    decoder_weight: Vec<Vec<f64>>,
    #[serde(rename = "decoder.0.bias")]
    decoder_bias: Vec<f64>,
}

#[derive(Deserialize)]
struct Expected {
    loss: f64,
    grads: Parameters,
}

pub(crate) fn check(file: &File) -> Result<usize, String> {
    let cases = file.cases::<Case>()?;
    for case in &cases {
        case.check().map_err(|e| format!("{}: {e}", case.name))?;
    }
    Ok(cases.len())
}

impl Parameters {
    fn layers(&self) -> Vec<Layer> {
        [
            (&self.encoder_weight, &self.encoder_bias),
            (&self.middle_weight, &self.middle_bias),
            (&self.decoder_weight, &self.decoder_bias),
        ]
        .map(|(weights, biases)| Layer {
            weights: DMatrix::from_fn(weights.len(), weights[0].len(), |o, i| weights[o][i]),
            biases: DVector::from_vec(biases.clone()),
        })
        .into()
    }
}

impl Case {
    fn check(&self) -> Result<(), String> {
        if self.runs.len() != 5 {
            return Err(format!("{} runs, expected 5", self.runs.len()));
        }
        let data = self.data()?;
        for (algorithm, expected) in &self.runs {
            for (precision, tolerance) in [(Precision::F64, 1e-10), (Precision::F32, 1e-4)] {
                self.compare(&data, algorithm, expected, precision, tolerance)
                    .map_err(|e| format!("{algorithm} in {precision:?}: {e}"))?;
            }
        }
        Ok(())
    }

    fn compare(
        &self,
        data: &Dataset,
        algorithm: &str,
        expected: &Expected,
        precision: Precision,
        tolerance: f64,
    ) -> Result<(), String> {
        let said = |e: evenhand_core::Error| e.to_string();
        let rates = json!({ "bandwidth": self.h, "delta": self.delta, "threshold": self.tau, "variant": "seed" });
        let loss = |name, params| Nested::new(name, params).map(Some).map_err(said);
        let fairness = match algorithm {
            "unfair" => None,
            "EqualExp" => loss("equal-experience", &rates)?,
            "UGF" => loss("user-group", &rates)?,
            "CVS" => loss("item-group", &rates)?,
            "VAL" => loss("value", &json!({}))?,
            _ => return Err("unknown".into()),
        };
        let recipe = Autoencoder {
            hidden: vec![self.hidden; 2],
            dropout: 0.0,
            missing: Missing::Seed,
            l2: self.l2,
            fairness,
            lambda: self.lam,
            precision,
            ..Autoencoder::default()
        };
        let train = Training::of(data, &data.ratings);
        let got = step(&recipe, &train, &self.params.layers(), &Run::new(0)).map_err(said)?;
        let wanted = self.items_by_users(&self.pred);
        same("predictions", &got.predictions, &wanted, tolerance)?;

        // The expected loss holds the carrier of the gradient instead of the value; it leaves the weight of accuracy in
        // where there is no fairness.
        let Step { accuracy, .. } = got;
        let (unfairness, scale) = match &recipe.fairness {
            None => (0.0, 1.0 - self.lam),
            Some(loss) => (self.carrier(&**loss, &train.fairness(), &wanted)?, 1.0),
        };
        let total = (1.0 - self.lam) * accuracy + if recipe.fairness.is_some() { self.lam * unfairness } else { 0.0 };
        let error = (total - expected.loss).abs() / expected.loss.abs();
        if error.is_nan() || error > tolerance {
            return Err(format!("loss {total}, expected {}", expected.loss));
        }
        for ((got, wanted), layer) in got.gradient.iter().zip(expected.grads.layers()).zip(["first", "second", "last"])
        {
            same(&format!("weights of the {layer} layer"), &(&got.weights * scale), &wanted.weights, tolerance)?;
            let column = |v: &DVector<f64>| DMatrix::from_column_slice(v.len(), 1, v.as_slice());
            let (got, wanted) = (column(&(&got.biases * scale)), column(&wanted.biases));
            same(&format!("biases of the {layer} layer"), &got, &wanted, tolerance)?;
        }
        Ok(())
    }

    /// Gradient times predictions for a surrogate, the value otherwise.
    fn carrier(
        &self,
        loss: &dyn evenhand_core::FairnessLoss,
        data: &FairnessData<'_>,
        predicted: &DMatrix<f64>,
    ) -> Result<f64, String> {
        let mut gradient = DMatrix::zeros(0, 0);
        let value = loss.evaluate(predicted, data, &mut gradient, &Run::new(0)).map_err(|e| e.to_string())?;
        Ok(if loss.surrogate() { gradient.dot(predicted) } else { value })
    }

    /// 0 stands for a cell without a row.
    fn data(&self) -> Result<Dataset, String> {
        let mut rows = Rows::default();
        for (user, ratings) in (0..).zip(&self.train) {
            for (item, &rating) in (0..).zip(ratings).filter(|(_, rating)| **rating != 0.0) {
                rows.push(user, item, rating);
            }
        }
        let (users, items) = (self.train.len(), self.train[0].len());
        let scale = match self.rating.as_str() {
            "five-stars" => Scale::FIVE_STARS,
            "binary" => Scale::SIGNED,
            other => return Err(format!("ratings `{other}`")),
        };
        let groups = |name, entities, lists: &BTreeMap<String, Vec<u32>>| {
            Groups::new(name, entities, lists.clone().into_iter().collect()).map_err(|e| e.to_string())
        };
        let ratings = Interactions::new(users, items, &rows).map_err(|e| e.to_string())?;
        let mut data = Dataset::new("golden", ratings, scale);
        data.user_groups = vec![groups("users", users, &self.user_groups)?];
        data.item_groups = vec![groups("items", items, &self.item_groups)?];
        Ok(data)
    }

    fn items_by_users(&self, rows: &[Vec<f64>]) -> DMatrix<f64> {
        DMatrix::from_fn(rows[0].len(), rows.len(), |item, user| rows[user][item])
    }
}

fn same(what: &str, got: &DMatrix<f64>, wanted: &DMatrix<f64>, tolerance: f64) -> Result<(), String> {
    if got.shape() != wanted.shape() {
        return Err(format!("{what}: {:?}, expected {:?}", got.shape(), wanted.shape()));
    }
    let error = (got - wanted).amax() / wanted.amax();
    if error.is_nan() || error > tolerance {
        return Err(format!("{what}: an entry is off by {error:e} of the largest"));
    }
    Ok(())
}
