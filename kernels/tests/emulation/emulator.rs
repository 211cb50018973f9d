//! What the emulator computes, and what the stand-in driver refuses.
#![expect(unsafe_code, reason = "launches foreign code")]

use crate::emulated::Emulated;
use crate::small_kernels::{SmallKernels, config};
use cudarc::driver::sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
use cudarc::driver::sys::cudaError_enum as Code;
use cudarc::driver::{DriverError, LaunchConfig, PushKernelArg};

/// Does it in several orders of threads.
fn in_several_orders(test: impl Fn(&SmallKernels)) {
    let Some(emulated) = Emulated::take() else { return };
    for seed in 0..4 {
        emulated.seed(seed);
        test(&SmallKernels::new());
        assert_eq!(emulated.live_allocations(), 0);
    }
}

#[test]
fn threads_beyond_the_end_do_nothing() {
    in_several_orders(|small| {
        let (a, b): (Vec<f32>, Vec<f32>) = (0..300).map(|i| (i as f32, 0.5 * i as f32)).unzip();
        let (from_a, from_b) = (small.stream.clone_htod(&a).unwrap(), small.stream.clone_htod(&b).unwrap());
        let mut sum = small.stream.alloc_zeros::<f32>(300).unwrap();
        let add = small.function("emulator_add");
        let mut launch = small.stream.launch_builder(&add);
        launch.arg(&from_a).arg(&from_b).arg(&mut sum).arg(&300u32);
        unsafe { launch.launch(config(3, 128, 0)) }.unwrap();
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(small.stream.clone_dtoh(&sum).unwrap(), expected);
    });
}

#[test]
fn lanes_exchange_values() {
    in_several_orders(|small| {
        let values: Vec<u32> = (0..256).map(|i| i * i).collect();
        let (from, mut sums) = (small.stream.clone_htod(&values).unwrap(), small.zeros(8));
        let function = small.function("emulator_warp_sums");
        let mut launch = small.stream.launch_builder(&function);
        launch.arg(&from).arg(&mut sums);
        unsafe { launch.launch(config(2, 128, 0)) }.unwrap();
        let expected: Vec<u32> = values.chunks(32).map(|warp| warp.iter().sum()).collect();
        assert_eq!(small.stream.clone_dtoh(&sums).unwrap(), expected);
    });
}

#[test]
fn copies_arrive_when_they_are_waited_for() {
    in_several_orders(|small| {
        let side = 64;
        let values: Vec<f32> = (0..side * side).map(|i| i as f32).collect();
        let from = small.stream.clone_htod(&values).unwrap();
        let mut to = small.stream.alloc_zeros::<f32>(side * side).unwrap();
        let function = small.function("emulator_transpose");
        let mut launch = small.stream.launch_builder(&function);
        launch.arg(&from).arg(&mut to).arg(&2u32);
        let config = LaunchConfig { grid_dim: (2, 2, 1), block_dim: (256, 1, 1), shared_mem_bytes: 4096 };
        unsafe { launch.launch(config) }.unwrap();
        let expected: Vec<f32> = (0..side * side).map(|i| values[i % side * side + i / side]).collect();
        assert_eq!(small.stream.clone_dtoh(&to).unwrap(), expected);
    });
}

/// The nearest number of 10 bits, by arithmetic.
fn tf32(x: f32) -> f32 {
    let unit = 2f64.powi(x.abs().log2().floor() as i32 - 10);
    ((f64::from(x) / unit).round() * unit) as f32
}

#[test]
fn warps_multiply_matrices() {
    in_several_orders(|small| {
        let [a, b] =
            [128, 64].map(|len| (0..len).map(|i| 1.0 + (i * 7919 % 1013) as f32 / 777.0).collect::<Vec<f32>>());
        let (from_a, from_b) = (small.stream.clone_htod(&a).unwrap(), small.stream.clone_htod(&b).unwrap());
        let mut out = small.stream.alloc_zeros::<f32>(128).unwrap();
        let function = small.function("emulator_product");
        let mut launch = small.stream.launch_builder(&function);
        launch.arg(&from_a).arg(&from_b).arg(&mut out);
        unsafe { launch.launch(config(1, 32, 0)) }.unwrap();
        for (at, got) in small.stream.clone_dtoh(&out).unwrap().into_iter().enumerate() {
            let (row, column) = (at / 8, at % 8);
            let sum: f64 = (0..8).map(|k| f64::from(tf32(a[row * 8 + k])) * f64::from(tf32(b[k * 8 + column]))).sum();
            assert!((f64::from(got) - sum).abs() < 1e-6 * sum, "row {row}, column {column}: {got}, expected {sum}");
        }
    });
}

#[test]
fn atomics_lose_no_count() {
    in_several_orders(|small| {
        let values: Vec<u8> = (0..1000u32).map(|i| (i * i % 251) as u8).collect();
        let (from, mut histogram) = (small.stream.clone_htod(&values).unwrap(), small.zeros(16));
        let function = small.function("emulator_histogram");
        let mut launch = small.stream.launch_builder(&function);
        launch.arg(&from).arg(&1000u32).arg(&mut histogram);
        unsafe { launch.launch(config(3, 64, 0)) }.unwrap();
        let expected: Vec<u32> = (0..16).map(|v| values.iter().filter(|&&x| x % 16 == v).count() as u32).collect();
        assert_eq!(small.stream.clone_dtoh(&histogram).unwrap(), expected);
    });
}

#[test]
fn launches_beyond_limits_are_refused() {
    let Some(_emulated) = Emulated::take() else { return };
    let small = SmallKernels::new();
    let function = small.function("misuse_race_of_blocks");
    let mut memory = small.zeros(64);
    let mut launch = |config| small.launch(&function, &mut memory, 32, config);
    let refused = Err(DriverError(Code::CUDA_ERROR_INVALID_VALUE));
    let grid = |x, y, z| LaunchConfig { grid_dim: (x, y, z), block_dim: (32, 1, 1), shared_mem_bytes: 0 };
    assert_eq!(launch(config(1, 65, 0)), refused, "more threads than the kernel has");
    assert_eq!(launch(config(0, 64, 0)), refused);
    assert_eq!(launch(config(1, 0, 0)), refused);
    assert_eq!(launch(grid(1, 65536, 1)), refused);
    assert_eq!(launch(grid(1, 1, 65536)), refused);
    assert_eq!(launch(config(1, 64, 48 * 1024)), Ok(()));
    assert_eq!(launch(config(1, 64, 48 * 1024 + 1)), refused, "nothing was said of that much shared memory");
    let allow = |bytes| function.set_attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
    assert_eq!(allow(227 * 1024 + 1), refused);
    assert_eq!(allow(227 * 1024), Ok(()));
    assert_eq!(launch(config(1, 64, 227 * 1024)), Ok(()));
    assert_eq!(launch(config(1, 64, 227 * 1024 + 1)), refused);
}

#[test]
fn memory_is_counted_and_limited() {
    let Some(emulated) = Emulated::take() else { return };
    emulated.memory(1 << 20);
    let small = SmallKernels::new();
    let all = unsafe { small.stream.alloc::<u8>(1 << 20) }.unwrap();
    assert_eq!(small.stream.context().mem_get_info(), Ok((0, 1 << 20)));
    assert_eq!(unsafe { small.stream.alloc::<u8>(1) }.err(), Some(DriverError(Code::CUDA_ERROR_OUT_OF_MEMORY)));
    assert!(small.stream.clone_dtoh(&all).unwrap().into_iter().all(|byte| byte == 0xa5), "new memory holds no zeros");
    assert_eq!(emulated.live_allocations(), 1);
    drop(all);
    assert_eq!(emulated.live_allocations(), 0);
}

#[test]
fn bad_copies_and_frees_are_refused() {
    use cudarc::driver::result::{free_sync, malloc_sync, memcpy_dtoh_sync, memcpy_htod_sync};
    let Some(_emulated) = Emulated::take() else { return };
    let _small = SmallKernels::new();
    let refused = Err(DriverError(Code::CUDA_ERROR_INVALID_VALUE));
    unsafe {
        let at = malloc_sync(64).unwrap();
        assert_eq!(memcpy_htod_sync(at, &[0u8; 65]), refused);
        assert_eq!(memcpy_htod_sync(at + 1, &[0u8; 64]), refused);
        assert_eq!(memcpy_htod_sync(at, &[7u8; 64]), Ok(()));
        let mut back = [0u8; 65];
        assert_eq!(memcpy_dtoh_sync(&mut back, at), refused);
        assert_eq!(free_sync(at + 1), refused);
        assert_eq!(free_sync(at), Ok(()));
        assert_eq!(free_sync(at), refused);
    }
}

#[test]
fn a_lost_device_stays_lost() {
    let Some(emulated) = Emulated::take() else { return };
    let small = SmallKernels::new();
    let function = small.function("misuse_race_of_blocks");
    let mut memory = small.zeros(64);
    emulated.fail_after(2, crate::emulated::LAUNCH_FAILED);
    let lost = DriverError(Code::CUDA_ERROR_LAUNCH_FAILED);
    assert_eq!(small.launch(&function, &mut memory, 32, config(1, 64, 0)), Ok(()));
    assert_eq!(small.launch(&function, &mut memory, 32, config(1, 64, 0)), Err(lost));
    assert_eq!(small.stream.synchronize(), Err(lost));
    assert_eq!(small.stream.clone_dtoh(&memory).err(), Some(lost));
    drop(memory);
    assert_eq!(emulated.live_allocations(), 0);
}

#[test]
fn names_that_no_module_holds_are_not_found() {
    let Some(_emulated) = Emulated::take() else { return };
    let small = SmallKernels::new();
    let context = small.stream.context();
    let load = |text: &str| context.load_module(text.to_owned().into());
    let module = load(".version 8.0\n.target sm_80\n.visible .entry emulator_add(\n)").unwrap();
    assert!(module.load_function("emulator_add").is_ok());
    assert_eq!(
        module.load_function("emulator_product").err(),
        Some(DriverError(Code::CUDA_ERROR_NOT_FOUND)),
        "compiled in, but not part of the module"
    );
    assert_eq!(load("nonsense").err(), Some(DriverError(Code::CUDA_ERROR_INVALID_IMAGE)));
    let newer = load(".version 8.0\n.target sm_100\n.visible .entry emulator_add(\n)");
    assert_eq!(newer.err(), Some(DriverError(Code::CUDA_ERROR_NO_BINARY_FOR_GPU)));
}
