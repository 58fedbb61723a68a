/** What publishing takes: packages of npm against Verdaccio, images by skopeo against a registry. */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { tarball } from '../test/support/tarball.ts';
import { type Arena, isPeer } from './arena.ts';
import { filler } from './bodies.ts';
import { clientFolder } from './client-folder.ts';
import { type Contender, type Contest, median, type Outcome, type Round, type Turn } from './contest.ts';
import { coldImage } from './image-bodies.ts';
import { tokenOf } from './known.ts';
import { writer } from './peers.ts';
import { watched } from './server.ts';

const run = promisify(execFile);

export interface PublishRow {
  readonly kind: 'publish';
  readonly what: 'package' | 'image';
  readonly contest: Contest;
}

const packagesAtATime = 30;
const imageBytes = 100_000_000;

export const publishRows: readonly PublishRow[] = [
  {
    kind: 'publish',
    what: 'package',
    contest: {
      id: 'publish-package',
      title: 'Publishing a package of 20 KB, as npm sends it, one after the other',
      unit: 'ms',
      against: [{ contender: 'verdaccio', target: { atMost: 1 } }],
    },
  },
  {
    kind: 'publish',
    what: 'image',
    contest: {
      id: 'publish-image',
      title: 'Pushing an image of 100 MB by skopeo',
      unit: 's',
      against: [{ contender: 'registry-own', target: { atMost: 1.2 } }],
    },
  },
];

export async function measurePublish(row: PublishRow, arena: Arena): Promise<Outcome[]> {
  const names = ['larder' as const, ...row.contest.against.map((other) => other.contender)].filter(isPeer);
  const lanes = await Promise.all(names.map(async (name) => ({ name, server: await arena.server(name) })));
  const folder = await clientFolder(arena, 1e9);
  try {
    if (row.what === 'image') await fetchImage(arena, folder);
    const publish = row.what === 'image' ? pushImage : publishPackages;
    for (const { server } of lanes) await publish(server.at(placeOf[row.what]), folder);
    const rounds: Round[] = [];
    for (let n = 1; n <= arena.rounds; n++) {
      arena.say(`${row.contest.title}: round ${n} of ${arena.rounds}`);
      const round = new Map<Contender, Turn>();
      for (const { name, server } of lanes) {
        await run('sync');
        const { result, busy } = await watched(server, () => publish(server.at(placeOf[row.what]), folder));
        round.set(name, { value: result, busy });
      }
      rounds.push(round);
    }
    return [{ contest: row.contest, rounds }];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const placeOf = { package: 'own-packages', image: 'own-images' } as const;

/** Milliseconds for one, the median of some. */
async function publishPackages(registry: string): Promise<number> {
  const headers = { 'content-type': 'application/json', ...(await tokenOf(registry, writer)) };
  const took: number[] = [];
  for (let n = 0; n < packagesAtATime; n++) {
    const name = `own-${randomUUID()}`;
    const body = document(registry, name);
    const startedAt = performance.now();
    const answer = await fetch(`${registry}/${name}`, { method: 'PUT', headers, body });
    await answer.arrayBuffer();
    took.push(performance.now() - startedAt);
    if (!answer.ok) throw new Error(`${registry} answered ${answer.status} to a package.`);
  }
  return median(took);
}

function document(registry: string, name: string): string {
  const version = '1.0.0';
  const manifest = { name, version };
  const bytes = tarball({ 'package.json': JSON.stringify(manifest), 'content.bin': filler(20_000, name) });
  const file = `${name}-${version}.tgz`;
  const dist = {
    integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    shasum: createHash('sha1').update(bytes).digest('hex'),
    tarball: `${registry}/${name}/-/${file}`,
  };
  return JSON.stringify({
    _id: name,
    name,
    'dist-tags': { latest: version },
    versions: { [version]: { ...manifest, _id: `${name}@${version}`, dist } },
    access: null,
    _attachments: {
      [file]: { content_type: 'application/octet-stream', data: bytes.toString('base64'), length: bytes.length },
    },
  });
}

async function fetchImage(arena: Arena, folder: string): Promise<void> {
  const settings = join(folder, '.config/containers');
  await mkdir(settings, { recursive: true });
  await writeFile(join(settings, 'registries.conf'), '');
  const { host } = new URL(arena.upstream.url);
  await skopeo(folder, [
    '--src-tls-verify=false',
    `docker://${host}/${coldImage(imageBytes, 0, 0, randomUUID())}:1`,
    image(folder),
  ]);
}

const image = (folder: string): string => `dir:${join(folder, 'image')}`;

/** Seconds. To a name that is new, so that all of it is sent. */
async function pushImage(at: string, folder: string): Promise<number> {
  const { host, pathname } = new URL(at);
  const startedAt = performance.now();
  const creds = `--dest-creds=${writer.name}:${writer.password}`;
  const to = `docker://${host}${pathname.replace(/^\/v2/, '')}/own/${randomUUID()}:1`;
  await skopeo(folder, ['--dest-tls-verify=false', creds, image(folder), to]);
  return (performance.now() - startedAt) / 1000;
}

async function skopeo(folder: string, args: readonly string[]): Promise<void> {
  const env = { PATH: process.env.PATH, HOME: folder, TMPDIR: folder };
  await run('skopeo', ['--insecure-policy', 'copy', '--quiet', ...args], { env }).catch(
    (error: { stderr?: string }) => {
      throw new Error(`skopeo failed: ${error.stderr?.trim().slice(0, 300)}`);
    },
  );
}
