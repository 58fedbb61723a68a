/**
 * Derived documents, remembered by their inputs: nothing is ever invalidated, a new input is a new key and the old one
 * ages out. Small ones live in memory and are cheap to make again; big ones are kept on disk too.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Claims, claimsOf } from '../core/claims.ts';
import type { Digest } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Document, Format, Refusal } from '../core/format.ts';
import { ownBytes } from '../core/own-bytes.ts';
import type { Asking, FoundDocument } from '../core/source.ts';
import type { Blobs } from '../store/blobs.ts';
import type { Facts } from '../store/store.ts';
import type { Compute } from './compute.ts';
import type { Coding } from './derive.ts';

export interface Derived {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** sha256 of the unpacked bytes, in hexadecimal. */
  readonly hex: string;
  readonly bytes: Uint8Array;
}

/** As it lies in the index. Every digest in it is a blob, which is how the collector knows them. */
interface Kept {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly hex: string;
  readonly packed: Partial<Record<Coding, Digest>>;
}

export interface Derivable {
  readonly repository: { readonly id: string; readonly format: Format; readonly epoch: string };
  readonly options: Readonly<Record<string, unknown>>;
  readonly want: Document;
  readonly base: string;
  readonly found: readonly FoundDocument[];
  readonly refused: Readonly<Record<string, Refusal>>;
  readonly coding: Coding;
  readonly requestId?: string;
  /** Who waits for it. */
  readonly asking?: Pick<Asking, 'org' | 'priority' | 'claims'>;
}

export interface DerivedDocuments {
  /** In the coding that was asked for. `undefined`: the document has no such projection. */
  get(ask: Derivable): Promise<Derived | undefined>;
}

export interface DerivedOptions {
  readonly compute: Compute;
  readonly blobs: Blobs;
  readonly facts: Facts<Kept>;
  readonly memoryBytes: number;
  /** Inputs above this size make a result worth keeping on disk. */
  readonly keepAboveBytes: number;
}

const absent = { absent: true } as const;

/** What nobody made or asked for from disk in this time is forgotten, and its blobs with the next collection. */
const keptMs = 14 * 24 * 60 * 60 * 1000;

/** Raised when the shape of what formats make changes, so that nothing made before is answered. */
const generation = 1;

export function createDerivedDocuments(options: DerivedOptions): DerivedDocuments {
  const { compute, blobs, facts } = options;
  const memory = new LRUCache<string, Derived | typeof absent>({
    maxSize: options.memoryBytes,
    sizeCalculation: (value) => 512 + ('bytes' in value ? value.bytes.byteLength : 0),
  });
  const inFlight = new Map<string, { readonly made: Promise<Derived | undefined>; readonly claims: Claims }>();

  async function load(key: string, coding: Coding, claims: Claims): Promise<Derived | undefined> {
    const kept = await facts.get(key);
    if (!kept) return undefined;
    const { status, headers, hex } = kept;
    const ready = kept.packed[coding];
    if (ready) {
      const bytes = await blobs.bytes(ready);
      if (bytes) return { status, headers, hex, bytes };
    }
    const plain = kept.packed.identity && (await blobs.bytes(kept.packed.identity));
    if (!plain) return undefined;
    const packed = await compute.pack(coding, plain, claims);
    void keep(key, { ...kept, packed: { ...kept.packed } }, { [coding]: packed });
    return { status, headers, hex, bytes: packed };
  }

  /** After the answer, and never in its way: without room the document is simply made again another time. */
  async function keep(key: string, kept: Kept, fresh: Partial<Record<Coding, Uint8Array>>): Promise<void> {
    try {
      const packed = { ...kept.packed };
      for (const [coding, bytes] of Object.entries(fresh)) packed[coding as Coding] = await blobs.add(bytes);
      facts.set(key, { ...kept, packed }, keptMs);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC')
        publish('fault', { where: 'keeping a derived document', error });
    }
  }

  async function make(key: string, ask: Derivable, claims: Claims): Promise<Derived | undefined> {
    const inputBytes = ask.found.reduce((sum, { size }) => sum + size, 0);
    const worthKeeping = inputBytes > options.keepAboveBytes;
    const stored = worthKeeping ? await load(key, ask.coding, claims) : undefined;
    if (stored) return stored;
    const inputs = await Promise.all(
      ask.found.map(async (one) => ({ key: one.key, origin: one.origin, bytes: await one.bytes() })),
    );
    const made = await compute.derive(
      ask.repository.format,
      {
        format: ask.repository.format.id,
        options: ask.options,
        type: ask.want.type.id,
        path: ask.want.path,
        variant: ask.want.variant ?? '',
        base: ask.base,
        inputs,
        refused: ask.refused,
        coding: ask.coding,
      },
      ask.requestId,
      claims,
    );
    if (!made) return undefined;
    const { status, headers, hex } = made;
    if (worthKeeping) {
      const fresh = { identity: made.bytes, ...(made.packed ? { [ask.coding]: made.packed } : {}) };
      void keep(key, { status, headers, hex, packed: {} }, fresh);
    }
    return { status, headers, hex, bytes: made.packed ?? made.bytes };
  }

  return {
    async get(ask) {
      const key = keyOf(ask);
      const slot = `${key}\n${ask.coding}`;
      const known = memory.get(slot);
      if (known) return 'absent' in known ? undefined : known;
      const claims = claimsOf(ask.asking ?? {});
      const flight = inFlight.get(slot);
      if (flight) {
        flight.claims.join(claims);
        return flight.made;
      }
      const made = make(key, ask, claims)
        .then((one) => {
          const kept = one && { ...one, bytes: ownBytes(one.bytes) };
          memory.set(slot, kept ?? absent);
          return kept;
        })
        .finally(() => inFlight.delete(slot));
      inFlight.set(slot, { made, claims });
      return made;
    },
  };
}

function keyOf({ repository, options, want, base, found, refused }: Derivable): string {
  const hash = createHash('sha256');
  const parts = [
    String(generation),
    repository.format.id,
    JSON.stringify(options),
    repository.epoch,
    want.type.id,
    want.path,
    want.variant ?? '',
    base,
    ...found.map(({ key }) => key),
    JSON.stringify(refused),
  ];
  for (const part of parts) hash.update(`${part.length}:${part}`);
  return hash.digest('hex');
}
