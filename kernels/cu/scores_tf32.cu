// Scores of all items for some users by tensor cores, with nearly the error of single precision.
//
// Tensor cores multiply numbers of 11 significant bits (TF32). So each factor x is split into high = x rounded to 11
// bits and low = the rest rounded to 11 bits, and of the four products three are taken: low high + high low + high
// high. The sum over 8 factors starts from zero, the small products first, and is added to the score outside of the
// tensor core, which would cut off what does not fit instead of rounding it. Ootomo & Yokota 2022, "Recovering single
// precision accuracy from Tensor Cores while surpassing the FP32 theoretical peak performance".
//
// With S = sum |u_f v_f| over the d factors, the error of a score is at most (15 + d/16) 2^-23 S:
// - x - high is exact: a multiple of the last bit of x, at most 2^-11 |x|, thus of 13 bits. Cut to 11 of them it is off
//   by at most the last bit of x: r = x - high - low has |r| <= 2^-23 |x|, and |low| <= 2^-11 |x|. So the three
//   products miss |u v - (high + low)(high + low)| + |low low| <= (2^-22 + 2^-22) |u v|: 4 units of 2^-23 S.
// - A tensor core's products are exact, of 22 bits. If it shifts 8 of them and the start to the largest exponent, cuts
//   each to 24 bits and cuts their sum, it is off by at most 10 units of 2^-23 of the sum of their magnitudes. 9
//   additions one after the other, each cut to 24 bits, are off by less. The last start and the two small sums are 2^-9
//   of it: 10.04 units in all.
// - d/8 + 1 additions at most, each rounded: half a unit each.
// The chain of fused multiply-adds of `scores` is off by at most (d/2) units: more from d = 35 on.
//
// Parts of factors and products below 2^-126 may count as zero, as PTX leaves open how tensor cores take such numbers.
// That adds at most 2^-125 sum (|u_f| + |v_f| + 2). Factors above 2^127 would have an infinite high part: they are not
// for this.
#include "tile.h"

// 72 numbers between factors: half a warp, which reads 4 factors of 4 pairs of entities at once, reads all 32 banks.
using TensorScores = Tile<2, 2, PANEL + 8>;

struct Halves {
  u32 high, low;
};

// The nearest number with the 10 bits of TF32, ties away from zero, of a finite number where that is finite. The
// device's instruction looks at the others too, which would take half the time of a split.
__device__ __forceinline__ u32 rounded(float x) { return (__float_as_uint(x) + 0x1000u) & 0xffffe000u; }

__device__ __forceinline__ Halves split(float x) {
  u32 high = rounded(x);
  return {high, rounded(x - __uint_as_float(high))};
}

// Each of the 8 warps holds the scores of the 64 users of a panel against 32 items: 4 x 2 x 2 results of 16 x 8. Row r
// of a result is user 2 (r % 8) + r / 8 of its 16, column c of the first or second of a pair item 2 c, or 2 c + 1, of
// its 16. So a thread reads two neighbours at a time, and 4 of its scores are neighbours, too.
struct Warp {
  static constexpr u32 ROWS = 4, PAIRS = 2;
  typedef float Sums[ROWS][PAIRS][2][4];

  // The panels, the first of the 32 items in theirs, and this thread's place among fours and in its four.
  static __device__ __forceinline__ u32 user_panel() { return threadIdx.x / 128; }
  static __device__ __forceinline__ u32 item_panel() { return threadIdx.x / 64 % 2; }
  static __device__ __forceinline__ u32 first_item() { return threadIdx.x / 32 % 2 * 32; }
  static __device__ __forceinline__ u32 group() { return threadIdx.x % 32 / 4; }
  static __device__ __forceinline__ u32 member() { return threadIdx.x % 4; }

  static __device__ __forceinline__ void multiply(const TensorScores::Slabs& slabs, Sums& sums) {
#pragma unroll 1
    for (u32 first = 0; first < SLAB; first += 8) {
      u32 high[PAIRS][2][2], low[PAIRS][2][2];
#pragma unroll
      for (u32 p = 0; p < PAIRS; p++)
#pragma unroll
        for (u32 f = 0; f < 2; f++) {
          const float* from = &slabs.items[item_panel()][first + 4 * f + member()][first_item() + 16 * p + 2 * group()];
          float2 items = *reinterpret_cast<const float2*>(from);
          Halves even = split(items.x), odd = split(items.y);
          high[p][0][f] = even.high, high[p][1][f] = odd.high;
          low[p][0][f] = even.low, low[p][1][f] = odd.low;
        }
#pragma unroll
      for (u32 r = 0; r < ROWS; r++) {
        u32 user_high[4], user_low[4];
#pragma unroll
        for (u32 f = 0; f < 2; f++) {
          const float* from = &slabs.users[user_panel()][first + 4 * f + member()][16 * r + 2 * group()];
          float2 users = *reinterpret_cast<const float2*>(from);
          Halves even = split(users.x), odd = split(users.y);
          user_high[2 * f] = even.high, user_high[2 * f + 1] = odd.high;
          user_low[2 * f] = even.low, user_low[2 * f + 1] = odd.low;
        }
#pragma unroll
        for (u32 p = 0; p < PAIRS; p++)
#pragma unroll
          for (u32 side = 0; side < 2; side++) {
            float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            mma_tf32(sum, user_low, high[p][side]);
            mma_tf32(sum, user_high, low[p][side]);
            mma_tf32(sum, user_high, high[p][side]);
#pragma unroll
            for (u32 q = 0; q < 4; q++) sums[r][p][side][q] += sum[q];
          }
      }
    }
  }
};

// out[u * stride + i] for `user_count` users and `item_count` items. The stride is a multiple of 4: rows are written 16
// bytes at a time, up to 3 numbers more than there are items. Grid: tiles of 128 items x tiles of 128 users.
KERNEL(256, 2)
scores_tf32(const float* __restrict__ users, const float* __restrict__ items, float* __restrict__ out, u32 user_count,
            u32 item_count, u32 rank, u64 stride) {
  SHARED __align__(16) TensorScores::Shared shared;
  Warp::Sums sums;
#pragma unroll
  for (u32 r = 0; r < Warp::ROWS; r++)
#pragma unroll
    for (u32 p = 0; p < Warp::PAIRS; p++)
#pragma unroll
      for (u32 q = 0; q < 8; q++) sums[r][p][q / 4][q % 4] = 0.0f;
  u32 user_panels = (user_count + PANEL - 1) / PANEL, item_panels = (item_count + PANEL - 1) / PANEL;
  TensorScores::each_slab(shared, users, blockIdx.y * 2, user_panels, items, blockIdx.x * 2, item_panels, rank,
                          [&](const TensorScores::Slabs& slabs) { Warp::multiply(slabs, sums); });
  u32 first_user = blockIdx.y * TensorScores::USERS + Warp::user_panel() * PANEL + 2 * Warp::group();
  u32 first_item = blockIdx.x * TensorScores::ITEMS + Warp::item_panel() * PANEL + Warp::first_item();
#pragma unroll
  for (u32 r = 0; r < Warp::ROWS; r++)
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      u32 user = first_user + 16 * r + half;
      if (user >= user_count) continue;
#pragma unroll
      for (u32 p = 0; p < Warp::PAIRS; p++) {
        u32 item = first_item + 16 * p + 4 * Warp::member();
        if (item >= item_count) continue;
        float four[4];
#pragma unroll
        for (u32 q = 0; q < 4; q++) four[q] = sums[r][p][q % 2][2 * half + q / 2];
        store_streaming(reinterpret_cast<float4*>(out + user * stride + item),
                        make_float4(four[0], four[1], four[2], four[3]));
      }
    }
}
EXPORT(scores_tf32)
