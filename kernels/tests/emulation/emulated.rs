//! Hold of the emulated device, and of what a test can set about it.
#![expect(unsafe_code, reason = "calls the emulator, which is C++")]

use crate::compile::{Missing, library};
use libloading::Library;
use std::env;
use std::ffi::{CString, c_char};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Names the library to load instead of the one that the sources give.
pub(crate) const LIBRARY: &str = "EVENHAND_EMULATED_LIBRARY";

/// The error of a launch that fails, after which a device is lost.
pub(crate) const LAUNCH_FAILED: i32 = 719;
/// The error of an access to memory that is not there, after which a device is lost.
pub(crate) const ILLEGAL_ADDRESS: i32 = 700;

/// The error of an allocation for which there is no room; the device works on.
pub(crate) const OUT_OF_MEMORY: i32 = 2;

/// Memory of the device if a test sets nothing.
const MEMORY: u64 = 1 << 30;

/// The emulated device. A process has one, and tests take it by turns; all settings are those of the start when a test
/// takes it.
pub(crate) struct Emulated {
    controls: &'static Controls,
    _turn: MutexGuard<'static, ()>,
}

struct Controls {
    set_seed: unsafe extern "C" fn(u64),
    set_case: unsafe extern "C" fn(*const c_char),
    set_memory: unsafe extern "C" fn(u64),
    set_capability: unsafe extern "C" fn(i32, i32),
    set_multiprocessors: unsafe extern "C" fn(i32),
    set_devices: unsafe extern "C" fn(i32),
    fail_after: unsafe extern "C" fn(u64, i32),
    live_allocations: unsafe extern "C" fn() -> u64,
    launches: unsafe extern "C" fn() -> u64,
}

impl Emulated {
    /// Waits for the turn of this test. `None`: this machine can not emulate, and the test is to end at once.
    pub(crate) fn take() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let controls = match Controls::loaded() {
            Ok(controls) => controls,
            Err(reason) => {
                println!("skipped: {reason}");
                assert!(env::var_os("EVENHAND_REQUIRE_EMULATION").is_none(), "emulation is required, but {reason}");
                return None;
            }
        };
        // A test that has panicked leaves nothing but settings, which are set anew.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let emulated = Self { controls, _turn: turn };
        emulated.fail_after(0, 0);
        emulated.seed(0);
        emulated.case("");
        emulated.memory(MEMORY);
        emulated.capability(9, 0);
        emulated.multiprocessors(132);
        emulated.devices(1);
        Some(emulated)
    }

    /// Decides the order in which the threads of later launches take their turns; 0 is the order of their numbers.
    pub(crate) fn seed(&self, seed: u64) {
        // SAFETY: sets a number, under a lock of the library.
        unsafe { (self.controls.set_seed)(seed) }
    }

    /// What the reports of the emulator are to begin with.
    pub(crate) fn case(&self, name: &str) {
        let name = CString::new(name).expect("a name without zeros");
        // SAFETY: the text is copied.
        unsafe { (self.controls.set_case)(name.as_ptr()) }
    }

    /// Memory of the device in bytes, of which allocations may take as much.
    pub(crate) fn memory(&self, bytes: u64) {
        // SAFETY: as for the seed.
        unsafe { (self.controls.set_memory)(bytes) }
    }

    /// Its compute capability.
    pub(crate) fn capability(&self, major: i32, minor: i32) {
        // SAFETY: as for the seed.
        unsafe { (self.controls.set_capability)(major, minor) }
    }

    /// Its multiprocessors.
    pub(crate) fn multiprocessors(&self, count: i32) {
        // SAFETY: as for the seed.
        unsafe { (self.controls.set_multiprocessors)(count) }
    }

    /// How many devices there are, at most 8; they share all settings.
    pub(crate) fn devices(&self, count: i32) {
        // SAFETY: as for the seed.
        unsafe { (self.controls.set_devices)(count) }
    }

    /// The `calls`-th call from now on that launches, copies, fills or allocates gives this error of the driver, and
    /// any call after it too, unless it is that of an invalid value (1) or of too little memory (2). With 0 calls
    /// nothing fails any more.
    pub(crate) fn fail_after(&self, calls: u64, error: i32) {
        // SAFETY: as for the seed.
        unsafe { (self.controls.fail_after)(calls, error) }
    }

    /// Allocations on the device that are not freed.
    pub(crate) fn live_allocations(&self) -> u64 {
        // SAFETY: gives a number, under a lock of the library.
        unsafe { (self.controls.live_allocations)() }
    }

    /// Kernels launched until now.
    pub(crate) fn launches(&self) -> u64 {
        // SAFETY: as for the allocations.
        unsafe { (self.controls.launches)() }
    }
}

impl Controls {
    /// Loads the library, once, before anything asks cudarc for the driver.
    fn loaded() -> Result<&'static Self, &'static str> {
        static LOADED: OnceLock<Result<Controls, &'static str>> = OnceLock::new();
        let load = || {
            let path = match env::var_os(LIBRARY) {
                Some(path) => PathBuf::from(path),
                None => match library(None) {
                    Ok(path) => path,
                    Err(Missing::Skipped(reason)) => return Err(reason),
                    Err(Missing::Broken(reason)) => panic!("{reason}"),
                },
            };
            // SAFETY: its initialisers list the kernels and do nothing else.
            let library = unsafe { Library::new(&path) }.expect("the library just made");
            // It must stay: cudarc calls it until the process ends.
            let library: &'static Library = Box::leak(Box::new(library));
            Ok(Self {
                set_seed: symbol(library, "emulated_set_seed"),
                set_case: symbol(library, "emulated_set_case"),
                set_memory: symbol(library, "emulated_set_memory"),
                set_capability: symbol(library, "emulated_set_capability"),
                set_multiprocessors: symbol(library, "emulated_set_multiprocessors"),
                set_devices: symbol(library, "emulated_set_devices"),
                fail_after: symbol(library, "emulated_fail_after"),
                live_allocations: symbol(library, "emulated_live_allocations"),
                launches: symbol(library, "emulated_launches"),
            })
        };
        LOADED.get_or_init(load).as_ref().map_err(|reason| *reason)
    }
}

fn symbol<F: Copy>(library: &'static Library, name: &str) -> F {
    // SAFETY: types of the controls are those in launches.cpp.
    *unsafe { library.get::<F>(name.as_bytes()) }.unwrap_or_else(|error| panic!("{name}: {error}"))
}
