//! Timing: that it runs what it says, and refuses what it can not.

use super::Case;
use super::data::factors;
use evenhand_kernels::cuda::Cuda;

pub(crate) const CASES: &[Case] =
    &[("what_is_timed_runs", what_is_timed_runs), ("misfits_are_refused", misfits_are_refused)];

fn what_is_timed_runs(cuda: &Cuda) {
    let loaded = cuda.load(&factors(5, 70, false, "u"), &factors(5, 130, false, "i")).unwrap();
    assert!(!loaded.time_scores(2).unwrap().is_zero());
    assert!(!loaded.time_top_k(None, 10, 2).unwrap().is_zero());
    cuda.time_filling(1000, 1).unwrap();
}

fn misfits_are_refused(cuda: &Cuda) {
    let (users, items) = (factors(5, 70, false, "u"), factors(5, 130, false, "i"));
    let text = |error: evenhand_core::Error| error.to_string();
    let ranks = cuda.load(&users, &factors(4, 130, false, "i")).map(drop).map_err(text);
    assert_eq!(ranks, Err("rank of the item factors: expected 5, got 4".into()));
    let loaded = cuda.load(&users, &items).unwrap();
    for k in [0, 131] {
        let refused = loaded.time_top_k(None, k, 1).map_err(text);
        assert_eq!(refused, Err(format!("length of the lists: expected 1 to 130, got {k}")));
    }
}
