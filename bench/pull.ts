/** An image of a gigabyte, as people fetch it: by skopeo, into an empty folder. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Arena, isPeer } from './arena.ts';
import { clientFolder } from './client-folder.ts';
import type { Contender, Outcome, Round, Turn } from './contest.ts';
import { bigImage } from './image-bodies.ts';
import { expectBody } from './probe.ts';
import type { PullRow } from './rows.ts';
import { type Server, watched } from './server.ts';

const run = promisify(execFile);

interface Described {
  readonly digest: string;
  readonly size: number;
}

export async function measurePull(row: PullRow, arena: Arena): Promise<Outcome[]> {
  const names = ['larder' as const, ...row.contest.against.map((other) => other.contender)].filter(isPeer);
  const lanes = await Promise.all(names.map(async (name) => ({ name, server: await arena.server(name) })));
  const manifest = (await expectBody(`${arena.upstream.at('images')}/${bigImage}/manifests/1`, {})).body;
  const folder = await clientFolder(arena, 2e9);
  try {
    await makeHome(folder);
    for (const { server } of lanes) await fill(server, folder, arena);
    const asked = new Map<Contender, number>(names.map((name) => [name, 0]));
    const layersBefore = await arena.upstream.count('layers');
    const rounds: Round[] = [];
    for (let n = 1; n <= arena.rounds; n++) {
      arena.say(`${row.contest.title}: round ${n} of ${arena.rounds}`);
      const round = new Map<Contender, Turn>();
      for (const { name, server } of lanes) {
        // What the servers stored goes to disk now, and not during this turn.
        await run('sync');
        const before = await arena.upstream.finalCount();
        const { seconds, busy } = await watched(server, () => pull(server, folder));
        asked.set(name, (asked.get(name) ?? 0) + (await arena.upstream.count()) - before);
        await expectImage(folder, manifest);
        await rm(imageIn(folder), { recursive: true });
        round.set(name, { value: seconds, busy });
      }
      rounds.push(round);
    }
    const { larder: strays = 0, ...others } = Object.fromEntries(asked);
    if (strays > 0) throw new Error(`Larder asked the upstream ${strays} times although everything was warm.`);
    const layers = (await arena.upstream.count('layers')) - layersBefore;
    if (layers > 0) throw new Error(`The upstream was asked for ${layers} layers although everything was warm.`);
    const notes = Object.entries(others).map(([name, n]) => `${name} asks upstream ${n / rounds.length} times a pull`);
    return [{ contest: row.contest, rounds, note: notes.join(', ') }];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function imageIn(folder: string): string {
  return join(folder, 'image');
}

/** Nothing of the user's configuration, which may send requests elsewhere. */
async function makeHome(folder: string): Promise<void> {
  const settings = join(folder, '.config/containers');
  await mkdir(settings, { recursive: true });
  await writeFile(join(settings, 'registries.conf'), '');
  await writeFile(join(folder, 'auth.json'), '{}');
}

/** Pulls until the upstream is not asked for layers any more: docker-registry stores behind its answer. */
async function fill(server: Server, folder: string, arena: Arena): Promise<void> {
  for (let n = 1; n <= 5; n++) {
    arena.say(`filling ${server.name}`);
    const before = await arena.upstream.count('layers');
    await pull(server, folder);
    await rm(imageIn(folder), { recursive: true });
    if ((await arena.upstream.count('layers')) === before) return;
  }
  throw new Error(`${server.name} asks for the layers at every pull.`);
}

async function pull(server: Server, folder: string): Promise<void> {
  const { host } = new URL(server.at('images'));
  const from = `docker://${host}/${bigImage}:1`;
  const args = ['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false', from, `dir:${imageIn(folder)}`];
  const env = { PATH: process.env.PATH, HOME: folder, TMPDIR: folder, REGISTRY_AUTH_FILE: join(folder, 'auth.json') };
  await run('skopeo', args, { env }).catch((error: { stderr?: string }) => {
    throw new Error(`skopeo failed on ${server.name}: ${error.stderr?.trim().slice(0, 300)}`);
  });
}

/** skopeo compares digests itself; that it fetched all of this image is seen here. */
async function expectImage(folder: string, manifest: Buffer): Promise<void> {
  const image = imageIn(folder);
  if (!manifest.equals(await readFile(join(image, 'manifest.json')))) throw new Error('skopeo got another manifest.');
  const { config, layers } = JSON.parse(manifest.toString()) as { config: Described; layers: readonly Described[] };
  for (const { digest, size } of [config, ...layers]) {
    const found = await stat(join(image, digest.replace('sha256:', '')));
    if (found.size !== size) throw new Error(`skopeo wrote ${found.size} bytes of ${digest} instead of ${size}.`);
  }
}
