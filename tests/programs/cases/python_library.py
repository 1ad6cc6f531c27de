"""The standard library against the file system: sqlite3, json, tempfile, mmap, shutil, zipfile, pty, signals."""
import ctypes
import fcntl
import hashlib
import json
import mmap
import os
import pathlib
import pty
import resource
import select
import shelve
import shutil
import signal
import socket
import sqlite3
import stat
import sys
import tarfile
import tempfile
import time
import zipfile

# A large document.
document = {f'key {n}': {'list': list(range(n % 50)), 'text': 'x' * (n % 100), 'f': n / 7} for n in range(20000)}
text = json.dumps(document)
pathlib.Path('big.json').write_text(text)
with open('big.json') as file:
  print('json', len(text), json.load(file) == document)

connection = sqlite3.connect('test.db')
connection.execute('create table t (id integer primary key, name text, value real)')
with connection:
  connection.executemany('insert into t (name, value) values (?, ?)', ((f'n{n}', n * 0.5) for n in range(20000)))
connection.execute('create index by_name on t (name)')
print('sqlite', connection.execute('select count(*), sum(value) from t where name like "n1%"').fetchone())
connection.execute('pragma journal_mode=wal')
with connection:
  connection.execute('delete from t where id % 2 = 0')
connection.execute('vacuum')
print('sqlite', connection.execute('pragma integrity_check').fetchone(), connection.total_changes)
other = sqlite3.connect('test.db', timeout=0.1)
connection.execute('begin exclusive')
try:
  other.execute('insert into t (name) values ("x")')
except sqlite3.OperationalError as error:
  print('sqlite', error)
connection.rollback()

with tempfile.TemporaryDirectory() as directory:
  base = pathlib.Path(directory)
  for n in range(100):
    (base / f'd{n % 10}').mkdir(exist_ok=True)
    (base / f'd{n % 10}' / f'f{n}').write_bytes(bytes([n]) * n)
  print('walk', sum(len(files) for _, _, files in os.walk(base)), len(list(base.rglob('f1*'))))
  shutil.copytree(base, 'copy')
  shutil.make_archive('archive', 'zip', 'copy')
  with zipfile.ZipFile('archive.zip') as archive:
    print('zip', len(archive.namelist()), archive.testzip())
  with tarfile.open('archive.tar.gz', 'w:gz') as archive:
    archive.add('copy')
  with tarfile.open('archive.tar.gz') as archive:
    print('tar', len(archive.getmembers()))
print('removed', os.path.exists(directory))
with tempfile.NamedTemporaryFile() as file, tempfile.SpooledTemporaryFile(10) as spooled:
  file.write(b'abc')
  file.flush()
  spooled.write(b'more than ten bytes')
  print('temporary', os.stat(file.name).st_size, stat.filemode(os.stat(file.name).st_mode))

with open('mapped', 'w+b') as file:
  file.truncate(1 << 20)
  with mmap.mmap(file.fileno(), 0) as mapped:
    mapped[1000:1005] = b'hello'
    mapped.flush()
    print('mmap', os.pread(file.fileno(), 5, 1000), mapped.find(b'hello'))
    os.pwrite(file.fileno(), b'J', 1000)
    print('mmap', mapped[1000:1005])
  fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  pid = os.fork()
  if pid == 0:
    try:
      fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      os._exit(0)
    except OSError:
      os._exit(1)
  print('lockf', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

log = []
signal.signal(signal.SIGALRM, lambda number, frame: log.append(signal.Signals(number).name))
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
while len(log) < 3:
  signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0)
print('alarm', log)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
os.kill(os.getpid(), signal.SIGUSR2)
print('pending', signal.sigpending(), signal.sigwait({signal.SIGUSR2}))
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
  os.kill(os.getpid(), signal.SIGINT)
  time.sleep(1)
except KeyboardInterrupt:
  print('interrupted')

pid, master = pty.fork()
if pid == 0:
  os.execvp('sh', ['sh', '-c', 'read x; stty size; echo "got $x"; exit 6'])
fcntl.ioctl(master, 0x5414, b'\x18\x00\x50\x00\x00\x00\x00\x00')  # TIOCSWINSZ
os.write(master, b'typed\n')
output = b''
while True:
  try:
    data = os.read(master, 1000)
  except OSError:
    break
  if not data:
    break
  output += data
print('pty', output, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
with open('mapped') as file:
  socket.send_fds(left, [b'descriptor'], [file.fileno()])
message, descriptors, _, _ = socket.recv_fds(right, 100, 4)
print('fds', message, len(descriptors), os.fstat(descriptors[0]).st_size)
epoll = select.epoll()
epoll.register(right, select.EPOLLIN)
print('epoll', epoll.poll(0.01))
left.send(b'x')
print('epoll', [event for _, event in epoll.poll(1)])
poll = select.poll()
poll.register(left, select.POLLOUT)
print('poll', [event for _, event in poll.poll(100)], [len(x) for x in select.select([right], [left], [], 1)])

libc = ctypes.CDLL(None)
print('ctypes', libc.strlen(b'twelve chars'), resource.getrlimit(resource.RLIMIT_CORE)[0] >= -1)
os.setxattr('mapped', 'user.test', b'value')
print('xattr', os.listxattr('mapped'), os.getxattr('mapped', 'user.test'))
with shelve.open('shelf') as shelf:
  shelf['a'] = [1, 2, 3]
with shelve.open('shelf') as shelf:
  print('shelve', shelf['a'])
os.sendfile(os.open('sent', os.O_RDWR | os.O_CREAT), os.open('big.json', os.O_RDONLY), 0, 1000)
print('sendfile', os.stat('sent').st_size, os.path.samefile('sent', './sent'))
print('hash', hashlib.sha256(pathlib.Path('/etc/passwd').read_bytes()).hexdigest())
directory = os.open('copy', os.O_RDONLY)
print('dir_fd', sorted(os.listdir(directory)), os.stat('d3', dir_fd=directory).st_nlink)
print('scandir', sum(entry.is_file() for entry in os.scandir('copy/d1')), os.access('/etc/passwd', os.W_OK))
os.utime('sent', ns=(10**18, 10**18 + 5))
print('utime', os.stat('sent').st_mtime_ns)
print('statvfs', os.statvfs('.').f_namemax, len(os.getrandom(16)), os.cpu_count() >= 1)
big = bytearray(100 << 20)
big[::4096] = b'x' * len(big[::4096])
print('memory', len(big), sys.getsizeof(big) > 100 << 20)
fd = os.eventfd(3)
print('eventfd', os.eventfd_read(fd), os.memfd_create('m') > 0, bool(os.pidfd_open(os.getpid())))
