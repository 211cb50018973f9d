// The best items of each user, selected while scores are computed: no score is written.
//
// A block has 64 users and goes through tiles of 128 items. A score that reaches the level of its row, that of the
// worst of its best k so far, becomes a candidate: a key goes to the row's list in shared memory. When a list
// overflows, warps merge it and others into the rows' sorted keys, which are in global memory; levels rise, and the
// candidates that had no place try again. Keys are all different and merging takes the largest ones, so the result
// depends neither on the order of the items nor on which thread comes first. Items that the user has seen are looked
// up when candidates are merged: a warp then has many to look up at once, and few come that far.
//
// Tiles are visited in steps of about 0.618 of their number, not one after the other: where scores ascend with the
// items, each tile would hold nothing but new best items, while now only every tile that lies above all earlier ones
// does, which are few.
#include "filter.h"

using Scores = Tile<1, 2>;

constexpr u32 USERS = Scores::USERS;
constexpr u32 WARPS = Scores::THREADS / WARP;

// Less than the key of any item.
constexpr u64 NOTHING = 0;
// The least key with a score of negative infinity, and a key that no score reaches: its score is NaN.
constexpr u64 LOWEST = static_cast<u64>(0x007fffffu) << 32, UNREACHED = ~static_cast<u64>(0);

// Orders like (score, lower item first); both zeros are equal. The score must not be NaN.
__device__ __forceinline__ u64 key_of(float score, u32 item) {
  u32 bits = __float_as_uint(score + 0.0f);
  u32 ordered = bits >> 31 ? ~bits : bits | 0x80000000u;
  return static_cast<u64>(ordered) << 32 | ~item;
}

__device__ __forceinline__ float score_of(u64 key) {
  u32 ordered = static_cast<u32>(key >> 32);
  return __uint_as_float(ordered >> 31 ? ordered & 0x7fffffffu : ~ordered);
}

__device__ __forceinline__ u32 item_of(u64 key) { return ~static_cast<u32>(key); }

// Whether `item` is among `items[first..end]`, which ascend.
__device__ __forceinline__ bool holds(const u32* items, u32 first, u32 end, u32 item) {
  u32 low = first, high = end;
  while (low < high) {
    u32 middle = low + (high - low) / 2;
    if (items[middle] < item)
      low = middle + 1;
    else
      high = middle;
  }
  return low < end && items[low] == item;
}

// One stage of a bitonic sort, by a warp: in runs of `size` keys, of which every other one descends, keys that stand
// `distance` apart change places where they have to; with `reversed` it is the other runs that descend.
__device__ __forceinline__ void exchange(u64* keys, u32 count, u32 size, u32 distance, bool reversed) {
  for (u32 pair = threadIdx.x % WARP; pair < count / 2; pair += WARP) {
    u32 one = 2 * pair - (pair & (distance - 1)), other = one + distance;
    bool descending = ((one & size) != 0) != reversed;
    u64 a = keys[one], b = keys[other];
    if ((a < b) == descending) {
      keys[one] = b;
      keys[other] = a;
    }
  }
  __syncwarp();
}

// Sorts keys in shared memory, ascending, by a warp. Their number is a power of two.
__device__ __forceinline__ void sort_ascending(u64* keys, u32 count) {
  __syncwarp();
#pragma unroll 1
  for (u32 size = 2; size <= count; size *= 2)
#pragma unroll 1
    for (u32 distance = size / 2; distance > 0; distance /= 2) exchange(keys, count, size, distance, false);
}

// Sorts keys, descending, by a warp, where they first descend and then ascend. Their number is a power of two.
__device__ __forceinline__ void merge_descending(u64* keys, u32 count) {
  __syncwarp();
#pragma unroll 1
  for (u32 distance = count / 2; distance > 0; distance /= 2) exchange(keys, count, count, distance, true);
}

// By one warp: the candidates of a user, `count` of them, that are not in seen[first..end] go to the best `Kept`, which
// are in `kept`, descending. `list` is room for them; it is left with the same keys. Of `kept`, a thread touches the
// same keys in each call.
template <u32 Kept, u32 Capacity>
__device__ __forceinline__ void merge(u64* candidates, u32 count, u64* list, u64* kept, const u32* seen, u32 first,
                                      u32 end) {
  u32 lane = threadIdx.x % WARP;
#pragma unroll 1
  for (u32 at = lane; at < Capacity; at += WARP) {
    u64 key = at < count ? candidates[at] : NOTHING;
    candidates[at] = at < count && holds(seen, first, end, item_of(key)) ? NOTHING : key;
  }
  sort_ascending(candidates, Capacity);
  // One list descends, the other one ascends: the larger of each two are the best of both.
#pragma unroll 1
  for (u32 at = lane; at < Kept; at += WARP) {
    u32 other = at + Capacity - Kept;
    list[at] = other < Capacity ? max(kept[at], candidates[other]) : kept[at];
  }
  merge_descending(list, Kept);
#pragma unroll 1
  for (u32 at = lane; at < Kept; at += WARP) kept[at] = list[at];
}

// Candidates of the users of a block.
template <u32 Capacity>
struct Candidates {
  u64* keys;
  u32 (&counts)[USERS];
  const u64 (&floors)[USERS];

  // Puts those scores of this thread that are in the mask on their lists; returns those for which there is no place.
  __device__ __forceinline__ u32 offer(const float (&sums)[4][8], u32 mask, u32 first_item) {
    u32 left = 0;
    while (mask) {
      u32 at = __ffs(mask) - 1, row = Scores::user(at / 8);
      u64 key = key_of(score_at(sums, at), first_item + Scores::item(at % 8));
      mask &= mask - 1;
      if (key <= floors[row]) continue;
      u32 place = atomicAdd(&counts[row], 1u);
      if (place < Capacity)
        keys[row * Capacity + place] = key;
      else
        left |= 1u << at;
    }
    return left;
  }
};

// Writes the best `Kept` keys of each user among the items of each split to `kept`, splits x users x Kept, descending,
// of which the first `k` are right. Grid: panels of users x splits of `tiles` tiles of items; `step` has no divisor in
// common with `tiles`. What user u has seen is seen_items[seen_offsets[u]..seen_offsets[u + 1]], ascending. All scores
// must be finite.
template <u32 Kept, u32 Capacity>
__device__ __forceinline__ void select(const float* users, const float* items, const u32* seen_offsets,
                                       const u32* seen_items, u64* kept, u32 user_count, u32 item_count, u32 rank,
                                       u32 k, u32 tiles, u32 step) {
  static_assert(Capacity <= Kept, "merge");
  // Between tiles each warp has the place of the slabs to merge in.
  union Room {
    Scores::Shared slabs;
    u64 lists[WARPS][Kept];
  };
  SHARED __align__(16) Room room;
  SHARED u64 floors[USERS];
  SHARED u32 counts[USERS];
  DYNAMIC_SHARED(u64, keys);
  Candidates<Capacity> candidates{keys, counts, floors};

  u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, first_user = blockIdx.x * USERS;
  u32 rows = min(USERS, user_count - first_user);
  u32 user_panels = (user_count + PANEL - 1) / PANEL, item_panels = (item_count + PANEL - 1) / PANEL;
  u32 all_tiles = (item_count + Scores::ITEMS - 1) / Scores::ITEMS;
  u64* own = kept + (static_cast<u64>(blockIdx.y) * user_count + first_user) * Kept;
  if (threadIdx.x < USERS) {
    floors[threadIdx.x] = threadIdx.x < rows ? LOWEST : UNREACHED;
    counts[threadIdx.x] = 0;
  }
  for (u32 row = warp; row < rows; row += WARPS)
    for (u32 at = lane; at < Kept; at += WARP) own[static_cast<u64>(row) * Kept + at] = NOTHING;
  __syncthreads();

  // Merges lists with more than so many candidates, each row always by the same warp. The next one touches `list` only
  // after it has waited for all lanes.
  auto merge_above = [&](u32 bound) {
#pragma unroll 1
    for (u32 row = warp; row < rows; row += WARPS) {
      u32 count = counts[row];
      if (count <= bound) continue;
      u32 first = seen_offsets[first_user + row], end = seen_offsets[first_user + row + 1];
      u64* list = room.lists[warp];
      merge<Kept, Capacity>(&keys[row * Capacity], min(count, Capacity), list, own + static_cast<u64>(row) * Kept,
                            seen_items, first, end);
      if (lane == 0) {
        floors[row] = max(list[k - 1], LOWEST);
        counts[row] = 0;
      }
    }
  };

  float levels[Scores::ROWS], sums[Scores::ROWS][Scores::COLUMNS];
#pragma unroll
  for (u32 i = 0; i < Scores::ROWS; i++) levels[i] = score_of(floors[Scores::user(i)]);
  u32 at = 0;
#pragma unroll 1
  for (u32 visit = 0; visit < tiles; visit++, at = at < tiles - step ? at + step : at - (tiles - step)) {
    u32 tile = blockIdx.y * tiles + at, first_item = tile * Scores::ITEMS;
    if (tile >= all_tiles) continue;
    Scores::products(room.slabs, users, blockIdx.x, user_panels, items, tile * 2, item_panels, rank, sums);
    u32 mask = reaching(sums, levels);
    if (item_count - first_item < Scores::ITEMS) {
#pragma unroll
      for (u32 j = 0; j < Scores::COLUMNS; j++)
        if (Scores::item(j) >= item_count - first_item) mask &= ~(0x01010101u << j);
    }
    mask = candidates.offer(sums, mask, first_item);
    while (__syncthreads_or(mask != 0)) {
      // Lists that are a quarter full are merged as well: all threads wait anyway, and most warps would for the merging
      // of one.
      merge_above(Capacity / 4);
      __syncthreads();
#pragma unroll
      for (u32 i = 0; i < Scores::ROWS; i++) levels[i] = score_of(floors[Scores::user(i)]);
      mask = candidates.offer(sums, mask, first_item);
    }
  }
  merge_above(0);
}

#define TOP_K(Kept, Capacity)                                                                                        \
  KERNEL(256, 2)                                                                                                     \
  top_k_##Kept(const float* __restrict__ users, const float* __restrict__ items,                                     \
               const u32* __restrict__ seen_offsets, const u32* __restrict__ seen_items, u64* __restrict__ kept,     \
               u32 user_count, u32 item_count, u32 rank, u32 k, u32 tiles, u32 step) {                               \
    select<Kept, Capacity>(users, items, seen_offsets, seen_items, kept, user_count, item_count, rank, k, tiles,     \
                           step);                                                                                    \
  }                                                                                                                  \
  EXPORT(top_k_##Kept)

// Each fits where a block may have 99 KiB of shared memory. Two blocks fit on a multiprocessor that has 100 KiB with 32
// kept keys, 164 KiB with 64 and 128, 228 KiB with 256.
TOP_K(32, 32)
TOP_K(64, 64)
TOP_K(128, 64)
TOP_K(256, 128)

// The best k of each user from those of the splits, `kept` keys of each as they are left by top_k_*: scores and items,
// users x k, zeros beyond the length of a row. `team` warps, a power of two and at most 8, work on a user. Grid: blocks
// of 8 / team users.
KERNEL(256, 2)
top_k_rows(const u64* __restrict__ keys, float* __restrict__ scores, u32* __restrict__ items, u32* __restrict__ lengths,
           u32 user_count, u32 kept, u32 splits, u32 k, u32 team) {
  SHARED u64 lists[WARPS][256];
  u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, member = warp % team;
  u32 user = blockIdx.x * (WARPS / team) + warp / team;
  bool there = user < user_count;
  u64* list = lists[warp];
#pragma unroll 1
  for (u32 split = member; split < splits; split += team) {
    const u64* other = keys + (static_cast<u64>(split) * user_count + (there ? user : 0)) * kept;
    bool first = split == member;
    // A list whose best is worse than the worst here has nothing to add.
    if (!there || (!first && other[0] < list[k - 1])) continue;
    __syncwarp();
#pragma unroll 1
    for (u32 at = lane; at < kept; at += WARP) list[at] = first ? other[at] : max(list[at], other[kept - 1 - at]);
    if (first)
      __syncwarp();
    else
      merge_descending(list, kept);
  }
#pragma unroll 1
  for (u32 half = team / 2; half > 0; half /= 2) {
    __syncthreads();
    if (member >= half) continue;
    u64* other = lists[warp + half];
    // Of a warp that had no split nothing is there.
    if (there && member + half < splits) {
      for (u32 at = lane; at < kept; at += WARP) list[at] = max(list[at], other[kept - 1 - at]);
      merge_descending(list, kept);
    }
  }
  if (!there || member > 0) return;
  for (u32 at = lane; at < k; at += WARP) {
    u64 key = list[at], to = static_cast<u64>(user) * k + at;
    scores[to] = key == NOTHING ? 0.0f : score_of(key);
    items[to] = key == NOTHING ? 0 : item_of(key);
    // The last key that is there, or none.
    if (key != NOTHING && (at + 1 == k || list[at + 1] == NOTHING)) lengths[user] = at + 1;
    if (key == NOTHING && at == 0) lengths[user] = 0;
  }
}
EXPORT(top_k_rows)
