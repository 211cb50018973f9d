// What flows back from all cells to the factors of one side, the *owners*, for the other side's factors as they are.
//
// A block owns some owners and goes through tiles of 64 others: it computes the products of a tile again, makes of each
// what flows back, adds what training rows among the cells contribute, and multiplies that by the others' factors.
#include "cell.h"
#include "tile.h"

// What is not below counts as infinite: no harm is done by too many of them.
constexpr float INFINITE = 0x1p127f;

// A block owns `Panels` panels and `Factors` of the factors.
template <u32 Panels, u32 Factors>
struct Gradient {
  using Scores = Tile<Panels, 1>;
  static constexpr u32 OWNERS = Panels * PANEL;
  static constexpr u32 ROWS = 4 * Panels;
  // Factors of a thread.
  static constexpr u32 COLUMNS = Factors / 16;

  struct Shared {
    union {
      typename Scores::Shared slabs;
      // Products, then what flows back: those of four owners side by side, as swizzled by quad().
      float flow[PANEL][OWNERS];
      double squares[8];
    };
    // The factors of the tile's others.
    float rows[PANEL][Factors];
  };

  struct Task {
    const float *owners, *others;
    // Rows of `stride` factors.
    const float* other_rows;
    const u32 *owner_classes, *other_classes;
    // coefficients[owner's class * owner_step + other's class * other_step].
    const float* coefficients;
    u64 owner_step, other_step;
    // The training rows of each tile, tiles of others fastest: where they begin; other * 256 + owner in the tile, same
    // ones side by side; value; and room for what flows back.
    const u32 *begins, *places;
    const float* values;
    float* errors;
    // Of a block.
    double* squares;
    float* out;
    u32 owner_count, other_count, rank, tiles, train;
    u64 slots, stride;
    float twice_accuracy;
  };

  // Where four owners of a panel stand in the row of an other: so that neither the 4 x 8 threads of a warp that write
  // for 4 others each, nor those that read for one other, meet in a bank. 8 threads write at a time, and neighbours
  // have other owners, whose last bit differs; so others change the bits beside it.
  static __device__ __forceinline__ u32 quad(u32 panel, u32 owners, u32 other) {
    return (panel * 16 + (owners ^ other / 4 * 2 % 16)) * 4;
  }

  static __device__ __forceinline__ float& at(Shared& shared, u32 place) {
    u32 other = place / 256, owner = place % 256;
    return shared.flow[other][quad(owner / PANEL, owner % PANEL / 4, other) + owner % 4];
  }

  // Starts to copy the factors from `factor` on of the others from `first` on.
  static __device__ __forceinline__ void load_rows(Shared& shared, const Task& task, u32 first, u32 factor) {
    constexpr u32 QUADS = Factors / 4;
#pragma unroll
    for (u32 n = threadIdx.x; n < PANEL * QUADS; n += 256) {
      u32 row = n / QUADS, at = n % QUADS * 4;
      copy_async(&shared.rows[row][at], task.other_rows + (first + row) * task.stride + factor + at, true);
    }
    commit_copies();
  }

  // What flows back from the training rows of the tile, kept for add_errors(). Returns the sum of squared errors.
  static __device__ __forceinline__ double find_errors(Shared& shared, const Task& task, const Cell& cell, u32 begin,
                                                       u32 end, float* errors) {
    double squares = 0.0;
    for (u32 n = begin + threadIdx.x; n < end; n += 256) {
      u32 place = task.places[n];
      // The first of some rows of one cell speaks for all.
      if (n > begin && task.places[n - 1] == place) continue;
      float z = at(shared, place), y = squashed(cell, z), sum = 0.0f;
      for (u32 same = n; same < end && task.places[same] == place; same++) {
        float miss = y - task.values[same];
        squares += static_cast<double>(miss) * miss;
        sum += miss;
      }
      errors[n] = task.twice_accuracy * sum * squash_slope(cell, z, y);
    }
    return squares;
  }

  static __device__ __forceinline__ void add_errors(Shared& shared, const Task& task, u32 begin, u32 end,
                                                    const float* errors) {
    for (u32 n = begin + threadIdx.x; n < end; n += 256) {
      u32 place = task.places[n];
      if (n > begin && task.places[n - 1] == place) continue;
      at(shared, place) += errors[n];
    }
  }

  // The thread's products become what flows back from them. Returns whether any does.
  static __device__ __forceinline__ bool flow_back(Shared& shared, const Task& task, const Cell& cell, u32 owner_tile,
                                                   u32 first_other) {
    bool any = false;
    // Not unrolled: the code of four cells is long.
#pragma unroll 1
    for (u32 n = 0; n < ROWS; n++) {
      u32 other = Scores::item(n % 4), panel = n / 4;
      float4* at = reinterpret_cast<float4*>(&shared.flow[other][quad(panel, Scores::user_quad(), other)]);
      float z[4] = {at->x, at->y, at->z, at->w};
      // A factor that is not finite makes each of its products so, and zero times it is not zero.
      any |= !(fabsf((z[0] + z[1]) + (z[2] + z[3])) < INFINITE);
      if (pulls(cell, z)) {
        u32 owner = owner_tile * OWNERS + Scores::user(4 * panel);
        uint4 classes = *reinterpret_cast<const uint4*>(task.owner_classes + owner);
        const float* of_other = task.coefficients + task.other_classes[first_other + other] * task.other_step;
        z[0] *= of_other[classes.x * task.owner_step];
        z[1] *= of_other[classes.y * task.owner_step];
        z[2] *= of_other[classes.z * task.owner_step];
        z[3] *= of_other[classes.w * task.owner_step];
        any |= z[0] != 0.0f || z[1] != 0.0f || z[2] != 0.0f || z[3] != 0.0f;
      }
      *at = make_float4(z[0], z[1], z[2], z[3]);
    }
    return any;
  }

  // totals += flow x rows.
  static __device__ __forceinline__ void multiply(const Shared& shared, float (&totals)[ROWS][COLUMNS]) {
    float sums[ROWS][COLUMNS];
#pragma unroll
    for (u32 i = 0; i < ROWS; i++)
#pragma unroll
      for (u32 j = 0; j < COLUMNS; j++) sums[i][j] = 0.0f;
#pragma unroll 8
    for (u32 other = 0; other < PANEL; other++) {
      float w[ROWS], v[COLUMNS];
#pragma unroll
      for (u32 p = 0; p < Panels; p++)
        *reinterpret_cast<float4*>(&w[4 * p]) =
            *reinterpret_cast<const float4*>(&shared.flow[other][quad(p, Scores::user_quad(), other)]);
      load(v, &shared.rows[other][factor(0)]);
#pragma unroll
      for (u32 i = 0; i < ROWS; i++)
#pragma unroll
        for (u32 j = 0; j < COLUMNS; j++) sums[i][j] = fmaf(w[i], v[j], sums[i][j]);
    }
    // A tile's worth at a time: no digit is lost to a long sum.
#pragma unroll
    for (u32 i = 0; i < ROWS; i++)
#pragma unroll
      for (u32 j = 0; j < COLUMNS; j++) totals[i][j] += sums[i][j];
  }

  // The factor of column `j` of this thread: 4 side by side, as far as there are as many.
  static __device__ __forceinline__ u32 factor(u32 j) {
    constexpr u32 TOGETHER = COLUMNS < 4 ? COLUMNS : 4;
    return j / 4 * PANEL + Scores::item_quad() * TOGETHER + j % 4;
  }

  static __device__ __forceinline__ void load(float (&v)[COLUMNS], const float* from) {
    if constexpr (COLUMNS == 1) {
      v[0] = *from;
    } else if constexpr (COLUMNS == 2) {
      *reinterpret_cast<float2*>(v) = *reinterpret_cast<const float2*>(from);
    } else {
#pragma unroll
      for (u32 j = 0; j < COLUMNS; j += 4)
        *reinterpret_cast<float4*>(&v[j]) = *reinterpret_cast<const float4*>(from + j / 4 * PANEL);
    }
  }

  static __device__ __forceinline__ void store(float* to, const float (&v)[COLUMNS]) {
    if constexpr (COLUMNS == 1) {
      *to = v[0];
    } else if constexpr (COLUMNS == 2) {
      *reinterpret_cast<float2*>(to) = *reinterpret_cast<const float2*>(v);
    } else {
#pragma unroll
      for (u32 j = 0; j < COLUMNS; j += 4)
        *reinterpret_cast<float4*>(to + j / 4 * PANEL) = *reinterpret_cast<const float4*>(&v[j]);
    }
  }

  // The sum over all threads of the block, in thread 0.
  static __device__ __forceinline__ double add_up(Shared& shared, double sum) {
#pragma unroll
    for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, lanes);
    // Others may still read what stands there.
    __syncthreads();
    if (threadIdx.x % WARP == 0) shared.squares[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x == 0)
      for (u32 warp = 1; warp < 8; warp++) sum += shared.squares[warp];
    return sum;
  }

  static __device__ __forceinline__ void run(Shared& shared, const Task& task, const Cell& cell) {
    u32 owner_panels = (task.owner_count + PANEL - 1) / PANEL, other_panels = (task.other_count + PANEL - 1) / PANEL;
    u32 tile = blockIdx.y * task.tiles;
    u32 end = tile + task.tiles < other_panels ? tile + task.tiles : other_panels;
    u32 first_factor = blockIdx.z * Factors;
    // Blocks of other factors find the same errors, each for itself.
    float* errors = task.errors + static_cast<u64>(blockIdx.z) * task.train;
    float totals[ROWS][COLUMNS];
    double squares = 0.0;
#pragma unroll
    for (u32 i = 0; i < ROWS; i++)
#pragma unroll
      for (u32 j = 0; j < COLUMNS; j++) totals[i][j] = 0.0f;
    for (; tile < end; tile++) {
      // Some threads may still read the rows of the tile before.
      __syncthreads();
      load_rows(shared, task, tile * PANEL, first_factor);
      {
        float z[Scores::ROWS][Scores::COLUMNS];
        Scores::products(shared.slabs, task.owners, blockIdx.x * Panels, owner_panels, task.others, tile, other_panels,
                         task.rank, z);
        // Slabs make room for products.
        __syncthreads();
#pragma unroll
        for (u32 p = 0; p < Panels; p++)
#pragma unroll
          for (u32 j = 0; j < 4; j++) {
            u32 other = Scores::item(j);
            *reinterpret_cast<float4*>(&shared.flow[other][quad(p, Scores::user_quad(), other)]) =
                make_float4(z[4 * p][j], z[4 * p + 1][j], z[4 * p + 2][j], z[4 * p + 3][j]);
          }
      }
      const u32* begins = task.begins + static_cast<u64>(blockIdx.x) * other_panels + tile;
      u32 begin = begins[0], end_of_tile = begins[1];
      if (begin < end_of_tile) {
        __syncthreads();
        squares += find_errors(shared, task, cell, begin, end_of_tile, errors);
        __syncthreads();
      }
      bool any = flow_back(shared, task, cell, blockIdx.x, tile * PANEL);
      if (begin < end_of_tile) {
        __syncthreads();
        add_errors(shared, task, begin, end_of_tile, errors);
        any = true;
      }
      // Far from the threshold nothing flows back.
      if (__syncthreads_or(any)) multiply(shared, totals);
    }
#pragma unroll
    for (u32 i = 0; i < ROWS; i++) {
      u64 slot = blockIdx.y * task.slots + blockIdx.x * OWNERS + Scores::user(i);
      store(task.out + slot * task.stride + first_factor + factor(0), totals[i]);
    }
    squares = add_up(shared, squares);
    if (threadIdx.x == 0 && blockIdx.z == 0) task.squares[blockIdx.y * gridDim.x + blockIdx.x] = squares;
  }
};

// Partial gradients: out[part * slots + owner][factor] of the owners from the others of a part. Grid: tiles of owners x
// parts of `tiles` tiles of 64 others x groups of factors. Classes of owners are filled up to whole tiles.
#define CELL_GRADIENT(name, panels, factors)                                                                          \
  KERNEL(256, 2)                                                                                                      \
  name(const float* __restrict__ owners, const float* __restrict__ others, const float* __restrict__ other_rows,      \
       const u32* __restrict__ owner_classes, const u32* __restrict__ other_classes,                                  \
       const float* __restrict__ coefficients, const u32* __restrict__ begins, const u32* __restrict__ places,        \
       const float* __restrict__ values, float* errors, double* __restrict__ squares, float* __restrict__ out,        \
       u64 owner_step, u64 other_step, u32 owner_count, u32 other_count, u32 rank, u32 tiles, u32 train, u64 slots,   \
       u64 stride, float twice_accuracy, Cell cell) {                                                                 \
    using Of = Gradient<panels, factors>;                                                                             \
    SHARED __align__(16) Of::Shared shared;                                                                           \
    Of::Task task = {owners,     others,     other_rows,  owner_classes, other_classes, coefficients,                 \
                     owner_step, other_step, begins,      places,        values,        errors,                       \
                     squares,    out,        owner_count, other_count,   rank,          tiles,                        \
                     train,      slots,      stride,      twice_accuracy};                                            \
    Of::run(shared, task, cell);                                                                                      \
  }                                                                                                                   \
  EXPORT(name)

CELL_GRADIENT(cell_gradient_16, 2, 16)
CELL_GRADIENT(cell_gradient_32, 2, 32)
CELL_GRADIENT(cell_gradient_64, 2, 64)
CELL_GRADIENT(cell_gradient_128, 1, 128)
