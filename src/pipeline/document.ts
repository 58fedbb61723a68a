/** Gathers a document from the sources that may be asked, and answers with what was made of it. */
import type { Document } from '../core/format.ts';
import { isTrouble, Problem } from '../core/problem.ts';
import { type Repository, sourcesFor } from '../core/repository.ts';
import type { Asking, FoundDocument, Source } from '../core/source.ts';
import { refusedVersions } from '../policy/admit.ts';
import type { Answer } from './answer.ts';
import type { Coding } from './derive.ts';
import type { DerivedDocuments } from './derived.ts';

/** An answer whose sources all say "not here"; what was said when one of them is offline is kept for the message. */
interface Gathered {
  readonly found: readonly FoundDocument[];
  readonly offline?: Problem;
}

/**
 * Asks every source (or, where the kind can't merge, the first that has it). A source in trouble makes the whole
 * answer trouble, unless the repository says that the rest may answer: a merge without it would change what resolves.
 * One that had no such document when it was last heard changes nothing by being away, as long as another has it.
 */
export async function gather(repository: Repository, want: Document, asking: Asking): Promise<Gathered> {
  const sources = sourcesFor(repository.sources, want);
  const found: FoundDocument[] = [];
  let offline: Problem | undefined;
  let trouble: Problem | undefined;
  const take = async (source: Source): Promise<readonly FoundDocument[]> => {
    try {
      return await source.document(want, asking);
    } catch (error) {
      if (!isTrouble(error)) throw error;
      if (error.code === 'offline') offline ??= error;
      else if (sources.length === 1) throw error;
      else if (repository.partial === 'refuse' && !error.wasAbsent) throw error;
      else trouble ??= error;
      return [];
    }
  };
  if (want.type.merge) {
    for (const some of await Promise.all(sources.map(take))) found.push(...some);
  } else {
    for (const source of sources) {
      found.push(...(await take(source)).slice(0, 1));
      if (found.length > 0) break;
    }
  }
  if (found.length === 0 && trouble) throw trouble;
  return { found, ...(offline ? { offline } : {}) };
}

export interface DocumentContext {
  readonly derived: DerivedDocuments;
  readonly now: () => number;
}

export interface DocumentAsk {
  readonly repository: Repository;
  readonly options: Readonly<Record<string, unknown>>;
  readonly want: Document;
  readonly base: string;
  readonly coding: Coding;
  readonly asking: Asking;
}

export async function answerDocument(context: DocumentContext, ask: DocumentAsk): Promise<Answer> {
  const { want, repository } = ask;
  const fresh = want.fresh ? ({ fresh: 'revalidate' } as const) : {};
  const first = await attempt(context, ask, { ...ask.asking, ...fresh });
  if (first.answer) return first.answer;
  // A projection that a stored copy lacks (a version, say) may have appeared since: look once more before saying no.
  if (first.mayBeOld) {
    const lookingFor = want.variant ?? '';
    const second = await attempt(context, ask, { ...ask.asking, fresh: 'revalidate', lookingFor });
    if (second.answer) return second.answer;
  }
  throw first.offline ?? notHere(repository, want.name ?? want.path, want.variant);
}

interface Attempt {
  readonly answer?: Answer;
  /** The document is here, not fetched just now, and has no such projection. */
  readonly mayBeOld?: boolean;
  readonly offline?: Problem;
}

async function attempt(context: DocumentContext, ask: DocumentAsk, asking: Asking): Promise<Attempt> {
  const { repository, want, base, coding, options } = ask;
  const { found, offline } = await gather(repository, want, asking);
  const leading = found[0];
  if (!leading) return offline ? { offline } : {};
  const refused = await refusedIn(repository, want, found, context.now());
  const made = await context.derived.get({
    repository,
    options,
    want,
    base,
    found,
    refused,
    coding,
    requestId: asking.requestId,
    asking,
  });
  if (!made) {
    const kept = found.some((one) => one.outcome === 'offline');
    const mute = offline ?? (kept ? notInStored(repository, want) : undefined);
    return { mayBeOld: asking.fresh === undefined && found.some(isStored), ...(mute ? { offline: mute } : {}) };
  }
  const lastModified = made.headers['last-modified'];
  const freshUntil = Math.min(...found.map((one) => one.freshUntil));
  const etag = made.headers.etag ?? `"${made.hex}${coding === 'identity' ? '' : `-${coding}`}"`;
  return {
    answer: {
      status: made.status,
      headers: {
        'cache-control': 'no-cache',
        ...made.headers,
        vary: want.type.representations ? 'accept, accept-encoding' : 'accept-encoding',
        ...(coding === 'identity' ? {} : { 'content-encoding': coding }),
      },
      outcome: worst(found),
      body: {
        kind: 'bytes',
        bytes: made.bytes,
        ...(want.type.ranges && coding === 'identity' ? { ranges: true } : {}),
      },
      etag,
      ...(lastModified === undefined ? {} : { lastModified }),
      checkedAt: Math.min(...found.map((one) => one.checkedAt)),
      ...(want.fresh || made.status !== 200
        ? {}
        : { keepUntil: freshUntil, keepWhile: () => found.every((one) => one.isCurrent()) }),
    },
  };
}

const isStored = (one: FoundDocument): boolean => one.outcome === 'hit' || one.outcome === 'stale';

/** Among several inputs the one furthest from a plain hit names the answer. */
function worst(found: readonly FoundDocument[]): FoundDocument['outcome'] {
  const order: readonly FoundDocument['outcome'][] = [
    'stale',
    'offline',
    'miss',
    'joined',
    'revalidated',
    'hit',
    'hosted',
  ];
  return order.find((outcome) => found.some((one) => one.outcome === outcome)) ?? 'hit';
}

async function refusedIn(repository: Repository, want: Document, found: readonly FoundDocument[], nowMs: number) {
  if (repository.policy.length === 0) return {};
  const links = (await Promise.all(found.map((one) => one.links()))).flat();
  const seen = Object.assign({}, ...(await Promise.all(found.map((one) => one.firstSeen()))).toReversed());
  return refusedVersions(repository.policy, want.name, links, seen, nowMs);
}

/** The stored copy may be older than what is asked for. */
function notInStored(repository: Repository, { name, path, variant }: Document): Problem {
  return new Problem(
    'offline',
    `${name ?? path}${projectionOf(variant)} is not in what ${repository.id} has stored of it, and it is set to offline: fetch it on a connected server (larder warm), export it there and import it here.`,
  );
}

const projectionOf = (variant: string | undefined): string =>
  variant?.includes(':') ? ` (${variant.replace(':', ' ')})` : '';

export function notHere(repository: Repository, what: string, variant?: string): Problem {
  return new Problem(
    'not_found',
    `${what}${projectionOf(variant)} is not in ${repository.id}: every source was asked and none has it.`,
  );
}
