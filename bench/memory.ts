/** By how much a server grows when many clients pull the same long layer at once. */
import { randomUUID } from 'node:crypto';
import type { Arena } from './arena.ts';
import type { Outcome, Round } from './contest.ts';
import { coldImage } from './image-bodies.ts';
import { expectLayer, probe } from './probe.ts';
import type { MemoryRow } from './rows.ts';
import type { Server } from './server.ts';
import { layersOf } from './upstream.ts';

/** In every round a Larder that has only just started: one that has grown before would grow less. */
export async function measureMemory(row: MemoryRow, arena: Arena): Promise<Outcome[]> {
  const cold: Round[] = [];
  const warm: Round[] = [];
  // Twenty gigabytes a round take a while, and a busy machine does not change what they come to.
  const count = Math.min(arena.rounds, 2);
  for (let n = 1; n <= count; n++) {
    arena.say(`${row.contest.title}: round ${n} of ${count}`);
    const server = await arena.another('larder');
    try {
      // The code that does it is there before.
      await pullAtOnce(row.clients, 2_000_000, server, arena);
      const start = (await server.usage()).residentBytes;
      await server.forgetPeak();
      const pulled = await pullAtOnce(row.clients, row.sizeBytes, server, arena);
      cold.push(await grown(server, start));
      await server.forgetPeak();
      await pulled.again();
      warm.push(await grown(server, start));
    } finally {
      await server.stop();
    }
  }
  return [
    { contest: row.contest, rounds: cold, note: 'one transfer from upstream' },
    { contest: row.again, rounds: warm },
  ];
}

async function grown(server: Server, start: number): Promise<Round> {
  return new Map([['larder', { value: ((await server.usage()).peakBytes - start) / 1e6 }]]);
}

/** A layer that is new; the upstream must be asked for it once, however many want it, and not at all when they come again. */
async function pullAtOnce(
  clients: number,
  sizeBytes: number,
  server: Server,
  arena: Arena,
): Promise<{ again(): Promise<void> }> {
  const name = coldImage(sizeBytes, 0, 0, randomUUID());
  const [layer] = await layersOf(arena.upstream, name);
  if (!layer) throw new Error(`${name} has no layer.`);
  const { digest, size } = layer;
  const url = `${server.at('images')}/${name}/blobs/${digest}`;

  async function pull(transfers: number): Promise<void> {
    const before = await arena.upstream.count('layers');
    // Computing ten digests at once would make the clients the slowest part: the others count.
    await Promise.all([expectLayer(url, digest), ...Array.from({ length: clients - 1 }, () => expectSize(url, size))]);
    const asked = (await arena.upstream.count('layers')) - before;
    if (asked !== transfers) throw new Error(`The upstream was asked ${asked} times for a layer, not ${transfers}.`);
  }

  await pull(1);
  return { again: () => pull(0) };
}

async function expectSize(url: string, size: number): Promise<void> {
  let length = 0;
  const { status } = await probe(url, {
    onData(chunk) {
      length += chunk.length;
    },
  });
  if (status !== 200 || length !== size) throw new Error(`${url} answered ${status} with ${length} bytes.`);
}
