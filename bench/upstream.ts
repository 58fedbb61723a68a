/** The upstream that every server of the bench caches from: a process of its own, so that its work is not the measuring client's. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface Upstream {
  /** No trailing slash. Below it: `/files/…` and `/registry/…`. */
  readonly url: string;
  /** Requests answered so far. */
  count(): Promise<number>;
  /** Lets the second half of a `/files/halves/…` body go. */
  release(id: string): void;
  stop(): Promise<void>;
}

export type Order = { readonly ask: 'count' } | { readonly ask: 'release'; readonly id: string };
export type Report = { readonly port: number } | { readonly count: number };

/** @param copyFrom Base URL of the npm registry. @param copyTo Folder where copies of its answers are kept. */
export async function startUpstream(copyFrom: string, copyTo: string): Promise<Upstream> {
  const child = fork(fileURLToPath(new URL('upstream-process.ts', import.meta.url)), [copyTo], {
    env: { ...process.env, BENCH_COPY_FROM: copyFrom },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const started = await report(child);
  if (!('port' in started)) throw new Error('The upstream did not say its port.');
  const url = `http://127.0.0.1:${started.port}`;
  return {
    url,
    async count() {
      child.send({ ask: 'count' } satisfies Order);
      const answer = await report(child);
      return 'count' in answer ? answer.count : 0;
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
