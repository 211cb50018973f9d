//! The cases that a real device goes through as well.

use crate::cases;
use crate::emulated::Emulated;
use evenhand_kernels::cuda::{Cuda, Options};
use std::env;
use std::sync::Arc;

/// Names the only case to run.
pub(crate) const CASE: &str = "EVENHAND_EMULATED_CASE";

/// A device, and an order in which threads take their turns.
struct Setting {
    seed: u64,
    capability: (i32, i32),
    multiprocessors: i32,
}

/// Blocks of threads share the work on a few users.
const LARGE: Setting = Setting { seed: 0, capability: (9, 0), multiprocessors: 132 };
/// A block does all of it, and has less shared memory.
const SMALL: Setting = Setting { seed: 1, capability: (8, 6), multiprocessors: 1 };

/// For cases of kernels: threads in the order of their numbers, and in others.
const SEVERAL: &[Setting] = &[LARGE, SMALL, Setting { seed: 2, ..LARGE }];
/// For long cases of what uses them.
const ONE: &[Setting] = &[Setting { seed: 3, ..SMALL }];

type Case = (&'static str, Box<dyn Fn(&Arc<Cuda>)>);

fn run(cases: Vec<Case>, settings: &[Setting]) {
    let Some(emulated) = Emulated::take() else { return };
    let chosen = env::var(CASE).ok();
    for (name, case) in cases.into_iter().filter(|(name, _)| chosen.as_ref().is_none_or(|chosen| chosen == name)) {
        emulated.case(name);
        for setting in settings {
            emulated.seed(setting.seed);
            emulated.capability(setting.capability.0, setting.capability.1);
            emulated.multiprocessors(setting.multiprocessors);
            let cuda = Cuda::open(Options { least_work: 0, ..Options::default() }).expect("the emulated device");
            case(&Arc::new(cuda));
            assert_eq!(emulated.live_allocations(), 0, "after {name}");
        }
    }
}

/// A test for each table of cases, of its name.
macro_rules! run_tables {
    ($($table:ident on $settings:ident),* $(,)?) => {
        $(#[test]
        fn $table() {
            run(cases_of(stringify!($table)), $settings);
        })*

        /// Those of a table; none if there is no table of that name.
        pub(crate) fn cases_of(table: &str) -> Vec<Case> {
            match table {
                $(stringify!($table) => {
                    let cases = cases::$table::CASES.iter();
                    cases.map(|&(name, case)| (name, Box::new(move |cuda: &Arc<Cuda>| case(cuda)) as _)).collect()
                })*
                _ => Vec::new(),
            }
        }
    };
}

run_tables!(
    agreement on ONE,
    cells on SEVERAL,
    factorisation on ONE,
    pairs on SEVERAL,
    random on SEVERAL,
    ranks on SEVERAL,
    scores on SEVERAL,
    scores_tf32 on SEVERAL,
    timing on ONE,
    top_k on SEVERAL,
);
