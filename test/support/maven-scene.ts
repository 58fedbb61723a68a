/** Maven repositories and a Larder that serves them as one, all gone when the test ends. */
import { onTestFinished } from 'vitest';
import { type Answer, type AskOptions, ask, type Headers } from './http.ts';
import { type Larder, startLarder } from './larder.ts';
import { type MavenUpstream, type MavenUpstreamOptions, startMavenUpstream } from './maven-upstream.ts';
import { eventually } from './wait.ts';

type Section = Readonly<Record<string, unknown>>;

/** Names of the upstreams, in the order in which they are asked. */
export const sourceNames = ['central', 'portal', 'corporate'] as const;

export interface MavenSceneOptions {
  /** One upstream each. Default: one, with Maven's usual checksums. */
  readonly upstreams?: readonly MavenUpstreamOptions[];
  /** Further settings of every upstream. */
  readonly upstream?: Section;
  /** Further settings of every source. */
  readonly source?: Section;
  /** Further settings of the repository. */
  readonly repository?: Section;
}

export interface MavenScene {
  readonly central: MavenUpstream;
  /** Only there if asked for. */
  readonly portal: MavenUpstream;
  readonly corporate: MavenUpstream;
  readonly larder: Larder;
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
const impatient = { format: 'maven', timeoutMs: 2000, connectTimeout: '2s', retries: 0, breaker: { failures: 1000 } };

/** Of tests that run at the same time each says for itself when it is over. */
export async function mavenScene(
  options: MavenSceneOptions = {},
  later: (close: () => Promise<void>) => void = onTestFinished,
): Promise<MavenScene> {
  const started: MavenUpstream[] = [];
  for (const settings of options.upstreams ?? [{}]) {
    const one = await startMavenUpstream(settings);
    later(() => one.upstream.close());
    started.push(one);
  }
  const named = started.map((one, index) => [sourceNames[index] ?? '', one] as const);
  const larder = await startLarder({
    upstreamUrl: started[0]?.url ?? '',
    upstreams: Object.fromEntries(named.map(([name, { url }]) => [name, { url, ...impatient, ...options.upstream }])),
    repositories: {
      maven: {
        format: 'maven',
        sources: named.map(([remote]) => ({ remote, ...options.source })),
        ...options.repository,
      },
    },
  });
  later(() => larder.close());

  const asked = (path: string, settings?: AskOptions): Promise<Answer> =>
    ask(`${larder.url}/public/maven${path}`, settings);
  const upstreamAt = (index: number): MavenUpstream => {
    const one = started[index];
    if (!one) throw new Error(`This scene has no ${sourceNames[index]}`);
    return one;
  };
  return {
    get central() {
      return upstreamAt(0);
    },
    get portal() {
      return upstreamAt(1);
    },
    get corporate() {
      return upstreamAt(2);
    },
    larder,
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
