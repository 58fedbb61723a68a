/** Many clients at once, in a process of their own so that they take no time from the server under test. */
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { randomFrom } from './bytes.ts';

export interface CrowdOptions {
  readonly url: string;
  readonly clients: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** So many of them leave after a random part of the body. */
  readonly leaving?: number;
  /** Of the whole body; places of leaving are drawn below it. */
  readonly sizeBytes?: number;
  readonly seed?: number;
}

export interface CrowdMember {
  readonly status: number;
  readonly complete: boolean;
  readonly left: boolean;
  readonly bytes: number;
  readonly sha256: string;
  readonly cache: string;
}

/** Resolves when every client has its answer or has left. */
export function crowd(options: CrowdOptions): Promise<readonly CrowdMember[]> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), { execArgv: [], serialization: 'json' });
    child.once('message', (members) => {
      resolve(members as CrowdMember[]);
      child.disconnect();
    });
    child.once('exit', (code) => reject(new Error(`The crowd ended with ${code} and no result`)));
    child.send(options);
  });
}

function member(options: CrowdOptions, leaveAfter: number | undefined): Promise<CrowdMember> {
  return new Promise((resolve) => {
    const hash = createHash('sha256');
    let bytes = 0;
    let left = false;
    const outgoing = request(options.url, { agent: false, headers: { ...options.headers } });
    const fail = (): void => resolve({ status: 0, complete: false, left, bytes, sha256: '', cache: '' });
    outgoing.on('error', fail);
    outgoing.on('response', (incoming) => {
      incoming.on('data', (chunk: Buffer) => {
        if (left) return;
        hash.update(chunk);
        bytes += chunk.length;
        if (leaveAfter === undefined || bytes < leaveAfter) return;
        left = true;
        outgoing.destroy();
      });
      incoming.on('error', () => {});
      incoming.on('close', () =>
        resolve({
          status: incoming.statusCode ?? 0,
          complete: incoming.complete,
          left,
          bytes,
          sha256: hash.digest('hex'),
          cache: String(incoming.headers['x-larder-cache']),
        }),
      );
    });
    outgoing.end();
  });
}

async function run(options: CrowdOptions): Promise<CrowdMember[]> {
  const random = randomFrom(options.seed ?? 1);
  const size = options.sizeBytes ?? 0;
  return await Promise.all(
    Array.from({ length: options.clients }, (_, index) =>
      member(options, index < (options.leaving ?? 0) ? Math.floor(random() * size * 0.95) : undefined),
    ),
  );
}

if (import.meta.main && process.send) {
  process.once('message', (options) => {
    void run(options as CrowdOptions).then((members) => process.send?.(members));
  });
}
