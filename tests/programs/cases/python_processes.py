"""subprocess, os.fork and multiprocessing."""
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import shared_memory


def square(x):
  return x * x


def child(connection, event, value, array):
  event.wait()
  connection.send({'pid is another': os.getpid() != os.getppid(), 'list': list(range(1000))})
  with value.get_lock():
    value.value += 1
  array[3] = 42
  connection.close()


def produce(queue, n):
  for i in range(100):
    queue.put((n, i))


def main():
  print(subprocess.run(['echo', 'hello'], capture_output=True, text=True, check=True).stdout)
  print(subprocess.run(['sh', '-c', 'cat; exit 5'], input=b'x' * 300000, capture_output=True).returncode)
  print(subprocess.check_output('echo $((1+1)) | tr 2 3', shell=True))
  with subprocess.Popen(['sleep', '20']) as process:
    process.send_signal(signal.SIGTERM)
    print('terminated', process.wait())
  try:
    subprocess.run(['sleep', '20'], timeout=0.2)
  except subprocess.TimeoutExpired:
    print('timed out')
  try:
    subprocess.run(['/nonexistent'])
  except FileNotFoundError as error:
    print(error)
  print(subprocess.run([sys.executable, '-c', 'import os; print(os.environ["X"], os.getcwd())'],
                       env={'X': 'y'}, cwd='/', capture_output=True, text=True).stdout)
  processes = [subprocess.Popen(['sh', '-c', f'exit {n}']) for n in range(30)]
  print('statuses', sum(process.wait() for process in processes))
  with subprocess.Popen(['sort', '-n'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
    print(process.communicate(b'\n'.join(b'%d' % (n * 7 % 100) for n in range(100)))[0][:20])

  pid = os.fork()
  if pid == 0:
    os._exit(9)
  print('fork', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
  pid = os.posix_spawn('/bin/sh', ['sh', '-c', 'kill -9 $$'], os.environ)
  print('spawn', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
  with os.popen('echo popen') as pipe:
    print(pipe.read())
  print('system', os.waitstatus_to_exitcode(os.system('exit 4')))

  for method in 'fork', 'spawn', 'forkserver':
    context = multiprocessing.get_context(method)
    with context.Pool(3) as pool:
      print(method, sum(pool.map(square, range(1000))))
  context = multiprocessing.get_context('fork')
  here, there = context.Pipe()
  event, value, array = context.Event(), context.Value('i', 7), context.Array('i', 10)
  process = context.Process(target=child, args=(there, event, value, array))
  process.start()
  there.close()
  event.set()
  message = here.recv()
  process.join()
  print(message['pid is another'], sum(message['list']), value.value, array[:], process.exitcode)
  queue = context.Queue()
  producers = [context.Process(target=produce, args=(queue, n)) for n in range(4)]
  for process in producers:
    process.start()
  print(sum(n * i for n, i in (queue.get() for _ in range(400))))
  for process in producers:
    process.join()
  with context.Manager() as manager:
    shared = manager.dict()
    process = context.Process(target=shared.update, args=({'from': 'a child'},))
    process.start()
    process.join()
    print(dict(shared))
  memory = shared_memory.SharedMemory(create=True, size=1 << 20)
  process = context.Process(target=lambda: memory.buf.__setitem__(slice(0, 5), b'hello'))
  process.start()
  process.join()
  print(bytes(memory.buf[:5]))
  memory.close()
  memory.unlink()
  semaphore = context.Semaphore(2)
  print(semaphore.acquire(), semaphore.acquire(), semaphore.acquire(timeout=0.05))
  with tempfile.TemporaryFile() as file:
    subprocess.run(['echo', 'into a file'], stdout=file, check=True)
    file.seek(0)
    print(file.read())
  start = time.monotonic()
  sleepers = [context.Process(target=time.sleep, args=(0.3,)) for _ in range(8)]
  for process in sleepers:
    process.start()
  for process in sleepers:
    process.join()
  print('slept together', time.monotonic() - start < 2.4)


if __name__ == '__main__':
  main()
