/** Refreshes what is used before anybody asks for it again, and fetches the newest version of packages that are used; after all clients. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import { type Outcome, publish } from '../core/events.ts';
import type { Artifact, Call, Document, Intent } from '../core/format.ts';
import { isTrouble, Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';
import type { Asking } from '../core/source.ts';
import type { WarmStep } from '../core/warm.ts';
import { answerArtifact, holderOf } from '../pipeline/artifact.ts';
import { answerDocument, type DocumentContext, gather } from '../pipeline/document.ts';
import type { NoteUse } from '../pipeline/recording.ts';
import type { Facts } from '../store/store.ts';

export interface KeepWarmOptions {
  readonly facts: Facts<unknown>;
  readonly repositories: () => Iterable<Repository>;
  /** `undefined`: it is not kept warm. */
  readonly settings: (repository: string) => KeepWarmSettings | undefined;
  readonly documents: DocumentContext & {
    readonly optionsOf: (repository: Repository) => Readonly<Record<string, unknown>>;
  };
  /** Public URL of the server, no trailing slash. */
  readonly origin: () => string;
  readonly now: () => number;
  /** How often it is looked whether something is due. */
  readonly lookEveryMs?: number;
}

export interface KeepWarmSettings {
  readonly everyMs: number;
  readonly usedWithinMs: number;
}

export interface KeptWarm {
  readonly running: boolean;
  /** ISO 8601. */
  readonly startedAt?: string;
  readonly endedAt?: string;
  /** Refreshed. */
  readonly documents: number;
  /** Newest versions that were not here. */
  readonly artifacts: number;
  readonly failed: number;
}

export interface KeepWarmJobs {
  readonly note: NoteUse;
  state(repository: string): KeptWarm | undefined;
  run(repository: string): KeptWarm | undefined;
  /** Begins what is due; resolves when nothing is under way. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/** What was asked for, so that it can be asked for again. */
interface Used {
  readonly repository: string;
  readonly path: string;
  readonly accept?: string;
  /** Of a file that never changes: the package whose newest version is fetched, and what the names of its files have to look like. */
  readonly name?: string;
  readonly shape?: string;
  readonly usedAt: number;
}

interface Run {
  readonly startedAt: number;
  endedAt?: number;
  documents: number;
  artifacts: number;
  failed: number;
}

/** Use is noted at most so often for each thing. */
const noteEveryMs = 3_600_000;
const mostUsed = 50_000;
const longestPath = 2_000;
const atOnce = 4;
const usualLookMs = 60_000;
/** Of one package, those included that are for other platforms and are not taken. */
const mostStepsEach = 2_000;

export function createKeepWarm(options: KeepWarmOptions): KeepWarmJobs {
  const { facts, now, settings } = options;
  const noted = new LRUCache<string, number>({ max: mostUsed });
  const runs = new Map<string, Run>();
  const running = new Map<string, Promise<void>>();
  let closed = false;

  const note: NoteUse = (repository, request, intent) => {
    const within = settings(repository.id)?.usedWithinMs;
    // Whoever says that it is in no hurry fetches ahead, which is no use.
    const isAhead = request.headers['x-larder-priority'] !== undefined;
    const used = within === undefined || isAhead ? undefined : usedBy(repository.id, request, intent, now());
    if (!used || within === undefined) return;
    const key = JSON.stringify([used.repository, used.path, used.accept, used.name, used.shape]);
    const before = noted.get(key);
    if (before !== undefined && used.usedAt - before < noteEveryMs) return;
    noted.set(key, used.usedAt);
    facts.set(`used ${createHash('sha256').update(key).digest('hex')}`, used, within);
  };

  async function usedIn(repository: string, withinMs: number): Promise<readonly Used[]> {
    const found: Used[] = [];
    for await (const [key, value] of facts.entries()) {
      const used = value as Used;
      if (!key.startsWith('used ') || used.repository !== repository) continue;
      if (now() - used.usedAt < withinMs) found.push(used);
    }
    // What was used last is refreshed first.
    return found.sort((one, other) => other.usedAt - one.usedAt).slice(0, mostUsed);
  }

  async function keepWarm(repository: Repository, { usedWithinMs }: KeepWarmSettings, run: Run): Promise<void> {
    const queue = new PQueue({ concurrency: atOnce });
    const attempt = (work: () => Promise<void>): void => {
      void queue.add(async () => {
        if (closed) return;
        try {
          await work();
        } catch (error) {
          if (error instanceof Problem && error.code === 'offline') return;
          if (!isTrouble(error)) publish('fault', { where: `keeping ${repository.id} warm`, error });
          run.failed++;
        }
      });
    };
    const used = await usedIn(repository.id, usedWithinMs);
    const refreshed = new Set<string>();
    for (const { path, accept, name } of used) {
      if (name !== undefined) continue;
      const intent = intentOf(repository, path, accept);
      if (intent?.kind !== 'document' && intent?.kind !== 'artifact') continue;
      // What clients ask for in several ways is one thing to upstream.
      const key = formOf(intent);
      if (refreshed.has(key)) continue;
      refreshed.add(key);
      attempt(() => refresh(repository, intent, run));
    }
    await queue.onIdle();
    const shapes = new Map<string, Set<string>>();
    for (const { name, shape } of used) {
      if (name === undefined || shape === undefined) continue;
      shapes.set(name, (shapes.get(name) ?? new Set()).add(shape));
    }
    for (const [name, own] of shapes) attempt(() => fetchNewest(repository, name, own, run));
    await queue.onIdle();
  }

  const asking = ({ org }: Repository): Asking => ({ requestId: 'keep-warm', priority: 'background', org });

  async function refresh(repository: Repository, want: Document | Artifact, run: Run): Promise<void> {
    const fresh: Asking = { ...asking(repository), fresh: 'revalidate' };
    const outcomes =
      want.kind === 'document'
        ? (await gather(repository, want, fresh)).found.map(({ outcome }) => outcome)
        : [await take(repository, want, fresh)];
    // An old copy stands in for an upstream in trouble.
    if (outcomes.includes('stale')) run.failed++;
    else if (outcomes.some((outcome) => outcome !== 'offline')) run.documents++;
  }

  /** Reads to the end what is not here yet: only then is it stored. */
  async function take(repository: Repository, want: Artifact, how: Asking): Promise<Outcome> {
    const { body, outcome } = await answerArtifact(repository, want, how, now);
    if (body.kind !== 'artifact') return outcome;
    const { artifact } = body;
    try {
      if (artifact.readInto) return outcome;
      for await (const _ of artifact.read());
      await artifact.landed;
      return outcome;
    } finally {
      artifact.close();
    }
  }

  /** As its clients would that have no version of it in a lockfile; of its files those that look like the ones that were used. */
  async function fetchNewest(
    repository: Repository,
    name: string,
    shapes: ReadonlySet<string>,
    run: Run,
  ): Promise<void> {
    const { format } = repository;
    const steps = stepsOf(() => format.warm?.({ format: format.id, name, digests: [], from: 'keep-warm' }) ?? []);
    for (let taken = 0; taken < mostStepsEach; taken++) {
      const step = steps.shift();
      if (!step || closed) return;
      try {
        steps.push(...(await follow(repository, step, shapes, run)));
      } catch (error) {
        if (!step.optional) throw error;
      }
    }
  }

  async function follow(
    repository: Repository,
    { path, headers, read }: WarmStep,
    shapes: ReadonlySet<string>,
    run: Run,
  ): Promise<readonly WarmStep[]> {
    const intent = intentOf(repository, path.startsWith('/') ? path : `/${path}`, headers?.accept);
    if (intent?.kind === 'artifact') {
      if (!shapes.has(shapeOf(intent) ?? '') || (await holderOf(repository, intent))) return [];
      await take(repository, intent, asking(repository));
      run.artifacts++;
      return [];
    }
    if (intent?.kind !== 'document' || !read) return [];
    const bytes = await bytesOf(repository, intent);
    return bytes && bytes.byteLength <= read.limit ? stepsOf(() => read.next(bytes)) : [];
  }

  async function bytesOf(repository: Repository, want: Document): Promise<Uint8Array | undefined> {
    const { body } = await answerDocument(options.documents, {
      repository,
      options: options.documents.optionsOf(repository),
      want,
      base: baseOf(repository),
      coding: 'identity',
      asking: asking(repository),
    });
    return body.kind === 'bytes' ? body.bytes : undefined;
  }

  const baseOf = ({ id, format }: Repository): string =>
    `${options.origin()}/${format.root === undefined ? id : `${format.root}/${id}`}`;

  function intentOf(repository: Repository, path: string, accept: string | undefined): Intent | undefined {
    const [rawPath = '/', query = ''] = path.split(/\?(.*)/s);
    const found = repository.router.find('GET', rawPath, (route, params): Intent | undefined => {
      const call: Call = {
        method: 'GET',
        params,
        query: new URLSearchParams(query),
        headers: { accept },
        base: baseOf(repository),
      };
      return route.intent(call);
    });
    return found && !('allow' in found) ? found : undefined;
  }

  function begin(repository: Repository, chosen: KeepWarmSettings): void {
    if (closed || running.has(repository.id)) return;
    const run: Run = { startedAt: now(), documents: 0, artifacts: 0, failed: 0 };
    runs.set(repository.id, run);
    facts.set(`run ${repository.id}`, run.startedAt);
    const done = keepWarm(repository, chosen, run)
      .catch((error: unknown) => publish('fault', { where: `keeping ${repository.id} warm`, error }))
      .finally(() => {
        run.endedAt = now();
        running.delete(repository.id);
        const { documents, artifacts, failed, startedAt } = run;
        publish('keep-warm', {
          repository: repository.id,
          documents,
          artifacts,
          failed,
          durationMs: run.endedAt - startedAt,
        });
      });
    running.set(repository.id, done);
  }

  async function look(): Promise<void> {
    for (const repository of options.repositories()) {
      const chosen = settings(repository.id);
      if (!chosen) continue;
      const key = `run ${repository.id}`;
      const last = await facts.get(key);
      // Nothing is used yet when it is seen for the first time.
      if (typeof last !== 'number') facts.set(key, now());
      else if (now() - last >= chosen.everyMs) begin(repository, chosen);
    }
    await Promise.all(running.values());
  }

  const timer = setInterval(() => {
    look().catch((error: unknown) => publish('fault', { where: 'keeping warm', error }));
  }, options.lookEveryMs ?? usualLookMs);
  timer.unref();

  function state(id: string): KeptWarm | undefined {
    if (!settings(id)) return undefined;
    const run = runs.get(id);
    if (!run) return { running: false, documents: 0, artifacts: 0, failed: 0 };
    const { startedAt, endedAt, ...counts } = run;
    return {
      running: running.has(id),
      startedAt: new Date(startedAt).toISOString(),
      ...(endedAt === undefined ? {} : { endedAt: new Date(endedAt).toISOString() }),
      ...counts,
    };
  }

  return {
    note,
    state,
    run(id) {
      const chosen = settings(id);
      const repository = [...options.repositories()].find((one) => one.id === id);
      if (chosen && repository) begin(repository, chosen);
      return state(id);
    },
    look,
    async close() {
      closed = true;
      clearInterval(timer);
      await Promise.all(running.values());
    },
  };
}

/** What makes two requests one to an upstream. */
function formOf(want: Document | Artifact): string {
  if (want.kind === 'artifact') return `${want.path}\n${want.accept ?? ''}`;
  return `${want.type.id}\n${want.path}\n${want.type.representations?.of(want.variant ?? '') ?? ''}`;
}

/** A format that knows no newest version says so with an error. */
function stepsOf(make: () => Iterable<WarmStep>): WarmStep[] {
  try {
    return [...make()];
  } catch (error) {
    if (error instanceof Problem) throw error;
    return [];
  }
}

/** The name of the file with a gap where its version stands; `undefined` where none does. */
function shapeOf({ path, version }: Artifact): string | undefined {
  const file = path.slice(path.lastIndexOf('/') + 1);
  return version !== undefined && file !== version && file.includes(version) ? file.replace(version, '*') : undefined;
}

/** Documents and names for other bytes are refreshed; of bytes that never change the package counts. */
function usedBy(
  repository: string,
  { rawPath, query, headers }: Parameters<NoteUse>[1],
  intent: Intent,
  usedAt: number,
): Used | undefined {
  const of = intent.kind === 'checksum' || intent.kind === 'excerpt' ? intent.of : intent;
  if (of.kind === 'artifact' && (of.freshness ?? 'immutable') === 'immutable') {
    const shape = shapeOf(of);
    return of.name === undefined || shape === undefined
      ? undefined
      : { repository, path: '', name: of.name, shape, usedAt };
  }
  // What is searched for is rarely searched for again.
  if ((of.kind !== 'artifact' && of.kind !== 'document') || (of.kind === 'document' && of.across)) return undefined;
  const path = `${rawPath}${query.size > 0 ? `?${query}` : ''}`;
  if (intent !== of || path.length > longestPath) return undefined;
  const { accept } = headers;
  return { repository, path, ...(accept === undefined ? {} : { accept: accept.slice(0, 1_000) }), usedAt };
}
