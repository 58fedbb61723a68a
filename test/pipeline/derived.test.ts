import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { expect, it, onTestFinished } from 'vitest';
import type { Claims } from '../../src/core/claims.ts';
import { digestOf } from '../../src/core/digest.ts';
import type { Document, DocumentType, Format } from '../../src/core/format.ts';
import type { FoundDocument } from '../../src/core/source.ts';
import { createCompute } from '../../src/pipeline/compute.ts';
import { derive, type Job, learn, pack, undecoded } from '../../src/pipeline/derive.ts';
import { createDerivedDocuments, type Derivable } from '../../src/pipeline/derived.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { temporaryFolder } from '../support/folder.ts';

/** A list of words, one a line; variants are prefixes. */
function wordList() {
  const counts = { decoded: 0, encoded: 0 };
  const type: DocumentType<string[]> = {
    id: 'words',
    limit: 1_000_000,
    decode(bytes) {
      counts.decoded++;
      const text = Buffer.from(bytes).toString();
      if (text.startsWith('<')) throw new Error('no list of words');
      return text.split('\n');
    },
    merge: (lists) => [...new Set(lists.flat())],
    withhold: (words, refused) => words.filter((word) => !refused(word)),
    encode(words, variant, base) {
      counts.encoded++;
      if (variant === 'none') return undefined;
      const lines = words.filter((word) => word.startsWith(variant)).map((word) => `${base}/${word}`);
      return { headers: { 'content-type': 'text/plain' }, bytes: Buffer.from(lines.join('\n')) };
    },
  };
  const format = { id: 'list', documents: [type] } as unknown as Format;
  return { type: type as DocumentType<unknown>, format, counts };
}

interface SetUp {
  readonly store: Store;
  ask(text: readonly string[], more?: Partial<Derivable> & { variant?: string }): Derivable;
  derived(inlineBytes?: number): ReturnType<typeof createDerivedDocuments>;
  readonly counts: { decoded: number; encoded: number };
  readonly elsewhere: Job[];
  /** Who waited for each of them. */
  readonly waited: Claims[];
}

async function setUp(): Promise<SetUp> {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const store = await openStore({ path: folder.path, keepFreeBytes: 0 });
  onTestFinished(() => store.close());
  const { type, format, counts } = wordList();
  const elsewhere: Job[] = [];
  const waited: Claims[] = [];
  return {
    store,
    counts,
    elsewhere,
    waited,
    ask(texts, { variant = '', ...more } = {}) {
      const want: Document = { kind: 'document', type, path: 'words', variant };
      const found = texts.map((text): FoundDocument => {
        const bytes = Buffer.from(text);
        return {
          outcome: 'hit',
          key: digestOf(bytes),
          origin: { url: 'http://upstream/words', path: 'words', headers: {} },
          size: bytes.byteLength,
          freshUntil: 0,
          checkedAt: 0,
          isCurrent: () => true,
          bytes: async () => bytes,
          links: async () => [],
          firstSeen: async () => ({}),
        };
      });
      const repository = { id: 'public/list', format, epoch: '1' };
      return { repository, options: {}, want, base: 'http://here', found, refused: {}, coding: 'identity', ...more };
    },
    derived: (inlineBytes = 1_000_000) =>
      createDerivedDocuments({
        compute: createCompute({
          inlineBytes,
          elsewhere: async (job, _, claims) => {
            elsewhere.push(job);
            waited.push(claims);
            if (job.kind === 'learn') return learn(format, job, undecoded);
            return job.kind === 'derive' ? derive(format, job, undecoded) : pack(job.coding, job.bytes);
          },
        }),
        blobs: store.blobs,
        facts: store.facts('derived'),
        memoryBytes: 1_000_000,
        keepAboveBytes: inlineBytes,
      }),
  };
}

it('makes a projection once, however many ask at the same time and afterwards', async () => {
  const { ask, derived, counts } = await setUp();
  const documents = derived();
  const made = await Promise.all(Array.from({ length: 20 }, () => documents.get(ask(['a\nb'], { variant: 'a' }))));
  await documents.get(ask(['a\nb'], { variant: 'a' }));
  expect(new Set(made.map((one) => String(one?.bytes)))).toEqual(new Set(['http://here/a']));
  expect(counts).toEqual({ decoded: 1, encoded: 1 });
});

it('is made in a thread on behalf of all who wait for it', async () => {
  const { ask, derived, waited } = await setUp();
  const documents = derived(1);
  const [acme, beta] = ['acme', 'beta'].map((org) => ({ org, priority: 'client' }) as const);
  if (!acme || !beta) throw new Error('There are two.');
  await Promise.all([acme, beta].map((one) => documents.get(ask(['a\nb'], { asking: one }))));
  expect(waited.map(({ first, all }) => ({ first, all }))).toEqual([{ first: acme, all: [acme, beta] }]);
});

it('makes another one for another input, variant, base, repository setting or refusal', async () => {
  const { ask, derived, counts } = await setUp();
  const documents = derived();
  const asks = [
    ask(['a\nb']),
    ask(['a\nc']),
    ask(['a\nb'], { variant: 'a' }),
    ask(['a\nb'], { base: 'http://there' }),
    ask(['a\nb'], { refused: { a: { rule: 'r', reason: 'because' } } }),
    ask(['a\nb'], { repository: { ...ask([]).repository, epoch: '2' } }),
    ask(['a\nb'], { options: { some: 'thing' } }),
  ];
  for (const one of asks) await documents.get(one);
  expect(counts.encoded).toBe(asks.length);
});

it('merges in the order of the sources and leaves out what is refused', async () => {
  const { ask, derived } = await setUp();
  const made = await derived().get(ask(['b\na', 'a\nc'], { refused: { a: { rule: 'r', reason: 'because' } } }));
  expect(String(made?.bytes)).toBe('http://here/b\nhttp://here/c');
});

it('gives the same content the same validator in every coding', async () => {
  const { ask, derived } = await setUp();
  const documents = derived();
  const text = 'word\n'.repeat(1000);
  const plain = await documents.get(ask([text]));
  const gzip = await documents.get(ask([text], { coding: 'gzip' }));
  const zstd = await documents.get(ask([text], { coding: 'zstd' }));
  expect(gunzipSync(gzip?.bytes ?? Buffer.alloc(0)).equals(plain?.bytes ?? Buffer.alloc(0))).toBe(true);
  expect(zstdDecompressSync(zstd?.bytes ?? Buffer.alloc(0)).equals(plain?.bytes ?? Buffer.alloc(0))).toBe(true);
  expect(new Set([plain?.hex, gzip?.hex, zstd?.hex]).size).toBe(1);
});

it.each(['identity', 'gzip', 'br', 'zstd'] as const)('holds no more memory for %s than it shows', async (coding) => {
  const { derived, ask } = await setUp();
  const made = await derived().get({ ...ask(['one\ntwo']), coding });
  expect(made?.bytes.buffer.byteLength).toBe(made?.bytes.byteLength);
});

it('remembers that a projection does not exist', async () => {
  const { ask, derived, counts } = await setUp();
  const documents = derived();
  expect(await documents.get(ask(['a'], { variant: 'none' }))).toBeUndefined();
  expect(await documents.get(ask(['a'], { variant: 'none' }))).toBeUndefined();
  expect(counts.encoded).toBe(1);
});

it('does not remember a failure', async () => {
  const { ask, derived, counts } = await setUp();
  const documents = derived();
  await expect(documents.get(ask(['<html>']))).rejects.toThrow('no list of words');
  await expect(documents.get(ask(['<html>']))).rejects.toThrow('no list of words');
  expect(counts.decoded).toBe(2);
});

it('works on big documents elsewhere, and finds them on disk after a restart, in any coding', async () => {
  const { ask, derived, elsewhere, store } = await setUp();
  const text = 'word\n'.repeat(1000);
  const first = await derived(100).get(ask([text], { coding: 'gzip' }));
  expect(elsewhere.map(({ kind }) => kind)).toEqual(['derive']);
  await expect.poll(async () => (await Array.fromAsync(store.facts('derived').entries())).length).toBe(1);
  const again = derived(100);
  const gzip = await again.get(ask([text], { coding: 'gzip' }));
  const plain = await again.get(ask([text]));
  expect(gzip?.bytes).toEqual(first?.bytes);
  expect(String(plain?.bytes)).toBe(String(gunzipSync(first?.bytes ?? Buffer.alloc(0))));
  expect(elsewhere.filter(({ kind }) => kind === 'derive')).toHaveLength(1);
});
