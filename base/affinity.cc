#include "base/affinity.h"

#include "base/host.h"

namespace base {

namespace {

cpu_set_t processors;  // of the process

struct Limit {
  bool set = false;
  cpu_set_t processors;
};
thread_local Limit own;

}  // namespace

void Affinity::Prepare() {
  cpu_set_t found;
  if (HOST(sched_getaffinity(0, sizeof found, &found)).ok()) processors = found;
}

const cpu_set_t& Affinity::Processors() { return processors; }

cpu_set_t Affinity::Only(int processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  return one;
}

const cpu_set_t& Affinity::Own() { return own.set ? own.processors : processors; }

void Affinity::SetOwn(const cpu_set_t& wanted) {
  if (!HOST(sched_setaffinity(0, sizeof wanted, &wanted)).ok()) return;
  own = {true, wanted};
}

Affinity::Here::Here(int processor) {
  const cpu_set_t& all = Own();
  if (processor < 0 || processor >= CPU_SETSIZE || !CPU_ISSET(processor, &all)) return;
  alone_ = CPU_COUNT(&all) == 1;
  if (alone_) {
    ok_ = true;
    return;
  }
  const cpu_set_t here = Only(processor);
  ok_ = HOST(sched_setaffinity(0, sizeof here, &here)).ok();
}

Affinity::Here::~Here() {
  if (ok_ && !alone_) (void)HOST(sched_setaffinity(0, sizeof(cpu_set_t), &Own()));
}

}  // namespace base
