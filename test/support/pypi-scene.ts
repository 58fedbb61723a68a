/** Python package indexes and a Larder that serves them as one, all gone when the test ends. */
import { onTestFinished } from 'vitest';
import { type Answer, type AskOptions, ask, type Headers } from './http.ts';
import { type Larder, startLarder } from './larder.ts';
import { type PyPiUpstream, type PyPiUpstreamOptions, startPyPiUpstream } from './pypi-upstream.ts';
import { eventually } from './wait.ts';

type Section = Readonly<Record<string, unknown>>;

export interface PyPiSceneOptions {
  /** One upstream each, `one`, `two`, … in this order. Default: one. */
  readonly upstreams?: readonly PyPiUpstreamOptions[];
  /** Further settings of every upstream. */
  readonly upstream?: Section;
  /** Further settings of every source. */
  readonly source?: Section;
  /** Further settings of a source each. */
  readonly sources?: readonly Section[];
  /** Further settings of the repository. */
  readonly repository?: Section;
}

export interface PyPiScene {
  readonly index: PyPiUpstream;
  readonly indexes: readonly PyPiUpstream[];
  readonly larder: Larder;
  ask(path: string, options?: AskOptions): Promise<Answer>;
  get(path: string, headers?: Headers): Promise<Answer>;
  head(path: string, headers?: Headers): Promise<Answer>;
  /** A project's page in JSON. */
  page(name: string): Promise<Answer>;
  /** Asks until nobody downloads it any more. */
  settled(path: string): Promise<Answer>;
}

/** Trouble shows at once: nothing is tried again, and nobody is left alone for a while. */
export const impatient = {
  format: 'pypi',
  timeoutMs: 2000,
  connectTimeout: '2s',
  retries: 0,
  breaker: { failures: 1000 },
};

const names = ['one', 'two', 'three'] as const;

export const jsonType = 'application/vnd.pypi.simple.v1+json';

export async function pypiScene(
  options: PyPiSceneOptions = {},
  later: (close: () => Promise<void>) => void = onTestFinished,
): Promise<PyPiScene> {
  const indexes: PyPiUpstream[] = [];
  for (const settings of options.upstreams ?? [{}]) {
    const one = await startPyPiUpstream(settings);
    later(() => one.close());
    indexes.push(one);
  }
  const [index] = indexes;
  if (!index) throw new Error('A scene has one upstream at least');
  const larder = await startLarder({
    upstreamUrl: index.url,
    upstreams: Object.fromEntries(
      indexes.map((one, at) => [
        names[at] ?? '',
        { url: one.url, hosts: [new URL(one.files.url).host], ...impatient, ...options.upstream },
      ]),
    ),
    repositories: {
      pypi: {
        format: 'pypi',
        sources: indexes.map((_, at) => ({ remote: names[at] ?? '', ...options.source, ...options.sources?.[at] })),
        ...options.repository,
      },
    },
  });
  later(() => larder.close());
  const asked = (path: string, settings?: AskOptions): Promise<Answer> =>
    ask(`${larder.url}/public/pypi${path}`, settings);
  return {
    index,
    indexes,
    larder,
    ask: asked,
    get: (path, headers = {}) => asked(path, { headers }),
    head: (path, headers = {}) => asked(path, { method: 'HEAD', headers }),
    page: (name) => asked(`/simple/${name}/`, { headers: { accept: jsonType } }),
    settled: (path) =>
      eventually(`${path} is settled`, async () => {
        const answer = await asked(path);
        return answer.headers['x-larder-cache'] === 'joined' ? undefined : answer;
      }),
  };
}
