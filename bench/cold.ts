/** What it costs that the first one to ask does so through Larder. */
import { randomUUID } from 'node:crypto';
import { Agent } from 'node:http';
import type { Arena } from './arena.ts';
import { coldVersions } from './bodies.ts';
import { median, type Outcome, type Round } from './contest.ts';
import { expectBody, type Probe, probe } from './probe.ts';
import type { ColdRow, EarlyRow } from './rows.ts';

/** Where the same thing is found straight at the upstream and through Larder. */
interface Way {
  readonly registry: string;
  readonly files: string;
  readonly agent: Agent;
}

export async function measureCold(row: ColdRow, arena: Arena): Promise<Outcome[]> {
  const larder = await arena.server('larder');
  const straight = way(`${arena.upstream.url}/registry`, `${arena.upstream.url}/files`);
  const through = way(larder.registry, larder.files ?? '');
  const run = randomUUID();
  const whole: Round[] = [];
  const first: Round[] = [];
  let n = 0;

  async function ask(where: Way, kind: ColdRow = row): Promise<Probe> {
    const path = await freshPath(kind, `${run}-${n}`, n++, where);
    const length = row.what === 'document' ? {} : { length: row.sizeBytes };
    return expectBody(path, length, { agent: where.agent });
  }

  // The connections are there and the code is compiled, as on any day but the first.
  const near = { ...row, latencyMs: 0, bytesPerMs: 0 };
  for (let turn = 0; turn < row.requests * 5; turn++) for (const where of [straight, through]) await ask(where, near);
  const asked = await arena.upstream.count();
  for (let round = 1; round <= arena.rounds; round++) {
    arena.say(`${row.contest.title}: round ${round} of ${arena.rounds}`);
    const probes: { straight: Probe[]; larder: Probe[] } = { straight: [], larder: [] };
    for (let turn = 0; turn < row.requests; turn++) {
      probes.straight.push(await ask(straight));
      probes.larder.push(await ask(through));
    }
    whole.push(roundOf(probes, (each) => each.totalMs));
    first.push(roundOf(probes, (each) => each.firstByteMs));
  }
  const passed = (await arena.upstream.count()) - asked;
  if (passed < arena.rounds * row.requests * 2) throw new Error('Not every request reached the upstream: not cold.');
  straight.agent.destroy();
  through.agent.destroy();
  return [
    { contest: row.contest, rounds: whole },
    { contest: row.firstByte, rounds: first },
  ];
}

function way(registry: string, files: string): Way {
  return { registry, files, agent: new Agent({ keepAlive: true, maxSockets: 1 }) };
}

function roundOf(probes: Record<'straight' | 'larder', readonly Probe[]>, of: (each: Probe) => number): Round {
  return new Map([
    ['larder', { value: median(probes.larder.map(of)) }],
    ['straight', { value: median(probes.straight.map(of)) }],
  ]);
}

/** Something that nobody has asked for yet. */
async function freshPath(row: ColdRow, id: string, n: number, where: Way): Promise<string> {
  if (row.what === 'file') return `${where.files}/cold/${row.latencyMs}/${row.sizeBytes}/${row.bytesPerMs}/${id}`;
  if (row.what === 'document') return `${where.registry}/fresh-${row.latencyMs}ms-${id}`;
  // Clients read the packument before they ask for a tarball, so it is warm.
  const name = `cold-${row.latencyMs}ms-${id.slice(0, 8)}-${Math.floor(n / coldVersions)}`;
  await expectBody(`${where.registry}/${name}`, {}, { agent: where.agent });
  return `${where.registry}/${name}/-/${name}-1.0.${n % coldVersions}.tgz`;
}

/** The upstream sends half a body and waits; only when the client has a byte is it told to go on. */
export async function measureEarly(row: EarlyRow, arena: Arena): Promise<Outcome[]> {
  const larder = await arena.server('larder');
  const rounds: Round[] = [];
  for (let n = 1; n <= arena.rounds; n++) {
    const id = randomUUID();
    const got = await probe(`${larder.files}/halves/${id}`, {
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
