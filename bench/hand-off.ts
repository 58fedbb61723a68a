/** What nginx sends by itself although Larder decides who may have it, against nginx that asks nobody. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import type { Arena } from './arena.ts';
import { type Contender, type Contest, median, type Outcome, type Round, type Turn } from './contest.ts';
import { type Load, readFast } from './load.ts';
import { probe } from './probe.ts';
import { freePort, type Server, startServer } from './server.ts';

const run = promisify(execFile);

interface HandOffCase {
  readonly contest: Contest;
  readonly sizeBytes: number;
  readonly connections: number;
}

export interface HandOffRow {
  readonly kind: 'hand-off';
  /** The first of the cases'. */
  readonly contest: Contest;
  readonly cases: readonly HandOffCase[];
}

const alone: Contest['against'] = [{ contender: 'nginx-file' }, { contender: 'larder-alone' }];
const likeNginx: Contest['against'] = [
  { contender: 'nginx-file', target: { atLeast: 0.95 } },
  { contender: 'larder-alone' },
];

function handOffCase(size: '1 GB' | '20 MB', connections: number, against: Contest['against']): HandOffCase {
  const plural = connections === 1 ? '' : 's';
  return {
    sizeBytes: size === '1 GB' ? 1e9 : 2e7,
    connections,
    contest: {
      id: `hand-off-${size === '1 GB' ? '1g' : '20m'}-c${connections}`,
      title: `Behind nginx with hand-off, a private file of ${size}, ${connections} connection${plural}`,
      unit: 'MB/s',
      against,
    },
  };
}

const cases = [handOffCase('1 GB', 1, likeNginx), handOffCase('1 GB', 4, likeNginx), handOffCase('20 MB', 4, alone)];

export const handOffRow: HandOffRow = { kind: 'hand-off', contest: (cases[0] as HandOffCase).contest, cases };

/** A turn has to hold one whole answer, on a machine that has other things to do as well. */
const leastSeconds = 5;

/** Where each contender has the files, each with the same name. */
interface Stand {
  readonly places: ReadonlyMap<Contender, string>;
  readonly larder: Server;
  readonly nginx: Server;
  readonly authorization: string;
  close(): Promise<void>;
}

export async function measureHandOff(row: HandOffRow, arena: Arena, program: string): Promise<Outcome[]> {
  const stand = await openStand(arena, program, [...new Set(row.cases.map(({ sizeBytes }) => sizeBytes))]);
  try {
    const outcomes: Outcome[] = [];
    for (const one of row.cases) outcomes.push(await measureCase(one, stand, arena));
    return outcomes;
  } finally {
    await stand.close();
  }
}

async function measureCase(
  { contest, sizeBytes, connections }: HandOffCase,
  stand: Stand,
  arena: Arena,
): Promise<Outcome> {
  const { authorization, places } = stand;
  const urlOf = (contender: Contender): string => `${places.get(contender)}/${sizeBytes}`;
  const contenders: Contender[] = ['larder', ...contest.against.map(({ contender }) => contender)];
  await expectRefused(urlOf('larder'));
  const before = await handedOff(stand);
  const load = (contender: Contender, seconds: number): Load => ({
    url: urlOf(contender),
    headers: { authorization },
    connections,
    seconds,
    headBytes: 0,
    bodyBytes: sizeBytes,
    slackBytes: 0,
  });
  for (const contender of contenders) await readFast(load(contender, leastSeconds));
  const rounds: Round[] = [];
  for (let n = 1; n <= arena.rounds; n++) {
    arena.say(`${contest.title}: round ${n} of ${arena.rounds}`);
    const round = new Map<Contender, Turn>();
    for (const contender of contenders)
      round.set(contender, await turn(stand, load(contender, Math.max(arena.seconds, leastSeconds))));
    rounds.push(round);
  }
  await expectRefused(urlOf('larder'));
  if ((await handedOff(stand)) <= before) throw new Error('Nothing was handed off.');
  return { contest, rounds, note: contenders.map((contender) => coreTimeOf(rounds, contender)).join(', ') };
}

/** What a gigabyte takes of the core: the same on a machine that has other things to do, where speeds are not. */
function coreTimeOf(rounds: readonly Round[], contender: Contender): string {
  const turns = rounds.flatMap((round) => round.get(contender) ?? []);
  const seconds = median(turns.map(({ value, busy = Number.NaN }) => (busy / value) * 1000));
  return `${contender} ${seconds.toFixed(2)} s of the core per GB`;
}

/** Both have the one core, whoever of them does the work. */
async function turn({ larder, nginx }: Stand, load: Load): Promise<Turn> {
  const used = async (): Promise<number> => (await larder.usage()).cpuMs + (await nginx.usage()).cpuMs;
  const [before, startedAt] = [await used(), performance.now()];
  const { megabytesPerSecond } = await readFast(load);
  const elapsedMs = performance.now() - startedAt;
  return { value: megabytesPerSecond, busy: ((await used()) - before) / elapsedMs };
}

async function expectRefused(url: string): Promise<void> {
  const { status, body, headers } = await probe(url);
  if (status !== 401 || body.length > 1000 || headers['x-accel-redirect'] !== undefined) {
    throw new Error(`${url} answered ${status} with ${body.length} bytes to somebody without a token.`);
  }
}

async function handedOff({ places }: Stand): Promise<number> {
  const origin = new URL(places.get('larder-alone') ?? '').origin;
  const text = await (await fetch(`${origin}/metrics`)).text();
  const counts = (name: string): number =>
    [...text.matchAll(new RegExp(`^${name}\\{[^}]*\\} (\\d+)`, 'gm'))].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
  if (counts('larder_handed_off_returned_total') > 0) throw new Error('nginx could not open what it was handed.');
  return counts('larder_handed_off_total');
}

async function openStand(arena: Arena, program: string, sizes: readonly number[]): Promise<Stand> {
  const folder = join(arena.workFolder, 'hand-off');
  await rm(folder, { recursive: true, force: true });
  const storage = join(folder, 'data');
  await mkdir(join(folder, 'plain'), { recursive: true });
  const [larderPort, nginxPort, filePort] = [await freePort(), await freePort(), await freePort()];
  const configPath = join(folder, 'larder.yaml');
  const config = {
    server: { listen: `127.0.0.1:${larderPort}`, trustedProxies: ['127.0.0.1/32'], handOff: {} },
    storage: { path: storage },
    orgs: {
      bench: {
        users: { publisher: {}, reader: {} },
        repositories: { own: { format: 'generic', sources: [{ hosted: true }] } },
        access: [
          { who: ['user:publisher'], may: ['publish', 'read'] },
          { who: ['user:reader'], may: ['read'] },
        ],
      },
    },
  };
  // JSON is YAML.
  await writeFile(configPath, JSON.stringify(config));
  const larder = await startServer({
    name: 'larder',
    command: resolve(program),
    args: ['serve', '--config', configPath],
    folder: join(folder, 'larder'),
    port: larderPort,
    readyPath: '/readyz',
    places: {},
  });
  try {
    const tokenOf = async (user: string): Promise<string> => {
      const args = ['token', 'create', '--org', 'bench', '--user', user, '--config', configPath];
      const { stdout } = await run(resolve(program), args);
      return `Bearer ${stdout.trim()}`;
    };
    const own = `http://127.0.0.1:${larderPort}/bench/own/v1`;
    const publisher = await tokenOf('publisher');
    for (const size of sizes) {
      const digest = await publish(`${own}/${size}`, size, publisher);
      const blob = join(storage, 'blobs/v1/sha256', digest.slice(0, 2), digest.slice(2, 4), digest);
      await link(blob, join(folder, 'plain', String(size)));
    }
    const nginx = await startNginx(folder, storage, { larder: larderPort, nginx: nginxPort, file: filePort });
    return {
      places: new Map<Contender, string>([
        ['larder', `http://127.0.0.1:${nginxPort}/bench/own/v1`],
        ['nginx-file', `http://127.0.0.1:${filePort}`],
        ['larder-alone', own],
      ]),
      larder,
      nginx,
      authorization: await tokenOf('reader'),
      async close() {
        await Promise.all([nginx.stop(), larder.stop()]);
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await larder.stop();
    throw error;
  }
}

/** Returns the digest in hexadecimal. */
async function publish(url: string, size: number, authorization: string): Promise<string> {
  const piece = randomBytes(1e6);
  const outgoing = request(url, { method: 'PUT', headers: { authorization, 'content-length': size } });
  const answered = once(outgoing, 'response');
  for (let left = size; left > 0; left -= piece.length) {
    if (!outgoing.write(piece.subarray(0, Math.min(left, piece.length)))) await once(outgoing, 'drain');
  }
  outgoing.end();
  const [incoming] = await answered;
  incoming.resume();
  const digest = /^"sha256-([0-9a-f]{64})"$/.exec(incoming.headers.etag ?? '')?.[1];
  if (incoming.statusCode !== 201 || digest === undefined)
    throw new Error(`${url} was answered ${incoming.statusCode}.`);
  return digest;
}

/** As docs/proxies.md has it, without TLS; and beside it the files as they are, for everybody. */
async function startNginx(
  folder: string,
  storage: string,
  ports: Readonly<Record<'larder' | 'nginx' | 'file', number>>,
): Promise<Server> {
  const page = await readFile(join(import.meta.dirname, '../docs/proxies.md'), 'utf8');
  const block = /^```nginx tested="hand-off"\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '';
  const site = block
    .replace(/^ *(?:ssl_|server_name).*\n/gm, '')
    .replace(/listen 443 .*;/, `listen 127.0.0.1:${ports.nginx};`)
    .replaceAll('127.0.0.1:5273', `127.0.0.1:${ports.larder}`)
    .replaceAll('/var/lib/larder/', `${storage}/`);
  const config = `${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1; daemon off; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log ${folder}/access.log combined buffer=64k flush=1s;
  keepalive_requests 1000000000;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${ports.file};
    location = /ready { access_log off; return 200; }
    location / { root ${folder}/plain; sendfile on; sendfile_max_chunk 2m; tcp_nopush on; }
  }
  ${site}
}
`;
  const configPath = join(folder, 'nginx.conf');
  await writeFile(configPath, config);
  return startServer({
    name: 'nginx',
    command: 'nginx',
    args: ['-c', configPath, '-p', folder],
    folder: join(folder, 'nginx'),
    port: ports.file,
    readyPath: '/ready',
    places: {},
  });
}
