/** Artifacts that a document describes now: a name is looked up, and what it means is fetched once and kept where it lies. */
import { publish } from '../core/events.ts';
import type { Artifact, Link } from '../core/format.ts';
import { type FreshnessPolicy, mayServeStale } from '../core/freshness.ts';
import { isTrouble } from '../core/problem.ts';
import type { Asking, FoundArtifact, FoundDocument } from '../core/source.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import { notStored } from './asking.ts';
import { factsOf, type Kept, strongest } from './kept-artifacts.ts';

type Find = (want: Artifact, asking: Asking) => Promise<FoundArtifact | undefined>;

export interface DescribedParts {
  /** The upstream's name, for messages. */
  readonly id: string;
  readonly store: Store;
  readonly kept: Kept;
  readonly lookUp: LookUp;
  /** For bytes that never change. */
  readonly find: Find;
  /** Tells whoever asks what was used. */
  readonly used: (want: Artifact, asking: Asking) => void;
  readonly freshness: FreshnessPolicy;
  readonly offline: boolean;
  readonly now: () => number;
}

/** The link that a document holds for a path. */
export type LookUp = (
  describedBy: NonNullable<Artifact['describedBy']>,
  path: string,
  asking: Asking,
) => Promise<{ readonly link: Link; readonly document: FoundDocument } | undefined>;

export function createDescribed(parts: DescribedParts): Find {
  const { store, kept, lookUp, find, now } = parts;

  /** What the document says now decides, and what lies under the path it says is fetched once and kept. */
  async function described(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
    if (parts.offline || asking.offline) return whileOffline(want, asking);
    const { describedBy } = want;
    const looked = describedBy && (await lookUp(describedBy, want.path, asking));
    if (!looked) return undefined;
    const { link, document } = looked;
    const there = placeOf(want, link);
    asking.admit?.(factsOf(want, link));
    const { head, ...whole } = asking;
    const hasOther = want.reads !== undefined && (await kept.entryOf(want))?.status === 200;
    if (head && !hasOther) {
      const found = await headOf(there, link, document.outcome);
      if (found.readInto) {
        noteMeaning(want, there, found, document);
        parts.used(there, asking);
      }
      return asDescribed(found, document);
    }
    try {
      // Also for HEAD: whoever is told what the path means now comes back for just that.
      const found = await find(there, whole);
      // What is judged as a whole is waited for while there is something else that could be answered.
      if (hasOther) await found?.landed;
      if (found) {
        noteMeaning(want, there, found, document);
        return asDescribed(found, document);
      }
    } catch (error) {
      const last = isTrouble(error) && (await lastMeaning(want, asking));
      if (!last) throw error;
      return last;
    }
    // Upstream dropped these bytes since it was asked what the path means: it may mean others by now.
    const mayBeOld = document.outcome === 'hit' || document.outcome === 'stale';
    if (asking.fresh || !mayBeOld) return lastMeaning(want, asking);
    return described(want, { ...asking, fresh: 'revalidate', lookingFor: `the bytes of ${want.path}` });
  }

  function placeOf({ describedBy: _, freshness: __, ...rest }: Artifact, { at, digests = [] }: Link): Artifact {
    const digest = strongest(digests);
    return { ...rest, path: at ?? rest.path, ...(digest ? { digest } : {}) };
  }

  /** What the path meant when that was last heard, or before, if only those bytes are here. HEAD is told of no others than GET. */
  async function whileOffline(want: Artifact, { head: _, ...asking }: Asking): Promise<FoundArtifact> {
    const unless = (error: unknown): undefined => {
      if (!isTrouble(error)) throw error;
    };
    const looked = want.describedBy && (await lookUp(want.describedBy, want.path, asking).catch(unless));
    if (looked) {
      const { link, document } = looked;
      asking.admit?.(factsOf(want, link));
      const found = await find(placeOf(want, link), asking).catch(unless);
      if (found) return asDescribed(found, document);
    }
    const last = await lastMeaning(want, asking);
    if (last) return last;
    throw notStored(want.path, parts.id, parts.offline);
  }

  function asDescribed(found: FoundArtifact, document: FoundDocument): FoundArtifact {
    const passing = document.outcome === 'miss' || document.outcome === 'joined' ? 'revalidated' : document.outcome;
    return {
      ...found,
      outcome: found.outcome === 'hit' ? passing : found.outcome,
      immutable: false,
      checkedAt: document.checkedAt,
      freshUntil: document.freshUntil,
      isCurrent: () => document.isCurrent(),
    };
  }

  /** What a path means, once its bytes are here: that stands in if the bytes of what it means next can't be had. */
  function noteMeaning(want: Artifact, there: Artifact, found: FoundArtifact, { checkedAt }: FoundDocument): void {
    if (there.path === want.path) return;
    const note = async (): Promise<void> => {
      const [entry, before] = await Promise.all([kept.entryOf(there), kept.entryOf(want)]);
      if (entry?.status !== 200) return;
      const meaning: StoredEntry = { ...entry, checkedAt };
      if (entry.digest !== before?.digest) await store.entries.put(kept.keyOf(want), meaning);
      else if (checkedAt !== before?.checkedAt) store.entries.touch(kept.keyOf(want), meaning);
    };
    const noted = found.landed ? found.landed.then(note, () => undefined) : note();
    noted.catch((error: unknown) => publish('fault', { where: `storing what ${want.path} means`, error }));
  }

  async function lastMeaning(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
    const entry = await kept.entryOf(want);
    if (entry?.status !== 200) return undefined;
    const isOffline = parts.offline || asking.offline === true;
    if (!isOffline && !mayServeStale(entry, now(), parts.freshness)) return undefined;
    asking.admit?.(factsOf(want, entry));
    parts.used(want, asking);
    return kept.open({ ...want, freshness: 'revalidate' }, entry, parts.offline ? 'offline' : 'stale');
  }

  /** The link says all that HEAD has to. */
  async function headOf(there: Artifact, link: Link, outcome: FoundArtifact['outcome']): Promise<FoundArtifact> {
    const entry = await kept.entryOf(there);
    const here = entry && (await kept.open(there, entry, 'hit'));
    if (here) return here;
    const digest = strongest(link.digests ?? []);
    return {
      outcome,
      size: link.size,
      contentType: link.contentType ?? 'application/octet-stream',
      ...(digest ? { digest } : {}),
      digests: link.digests ?? [],
      immutable: false,
      checkedAt: now(),
      async *read() {},
      close: () => {},
    };
  }

  return described;
}
