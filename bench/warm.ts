/** How fast a server gives away what it has. */
import { gunzipSync } from 'node:zlib';
import { type Arena, isPeer } from './arena.ts';
import type { Contender, Outcome, Round, Turn } from './contest.ts';
import { simpleJson } from './index-bodies.ts';
import { tokenOf } from './known.ts';
import { type Load, type Measured, readFast, wrk } from './load.ts';
import { reader } from './peers.ts';
import { expectBody, expectStored, type Probe, sha256 } from './probe.ts';
import type { WarmRow } from './rows.ts';
import { type Server, watched } from './server.ts';

interface Lane {
  readonly contender: Contender;
  readonly server: Server;
  readonly load: Load;
}

export async function measureWarm(row: WarmRow, arena: Arena): Promise<Outcome[]> {
  const path = row.path.includes('{lodash}')
    ? row.path.replace('{lodash}', await newestTarball(arena.upstream.url))
    : row.path;
  const truth = await expectBody(await locate(arena.upstream.at(row.place), path, row), {});
  const lanes: Lane[] = [];
  const sizes: string[] = [];
  for (const contender of ['larder' as const, ...row.contest.against.map((other) => other.contender)]) {
    if (!isPeer(contender)) continue;
    const server = await arena.server(contender);
    const url = await locate(server.at(row.place), path, row);
    const headers = {
      ...row.headers,
      // The same bytes for all, though only Larder looks at them.
      ...(row.known ? await tokenOf((await arena.server('larder')).at(row.place), reader) : {}),
    };
    const warm = await warmUp(url, row, truth, headers);
    sizes.push(`${contender} ${warm.body.length} B${row.coding ? ` ${row.coding}` : ''}`);
    // Chunks have a line each around them.
    const slackBytes = warm.headers['content-length'] === undefined ? 64 + Math.ceil(warm.body.length / 500) : 48;
    lanes.push({
      contender,
      server,
      load: {
        url,
        headers,
        connections: row.connections,
        seconds: row.short ? 1 : arena.seconds,
        headBytes: warm.headBytes,
        bodyBytes: warm.body.length,
        slackBytes,
      },
    });
  }
  const asked = await arena.upstream.count();
  for (const { load } of lanes) await take(row, { ...load, seconds: Math.min(1, load.seconds) });
  const rounds: Round[] = [];
  for (let n = 1; n <= arena.rounds; n++) {
    arena.say(`${row.contest.title}: round ${n} of ${arena.rounds}`);
    const round = new Map<Contender, Turn>();
    for (const { contender, server, load } of lanes) round.set(contender, await turn(row, server, load));
    rounds.push(round);
  }
  for (const { load } of lanes) {
    const after = await expectBody(load.url, { length: load.bodyBytes }, { headers: load.headers });
    compare(load.url, after, row, truth);
  }
  const strays = (await arena.upstream.count()) - asked;
  if (strays > 0) throw new Error(`The upstream was asked ${strays} times although everything was warm.`);
  const alike = new Set(lanes.map(({ load }) => load.bodyBytes)).size === 1;
  return [{ contest: row.contest, rounds, ...(alike && !row.coding ? {} : { note: sizes.join(', ') }) }];
}

/** Where this server has what the row is about. */
export async function locate(base: string, path: string, { file }: Pick<WarmRow, 'file'>): Promise<string> {
  if (file === undefined) return base + path;
  const page = await expectBody(base + path, {}, { headers: { accept: simpleJson } });
  const { files } = JSON.parse(page.body.toString()) as { files: readonly { filename: string; url: string }[] };
  const found = files.find(({ filename }) => filename === file);
  if (!found) throw new Error(`${base + path} names no ${file}.`);
  // nginx passes the page on as it is, with the upstream's address in it.
  const { pathname } = new URL(found.url, base + path);
  return new URL(base).origin + pathname;
}

/** Asks until the answer comes without the upstream; the first answers of a cache may be told apart by their headers. */
async function warmUp(
  url: string,
  row: WarmRow,
  truth: Probe,
  headers: Readonly<Record<string, string>>,
): Promise<Probe> {
  for (let n = 0; n < 3; n++) await expectBody(url, {}, { headers });
  const got = await expectStored(url, {}, { headers });
  compare(url, got, row, truth);
  return got;
}

function compare(url: string, got: Probe, row: WarmRow, truth: Probe): void {
  const encoding = got.headers['content-encoding'];
  if (encoding !== row.coding) throw new Error(`${url} came with encoding ${encoding} instead of ${row.coding}.`);
  if (row.same === 'bytes') {
    if (sha256(got.body) !== sha256(truth.body)) throw new Error(`${url} sent other bytes than the upstream.`);
    return;
  }
  if (essenceOf(row.same, got) !== essenceOf(row.same, truth))
    throw new Error(`${url} says other things than the upstream.`);
}

/** What must be the same although Larder writes addresses of its own. */
export function essenceOf(
  kind: Exclude<WarmRow['same'], 'bytes'>,
  { headers, body }: Pick<Probe, 'headers' | 'body'>,
): string {
  const text = (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
  switch (kind) {
    case 'packument': {
      const { versions } = JSON.parse(text) as { versions: Record<string, { dist: { integrity?: string } }> };
      return linesOf(Object.entries(versions).map(([version, { dist }]) => [version, dist.integrity]));
    }
    case 'project': {
      const { files } = JSON.parse(text) as { files: readonly { filename: string; hashes: { sha256?: string } }[] };
      return linesOf(files.map(({ filename, hashes }) => [filename, hashes.sha256]));
    }
    case 'registration': {
      const { items } = JSON.parse(text) as { items: readonly RegistrationItem[] };
      return linesOf(
        items.map(({ count, lower, upper, catalogEntry }) => {
          if (!catalogEntry) return [count, lower, upper];
          const needs = catalogEntry.dependencyGroups.flatMap(({ targetFramework, dependencies }) =>
            dependencies.map(({ id, range }) => `${targetFramework} ${id} ${range}`),
          );
          return [catalogEntry.version, ...needs];
        }),
      );
    }
  }
}

/** A page, or a version in one. */
interface RegistrationItem {
  readonly count?: number;
  readonly lower?: string;
  readonly upper?: string;
  readonly catalogEntry?: {
    readonly version: string;
    readonly dependencyGroups: readonly {
      readonly targetFramework: string;
      readonly dependencies: readonly { readonly id: string; readonly range: string }[];
    }[];
  };
}

function linesOf(facts: readonly (readonly unknown[])[]): string {
  return facts
    .map((fact) => fact.join(' '))
    .sort()
    .join('\n');
}

async function newestTarball(upstreamUrl: string): Promise<string> {
  const { body } = await expectBody(`${upstreamUrl}/registry/lodash`, {});
  const document = JSON.parse(body.toString()) as { 'dist-tags': { latest: string } };
  return `lodash-${document['dist-tags'].latest}.tgz`;
}

async function turn(row: WarmRow, server: Server, load: Load): Promise<Turn> {
  const { result, busy } = await watched(server, () => take(row, load));
  return { value: row.contest.unit === 'MB/s' ? result.megabytesPerSecond : result.requestsPerSecond, busy };
}

function take(row: WarmRow, load: Load): Promise<Measured> {
  return row.reader === 'wrk' ? wrk(load) : readFast(load);
}
