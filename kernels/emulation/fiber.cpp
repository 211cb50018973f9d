#include "fiber.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#if !defined(__x86_64__)
#include <ucontext.h>

#include <map>
#endif

#include "machine.h"

namespace emulator {
namespace {

constexpr size_t GUARD = 4 * PAGE;
constexpr int FAULTS[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};

u8* stacks() {
  static u8* first = [] {
    size_t size = MOST_THREADS * (STACK + GUARD);
    void* all = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) fail("no memory for the stacks of threads");
    for (u32 i = 0; i < MOST_THREADS; i++) mprotect(static_cast<u8*>(all) + i * (STACK + GUARD), GUARD, PROT_NONE);
    return static_cast<u8*>(all);
  }();
  return first;
}

bool in_guard_of_stack(uintptr_t address) {
  uintptr_t offset = address - reinterpret_cast<uintptr_t>(stacks());
  return offset < MOST_THREADS * (STACK + GUARD) && offset % (STACK + GUARD) < GUARD;
}

void report_fault(int signal, siginfo_t* info, void* context) {
  (void)context;
  const void* code = nullptr;
#if defined(__x86_64__)
  code = reinterpret_cast<void*>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#endif
  const char* where = source_line(code_offset(code));
  if (signal == SIGILL || signal == SIGTRAP) {
    fail("an index outside its array, an address that is not aligned, a shift by too much or an integer overflow%s",
         where);
  }
  if (signal == SIGFPE) fail("divides an integer by zero%s", where);
  if (in_guard_of_stack(reinterpret_cast<uintptr_t>(info->si_addr))) fail("needs more than %zu bytes of stack", STACK);
  fail("touches memory at %p, where there is none for it%s", info->si_addr, where);
}

}  // namespace

const char* source_line(u32 offset) {
  static char line[200];
  line[0] = 0;
  Dl_info library;
  if (!offset || !dladdr(reinterpret_cast<void*>(&source_line), &library)) return line;
  char command[600], answer[150] = "";
  snprintf(command, sizeof command, "addr2line -s -i -e '%s' 0x%x 2>/dev/null", library.dli_fname, offset);
  if (FILE* output = popen(command, "r")) {
    // What is inlined comes first: the words of emulator.h are of interest only through who uses them.
    while (fgets(answer, sizeof answer, output) && strncmp(answer, "emulator.h", 10) == 0) continue;
    pclose(output);
  }
  answer[strcspn(answer, " \n")] = 0;
  if (answer[0] && answer[0] != '?') {
    snprintf(line, sizeof line, " (%s)", answer);
  } else {
    snprintf(line, sizeof line, " (code at 0x%x)", offset);
  }
  return line;
}

void fail(const char* what, ...) {
  fprintf(stderr, "\nemulator: ");
  if (*tested_case()) fprintf(stderr, "%s: ", tested_case());
  if (running) {
    const Index &block = block_index, &thread = running->index;
    fprintf(stderr, "kernel %s, block (%u, %u, %u), thread %u (%u, %u, %u): ", running_kernel(), block.x, block.y,
            block.z, running->number, thread.x, thread.y, thread.z);
  }
  va_list arguments;
  va_start(arguments, what);
  vfprintf(stderr, what, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  fflush(stderr);
  signal(SIGABRT, SIG_DFL);
  abort();
}

u8* stack_of(u32 number) { return stacks() + number * (STACK + GUARD) + GUARD; }

FaultReports::FaultReports() {
  static u8 stack[64 * 1024];
  stack_t own = {};
  own.ss_sp = stack;
  own.ss_size = sizeof stack;
  sigaltstack(&own, &old_stack_);
  struct sigaction action = {};
  action.sa_sigaction = report_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) sigaction(FAULTS[i], &action, &old_actions_[i]);
}

FaultReports::~FaultReports() {
  for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) sigaction(FAULTS[i], &old_actions_[i], nullptr);
  sigaltstack(&old_stack_, nullptr);
}

#if defined(__x86_64__)

void* prepare_stack(u32 number, void (*start)()) {
  void** top = reinterpret_cast<void**>(stack_of(number) + STACK - 64);
  // Where `start` would return to: it must not.
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(start);
  for (int saved = 0; saved < 6; saved++) *--top = nullptr;
  return top;
}

// Saves what a function must keep for its caller, changes stacks, and restores as much.
asm(R"(
.text
.globl emulator_switch_stack
.hidden emulator_switch_stack
.type emulator_switch_stack,@function
emulator_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch_stack,.-emulator_switch_stack
)");

#else

void* prepare_stack(u32 number, void (*start)()) {
  static ucontext_t contexts[MOST_THREADS];
  ucontext_t& context = contexts[number];
  getcontext(&context);
  context.uc_stack.ss_sp = stack_of(number);
  context.uc_stack.ss_size = STACK;
  context.uc_link = nullptr;
  makecontext(&context, start, 0);
  return &context;
}

extern "C" void emulator_switch_stack(void** from, void* to) {
  // A fiber's own context serves each time it is left, and the scheduler has one.
  static ucontext_t of_scheduler;
  ucontext_t* here = running && from == &running->stack_pointer ? static_cast<ucontext_t*>(running->stack_pointer)
                                                                : &of_scheduler;
  *from = here;
  swapcontext(here, static_cast<ucontext_t*>(to));
}

#endif

}  // namespace emulator
