#include "device.h"

#include <stdlib.h>

#include <iterator>

namespace emulator {

int Device::most_shared() const {
  int version = major * 10 + minor;
  if (version == 80 || version == 87) return 163 * 1024;
  if (version == 90 || version == 100 || version == 103) return 227 * 1024;
  return 99 * 1024;
}

int Device::attribute(int number) const {
  switch (number) {
    case 1: return 1024;          // threads of a block
    case 2: case 3: return 1024;  // and along x and y
    case 4: return 64;
    case 5: return 0x7fffffff;    // blocks along x
    case 6: case 7: return 65535;
    case 8: return 48 * 1024;     // shared memory of a block that does not ask for more
    case 9: return 64 * 1024;     // constant memory
    case 10: return 32;           // lanes of a warp
    case 12: return 65536;        // registers of a block
    case 13: return 1980000;      // clock, kHz
    case 16: return multiprocessors;
    case 31: return 1;            // concurrent kernels
    case 36: return 2619000;      // clock of the memory, kHz
    case 37: return 5120;         // width of its bus
    case 38: return 50 << 20;     // L2 cache
    case 39: return 2048;         // threads of a multiprocessor
    case 41: return 1;            // one address space with the host
    case 75: return major;
    case 76: return minor;
    case 81: return most_shared() + 1024;  // shared memory of a multiprocessor
    case 82: return 65536;        // its registers
    case 97: return most_shared();
    case 106: return 32;          // its blocks
    case 111: return 1024;        // shared memory that each block costs on top
    case 115: return 1;           // pools of memory
    default: return 0;
  }
}

u64 Device::allocate(size_t bytes) {
  constexpr size_t aligned = 256;
  if (bytes > memory || used > memory - bytes) return 0;
  size_t inner = (bytes + PAGE - 1) / PAGE * PAGE, outer = inner + 2 * PAGE;
  void* mapped = mmap(nullptr, outer, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return 0;
  u8* first = static_cast<u8*>(mapped) + PAGE;
  if (mprotect(first, inner, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapped, outer);
    return 0;
  }
  memset(first, POISON, inner);
  // By turns right after the page before it, which nobody may touch, and right before the page after it.
  if (allocated_ever_++ % 2 == 0) first += (inner - bytes) / aligned * aligned;
  u64 at = reinterpret_cast<u64>(first);
  blocks_[at] = Block{bytes, mapped, outer};
  used += bytes;
  allow_memory(reinterpret_cast<uintptr_t>(first), bytes);
  return at;
}

bool Device::release(u64 at) {
  auto found = blocks_.find(at);
  if (found == blocks_.end()) return false;
  forbid_memory(static_cast<uintptr_t>(at));
  munmap(found->second.mapped, found->second.mapped_bytes);
  used -= found->second.bytes;
  blocks_.erase(found);
  return true;
}

bool Device::holds(u64 at, size_t bytes) const {
  auto next = blocks_.upper_bound(at);
  if (next == blocks_.begin()) return false;
  const auto& [first, block] = *std::prev(next);
  return at - first <= block.bytes && bytes <= block.bytes - (at - first);
}

bool Device::touches(u64 at, size_t bytes) const {
  auto next = blocks_.lower_bound(at + bytes);
  if (next == blocks_.begin()) return false;
  const auto& [first, block] = *std::prev(next);
  return first + block.bytes > at;
}

Module::Module(std::string image, bool is_binary) : binary(is_binary) {
  size_t target_at = image.find(".target sm_");
  if (target_at != std::string::npos) target = atoi(image.c_str() + target_at + strlen(".target sm_"));
  const std::string word = ".entry ";
  for (size_t at = image.find(word); at != std::string::npos;) {
    size_t name = at + word.size(), name_end = image.find_first_of("( \n", name);
    if (name_end == std::string::npos) break;
    size_t next = image.find(word, name);
    Entry entry{image.substr(name, name_end - name), 0};
    // Lines such as `.shared .align 16 .b8 name[4096];` in the body.
    for (size_t shared = image.find(".shared .align", name); shared < next;
         shared = image.find(".shared .align", shared + 1)) {
      size_t end = image.find_first_of(";[", shared);
      if (end != std::string::npos && image[end] == '[') {
        entry.static_shared += static_cast<u32>(atoi(image.c_str() + end + 1));
      }
    }
    entries.push_back(entry);
    at = next;
  }
}

const Entry* Module::entry(const std::string& name) const {
  for (const Entry& entry : entries) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace emulator
