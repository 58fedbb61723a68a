/** The upstream that every server of the bench caches from: a process of its own, so that its work is not the measuring client's. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expectBody } from './probe.ts';
import type { Place } from './server.ts';

export interface Upstream {
  /** No trailing slash. Below it: `/files/…`, `/registry/…`, `/maven/…`, `/rubygems/…`, `/pypi/…`, `/nuget/…` and `/v2/…`. */
  readonly url: string;
  at(place: Place): string;
  /** Requests answered so far, or only those for the bytes of an image's layers and configurations, or for files of `cold-bodies.ts`. */
  count(of?: Counted): Promise<number>;
  /** The same once nobody has asked for a while: a server may be working for clients that have left. */
  finalCount(): Promise<number>;
  /** Lets the second half of a `/files/halves/…` body go. */
  release(id: string): void;
  stop(): Promise<void>;
}

export type Counted = 'requests' | 'layers' | 'files';

export type Order = { readonly ask: 'count'; readonly of: Counted } | { readonly ask: 'release'; readonly id: string };
export type Report = { readonly port: number } | { readonly count: number };

export interface Layer {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

/** Layers of the image that has the tag `1`. */
export async function layersOf(upstream: Upstream, name: string): Promise<readonly Layer[]> {
  const { body } = await expectBody(`${upstream.at('images')}/${name}/manifests/1`, {});
  const { layers } = JSON.parse(body.toString()) as { layers: readonly Layer[] };
  return layers;
}

/** @param copyFrom Base URL of the npm registry. @param copyTo Folder where copies of its answers are kept. */
export async function startUpstream(copyFrom: string, copyTo: string): Promise<Upstream> {
  const child = fork(fileURLToPath(new URL('upstream-process.ts', import.meta.url)), [copyTo], {
    env: { ...process.env, BENCH_COPY_FROM: copyFrom },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const started = await report(child);
  if (!('port' in started)) throw new Error('The upstream did not say its port.');
  const url = `http://127.0.0.1:${started.port}`;

  async function count(of: Counted = 'requests'): Promise<number> {
    child.send({ ask: 'count', of } satisfies Order);
    const answer = await report(child);
    return 'count' in answer ? answer.count : 0;
  }

  return {
    url,
    at: (place) => `${url}/${place === 'images' ? 'v2' : place}`,
    count,
    async finalCount() {
      for (let before = await count(); ; ) {
        await delay(200);
        const now = await count();
        if (now === before) return now;
        before = now;
      }
    },
    release: (id) => void child.send({ ask: 'release', id } satisfies Order),
    async stop() {
      if (child.exitCode !== null) return;
      child.kill();
      await once(child, 'exit');
    },
  };
}

async function report(child: ChildProcess): Promise<Report> {
  const over = new AbortController();
  const { signal } = over;
  try {
    const message = once(child, 'message', { signal }).then(([said]) => said as Report);
    const exit = once(child, 'exit', { signal }).then(() => {
      throw new Error('The upstream of the bench ended.');
    });
    return await Promise.race([message, exit]);
  } finally {
    over.abort();
  }
}
