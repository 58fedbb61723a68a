/** The same Larder on the closed side: its data, its configuration, and nobody to ask. */
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { onTestFinished } from 'vitest';
import { createLarder } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Answer, type AskOptions, ask } from './http.ts';
import type { Larder } from './larder.ts';

type Section = { [key: string]: unknown };

export interface Configuration extends Section {
  upstreams: { [name: string]: Section & { url: string } };
  orgs: { [name: string]: Section & { repositories: { [name: string]: Section & { sources: Section[] } } } };
}

export interface OfflineLarder {
  readonly url: string;
  readonly configFile: string;
  ask(path: string, options?: AskOptions): Promise<Answer>;
  /** At the addresses of its upstreams. */
  connections(): number;
  stop(): Promise<void>;
}

/**
 * Stops a Larder and begins it anew; `change` is what its configuration says then. Its upstreams must have been stopped:
 * whoever comes to their addresses is counted and sent away. `open`: further upstreams, which may be asked.
 */
export async function restartOffline(
  larder: Pick<Larder, 'stop' | 'configFile'>,
  change: (configuration: Configuration) => void,
  open: Configuration['upstreams'] = {},
): Promise<OfflineLarder> {
  await larder.stop();
  const configuration = JSON.parse(await readFile(larder.configFile, 'utf8')) as Configuration;
  const impatient = { ttl: '0s', staleWhileRevalidate: '0s', staleIfError: '0s', negativeTtl: '0s' };
  for (const { repositories } of Object.values(configuration.orgs)) {
    for (const repository of Object.values(repositories)) {
      repository.sources = repository.sources.map((source) =>
        'remote' in source ? { ...source, ...impatient } : source,
      );
    }
  }
  change(configuration);
  const ports = new Set(Object.values(configuration.upstreams).flatMap(portsOf));
  Object.assign(configuration.upstreams, open);
  await writeFile(larder.configFile, JSON.stringify(configuration));
  let connections = 0;
  for (const port of ports) {
    const server = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((done, fail) => server.once('error', fail).listen(port, '127.0.0.1', done));
    onTestFinished(() => new Promise<void>((done) => void server.close(() => done())));
  }
  const offline = await createLarder(await loadConfig(larder.configFile, {}));
  const { url } = await offline.listen();
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= offline.close();
    return stopped;
  };
  onTestFinished(stop);
  return {
    url,
    configFile: larder.configFile,
    ask: (path, options) => ask(`${url}${path}`, options),
    connections: () => connections,
    stop,
  };
}

function portsOf({ url, hosts = [] }: Section & { readonly url: string }): number[] {
  const further = (hosts as string[]).map((host) => Number(host.split(':')[1] ?? 0));
  return [Number(new URL(url).port), ...further.filter((port) => port > 0)];
}
