// A cell of the users x items matrix: from its raw product z to what a fairness loss sums, and to what flows back.
//
// With y = squash(z) and a function f of the prediction: term = f(y), pull = f'(y) squash'(z). Four cells of a thread
// at a time, so that the form is looked up once for four, and exponentials skipped where no cell of the warp needs
// them.
#pragma once
#include "port.h"

// Squashes, and functions of the prediction; as numbered on the host.
constexpr u32 NO_SQUASH = 0, TANH = 1, CLAMP = 2;
constexpr u32 SCORE = 0, EXPONENTIAL_TAIL = 1, GAUSSIAN_TAIL = 2;
// Bandwidths from the threshold beyond which nothing is left of the density and of the tail.
constexpr float BAND = 8.5f;
constexpr float LOG2_E = 1.44269504f;

// What is computed of each product; laid out as on the host.
struct Cell {
  u32 squash, of;
  // Of a clamp: y = shift + scale * min(max(z, low), high).
  float low, high, scale, shift;
  // Threshold, 1 / bandwidth, and 1 / (bandwidth sqrt(2 pi)).
  float tau, steepness, peak;
};

// e^x for x to 0: within 1e-6 of 1, as large as it can be, and 1 for 0.
__device__ __forceinline__ float exponential(float x) { return fast_exp2(x * LOG2_E); }

__device__ __forceinline__ float hyperbolic_tangent(float z) {
  float e = exponential(max_or_nan(-2.0f * fabsf(z), -80.0f));
  float y = (1.0f - e) * fast_reciprocal(1.0f + e);
  return z < 0.0f ? -y : y;
}

// NaN stays NaN, as in all that follows: what has gone wrong must not look like a bound.
__device__ __forceinline__ float clamped(const Cell& cell, float z) {
  return fmaf(cell.scale, min_or_nan(max_or_nan(z, cell.low), cell.high), cell.shift);
}

__device__ __forceinline__ float squashed(const Cell& cell, float z) {
  if (cell.squash == CLAMP) return clamped(cell, z);
  return cell.squash == TANH ? hyperbolic_tangent(z) : z;
}

// The derivative of the squash by z, where it is y.
__device__ __forceinline__ float squash_slope(const Cell& cell, float z, float y) {
  if (cell.squash == CLAMP) return cell.low <= z && z <= cell.high ? cell.scale : 0.0f;
  return cell.squash == TANH ? fmaf(-y, y, 1.0f) : 1.0f;
}

__device__ __forceinline__ void squash_all(const Cell& cell, const float (&z)[4], float (&y)[4]) {
  if (cell.squash == CLAMP) {
#pragma unroll
    for (u32 n = 0; n < 4; n++) y[n] = clamped(cell, z[n]);
  } else if (cell.squash == TANH) {
#pragma unroll
    for (u32 n = 0; n < 4; n++) y[n] = hyperbolic_tangent(z[n]);
  } else {
#pragma unroll
    for (u32 n = 0; n < 4; n++) y[n] = z[n];
  }
}

// Distances from the threshold in bandwidths. Returns whether one of the warp's lies within the band, or is NaN.
__device__ __forceinline__ bool distances(const Cell& cell, const float (&y)[4], float (&t)[4]) {
  bool near = false;
#pragma unroll
  for (u32 n = 0; n < 4; n++) {
    t[n] = (cell.tau - y[n]) * cell.steepness;
    near |= !(fabsf(t[n]) >= BAND);
  }
  return __any_sync(ALL_LANES, near);
}

// The tail at x >= 0 by an exponential of second order: Lopez-Benitez & Casadevall 2011.
__device__ __forceinline__ float exponential_tail(float x) {
  return exponential(fmaf(fmaf(-0.4920f, x, -0.2887f), x, -1.1893f));
}

// erfc(x / sqrt 2) / 2 for x >= 0, within 5e-7: Abramowitz & Stegun 1964, 7.1.26.
__device__ __forceinline__ float gaussian_tail(float x) {
  float k = fast_reciprocal(fmaf(0.23164189f, x, 1.0f));
  float sum = fmaf(0.5f * 1.0614054f, k, 0.5f * -1.453152f);
  sum = fmaf(sum, k, 0.5f * 1.4214137f);
  sum = fmaf(sum, k, 0.5f * -0.28449674f);
  sum = fmaf(sum, k, 0.5f * 0.2548296f);
  return sum * k * exponential(-0.5f * x * x);
}

// `z` become terms. All lanes of the warp must take part.
__device__ __forceinline__ void terms(const Cell& cell, float (&z)[4]) {
  float y[4], t[4];
  squash_all(cell, z, y);
  if (cell.of == SCORE) {
#pragma unroll
    for (u32 n = 0; n < 4; n++) z[n] = y[n];
    return;
  }
  bool near = distances(cell, y, t);
#pragma unroll
  for (u32 n = 0; n < 4; n++) z[n] = t[n] < 0.0f ? 1.0f : 0.0f;
  if (!near) return;
#pragma unroll
  for (u32 n = 0; n < 4; n++) {
    float x = fabsf(t[n]);
    if (!(x >= BAND)) {
      float tail = cell.of == GAUSSIAN_TAIL ? gaussian_tail(x) : exponential_tail(x);
      z[n] = t[n] == 0.0f ? 0.5f : t[n] < 0.0f ? 1.0f - tail : tail;
    }
  }
}

// `z` become pulls. Returns whether one of the warp's may differ from 0. All lanes of the warp must take part.
__device__ __forceinline__ bool pulls(const Cell& cell, float (&z)[4]) {
  float y[4], t[4], slope[4];
  squash_all(cell, z, y);
#pragma unroll
  for (u32 n = 0; n < 4; n++) slope[n] = squash_slope(cell, z[n], y[n]);
  if (cell.of == SCORE) {
#pragma unroll
    for (u32 n = 0; n < 4; n++) z[n] = slope[n];
    return true;
  }
  bool near = distances(cell, y, t);
#pragma unroll
  for (u32 n = 0; n < 4; n++) {
    float density = !near || fabsf(t[n]) >= BAND ? 0.0f : exponential(-0.5f * t[n] * t[n]) * cell.peak;
    z[n] = density * slope[n];
  }
  return near;
}
