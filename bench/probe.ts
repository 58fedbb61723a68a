/** One request, looked at closely: what is measured afterwards must be the right thing. */
import { createHash } from 'node:crypto';
import { type Agent, get, type IncomingHttpHeaders } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

export interface Probe {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Length of status line and headers as they came over the wire. */
  readonly headBytes: number;
  readonly body: Buffer;
  /** From sending the request to the first and the last byte of the body. */
  readonly firstByteMs: number;
  readonly totalMs: number;
}

export interface ProbeOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
  /** Takes the body instead of having it kept. */
  readonly onData?: (chunk: Buffer) => void;
  /** Called when the first bytes of the body are here. */
  readonly onFirstByte?: () => void;
  readonly timeoutMs?: number;
}

export function probe(url: string, options: ProbeOptions = {}): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const settings = { headers: options.headers ?? {}, ...(options.agent ? { agent: options.agent } : {}) };
    const request = get(url, settings, (response) => {
      const chunks: Buffer[] = [];
      const take = options.onData ?? ((chunk: Buffer) => void chunks.push(chunk));
      let firstByteMs = 0;
      response.once('data', () => {
        firstByteMs = performance.now() - startedAt;
        options.onFirstByte?.();
      });
      response.on('data', take);
      response.on('error', reject);
      response.on('end', () => {
        const totalMs = performance.now() - startedAt;
        const { rawHeaders, statusCode: status = 0, statusMessage = '', headers } = response;
        const lines = rawHeaders.reduce((sum, text) => sum + text.length + 2, 0);
        const headBytes = `HTTP/1.1 ${status} ${statusMessage}\r\n\r\n`.length + lines;
        resolve({ status, headers, headBytes, body: Buffer.concat(chunks), firstByteMs, totalMs });
      });
    });
    request.on('error', reject);
    request.setTimeout(options.timeoutMs ?? 60_000, () => request.destroy(new Error(`${url} does not go on.`)));
  });
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The same request again, checked: 200, the right length, and the right bytes where they are known. */
export async function expectBody(
  url: string,
  want: { readonly length?: number; readonly sha256?: string },
  options: ProbeOptions = {},
): Promise<Probe> {
  const got = await probe(url, options);
  if (got.status !== 200) throw new Error(`${url} answered ${got.status}: ${got.body.toString('utf8', 0, 300)}`);
  if (want.length !== undefined && got.body.length !== want.length) {
    throw new Error(`${url} sent ${got.body.length} bytes instead of ${want.length}.`);
  }
  if (want.sha256 !== undefined && sha256(got.body) !== want.sha256) throw new Error(`${url} sent wrong bytes.`);
  return got;
}

/** The same once it is stored: while that is still under way, Larder knows fewer digests to tell in headers. */
export async function expectStored(
  url: string,
  want: Parameters<typeof expectBody>[1],
  options: ProbeOptions = {},
): Promise<Probe> {
  for (let n = 0; n < 200; n++) {
    const got = await expectBody(url, want, options);
    const state = got.headers['x-larder-cache'];
    if (state !== 'miss' && state !== 'joined') return got;
    await delay(50);
  }
  throw new Error(`${url} is never stored.`);
}

/** A body too long to be kept, checked against the digest under which it was asked for. */
export async function expectLayer(url: string, digest: string, agent?: Agent): Promise<Probe> {
  const hash = createHash('sha256');
  const got = await probe(url, { ...(agent ? { agent } : {}), onData: (chunk) => void hash.update(chunk) });
  if (got.status !== 200) throw new Error(`${url} answered ${got.status}.`);
  if (`sha256:${hash.digest('hex')}` !== digest) throw new Error(`${url} sent wrong bytes.`);
  return got;
}
