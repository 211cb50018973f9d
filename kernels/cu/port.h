// What the kernels are written in: the few words that differ between a GPU and the emulator, which compiles the same
// files for the host (see ../emulation). A kernel file uses nothing of CUDA C++ but this, the built-in variables and
// intrinsics that the emulator knows.
#pragma once
#if defined(__CUDACC__)

typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;

// A kernel of that many threads a block, at least so many blocks at a time on a multiprocessor.
#define KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
// After the body: makes the kernel known to the emulator.
#define EXPORT(name)
// Declares shared memory of a size known when compiled, inside a function.
#define SHARED __shared__
// Names the shared memory whose size the launch decides; 16-byte aligned, one per kernel.
#define DYNAMIC_SHARED(type, name)                            \
  extern __shared__ __align__(16) unsigned char raw_shared[]; \
  type* name = reinterpret_cast<type*>(raw_shared)

// Starts to copy 16 bytes to shared memory, both addresses 16-byte aligned; zeros where it is not `there`. They are
// there for the thread itself after wait_copies, for the others after a barrier then.
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool there) {
  u32 to = static_cast<u32>(__cvta_generic_to_shared(shared));
  int bytes = there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
}
// Closes a group of copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most so many of the groups last closed are under way.
template <int left>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

// Stores what is not read again soon.
__device__ __forceinline__ void store_streaming(float4* to, float4 value) { __stcs(to, value); }

// 2^x within 2^-22 of it, 1 for 0; what is below 2^-126 may be 0.
__device__ __forceinline__ float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1 / x within 2^-23 of it, for x from 2^-126 to 2^126.
__device__ __forceinline__ float fast_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The larger and the smaller one; NaN where one is NaN, not the other one as of fmaxf and fminf.
__device__ __forceinline__ float max_or_nan(float x, float y) {
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(x), "f"(y));
  return larger;
}
__device__ __forceinline__ float min_or_nan(float x, float y) {
  float smaller;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(smaller) : "f"(x), "f"(y));
  return smaller;
}

// D += A B of a whole warp, A 16 x 8, B 8 x 8, both in TF32, fragments as in the PTX manual for mma.m16n8k8: with
// g = lane / 4 and t = lane % 4, a = A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4]; b = B[t][g], B[t+4][g];
// d = D[g][2t], D[g][2t+1], D[g+8][2t], D[g+8][2t+1].
__device__ __forceinline__ void mma_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#else
#include "emulator.h"
#endif

// Lanes of a warp, and all of them in a mask.
constexpr u32 WARP = 32;
constexpr u32 ALL_LANES = 0xffffffffu;
