// The stand-in driver's modules, functions and launches, and the controls for tests.
#include <string.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "driver.h"
#include "fiber.h"

using namespace driver;
using emulator::Module;

namespace {

u64 seed = 0, launches = 0;
std::set<void*> modules;
std::string about;

struct Function {
  const emulator::Kernel* kernel;
  u32 static_shared;
  int most_dynamic;
};
std::map<const Module*, std::map<std::string, Function>> functions;

Function* function_of(void* handle) {
  for (auto& [module, named] : functions) {
    for (auto& [name, function] : named) {
      if (&function == handle) return &function;
    }
  }
  return nullptr;
}

int load(void** module, std::string image, bool binary) {
  if (int error = with_context()) return error;
  auto made = std::make_unique<Module>(std::move(image), binary);
  if (!binary) {
    if (made->entries.empty()) return INVALID_PTX;
    if (made->target > device.major * 10 + device.minor) return NO_BINARY;
  }
  *module = made.get();
  modules.insert(made.release());
  return SUCCESS;
}

}  // namespace

const char* emulator::tested_case() { return about.c_str(); }

// ---- modules and functions

DRIVER cuModuleLoadData(void** module, const void* image) {
  LOCKED;
  u32 magic;
  memcpy(&magic, image, sizeof magic);
  if (magic == 0xBA55ED50u) return load(module, std::string(), true);
  const char* text = static_cast<const char*>(image);
  if (!strstr(text, ".version") && !strstr(text, ".entry")) return INVALID_IMAGE;
  return load(module, text, false);
}
DRIVER cuModuleUnload(void* module) {
  LOCKED;
  if (!modules.erase(module)) return INVALID_HANDLE;
  functions.erase(static_cast<Module*>(module));
  delete static_cast<Module*>(module);
  return lasting_error;
}
DRIVER cuModuleGetFunction(void** function, void* module, const char* name) {
  LOCKED;
  if (int error = with_context()) return error;
  if (!modules.count(module)) return INVALID_HANDLE;
  const Module* from = static_cast<Module*>(module);
  const emulator::Kernel* kernel = emulator::find_kernel(name);
  const emulator::Entry* entry = from->entry(name);
  if (!kernel || (!from->binary && !entry)) return NOT_FOUND;
  u32 static_shared = entry ? entry->static_shared : 0;
  Function made{kernel, static_shared, 48 * 1024 - static_cast<int>(static_shared)};
  *function = &functions[from].emplace(name, made).first->second;
  return SUCCESS;
}
DRIVER cuFuncSetAttribute(void* handle, int attribute, int value) {
  LOCKED;
  Function* function = function_of(handle);
  if (!function) return INVALID_HANDLE;
  if (attribute == 8) {
    if (value < 0 || value + static_cast<int>(function->static_shared) > device.most_shared()) return INVALID_VALUE;
    function->most_dynamic = value;
  }
  return SUCCESS;
}

DRIVER cuLaunchKernel(void* handle, u32 grid_x, u32 grid_y, u32 grid_z, u32 block_x, u32 block_y, u32 block_z,
                      u32 dynamic_bytes, void* stream, void** arguments, void** extra) {
  LOCKED;
  if (int error = with_work()) return error;
  const Function* function = function_of(handle);
  if (!function || !valid_stream(stream)) return INVALID_HANDLE;
  u64 threads = u64{block_x} * block_y * block_z;
  bool sizes = grid_x && grid_y && grid_z && threads && grid_x <= 0x7fffffff && grid_y <= 65535 && grid_z <= 65535 &&
               threads <= function->kernel->threads && threads <= emulator::MOST_THREADS && block_z <= 64;
  if (!sizes || extra || static_cast<int>(dynamic_bytes) > function->most_dynamic) return INVALID_VALUE;
  launches++;
  emulator::Index grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
  emulator::run({function->kernel, arguments, grid, block, dynamic_bytes, seed});
  return SUCCESS;
}

// ---- controls for tests

CONTROL void emulated_set_seed(u64 value) {
  LOCKED;
  seed = value;
}
// What reports begin with.
CONTROL void emulated_set_case(const char* name) {
  LOCKED;
  about = name;
}
CONTROL void emulated_set_memory(u64 bytes) {
  LOCKED;
  device.memory = bytes;
}
CONTROL void emulated_set_capability(int major, int minor) {
  LOCKED;
  device.major = major;
  device.minor = minor;
}
CONTROL void emulated_set_multiprocessors(int count) {
  LOCKED;
  device.multiprocessors = count;
}
CONTROL void emulated_set_devices(int count) {
  LOCKED;
  devices = std::min(count, MOST_DEVICES);
}
// The n-th call from now that launches, copies, fills or allocates gives `error`, and so does all after it; with 0 the
// device works again.
CONTROL void emulated_fail_after(u64 calls, int error) {
  LOCKED;
  calls_until_error = calls;
  planned_error = error;
  lasting_error = SUCCESS;
}
CONTROL u64 emulated_live_allocations() {
  LOCKED;
  return device.allocations();
}
CONTROL u64 emulated_launches() {
  LOCKED;
  return launches;
}
