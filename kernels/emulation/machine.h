// What the parts of the emulator and the stand-in driver know of each other; kernel files do not see it.
#pragma once
#include <stdint.h>
#include <sys/mman.h>

#include <vector>

// After the headers of C++, some of which use names that it gives a meaning of CUDA's.
#include "emulator.h"

namespace emulator {

constexpr size_t PAGE = 4096;
constexpr u8 POISON = 0xA5;
constexpr u32 LANES = 32;
constexpr u32 MOST_THREADS = 1024;
constexpr size_t MOST_SHARED = 227 * 1024;

// ---- kernels

struct Kernel {
  const char* name;
  void (*call)(void** arguments);
  u32 threads;
};
// Null where no kernel of that name was compiled in.
const Kernel* find_kernel(const char* name);

struct Launch {
  const Kernel* kernel;
  void** arguments;
  Index grid, block;
  size_t dynamic_bytes;
  // Decides the order in which threads take their turns; 0 is the order of their numbers.
  u64 seed;
};
// Runs all its blocks. Launches must not overlap.
void run(const Launch& launch);

// ---- the thread whose turn it is

struct Copy {
  void* to;
  const void* from;
  bool there;
};

// A call that lanes of a warp make together.
struct WarpCall {
  const char* name = nullptr;
  u32 lanes = 0;
  const char* file = nullptr;
  int line = 0;
};

enum class State : u8 { ready, in_warp_call, at_barrier, done };

struct Fiber {
  void* stack_pointer;
  u8* stack;
  u32 number;
  Index index;
  State state;
  // At a barrier.
  const char* file;
  int line;
  Vote vote;
  int predicate;
  // In a call of the warp: what the lane gives, and what it gets.
  WarpCall call;
  u64 value;
  int source;
  u64 result;
  struct {
    float* d;
    const u32* a;
    const u32* b;
  } product;
  // Groups of copies under way, oldest first, and those of no group yet.
  std::vector<std::vector<Copy>> groups;
  std::vector<Copy> open_group;
};
// Null outside of kernels.
extern Fiber* running;
constexpr size_t STACK = 128 * 1024;

// Says what went wrong, in which kernel, block and thread, and ends the process.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* what, ...);
// The line of the source that an address of code comes from, if a tool to tell is there.
const char* source_line(u32 code_offset);

// ---- memory

enum class Access : u8 { read, write, read_freely, write_freely, issue_copy, land_copy };

// Ends the process where the thread whose turn it is may not touch those bytes, or not now.
void observe(const void* address, size_t size, Access access, const void* code);

void allow_memory(uintptr_t first, size_t size);
void forbid_memory(uintptr_t first);
// The static shared memory of this operating system thread; size 0 where no kernel has any.
u8* static_shared(size_t* size);
void find_library();
bool library_holds(uintptr_t address);
u32 code_offset(const void* code);

void memory_of_launch(u8* dynamic, size_t dynamic_bytes);
void memory_of_block();
// All accesses until now come before all later ones.
void order_block();
// As much for these lanes of a warp.
void order_lanes(u32 warp, u32 lanes);

}  // namespace emulator
