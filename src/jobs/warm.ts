/**
 * Asks a server for everything that lockfiles name, as their clients will: over HTTP and through the repositories, so that rights,
 * limits, mapping and checks are those of any client. What is stored is answered at once, so a run that was broken off is simply run again.
 */
import { createHash } from 'node:crypto';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { type Algorithm, algorithmOf, type Digest, parseDigest } from '../core/digest.ts';
import type { WarmStep } from '../core/warm.ts';

/** One thing that is wanted, and the repository it is to come from. */
export interface WarmTask {
  /** For people: `left-pad 1.3.0`. */
  readonly what: string;
  /** Where it is named: `package-lock.json: node_modules/left-pad`. */
  readonly from: string;
  /** `ORG/NAME`. */
  readonly repository: string;
  /** Absolute address below which its paths are, no trailing slash. */
  readonly base: string;
  /** Added to every path: `ns=docker.io`. */
  readonly query?: string;
  /** Nothing fails without it. */
  readonly optional?: boolean;
  /** Throws an Error on what can't be asked for. */
  readonly steps: () => Iterable<WarmStep>;
}

export interface WarmOptions {
  readonly token?: string | undefined;
  readonly userAgent: string;
  /** Requests at a time. */
  readonly concurrency: number;
  /** Nothing is fetched: only what is stored is answered (RFC 9111, 5.2.1.7). */
  readonly onlyStored?: boolean;
  /** Also what only clients ask for that resolve anew. */
  readonly further?: boolean;
  /** Requests done, and known so far. */
  readonly tell?: (done: number, total: number) => void;
}

/** `got`: something of it had to be fetched; `there`: nothing had. */
export type WarmOutcome = 'got' | 'there' | 'failed';

export interface WarmFailure {
  /** Raw, below the repository. */
  readonly path?: string;
  readonly why: string;
}

export interface WarmedTask {
  readonly task: WarmTask;
  readonly outcome: WarmOutcome;
  readonly failures: readonly WarmFailure[];
}

export interface Warmed {
  readonly tasks: readonly WarmedTask[];
  readonly requests: number;
  /** Of bodies that were fetched from upstream for it, and of those that were there. */
  readonly bytes: { readonly got: number; readonly there: number };
}

interface TaskState {
  readonly task: WarmTask;
  readonly failures: WarmFailure[];
  hasGot: boolean;
}

type Read = NonNullable<WarmStep['read']>;

/** Why one task makes a request, and what it makes of the answer. */
interface Use {
  optional: boolean;
  readonly read?: Read | undefined;
}

/** One request, whoever it is made for. */
interface Job {
  readonly task: WarmTask;
  readonly step: WarmStep;
  readonly uses: Map<TaskState, Use>;
  /** Most that anybody reads of it, in bytes. */
  limit: number | undefined;
  result?: Result;
}

type Result =
  | { readonly ok: true; readonly isNew: boolean; readonly bytes: number; readonly body?: Buffer | undefined }
  | { readonly ok: false; readonly why: string };

/** Answers up to this size are kept for tasks that come to want them later: poms that many have for parent. */
const keptBytes = 256 * 1024;

/** What upstream had to be asked for the bytes of. */
const fetched = new Set(['miss', 'joined']);

/** Tries of one request, where waiting helps. */
const tries = 6;
const longestWaitMs = 15_000;
/** Without a byte. Larder itself gives upstream up long before. */
const idleMs = 10 * 60_000;
const messageBytes = 64 * 1024;
/** What is stored with the right digest and longer than this is not read once more: a new connection costs less. */
const worthReading = 256 * 1024;

/** Rejects only on mistakes of ours: whatever happens to a request is told in the result. */
export async function warm(tasks: readonly WarmTask[], options: WarmOptions): Promise<Warmed> {
  const agents = {
    'http:': new http.Agent({ keepAlive: true, maxSockets: options.concurrency }),
    'https:': new https.Agent({ keepAlive: true, maxSockets: options.concurrency }),
  };
  const jobs = new Map<string, Job>();
  const queue: Job[] = [];
  const states: TaskState[] = [];
  const bytes = { got: 0, there: 0 };
  const line: Line = { agents, isDown: false };
  let done = 0;
  let total = 0;

  function jobFor(state: TaskState, step: WarmStep): Job {
    const { task } = state;
    const key = JSON.stringify([task.base, task.query, step.path, step.headers ?? {}, step.digests ?? []]);
    const known = jobs.get(key);
    const isSpent = known?.result?.ok === true && step.read && !known.result.body && !known.uses.has(state);
    if (known && !isSpent) return known;
    const job: Job = { task, step, uses: new Map(), limit: undefined };
    jobs.set(key, job);
    queue.push(job);
    total++;
    return job;
  }

  function use(state: TaskState, step: WarmStep): void {
    if (step.further && !options.further) return;
    const job = jobFor(state, step);
    const optional = step.optional === true;
    const before = job.uses.get(state);
    if (before) {
      if (!before.optional || optional) return;
      before.optional = false;
      if (job.result?.ok === false) state.failures.push({ path: step.path, why: job.result.why });
      return;
    }
    const one: Use = { optional, read: step.read };
    job.uses.set(state, one);
    if (step.read) job.limit = Math.max(job.limit ?? 0, step.read.limit);
    if (job.result) settle(job, job.result, state, one);
  }

  function settle({ step }: Job, result: Result, state: TaskState, { optional, read }: Use): void {
    if (!result.ok) {
      if (!optional) state.failures.push({ path: step.path, why: result.why });
      return;
    }
    if (result.isNew) state.hasGot = true;
    if (!read || !result.body) return;
    try {
      for (const next of [...read.next(result.body)]) use(state, next);
    } catch (error) {
      // A stored page may be older than the lockfile: it is looked at once more as it is now.
      if (!result.isNew && !options.onlyStored && step.headers?.[refresh] === undefined) {
        use(state, { ...step, read, headers: { ...step.headers, [refresh]: '1' }, optional });
      } else if (!optional) state.failures.push({ path: step.path, why: messageOf(error) });
    }
  }

  function finish(job: Job, result: Result): void {
    job.result = result;
    done++;
    if (result.ok) bytes[result.isNew ? 'got' : 'there'] += result.bytes;
    for (const [state, one] of job.uses) settle(job, result, state, one);
    if (!result.ok || !result.body || result.body.byteLength <= keptBytes) return;
    const { body: _, ...rest } = result;
    job.result = rest;
  }

  for (const task of tasks) {
    const state: TaskState = { task, failures: [], hasGot: false };
    states.push(state);
    try {
      for (const step of [...task.steps()]) use(state, step);
    } catch (error) {
      state.failures.push({ why: messageOf(error) });
    }
  }
  queue.reverse();

  /** Whatever is done may be the beginning of more. */
  function workAll(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let running = 0;
    const proceed = (): void => {
      while (running < options.concurrency) {
        const job = queue.pop();
        if (!job) break;
        running++;
        perform(job, options, line)
          .then((result) => {
            finish(job, result);
            options.tell?.(done, total);
            running--;
            proceed();
          })
          .catch(reject);
      }
      if (running === 0) resolve();
    };
    proceed();
    return promise;
  }

  try {
    await workAll();
  } finally {
    for (const agent of Object.values(agents)) agent.destroy();
  }
  return {
    tasks: states.map(({ task, failures, hasGot }) => ({
      task,
      failures,
      outcome: failures.length > 0 ? 'failed' : hasGot ? 'got' : 'there',
    })),
    requests: total,
    bytes,
  };
}

type Agents = Readonly<Record<'http:' | 'https:', http.Agent>>;

/** What all requests of a run share. */
interface Line {
  readonly agents: Agents;
  /** Somebody has waited as long as anybody does, and in vain: the others need not until something comes again. */
  isDown: boolean;
}

async function perform(job: Job, options: WarmOptions, line: Line): Promise<Result> {
  const { step, task } = job;
  const url = `${task.base}/${step.path.replace(/^\//, '')}${queryFor(step.path, task.query)}`;
  for (let attempt = 1; ; attempt++) {
    let reply: Reply;
    try {
      reply = await fetchOnce(url, job, options, line.agents);
    } catch (error) {
      if (attempt >= 3) return { ok: false, why: messageOf(error) };
      await delay(200 * attempt);
      continue;
    }
    if (reply.waitMs !== undefined && attempt < tries && !line.isDown) {
      await delay(Math.min(reply.waitMs, longestWaitMs));
      continue;
    }
    line.isDown = reply.waitMs !== undefined;
    const { why, isNew, bytes, body } = reply;
    return why === undefined ? { ok: true, isNew, bytes, body } : { ok: false, why };
  }
}

/** Asks for the newest there is; heard only of who asks in the background. */
const refresh = 'x-larder-refresh';

const queryFor = (path: string, query: string | undefined): string =>
  query === undefined ? '' : `${path.includes('?') ? '&' : '?'}${query}`;

interface Reply {
  readonly isNew: boolean;
  readonly bytes: number;
  /** Of what is read. */
  readonly body?: Buffer;
  /** What is wrong with it. */
  readonly why?: string;
  /** It may be worth asking again after this time. */
  readonly waitMs?: number;
}

async function fetchOnce(url: string, job: Job, options: WarmOptions, agents: Agents): Promise<Reply> {
  const isRead = job.limit !== undefined;
  const told = isRead ? undefined : await headersOf(url, job.step, options, agents);
  return told ?? (await bytesOf(url, job, options, agents));
}

/** What headers alone tell: of stored bytes the server knows the digest, and documents are stored before they are answered. */
async function headersOf(
  url: string,
  step: WarmStep,
  options: WarmOptions,
  agents: Agents,
): Promise<Reply | undefined> {
  if (!options.onlyStored && !step.headersOnly) return undefined;
  const response = await send('HEAD', url, step, options, agents);
  response.resume();
  // Only a body says why.
  if (response.statusCode !== 200) return undefined;
  const isNew = fetched.has(String(response.headers['x-larder-cache']));
  if (!options.onlyStored) return { isNew, bytes: 0 };
  const bytes = Number(response.headers['content-length'] ?? 0);
  const digests = strongestOf(step.digests ?? []);
  if (digests.length === 0) return { isNew, bytes };
  const told = digestIn(response);
  if (!told || !digests.some((one) => algorithmOf(one) === algorithmOf(told))) return undefined;
  return { isNew, bytes, ...(digests.includes(told) ? {} : { why: mismatch(told, digests) }) };
}

async function bytesOf(url: string, { step, limit }: Job, options: WarmOptions, agents: Agents): Promise<Reply> {
  const response = await send('GET', url, step, options, agents);
  if (response.statusCode !== 200) return await refusal(response);
  const digests = strongestOf(step.digests ?? []);
  const outcome = String(response.headers['x-larder-cache'] ?? '');
  const length = Number(response.headers['content-length'] ?? 0);
  const told = digestIn(response);
  const isRight = digests.length === 0 || (told !== undefined && digests.includes(told));
  if (limit === undefined && outcome === 'hit' && length > worthReading && isRight) {
    response.destroy();
    return { isNew: false, bytes: length };
  }
  const hash = digests[0] === undefined ? undefined : createHash(algorithmOf(digests[0]));
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.byteLength;
    hash?.update(piece);
    if (limit === undefined) continue;
    if (bytes > limit) {
      response.destroy();
      return { isNew: false, bytes, why: `it is longer than the ${limit} bytes that are read of such a thing` };
    }
    pieces.push(piece);
  }
  const actual = hash && digests[0] && (`${algorithmOf(digests[0])}:${hash.digest('hex')}` as Digest);
  const why = actual && !digests.includes(actual) ? mismatch(actual, digests) : undefined;
  return {
    isNew: fetched.has(outcome),
    bytes,
    ...(limit === undefined ? {} : { body: Buffer.concat(pieces) }),
    ...(why === undefined ? {} : { why }),
  };
}

function send(
  method: 'GET' | 'HEAD',
  url: string,
  step: WarmStep,
  options: WarmOptions,
  agents: Agents,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const isSecure = url.startsWith('https:');
  const request = (isSecure ? https : http).request(url, {
    method,
    agent: agents[isSecure ? 'https:' : 'http:'],
    headers: {
      'user-agent': options.userAgent,
      'x-larder-priority': 'background',
      ...step.headers,
      ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
      ...(options.onlyStored ? { 'cache-control': 'only-if-cached' } : {}),
    },
  });
  request.setTimeout(idleMs, () => request.destroy(new Error(`nothing came for ${idleMs / 60_000} minutes`)));
  request.once('response', resolve);
  request.once('error', reject);
  request.end();
  return promise;
}

async function refusal(response: IncomingMessage): Promise<Reply> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    if (bytes < messageBytes) pieces.push(piece);
    bytes += piece.byteLength;
  }
  const { statusCode = 0, headers } = response;
  const why = `${statusCode} ${messageIn(Buffer.concat(pieces).toString('utf8'))}`.trimEnd();
  const isPassing = statusCode === 503 || statusCode === 429;
  const seconds = Number(headers['retry-after'] ?? 1);
  return { isNew: false, bytes: 0, why, ...(isPassing ? { waitMs: seconds >= 0 ? seconds * 1000 : 1000 } : {}) };
}

/** Every format has its own way to say what is wrong. */
function messageIn(text: string): string {
  try {
    const json = JSON.parse(text) as {
      error?: unknown;
      detail?: unknown;
      errors?: readonly { readonly message?: unknown }[];
    };
    for (const said of [json.error, json.detail, json.errors?.[0]?.message]) if (typeof said === 'string') return said;
  } catch {
    // Text, then.
  }
  return (text.trim().split('\n', 1)[0] ?? '').slice(0, 500);
}

const strength: readonly Algorithm[] = ['sha512', 'sha256', 'sha1', 'md5'];

/** Of digests in several algorithms those in the strongest count, as in W3C Subresource Integrity. */
function strongestOf(digests: readonly Digest[]): readonly Digest[] {
  const best = strength.find((algorithm) => digests.some((one) => algorithmOf(one) === algorithm));
  return digests.filter((one) => algorithmOf(one) === best);
}

/** What Larder says of stored bytes without sending them. */
function digestIn({ headers }: IncomingMessage): Digest | undefined {
  const [, algorithm, hex] = /^"(\w+)[-:]([0-9a-f]+)"$/.exec(headers.etag ?? '') ?? [];
  return parseDigest(`${algorithm}:${hex}`);
}

function mismatch(actual: Digest, wanted: readonly Digest[]): string {
  return `its digest is ${actual}, and the lockfile says ${wanted.join(' or ')}`;
}

/** Of a failed connection Node says sometimes only the code. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || String((error as NodeJS.ErrnoException).code);
}
