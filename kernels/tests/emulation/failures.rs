//! What the product does where a device is not as it should be.

use crate::emulated::{Emulated, ILLEGAL_ADDRESS};
use evenhand_core::Dense;
use evenhand_kernels::cuda::{Cuda, Options, Unavailable};
use nalgebra::DMatrix;

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

/// Whichever call fails, an error comes back and nothing stays behind.
#[test]
fn lost_device() {
    let Some(emulated) = Emulated::take() else { return };
    let options = Options { least_work: 0, ..Options::default() };
    let (users, items) = (DMatrix::from_element(4, 3, 1.0), DMatrix::from_element(4, 70, 1.0));
    let mut calls = 0;
    loop {
        let cuda = Cuda::open(options).expect("a device that works");
        calls += 1;
        emulated.fail_after(calls, ILLEGAL_ADDRESS);
        let result = cuda.scores(&users, &[0, 2], &items, &mut DMatrix::zeros(0, 0));
        drop(cuda);
        emulated.fail_after(0, 0);
        assert_eq!(emulated.live_allocations(), 0, "after {result:?}");
        if result.is_ok() {
            break;
        }
    }
    assert!(calls > 4, "copies of both factors, a launch, a copy of the scores: {calls}");
}
