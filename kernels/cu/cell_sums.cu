// Sums of the terms of all cells over classes of users and classes of items, no cell of which is stored.
//
// Entities stand in the order of their classes. Of the two sides, *rows* are added up first: a block adds up, for each
// of 64 columns, the rows of a chunk of tiles. The rows of a chunk that are of one class are a *run*; runs are numbered
// in the order of the rows. A second kernel adds up runs and columns of each pair of classes.
#include "cell.h"
#include "tile.h"

using Terms = Tile<2, 1>;

// Tiles whose terms a thread adds up in single precision: with 8 rows of a tile, 64 terms.
constexpr u32 TILES_HELD = 8;
constexpr u32 NO_RUN = ALL_LANES;

// What a block needs one after the other.
union TermRoom {
  Terms::Shared slabs;
  float terms[Terms::USERS][Terms::ITEMS];
  double sums[16][Terms::ITEMS];
};

// Where a term stands in its row: so that threads of a warp that write four rows apart do not meet in a bank.
__device__ __forceinline__ u32 place(u32 row, u32 column) { return column ^ row / 4 % 2 * 16; }

// Adds each thread's sums of four columns to those of `run`, and sets them to zero.
__device__ __forceinline__ void close_run(TermRoom& room, float (&part)[4], double (&totals)[4], double* run) {
  u32 at = Terms::user_quad(), column = Terms::item(0);
  // Others may still read slabs or terms.
  __syncthreads();
#pragma unroll
  for (u32 j = 0; j < 4; j++) {
    room.sums[at][column + j] = totals[j] + part[j];
    totals[j] = 0.0;
    part[j] = 0.0f;
  }
  __syncthreads();
  if (threadIdx.x < Terms::ITEMS) {
    double sum = 0.0;
#pragma unroll
    for (u32 n = 0; n < 16; n++) sum += room.sums[n][threadIdx.x];
    run[threadIdx.x] += sum;
  }
}

// sums[run * stride + column] += terms of the rows of the run. `run_of` holds the run of each row, `starts` the first
// row of each run, and one more. Grid: tiles of 64 columns x chunks of `tiles` tiles of 128 rows.
KERNEL(256, 2)
cell_sums(const float* __restrict__ rows, const float* __restrict__ columns, const u32* __restrict__ run_of,
          const u32* __restrict__ starts, double* __restrict__ sums, u32 row_count, u32 column_count, u32 rank,
          u32 tiles, u64 stride, Cell cell) {
  SHARED __align__(16) TermRoom room;
  u32 row_panels = (row_count + PANEL - 1) / PANEL, column_panels = (column_count + PANEL - 1) / PANEL;
  u32 row_tiles = (row_count + Terms::USERS - 1) / Terms::USERS;
  u32 tile = blockIdx.y * tiles, end_tile = tile + tiles < row_tiles ? tile + tiles : row_tiles;
  double* out = sums + blockIdx.x * PANEL;
  float part[4] = {};
  double totals[4] = {};
  u32 held = 0, open = NO_RUN;
  for (; tile < end_tile; tile++) {
    float z[Terms::ROWS][Terms::COLUMNS];
    Terms::products(room.slabs, rows, tile * 2, row_panels, columns, blockIdx.x, column_panels, rank, z);
    u32 first = tile * Terms::USERS;
    u32 end = row_count - first < Terms::USERS ? row_count : first + Terms::USERS;
    u32 head = run_of[first], tail = run_of[end - 1];
    bool whole = end - first == Terms::USERS && head == tail;
    if (open != NO_RUN && !(whole && head == open)) {
      close_run(room, part, totals, out + open * stride);
      open = NO_RUN;
      held = 0;
    }
    // Slabs make room for terms.
    __syncthreads();
    float(*own)[Terms::ITEMS] = room.terms;
    u32 column = Terms::item(0);
#pragma unroll
    for (u32 i = 0; i < Terms::ROWS; i++)
      *reinterpret_cast<float4*>(&own[Terms::user(i)][place(Terms::user(i), column)]) =
          make_float4(z[i][0], z[i][1], z[i][2], z[i][3]);
    // Not unrolled: the code of one row is long.
#pragma unroll 1
    for (u32 i = 0; i < Terms::ROWS; i++) {
      float4* at = reinterpret_cast<float4*>(&own[Terms::user(i)][place(Terms::user(i), column)]);
      float term[4] = {at->x, at->y, at->z, at->w};
      terms(cell, term);
      if (whole) {
#pragma unroll
        for (u32 j = 0; j < 4; j++) part[j] += term[j];
      } else {
        *at = make_float4(term[0], term[1], term[2], term[3]);
      }
    }
    if (whole) {
      open = head;
      if (++held == TILES_HELD) {
        held = 0;
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
          totals[j] += part[j];
          part[j] = 0.0f;
        }
      }
      continue;
    }
    // Several runs, or rows that there are not: a thread adds up one run of a column at a time.
    __syncthreads();
    for (u32 task = threadIdx.x; task < (tail - head + 1) * PANEL; task += Terms::THREADS) {
      u32 run = head + task / PANEL, at = task % PANEL;
      u32 from = starts[run] > first ? starts[run] : first, to = starts[run + 1] < end ? starts[run + 1] : end;
      float sum = 0.0f;
      for (u32 row = from; row < to; row++) sum += room.terms[row - first][place(row - first, at)];
      out[run * stride + at] += sum;
    }
  }
  if (open != NO_RUN) close_run(room, part, totals, out + open * stride);
}
EXPORT(cell_sums)

// out[a * row_step + b * column_step] = sums over the runs of row class a and the columns of column class b. Runs of
// class a are those from class_runs[a] to class_runs[a + 1], columns likewise. Grid: one block for each pair (a, b), b
// fastest.
KERNEL(256, 2)
cell_totals(const double* __restrict__ sums, const u32* __restrict__ class_runs, const u32* __restrict__ class_columns,
            double* __restrict__ out, u32 column_classes, u64 stride, u64 row_step, u64 column_step) {
  SHARED double of_warps[8];
  u32 a = blockIdx.x / column_classes, b = blockIdx.x % column_classes;
  double sum = 0.0;
  for (u64 run = class_runs[a]; run < class_runs[a + 1]; run++)
    for (u32 column = class_columns[b] + threadIdx.x; column < class_columns[b + 1]; column += 256)
      sum += sums[run * stride + column];
#pragma unroll
  for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, lanes);
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (u32 warp = 1; warp < 8; warp++) sum += of_warps[warp];
    out[a * row_step + b * column_step] = sum;
  }
}
EXPORT(cell_totals)
