// Runs kernels: one fiber per thread, blocks one after the other. Fibers change only where threads wait for each other.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "fiber.h"
#include "machine.h"

namespace emulator {

Index thread_index, block_index, block_size, grid_size;
Fiber* running = nullptr;

namespace {

std::vector<Kernel>& kernels() {
  static std::vector<Kernel> all;
  return all;
}

const Launch* launch = nullptr;
// Of the block that runs.
std::vector<Fiber> fibers;
u32 threads = 0;
u32 ready[MOST_THREADS / LANES];
u32 at_barrier = 0, done = 0;
u8* dynamic_first = nullptr;
void* scheduler = nullptr;
u64 random_state = 0;

u64 random_number() {
  // splitmix64
  u64 z = (random_state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

bool same_place(const char* file, int line, const char* other_file, int other_line) {
  return line == other_line && (file == other_file || strcmp(file, other_file) == 0);
}

const char* file_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

u32 warp_of(const Fiber& fiber) { return fiber.number / LANES; }
Fiber& lane_beside(u32 lane) { return fibers[warp_of(*running) * LANES + lane]; }

void wait_for_turn() {
  Fiber* self = running;
  switch_stack(&self->stack_pointer, scheduler);
}

void thread_main() {
  launch->kernel->call(launch->arguments);
  if (!running->groups.empty() || !running->open_group.empty()) {
    fail("ends with copies to shared memory that it has not waited for");
  }
  running->state = State::done;
  done++;
  for (;;) wait_for_turn();
}

// All lanes named wait in the same call: the last to come gets true, and does what there is to do for all.
bool comes_last(const WarpCall& call) {
  Fiber& self = *running;
  u32 own = self.number % LANES;
  if (!(call.lanes >> own & 1)) {
    fail("%s at %s:%d: the lane is not in its own mask %08x", call.name, file_name(call.file), call.line, call.lanes);
  }
  self.call = call;
  for (u32 left = call.lanes; left; left &= left - 1) {
    u32 lane = static_cast<u32>(__builtin_ctz(left)), thread = warp_of(self) * LANES + lane;
    if (thread >= threads) {
      fail("%s at %s:%d: lane %u of the mask %08x is no thread of the block", call.name, file_name(call.file),
           call.line, lane, call.lanes);
    }
    if (lane == own) continue;
    const Fiber& other = fibers[thread];
    bool same = other.state == State::in_warp_call && other.call.lanes == call.lanes &&
                strcmp(other.call.name, call.name) == 0 &&
                same_place(call.file, call.line, other.call.file, other.call.line);
    if (!same) {
      self.state = State::in_warp_call;
      return false;
    }
  }
  return true;
}

void let_lanes_go_on(u32 lanes) {
  u32 own = running->number % LANES;
  for (u32 left = lanes; left; left &= left - 1) {
    lane_beside(static_cast<u32>(__builtin_ctz(left))).state = State::ready;
  }
  ready[warp_of(*running)] |= lanes & ~(1u << own);
}

void pass_barrier() {
  const Fiber& first = fibers[0];
  int any = 0, all = 1, count = 0;
  for (const Fiber& fiber : fibers) {
    if (!same_place(first.file, first.line, fiber.file, fiber.line)) {
      running = &fibers[fiber.number];
      fail("waits at the barrier of %s:%d, and thread 0 at that of %s:%d", file_name(fiber.file), fiber.line,
           file_name(first.file), first.line);
    }
    any |= fiber.predicate != 0;
    all &= fiber.predicate != 0;
    count += fiber.predicate != 0;
  }
  for (Fiber& fiber : fibers) {
    fiber.predicate = fiber.vote == Vote::any ? any : fiber.vote == Vote::all ? all : count;
    fiber.state = State::ready;
    ready[warp_of(fiber)] |= 1u << fiber.number % LANES;
  }
  at_barrier = 0;
  order_block();
}

[[noreturn]] void fail_stuck() {
  std::string waits;
  const Fiber* first = nullptr;
  std::vector<std::pair<std::string, u32>> places;
  for (const Fiber& fiber : fibers) {
    std::string place = "have ended";
    if (fiber.state == State::at_barrier) {
      place = std::string("wait at the barrier of ") + file_name(fiber.file) + ":" + std::to_string(fiber.line);
    } else if (fiber.state == State::in_warp_call) {
      char mask[16];
      snprintf(mask, sizeof mask, "%08x", fiber.call.lanes);
      place = std::string("wait in ") + fiber.call.name + " with the mask " + mask + " at " +
              file_name(fiber.call.file) + ":" + std::to_string(fiber.call.line);
    }
    if (!first && fiber.state != State::done) first = &fiber;
    auto known = std::find_if(places.begin(), places.end(), [&](const auto& p) { return p.first == place; });
    if (known == places.end()) {
      places.emplace_back(place, 1);
    } else {
      known->second++;
    }
  }
  for (const auto& [place, count] : places) {
    waits += (waits.empty() ? "" : ", ") + std::to_string(count) + " threads " + place;
  }
  running = &fibers[first->number];
  fail("waits for threads that never come: %s", waits.c_str());
}

// Whatever the seed, every thread that can go on gets its turn before the next barrier of the block.
void run_block() {
  u32 warps = (threads + LANES - 1) / LANES;
  u32 order[MOST_THREADS / LANES];
  for (u32 warp = 0; warp < warps; warp++) order[warp] = warp;
  bool shuffled = launch->seed != 0;
  // Some blocks let each warp run as far as it can before the next one.
  bool run_ahead = !shuffled || (random_number() & 1);
  while (done < threads) {
    if (shuffled) {
      for (u32 i = warps - 1; i > 0; i--) std::swap(order[i], order[random_number() % (i + 1)]);
    }
    bool progress = false;
    for (u32 i = 0; i < warps; i++) {
      u32 warp = order[i];
      do {
        u32 turn = ready[warp];
        if (!turn) break;
        ready[warp] = 0;
        progress = true;
        u64 random = shuffled ? random_number() : 0;
        u32 step = static_cast<u32>(random) | 1, start = static_cast<u32>(random >> 32);
        for (u32 nth = 0; nth < LANES; nth++) {
          u32 lane = (nth * step + start) % LANES;
          if (!(turn >> lane & 1)) continue;
          running = &fibers[warp * LANES + lane];
          thread_index = running->index;
          switch_stack(&scheduler, running->stack_pointer);
        }
      } while (run_ahead);
    }
    if (progress) continue;
    if (at_barrier != threads) fail_stuck();
    pass_barrier();
  }
  running = nullptr;
}

void start_block() {
  memory_of_block();
  at_barrier = done = 0;
  memset(ready, 0, sizeof ready);
  for (u32 number = 0; number < threads; number++) {
    Fiber& fiber = fibers[number];
    fiber.number = number;
    fiber.index = Index{number % block_size.x, number / block_size.x % block_size.y,
                        number / (block_size.x * block_size.y)};
    fiber.state = State::ready;
    fiber.stack = stack_of(number);
    fiber.stack_pointer = prepare_stack(number, thread_main);
    ready[number / LANES] |= 1u << number % LANES;
  }
}

// The memory ends where a page begins that nobody may touch.
u8* dynamic_ending_at_guard(size_t bytes) {
  static u8* end = [] {
    size_t size = (MOST_SHARED + PAGE - 1) / PAGE * PAGE;
    void* first = mmap(nullptr, size + 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (first == MAP_FAILED || mprotect(first, size, PROT_READ | PROT_WRITE) != 0) fail("no memory for shared memory");
    return static_cast<u8*>(first) + size;
  }();
  return end - (bytes + 15) / 16 * 16;
}

}  // namespace

void export_kernel(const char* name, void (*call)(void** arguments), u32 most) {
  kernels().push_back(Kernel{name, call, most});
}

const Kernel* find_kernel(const char* name) {
  for (const Kernel& kernel : kernels()) {
    if (strcmp(kernel.name, name) == 0) return &kernel;
  }
  return nullptr;
}

void run(const Launch& to_run) {
  find_library();
  launch = &to_run;
  grid_size = to_run.grid;
  block_size = to_run.block;
  threads = block_size.x * block_size.y * block_size.z;
  fibers.assign(threads, Fiber{});
  dynamic_first = dynamic_ending_at_guard(to_run.dynamic_bytes);
  memory_of_launch(dynamic_first, to_run.dynamic_bytes);
  FaultReports reports;
  random_state = to_run.seed;
  for (u32 z = 0; z < grid_size.z; z++) {
    for (u32 y = 0; y < grid_size.y; y++) {
      for (u32 x = 0; x < grid_size.x; x++) {
        block_index = Index{x, y, z};
        start_block();
        run_block();
      }
    }
  }
  launch = nullptr;
}

const char* running_kernel() { return launch ? launch->kernel->name : "none"; }

int lane() { return static_cast<int>(running->number % LANES); }
void* dynamic_shared() { return dynamic_first; }

int block_barrier(Vote vote, int predicate, const char* file, int line) {
  Fiber& self = *running;
  self.vote = vote;
  self.predicate = predicate;
  self.file = file;
  self.line = line;
  self.state = State::at_barrier;
  at_barrier++;
  wait_for_turn();
  return self.predicate;
}

void warp_barrier(u32 lanes, const char* file, int line) {
  if (comes_last(WarpCall{"__syncwarp", lanes, file, line})) {
    order_lanes(warp_of(*running), lanes);
    let_lanes_go_on(lanes);
  } else {
    wait_for_turn();
  }
}

u64 shuffle(const char* name, u32 lanes, u64 value, int source, const char* file, int line) {
  Fiber& self = *running;
  self.value = value;
  self.source = source;
  if (!comes_last(WarpCall{name, lanes, file, line})) {
    wait_for_turn();
    return self.result;
  }
  for (u32 left = lanes; left; left &= left - 1) {
    Fiber& lane = lane_beside(static_cast<u32>(__builtin_ctz(left)));
    if (lane.source < 0 || !(lanes >> lane.source & 1)) {
      running = &lane;
      fail("%s at %s:%d reads lane %d, which is outside the mask %08x", name, file_name(file), line, lane.source,
           lanes);
    }
    lane.result = lane_beside(static_cast<u32>(lane.source)).value;
  }
  let_lanes_go_on(lanes);
  return self.result;
}

u32 ballot(const char* name, u32 lanes, bool predicate, const char* file, int line) {
  Fiber& self = *running;
  self.value = predicate;
  if (!comes_last(WarpCall{name, lanes, file, line})) {
    wait_for_turn();
    return static_cast<u32>(self.result);
  }
  u32 votes = 0;
  for (u32 lane = 0; lane < LANES; lane++) {
    if (lanes >> lane & 1) votes |= static_cast<u32>(lane_beside(lane).value) << lane;
  }
  for (u32 left = lanes; left; left &= left - 1) lane_beside(static_cast<u32>(__builtin_ctz(left))).result = votes;
  let_lanes_go_on(lanes);
  return votes;
}

void multiply_tf32(float* d, const u32* a, const u32* b, const char* file, int line) {
  Fiber& self = *running;
  constexpr u32 all = 0xffffffffu;
  for (int i = 0; i < 6; i++) {
    if ((i < 4 ? a[i] : b[i - 4]) & 0x1fff) {
      fail("mma_tf32 at %s:%d: %c[%d] has more bits than TF32", file_name(file), line, i < 4 ? 'a' : 'b', i % 4);
    }
  }
  self.product = {d, a, b};
  if (!comes_last(WarpCall{"mma_tf32", all, file, line})) return wait_for_turn();
  float left[16][8], right[8][8];
  for (u32 lane = 0; lane < LANES; lane++) {
    u32 g = lane / 4, t = lane % 4;
    const auto& given = lane_beside(lane).product;
    for (u32 i = 0; i < 4; i++) left[g + 8 * (i % 2)][t + 4 * (i / 2)] = __uint_as_float(given.a[i]);
    for (u32 i = 0; i < 2; i++) right[t + 4 * i][g] = __uint_as_float(given.b[i]);
  }
  for (u32 lane = 0; lane < LANES; lane++) {
    for (u32 i = 0; i < 4; i++) {
      u32 row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float& sum = lane_beside(lane).product.d[i];
      for (u32 k = 0; k < 8; k++) sum += left[row][k] * right[k][column];
    }
  }
  let_lanes_go_on(all);
}

void start_copy(void* shared, const void* global, bool there, const char* file, int line) {
  if ((reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % 16) {
    fail("copy_async at %s:%d: an address is no multiple of 16", file_name(file), line);
  }
  const void* code = __builtin_return_address(0);
  observe(shared, 16, Access::issue_copy, code);
  if (there) observe(global, 16, Access::read, code);
  memset(shared, POISON, 16);
  running->open_group.push_back(Copy{shared, global, there});
}

void close_copies() {
  running->groups.push_back(std::move(running->open_group));
  running->open_group.clear();
}

void finish_copies(int left) {
  auto& groups = running->groups;
  size_t finished = groups.size() > static_cast<size_t>(left) ? groups.size() - static_cast<size_t>(left) : 0;
  for (size_t group = 0; group < finished; group++) {
    for (const Copy& copy : groups[group]) {
      observe(copy.to, 16, Access::land_copy, nullptr);
      if (copy.there) {
        memcpy(copy.to, copy.from, 16);
      } else {
        memset(copy.to, 0, 16);
      }
    }
  }
  groups.erase(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(finished));
}

}  // namespace emulator

// Threads change only where they wait, so that nothing comes between the read and the write.
#define TOUCH emulator::observe(at, sizeof *at, emulator::Access::write_freely, __builtin_return_address(0))
#define CHANGE(name, type, changed)   \
  type name(type* at, type given) {   \
    TOUCH;                            \
    type old = *at;                   \
    *at = changed;                    \
    return old;                       \
  }
#define CHANGES(type)                                                                         \
  CHANGE(atomicAdd, type, static_cast<type>(static_cast<u64>(old) + static_cast<u64>(given))) \
  CHANGE(atomicMax, type, old < given ? given : old)                                          \
  CHANGE(atomicMin, type, given < old ? given : old)                                          \
  CHANGE(atomicExch, type, given)                                                             \
  type atomicCAS(type* at, type from, type to) {                                              \
    TOUCH;                                                                                    \
    type old = *at;                                                                           \
    if (old == from) *at = to;                                                                \
    return old;                                                                               \
  }
CHANGES(int)
CHANGES(u32)
CHANGES(u64)
CHANGE(atomicAdd, float, old + given)
CHANGE(atomicAdd, double, old + given)
CHANGE(atomicOr, u32, old | given)
CHANGE(atomicAnd, u32, old & given)
CHANGE(atomicOr, u64, old | given)
