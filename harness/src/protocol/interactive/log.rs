//! What a log says about a period.

use super::agent::Shown;
use crate::off_policy::Action;
use evenhand_core::{Audit, Propensities, Requests};

/// The actions of a period, place after place of request after request.
pub(super) fn actions(
    period: usize,
    requests: &Requests,
    shown: &Shown,
    audit: &Audit,
    propensities: &Propensities,
) -> impl Iterator<Item = Action> {
    let size = shown.slates.size;
    (0..shown.slates.items.len()).map(move |at| {
        let (request, place) = (at / size, at % size);
        let cold = shown.cold[request];
        Action {
            period,
            user: requests.users[request],
            place,
            item: shown.slates.items[at],
            propensity: propensities.values[at],
            // Drawn uniformly, so the probability is known.
            draws: propensities.draws.filter(|_| !cold),
            reward: audit.observed[at],
            prediction: Some(f64::from(shown.predictions[at])).filter(|p| !p.is_nan()),
            cold,
        }
    })
}
