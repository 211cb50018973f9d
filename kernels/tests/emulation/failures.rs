//! What the product does where a device is not as it should be.

use crate::emulated::{Emulated, ILLEGAL_ADDRESS, OUT_OF_MEMORY};
use evenhand_core::dense::{CellProblem, Dense};
use evenhand_core::fairness::{Classes, Pointwise};
use evenhand_core::{Interactions, Result, Rows, Squash};
use evenhand_kernels::Cpu;
use evenhand_kernels::cuda::pairs::{Batch, Descent, Pairs, Rule, Tables};
use evenhand_kernels::cuda::{Cuda, Options, Unavailable};
use nalgebra::DMatrix;
use std::thread;

#[test]
fn no_device() {
    let Some(emulated) = Emulated::take() else { return };
    emulated.devices(0);
    assert_eq!(Cuda::open(Options::default()).err(), Some(Unavailable::NoDevice { found: 0, ordinal: 0 }));
}

#[test]
fn old_device() {
    let Some(emulated) = Emulated::take() else { return };
    emulated.capability(7, 5);
    let unavailable = Cuda::open(Options::default()).err();
    assert!(matches!(unavailable, Some(Unavailable::OldDevice { capability: (7, 5), .. })), "{unavailable:?}");
}

/// Work that the CPU would have done sooner does not come to the device.
#[test]
fn small_work() {
    let Some(emulated) = Emulated::take() else { return };
    let (users, items) = (DMatrix::from_element(4, 3, 1.0), DMatrix::from_element(4, 70, 1.0));
    for (least_work, launches) in [(4 * 2 * 70 + 1, 0), (4 * 2 * 70, 1)] {
        let cuda = Cuda::open(Options { least_work, ..Options::default() }).expect("a device that works");
        let before = emulated.launches();
        cuda.scores(&users, &[0, 2], &items, &mut DMatrix::zeros(0, 0)).expect("scores");
        assert_eq!(emulated.launches() - before, launches);
    }
}

/// A call of the backend, with its result as text.
type Call = (&'static str, fn(&Cuda) -> Result<String>);

const CALLS: [Call; 5] =
    [("scores", scores), ("top_k", top_k), ("ranks", ranks), ("cell_passes", cell_passes), ("pairs", pairs)];

fn table(count: usize) -> DMatrix<f32> {
    DMatrix::from_fn(4, count, |f, n| ((f * 5 + n * 3) % 7) as f32 - 3.0)
}

fn train() -> Interactions {
    let mut rows = Rows::default();
    [(0, 5), (1, 69), (2, 5), (2, 6)].into_iter().for_each(|(user, item)| rows.push(user, item, 1.0));
    Interactions::new(3, 70, &rows).expect("all indices are in range")
}

fn scores(cuda: &Cuda) -> Result<String> {
    let mut out = DMatrix::zeros(0, 0);
    cuda.scores(&table(3), &[0, 2], &table(70), &mut out)?;
    Ok(format!("{out:?}"))
}

fn top_k(cuda: &Cuda) -> Result<String> {
    Ok(format!("{:?}", cuda.top_k(&table(3), &[0, 2], &table(70), Some(train().by_user()), 5)?))
}

fn ranks(cuda: &Cuda) -> Result<String> {
    Ok(format!("{:?}", cuda.ranks(&table(3), &[0, 2], &table(70), None, train().by_user())?))
}

fn cell_passes(cuda: &Cuda) -> Result<String> {
    let (train, users, items) = (train(), Classes::one(3), Classes::one(70));
    let (of, squash) = (Pointwise::Score, Squash::Tanh);
    let problem = CellProblem { rank: 4, width: 4, train: &train, squash, of, users: &users, items: &items };
    let mut passes = cuda.cell_passes(&problem)?.expect("no work is too little");
    let sums = passes.sums(table(3).as_slice(), table(70).as_slice())?;
    let [mut users, mut items] = [vec![0.0; 4 * 3], vec![0.0; 4 * 70]];
    let squares = passes.add_gradient(&DMatrix::from_element(1, 1, 0.1), 0.5, &mut users, &mut items)?;
    Ok(format!("{sums:?} {users:?} {items:?} {squares}"))
}

fn pairs(cuda: &Cuda) -> Result<String> {
    let tables = Tables { users: table(3), items: table(70), biases: None };
    let rule = Rule { descent: Descent::Plain { rate: 0.1 }, l2: 0.1, weight: 1.0, cut: false };
    let mut pairs = Pairs::new(cuda, &tables, rule)?;
    let batch = Batch {
        users: &[2],
        starts: &[0, 1],
        owners: &[0],
        positives: &[0],
        negatives: &[1],
        items: &[5, 7],
        item_starts: &[0, 1, 2],
        places: &[0, 1],
    };
    pairs.step(&batch, None)?;
    Ok(format!("{:?}", pairs.tables()?))
}

/// The device for everything however small.
fn open() -> Cuda {
    Cuda::open(Options { least_work: 0, ..Options::default() }).expect("a device that works")
}

/// The result of a call whose n-th request to the driver, from 1 on, fails with that error.
fn failing(emulated: &Emulated, call: fn(&Cuda) -> Result<String>, n: u64, error: i32) -> Result<String> {
    let cuda = open();
    emulated.fail_after(n, error);
    let result = call(&cuda);
    emulated.fail_after(0, 0);
    if error == OUT_OF_MEMORY {
        assert!(call(&cuda).is_ok(), "the device works on after {result:?}");
    }
    drop(cuda);
    assert_eq!(emulated.live_allocations(), 0, "after {result:?}");
    result
}

/// Whichever request fails, an error comes back and nothing stays behind.
#[test]
fn lost_device() {
    let Some(emulated) = Emulated::take() else { return };
    for (name, call) in CALLS {
        let requests = (1..).find(|&n| failing(&emulated, call, n, ILLEGAL_ADDRESS).is_ok());
        assert!(requests > Some(4), "{name}: copies of both factors, a launch, a copy of the result: {requests:?}");
    }
}

/// Where memory is short since others use it too, the result is the same, or the error says so.
#[test]
fn little_memory() {
    let Some(emulated) = Emulated::take() else { return };
    for (name, call) in CALLS {
        let expected = call(&open()).expect("a device that works");
        for n in 1..40 {
            match failing(&emulated, call, n, OUT_OF_MEMORY) {
                Ok(result) => assert_eq!(result, expected, "{name}"),
                Err(error) => assert!(error.to_string().contains("out of memory"), "{name}: {error}"),
            }
        }
    }
}

/// However much less memory the device has than was free when it was opened, users go in smaller blocks.
#[test]
fn smaller_blocks() {
    let Some(emulated) = Emulated::take() else { return };
    let (users, items) = (table(700), table(70));
    let rows: Vec<u32> = (0..700).collect();
    let [mut expected, mut got] = [DMatrix::zeros(0, 0), DMatrix::zeros(0, 0)];
    Cpu.scores(&users, &rows, &items, &mut expected).expect("scores");
    let lists = Cpu.top_k(&users, &rows, &items, None, 5).expect("lists");
    for memory in [1 << 20, 1 << 18, 1 << 17, 1 << 16] {
        emulated.memory(1 << 30);
        let cuda = open();
        emulated.memory(memory);
        cuda.scores(&users, &rows, &items, &mut got).expect("scores in smaller blocks");
        assert!(got == expected, "{memory} bytes");
        assert_eq!(cuda.top_k(&users, &rows, &items, None, 5).expect("lists in smaller blocks"), lists);
    }
}

/// What was made on one thread may go on another one, which has not used the device yet.
#[test]
fn freed_on_another_thread() {
    let Some(emulated) = Emulated::take() else { return };
    let (train, users, items) = (train(), Classes::one(3), Classes::one(70));
    let (of, squash) = (Pointwise::Score, Squash::Tanh);
    let problem = CellProblem { rank: 4, width: 4, train: &train, squash, of, users: &users, items: &items };
    let cuda = open();
    let passes = cuda.cell_passes(&problem).expect("the device works");
    thread::spawn(|| drop(passes)).join().expect("no panic");
    scores(&cuda).expect("the device works on");
    thread::spawn(|| drop(cuda)).join().expect("no panic");
    assert_eq!(emulated.live_allocations(), 0);
}
