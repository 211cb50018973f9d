//! That each kind of mistake in a kernel ends the process, with a word on what and where.

use crate::child::run_test;
use crate::emulated::Emulated;
use crate::small_kernels::{SmallKernels, config};
use std::env;
use std::time::Duration;

const KERNEL: &str = "EVENHAND_EMULATED_MISUSE";

/// Does what a variable of the environment says, in a process of its own.
#[test]
fn make_mistake() {
    let Ok(kernel) = env::var(KERNEL) else { return };
    let Some(emulated) = Emulated::take() else { return };
    emulated.case("misuse");
    let small = SmallKernels::new();
    let mut memory = small.zeros(64);
    let launched = small.launch(&small.function(&kernel), &mut memory, 32, config(2, 64, 256));
    println!("nobody has noticed: {launched:?}");
}

/// Demands that the kernel ends its process with this message.
fn is_noticed(kernel: &str, message: &str) {
    let Some(emulated) = Emulated::take() else { return };
    drop(emulated);
    let ended = run_test("misuse::make_mistake", &[(KERNEL, kernel)], Duration::from_secs(60));
    let start = format!("emulator: misuse: kernel {kernel}, block (");
    let noticed = !ended.succeeded && !ended.hung && ended.said.contains(&start) && ended.said.contains(message);
    assert!(noticed, "{kernel} should end with `{message}`:\n{}", ended.said);
}

macro_rules! noticed {
    ($($name:ident: $kernel:literal, $message:literal;)*) => {
        $(#[test]
        fn $name() {
            is_noticed($kernel, $message);
        })*
    };
}

noticed! {
    divergent_barrier: "misuse_divergent_barrier", "waits at the barrier of misuse.cu:";
    early_exit: "misuse_early_exit", "63 threads wait at the barrier of misuse.cu:";
    missing_lane: "misuse_missing_lane", "62 threads wait in __shfl_xor_sync with the mask ffffffff at misuse.cu:";
    lane_outside_mask: "misuse_lane_outside_mask", "reads lane 16, which is outside the mask 0000ffff";
    lane_not_in_own_mask: "misuse_lane_not_in_own_mask", "the lane is not in its own mask 0000ffff";
    dynamic_overrun: "misuse_dynamic_overrun", "0 bytes past the end of 256 bytes of dynamic shared memory";
    static_overrun: "misuse_static_overrun", "an index outside its array";
    read_past_end: "misuse_read_past_end", "reads 4 bytes outside device and shared memory, 0 bytes past the end";
    write_before_start: "misuse_write_before_start", "bytes before an allocation of 256 bytes";
    misaligned: "misuse_misaligned", "an address that is not aligned";
    copy_not_waited_for: "misuse_copy_not_waited_for", "copies to shared memory that it has not waited for";
    copy_read_too_early: "misuse_copy_read_too_early", "not yet waited for, will change (misuse.cu:";
    race_of_warps: "misuse_race_of_warps", "of shared memory (misuse.cu:";
    race_in_warp: "misuse_race_in_warp", "race: writes the word at byte";
    race_of_blocks: "misuse_race_of_blocks", "of another block wrote (misuse.cu:";
    not_tf32: "misuse_not_tf32", "b[0] has more bits than TF32";
    deep_stack: "misuse_deep_stack", "bytes of stack";
}
