"""asyncio: timers, subprocesses, UNIX sockets, signals, threads."""
import asyncio
import os
import signal
import socket


async def serve(reader, writer):
  while line := await reader.readline():
    writer.write(line.upper())
    await writer.drain()
  writer.close()


async def talk(path, n):
  reader, writer = await asyncio.open_unix_connection(path)
  answers = []
  for i in range(20):
    writer.write(f'client {n} line {i}\n'.encode())
    await writer.drain()
    answers.append(await reader.readline())
  writer.close()
  await writer.wait_closed()
  return len(answers), answers[-1]


async def main():
  order = []

  async def after(delay, name):
    await asyncio.sleep(delay)
    order.append(name)

  await asyncio.gather(after(0.3, 'c'), after(0.01, 'a'), after(0.15, 'b'))
  print(order)
  path = os.path.join(os.getcwd(), 'socket')
  server = await asyncio.start_unix_server(serve, path)
  print(await asyncio.gather(*(talk(path, n) for n in range(20))))
  server.close()
  process = await asyncio.create_subprocess_exec(
      'sh', '-c', 'cat; echo error >&2; exit 3', stdin=asyncio.subprocess.PIPE,
      stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
  out, err = await process.communicate(b'z' * 200000)
  print(len(out), err, process.returncode)
  processes = [await asyncio.create_subprocess_shell(f'sleep 0.0{n}; exit {n}') for n in range(8)]
  print(await asyncio.gather(*(process.wait() for process in processes)))
  try:
    await asyncio.wait_for(asyncio.sleep(10), 0.05)
  except asyncio.TimeoutError:
    print('timeout')
  loop = asyncio.get_running_loop()
  got = asyncio.Event()
  loop.add_signal_handler(signal.SIGUSR1, got.set)
  os.kill(os.getpid(), signal.SIGUSR1)
  await got.wait()
  print('signal')
  print(await asyncio.to_thread(sum, range(100000)))
  a, b = socket.socketpair()
  a.setblocking(False)
  b.setblocking(False)
  await loop.sock_sendall(a, b'pair')
  print(await loop.sock_recv(b, 10))
  a.close()
  b.close()
  read_end, write_end = os.pipe()
  readable = asyncio.Event()
  loop.add_reader(read_end, readable.set)
  os.write(write_end, b'x')
  await readable.wait()
  print('readable')


asyncio.run(main())
