"""Threads, their locks and pools."""
import concurrent.futures
import hashlib
import queue
import threading
import time

counter = 0
lock = threading.Lock()


def add():
  global counter
  for _ in range(2000):
    with lock:
      counter += 1


threads = [threading.Thread(target=add) for _ in range(20)]
for thread in threads:
  thread.start()
for thread in threads:
  thread.join()
print('counter', counter)

jobs, done = queue.Queue(maxsize=5), queue.Queue()


def work():
  while (item := jobs.get()) is not None:
    done.put(item * item)


workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers:
  worker.start()
for item in range(2000):
  jobs.put(item)
for _ in workers:
  jobs.put(None)
for worker in workers:
  worker.join()
print('queue', sum(done.get() for _ in range(2000)))

with concurrent.futures.ThreadPoolExecutor(8) as pool:
  digests = pool.map(lambda n: hashlib.sha256(bytes(200000) + bytes([n])).hexdigest(), range(32))
  print('pool', hashlib.sha256(''.join(digests).encode()).hexdigest())

barrier = threading.Barrier(10)
passed = []


def meet():
  for _ in range(50):
    barrier.wait()
  passed.append(1)


threads = [threading.Thread(target=meet) for _ in range(10)]
for thread in threads:
  thread.start()
for thread in threads:
  thread.join()
print('barrier', len(passed))

event = threading.Event()
print('event', event.wait(0.05))
timer = threading.Timer(0.05, event.set)
timer.start()
print('event', event.wait(5))
condition = threading.Condition()
with condition:
  start = time.monotonic()
  print('condition', condition.wait(0.1), time.monotonic() - start >= 0.1)
local = threading.local()
local.x = 1
seen = []
thread = threading.Thread(target=lambda: seen.append(hasattr(local, 'x')))
thread.start()
thread.join()
print('local', seen, threading.active_count())
