// Small kernels with known results, for tests of the emulator itself.
#include "../../cu/port.h"

KERNEL(128, 1) emulator_add(const float* a, const float* b, float* sum, u32 count) {
  u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) sum[i] = a[i] + b[i];
}
EXPORT(emulator_add)

// The sum of each warp's 32 numbers, by lane 0.
KERNEL(128, 1) emulator_warp_sums(const u32* values, u32* sums) {
  u32 i = blockIdx.x * blockDim.x + threadIdx.x, sum = values[i];
  for (u32 apart = WARP / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, apart);
  u64 both = __shfl_down_sync(ALL_LANES, static_cast<u64>(sum) << 32, 1);
  bool odd = __any_sync(ALL_LANES, both >> 32 != sum);
  if (threadIdx.x % WARP == 0) sums[i / WARP] = odd ? 0 : sum;
}
EXPORT(emulator_warp_sums)

// Transposes tiles of 32 x 32 numbers of a square of so many tiles, through shared memory.
template <u32 side>
__device__ void transpose(const float* from, float* to, u32 tiles) {
  SHARED __align__(16) float tile[side][side];
  DYNAMIC_SHARED(float, turned);
  u32 row = threadIdx.x / 8, column = threadIdx.x % 8 * 4, stride = tiles * side;
  copy_async(&tile[row][column], from + (blockIdx.y * side + row) * stride + blockIdx.x * side + column, true);
  commit_copies();
  wait_copies<0>();
  __syncthreads();
  for (u32 i = 0; i < 4; i++) turned[row * side + column + i] = tile[column + i][row];
  __syncthreads();
  float* start = to + (blockIdx.x * side + row) * stride + blockIdx.y * side + column;
  store_streaming(reinterpret_cast<float4*>(start), *reinterpret_cast<const float4*>(&turned[row * side + column]));
}
KERNEL(256, 1) emulator_transpose(const float* from, float* to, u32 tiles) { transpose<32>(from, to, tiles); }
EXPORT(emulator_transpose)

__device__ __forceinline__ u32 to_tf32(float x) { return (__float_as_uint(x) + 0x1000u) & 0xffffe000u; }
// out = a b of 16 x 8 and 8 x 8, after rounding both to TF32.
KERNEL(32, 1) emulator_product(const float* a, const float* b, float* out) {
  u32 g = threadIdx.x / 4, t = threadIdx.x % 4;
  u32 left[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]), to_tf32(a[g * 8 + t + 4]),
                 to_tf32(a[(g + 8) * 8 + t + 4])};
  u32 right[2] = {to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g])};
  float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  mma_tf32(sums, left, right);
  for (u32 i = 0; i < 4; i++) out[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = sums[i];
}
EXPORT(emulator_product)

// How often each of 16 values occurs, counted in shared memory first.
KERNEL(64, 1) emulator_histogram(const u8* values, u32 count, u32* histogram) {
  SHARED u32 counts[16];
  if (threadIdx.x < 16) counts[threadIdx.x] = 0;
  __syncthreads();
  for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    atomicAdd(&counts[values[i] % 16], 1u);
  __syncthreads();
  if (threadIdx.x < 16) atomicAdd(&histogram[threadIdx.x], counts[threadIdx.x]);
}
EXPORT(emulator_histogram)
