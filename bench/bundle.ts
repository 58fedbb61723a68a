/**
 * Bundles against `tar` with the same compression on the same disk: how long packing and unpacking take, and how much memory.
 * `node bench/bundle.ts [--gigabytes 2] [--work FOLDER]`; needs GNU tar and zstd, and twice as much room as there are gigabytes.
 */
import { execFile, spawn } from 'node:child_process';
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { compressionLevel } from '../src/bundles/writer.ts';
import { namedUpstreams, storeOf } from '../src/commands/bundling.ts';
import { loadConfig } from '../src/config/load.ts';
import { blobName } from '../src/store/layout.ts';
import { openStore } from '../src/store/store.ts';

const run = promisify(execFile);
const program = fileURLToPath(new URL('../src/cli.ts', import.meta.url));
/** What package files weigh, in bytes, and how often; most bytes are in the large ones. */
const sizes = [4_000, 12_000, 25_000, 60_000, 150_000, 400_000, 1_000_000, 3_000_000, 8_000_000, 20_000_000];
const memoryEveryMs = 50;

interface Measured {
  readonly seconds: number;
  readonly peakBytes: number;
}

/** Packages are packed already, documents are text: one byte in ten can be made smaller. */
function content(size: number): Buffer {
  const text = Buffer.alloc(Math.floor(size / 10), 'some text that comes again and again, ');
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  return Buffer.concat([cipher.update(Buffer.alloc(size - text.length)), text]);
}

async function configure(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'larder.yaml');
  const config = {
    storage: { path: join(folder, 'data') },
    upstreams: { inner: { url: 'http://registry.invalid' } },
    orgs: { public: { repositories: { npm: { format: 'npm', sources: [{ remote: 'inner' }] } } } },
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}

/** Written below the store's own names without its care, which would take longer than all the rest. */
async function fill(configFile: string, bytes: number): Promise<number> {
  const config = await loadConfig(configFile, {});
  const [upstream] = namedUpstreams(config);
  const { path } = config.storage;
  const store = await openStore(storeOf(config));
  let count = 0;
  for (let left = bytes; left > 0; count += 1) {
    const body = content(sizes[count % sizes.length] ?? 0);
    const hex = createHash('sha256').update(body).digest('hex');
    const file = join(path, blobName(hex));
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, body);
    await store.entries.put(
      { source: `${upstream?.identity}/npm`, path: `package-${count}.tgz` },
      {
        status: 200,
        url: 'http://registry.invalid/',
        digest: `sha256:${hex}`,
        size: body.length,
        fetchedAt: 1,
        checkedAt: 1,
      },
    );
    left -= body.length;
  }
  await store.close();
  return count;
}

async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

/** Until everything is on the disk, with an emptied memory before. */
async function measure(command: string, args: readonly string[]): Promise<Measured> {
  await run('sync');
  await writeFile('/proc/sys/vm/drop_caches', '3').catch(() => {});
  const from = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  let peakBytes = 0;
  const timer = setInterval(async () => {
    peakBytes = Math.max(peakBytes, await peakOf(child.pid ?? 0));
  }, memoryEveryMs);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
  await run('sync');
  return { seconds: (performance.now() - from) / 1000, peakBytes };
}

const larder = (...args: readonly string[]): Promise<Measured> => measure(process.execPath, [program, ...args]);
const tar = (...args: readonly string[]): Promise<Measured> =>
  measure('tar', [`--use-compress-program=zstd -${compressionLevel} -T1`, ...args]);

function tell(what: string, bytes: number, { seconds, peakBytes }: Measured, against?: Measured): void {
  const speed = `${seconds.toFixed(1)} s, ${Math.round(bytes / 1e6 / seconds)} MB/s`;
  const ours = against
    ? `, ${(against.seconds / seconds).toFixed(2)} of tar's speed, ${Math.round(peakBytes / 1e6)} MB of memory at most`
    : '';
  console.log(`${what.padEnd(8)} ${speed}${ours}`);
}

const { values } = parseArgs({ options: { gigabytes: { type: 'string' }, work: { type: 'string' } } });
const bytes = Number(values.gigabytes ?? 2) * 1e9;
const work = await mkdtemp(join(values.work ?? tmpdir(), 'larder-bench-bundle-'));
try {
  const bundle = join(work, 'x.larder');
  const archive = join(work, 'x.tar.zst');
  const from = await configure(join(work, 'a'));
  const to = await configure(join(work, 'b'));
  const data = join(work, 'a', 'data');
  console.log(`${await fill(from, bytes)} files of ${bytes / 1e9} GB`);

  const packed = await tar('-cf', archive, '-C', data, 'blobs', 'entries');
  console.log(`tar: ${(await stat(archive)).size} bytes`);
  await rm(archive);
  const exported = await larder('export', '--config', from, '--unsigned', '-o', bundle);
  console.log(`bundle: ${(await stat(bundle)).size} bytes`);
  await rm(join(work, 'a', 'data'), { recursive: true });
  const imported = await larder('import', '--config', to, '--unsigned', bundle);
  await rm(bundle);
  // The same files as before; packed once more, because there is no room for everything at a time.
  await tar('-cf', archive, '-C', join(work, 'b', 'data'), 'blobs', 'entries');
  await rm(join(work, 'b'), { recursive: true });
  await mkdir(join(work, 'out'));
  const unpacked = await tar('-xf', archive, '-C', join(work, 'out'));

  tell('tar c', bytes, packed);
  tell('export', bytes, exported, packed);
  tell('tar x', bytes, unpacked);
  tell('import', bytes, imported, unpacked);
} finally {
  await rm(work, { recursive: true, force: true });
}
