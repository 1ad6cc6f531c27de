// needs: node
const {Worker, isMainThread, parentPort, workerData} = require('worker_threads');
const {spawn, exec, execFileSync, fork} = require('child_process');
const fs = require('fs');
const net = require('net');
const path = require('path');
const zlib = require('zlib');
const crypto = require('crypto');
const {pipeline} = require('stream/promises');
const {promisify} = require('util');

if (!isMainThread) {
  let sum = 0;
  for (let i = 0; i < 1e6; i++) sum += i % workerData.n;
  const shared = new Int32Array(workerData.shared);
  Atomics.add(shared, 0, workerData.n);
  parentPort.postMessage(sum);
} else if (process.argv[2] === 'child') {
  process.on('message', message => { process.send(message * 2); process.disconnect(); });
} else {
  main().catch(error => { console.log('failed', error); process.exit(1); });
}

async function main() {
  const shared = new SharedArrayBuffer(8);
  const sums = await Promise.all([3, 5, 7, 11].map(n => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, {workerData: {n, shared}});
    worker.on('message', resolve);
    worker.on('error', reject);
  })));
  console.log('workers', sums, new Int32Array(shared)[0]);
  const {stdout} = await promisify(exec)('echo from a shell; echo error >&2');
  console.log('exec', stdout.trim(), execFileSync('printf', ['%s', 'sync']).toString());
  const cat = spawn('cat');
  let back = '';
  cat.stdout.on('data', data => back += data);
  cat.stdin.end('x'.repeat(200000));
  const code = await new Promise(resolve => cat.on('close', resolve));
  console.log('spawn', back.length, code);
  const sleeper = spawn('sleep', ['20']);
  sleeper.kill('SIGTERM');
  console.log('kill', await new Promise(resolve => sleeper.on('exit', (c, s) => resolve([c, s]))));
  const forked = fork(__filename, ['child']);
  forked.send(21);
  console.log('fork', await new Promise(resolve => forked.on('message', resolve)));
  await new Promise(resolve => forked.on('exit', resolve));
  console.log('missing', await new Promise(resolve => spawn('/nonexistent').on('error', e => resolve(e.code))));

  await fs.promises.mkdir('a/b', {recursive: true});
  await Promise.all([...Array(200).keys()].map(n => fs.promises.writeFile(`a/b/${n}`, 'y'.repeat(n))));
  const names = await fs.promises.readdir('a/b');
  const sizes = await Promise.all(names.map(async n => (await fs.promises.stat(`a/b/${n}`)).size));
  console.log('files', names.length, sizes.reduce((x, y) => x + y));
  await fs.promises.rename('a/b/7', 'a/seven');
  await fs.promises.copyFile('a/seven', 'a/copy');
  await fs.promises.symlink('seven', 'a/link');
  console.log(await fs.promises.readlink('a/link'), (await fs.promises.readFile('a/link', 'utf8')));
  await fs.promises.appendFile('a/copy', 'more');
  console.log((await fs.promises.lstat('a/copy')).size, fs.existsSync('a/none'));
  await fs.promises.rm('a', {recursive: true});
  console.log('removed', fs.existsSync('a'));
  const data = crypto.createHash('sha256').update('seed').digest('hex').repeat(20000);
  fs.writeFileSync('data', data);
  await pipeline(fs.createReadStream('data'), zlib.createGzip(), fs.createWriteStream('data.gz'));
  const unpacked = zlib.gunzipSync(fs.readFileSync('data.gz'));
  console.log('gzip', unpacked.toString() === data);
  const seen = new Promise(resolve => {
    const watcher = fs.watch('.', (event, name) => { if (name === 'watched') { watcher.close(); resolve(name); } });
  });
  fs.writeFileSync('watched', 'x');
  console.log('watch', await seen);

  const address = path.join(process.cwd(), 'node.socket');
  const server = net.createServer(socket => socket.on('data', d => socket.end(String(d).toUpperCase())));
  await new Promise(resolve => server.listen(address, resolve));
  const answers = await Promise.all([...Array(20).keys()].map(n => new Promise((resolve, reject) => {
    const client = net.connect(address, () => client.write(`client ${n}`));
    client.on('data', d => resolve(String(d)));
    client.on('error', reject);
  })));
  server.close();
  console.log('socket', answers.join());
  console.log('random', crypto.randomBytes(16).length, crypto.pbkdf2Sync('p', 's', 1000, 16, 'sha256').toString('hex'));
  const start = process.hrtime.bigint();
  await new Promise(resolve => setTimeout(resolve, 50));
  console.log('timer', process.hrtime.bigint() - start >= 49000000n);
  const got = new Promise(resolve => process.once('SIGUSR2', resolve));
  process.kill(process.pid, 'SIGUSR2');
  console.log('signal', await got);
  console.log(JSON.stringify(JSON.parse(JSON.stringify([...Array(100000).keys()]))).length);
  process.exitCode = 0;
}
