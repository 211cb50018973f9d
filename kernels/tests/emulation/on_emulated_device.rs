//! The cases that a real device goes through as well.

use crate::cases;
use crate::emulated::Emulated;
use evenhand_kernels::cuda::{Cuda, Options};
use std::env;
use std::sync::Arc;

/// Names the only case to run.
pub(crate) const CASE: &str = "EVENHAND_EMULATED_CASE";

/// A case of kernels runs with threads in the order of their numbers, and in others.
const SEVERAL_ORDERS: &[u64] = &[0, 1, 2];
/// One of what uses them, which is long.
const ONE_ORDER: &[u64] = &[3];

type Case = (&'static str, Box<dyn Fn(&Arc<Cuda>)>);

fn run(cases: Vec<Case>, seeds: &[u64]) {
    let Some(emulated) = Emulated::take() else { return };
    let chosen = env::var(CASE).ok();
    for (name, case) in cases.into_iter().filter(|(name, _)| chosen.as_ref().is_none_or(|chosen| chosen == name)) {
        emulated.case(name);
        for &seed in seeds {
            emulated.seed(seed);
            let cuda = Cuda::open(Options { least_work: 0, ..Options::default() }).expect("the emulated device");
            case(&Arc::new(cuda));
            assert_eq!(emulated.live_allocations(), 0, "after {name}");
        }
    }
}

/// A test for each table of cases, of its name.
macro_rules! run_tables {
    ($($table:ident in $orders:ident),* $(,)?) => {
        $(#[test]
        fn $table() {
            run(cases_of(stringify!($table)), $orders);
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

run_tables!(agreement in ONE_ORDER, scores in SEVERAL_ORDERS);
