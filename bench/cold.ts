/** What it costs that the first one to ask does so through a server. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { Agent } from 'node:http';
import { promisify } from 'node:util';
import { type Arena, isPeer } from './arena.ts';
import { coldVersions } from './bodies.ts';
import { type ColdFormat, coldFormats, coldName, coldPlace, wheelOf } from './cold-bodies.ts';
import { type Contender, median, type Outcome, type Round } from './contest.ts';
import { coldImage } from './image-bodies.ts';
import { expectBody, expectLayer, type Probe, probe } from './probe.ts';
import type { ColdRow, EarlyRow } from './rows.ts';
import type { Place } from './server.ts';
import { type Counted, layersOf } from './upstream.ts';
import { locate } from './warm.ts';

const run = promisify(execFile);

/** How the same thing is reached straight at the upstream and through a server. */
interface Way {
  at(place: Place): string;
  readonly agent: Agent;
}

export async function measureCold(row: ColdRow, arena: Arena): Promise<Outcome[]> {
  const ways = new Map<Contender, Way>();
  // Straight comes last before Larder: what another server does behind its answer is over then.
  const others = row.contest.against.map((other) => other.contender).reverse();
  for (const contender of [...others, 'larder' as const]) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    ways.set(contender, { at: isPeer(contender) ? (await arena.server(contender)).at : arena.upstream.at, agent });
  }
  const id = randomUUID();
  const whole: Round[] = [];
  const first: Round[] = [];
  let n = 0;

  async function ask(where: Way, kind: ColdRow = row): Promise<Probe> {
    if (kind.what === 'layer') return askLayer(kind, `${id}-${n++}`, where, arena);
    const path = await freshPath(kind, `${id}-${n}`, n++, where);
    const length = kind.what === 'document' ? {} : { length: kind.sizeBytes };
    return expectBody(path, length, { agent: where.agent });
  }

  // The connections are there and the code is compiled, as on any day but the first.
  const near = { ...row, sizeBytes: Math.min(row.sizeBytes, 20_000_000), latencyMs: 0, bytesPerMs: 0 };
  for (let turn = 0; turn < row.requests * 5; turn++) for (const where of ways.values()) await ask(where, near);
  const counted: Counted = row.what === 'layer' ? 'layers' : isFormat(row.what) ? 'files' : 'requests';
  const asked = await arena.upstream.count(counted);
  for (let round = 1; round <= arena.rounds; round++) {
    arena.say(`${row.contest.title}: round ${round} of ${arena.rounds}`);
    const probes = new Map<Contender, Probe[]>([...ways.keys()].map((contender) => [contender, []]));
    for (let turn = 0; turn < row.requests; turn++) {
      for (const [contender, where] of ways) {
        // What was stored goes to disk now, and not during the next transfer.
        if (row.what === 'layer') await run('sync');
        probes.get(contender)?.push(await ask(where));
      }
    }
    whole.push(roundOf(probes, (each) => each.totalMs));
    first.push(roundOf(probes, (each) => each.firstByteMs));
  }
  const passed = (await arena.upstream.count(counted)) - asked;
  const least = arena.rounds * row.requests * ways.size;
  if (passed < least) throw new Error('Not every request reached the upstream: not cold.');
  for (const { agent } of ways.values()) agent.destroy();
  return [
    { contest: row.contest, rounds: whole },
    { contest: row.firstByte, rounds: first },
    ...(row.later ? [{ contest: row.later, rounds: first.map(laterThanStraight) }] : []),
  ];
}

function roundOf(probes: ReadonlyMap<Contender, readonly Probe[]>, of: (each: Probe) => number): Round {
  return new Map([...probes].map(([contender, found]) => [contender, { value: median(found.map(of)) }]));
}

function laterThanStraight(round: Round): Round {
  const straight = round.get('straight')?.value ?? Number.NaN;
  const others = [...round].filter(([contender]) => contender !== 'straight');
  return new Map(others.map(([contender, { value }]) => [contender, { value: value - straight }]));
}

/** Something that nobody has asked for yet. */
async function freshPath(row: ColdRow, id: string, n: number, where: Way): Promise<string> {
  if (row.what === 'file') return `${where.at('files')}/cold/${row.latencyMs}/${row.sizeBytes}/${row.bytesPerMs}/${id}`;
  if (row.what === 'document') return `${where.at('registry')}/fresh-${row.latencyMs}ms-${id}`;
  if (isFormat(row.what)) return freshFile(row.what, coldName(row.latencyMs, row.sizeBytes, id), where);
  // Clients read the packument before they ask for a tarball, so it is warm.
  const name = `cold-${row.latencyMs}ms-${id.slice(0, 8)}-${Math.floor(n / coldVersions)}`;
  await expectBody(`${where.at('registry')}/${name}`, {}, { agent: where.agent });
  return `${where.at('registry')}/${name}/-/${name}-1.0.${n % coldVersions}.tgz`;
}

/** What its clients read before they ask for it is warm, and nothing else. */
async function freshFile(format: ColdFormat, name: string, where: Way): Promise<string> {
  const { place, before, path } = coldPlace(format, name);
  const base = where.at(place);
  if (before !== undefined && path === undefined) return locate(base, before, { file: wheelOf(name) });
  if (before !== undefined) await expectBody(base + before, {}, { agent: where.agent });
  return `${base}${path}`;
}

function isFormat(what: ColdRow['what']): what is ColdFormat {
  return (coldFormats as readonly string[]).includes(what);
}

/** By its digest, which the upstream tells. */
async function askLayer(row: ColdRow, id: string, where: Way, arena: Arena): Promise<Probe> {
  const name = coldImage(row.sizeBytes, row.latencyMs, row.bytesPerMs, id);
  const [layer] = await layersOf(arena.upstream, name);
  if (!layer) throw new Error(`${name} has no layer.`);
  return expectLayer(`${where.at('images')}/${name}/blobs/${layer.digest}`, layer.digest, where.agent);
}

/** The upstream sends half a body and waits; only when the client has a byte is it told to go on. */
export async function measureEarly(row: EarlyRow, arena: Arena): Promise<Outcome[]> {
  const larder = await arena.server('larder');
  const rounds: Round[] = [];
  for (let n = 1; n <= arena.rounds; n++) {
    const id = randomUUID();
    const got = await probe(`${larder.at('files')}/halves/${id}`, {
      onFirstByte: () => arena.upstream.release(id),
      timeoutMs: 10_000,
    }).catch((error: unknown) => {
      arena.upstream.release(id);
      throw new Error('No byte arrived while the upstream held back the second half.', { cause: error });
    });
    if (got.status !== 200) throw new Error(`Answered ${got.status}.`);
    rounds.push(new Map([['larder', { value: got.firstByteMs }]]));
  }
  return [{ contest: row.contest, rounds, note: 'it was, every time' }];
}
