// Scores of all items for some users, written out.
#include "tile.h"

using Scores = Tile<2, 2>;

// out[u * stride + i] for `user_count` users and `item_count` items. The stride is a multiple of 4: rows are written 16
// bytes at a time, up to 3 numbers more than there are items. Grid: tiles of 128 items x tiles of 128 users.
KERNEL(256, 2)
scores(const float* __restrict__ users, const float* __restrict__ items, float* __restrict__ out, u32 user_count,
       u32 item_count, u32 rank, u64 stride) {
  SHARED __align__(16) Scores::Shared shared;
  float sums[Scores::ROWS][Scores::COLUMNS];
  u32 user_panels = (user_count + PANEL - 1) / PANEL, item_panels = (item_count + PANEL - 1) / PANEL;
  Scores::products(shared, users, blockIdx.y * 2, user_panels, items, blockIdx.x * 2, item_panels, rank, sums);
#pragma unroll
  for (u32 i = 0; i < Scores::ROWS; i++) {
    u32 user = blockIdx.y * Scores::USERS + Scores::user(i);
    if (user >= user_count) continue;
#pragma unroll
    for (u32 j = 0; j < Scores::COLUMNS; j += 4) {
      u32 item = blockIdx.x * Scores::ITEMS + Scores::item(j);
      if (item >= item_count) continue;
      store_streaming(reinterpret_cast<float4*>(out + user * stride + item),
                      make_float4(sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]));
    }
  }
}
EXPORT(scores)
