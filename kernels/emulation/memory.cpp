// Who may touch which memory when: bounds, races and copies under way, for shared and for device memory.
#include <link.h>
#include <stdio.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "machine.h"

namespace emulator {
namespace {

// Accesses of one kind to the same bytes of a word by lanes of one warp, with nothing between that orders them.
struct Trace {
  // When: the stretch between two barriers of a block, never used again, and the count of warp barriers of the lanes.
  u32 stretch;
  u32 turn;
  u32 lanes;
  u32 code;
  uint16_t warp;
  u8 bytes;
  // By atomic operations or volatile, which do not collide with each other.
  bool freely;
};

// What is remembered of 4 bytes. Two readers of different warps are enough: whoever writes collides with one of them.
struct Word {
  Trace write;
  Trace reads[2];
  u8 bytes_in_copy;
};

struct Region {
  uintptr_t first = 0;
  size_t size = 0;
  Word* words = nullptr;
  bool shared = false;
  bool holds(uintptr_t address) const { return address - first < size; }
};

Word* new_words(size_t bytes) {
  size_t size = (bytes / 4 + 2) * sizeof(Word);
  void* words = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return words == MAP_FAILED ? nullptr : static_cast<Word*>(words);
}

Region static_region, dynamic_region;
std::map<uintptr_t, Region> allocations;
Region* last_used = nullptr;

u32 stretch = 1, first_of_block = 1, first_of_launch = 1;
// How often a lane has passed warp barriers, and what it knows of that of the others.
u32 turns[MOST_THREADS];
u32 known[MOST_THREADS][LANES];

uintptr_t library_first = 0, library_end = 0;
size_t thread_local_module = 0, thread_local_size = 0;

Region* allocation_around(uintptr_t address) {
  if (last_used && last_used->holds(address)) return last_used;
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return nullptr;
  Region& region = std::prev(next)->second;
  if (!region.holds(address)) return nullptr;
  last_used = &region;
  return last_used;
}

bool is_read(Access access) { return access == Access::read || access == Access::read_freely; }
bool is_free(Access access) { return access == Access::read_freely || access == Access::write_freely; }
const char* verb(Access access) {
  switch (access) {
    case Access::read:
    case Access::read_freely:
      return "reads";
    case Access::issue_copy:
      return "starts to copy to";
    default:
      return "writes";
  }
}

[[noreturn]] void fail_outside(uintptr_t address, size_t size, Access access, const char* where) {
  const char* place = "near no allocation";
  size_t apart = 0, whole = 0;
  auto next = allocations.upper_bound(address);
  if (next != allocations.begin()) {
    const Region& region = std::prev(next)->second;
    place = "past the end of an allocation of";
    apart = address - (region.first + region.size);
    whole = region.size;
    if (region.holds(address)) {
      place = "before the end, and goes on after it, of an allocation of";
      apart = region.first + region.size - address;
    }
  }
  if (next != allocations.end() && (!whole || next->first - address < apart)) {
    place = "before an allocation of";
    apart = next->first - address;
    whole = next->second.size;
  }
  if (!whole) fail("%s %zu bytes where it has no memory%s", verb(access), size, where);
  fail("%s %zu bytes outside device and shared memory, %zu bytes %s %zu bytes%s", verb(access), size, apart, place,
       whole, where);
}

// Whether what is remembered comes before what the running thread does now.
bool comes_before(const Trace& trace, const Region& region) {
  if (trace.stretch < first_of_launch) return true;
  if (trace.stretch < first_of_block) return region.shared;
  if (trace.stretch < stretch) return true;
  u32 own = running->number;
  if (trace.warp != own / LANES) return false;
  u32 others = trace.lanes & ~(1u << own % LANES);
  for (; others; others &= others - 1) {
    if (known[own][__builtin_ctz(others)] <= trace.turn) return false;
  }
  return true;
}

[[noreturn]] void fail_race(const Trace& earlier, const char* what, const Region& region, uintptr_t word, Access access,
                            const char* where) {
  // source_line has one buffer.
  char now[256];
  snprintf(now, sizeof now, "%s", where);
  fail("race: %s the word at byte %zu of %s memory%s, which warp %u (lanes %08x)%s %s%s, with nothing between that "
       "orders them",
       verb(access), static_cast<size_t>(word - region.first), region.shared ? "shared" : "device", now, earlier.warp,
       earlier.lanes, earlier.stretch < first_of_block ? " of another block" : "", what, source_line(earlier.code));
}

void remember(Trace& trace, u8 bytes, bool freely, u32 code) {
  u32 own = running->number, turn = turns[own];
  uint16_t warp = static_cast<uint16_t>(own / LANES);
  u32 lane = 1u << own % LANES;
  if (trace.stretch == stretch && trace.warp == warp && trace.turn == turn && trace.freely == freely &&
      trace.bytes == bytes) {
    trace.lanes |= lane;
    trace.code = code;
  } else {
    trace = Trace{stretch, turn, lane, code, warp, bytes, freely};
  }
}

void observe_word(const Region& region, Word& word, uintptr_t at, u8 bytes, Access access, const void* code) {
  auto where = [&] { return access == Access::land_copy ? "" : source_line(code_offset(code)); };
  u32 offset = code_offset(code);
  bool copying = access == Access::land_copy;
  if ((word.bytes_in_copy & bytes) && !copying && word.write.stretch >= first_of_block) {
    fail("%s bytes of shared memory that a copy of a thread of warp %u, not yet waited for, will change%s",
         verb(access), word.write.warp, where());
  }
  auto collide = [&](const Trace& earlier, const char* what) {
    if ((earlier.bytes & bytes) && !(earlier.freely && is_free(access)) && !comes_before(earlier, region)) {
      fail_race(earlier, what, region, at, access, where());
    }
  };
  collide(word.write, "wrote");
  if (is_read(access)) {
    uint16_t warp = static_cast<uint16_t>(running->number / LANES);
    Trace* slot = &word.reads[word.reads[0].stretch <= word.reads[1].stretch ? 0 : 1];
    for (Trace& read : word.reads) {
      if (read.warp == warp && read.stretch == stretch) slot = &read;
    }
    remember(*slot, bytes, is_free(access), offset);
    return;
  }
  for (const Trace& read : word.reads) collide(read, "read");
  remember(word.write, bytes, is_free(access), offset);
  if (access == Access::issue_copy) word.bytes_in_copy |= bytes;
  if (copying) word.bytes_in_copy &= static_cast<u8>(~bytes);
}

void observe_in(Region& region, uintptr_t address, size_t size, Access access, const void* code) {
  if (size > region.first + region.size - address) {
    fail_outside(address, size, access, source_line(code_offset(code)));
  }
  if (!region.words) return;
  uintptr_t end = address + size;
  for (uintptr_t at = address & ~uintptr_t{3}; at < end; at += 4) {
    u8 bytes = 0xf;
    if (at < address) bytes = static_cast<u8>(bytes & (0xf << (address - at)));
    if (at + 4 > end) bytes = static_cast<u8>(bytes & (0xf >> (at + 4 - end)));
    observe_word(region, region.words[(at - (region.first & ~uintptr_t{3})) / 4], at, bytes, access, code);
  }
}

int look_at_library(dl_phdr_info* info, size_t, void*) {
  uintptr_t here = reinterpret_cast<uintptr_t>(&find_library), first = 0, end = 0, local = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    uintptr_t at = info->dlpi_addr + part.p_vaddr;
    if (part.p_type == PT_LOAD) {
      if (!first) first = at;
      end = at + part.p_memsz;
    }
    if (part.p_type == PT_TLS) local = part.p_memsz;
  }
  if (here < first || here >= end) return 0;
  library_first = first;
  library_end = end;
  thread_local_size = local;
  thread_local_module = info->dlpi_tls_modid;
  return 1;
}

}  // namespace

extern "C" void* __tls_get_addr(size_t* module_and_offset);

void find_library() {
  if (!library_end) dl_iterate_phdr(look_at_library, nullptr);
}
bool library_holds(uintptr_t address) { return address >= library_first && address < library_end; }
u32 code_offset(const void* code) {
  uintptr_t at = reinterpret_cast<uintptr_t>(code);
  return library_holds(at) ? static_cast<u32>(at - library_first) : 0;
}

u8* static_shared(size_t* size) {
  *size = thread_local_size;
  if (!thread_local_size) return nullptr;
  size_t index[2] = {thread_local_module, 0};
  return static_cast<u8*>(__tls_get_addr(index));
}

void allow_memory(uintptr_t first, size_t size) {
  // What is larger is only checked for bounds, as the memory for words is many times that.
  constexpr size_t most_remembered = size_t{256} << 20;
  last_used = nullptr;
  allocations[first] = Region{first, size, size <= most_remembered ? new_words(size) : nullptr, false};
}

void forbid_memory(uintptr_t first) {
  last_used = nullptr;
  auto found = allocations.find(first);
  if (found == allocations.end()) return;
  const Region& region = found->second;
  if (region.words) munmap(region.words, (region.size / 4 + 2) * sizeof(Word));
  allocations.erase(found);
}

void memory_of_launch(u8* dynamic, size_t dynamic_bytes) {
  static Word* dynamic_words = new_words(MOST_SHARED);
  static Word* static_words = nullptr;
  size_t size = 0;
  u8* first = static_shared(&size);
  if (!static_words && size) static_words = new_words(size);
  static_region = Region{reinterpret_cast<uintptr_t>(first), size, static_words, true};
  dynamic_region = Region{reinterpret_cast<uintptr_t>(dynamic), dynamic_bytes, dynamic_words, true};
  first_of_launch = ++stretch;
}

void memory_of_block() {
  first_of_block = ++stretch;
  memset(reinterpret_cast<void*>(static_region.first), POISON, static_region.size);
  memset(reinterpret_cast<void*>(dynamic_region.first), POISON, dynamic_region.size);
  memset(turns, 0, sizeof turns);
  memset(known, 0, sizeof known);
}

void order_block() { stretch++; }

void order_lanes(u32 warp, u32 lanes) {
  u32 joined[LANES] = {};
  for (u32 left = lanes; left; left &= left - 1) {
    u32 lane = static_cast<u32>(__builtin_ctz(left)), thread = warp * LANES + lane;
    for (u32 other = 0; other < LANES; other++) joined[other] = std::max(joined[other], known[thread][other]);
    turns[thread]++;
  }
  for (u32 left = lanes; left; left &= left - 1) {
    u32 lane = static_cast<u32>(__builtin_ctz(left));
    joined[lane] = turns[warp * LANES + lane];
  }
  for (u32 left = lanes; left; left &= left - 1) {
    memcpy(known[warp * LANES + static_cast<u32>(__builtin_ctz(left))], joined, sizeof joined);
  }
}

void observe(const void* address, size_t size, Access access, const void* code) {
  if (!running) return;
  uintptr_t at = reinterpret_cast<uintptr_t>(address);
  if (at - reinterpret_cast<uintptr_t>(running->stack) < STACK) return;
  bool copy = access == Access::issue_copy || access == Access::land_copy;
  if (static_region.holds(at)) return observe_in(static_region, at, size, access, code);
  if (dynamic_region.holds(at)) return observe_in(dynamic_region, at, size, access, code);
  if (!copy) {
    if (Region* region = allocation_around(at)) return observe_in(*region, at, size, access, code);
    // Constants, and the variables of the emulator.
    if (library_holds(at) && is_read(access)) return;
  }
  uintptr_t dynamic_end = dynamic_region.first + dynamic_region.size;
  if (at >= dynamic_end && at - dynamic_end < 64 * PAGE) {
    fail("%s %zu bytes outside device and shared memory, %zu bytes past the end of %zu bytes of dynamic shared "
         "memory%s",
         verb(access), size, static_cast<size_t>(at - dynamic_end), dynamic_region.size,
         source_line(code_offset(code)));
  }
  fail_outside(at, size, access, source_line(code_offset(code)));
}

}  // namespace emulator

// What compilers call under -fsanitize=thread.
#define OBSERVE(size)                                                                                              \
  void __tsan_read##size(void* at) { OBSERVED(size, read) }                                                        \
  void __tsan_write##size(void* at) { OBSERVED(size, write) }                                                      \
  void __tsan_unaligned_read##size(void* at) { OBSERVED(size, read) }                                              \
  void __tsan_unaligned_write##size(void* at) { OBSERVED(size, write) }                                            \
  void __tsan_volatile_read##size(void* at) { OBSERVED(size, read_freely) }                                        \
  void __tsan_volatile_write##size(void* at) { OBSERVED(size, write_freely) }                                      \
  void __tsan_unaligned_volatile_read##size(void* at) { OBSERVED(size, read_freely) }                              \
  void __tsan_unaligned_volatile_write##size(void* at) { OBSERVED(size, write_freely) }
#define OBSERVED(size, access) \
  emulator::observe(at, size, emulator::Access::access, static_cast<u8*>(__builtin_return_address(0)) - 1);

extern "C" {
OBSERVE(1)
OBSERVE(2)
OBSERVE(4)
OBSERVE(8)
OBSERVE(16)
void __tsan_read_range(void* at, size_t size) { OBSERVED(size, read) }
void __tsan_write_range(void* at, size_t size) { OBSERVED(size, write) }
void* __tsan_memcpy(void* to, const void* from, size_t size) {
  const void* at = from;
  OBSERVED(size, read)
  at = to;
  OBSERVED(size, write)
  return memcpy(to, from, size);
}
void* __tsan_memmove(void* to, const void* from, size_t size) {
  const void* at = from;
  OBSERVED(size, read)
  at = to;
  OBSERVED(size, write)
  return memmove(to, from, size);
}
void* __tsan_memset(void* at, int value, size_t size) {
  OBSERVED(size, write)
  return memset(at, value, size);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
