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

  // The user of the tile that row `i` of this thread's sums belongs to, and the item of column `j`.
  static __device__ __forceinline__ u32 user(u32 i) { return i / 4 * PANEL + threadIdx.x / 16 * 4 + i % 4; }
  static __device__ __forceinline__ u32 item(u32 j) { return j / 4 * PANEL + threadIdx.x % 16 * 4 + j % 4; }

  // Starts to copy the slab of factors from `first` on of the panel `panel` of `panels`; zeros where there is none.
  static __device__ __forceinline__ void load(float (&to)[SLAB][Stride], const float* from, u32 panel, u32 panels,
                                              u32 first, u32 rank) {
    u32 factor = threadIdx.x / 16, at = threadIdx.x % 16 * 4;
    bool there = panel < panels && first + factor < rank;
    const float* source = from + (static_cast<u64>(panel) * rank + first + factor) * PANEL + at;
    copy_async(&to[factor][at], there ? source : from, there);
  }

  static __device__ __forceinline__ void load_all(Slabs& to, const float* users, u32 user_panel, u32 user_panels,
                                                  const float* items, u32 item_panel, u32 item_panels, u32 first,
                                                  u32 rank) {
    // Not unrolled: addresses kept from slab to slab would cost the sums their registers.
#pragma unroll 1
    for (u32 p = 0; p < UserPanels; p++) load(to.users[p], users, user_panel + p, user_panels, first, rank);
#pragma unroll 1
    for (u32 p = 0; p < ItemPanels; p++) load(to.items[p], items, item_panel + p, item_panels, first, rank);
    commit_copies();
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
    u32 slabs = (rank + SLAB - 1) / SLAB;
    // Some threads may still read what an earlier call has left.
    __syncthreads();
    load_all(shared.slabs[0], users, user_panel, user_panels, items, item_panel, item_panels, 0, rank);
    for (u32 s = 0; s < slabs; s++) {
      wait_copies<0>();
      // The slab is there for all threads, and all have done with the one before.
      __syncthreads();
      if (s + 1 < slabs)
        load_all(shared.slabs[(s + 1) % 2], users, user_panel, user_panels, items, item_panel, item_panels,
                 (s + 1) * SLAB, rank);
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
            *reinterpret_cast<const float4*>(&slabs.users[p][factor][threadIdx.x / 16 * 4]);
#pragma unroll
      for (u32 p = 0; p < ItemPanels; p++)
        *reinterpret_cast<float4*>(&v[4 * p]) =
            *reinterpret_cast<const float4*>(&slabs.items[p][factor][threadIdx.x % 16 * 4]);
#pragma unroll
      for (u32 i = 0; i < ROWS; i++)
#pragma unroll
        for (u32 j = 0; j < COLUMNS; j++) sums[i][j] = fmaf(u[i], v[j], sums[i][j]);
    }
  }
};
