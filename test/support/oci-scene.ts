/** Fake registries of container images and a Larder that serves them as one, all gone when the test ends. */
import { onTestFinished } from 'vitest';
import type { Digest } from '../../src/core/format.ts';
import { type FakeOci, type FakeOciOptions, startFakeOci } from './fake-oci.ts';
import type { Answer, AskOptions } from './http.ts';
import { type Larder, startLarder } from './larder.ts';
import { eventually } from './wait.ts';

type Section = Readonly<Record<string, unknown>>;

export interface OciSceneOptions {
  /** One upstream each, called `one` and `two`. Default: one. */
  readonly registries?: readonly FakeOciOptions[];
  /** Further settings of every upstream. */
  readonly upstream?: Section;
  /** Further settings of the upstreams by their names, and upstreams of other names. */
  readonly upstreams?: Readonly<Record<string, Section>>;
  /** Further settings of every source. */
  readonly source?: Section;
  /** Further settings of the repository. */
  readonly repository?: Section;
  /** Repositories of the same organisation beside `acme/hub`. */
  readonly repositories?: Readonly<Record<string, Section>>;
  readonly server?: Section;
}

export interface OciScene {
  readonly one: FakeOci;
  /** Only there if asked for. */
  readonly two: FakeOci;
  readonly larder: Larder;
  /** Below `acme/hub`, the path as clients have it after `/v2`. */
  ask(path: string, options?: AskOptions): Promise<Answer>;
  head(path: string, options?: AskOptions): Promise<Answer>;
  /** Once more, when the bytes are where others find them. */
  settled(path: string): Promise<Answer>;
  /** Lets Larder's clock run ahead. */
  pass(ms: number): void;
  forget(): void;
  /** Larder comes back with what it stored and other settings. */
  restart(change: Omit<OciSceneOptions, 'registries'>): Promise<void>;
}

const names = ['one', 'two'] as const;

/** Trouble shows at once: nothing is tried again, and nobody is left alone for a while. */
const impatient = { timeoutMs: 2000, connectTimeout: '2s', retries: 0, breaker: { failures: 1000 } };

export async function ociScene(options: OciSceneOptions = {}): Promise<OciScene> {
  const started: FakeOci[] = [];
  for (const settings of options.registries ?? [{}]) {
    const registry = await startFakeOci(settings);
    onTestFinished(() => registry.close());
    started.push(registry);
  }
  const named = started.map((registry, at) => [names[at] ?? '', registry] as const);
  let aheadMs = 0;

  async function start(settings: OciSceneOptions, folder?: string): Promise<Larder> {
    const larder = await startLarder(
      {
        upstreamUrl: started[0]?.url ?? '',
        upstreams: {
          ...settings.upstreams,
          ...Object.fromEntries(
            named.map(([name, { url, hosts }]) => [
              name,
              { url, hosts, format: 'oci', ...impatient, ...settings.upstream, ...settings.upstreams?.[name] },
            ]),
          ),
        },
        ...(settings.server ? { server: settings.server } : {}),
        ...(folder === undefined ? {} : { folder }),
        more: {
          hosts: { default: 'acme/hub' },
          orgs: {
            acme: {
              repositories: {
                hub: {
                  format: 'oci',
                  sources: named.map(([remote]) => ({ remote, staleWhileRevalidate: '0s', ...settings.source })),
                  ...settings.repository,
                },
                ...settings.repositories,
              },
              access: [{ who: ['everyone'], may: ['read'] }],
            },
          },
        },
      },
      { now: () => Date.now() + aheadMs },
    );
    onTestFinished(() => larder.close());
    return larder;
  }

  let larder = await start(options);

  const ask = (path: string, settings?: AskOptions): Promise<Answer> => larder.ask(`/v2/acme/hub${path}`, settings);
  const registryAt = (at: number): FakeOci => {
    const registry = started[at];
    if (!registry) throw new Error(`This scene has no ${names[at]}`);
    return registry;
  };
  return {
    get one() {
      return registryAt(0);
    },
    get two() {
      return registryAt(1);
    },
    get larder() {
      return larder;
    },
    ask,
    head: (path, settings = {}) => ask(path, { ...settings, method: 'HEAD' }),
    settled: (path) =>
      eventually(`${path} is settled`, async () => {
        const answer = await ask(path);
        return answer.headers['x-larder-cache'] === 'joined' ? undefined : answer;
      }),
    pass(ms) {
      aheadMs += ms;
    },
    forget() {
      for (const registry of started) registry.forget();
    },
    async restart(change) {
      await larder.stop();
      larder = await start({ ...options, ...change }, larder.folder);
    },
  };
}

export function manifestPath(name: string, reference: string): string {
  return `/${name}/manifests/${reference}`;
}

export function blobPath(name: string, { digest }: { readonly digest: Digest }): string {
  return `/${name}/blobs/${digest}`;
}
