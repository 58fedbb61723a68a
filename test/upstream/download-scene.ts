/** A fake upstream, the real client in front of it, a stage on real files that can be made to fail, and what was stored. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { type Digest, digestOf } from '../../src/core/digest.ts';
import { type EventName, type Events, subscribe } from '../../src/core/events.ts';
import type { OpenStage, Stage } from '../../src/core/staging.ts';
import { createUpstreams, type Upstream, type UpstreamSettings } from '../../src/upstream/client.ts';
import {
  createDownloads,
  type Download,
  type DownloadFacts,
  type DownloadRequest,
  type Downloads,
  type DownloadsOptions,
} from '../../src/upstream/download.ts';
import { collect as collectBytes, synthetic } from '../support/bytes.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/fake-upstream.ts';

export type StageStep = 'open' | 'write' | 'read' | 'commit';

export interface FileStages {
  readonly open: OpenStage;
  /** Everything done so far, in order. */
  readonly steps: readonly StageStep[];
  /** Stages whose files are still open. */
  readonly held: number;
  /** Committed bytes by digest. */
  readonly blobs: ReadonlyMap<Digest, Buffer>;
  readonly expectedSizes: readonly (number | undefined)[];
}

/** Throws to make a step fail; a promise holds it up. `nth` counts steps of that kind from 1. */
export type Trouble = (step: StageStep, nth: number) => void | Promise<void>;

export function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: the test says so`), { code });
}

/** Stages on real files, as strict as the contract: reading without retaining after the end is an error. */
export async function fileStages(trouble: Trouble = () => {}): Promise<FileStages> {
  const folder = await mkdtemp(join(tmpdir(), 'download-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const steps: StageStep[] = [];
  const blobs = new Map<Digest, Buffer>();
  const expectedSizes: (number | undefined)[] = [];
  let held = 0;
  let count = 0;

  async function step(kind: StageStep): Promise<void> {
    steps.push(kind);
    await trouble(kind, steps.filter((done) => done === kind).length);
  }

  async function openStage({ expectedSize }: { readonly expectedSize?: number }): Promise<Stage> {
    expectedSizes.push(expectedSize);
    await step('open');
    count += 1;
    const file = await open(join(folder, String(count)), 'w+');
    held += 1;
    let size = 0;
    let retained = 0;
    let isOver = false;
    let isClosed = false;
    let isWriting = false;

    function closeUnlessNeeded(): void {
      if (!isOver || retained > 0 || isClosed) return;
      isClosed = true;
      held -= 1;
      void file.close();
    }

    return {
      get size() {
        return size;
      },
      async write(chunk) {
        if (isWriting || isOver) throw new Error('Written while writing, or after the end.');
        isWriting = true;
        try {
          await step('write');
          await file.write(chunk, 0, chunk.length, size);
          size += chunk.length;
        } finally {
          isWriting = false;
        }
      },
      async read(position, length) {
        await step('read');
        if (isClosed) throw new Error('Read after the end without retaining.');
        const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
        return buffer.subarray(0, bytesRead);
      },
      retain() {
        if (isClosed) throw new Error('Retained after the end.');
        retained += 1;
        let isReleased = false;
        return () => {
          if (isReleased) return;
          isReleased = true;
          retained -= 1;
          closeUnlessNeeded();
        };
      },
      async commit(digest) {
        await step('commit');
        const { buffer } = await file.read(Buffer.alloc(size), 0, size, 0);
        blobs.set(digest, buffer);
        isOver = true;
        closeUnlessNeeded();
      },
      async discard() {
        if (isWriting) throw new Error('Discarded while writing.');
        isOver = true;
        closeUnlessNeeded();
      },
    };
  }

  return {
    open: openStage,
    steps,
    blobs,
    expectedSizes,
    get held() {
      return held;
    },
  };
}

export interface Heard {
  readonly name: EventName;
  readonly event: Events[EventName];
}

/** Events of downloads until the test ends. */
export function hear(...names: EventName[]): Heard[] {
  const heard: Heard[] = [];
  for (const name of names) onTestFinished(subscribe(name, (event) => heard.push({ name, event })));
  return heard;
}

export interface Scene {
  readonly upstream: FakeUpstream;
  readonly client: Upstream;
  readonly stages: FileStages;
  readonly downloads: Downloads;
  /** A request for `/file`; stores it unless told otherwise. */
  request(changes?: Partial<DownloadRequest>): DownloadRequest;
  start(changes?: Partial<DownloadRequest>, key?: string): Download;
  /** What `store` was told. */
  readonly stored: readonly DownloadFacts[];
}

export interface SceneOptions extends Partial<Omit<DownloadsOptions, 'stage'>> {
  readonly trouble?: Trouble;
  readonly stage?: OpenStage;
  readonly client?: Partial<UpstreamSettings>;
}

/** Nothing waits for long. */
const impatient = { backoffMs: 1, maxBackoffMs: 4, lingerMs: 10, readerStallMs: 100 };

export async function scene(options: SceneOptions = {}): Promise<Scene> {
  const { trouble, stage, client: clientOptions, ...rest } = options;
  const upstream = await startFakeUpstream();
  onTestFinished(() => upstream.close());
  const stages = await fileStages(trouble);
  const upstreams = createUpstreams({ via: 'test', userAgent: 'test' });
  onTestFinished(() => upstreams.close());
  const client = upstreams.open({
    name: 'inner',
    url: upstream.url,
    timeoutMs: 2000,
    connectTimeoutMs: 2000,
    concurrency: 64,
    maxQueue: 1000,
    retries: 0,
    hosts: [],
    onlyHosts: false,
    namespaces: [],
    realms: [],
    breaker: { failures: 1_000_000, windowMs: 1000, openMs: 1, probeTimeoutMs: 1000 },
    ...clientOptions,
  });
  const downloads = createDownloads({ stage: stage ?? stages.open, ...impatient, ...rest });
  const stored: DownloadFacts[] = [];

  function request(changes: Partial<DownloadRequest> = {}): DownloadRequest {
    return {
      upstream: client,
      url: `${upstream.url}/file`,
      decode: false,
      expected: [],
      algorithms: [],
      maxSizeBytes: 1024 ** 3,
      keepGoing: true,
      store: async (stage, facts) => {
        const digest = facts.digests[0];
        if (!digest) throw new Error('There is no digest to store it under.');
        await stage.commit(digest);
        stored.push(facts);
      },
      ...changes,
    };
  }

  return {
    upstream,
    client,
    stages,
    downloads,
    request,
    stored,
    start: (changes = {}, key = 'file') => downloads.start(key, () => request(changes)).download,
  };
}

export async function readAll(download: Download, from?: number, to?: number): Promise<Buffer> {
  return collect(download.read(from, to));
}

export async function collect(reader: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of reader) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Bytes that do not compress and differ from block to block. */
export function sample(size: number): Buffer {
  return collectBytes(synthetic(size));
}

export function sha256(bytes: Uint8Array): Digest {
  return digestOf(bytes);
}

/** Quicker than comparing element by element, and says where they differ instead of printing them. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array, hint = 'bytes'): void {
  if (Buffer.compare(actual, expected) === 0) return;
  let at = 0;
  while (at < actual.length && actual[at] === expected[at]) at += 1;
  expect.fail(`${hint}: ${actual.length} instead of ${expected.length}, different from offset ${at} on`);
}
