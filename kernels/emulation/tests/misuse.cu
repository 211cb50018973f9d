// Kernels that do what they must not, one thing each, for tests that the emulator notices. Each takes memory of 64
// numbers and a number that it can not foresee, 32.
#include "../../cu/port.h"

#define MISUSE(name) KERNEL(64, 1) name(u32* memory, u32 half)

MISUSE(misuse_divergent_barrier) {
  if (threadIdx.x < half) __syncthreads();
  memory[threadIdx.x] = 1;
  __syncthreads();
}
EXPORT(misuse_divergent_barrier)

MISUSE(misuse_early_exit) {
  if (threadIdx.x == half) return;
  __syncthreads();
  memory[threadIdx.x] = 1;
}
EXPORT(misuse_early_exit)

MISUSE(misuse_missing_lane) {
  if (threadIdx.x % WARP < half - 1) memory[threadIdx.x] = __shfl_xor_sync(ALL_LANES, threadIdx.x, 1);
}
EXPORT(misuse_missing_lane)

MISUSE(misuse_lane_outside_mask) {
  if (threadIdx.x % WARP < half / 2) memory[threadIdx.x] = __shfl_xor_sync(0xffffu, threadIdx.x, 16);
}
EXPORT(misuse_lane_outside_mask)

MISUSE(misuse_lane_not_in_own_mask) { memory[threadIdx.x] = __ballot_sync(ALL_LANES >> (half / 2), 1); }
EXPORT(misuse_lane_not_in_own_mask)

MISUSE(misuse_dynamic_overrun) {
  DYNAMIC_SHARED(u32, shared);
  shared[threadIdx.x + half] = half;
  memory[threadIdx.x] = shared[threadIdx.x];
}
EXPORT(misuse_dynamic_overrun)

MISUSE(misuse_static_overrun) {
  SHARED u32 shared[64];
  shared[threadIdx.x + half] = half;
  memory[threadIdx.x] = shared[threadIdx.x];
}
EXPORT(misuse_static_overrun)

MISUSE(misuse_read_past_end) {
  u32 next = memory[threadIdx.x + 1];
  __syncthreads();
  memory[threadIdx.x] = next;
}
EXPORT(misuse_read_past_end)

MISUSE(misuse_write_before_start) { memory[static_cast<long long>(threadIdx.x) - half] = 0; }
EXPORT(misuse_write_before_start)

MISUSE(misuse_misaligned) {
  float4 four = reinterpret_cast<float4*>(memory + threadIdx.x % half)[0];
  if (four.x == 1.0f) memory[0] = 1;
}
EXPORT(misuse_misaligned)

MISUSE(misuse_copy_not_waited_for) {
  SHARED __align__(16) u32 shared[4 * 64];
  copy_async(&shared[threadIdx.x * 4], memory + threadIdx.x / 4 * 4, threadIdx.x < half);
  commit_copies();
}
EXPORT(misuse_copy_not_waited_for)

MISUSE(misuse_copy_read_too_early) {
  SHARED __align__(16) u32 shared[4 * 64];
  copy_async(&shared[threadIdx.x * 4], memory + threadIdx.x / 4 * 4, threadIdx.x < half);
  commit_copies();
  memory[threadIdx.x] = shared[threadIdx.x * 4];
  wait_copies<0>();
}
EXPORT(misuse_copy_read_too_early)

MISUSE(misuse_race_of_warps) {
  SHARED u32 shared[64];
  shared[threadIdx.x] = threadIdx.x;
  memory[threadIdx.x] = shared[threadIdx.x ^ half];
}
EXPORT(misuse_race_of_warps)

MISUSE(misuse_race_in_warp) {
  SHARED u32 shared[64];
  shared[threadIdx.x] = threadIdx.x;
  __syncthreads();
  u32 other = shared[threadIdx.x ^ 1];
  shared[threadIdx.x] = other + __shfl_xor_sync(ALL_LANES, half, 1);
}
EXPORT(misuse_race_in_warp)

MISUSE(misuse_race_of_blocks) {
  if (threadIdx.x == 0) memory[0] = half + blockIdx.x;
}
EXPORT(misuse_race_of_blocks)

MISUSE(misuse_not_tf32) {
  float sums[4] = {};
  u32 left[4] = {}, right[2] = {__float_as_uint(0.1f), half};
  mma_tf32(sums, left, right);
  memory[threadIdx.x] = __float_as_uint(sums[0]);
}
EXPORT(misuse_not_tf32)

static __device__ __noinline__ u32 deep(u32 left, u32* memory) {
  volatile u32 here[64];
  here[left % 64] = left;
  return left ? deep(left - 1, memory) + here[left % 64] : memory[0];
}
MISUSE(misuse_deep_stack) { memory[threadIdx.x] = deep(half * 1000, memory); }
EXPORT(misuse_deep_stack)
