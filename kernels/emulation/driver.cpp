// A stand-in for the CUDA driver: the functions of libcuda that our host code comes to, over the emulator. Everything
// happens in order, at once and on the thread that asks; one call at a time.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "driver.h"

using namespace driver;

namespace {

// Contexts are these places, one per device.
char contexts[driver::MOST_DEVICES];
std::set<void*> events;
std::map<uintptr_t, size_t> pinned;

// No thread_local: the thread-local block of this library is the shared memory of kernels.
pthread_key_t current_context_key() {
  static pthread_key_t key = [] {
    pthread_key_t made;
    pthread_key_create(&made, nullptr);
    return made;
  }();
  return key;
}

}  // namespace

namespace driver {

void* current_context() { return pthread_getspecific(current_context_key()); }

int with_context() {
  if (lasting_error) return lasting_error;
  return current_context() ? SUCCESS : INVALID_CONTEXT;
}

int with_work() {
  if (int error = with_context()) return error;
  if (!calls_until_error || --calls_until_error) return SUCCESS;
  // A device that lacks memory or was asked for nonsense works on; any other error stays.
  if (planned_error != INVALID_VALUE && planned_error != OUT_OF_MEMORY) lasting_error = planned_error;
  return planned_error;
}

bool valid_stream(void* stream) {
  // Null, 1 and 2 name the default streams.
  return reinterpret_cast<uintptr_t>(stream) <= 2 || streams.count(stream) != 0;
}

}  // namespace driver

namespace {

int fill(u64 at, const void* pattern, size_t width, size_t count, void* stream) {
  if (int error = with_work()) return error;
  if (!valid_stream(stream)) return INVALID_HANDLE;
  if (count && (at % width || !device.holds(at, width * count))) return INVALID_VALUE;
  for (size_t i = 0; i < count; i++) memcpy(reinterpret_cast<u8*>(at) + i * width, pattern, width);
  return SUCCESS;
}

int copy(void* to, const void* from, size_t bytes, bool to_device, bool from_device, void* stream) {
  if (int error = with_work()) return error;
  if (!valid_stream(stream)) return INVALID_HANDLE;
  if (!bytes) return SUCCESS;
  if (!to || !from) return INVALID_VALUE;
  u64 first = reinterpret_cast<u64>(to), second = reinterpret_cast<u64>(from);
  if (to_device ? !device.holds(first, bytes) : device.touches(first, bytes)) return INVALID_VALUE;
  if (from_device ? !device.holds(second, bytes) : device.touches(second, bytes)) return INVALID_VALUE;
  memmove(to, from, bytes);
  return SUCCESS;
}

int allocate(u64* at, size_t bytes) {
  if (int error = with_work()) return error;
  if (!bytes) return INVALID_VALUE;
  *at = device.allocate(bytes);
  return *at ? SUCCESS : OUT_OF_MEMORY;
}

int release(u64 at) {
  // What a lost device held is gone with it.
  bool known = !at || device.release(at);
  if (int error = with_context()) return error;
  return known ? SUCCESS : INVALID_VALUE;
}

}  // namespace

// ---- device and context

DRIVER cuInit(u32 flags) { return flags ? INVALID_VALUE : devices ? SUCCESS : NO_DEVICE; }
DRIVER cuDriverGetVersion(int* version) {
  *version = 13000;
  return SUCCESS;
}
DRIVER cuDeviceGetCount(int* count) {
  *count = devices;
  return SUCCESS;
}
DRIVER cuDeviceGet(int* handle, int ordinal) {
  *handle = ordinal;
  return ordinal >= 0 && ordinal < devices ? SUCCESS : INVALID_DEVICE;
}
DRIVER cuDeviceGetName(char* name, int size, int) {
  snprintf(name, static_cast<size_t>(size), "emulated device");
  return SUCCESS;
}
DRIVER cuDeviceGetAttribute(int* value, int attribute, int ordinal) {
  LOCKED;
  if (ordinal < 0 || ordinal >= devices) return INVALID_DEVICE;
  *value = device.attribute(attribute);
  return SUCCESS;
}
DRIVER cuDeviceTotalMem_v2(size_t* bytes, int) {
  LOCKED;
  *bytes = device.memory;
  return SUCCESS;
}
DRIVER cuDevicePrimaryCtxRetain(void** context, int ordinal) {
  LOCKED;
  if (ordinal < 0 || ordinal >= devices) return INVALID_DEVICE;
  *context = &contexts[ordinal];
  return lasting_error;
}
DRIVER cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
DRIVER cuCtxGetCurrent(void** context) {
  *context = current_context();
  return SUCCESS;
}
DRIVER cuCtxSetCurrent(void* context) {
  pthread_setspecific(current_context_key(), context);
  return SUCCESS;
}
DRIVER cuCtxSynchronize() {
  LOCKED;
  return with_context();
}

// ---- streams and events

DRIVER cuStreamCreate(void** stream, u32) {
  LOCKED;
  if (int error = with_context()) return error;
  *stream = *streams.insert(malloc(16)).first;
  return SUCCESS;
}
DRIVER cuStreamDestroy_v2(void* stream) {
  LOCKED;
  if (!streams.erase(stream)) return INVALID_HANDLE;
  free(stream);
  return lasting_error;
}
DRIVER cuStreamSynchronize(void* stream) {
  LOCKED;
  if (int error = with_context()) return error;
  return valid_stream(stream) ? SUCCESS : INVALID_HANDLE;
}
DRIVER cuStreamWaitEvent(void* stream, void* event, u32) {
  LOCKED;
  if (int error = with_context()) return error;
  return valid_stream(stream) && events.count(event) ? SUCCESS : INVALID_HANDLE;
}

static double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
DRIVER cuEventCreate(void** event, u32) {
  LOCKED;
  if (int error = with_context()) return error;
  *event = new double(0);
  events.insert(*event);
  return SUCCESS;
}
DRIVER cuEventDestroy_v2(void* event) {
  LOCKED;
  if (!events.erase(event)) return INVALID_HANDLE;
  delete static_cast<double*>(event);
  return lasting_error;
}
DRIVER cuEventRecord(void* event, void* stream) {
  LOCKED;
  if (int error = with_context()) return error;
  if (!events.count(event) || !valid_stream(stream)) return INVALID_HANDLE;
  *static_cast<double*>(event) = seconds();
  return SUCCESS;
}
DRIVER cuEventSynchronize(void* event) {
  LOCKED;
  if (int error = with_context()) return error;
  return events.count(event) ? SUCCESS : INVALID_HANDLE;
}
DRIVER cuEventElapsedTime(float* milliseconds, void* from, void* to) {
  LOCKED;
  if (int error = with_context()) return error;
  if (!events.count(from) || !events.count(to)) return INVALID_HANDLE;
  *milliseconds = static_cast<float>((*static_cast<double*>(to) - *static_cast<double*>(from)) * 1e3);
  return SUCCESS;
}

// ---- memory

DRIVER cuMemGetInfo_v2(size_t* unused, size_t* total) {
  LOCKED;
  if (int error = with_context()) return error;
  *total = device.memory;
  *unused = device.memory - device.used;
  return SUCCESS;
}
DRIVER cuMemAlloc_v2(u64* at, size_t bytes) {
  LOCKED;
  return allocate(at, bytes);
}
DRIVER cuMemAllocAsync(u64* at, size_t bytes, void* stream) {
  LOCKED;
  return valid_stream(stream) ? allocate(at, bytes) : INVALID_HANDLE;
}
// Pools are not modelled: what is freed is gone at once.
DRIVER cuDeviceGetDefaultMemPool(void** pool, int ordinal) {
  LOCKED;
  if (ordinal < 0 || ordinal >= devices) return INVALID_DEVICE;
  *pool = contexts + ordinal;
  return SUCCESS;
}
DRIVER cuMemPoolSetAttribute(void* pool, int attribute, void* value) {
  LOCKED;
  constexpr int RELEASE_THRESHOLD = 4;
  return pool && value && attribute == RELEASE_THRESHOLD ? SUCCESS : INVALID_VALUE;
}
DRIVER cuMemFree_v2(u64 at) {
  LOCKED;
  return release(at);
}
DRIVER cuMemFreeAsync(u64 at, void* stream) {
  LOCKED;
  return valid_stream(stream) ? release(at) : INVALID_HANDLE;
}
DRIVER cuMemHostAlloc(void** at, size_t bytes, u32) {
  LOCKED;
  if (int error = with_context()) return error;
  if (!bytes) return INVALID_VALUE;
  *at = aligned_alloc(emulator::PAGE, (bytes + emulator::PAGE - 1) / emulator::PAGE * emulator::PAGE);
  if (!*at) return OUT_OF_MEMORY;
  memset(*at, emulator::POISON, bytes);
  pinned[reinterpret_cast<uintptr_t>(*at)] = bytes;
  // Kernels may use it as well.
  emulator::allow_memory(reinterpret_cast<uintptr_t>(*at), bytes);
  return SUCCESS;
}
DRIVER cuMemFreeHost(void* at) {
  LOCKED;
  if (!pinned.erase(reinterpret_cast<uintptr_t>(at))) return INVALID_VALUE;
  emulator::forbid_memory(reinterpret_cast<uintptr_t>(at));
  free(at);
  return lasting_error;
}

DRIVER cuMemsetD8Async(u64 at, u8 value, size_t count, void* stream) {
  LOCKED;
  return fill(at, &value, 1, count, stream);
}

DRIVER cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t bytes, void* stream) {
  LOCKED;
  return copy(reinterpret_cast<void*>(to), from, bytes, true, false, stream);
}
DRIVER cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t bytes, void* stream) {
  LOCKED;
  return copy(to, reinterpret_cast<void*>(from), bytes, false, true, stream);
}
DRIVER cuMemcpyHtoD_v2(u64 to, const void* from, size_t bytes) {
  return cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
}
DRIVER cuMemcpyDtoH_v2(void* to, u64 from, size_t bytes) { return cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr); }
