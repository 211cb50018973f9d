//! The periods of a world that answers actions: one after the other, each begun and ended.

use evenhand_core::{Error, Result};

/// Where a world is in its periods.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Periods {
    begun: usize,
    ended: usize,
}

impl Periods {
    /// Begins `period`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another one than the next, or while one goes on.
    pub(crate) fn begin(&mut self, period: usize) -> Result<()> {
        if self.begun > self.ended {
            let expected = format!("the feedback of period {} first", self.ended);
            return Err(Error::shape("period to begin", expected, period));
        }
        if period != self.begun {
            return Err(Error::shape("period to begin", self.begun, period));
        }
        self.begun += 1;
        Ok(())
    }

    /// The period that goes on.
    ///
    /// # Errors
    /// [`Error::Shape`] where none does, with what was asked for.
    pub(crate) fn now(&self, what: &'static str) -> Result<usize> {
        if self.begun > self.ended {
            return Ok(self.ended);
        }
        Err(Error::shape(what, format!("after the requests of period {}", self.ended), "no period has begun"))
    }

    /// Ends the period that goes on.
    ///
    /// # Errors
    /// As [`Self::now`].
    pub(crate) fn end(&mut self, what: &'static str) -> Result<()> {
        self.now(what)?;
        self.ended += 1;
        Ok(())
    }

    /// Whether any period has begun.
    pub(crate) fn any(&self) -> bool {
        self.begun > 0
    }
}
