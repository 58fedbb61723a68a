/** Every line that the results have, with what it must reach. */
import type { ColdFormat } from './cold-bodies.ts';
import type { Contest } from './contest.ts';
import { pythonFiles } from './file-bodies.ts';
import { type HandOffRow, handOffRow } from './hand-off.ts';
import { type IdleRow, idleRow } from './idle.ts';
import { simpleJson } from './index-bodies.ts';
import { type PublishRow, publishRows } from './publish.ts';
import type { Place } from './server.ts';

interface WarmRow {
  readonly kind: 'warm';
  readonly contest: Contest;
  /** Where the path is found, the same for every server. `{lodash}` is the newest tarball of lodash. */
  readonly place: Place;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The path is that of a file of this name in the page (PEP 691) at `path`, which each server writes in its own way. */
  readonly file?: string;
  /** One second a turn: what it shows, other rows show as well, and this one that it is so for this format, too. */
  readonly short?: true;
  /** Larder is shown a token; the others are not. */
  readonly known?: true;
  readonly connections: number;
  readonly reader: 'wrk' | 'fast';
  /**
   * `bytes`: as the upstream has them. `packument`: the same versions with the same digests. `project`: the same files with
   * the same digests. `registration`: the same pages, or the same versions with the same dependencies.
   */
  readonly same: 'bytes' | 'packument' | 'project' | 'registration';
  /** In which answers must come. Default: none. */
  readonly coding?: 'gzip';
}

interface ColdRow {
  readonly kind: 'cold';
  /** Total time, and time to the first byte. */
  readonly contest: Contest;
  readonly firstByte: Contest;
  /** By how much that is later than straight from the upstream. */
  readonly later?: Contest;
  readonly what: 'file' | 'tarball' | 'document' | 'layer' | ColdFormat;
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

/** The big image, by skopeo into an empty folder. */
interface PullRow {
  readonly kind: 'pull';
  readonly contest: Contest;
}

/** Manifests of the small images, one after the other, as clients of registries ask for them. */
interface ManifestRow {
  readonly kind: 'manifests';
  readonly contest: Contest;
  readonly by: 'tag' | 'digest';
  /** One that all requests share, or a new one for each, with what clients ask to find out that they need it. */
  readonly token: 'shared' | 'each';
  readonly connections: number;
}

/** By how much a server's memory grows over pulls of one layer at once: first of one that it does not have, then again. */
interface MemoryRow {
  readonly kind: 'memory';
  readonly contest: Contest;
  readonly again: Contest;
  readonly clients: number;
  readonly sizeBytes: number;
}

export type Row =
  | WarmRow
  | ColdRow
  | EarlyRow
  | InstallRow
  | PullRow
  | ManifestRow
  | MemoryRow
  | HandOffRow
  | IdleRow
  | PublishRow;
export type { ColdRow, EarlyRow, InstallRow, ManifestRow, MemoryRow, PullRow, WarmRow };

const abbreviated = { accept: 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*' };

/** As Maven 3.8 asks. Neither cache takes the first two for an order: how long things are fresh, its configuration says. */
const asMaven = { 'cache-control': 'no-cache', pragma: 'no-cache', 'accept-encoding': 'gzip,deflate' };

const asPip = { accept: `${simpleJson}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01` };
const asDotnet = { 'accept-encoding': 'gzip, deflate' };

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

/** Without a line for what would be possible beyond the usual: of answers this long it is the same. */
function bigDocument(row: Omit<WarmRow, 'kind' | 'connections' | 'contest'>, contest: Omit<Contest, 'against'>): Row {
  const against = [{ contender: 'nginx', target: { atLeast: row.reader === 'fast' ? 1 : 0.8 } }] as const;
  return { kind: 'warm', connections: 20, contest: { ...contest, against }, ...row };
}

function manifests(by: ManifestRow['by'], token: ManifestRow['token'], title: string, target?: number): Row {
  const against = { contender: 'docker-registry', ...(target ? { target: { atLeast: target } } : {}) } as const;
  return {
    kind: 'manifests',
    by,
    token,
    connections: 16,
    contest: {
      id: `image-manifests-${by}${token === 'each' ? '-token' : ''}`,
      title,
      unit: 'req/s',
      against: [against],
    },
  };
}

interface ColdCase {
  readonly what: ColdRow['what'];
  readonly sizeBytes: number;
  readonly latencyMs: number;
  /** Of the upstream's line. Absent: as fast as this machine moves bytes. */
  readonly bytesPerMs?: number;
  /** In a round. Default: by how long one takes. */
  readonly requests?: number;
}

const gigabitPerMs = 125_000;

function cold({ what, sizeBytes, latencyMs, bytesPerMs = 0, requests }: ColdCase): Row {
  const size = sizeBytes < 10_000 ? '2 KB' : sizeBytes < 1e6 ? `${Math.floor(sizeBytes / 1024)} KB` : '20 MB';
  const id = `cold-${what}-${size.replace(' ', '').toLowerCase()}-${latencyMs}ms`;
  const line = bytesPerMs > 0 ? ' and sends 1 Gbit/s' : '';
  const title = `Cold ${what === 'bundle' ? 'p2 bundle' : what}, ${size}, upstream takes ${latencyMs} ms${line}`;
  // A hop to another process costs a fixed part of a millisecond. Only an upstream that is away by some distance can be
  // a yardstick; the one on the same machine shows how large that part is.
  const target = latencyMs > 0 ? { target: { atMost: 1.2 } } : {};
  return {
    kind: 'cold',
    what,
    sizeBytes,
    latencyMs,
    bytesPerMs,
    requests: requests ?? (sizeBytes > 1e6 ? 8 : latencyMs > 0 ? 40 : 100),
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
  ...(
    [
      ['jar', 307_200],
      ['nupkg', 20_480],
      ['gem', 20_480],
      ['wheel', 307_200],
      ['bundle', 307_200],
    ] as const
  ).map(([what, sizeBytes]) => ({ what, sizeBytes, latencyMs: 20, requests: 15 })),
];

/** With a token, as machines that build ask. nginx looks at nobody's and answers the same bytes. */
const knownCases = [
  ['20k', 'tarball, 20 KB', '/bench-20k/-/bench-20k-1.0.0.tgz', 'bytes', 1],
  ['300k', 'tarball, 300 KB', '/bench-300k/-/bench-300k-1.0.0.tgz', 'bytes', 1],
  ['2k', 'document, 2 KB', '/bench-document', 'packument', 0.8],
] as const;

function known([id, what, path, same, atLeast]: (typeof knownCases)[number]): Row {
  return {
    kind: 'warm',
    known: true,
    contest: {
      id: `known-${id}`,
      title: `Warm ${what}, for somebody with a token, 64 connections`,
      unit: 'req/s',
      against: [{ contender: 'nginx', target: { atLeast } }],
    },
    ...{ place: 'registry', path, same, reader: 'wrk', connections: 64 },
  };
}

const fileCases: readonly (Pick<WarmRow, 'place' | 'path' | 'file'> & {
  readonly id: string;
  readonly what: string;
})[] = [
  {
    id: 'python-wheel-300k',
    what: 'wheel, 300 KB',
    place: 'pypi',
    path: '/simple/bench-files/',
    file: pythonFiles.wheel,
  },
  {
    id: 'python-sdist-20k',
    what: 'sdist, 20 KB',
    place: 'pypi',
    path: '/simple/bench-files/',
    file: pythonFiles.sdist,
  },
  { id: 'gems-gem-20k', what: 'gem, 20 KB', place: 'rubygems', path: '/gems/bench-files-1.0.0.gem' },
  {
    id: 'nuget-nupkg-20k',
    what: 'nupkg, 20 KB',
    place: 'nuget',
    path: '/v3/flat/bench.small/1.0.0/bench.small.1.0.0.nupkg',
  },
  { id: 'p2-bundle-300k', what: 'p2 bundle, 300 KB', place: 'p2', path: '/plugins/org.example.bench_1.0.0.jar' },
  { id: 'generic-300k', what: 'file of a generic repository, 300 KB', place: 'files', path: '/300k' },
];

function warmFile({ id, what, ...where }: (typeof fileCases)[number]): Row {
  const against = [{ contender: 'nginx', target: { atLeast: 1 } }] as const;
  return {
    kind: 'warm',
    contest: { id, title: `Warm ${what}, 64 connections`, unit: 'req/s', against },
    ...where,
    short: true,
    ...{ same: 'bytes', reader: 'wrk', connections: 64 },
  };
}

const coldLayer = 'Cold layer, 200 MB, upstream takes 20 ms and sends 1 Gbit/s';

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
    // Enough to see that it is no matter of how many.
    [64, 256],
  ),
  ...overConnections(
    {
      kind: 'warm',
      contest: againstNginx('warm-document-2k', 'Warm document, 2 KB', 'req/s', 0.8),
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
      contest: againstNginx('warm-file-200m', 'Warm file, 200 MB', 'MB/s', 1),
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
      coding: 'gzip',
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
  ...knownCases.map(known),
  ...fileCases.map(warmFile),
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
  ...overConnections(
    {
      kind: 'warm',
      contest: againstNginx('maven-jar-300k', 'Warm jar, 300 KB, as Maven asks', 'req/s', 1),
      place: 'maven',
      path: '/org/example/bench/1.0/bench-1.0.jar',
      headers: asMaven,
      reader: 'wrk',
      same: 'bytes',
    },
    [64],
  ),
  ...overConnections(
    {
      kind: 'warm',
      contest: againstNginx('maven-pom-2k', 'Warm pom, 2 KB, as Maven asks', 'req/s', 0.8),
      place: 'maven',
      path: '/org/example/bench/1.0/bench-1.0.pom',
      headers: asMaven,
      reader: 'wrk',
      same: 'bytes',
    },
    [64],
  ),
  bigDocument(
    { place: 'rubygems', path: '/versions', reader: 'fast', same: 'bytes' },
    { id: 'gems-versions-25m', title: 'Warm `/versions` of all gems, 25 MB, 20 connections', unit: 'MB/s' },
  ),
  bigDocument(
    {
      place: 'pypi',
      path: '/simple/bench-nightly/',
      headers: { ...asPip, 'accept-encoding': 'gzip, deflate' },
      reader: 'fast',
      same: 'project',
      coding: 'gzip',
    },
    { id: 'python-project-4000', title: 'Warm page of a Python project, 4 000 files, as pip asks', unit: 'req/s' },
  ),
  bigDocument(
    {
      place: 'nuget',
      path: '/v3/registration-semver2/bench.huge/index.json',
      headers: asDotnet,
      reader: 'wrk',
      same: 'registration',
      coding: 'gzip',
    },
    { id: 'nuget-registration-1000', title: 'Warm registration index, 1 000 versions, as dotnet asks', unit: 'req/s' },
  ),
  bigDocument(
    {
      place: 'nuget',
      path: '/v3/registration-semver2/bench.huge/page/1.0.0/1.63.0.json',
      headers: asDotnet,
      reader: 'wrk',
      same: 'registration',
      coding: 'gzip',
    },
    { id: 'nuget-registration-page', title: 'One of its pages, 64 versions', unit: 'req/s' },
  ),
  {
    kind: 'pull',
    contest: {
      id: 'image-pull-1g',
      title: 'Warm pull of an image of 1 GB by skopeo',
      unit: 's',
      against: [{ contender: 'docker-registry', target: { atMost: 1.1 } }],
    },
  },
  manifests('tag', 'shared', 'Ten small manifests again, by tag', 3),
  manifests('digest', 'shared', 'Ten small manifests again, by digest', 3),
  manifests('tag', 'each', 'The same by tag, with all that a client asks before it', undefined),
  manifests('digest', 'each', 'The same by digest, with all that a client asks before it', undefined),
  {
    kind: 'cold',
    what: 'layer',
    sizeBytes: 200_000_000,
    latencyMs: 20,
    bytesPerMs: gigabitPerMs,
    requests: 2,
    contest: {
      id: 'image-cold-layer',
      title: `${coldLayer}: whole`,
      unit: 'ms',
      against: [{ contender: 'straight', target: { atMost: 1.2 } }, { contender: 'docker-registry' }],
    },
    firstByte: {
      id: 'image-cold-layer-first',
      title: `${coldLayer}: first byte`,
      unit: 'ms',
      against: [{ contender: 'straight' }, { contender: 'docker-registry' }],
    },
    later: {
      id: 'image-cold-layer-later',
      title: `${coldLayer}: first byte after upstream's`,
      unit: 'ms',
      limit: 100,
      against: [{ contender: 'docker-registry' }],
    },
  },
  {
    kind: 'memory',
    clients: 10,
    sizeBytes: 1e9,
    contest: {
      id: 'image-memory-cold',
      title: 'Growth while ten clients at once pull a layer of 1 GB that is not there yet',
      unit: 'MB',
      limit: 150,
      against: [],
    },
    again: {
      id: 'image-memory-warm',
      title: 'Growth from the same start when they pull it again',
      unit: 'MB',
      limit: 150,
      against: [],
    },
  },
  ...publishRows,
  handOffRow,
  idleRow,
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
  if (row.kind === 'cold') return [row.contest, row.firstByte, ...(row.later ? [row.later] : [])];
  if (row.kind === 'idle') return [row.contest, ...row.more];
  if (row.kind === 'hand-off') return row.cases.map(({ contest }) => contest);
  return row.kind === 'memory' ? [row.contest, row.again] : [row.contest];
}
