/** The Larder under test: a process of its own on the servers' core, with every format in three organisations. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cores } from '../machine.ts';
import { freePort } from '../server.ts';
import { type FormatId, formats } from './catalog.ts';
import type { Fake } from './fakes.ts';
import type { Tokens } from './world.ts';

const run = promisify(execFile);

export interface SubjectOptions {
  readonly folder: string;
  /** Larder's command. */
  readonly program: string;
  readonly nodeOptions: readonly string[];
  readonly fakes: Readonly<Record<FormatId, Fake>>;
  /** Of traces. */
  readonly collectorUrl: string;
  readonly secret: string;
  readonly maxSizeBytes: number;
  /** Leaves both processes where the system puts them. */
  readonly pinned: boolean;
}

export interface Subject {
  readonly pid: number;
  readonly port: number;
  readonly origin: string;
  readonly dataFolder: string;
  readonly logPath: string;
  readonly tokens: Tokens;
  /** Whether it still runs. */
  alive(): boolean;
  /** Writes the configuration again, a little different, and has it read. */
  reload(nth: number): Promise<void>;
  /** Its exit code. */
  stop(): Promise<number | null>;
  /** `larder verify` on what it left. */
  verify(): Promise<{ readonly clean: boolean; readonly text: string }>;
  kill(): void;
}

function claimsOf(format: FormatId, secret: string): readonly string[] {
  switch (format) {
    case 'npm':
      return [`@${secret}/*`];
    case 'oci':
    case 'generic':
      return [`${secret}/*`];
    case 'maven':
      return [`com.${secret}:*`, `com.${secret}.*`];
    case 'nuget':
      return [`${secret}.*`];
    case 'rubygems':
    case 'pypi':
      return [`${secret}-*`];
    case 'p2':
      return [];
  }
}

function upstreamUrl({ format, url }: Fake): string {
  if (format === 'nuget') return `${url}/v3/index.json`;
  return format === 'pypi' ? `${url}/simple` : url;
}

function configurationOf(options: SubjectOptions, port: number, nth: number): object {
  const { fakes, secret, folder, maxSizeBytes, collectorUrl } = options;
  // What is fresh for so long changes with every reload.
  const source = (format: FormatId): object => ({
    remote: `up-${format}`,
    ttl: `${20 + (nth % 5)}s`,
    staleWhileRevalidate: '10s',
    negativeTtl: '5s',
  });
  const repository = (format: FormatId, sources: readonly object[]): object => ({
    format,
    sources,
    ...(format === 'generic' ? { options: { immutable: ['rel/**'] } } : {}),
  });
  const through = Object.fromEntries(formats.map((format) => [format, repository(format, [source(format)])]));
  const own = Object.fromEntries(
    formats.map((format) => [
      format,
      repository(format, [
        ...(format === 'p2' ? [] : [{ hosted: true, claims: claimsOf(format, secret) }]),
        source(format),
      ]),
    ]),
  );
  return {
    server: { listen: `127.0.0.1:${port}`, drain: '10s', hotMemory: '8MiB' },
    // Small caches are full when the warm-up is over, and what grows after that is a leak.
    documents: { memory: '8MiB' },
    storage: { path: join(folder, 'data'), maxSize: maxSizeBytes },
    upstreams: Object.fromEntries(
      formats.map((format) => [
        `up-${format}`,
        {
          url: upstreamUrl(fakes[format]),
          format,
          timeoutMs: 12_000,
          connectTimeout: '2s',
          retries: 1,
          breaker: { failures: 10, window: '10s', open: '3s' },
          hosts: ['127.0.0.1'],
        },
      ]),
    ),
    tracing: { endpoint: collectorUrl, sample: 0.02 },
    orgs: {
      open: { repositories: through, access: [{ who: ['everyone'], may: ['read'] }] },
      acme: {
        teams: { developers: ['alice'], readers: ['rita'], admins: ['adam'] },
        repositories: own,
        access: [
          { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
          { who: ['team:readers'], may: ['read'] },
          { who: ['team:admins'], may: ['admin'] },
        ],
      },
      beta: {
        users: { bob: {} },
        // Little enough to be met now and then.
        limits: { perIdentity: { requests: '6/s', burst: 30, download: '20MB' }, total: { transfers: 30 } },
        repositories: own,
        access: [{ who: ['user:bob'], may: ['read', 'publish', 'delete'] }],
      },
    },
  };
}

export async function startSubject(options: SubjectOptions): Promise<Subject> {
  const { folder, program, pinned } = options;
  const dataFolder = join(folder, 'data');
  const configPath = join(folder, 'larder.yaml');
  const logPath = join(folder, 'larder.log');
  await mkdir(dataFolder, { recursive: true });
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const writeConfiguration = (nth: number): Promise<void> =>
    // JSON is YAML.
    writeFile(configPath, JSON.stringify(configurationOf(options, port, nth), undefined, 2));
  await writeConfiguration(0);
  const environment = { PATH: process.env.PATH, HOME: folder };
  const larder = async (...args: readonly string[]): Promise<string> => {
    const done = await run(program, [...args, '--config', configPath], {
      cwd: folder,
      env: environment,
      maxBuffer: 1 << 26,
    });
    return done.stdout.trim();
  };
  const tokenFor = (org: string, user: string): Promise<string> =>
    larder('token', 'create', '--org', org, '--user', user);
  const tokens: Tokens = {
    alice: await tokenFor('acme', 'alice'),
    rita: await tokenFor('acme', 'rita'),
    adam: await tokenFor('acme', 'adam'),
    bob: await tokenFor('beta', 'bob'),
  };

  const output = await open(logPath, 'w');
  const args = ['serve', '--config', configPath];
  const [command, commandArgs] = pinned ? ['taskset', ['-c', String(cores.server), program, ...args]] : [program, args];
  const child = spawn(command, commandArgs, {
    cwd: folder,
    detached: true,
    env: { ...environment, NODE_ENV: 'production', NODE_OPTIONS: options.nodeOptions.join(' ') },
    stdio: ['ignore', output.fd, output.fd],
  });
  await once(child, 'spawn');
  await output.close();
  const pid = child.pid ?? 0;
  const alive = (): boolean => child.exitCode === null && child.signalCode === null;
  const orphaned = (): void => void child.kill('SIGKILL');
  process.once('exit', orphaned);
  const exited = once(child, 'exit').then(([code]) => {
    process.off('exit', orphaned);
    return code as number | null;
  });

  for (const deadline = Date.now() + 30_000; ; ) {
    const answer = await fetch(`${origin}/readyz`, { headers: { connection: 'close' } }).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok && alive()) break;
    if (!alive() || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`Larder did not get ready:\n${(await readFile(logPath, 'utf8')).slice(-4000)}`);
    }
    await delay(50);
  }

  return {
    pid,
    port,
    origin,
    dataFolder,
    logPath,
    tokens,
    alive,
    async reload(nth) {
      await writeConfiguration(nth);
      if (alive()) process.kill(pid, 'SIGHUP');
    },
    async stop() {
      if (alive()) child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 30_000);
      const code = await exited;
      clearTimeout(late);
      return code;
    },
    verify: () =>
      larder('verify', '--json').then(
        (text) => ({ clean: (JSON.parse(text) as { clean: boolean }).clean, text }),
        (error: { stdout?: string; stderr?: string }) => ({
          clean: false,
          text: `${error.stdout ?? ''}${error.stderr ?? ''}`,
        }),
      ),
    kill: orphaned,
  };
}
