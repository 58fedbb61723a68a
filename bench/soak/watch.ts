/** Looks at the process from outside: memory, descriptors, folders, and what it says of itself. */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseMetrics } from '../../test/support/metrics.ts';

export interface Sample {
  /** Since the soak began. */
  readonly atMs: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly cpuSeconds: number;
  readonly descriptors: Readonly<Record<string, number>>;
  readonly handles: number;
  readonly staging: number;
  readonly uploads: number;
  readonly storeBytes: number;
  readonly storeEntries: number;
  readonly loopDelayP99Ms: number;
  readonly requests: number;
  /** Body bytes on their way to slow clients and the like are not among them. */
  readonly inFlight: number;
  readonly readers: number;
}

/** A blob that is read, a database, a connection: what a descriptor is for. */
function kindOf(target: string, dataFolder: string): string {
  if (target.startsWith('socket:')) return 'socket';
  if (target.startsWith('pipe:')) return 'pipe';
  if (target.startsWith('anon_inode:')) return target.replace(/^anon_inode:\[?([\w]+)\]?$/, '$1');
  if (target.startsWith(dataFolder)) return target.slice(dataFolder.length + 1).split('/', 1)[0] ?? 'data';
  return target.startsWith('/dev/') ? target : 'other file';
}

function kindWith(target: string, dataFolder: string): string {
  return kindOf(target, dataFolder) + (target.endsWith(' (deleted)') ? ' (deleted)' : '');
}

export async function descriptorsOf(pid: number, dataFolder: string): Promise<Record<string, number>> {
  const kinds: Record<string, number> = {};
  const folder = `/proc/${pid}/fd`;
  for (const fd of await readdir(folder)) {
    // It may be gone by now.
    const target = await readlink(join(folder, fd)).catch(() => undefined);
    if (target === undefined) continue;
    const kind = kindWith(target, dataFolder);
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}

/** Which files those are, for a report of what was left open. */
export async function openFilesOf(pid: number, dataFolder: string): Promise<[kind: string, target: string][]> {
  const folder = `/proc/${pid}/fd`;
  const targets = await Promise.all((await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => '')));
  return targets.filter((target) => target !== '').map((target) => [kindWith(target, dataFolder), target]);
}

/** Files below a folder, and their bytes. */
export async function filesBelow(folder: string): Promise<{ readonly files: string[]; readonly bytes: number }> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const sizes = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return { files, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

export async function scrapeText(origin: string): Promise<string> {
  const answer = await fetch(`${origin}/metrics`, { headers: { connection: 'close' } });
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}`);
  return answer.text();
}

async function processOf(pid: number): Promise<{ rssBytes: number; cpuSeconds: number }> {
  const [status, line] = await Promise.all([
    readFile(`/proc/${pid}/status`, 'latin1'),
    readFile(`/proc/${pid}/stat`, 'latin1'),
  ]);
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return {
    rssBytes: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
  };
}

export async function sample(pid: number, origin: string, dataFolder: string, atMs: number): Promise<Sample> {
  const [own, descriptors, metrics, staging, uploads] = await Promise.all([
    processOf(pid),
    descriptorsOf(pid, dataFolder),
    scrapeText(origin).then(parseMetrics),
    filesBelow(join(dataFolder, 'staging')),
    filesBelow(join(dataFolder, 'uploads')),
  ]);
  return {
    atMs,
    ...own,
    descriptors,
    heapBytes: metrics.sum('nodejs_heap_size_used_bytes'),
    externalBytes: metrics.sum('nodejs_external_memory_bytes'),
    handles: metrics.sum('nodejs_active_resources_total'),
    staging: staging.files.length,
    uploads: uploads.files.length,
    storeBytes: metrics.sum('larder_store_bytes'),
    storeEntries: metrics.sum('larder_store_entries'),
    loopDelayP99Ms: metrics.sum('larder_event_loop_delay_seconds', { quantile: '0.99' }) * 1000,
    requests: metrics.sum('larder_requests_total'),
    inFlight: metrics.sum('larder_downloads_in_flight'),
    readers: metrics.sum('larder_download_readers'),
  };
}

export interface Slope {
  readonly perHour: number;
  /** Half the width of the 95 % confidence interval. */
  readonly plusMinus: number;
}

/** Least squares over points of hours and bytes. */
export function slopeOf(points: readonly (readonly [number, number])[]): Slope {
  const count = points.length;
  if (count < 3) return { perHour: 0, plusMinus: Number.POSITIVE_INFINITY };
  const mean = (at: 0 | 1): number => points.reduce((sum, point) => sum + point[at], 0) / count;
  const [meanX, meanY] = [mean(0), mean(1)];
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const perHour = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - perHour * (x - meanX)) ** 2, 0);
  // 1.96 of the normal distribution: there are enough points.
  return { perHour, plusMinus: 1.96 * Math.sqrt(rest / (count - 2) / spread) };
}
