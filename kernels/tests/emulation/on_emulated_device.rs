//! The cases that a real device goes through as well.

use crate::cases;
use crate::emulated::Emulated;
use evenhand_kernels::cuda::{Cuda, Options};

/// All of a table, each in some orders of threads.
fn run(cases: &[(&str, fn(&Cuda))]) {
    let Some(emulated) = Emulated::take() else { return };
    for (name, case) in cases {
        emulated.case(name);
        for seed in [0, 1] {
            emulated.seed(seed);
            let cuda = Cuda::open(Options { least_work: 0, ..Options::default() }).expect("the emulated device");
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
            run(cases::$table::CASES);
        })*
    };
}

run_tables!(cells, factorisation, scores);
