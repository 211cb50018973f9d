//! Equal shares for all experts that are awake, whatever they lost: what other mixers have to beat.

use evenhand_core::{Mixer, Mixing, Result, plugin};

plugin! {
    /// Equal shares for all experts that are awake.
    pub struct UniformMixer: Mixer = "uniform" {}
}

impl Mixer for UniformMixer {
    fn begin(&self, _: usize) -> Result<Box<dyn Mixing>> {
        Ok(Box::new(Equal))
    }
}

struct Equal;

impl Mixing for Equal {
    fn shares(&self, awake: &[usize], shares: &mut [f64]) {
        shares.fill(1.0 / awake.len() as f64);
    }

    fn update(&mut self, _: &[usize], _: &[f64], _: &[f64]) {}

    fn copy(&self) -> Box<dyn Mixing> {
        Box::new(Self)
    }
}
