/** Feeds and a Larder that serves them as one, all gone when the test ends. */
import { onTestFinished } from 'vitest';
import { type Answer, type AskOptions, ask } from './http.ts';
import { type Larder, type Settings, type spawnLarder, startLarder } from './larder.ts';
import { type NugetUpstream, type NugetUpstreamOptions, startNugetUpstream } from './nuget-upstream.ts';
import { eventually } from './wait.ts';

type Section = Readonly<Record<string, unknown>>;

/** Names of the upstreams, in the order of the sources. */
export const feedNames = ['first', 'second'] as const;

export interface NugetSceneOptions {
  /** One feed each. Default: one, and nothing in it. */
  readonly feeds?: readonly NugetUpstreamOptions[];
  /** Further settings of every upstream. */
  readonly upstream?: Section;
  /** Further settings of every source. */
  readonly source?: Section;
  /** Names that belong to the first feed alone. */
  readonly claims?: readonly string[];
}

export interface NugetScene {
  readonly first: NugetUpstream;
  /** Only there if asked for. */
  readonly second: NugetUpstream;
  readonly larder: Larder;
  /** The repository's URL. */
  readonly base: string;
  /** The service index's URL. */
  readonly source: string;
  get(path: string, options?: AskOptions): Promise<Answer>;
  json(path: string): Promise<unknown>;
  /** Asks until it comes from the store. */
  settled(path: string): Promise<Answer>;
  requests(): string[];
  forget(): void;
}

/** Trouble shows at once: nothing is tried again, and nobody is left alone for a while. */
const impatient = { format: 'nuget', timeoutMs: 2000, connectTimeout: '2s', retries: 0, breaker: { failures: 1000 } };

function settingsFor(feeds: readonly NugetUpstream[], options: NugetSceneOptions): Settings {
  const named = feeds.map((feed, at) => [feedNames[at] ?? '', feed] as const);
  return {
    upstreamUrl: feeds[0]?.url ?? '',
    upstreams: Object.fromEntries(
      named.map(([name, { url }]) => [name, { url, ...impatient, hosts: ['127.0.0.1'], ...options.upstream }]),
    ),
    repositories: {
      nuget: {
        format: 'nuget',
        sources: named.map(([name], at) => ({
          remote: name,
          ...options.source,
          ...(at === 0 && options.claims ? { claims: options.claims } : {}),
        })),
      },
    },
  };
}

/** Larder in the test's own process, or as a process. */
export async function nugetScene(
  options: NugetSceneOptions = {},
  start: typeof startLarder | typeof spawnLarder = startLarder,
): Promise<NugetScene> {
  const feeds: NugetUpstream[] = [];
  for (const settings of options.feeds ?? [{}]) {
    const feed = await startNugetUpstream(settings);
    onTestFinished(() => feed.close());
    feeds.push(feed);
  }
  const larder = await start(settingsFor(feeds, options));
  onTestFinished(() => larder.close());
  const [first, second] = feeds;
  if (!first) throw new Error('a scene has a feed');
  const base = `${larder.url}/public/nuget`;
  const get = (path: string, asked?: AskOptions): Promise<Answer> => ask(`${base}${path}`, asked);
  return {
    first,
    get second() {
      if (!second) throw new Error('the scene has one feed');
      return second;
    },
    larder,
    base,
    source: `${base}/v3/index.json`,
    get,
    json: async (path) => (await get(path)).json(),
    settled: (path) =>
      eventually(`${path} is stored`, async () => {
        const answer = await get(path);
        return ['miss', 'joined'].includes(String(answer.headers['x-larder-cache'])) ? undefined : answer;
      }),
    requests: () => feeds.flatMap((feed, at) => feed.requests().map((one) => `${feedNames[at]} ${one}`)),
    forget() {
      for (const feed of feeds) feed.forget();
    },
  };
}
