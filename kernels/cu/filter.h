// Scores of a tile that reach a level of their row: which ones, and each of them in turn.
//
// Most scores of a row that is well under way reach nothing. So the way past all of them costs one comparison a
// score, and what is done with the others is written once, in a loop over the bits of a mask, not once for each
// register.
#pragma once
#include "tile.h"

// One bit for each score of a thread, bit 8 i + j for row `i` and column `j`: whether it is at least `levels[i]`.
// Nothing reaches NaN.
__device__ __forceinline__ u32 reaching(const float (&sums)[4][8], const float (&levels)[4]) {
  // A chain of comparisons waits for each of them, several do not wait for each other.
  bool any[4] = {false, false, false, false};
#pragma unroll
  for (u32 j = 0; j < 8; j++)
#pragma unroll
    for (u32 i = 0; i < 4; i++) any[i] |= sums[i][j] >= levels[i];
  u32 mask = 0;
  if (any[0] | any[1] | any[2] | any[3]) {
#pragma unroll
    for (u32 i = 0; i < 4; i++)
#pragma unroll
      for (u32 j = 0; j < 8; j++) mask |= sums[i][j] >= levels[i] ? 1u << (8 * i + j) : 0u;
  }
  return mask;
}

// The score of bit `at`. Registers have no index: five rounds of choices, each between two halves.
__device__ __forceinline__ float score_at(const float (&sums)[4][8], u32 at) {
  float row[8], half[4];
#pragma unroll
  for (u32 j = 0; j < 8; j++) {
    float low = at & 8 ? sums[1][j] : sums[0][j], high = at & 8 ? sums[3][j] : sums[2][j];
    row[j] = at & 16 ? high : low;
  }
#pragma unroll
  for (u32 j = 0; j < 4; j++) half[j] = at & 4 ? row[j + 4] : row[j];
  float even = at & 2 ? half[2] : half[0], odd = at & 2 ? half[3] : half[1];
  return at & 1 ? odd : even;
}
