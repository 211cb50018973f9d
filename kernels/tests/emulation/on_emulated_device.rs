//! The cases that a real device goes through as well.

use crate::cases;
use crate::emulated::Emulated;
use evenhand_kernels::cuda::{Cuda, Options};
use std::sync::Arc;

/// All of a table, each in some orders of threads: on a large device, where blocks of threads share the work on a few users,
/// and on a small one, where a block does all of it and has less shared memory.
fn run<F: Fn(&Arc<Cuda>)>(cases: impl Iterator<Item = (&'static str, F)>) {
    let Some(emulated) = Emulated::take() else { return };
    for (name, case) in cases {
        emulated.case(name);
        for (seed, (major, minor), multiprocessors) in [(0, (9, 0), 132), (1, (8, 6), 1)] {
            emulated.seed(seed);
            emulated.capability(major, minor);
            emulated.multiprocessors(multiprocessors);
            let cuda = Cuda::open(Options { least_work: 0, ..Options::default() }).expect("the emulated device");
            let cuda = Arc::new(cuda);
            case(&cuda);
            drop(cuda);
            assert_eq!(emulated.live_allocations(), 0, "after {name}");
        }
    }
}

macro_rules! run_tables {
    ($($table:ident),* $(,)?) => {
        $(#[test]
        fn $table() {
            run(cases::$table::CASES.iter().map(|(name, case)| (*name, |cuda: &Arc<Cuda>| case(cuda))));
        })*
    };
}

run_tables!(scores, top_k, ranks, scores_tf32, pairs, timing, agreement);
