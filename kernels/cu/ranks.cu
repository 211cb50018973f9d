// Where scores of held-out items, the targets, stand among the scores of all items: no list is sorted and no score is
// written.
//
// The targets of a user ascend: t_0 <= t_1 <= ... Of all scores it is counted how many are greater than exactly so many
// targets, and how many of these equal the next one; sums over these counts, which the host forms, are the positions.
// What is held out or seen does not compete: its scores are computed once more, by the same chain, and taken out again.
// Counts are whole numbers, so that it makes no difference in which order they are added.
#include "filter.h"

using Scores = Tile<1, 2>;

constexpr u32 USERS = Scores::USERS;
// Up to so many targets of a user are compared with every score; of more, each score that reaches the lowest one is
// looked for among them.
constexpr u32 FEW = 16;
constexpr u32 NAN_BITS = 0x7fc00000u, NEGATIVE_INFINITY_BITS = 0xff800000u;

// Adds `by` to what is counted of scores that are greater than the first n targets of a user and no more, and that
// equal the next one. The targets are targets[first..end]; the counts of a user have one more place. That a score is
// greater than none is not counted: no position depends on it.
__device__ __forceinline__ void count(float score, const float* targets, u32 first, u32 end, u32 user, u32 by,
                                      u32* greater, u32* equal) {
  u32 low = first, high = end;
  while (low < high) {
    u32 middle = low + (high - low) / 2;
    if (targets[middle] < score)
      low = middle + 1;
    else
      high = middle;
  }
  u64 place = static_cast<u64>(low) + user;
  if (low > first) atomicAdd(&greater[place], by);
  if (low < end && targets[low] == score) atomicAdd(&equal[place], by);
}

// Counts the scores of all items. The targets of user u are targets[offsets[u]..offsets[u + 1]]; its counts, one
// more, start at offsets[u] + u of `greater` and `equal`, and are added to. Grid: panels of users x splits of `tiles`
// tiles of items. All scores must be finite.
KERNEL(256, 2)
ranks(const float* __restrict__ users, const float* __restrict__ items, const u32* __restrict__ offsets,
      const float* __restrict__ targets, u32* __restrict__ greater, u32* __restrict__ equal, u32 user_count,
      u32 item_count, u32 rank, u32 tiles) {
  SHARED __align__(16) Scores::Shared slabs;
  // Of users who have few: their targets, then NaN, and for each the scores that are higher and as high.
  SHARED float few[USERS][FEW];
  SHARED u32 higher[USERS][FEW], as_high[USERS][FEW];
  SHARED u32 few_counts[USERS];
  u32 first_user = blockIdx.x * USERS;
  for (u32 at = threadIdx.x; at < USERS * FEW; at += Scores::THREADS) {
    u32 row = at / FEW, place = at % FEW, user = first_user + row;
    u32 first = user < user_count ? offsets[user] : 0, all = user < user_count ? offsets[user + 1] - first : 0;
    bool there = all <= FEW && place < all;
    few[row][place] = there ? targets[first + place] : __uint_as_float(NAN_BITS);
    higher[row][place] = as_high[row][place] = 0;
    if (place == 0) few_counts[row] = all <= FEW ? all : 0;
  }
  // Of users who have many: the lowest.
  float lowest[Scores::ROWS], sums[Scores::ROWS][Scores::COLUMNS];
#pragma unroll
  for (u32 i = 0; i < Scores::ROWS; i++) {
    u32 user = first_user + Scores::user(i);
    u32 first = user < user_count ? offsets[user] : 0, all = user < user_count ? offsets[user + 1] - first : 0;
    lowest[i] = all > FEW ? targets[first] : __uint_as_float(NAN_BITS);
  }
  __syncthreads();

  u32 user_panels = (user_count + PANEL - 1) / PANEL, item_panels = (item_count + PANEL - 1) / PANEL;
  u32 all_tiles = (item_count + Scores::ITEMS - 1) / Scores::ITEMS;
  u32 end_tile = min(all_tiles, (blockIdx.y + 1) * tiles);
#pragma unroll 1
  for (u32 tile = blockIdx.y * tiles; tile < end_tile; tile++) {
    u32 first_item = tile * Scores::ITEMS;
    Scores::products(slabs, users, blockIdx.x, user_panels, items, tile * 2, item_panels, rank, sums);
    if (item_count - first_item < Scores::ITEMS) {
#pragma unroll
      for (u32 j = 0; j < Scores::COLUMNS; j++)
#pragma unroll
        for (u32 i = 0; i < Scores::ROWS; i++)
          if (Scores::item(j) >= item_count - first_item) sums[i][j] = __uint_as_float(NEGATIVE_INFINITY_BITS);
    }
#pragma unroll
    for (u32 i = 0; i < Scores::ROWS; i++) {
      u32 row = Scores::user(i);
      // A warp has four rows at a time, each in eight of its lanes.
      u32 most = max(max(few_counts[row], few_counts[row ^ 4]), max(few_counts[row ^ 8], few_counts[row ^ 12]));
#pragma unroll 1
      for (u32 place = 0; place < most; place++) {
        float target = few[row][place];
        // Both counts in one number: the sum over 8 lanes is at most 64.
        u32 counts = 0;
#pragma unroll
        for (u32 j = 0; j < Scores::COLUMNS; j++) {
          counts += sums[i][j] > target ? 1u : 0u;
          counts += sums[i][j] == target ? 1u << 16 : 0u;
        }
#pragma unroll
        for (u32 lanes = 8; lanes > 1; lanes /= 2) counts += __shfl_xor_sync(ALL_LANES, counts, lanes);
        // Another warp has the other items of the row.
        if (counts != 0 && Scores::item_quad() % 8 == 0) {
          atomicAdd(&higher[row][place], counts & 0xffffu);
          if (counts >> 16) atomicAdd(&as_high[row][place], counts >> 16);
        }
      }
    }
    u32 mask = reaching(sums, lowest);
    while (mask) {
      u32 at = __ffs(mask) - 1, user = first_user + Scores::user(at / 8);
      mask &= mask - 1;
      count(score_at(sums, at), targets, offsets[user], offsets[user + 1], user, 1u, greater, equal);
    }
  }
  __syncthreads();
  // As for the others: those greater than this one and not than the next. Of equal targets only the first one's equal
  // scores are asked for.
  for (u32 at = threadIdx.x; at < USERS * FEW; at += Scores::THREADS) {
    u32 row = at / FEW, place = at % FEW;
    if (place >= few_counts[row]) continue;
    u32 user = first_user + row;
    u64 to = static_cast<u64>(offsets[user]) + user + place;
    u32 next = place + 1 < few_counts[row] ? higher[row][place + 1] : 0;
    atomicAdd(&greater[to + 1], higher[row][place] - next);
    atomicAdd(&equal[to], as_high[row][place]);
  }
}
EXPORT(ranks)

// Takes out again what does not compete: for user u, the items apart_items[apart_offsets[u]..apart_offsets[u + 1]],
// each once. Grid: blocks of 8 users, a warp for each.
KERNEL(256, 2)
ranks_without(const float* __restrict__ users, const float* __restrict__ items, const u32* __restrict__ offsets,
              const float* __restrict__ targets, const u32* __restrict__ apart_offsets,
              const u32* __restrict__ apart_items, u32* __restrict__ greater, u32* __restrict__ equal, u32 user_count,
              u32 rank) {
  u32 user = blockIdx.x * (Scores::THREADS / WARP) + threadIdx.x / WARP;
  if (user >= user_count) return;
  const float* left = users + static_cast<u64>(user / PANEL) * rank * PANEL + user % PANEL;
  u32 end = apart_offsets[user + 1];
  for (u32 at = apart_offsets[user] + threadIdx.x % WARP; at < end; at += WARP) {
    u32 item = apart_items[at];
    const float* right = items + static_cast<u64>(item / PANEL) * rank * PANEL + item % PANEL;
    float score = 0.0f;
#pragma unroll 8
    for (u32 factor = 0; factor < rank; factor++)
      score = fmaf(left[static_cast<u64>(factor) * PANEL], right[static_cast<u64>(factor) * PANEL], score);
    count(score, targets, offsets[user], offsets[user + 1], user, ~0u, greater, equal);
  }
}
EXPORT(ranks_without)
