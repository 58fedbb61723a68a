/** Gem servers and a Larder that serves them as one, all gone when the test ends. */
import { onTestFinished } from 'vitest';
import { type Answer, type AskOptions, ask, type Headers } from './http.ts';
import { type Larder, type Settings, startLarder } from './larder.ts';
import { type GemsUpstream, type GemsUpstreamOptions, startGemsUpstream } from './rubygems-upstream.ts';
import { eventually } from './wait.ts';

type Section = Readonly<Record<string, unknown>>;

/** Names of the upstreams, in the order in which they are asked. */
export const sourceNames = ['first', 'second', 'third'] as const;

export interface GemsSceneOptions {
  /** One upstream each. Default: one. */
  readonly upstreams?: readonly GemsUpstreamOptions[];
  /** Further settings of every upstream. */
  readonly upstream?: Section;
  /** Further settings of every source. */
  readonly source?: Section;
  /** Further settings of one source each. */
  readonly sources?: readonly Section[];
  /** Further settings of the repository. */
  readonly repository?: Section;
  /** Default: in this process. */
  readonly start?: (settings: Settings) => Promise<Larder>;
}

export interface GemsScene {
  readonly first: GemsUpstream;
  /** Only there if asked for. */
  readonly second: GemsUpstream;
  readonly larder: Larder;
  /** Of the repository, no trailing slash. */
  readonly url: string;
  ask(path: string, options?: AskOptions): Promise<Answer>;
  get(path: string, headers?: Headers): Promise<Answer>;
  head(path: string, headers?: Headers): Promise<Answer>;
  /** Asks until nobody downloads it any more. */
  settled(path: string): Promise<Answer>;
  /** Requests at all upstreams so far: name, method and path. */
  requests(): string[];
  forget(): void;
}

/** Trouble shows at once: nothing is tried again, and nobody is left alone for a while. */
const impatient = {
  format: 'rubygems',
  timeoutMs: 2000,
  connectTimeout: '2s',
  retries: 0,
  breaker: { failures: 1000 },
};

export async function gemsScene(
  options: GemsSceneOptions = {},
  later: (close: () => Promise<void>) => void = onTestFinished,
): Promise<GemsScene> {
  const started: GemsUpstream[] = [];
  for (const settings of options.upstreams ?? [{}]) {
    const one = await startGemsUpstream(settings);
    later(() => one.upstream.close());
    started.push(one);
  }
  const named = started.map((one, index) => [sourceNames[index] ?? '', one] as const);
  const larder = await (options.start ?? startLarder)({
    upstreamUrl: started[0]?.url ?? '',
    upstreams: Object.fromEntries(named.map(([name, { url }]) => [name, { url, ...impatient, ...options.upstream }])),
    repositories: {
      gems: {
        format: 'rubygems',
        sources: named.map(([remote], index) => ({ remote, ...options.source, ...options.sources?.[index] })),
        ...options.repository,
      },
    },
  });
  later(() => larder.close());

  const url = `${larder.url}/public/gems`;
  const asked = (path: string, settings?: AskOptions): Promise<Answer> => ask(`${url}${path}`, settings);
  const upstreamAt = (index: number): GemsUpstream => {
    const one = started[index];
    if (!one) throw new Error(`This scene has no ${sourceNames[index]}`);
    return one;
  };
  return {
    get first() {
      return upstreamAt(0);
    },
    get second() {
      return upstreamAt(1);
    },
    larder,
    url,
    ask: asked,
    get: (path, headers = {}) => asked(path, { headers }),
    head: (path, headers = {}) => asked(path, { method: 'HEAD', headers }),
    settled: (path) =>
      eventually(`${path} is settled`, async () => {
        const answer = await asked(path);
        return answer.headers['x-larder-cache'] === 'joined' ? undefined : answer;
      }),
    requests: () => named.flatMap(([name, one]) => one.log().map((request) => `${name} ${request}`)),
    forget() {
      for (const one of started) one.upstream.forget();
    },
  };
}
