/** Starts Larder for a test: in this process, or as the real program with a configuration file of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createLarder, type LarderParts } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { checkOptions } from '../../src/site.ts';
import { type TemporaryFolder, temporaryFolder } from './folder.ts';
import { type Answer, type AskOptions, ask, type Headers } from './http.ts';
import { type Metrics, parseMetrics } from './metrics.ts';
import { placed } from './namespace.ts';
import { eventually } from './wait.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Half of what starting Larder takes is compiling it; where tests run one after the other, it is compiled once. */
const { NODE_COMPILE_CACHE } = process.env;
export const compiled = NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };

type Section = Readonly<Record<string, unknown>>;

/** What a test says about its Larder; everything in the words of the configuration file. */
export interface Settings {
  /** Base URL of the upstream called `inner`. */
  readonly upstreamUrl: string;
  /** Further settings of that upstream. */
  readonly upstream?: Section;
  /** Further settings of the source in `public/npm` and `public/files`. */
  readonly source?: Section;
  /** Further settings of both repositories. */
  readonly repository?: Section;
  /** Further settings of `public/files` alone. */
  readonly files?: Section;
  /** Repositories beside `public/npm` and `public/files`. */
  readonly repositories?: Readonly<Record<string, Section>>;
  readonly upstreams?: Readonly<Record<string, Section>>;
  readonly server?: Section;
  readonly storage?: Section;
  /** Further top-level sections. */
  readonly more?: Section;
  /** Keeps data here; default: a folder of its own that goes away with it. */
  readonly folder?: string;
}

export interface Larder {
  /** No trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Holds the configuration file and the data. */
  readonly folder: string;
  readonly configFile: string;
  readonly storage: string;
  /** Below `public/npm`; the path as it is to go over the wire. */
  npm(path: string, headers?: Headers): Promise<Answer>;
  /** Below `public/files`. */
  files(path: string, headers?: Headers): Promise<Answer>;
  /** Below the server's root. */
  ask(path: string, options?: AskOptions): Promise<Answer>;
  metrics(): Promise<Metrics>;
  /** Writes the configuration anew, with changes, and has it read. Rejects when it has mistakes, and then nothing changed. */
  reload(change: (config: Written) => void): Promise<void>;
  /** Ends it and keeps the folder. */
  stop(): Promise<void>;
  /** Ends it and removes the folder if it was its own. */
  close(): Promise<void>;
}

/** A configuration file as these tests write it. */
export interface Written {
  readonly server: Record<string, unknown>;
  readonly upstreams: Record<string, Record<string, unknown>>;
  readonly orgs: Record<string, { repositories: Record<string, Section>; access: unknown; [more: string]: unknown }>;
  [more: string]: unknown;
}

export interface LarderProcess extends Larder {
  readonly pid: number;
  /** Lines of the log so far. */
  readonly log: readonly string[];
  readonly exited: Promise<number | null>;
  /** No farewell: `kill -9`. */
  kill(): Promise<void>;
  memory(): Promise<Memory>;
}

export interface Memory {
  readonly rssBytes: number;
  readonly peakRssBytes: number;
}

/** The configuration file's text. JSON is YAML. */
export function configurationOf(settings: Settings, folder: string): string {
  const source = { remote: 'inner', ...settings.source };
  return JSON.stringify(
    {
      server: { listen: '127.0.0.1:0', ...settings.server },
      storage: { path: join(folder, 'data'), ...settings.storage },
      upstreams: { inner: { url: settings.upstreamUrl, ...settings.upstream }, ...settings.upstreams },
      orgs: {
        public: {
          repositories: {
            npm: { format: 'npm', sources: [source], ...settings.repository },
            files: { format: 'generic', sources: [source], ...settings.repository, ...settings.files },
            ...settings.repositories,
          },
          access: [{ who: ['everyone'], may: ['read'] }],
        },
      },
      ...settings.more,
    },
    undefined,
    2,
  );
}

/** `VmRSS` and `VmHWM` of a process; Linux only. */
export async function memoryOf(pid: number): Promise<Memory> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const bytes = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { rssBytes: bytes('VmRSS'), peakRssBytes: bytes('VmHWM') };
}

interface Place {
  readonly folder: string;
  readonly configFile: string;
  remove(): Promise<void>;
}

async function prepare(settings: Settings): Promise<Place> {
  const own: TemporaryFolder | undefined = settings.folder === undefined ? await temporaryFolder() : undefined;
  const folder = settings.folder ?? own?.path ?? '';
  await mkdir(folder, { recursive: true });
  const configFile = join(folder, 'larder.yaml');
  await writeFile(configFile, configurationOf(settings, folder));
  return { folder, configFile, remove: async () => own?.remove() };
}

function connectTo(
  url: string,
  place: Place,
  { stop, reload }: { readonly stop: () => Promise<void>; readonly reload: () => Promise<void> },
): Larder {
  return {
    url,
    port: Number(new URL(url).port),
    folder: place.folder,
    configFile: place.configFile,
    storage: join(place.folder, 'data'),
    npm: (path, headers = {}) => ask(`${url}/public/npm${path}`, { headers }),
    files: (path, headers = {}) => ask(`${url}/public/files${path}`, { headers }),
    ask: (path, options) => ask(`${url}${path}`, options),
    metrics: async () => parseMetrics((await ask(`${url}/metrics`)).text()),
    stop,
    async reload(change) {
      const config = JSON.parse(await readFile(place.configFile, 'utf8')) as Written;
      change(config);
      await writeFile(place.configFile, JSON.stringify(config));
      await reload();
    },
    async close() {
      await stop();
      await place.remove();
    },
  };
}

/** In this process. The log is silent unless the settings say otherwise. */
export async function startLarder(settings: Settings, parts: LarderParts = {}): Promise<Larder> {
  const quiet: Settings = { ...settings, more: { log: { level: 'silent' }, ...settings.more } };
  const place = await prepare(quiet);
  const larder = await createLarder(await loadConfig(place.configFile, {}), parts);
  const { url } = await larder.listen();
  let stopped: Promise<void> | undefined;
  return connectTo(url, place, {
    async stop() {
      stopped ??= larder.close();
      await stopped;
    },
    reload: async () => larder.reload(await loadConfig(place.configFile, {}, { further: checkOptions })),
  });
}

async function waitForUrl(child: ChildProcess, log: string[]): Promise<string> {
  const found = Promise.withResolvers<string>();
  if (!child.stdout || !child.stderr) throw new Error('The program was started without pipes');
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  createInterface({ input: child.stdout }).on('line', (line) => {
    log.push(line);
    if (!line.includes('"listening"')) return;
    const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
    if (msg === 'listening' && url) found.resolve(url);
  });
  child.once('exit', (code) =>
    found.reject(new Error(`Larder ended with ${code} before it listened:\n${log.join('\n')}`)),
  );
  return await found.promise;
}

/** As a process of its own. */
export async function spawnLarder(settings: Settings, nodeOptions: readonly string[] = []): Promise<LarderProcess> {
  const place = await prepare(settings);
  const args = ['serve', '--config', place.configFile];
  const child = spawn(...placed(join(root, 'bin/larder'), args), {
    cwd: place.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: place.folder, NODE_OPTIONS: nodeOptions.join(' '), ...compiled },
  });
  // A test run that is broken off leaves nothing running.
  const orphaned = (): void => void child.kill('SIGKILL');
  process.once('exit', orphaned);
  const exited = once(child, 'exit').then(([code]) => {
    process.off('exit', orphaned);
    return code as number | null;
  });
  const log: string[] = [];
  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  }
  try {
    const url = await waitForUrl(child, log);
    const pid = child.pid ?? 0;
    return {
      ...connectTo(url, place, {
        stop: () => end('SIGTERM'),
        async reload() {
          const from = log.length;
          child.kill('SIGHUP');
          const told = await eventually('the configuration is read', () =>
            log.slice(from).find((line) => /configuration (?:not )?reloaded/.test(line)),
          );
          if (told.includes('not reloaded')) throw new Error(told);
        },
      }),
      pid,
      log,
      exited,
      kill: () => end('SIGKILL'),
      memory: () => memoryOf(pid),
    };
  } catch (error) {
    await end('SIGKILL');
    await place.remove();
    throw error;
  }
}
