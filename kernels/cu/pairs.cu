// Steps on the pairwise ranking loss of a batch of pairs (user, liked item, other item), without atomics.
//
// All factors are in one table: rows of users, then rows of items, each of `width` numbers, a multiple of 4, the end
// filled up with zeros. The rows that a batch touches have *slots*: users first, then items. What belongs to them is in
// the order of slots: gradients, moved rows.
//
// All gradients of a batch are taken at the same factors. As each row is read for the gradients of others, none is
// written before all gradients are there: margins, gradients and update are launches of their own. Every sum is taken
// by one warp in a fixed order, which depends on the batch and the width alone.
//
// A warp works in groups of `lanes` lanes, a power of two: enough for 4 numbers of a row each, at most 32. Longer rows
// are worked on in parts of 128.
#include "port.h"

constexpr u32 WARPS = 8;
constexpr u32 THREADS = WARPS * WARP;

// Below this the squared length of a gradient counts as this.
constexpr float SHORTEST = 1e-12f;
// Margins below are cut off.
constexpr float LOWEST = -80.0f;
constexpr float EPSILON = 1e-7f;

// What pair_gradients does with the directions of rows.
constexpr u32 NO_ATTACK = 0, MOVED_ROWS = 1, STEPS_OF_ALL = 2;

// A batch, one list after the other.
struct Batch {
  u32 users, items, pairs;
  // Rows of the slots.
  const u32* rows;
  // Where the pairs of each user begin and end, then where the places of each item do.
  const u32 *starts, *item_starts;
  // Slots of a pair's user, liked item and other item; those of items count from 0.
  const u32 *owners, *liked, *others;
  // Twice the number of a pair, one more where the item is the other one.
  const u32* places;

  __device__ __forceinline__ Batch(const u32* lists, u32 user_slots, u32 item_slots, u32 pair_count)
      : users(user_slots), items(item_slots), pairs(pair_count) {
    rows = lists;
    starts = rows + users + items;
    item_starts = starts + users + 1;
    owners = item_starts + items + 1;
    liked = owners + pairs;
    others = liked + pairs;
    places = others + pairs;
  }
};

// The table of all rows, or that of the moved rows of a batch, which has them by slot.
struct Rows {
  const float* numbers;
  const u32* rows;
  u32 width;
  bool by_slot;

  __device__ __forceinline__ const float* operator[](u32 slot) const {
    return numbers + static_cast<u64>(by_slot ? slot : rows[slot]) * width;
  }
};

__device__ __forceinline__ float4 four(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ __forceinline__ void store(float* to, float4 v) { *reinterpret_cast<float4*>(to) = v; }
__device__ __forceinline__ float4 zeros() { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); }

// a b + c
__device__ __forceinline__ float4 fma4(float a, float4 b, float4 c) {
  return make_float4(fmaf(a, b.x, c.x), fmaf(a, b.y, c.y), fmaf(a, b.z, c.z), fmaf(a, b.w, c.w));
}
__device__ __forceinline__ float4 minus(float4 a, float4 b) {
  return make_float4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w);
}
// The inner product added to `sum`.
__device__ __forceinline__ float dot(float4 a, float4 b, float sum) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// Sums of all lanes whose numbers differ in bits from `first` up to below `end`; the same bits in each of them.
__device__ __forceinline__ float add_up(float x, u32 first, u32 end) {
  for (u32 distance = first; distance < end; distance *= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
  return x;
}

// Margins x = u . (v_i - v_j) + b_i - b_j of all pairs, with the loss l = ln(1 + e^-x) and dl/dx = -1 / (1 + e^x). With
// `cut`, x counts as -80 below it, where it has no derivative. Biases are those of all items, after `user_count` rows,
// if `biased`. Grid: 8 x 32 / lanes pairs a block.
KERNEL(256, 2)
pair_margins(const float* __restrict__ numbers, u32 by_slot, const float* __restrict__ biases, u32 biased,
             u32 user_count, const u32* __restrict__ lists, u32 users, u32 items, u32 pairs, u32 width, u32 lanes,
             u32 cut, float* __restrict__ margins, float* __restrict__ losses, float* __restrict__ slopes) {
  Batch batch(lists, users, items, pairs);
  Rows rows = {numbers, batch.rows, width, by_slot != 0};
  u64 pair = (static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x) / lanes;
  u32 lane = threadIdx.x % lanes;
  bool there = pair < pairs;
  float sum = 0.0f;
  u32 liked = 0, other = 0;
  if (there) {
    liked = users + batch.liked[pair], other = users + batch.others[pair];
    const float *user = rows[batch.owners[pair]], *positive = rows[liked], *negative = rows[other];
#pragma unroll 2
    for (u32 at = 4 * lane; at < width; at += 4 * lanes)
      sum = dot(four(user + at), minus(four(positive + at), four(negative + at)), sum);
  }
  sum = add_up(sum, 1, lanes);
  if (!there || lane != 0) return;
  if (biased) sum += biases[batch.rows[liked] - user_count] - biases[batch.rows[other] - user_count];
  margins[pair] = sum;
  // A NaN is not below, and stays.
  bool below = cut && sum < LOWEST;
  float x = below ? LOWEST : sum;
  losses[pair] = fmaxf(-x, 0.0f) + log1pf(expf(-fabsf(x)));
  slopes[pair] = below ? 0.0f : -1.0f / (1.0f + expf(x));
}
EXPORT(pair_margins)

// Gradients of the rows of a batch, by slot: dP_u = sum slope (Q_i - Q_j), dQ_i = sum slope P_u, dQ_j = sum -slope P_u;
// of the biases, too, if `biased`. They become `gradient`, or `weight` times they are added to it if `added`. An
// `attack` finds the step D = eps g / sqrt(max(|g|^2, 1e-12)) of each row x, g = gradient + pull n x for a row of n
// pairs: x + D go to `steps` by slot (MOVED_ROWS), or D by row (STEPS_OF_ALL). It is for rows by row that are not
// `added`. Grid: a warp for each slot.
KERNEL(256, 2)
pair_gradients(const float* __restrict__ numbers, u32 by_slot, const u32* __restrict__ lists, u32 users, u32 items,
               u32 pairs, u32 width, u32 lanes, const float* __restrict__ slopes, u32 added, float weight,
               float* gradient, float* bias_gradient, u32 biased, u32 attack, float eps, float pull, float* steps) {
  u32 slot = blockIdx.x * WARPS + threadIdx.x / WARP;
  // Whole warps end.
  if (slot >= users + items) return;
  Batch batch(lists, users, items, pairs);
  Rows rows = {numbers, batch.rows, width, by_slot != 0};
  // Groups take turns with the members.
  u32 group = threadIdx.x % WARP / lanes, groups = WARP / lanes, lane = threadIdx.x % lanes;
  bool of_user = slot < users;
  const u32* starts = of_user ? batch.starts + slot : batch.item_starts + (slot - users);
  u32 first = starts[0], end = starts[1];
  float* to = gradient + static_cast<u64>(slot) * width;
  const float* row = rows[slot];
  float count = pull * static_cast<float>(end - first), square = 0.0f;
  for (u32 part = 0; part < width; part += 4 * lanes) {
    u32 at = part + 4 * lane;
    bool there = at < width;
    // Lanes beyond the end sum up the beginning for nothing.
    u32 from = there ? at : 0;
    float4 sum = zeros();
    float slope_sum = 0.0f;
    if (of_user) {
#pragma unroll 4
      for (u32 pair = first + group; pair < end; pair += groups) {
        const float *liked = rows[users + batch.liked[pair]], *other = rows[users + batch.others[pair]];
        sum = fma4(slopes[pair], minus(four(liked + from), four(other + from)), sum);
      }
    } else {
#pragma unroll 4
      for (u32 p = first + group; p < end; p += groups) {
        u32 place = batch.places[p];
        float slope = place % 2 == 0 ? slopes[place / 2] : -slopes[place / 2];
        slope_sum += slope;
        const float* user = rows[batch.owners[place / 2]];
        sum = fma4(slope, four(user + from), sum);
      }
    }
    sum.x = add_up(sum.x, lanes, WARP), sum.y = add_up(sum.y, lanes, WARP);
    sum.z = add_up(sum.z, lanes, WARP), sum.w = add_up(sum.w, lanes, WARP);
    slope_sum = add_up(slope_sum, lanes, WARP);
    if (biased && !of_user && part == 0 && threadIdx.x % WARP == 0) {
      float* bias = bias_gradient + (slot - users);
      *bias = added ? fmaf(weight, slope_sum, *bias) : slope_sum;
    }
    if (there && group == 0) {
      store(to + at, added ? fma4(weight, sum, four(to + at)) : sum);
      if (attack != NO_ATTACK) {
        float4 direction = fma4(count, four(row + at), sum);
        square = dot(direction, direction, square);
      }
    }
  }
  if (attack == NO_ATTACK) return;
  square = add_up(square, 1, lanes);
  float scale = eps / sqrtf(square > SHORTEST ? square : SHORTEST);
  if (group != 0) return;
  float* moved = steps + static_cast<u64>(attack == STEPS_OF_ALL ? batch.rows[slot] : slot) * width;
  for (u32 at = 4 * lane; at < width; at += 4 * lanes) {
    // The thread reads what it has written.
    float4 x = four(row + at), direction = fma4(count, x, four(to + at));
    store(moved + at, fma4(scale, direction, attack == MOVED_ROWS ? x : zeros()));
  }
}
EXPORT(pair_gradients)

// moved[slot] = numbers[row] + steps[row] for the rows of a batch. Grid: 4 numbers a thread, 1024 a block.
KERNEL(256, 2)
pair_moved(const float* __restrict__ numbers, const float* __restrict__ steps, const u32* __restrict__ rows, u32 slots,
           u32 width, float* __restrict__ moved) {
  u64 at = (static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x) * 4;
  if (at >= static_cast<u64>(slots) * width) return;
  u64 from = static_cast<u64>(rows[at / width]) * width + at % width;
  store(moved + at, fma4(1.0f, four(steps + from), four(numbers + from)));
}
EXPORT(pair_moved)

// One step of one number against its derivative g: of Adagrad, a += g^2, x -= rate g / sqrt(a + 1e-7), or x -= rate g.
__device__ __forceinline__ float stepped(float x, float g, float rate, u32 adagrad, float& square) {
  if (!adagrad) return fmaf(-rate, g, x);
  square = fmaf(g, g, square);
  return x - rate * g / sqrtf(square + EPSILON);
}

// Steps of the rows of a batch against weight (gradient + l2 n x), for a row x of n pairs, and of the biases of the
// items likewise, if `biased`. `squares` and `bias_squares` are the sums of Adagrad, in the shape of the numbers and
// biases. Grid: 8 x 32 / lanes slots a block.
KERNEL(256, 2)
pair_update(float* __restrict__ numbers, float* __restrict__ squares, float* __restrict__ biases,
            float* __restrict__ bias_squares, u32 biased, u32 user_count, const u32* __restrict__ lists, u32 users,
            u32 items, u32 pairs, u32 width, u32 lanes, const float* __restrict__ gradient,
            const float* __restrict__ bias_gradient, float l2, float weight, float rate, u32 adagrad) {
  u64 slot = (static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x) / lanes;
  u32 lane = threadIdx.x % lanes;
  if (slot >= users + items) return;
  Batch batch(lists, users, items, pairs);
  bool of_user = slot < users;
  const u32* starts = of_user ? batch.starts + slot : batch.item_starts + (slot - users);
  float pull = l2 * static_cast<float>(starts[1] - starts[0]);
  u32 row = batch.rows[slot];
  for (u32 at = 4 * lane; at < width; at += 4 * lanes) {
    u64 place = static_cast<u64>(row) * width + at;
    float4 x = four(numbers + place), square = adagrad ? four(squares + place) : zeros();
    float4 g = fma4(pull, x, four(gradient + slot * width + at));
    x.x = stepped(x.x, weight * g.x, rate, adagrad, square.x);
    x.y = stepped(x.y, weight * g.y, rate, adagrad, square.y);
    x.z = stepped(x.z, weight * g.z, rate, adagrad, square.z);
    x.w = stepped(x.w, weight * g.w, rate, adagrad, square.w);
    store(numbers + place, x);
    if (adagrad) store(squares + place, square);
  }
  if (biased && !of_user && lane == 0) {
    u32 item = row - user_count;
    float x = biases[item], square = adagrad ? bias_squares[item] : 0.0f;
    float g = weight * fmaf(pull, x, bias_gradient[slot - users]);
    biases[item] = stepped(x, g, rate, adagrad, square);
    if (adagrad) bias_squares[item] = square;
  }
}
EXPORT(pair_update)
