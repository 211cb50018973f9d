// What the parts of the stand-in driver share: its state, and what makes a call valid.
#pragma once
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "device.h"
#include "machine.h"

#define DRIVER extern "C" __attribute__((visibility("default"))) int
#define CONTROL extern "C" __attribute__((visibility("default")))
// One call at a time.
#define LOCKED std::lock_guard<std::recursive_mutex> lock(driver::one_call)

namespace driver {

constexpr int SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101,
              INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NO_BINARY = 209, INVALID_PTX = 218,
              INVALID_HANDLE = 400, NOT_FOUND = 500;
constexpr int MOST_DEVICES = 8;

inline std::recursive_mutex one_call;
inline emulator::Device device;
inline int devices = 1;
inline u64 calls_until_error = 0;
// What a test has planned, and what the device gives since it is lost.
inline int planned_error = SUCCESS, lasting_error = SUCCESS;
inline std::set<void*> streams;

// The context that the thread is bound to, or null.
void* current_context();
// The error of each call, if any: a context must be there, and the device not lost.
int with_context();
// As much for calls that launch, copy, fill or allocate, which a test can let fail.
int with_work();
bool valid_stream(void* stream);

}  // namespace driver
