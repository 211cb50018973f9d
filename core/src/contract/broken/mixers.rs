//! A sound mixer, and its flaws.

use super::failed;
use crate::contract::mixer_with;
use crate::*;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

choice! {
    /// Which rule is broken.
    enum Flaw {
        /// No rule.
        None = "none",
        /// Prefers the first expert.
        Biased = "biased",
        /// Its shares add up to more than 1.
        Heavy = "heavy",
        /// A share is below 0.
        Negative = "negative",
        /// Divides by what large losses leave.
        Naive = "naive",
        /// Has no share for the worst of all.
        Stingy = "stingy",
        /// Learns by being asked.
        Tracing = "tracing",
        /// Those who sleep lose by their number.
        Sleepless = "sleepless",
        /// Of equal losses, the first loses less.
        Partial = "partial",
        /// Counts how often it began.
        Restless = "restless",
        /// A copy learns what the original learns.
        Joined = "joined",
        /// A copy has forgotten everything.
        Forgetful = "forgetful",
    }
}

plugin! {
    /// Shares that fall exponentially with the losses: sound, but for one flaw.
    struct Exponential: Mixer = "exponential" {
        /// Which rule is broken.
        flaw: Flaw = Flaw::None;
    }
}

static BEGUN: AtomicU32 = AtomicU32::new(0);

struct Mixed {
    flaw: Flaw,
    begun: u32,
    lost: Arc<Mutex<Vec<f64>>>,
}

impl Mixer for Exponential {
    fn begin(&self, experts: usize) -> Result<Box<dyn Mixing>> {
        let mut lost = vec![0.0; experts];
        lost[0] = if self.flaw == Flaw::Biased { -1e-6 } else { 0.0 };
        let lost = Arc::new(Mutex::new(lost));
        Ok(Box::new(Mixed { flaw: self.flaw, begun: BEGUN.fetch_add(1, Ordering::Relaxed), lost }))
    }
}

impl Mixing for Mixed {
    fn shares(&self, awake: &[usize], shares: &mut [f64]) {
        let mut lost = self.lost.lock().unwrap();
        let least = awake.iter().map(|&e| lost[e]).fold(f64::INFINITY, f64::min);
        let least = if self.flaw == Flaw::Naive { 0.0 } else { least };
        for (share, &e) in shares.iter_mut().zip(awake) {
            *share = (least - lost[e]).exp();
        }
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
        // Once something is known.
        let known = lost.iter().any(|&lost| lost > 0.0);
        match (self.flaw, &mut *shares) {
            (Flaw::Heavy, shares) if known => shares.iter_mut().for_each(|share| *share *= 1.0 + 1e-9),
            (Flaw::Negative, [first, .., last]) if known && awake.len() == lost.len() => {
                (*first, *last) = (*first + *last + 1e-9, -1e-9)
            }
            (Flaw::Stingy, [only]) if lost[awake[0]] > 1e6 => *only = 0.0,
            _ => {}
        }
        if self.flaw == Flaw::Tracing {
            awake.iter().for_each(|&e| lost[e] += 1e-14 * e as f64);
        }
    }

    fn update(&mut self, awake: &[usize], shares: &[f64], losses: &[f64]) {
        assert!(awake.len() == shares.len() && awake.len() == losses.len(), "the kit tells what it asked for");
        let by = if self.flaw == Flaw::Restless { 1.0 + f64::from(self.begun) * 1e-6 } else { 1.0 };
        let mut lost = self.lost.lock().unwrap();
        awake.iter().zip(losses).for_each(|(&e, loss)| lost[e] += by * loss);
        if self.flaw == Flaw::Partial {
            lost[awake[0]] -= 1e-3;
        }
        if self.flaw == Flaw::Sleepless {
            (0..lost.len()).filter(|e| !awake.contains(e)).for_each(|e| lost[e] += 1e-3 * e as f64);
        }
    }

    fn copy(&self) -> Box<dyn Mixing> {
        let lost = match self.flaw {
            Flaw::Joined => self.lost.clone(),
            Flaw::Forgetful => Arc::new(Mutex::new(vec![0.0; self.lost.lock().unwrap().len()])),
            _ => Arc::new(Mutex::new(self.lost.lock().unwrap().clone())),
        };
        Box::new(Self { lost, ..*self })
    }
}

#[test]
fn each_flaw_fails_its_check() {
    for (flaw, expected) in [
        ("none", &[][..]),
        ("biased", &["ignorant", "alike"]),
        ("heavy", &["shares"]),
        ("negative", &["shares"]),
        ("naive", &["shares"]),
        ("stingy", &["shares"]),
        ("tracing", &["asking"]),
        ("sleepless", &["alike"]),
        ("partial", &["alike"]),
        ("restless", &["asking", "deterministic"]),
        ("joined", &["copies"]),
        ("forgetful", &["copies"]),
    ] {
        let outcomes = mixer_with(&Descriptor::<dyn Mixer>::of::<Exponential>(), &json!({ "flaw": flaw }));
        assert_eq!(failed(&outcomes), expected, "{flaw}: {outcomes:#?}");
    }
}
