// The emulated device: its limits, its memory, and what modules say about kernels.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "machine.h"

namespace emulator {

class Device {
 public:
  int major = 9, minor = 0;
  // Decides how launches share their work.
  int multiprocessors = 132;
  // Small, so that work on more than fits is tested with little of it.
  u64 memory = u64{1} << 30;
  u64 used = 0;

  // As cuDeviceGetAttribute numbers them; 0 for what nobody asks.
  int attribute(int number) const;
  // Bytes of shared memory that a block may have if it asks for more than 48 KiB.
  int most_shared() const;

  // 0 where there is not as much memory left.
  u64 allocate(size_t bytes);
  bool release(u64 at);
  u64 allocations() const { return blocks_.size(); }
  // Whether all of it lies in one allocation, and whether any of it lies in one.
  bool holds(u64 at, size_t bytes) const;
  bool touches(u64 at, size_t bytes) const;

 private:
  struct Block {
    size_t bytes;
    void* mapped;
    size_t mapped_bytes;
  };
  std::map<u64, Block> blocks_;
  u64 allocated_ever_ = 0;
};

struct Entry {
  std::string name;
  u32 static_shared;
};

// What can be told from an image: everything of PTX, nothing of a binary.
struct Module {
  Module(std::string image, bool is_binary);
  const Entry* entry(const std::string& name) const;
  bool binary;
  // Compute capability, times 10.
  int target = 0;
  std::vector<Entry> entries;
};

}  // namespace emulator
