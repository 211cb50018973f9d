// Rows of factors on their way into the layouts and the order in which the passes over all cells read them, and back.
#include "tile.h"

// From rows of `width` numbers, of which `rank` are factors: panels and rows of `stride` factors of the entities in
// `order`, both filled up with zeros to whole panels. Grid: panels x groups of 64 factors.
KERNEL(256, 2)
arrange(const float* __restrict__ from, const u32* __restrict__ order, float* __restrict__ panels,
        float* __restrict__ rows, u32 count, u32 rank, u64 width, u64 stride) {
  // A number more a row: no two lanes meet in a bank, whichever way they go through it.
  SHARED float turned[PANEL][PANEL + 1];
  u32 lane = threadIdx.x % PANEL, first = blockIdx.y * PANEL;
  for (u32 n = threadIdx.x / PANEL; n < PANEL; n += 4) {
    u32 slot = blockIdx.x * PANEL + n, factor = first + lane;
    float value = slot < count && factor < rank ? from[order[slot] * width + factor] : 0.0f;
    if (factor < stride) rows[slot * stride + factor] = value;
    turned[lane][n] = value;
  }
  __syncthreads();
  for (u32 n = threadIdx.x / PANEL; n < PANEL && first + n < rank; n += 4)
    panels[(static_cast<u64>(blockIdx.x) * rank + first + n) * PANEL + lane] = turned[n][lane];
}
EXPORT(arrange)

// Rows of `width` numbers in their old order, from the sum of `parts` partial ones, each `slots` rows of `stride`
// numbers in the new order. Numbers that are no factors become zero. Grid: 256 numbers each.
KERNEL(256, 2)
put_back(const float* __restrict__ from, const u32* __restrict__ order, float* __restrict__ to, u32 count, u32 rank,
         u32 parts, u64 slots, u64 width, u64 stride) {
  u64 at = blockIdx.x * static_cast<u64>(256) + threadIdx.x;
  u64 slot = at / width, factor = at % width;
  if (slot >= count) return;
  double sum = 0.0;
  if (factor < rank)
    for (u32 part = 0; part < parts; part++) sum += from[(part * slots + slot) * stride + factor];
  to[order[slot] * width + factor] = static_cast<float>(sum);
}
EXPORT(put_back)
