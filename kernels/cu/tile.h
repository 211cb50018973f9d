// A tile of scores: the products of some users with some items, held in registers.
//
// Factors lie in panels of 64 entities: panel after panel, in each the first factor of its 64 entities, then the second
// one, and so on. The last panel is filled up with zeros. So a slab of factors of a panel is contiguous, whatever the
// rank, and no load has a ragged edge.
//
// Each score is the chain fma(u_k, i_k, ... fma(u_1, i_1, 0)), as on the CPU: its bits depend on no tile size.
#pragma once
#include "port.h"

constexpr u32 PANEL = 64;
// Factors that are in shared memory at a time.
constexpr u32 SLAB = 16;

// Scores of `UserPanels` panels of users against `ItemPanels` panels of items, by 256 threads. Each thread holds those
// of 4 users of each panel against 4 items of each panel. In shared memory factors are `Stride` numbers apart.
template <u32 UserPanels, u32 ItemPanels, u32 Stride = PANEL>
struct Tile {
  static constexpr u32 THREADS = 256;
  static constexpr u32 USERS = UserPanels * PANEL;
  static constexpr u32 ITEMS = ItemPanels * PANEL;
  static constexpr u32 ROWS = 4 * UserPanels;
  static constexpr u32 COLUMNS = 4 * ItemPanels;

  struct Slabs {
    float users[UserPanels][SLAB][Stride];
    float items[ItemPanels][SLAB][Stride];
  };
  // One is computed with while the other is filled; 16-byte aligned.
  struct Shared {
    Slabs slabs[2];
  };

  // Which four users, or items, of each panel are this thread's. A warp has 4 x 8 of such fours, not 2 x 16: fewer
  // numbers to read for as many products. Lanes side by side share items, lanes two apart users: so half a warp at a
  // time reads what it needs, of either, in one step, as shared memory gives it 128 bytes only where such lanes agree.
  static __device__ __forceinline__ u32 user_quad() {
    return threadIdx.x / 64 * 4 + threadIdx.x / 16 % 2 * 2 + threadIdx.x % 2;
  }
  static __device__ __forceinline__ u32 item_quad() { return threadIdx.x / 32 % 2 * 8 + threadIdx.x / 2 % 8; }

  // The user of the tile that row `i` of this thread's sums belongs to, and the item of column `j`.
  static __device__ __forceinline__ u32 user(u32 i) { return i / 4 * PANEL + user_quad() * 4 + i % 4; }
  static __device__ __forceinline__ u32 item(u32 j) { return j / 4 * PANEL + item_quad() * 4 + j % 4; }

  // Starts to copy a slab of factors of each of `Panels` panels, `step` numbers apart, of which so many are there;
  // zeros for others, and for factors that are not `there`. `from` are the four numbers of this thread in the first
  // of them.
  template <u32 Panels>
  static __device__ __forceinline__ void load(float (&to)[Panels][SLAB][Stride], const float* from, u64 step,
                                              u32 panels, bool there) {
    u32 factor = threadIdx.x / 16, at = threadIdx.x % 16 * 4;
#pragma unroll
    for (u32 p = 0; p < Panels; p++) copy_async(&to[p][factor][at], from + p * step, there && p < panels);
  }

  // `sums` become the scores of the users from panel `user_panel` on against the items from panel `item_panel` on. All
  // threads of the block must take part; panels beyond the last one count as zeros.
  static __device__ __forceinline__ void products(Shared& shared, const float* users, u32 user_panel, u32 user_panels,
                                                  const float* items, u32 item_panel, u32 item_panels, u32 rank,
                                                  float (&sums)[ROWS][COLUMNS]) {
#pragma unroll
    for (u32 i = 0; i < ROWS; i++)
#pragma unroll
      for (u32 j = 0; j < COLUMNS; j++) sums[i][j] = 0.0f;
    each_slab(shared, users, user_panel, user_panels, items, item_panel, item_panels, rank,
              [&](const Slabs& slabs) { multiply(slabs, sums); });
  }

  // Has all slabs of factors of those panels multiplied one after the other, while the next one is copied.
  template <class Multiply>
  static __device__ __forceinline__ void each_slab(Shared& shared, const float* users, u32 user_panel, u32 user_panels,
                                                   const float* items, u32 item_panel, u32 item_panels, u32 rank,
                                                   Multiply multiply) {
    u32 slabs = (rank + SLAB - 1) / SLAB, factor = threadIdx.x / 16, at = threadIdx.x % 16 * 4;
    u64 step = static_cast<u64>(rank) * PANEL;
    users += user_panel * step + factor * PANEL + at;
    items += item_panel * step + factor * PANEL + at;
    // None where the first is beyond the last one.
    user_panels = user_panel < user_panels ? user_panels - user_panel : 0;
    item_panels = item_panel < item_panels ? item_panels - item_panel : 0;
    auto load_next = [&](Slabs& to) {
      load<UserPanels>(to.users, users, step, user_panels, factor < rank);
      load<ItemPanels>(to.items, items, step, item_panels, factor < rank);
      commit_copies();
      users += SLAB * PANEL;
      items += SLAB * PANEL;
      factor += SLAB;
    };
    // Some threads may still read what an earlier call has left.
    __syncthreads();
    load_next(shared.slabs[0]);
    for (u32 s = 0; s < slabs; s++) {
      wait_copies<0>();
      // The slab is there for all threads, and all have done with the one before.
      __syncthreads();
      if (s + 1 < slabs) load_next(shared.slabs[(s + 1) % 2]);
      multiply(shared.slabs[s % 2]);
    }
  }

  static __device__ __forceinline__ void multiply(const Slabs& slabs, float (&sums)[ROWS][COLUMNS]) {
#pragma unroll
    for (u32 factor = 0; factor < SLAB; factor++) {
      float u[ROWS], v[COLUMNS];
#pragma unroll
      for (u32 p = 0; p < UserPanels; p++)
        *reinterpret_cast<float4*>(&u[4 * p]) =
            *reinterpret_cast<const float4*>(&slabs.users[p][factor][user_quad() * 4]);
#pragma unroll
      for (u32 p = 0; p < ItemPanels; p++)
        *reinterpret_cast<float4*>(&v[4 * p]) =
            *reinterpret_cast<const float4*>(&slabs.items[p][factor][item_quad() * 4]);
#pragma unroll
      for (u32 i = 0; i < ROWS; i++)
#pragma unroll
        for (u32 j = 0; j < COLUMNS; j++) sums[i][j] = fmaf(u[i], v[j], sums[i][j]);
    }
  }
};
