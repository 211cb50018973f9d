//! `Run`: everything a plugin may use besides its data: randomness, threads, dense products, the way to stop.

use crate::dense::{Dense, Reference};
use crate::{Error, Result, Streams};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Receives what a plugin reports while it works. All methods may be called from any thread.
pub trait Observer: Send + Sync {
    /// `done` of `total` steps are finished.
    fn progress(&self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// A named figure at a step (epoch, sweep, period), counted from 0: a point of a training curve.
    fn figure(&self, step: usize, name: &str, value: f64) {
        let _ = (step, name, value);
    }

    /// Something that the reader of the results should know beforehand: a large need of memory, a fallback.
    fn note(&self, text: &str) {
        let _ = text;
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// The surroundings of one computation. Cheap to clone.
#[derive(Clone)]
pub struct Run {
    /// Random streams of this run; see [`Streams`].
    pub streams: Streams,
    /// `None`: the pool that all of the program shares.
    pool: Option<Arc<rayon::ThreadPool>>,
    dense: Arc<dyn Dense>,
    cancel: Arc<AtomicBool>,
    observer: Arc<dyn Observer>,
}

impl Run {
    /// A run with that seed, the threads that all of the program shares, and the reference backend for dense products.
    pub fn new(seed: u64) -> Self {
        Self {
            streams: Streams::new(seed),
            pool: None,
            dense: Arc::new(Reference),
            cancel: Arc::default(),
            observer: Arc::new(Silent),
        }
    }

    /// The same run on `threads` threads of its own; 0 means one per processor. Results do not depend on the number.
    ///
    /// # Errors
    /// [`Error::Device`] where the system refuses to start threads.
    pub fn with_threads(mut self, threads: usize) -> Result<Self> {
        // A panic in a detached task has been reported by the panic hook; it must not end the process.
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads).panic_handler(|_| ()).build();
        self.pool = Some(Arc::new(built.map_err(|e| Error::Device(format!("{threads} threads: {e}")))?));
        Ok(self)
    }

    /// The same run with another seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.streams = Streams::new(seed);
        self
    }

    /// The same run with the random streams below `label`.
    pub fn child(&self, label: &str) -> Self {
        Self { streams: self.streams.child(label), ..self.clone() }
    }

    /// The same run with another backend for dense products.
    pub fn with_dense(mut self, dense: Arc<dyn Dense>) -> Self {
        self.dense = dense;
        self
    }

    /// The same run, stopping once `cancel` is set.
    pub fn with_cancel(mut self, cancel: Arc<AtomicBool>) -> Self {
        self.cancel = cancel;
        self
    }

    /// The same run, reporting to `observer`.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or_else(rayon::current_num_threads, |pool| pool.current_num_threads())
    }

    /// Runs `work` on this run's threads: `rayon`'s parallel iterators inside use them.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// The backend for dense products.
    pub fn dense(&self) -> &dyn Dense {
        self.dense.as_ref()
    }

    /// Whom to report to.
    pub fn observer(&self) -> &dyn Observer {
        self.observer.as_ref()
    }

    /// Call once per epoch or sweep: reports progress, and stops where asked to.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the cancel flag is set.
    pub fn step(&self, done: usize, total: usize) -> Result<()> {
        self.observer.progress(done, total);
        self.check()
    }

    /// Stops where asked to.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the cancel flag is set.
    pub fn check(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run {{ {:?}, threads: {}, dense: {} }}", self.streams, self.threads(), self.dense.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_its_own_only_where_asked_for() {
        let run = Run::new(0);
        assert_eq!(run.install(rayon::current_thread_index), None);
        assert_eq!(run.threads(), rayon::current_num_threads());
        let run = run.with_threads(3).unwrap();
        assert_eq!((run.install(rayon::current_num_threads), run.threads()), (3, 3));
        assert!(run.install(rayon::current_thread_index).is_some());
    }
}
