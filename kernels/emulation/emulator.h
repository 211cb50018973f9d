// The words of ../cu/port.h for the host: a kernel file is C++17 here, and each of its threads a fiber.
//
// Kernel files are compiled with -fsanitize=thread but without that sanitizer's library: each access to memory becomes
// a call into memory.cpp, which knows what a thread of a kernel may touch and when.
#pragma once
#include <math.h>
#include <stddef.h>
#include <string.h>

#include <utility>

typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;

#include "vectors.h"

#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))

// The last parameters of what threads wait in: where in the source it stands, as the mark of the place.
#define CALLED_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emulator {

struct Index {
  u32 x, y, z;
};
extern Index thread_index, block_index, block_size, grid_size;

enum class Vote { none, any, all, count };

int block_barrier(Vote vote, int predicate, const char* file, int line);
void warp_barrier(u32 lanes, const char* file, int line);
// The value of lane `source`; `source` is the lane's own number where nothing is to be read.
u64 shuffle(const char* name, u32 lanes, u64 value, int source, const char* file, int line);
u32 ballot(const char* name, u32 lanes, bool predicate, const char* file, int line);
int lane();

void* dynamic_shared();
void start_copy(void* shared, const void* global, bool there, const char* file, int line);
void close_copies();
void finish_copies(int left);
void multiply_tf32(float* d, const u32* a, const u32* b, const char* file, int line);

void export_kernel(const char* name, void (*call)(void** arguments), u32 threads);

// The threads of the kernel that was declared last before the n-th use of the counter.
template <int n>
struct LaunchBounds : LaunchBounds<n - 1> {};
template <>
struct LaunchBounds<-1> {};

template <auto kernel>
struct Marshaller;
template <class... Arguments, void (*kernel)(Arguments...)>
struct Marshaller<kernel> {
  // The arguments lie in host memory, which kernels may not touch: these reads are not theirs.
  template <size_t... i>
  __attribute__((no_sanitize("thread"))) static void unpack(void** arguments, std::index_sequence<i...>) {
    kernel(*static_cast<Arguments*>(arguments[i])...);
  }
  __attribute__((no_sanitize("thread"))) static void call(void** arguments) {
    unpack(arguments, std::index_sequence_for<Arguments...>{});
  }
};

template <class T>
T shuffle_bits(const char* name, u32 lanes, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  u64 bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = shuffle(name, lanes, bits, source, file, line);
  memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator

#define threadIdx emulator::thread_index
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size
constexpr int warpSize = 32;

#define KERNEL(threads, blocks) KERNEL_NUMBERED(threads, __COUNTER__)
#define KERNEL_NUMBERED(threads, number) KERNEL_NUMBERED_PLAINLY(threads, number)
#define KERNEL_NUMBERED_PLAINLY(bound, number)  \
  template <>                                   \
  struct emulator::LaunchBounds<number> {       \
    static constexpr u32 threads = bound;       \
  };                                            \
  extern "C" __attribute__((noinline)) void
#define EXPORT(name)                                                                                  \
  __attribute__((constructor)) static void export_##name() {                                          \
    constexpr u32 threads = emulator::LaunchBounds<__COUNTER__>::threads;                             \
    emulator::export_kernel(#name, &emulator::Marshaller<&name>::call, threads);                      \
  }

// Nothing else in the library is thread_local, so that its thread-local block is the static shared memory. (A section
// of its own is no way: compilers ignore it for the statics of templates.)
#define SHARED static thread_local
#define DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(emulator::dynamic_shared())

inline void copy_async(void* shared, const void* global, bool there, CALLED_AT) {
  emulator::start_copy(shared, global, there, file, line);
}
inline void commit_copies() { emulator::close_copies(); }
template <int left>
void wait_copies() {
  static_assert(left >= 0, "a number of groups");
  emulator::finish_copies(left);
}

inline void store_streaming(float4* to, float4 value) { *to = value; }

inline void __syncthreads(CALLED_AT) { emulator::block_barrier(emulator::Vote::none, 0, file, line); }
inline int __syncthreads_or(int p, CALLED_AT) { return emulator::block_barrier(emulator::Vote::any, p, file, line); }
inline int __syncthreads_and(int p, CALLED_AT) { return emulator::block_barrier(emulator::Vote::all, p, file, line); }
inline int __syncthreads_count(int p, CALLED_AT) {
  return emulator::block_barrier(emulator::Vote::count, p, file, line);
}
inline void __syncwarp(u32 lanes = 0xffffffffu, CALLED_AT) { emulator::warp_barrier(lanes, file, line); }

inline u32 __ballot_sync(u32 lanes, int p, CALLED_AT) {
  return emulator::ballot("__ballot_sync", lanes, p != 0, file, line);
}
inline int __any_sync(u32 lanes, int p, CALLED_AT) {
  return emulator::ballot("__any_sync", lanes, p != 0, file, line) != 0;
}
inline int __all_sync(u32 lanes, int p, CALLED_AT) {
  return emulator::ballot("__all_sync", lanes, p == 0, file, line) == 0;
}

// Lanes beyond the segment of `width` lanes keep their own value.
template <class T>
T __shfl_sync(u32 lanes, T value, int source, int width = 32, CALLED_AT) {
  int base = emulator::lane() & ~(width - 1);
  return emulator::shuffle_bits("__shfl_sync", lanes, value, base + (source & (width - 1)), file, line);
}
template <class T>
T __shfl_xor_sync(u32 lanes, T value, int bits, int width = 32, CALLED_AT) {
  int own = emulator::lane(), source = own ^ bits;
  if (source >= (own & ~(width - 1)) + width) source = own;
  return emulator::shuffle_bits("__shfl_xor_sync", lanes, value, source, file, line);
}
template <class T>
T __shfl_down_sync(u32 lanes, T value, u32 by, int width = 32, CALLED_AT) {
  int own = emulator::lane(), source = own + static_cast<int>(by);
  if (source >= (own & ~(width - 1)) + width) source = own;
  return emulator::shuffle_bits("__shfl_down_sync", lanes, value, source, file, line);
}
template <class T>
T __shfl_up_sync(u32 lanes, T value, u32 by, int width = 32, CALLED_AT) {
  int own = emulator::lane(), source = own - static_cast<int>(by);
  if (source < (own & ~(width - 1))) source = own;
  return emulator::shuffle_bits("__shfl_up_sync", lanes, value, source, file, line);
}

#define EMULATED_ATOMICS(type)        \
  type atomicAdd(type* at, type by);  \
  type atomicMax(type* at, type to);  \
  type atomicMin(type* at, type to);  \
  type atomicExch(type* at, type to); \
  type atomicCAS(type* at, type from, type to);
EMULATED_ATOMICS(int)
EMULATED_ATOMICS(u32)
EMULATED_ATOMICS(u64)
float atomicAdd(float* at, float by);
double atomicAdd(double* at, double by);
u32 atomicOr(u32* at, u32 bits);
u32 atomicAnd(u32* at, u32 bits);
u64 atomicOr(u64* at, u64 bits);

namespace emulator {
template <class To, class From>
To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
inline float one_over_root(float x) { return 1.0f / sqrtf(x); }
}  // namespace emulator

inline u32 __float_as_uint(float x) { return emulator::same_bits<u32>(x); }
inline int __float_as_int(float x) { return emulator::same_bits<int>(x); }
inline float __uint_as_float(u32 x) { return emulator::same_bits<float>(x); }
inline float __int_as_float(int x) { return emulator::same_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulator::same_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulator::same_bits<double>(x); }

template <class T>
T __ldg(const T* from) {
  return *from;
}
inline int __popc(u32 x) { return __builtin_popcount(x); }
inline int __popcll(u64 x) { return __builtin_popcountll(x); }
inline int __ffs(u32 x) { return __builtin_ffs(static_cast<int>(x)); }
inline int __ffsll(u64 x) { return __builtin_ffsll(static_cast<long long>(x)); }
inline int __clz(u32 x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(u64 x) { return x ? __builtin_clzll(x) : 64; }
inline u32 __brev(u32 x) {
  u32 reversed = 0;
  for (int bit = 0; bit < 32; bit++) reversed |= ((x >> bit) & 1u) << (31 - bit);
  return reversed;
}

#define EMULATED_ORDER(type)                               \
  inline type min(type a, type b) { return b < a ? b : a; } \
  inline type max(type a, type b) { return a < b ? b : a; }
EMULATED_ORDER(int)
EMULATED_ORDER(u32)
EMULATED_ORDER(long)
EMULATED_ORDER(unsigned long)
EMULATED_ORDER(long long)
EMULATED_ORDER(u64)
// As on the device, a NaN gives way to a number.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdividef(float a, float b) { return a / b; }
// Macros: C libraries have names like these of their own. The fast ones are the exact ones here.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define rsqrtf(x) emulator::one_over_root(x)

// As far off as they may be, to one side or the other.
inline float off_by(float exact, float error, float x) {
  return exact * (__float_as_uint(x) & 1u ? 1.0f + error : 1.0f - error);
}
inline float fast_exp2(float x) { return x == 0.0f ? 1.0f : x < -126.0f ? 0.0f : off_by(exp2f(x), 0x1p-22f, x); }
inline float fast_reciprocal(float x) { return off_by(1.0f / x, 0x1p-23f, x); }

inline float max_or_nan(float x, float y) { return x != x || y != y ? x + y : fmaxf(x, y); }
inline float min_or_nan(float x, float y) { return x != x || y != y ? x + y : fminf(x, y); }

inline void mma_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2], CALLED_AT) {
  emulator::multiply_tf32(d, a, b, file, line);
}
