/** Every line that the results have, with what it must reach. */
import type { Contest } from './contest.ts';

interface WarmRow {
  readonly kind: 'warm';
  readonly contest: Contest;
  /** Below the upstream's `/registry` or `/files`; the same for every server. `{lodash}` is the newest tarball of lodash. */
  readonly place: 'registry' | 'files';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly reader: 'wrk' | 'fast';
  /** `bytes`: as the upstream has them. `packument`: the same versions with the same digests. */
  readonly same: 'bytes' | 'packument';
}

interface ColdRow {
  readonly kind: 'cold';
  /** Total time, and time to the first byte. */
  readonly contest: Contest;
  readonly firstByte: Contest;
  readonly what: 'file' | 'tarball' | 'document';
  readonly sizeBytes: number;
  readonly latencyMs: number;
  readonly bytesPerMs: number;
  readonly requests: number;
}

/** The upstream holds back half of the body: does the client have the first half? */
interface EarlyRow {
  readonly kind: 'early';
  readonly contest: Contest;
}

interface InstallRow {
  readonly kind: 'install';
  readonly contest: Contest;
  /** Whether the lockfile says where the tarballs are; if not, npm asks for every packument. */
  readonly resolved: boolean;
}

export type Row = WarmRow | ColdRow | EarlyRow | InstallRow;
export type { ColdRow, EarlyRow, InstallRow, WarmRow };

const abbreviated = { accept: 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*' };

export const connectionCounts = [16, 64, 256] as const;

function overConnections(row: Omit<WarmRow, 'connections'>, counts: readonly number[]): Row[] {
  return counts.map((connections) => ({
    ...row,
    connections,
    contest: {
      ...row.contest,
      id: `${row.contest.id}-c${connections}`,
      title: `${row.contest.title}, ${connections} connection${connections === 1 ? '' : 's'}`,
    },
  }));
}

function againstNginx(id: string, title: string, unit: Contest['unit'], atLeast: number): Contest {
  return { id, title, unit, against: [{ contender: 'nginx', target: { atLeast } }, { contender: 'nginx-open' }] };
}

interface ColdCase {
  readonly what: ColdRow['what'];
  readonly sizeBytes: number;
  readonly latencyMs: number;
  /** Of the upstream's line. Absent: as fast as this machine moves bytes. */
  readonly bytesPerMs?: number;
}

const gigabitPerMs = 125_000;

function cold({ what, sizeBytes, latencyMs, bytesPerMs = 0 }: ColdCase): Row {
  const size = sizeBytes < 10_000 ? '2 KB' : sizeBytes < 1e6 ? `${Math.floor(sizeBytes / 1024)} KB` : '20 MB';
  const id = `cold-${what}-${size.replace(' ', '').toLowerCase()}-${latencyMs}ms`;
  const line = bytesPerMs > 0 ? ' and sends 1 Gbit/s' : '';
  const title = `Cold ${what}, ${size}, upstream takes ${latencyMs} ms${line}`;
  // A hop to another process costs a fixed part of a millisecond. Only an upstream that is away by some distance can be
  // a yardstick; the one on the same machine shows how large that part is.
  const target = latencyMs > 0 ? { target: { atMost: 1.2 } } : {};
  return {
    kind: 'cold',
    what,
    sizeBytes,
    latencyMs,
    bytesPerMs,
    requests: sizeBytes > 1e6 ? 8 : latencyMs > 0 ? 40 : 100,
    contest: { id, title: `${title}: whole`, unit: 'ms', against: [{ contender: 'straight', ...target }] },
    firstByte: {
      id: `${id}-first`,
      title: `${title}: first byte`,
      unit: 'ms',
      against: [{ contender: 'straight' }],
    },
  };
}

const coldCases: readonly ColdCase[] = [
  { what: 'file', sizeBytes: 20_480, latencyMs: 20 },
  { what: 'file', sizeBytes: 307_200, latencyMs: 20 },
  { what: 'file', sizeBytes: 20_000_000, latencyMs: 20, bytesPerMs: gigabitPerMs },
  { what: 'tarball', sizeBytes: 20_480, latencyMs: 20 },
  { what: 'document', sizeBytes: 2048, latencyMs: 20 },
  { what: 'file', sizeBytes: 20_480, latencyMs: 0 },
  { what: 'file', sizeBytes: 307_200, latencyMs: 0 },
  { what: 'file', sizeBytes: 20_000_000, latencyMs: 0 },
  { what: 'tarball', sizeBytes: 20_480, latencyMs: 0 },
  { what: 'document', sizeBytes: 2048, latencyMs: 0 },
];

export const rows: readonly Row[] = [
  ...overConnections(
    {
      kind: 'warm',
      contest: againstNginx('warm-tarball-20k', 'Warm tarball, 20 KB', 'req/s', 1),
      place: 'registry',
      path: '/bench-20k/-/bench-20k-1.0.0.tgz',
      reader: 'wrk',
      same: 'bytes',
    },
    connectionCounts,
  ),
  ...overConnections(
    {
      kind: 'warm',
      contest: againstNginx('warm-tarball-300k', 'Warm tarball, 300 KB', 'req/s', 1),
      place: 'registry',
      path: '/bench-300k/-/bench-300k-1.0.0.tgz',
      reader: 'wrk',
      same: 'bytes',
    },
    connectionCounts,
  ),
  ...overConnections(
    {
      kind: 'warm',
      contest: againstNginx('warm-document-2k', 'Warm document, 2 KB', 'req/s', 0.6),
      place: 'registry',
      path: '/bench-document',
      reader: 'wrk',
      same: 'packument',
    },
    connectionCounts,
  ),
  ...overConnections(
    {
      kind: 'warm',
      contest: againstNginx('warm-file-200m', 'Warm file, 200 MB', 'MB/s', 0.6),
      place: 'files',
      path: '/200m',
      reader: 'fast',
      same: 'bytes',
    },
    [1, 4],
  ),
  ...overConnections(
    {
      kind: 'warm',
      contest: {
        id: 'lodash-packument',
        title: 'Abbreviated packument of lodash',
        unit: 'req/s',
        against: [{ contender: 'verdaccio', target: { atLeast: 20 } }],
      },
      place: 'registry',
      path: '/lodash',
      headers: abbreviated,
      reader: 'wrk',
      same: 'packument',
    },
    [64],
  ),
  ...overConnections(
    {
      kind: 'warm',
      contest: {
        id: 'lodash-packument-gzip',
        title: 'The same with gzip, as npm asks',
        unit: 'req/s',
        against: [{ contender: 'verdaccio' }],
      },
      place: 'registry',
      path: '/lodash',
      headers: { ...abbreviated, 'accept-encoding': 'gzip' },
      reader: 'wrk',
      same: 'packument',
    },
    [64],
  ),
  ...overConnections(
    {
      kind: 'warm',
      contest: {
        id: 'lodash-tarball',
        title: 'Tarball of lodash',
        unit: 'req/s',
        against: [{ contender: 'verdaccio', target: { atLeast: 8 } }],
      },
      place: 'registry',
      path: '/lodash/-/{lodash}',
      // wrk parses what it reads, and of bodies this long it takes less than is sent.
      reader: 'fast',
      same: 'bytes',
    },
    [64],
  ),
  ...coldCases.map(cold),
  {
    kind: 'early',
    contest: {
      id: 'cold-early',
      title: 'Cold file: first byte is here while the upstream holds back the second half',
      unit: 'ms',
      against: [],
    },
  },
  {
    kind: 'install',
    resolved: true,
    contest: {
      id: 'install-resolved',
      title: '`npm ci`, lockfile with URLs',
      unit: 's',
      against: [{ contender: 'verdaccio', target: { atMost: 0.7 } }, { contender: 'nginx' }],
    },
  },
  {
    kind: 'install',
    resolved: false,
    contest: {
      id: 'install-unresolved',
      title: '`npm ci`, lockfile without URLs',
      unit: 's',
      against: [{ contender: 'verdaccio', target: { atMost: 0.7 } }, { contender: 'nginx' }],
    },
  },
];

/** In the order of the results. */
export function contestsOf(row: Row): readonly Contest[] {
  return row.kind === 'cold' ? [row.contest, row.firstByte] : [row.contest];
}
