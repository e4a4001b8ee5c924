// Threads of a CUDA block as fibers of one operating system thread.
//
// A block runs until every one of its threads has returned. A thread runs undisturbed until it
// reaches a barrier; a warp runs as far as the next barrier of the whole block (or its end) before
// another warp is taken up, in the chosen order. So warps run ahead of each other as far as the
// barriers allow, first to last, last to first, or shuffled: a kernel that lacks a barrier reads, in
// one of the orders, what has not been written yet or what has been overwritten already.
//
// Stricter than a GPU, on purpose: a barrier that some threads of the block have passed by (they
// returned, or wait at another one) is an error here, where a GPU may hang or carry on.
//
// Switching is by _setjmp and _longjmp, once a fiber has been entered: swapcontext asks the kernel for the
// signal mask each time, which took a third of the tests' time. AddressSanitizer knows only swapcontext.
#pragma once
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

struct dim3 {
  unsigned x, y, z;
};

namespace emulator {

constexpr int WARP = 32, MOST_THREADS = 1024;
constexpr size_t STACK = 64 * 1024;

enum State { IDLE, RUNNING, AT_BLOCK_BARRIER, AT_WARP_BARRIER, RELEASED };

#if defined(__SANITIZE_ADDRESS__)
struct Place {
  ucontext_t context;
};
inline void switch_to(Place& here, Place& there) { swapcontext(&here.context, &there.context); }
#else
struct Place {
  ucontext_t context;
  jmp_buf jump;
  bool entered = false;
};
inline void switch_to(Place& here, Place& there) {
  here.entered = true;
  if (_setjmp(here.jump)) return;
  if (there.entered) _longjmp(there.jump, 1);
  setcontext(&there.context);
}
#endif

struct Fiber {
  Place place;
  char* stack = nullptr;
  State state = IDLE;
  unsigned thread = 0;  // its number in the block
  dim3 index{};
  int line = 0;  // of the barrier it waits at
};

inline dim3 thread_index, block_index, block_dim, grid_dim;
inline Fiber fibers[MOST_THREADS];
inline unsigned fiber_count = 0;  // how many have a stack
inline Fiber* current = nullptr;
inline Place scheduler;
inline unsigned order[MOST_THREADS], rank_of[MOST_THREADS];  // which thread is taken up when
inline unsigned threads = 0, started = 0, finished = 0;
inline void (*body)(void*) = nullptr;
inline void* body_argument = nullptr;
inline char message[512];

// What a lane hands to the other lanes of its warp (shuffles, votes, tensor-core fragments).
inline uint64_t mailbox[MOST_THREADS][8];

inline void become(Fiber* fiber, unsigned thread) {
  fiber->thread = thread;
  fiber->state = RUNNING;
  fiber->index = {thread % block_dim.x, thread / block_dim.x % block_dim.y,
                  thread / (block_dim.x * block_dim.y)};
  thread_index = fiber->index;
}

// One fiber runs thread after thread for as long as none of them has to wait, block after block.
inline void run_threads() {
  Fiber* self = current;
  for (;;) {
    while (started < threads) {
      become(self, order[started++]);
      body(body_argument);
      finished++;
    }
    self->state = IDLE;
    switch_to(self->place, scheduler);
  }
}

inline void resume(Fiber* fiber) {
  current = fiber;
  thread_index = fiber->index;
  switch_to(scheduler, fiber->place);
}

inline void wait(State state, int line) {
  current->state = state;
  current->line = line;
  switch_to(current->place, scheduler);
}

inline Fiber* idle_fiber() {
  Fiber* fiber = fibers;
  while (fiber < fibers + fiber_count && fiber->state != IDLE) fiber++;
  if (fiber < fibers + fiber_count) return fiber;
  fiber_count++;
  fiber->stack = static_cast<char*>(malloc(STACK));
  getcontext(&fiber->place.context);
  fiber->place.context.uc_stack.ss_sp = fiber->stack;
  fiber->place.context.uc_stack.ss_size = STACK;
  fiber->place.context.uc_link = nullptr;
  makecontext(&fiber->place.context, run_threads, 0);
  return fiber;
}

inline int refuse(const char* why, int line) {
  snprintf(message, sizeof message, "line %d: %s (block %u, %u, %u; %u of %u threads had returned)", line, why,
           block_index.x, block_index.y, block_index.z, finished, threads);
  // Fibers that are stuck inside a kernel are given up, with their stacks: the next launch makes new ones.
  for (unsigned i = 0; i < fiber_count; i++) fibers[i] = Fiber();
  fiber_count = 0;
  return 1;
}

// Resumes the waiting threads of one warp, in their order.
inline void resume_warp(unsigned warp, State from) {
  static Fiber* lanes[WARP];
  unsigned count = 0;
  for (Fiber* f = fibers; f < fibers + fiber_count; f++) {
    if (f->state != from || f->thread / WARP != warp) continue;
    unsigned place = count++;
    for (; place > 0 && rank_of[lanes[place - 1]->thread] > rank_of[f->thread]; place--) lanes[place] = lanes[place - 1];
    lanes[place] = f;
  }
  for (unsigned i = 0; i < count; i++) lanes[i]->state = RUNNING;
  for (unsigned i = 0; i < count; i++) resume(lanes[i]);
}

// Some thread waits and none can be started before the others have moved: decide who goes on.
inline int go_on() {
  unsigned at_block = 0, waiting[MOST_THREADS / WARP] = {};
  Fiber *first_released = nullptr, *some_block = nullptr, *some_warp = nullptr;
  for (Fiber* f = fibers; f < fibers + fiber_count; f++) {
    if (f->state == AT_WARP_BARRIER) waiting[f->thread / WARP]++, some_warp = f;
    if (f->state == RELEASED && (!first_released || rank_of[f->thread] < rank_of[first_released->thread]))
      first_released = f;
    if (f->state != AT_BLOCK_BARRIER) continue;
    at_block++;
    if (some_block && some_block->line != f->line)
      return refuse("threads of one block wait at different __syncthreads()", f->line);
    some_block = f;
  }
  for (unsigned warp = 0; warp * WARP < threads; warp++) {  // all lanes are there: the warp runs on
    unsigned lanes = threads - warp * WARP < WARP ? threads - warp * WARP : WARP;
    if (waiting[warp] == lanes) return resume_warp(warp, AT_WARP_BARRIER), 0;
  }
  if (first_released) return resume_warp(first_released->thread / WARP, RELEASED), 0;
  if (started < threads) return resume(idle_fiber()), 0;
  if (some_warp) return refuse("barrier divergence: lanes of a warp wait for others that never come", some_warp->line);
  if (at_block != threads)
    return refuse("barrier divergence: threads wait at a barrier that others never reach", some_block->line);
  for (Fiber* f = fibers; f < fibers + fiber_count; f++)
    if (f->state == AT_BLOCK_BARRIER) f->state = RELEASED;
  return 0;
}

inline int run_block() {
  started = finished = 0;
  while (finished < threads)
    if (go_on()) return 1;
  return 0;
}

// 0: first to last, 1: last to first, above: shuffled by this seed.
inline void arrange(unsigned* places, unsigned count, unsigned how) {
  for (unsigned i = 0; i < count; i++) places[i] = how == 1 ? count - 1 - i : i;
  if (how < 2) return;
  uint64_t state = how;
  for (unsigned i = count - 1; i > 0; i--) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    unsigned j = (state >> 33) % (i + 1), kept = places[i];
    places[i] = places[j];
    places[j] = kept;
  }
}

// The order of the threads: that of `arrange`, but the lanes of a warp together.
inline void arrange_threads(unsigned how) {
  static unsigned drawn[MOST_THREADS];
  bool taken[MOST_THREADS / WARP] = {};
  unsigned count = 0;
  arrange(drawn, threads, how);
  for (unsigned i = 0; i < threads; i++) {
    unsigned warp = drawn[i] / WARP;
    if (taken[warp]) continue;
    taken[warp] = true;
    for (unsigned j = i; j < threads; j++)
      if (drawn[j] / WARP == warp) order[count++] = drawn[j];
  }
  for (unsigned i = 0; i < threads; i++) rank_of[order[i]] = i;
}

}  // namespace emulator
