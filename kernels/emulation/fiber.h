// Stacks of fibers, and the reports of what goes wrong on them.
#pragma once
#include <signal.h>
#include <stddef.h>

namespace emulator {

// The lowest byte of the stack of the n-th fiber; below lies memory that nobody may touch.
unsigned char* stack_of(unsigned number);
// Makes its first turn a call of `start`, and gives what to switch to.
void* prepare_stack(unsigned number, void (*start)());
// Goes on where `to` was left, leaving here what to switch to later.
extern "C" void emulator_switch_stack(void** from, void* to);
inline void switch_stack(void** from, void* to) { emulator_switch_stack(from, to); }

const char* running_kernel();
// What a test has said it is about; empty if nothing.
const char* tested_case();

// While it lives, faults of the processor end the process with a report instead of those of the host program.
class FaultReports {
 public:
  FaultReports();
  ~FaultReports();
  FaultReports(const FaultReports&) = delete;
  FaultReports& operator=(const FaultReports&) = delete;

 private:
  stack_t old_stack_;
  struct sigaction old_actions_[5];
};

}  // namespace emulator
