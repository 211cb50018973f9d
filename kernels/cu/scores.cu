// Scores of all items for some users, written out.
#include "tile.h"

using Scores = Tile<2, 2>;

// out[u * stride + i] for `user_count` users and `item_count` items. Grid: tiles of 128 items x tiles of 128 users.
KERNEL(256, 2)
scores(const float* __restrict__ users, const float* __restrict__ items, float* __restrict__ out, u32 user_count,
       u32 item_count, u32 rank, u64 stride) {
  SHARED __align__(16) Scores::Shared shared;
  float sums[Scores::ROWS][Scores::COLUMNS];
  u32 user_panels = (user_count + PANEL - 1) / PANEL, item_panels = (item_count + PANEL - 1) / PANEL;
  Scores::products(shared, users, blockIdx.y * 2, user_panels, items, blockIdx.x * 2, item_panels, rank, sums);
  // Rows of 16-byte aligned starts take 16 bytes at a time.
  bool aligned = stride % 4 == 0;
#pragma unroll
  for (u32 i = 0; i < Scores::ROWS; i++) {
    u32 user = blockIdx.y * Scores::USERS + Scores::user(i);
    if (user >= user_count) continue;
#pragma unroll
    for (u32 j = 0; j < Scores::COLUMNS; j += 4) {
      u32 item = blockIdx.x * Scores::ITEMS + Scores::item(j);
      float* to = out + user * stride + item;
      if (aligned && item + 3 < item_count) {
        store_streaming(reinterpret_cast<float4*>(to),
                        make_float4(sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]));
      } else {
#pragma unroll
        for (u32 q = 0; q < 4; q++)
          if (item + q < item_count) store_streaming(to + q, sums[i][j + q]);
      }
    }
  }
}
EXPORT(scores)
