/**
 * Fetch once, read many. One writer asks upstream and fills a stage; every client reads from it at its own offset and
 * speed, from whenever it comes. The end is held back until length and digests are right, so nobody can mistake wrong
 * bytes for a finished download, and nothing wrong is stored.
 *
 * Parts: `download-source.ts` makes one stream of bytes out of exchanges that may break; `download-ledger.ts` knows
 * where the bytes lie and which of them are released; `download-reader.ts` is one client; `download-transfer.ts` is the
 * order of things. Here: what callers see, and which downloads there are.
 */
import { type Claims, createClaims } from '../core/claims.ts';
import type { Algorithm, Digest } from '../core/digest.ts';
import type { OpenStage, Stage } from '../core/staging.ts';
import type { Upstream } from './client.ts';
import { Transfer } from './download-transfer.ts';

type Headers = Readonly<Record<string, string | undefined>>;

export interface DownloadRequest {
  readonly upstream: Upstream;
  readonly url: string;
  /** The URL came from a document, not from the configuration. */
  readonly linked?: boolean;
  /** Accept, If-None-Match and the like, lower case. Accept-Encoding and Range are not for the caller to say. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Documents: offers gzip, br and zstd, and stores decoded bytes. Artifacts ask for identity; what is coded all the same is decoded too. */
  readonly decode: boolean;
  /** All of them have to be met. */
  readonly expected: readonly Digest[];
  /** Computed beside sha256 and those of `expected`. */
  readonly algorithms: readonly Algorithm[];
  readonly expectedSize?: number;
  /** Of the decoded body. */
  readonly maxSizeBytes: number;
  readonly requestId?: string;
  /** What it is about, see `Ask`. */
  readonly about?: string;
  /** Finish although every reader left. A download that nobody ever read is finished in any case. */
  readonly keepGoing: boolean;
  /**
   * Looks at status and headers of the first answer; throws a Problem to refuse it. May bring further digests that have to be
   * met; the body waits for them. Called once more for a second attempt.
   */
  readonly inspect?: Inspect;
  /**
   * Called once for a 200 whose length and digests are right: commits the stage and writes the entry. The download stays
   * joinable until it ends. What it throws is a fault and no reader's trouble, unless there is a gate. Not called when
   * the disk failed under the stage (`done` then says `stored: false`), unless there is a gate.
   */
  readonly store: (stage: Stage, facts: DownloadFacts) => Promise<void>;
  /**
   * For bytes that are judged before anybody may have the whole: readers see nothing of the last piece until `store`
   * resolved, and what `store` throws fails the download, other than the disk's errors. When the disk failed, `store`
   * is called all the same, with a stage from which everything can be read and whose `commit` rejects with the disk's
   * error; so look first and commit last. Up to `maxSizeBytes` are kept in memory for that.
   */
  readonly gate?: boolean;
}

export type Inspect = (reply: {
  readonly status: number;
  readonly headers: Headers;
  readonly url: string;
  // biome-ignore lint/suspicious/noConfusingVoidType: most look and have nothing to bring.
}) => void | Promise<readonly Digest[]>;

export interface DownloadFacts {
  readonly status: number;
  /** As upstream said, except that what speaks about coded bytes is gone when they were decoded. */
  readonly headers: Headers;
  /** After redirects. */
  readonly url: string;
  /** Of the stored bytes; 0 unless the status is 200. */
  readonly size: number;
  /** sha256 first; none unless the status is 200. */
  readonly digests: readonly Digest[];
  readonly verified: 'digest' | 'length';
}

export interface DownloadHead {
  readonly status: number;
  readonly headers: Headers;
  readonly url: string;
  /** Of the bytes readers get, when known. */
  readonly size?: number;
}

export interface Download {
  /** What events call it. */
  readonly id: number;
  /** When upstream's headers were accepted. Rejects with the Problem; nobody has to listen. */
  readonly head: Promise<DownloadHead>;
  /** When everything is over. Rejects with the Problem; nobody has to listen. */
  readonly done: Promise<DownloadFacts & { readonly stored: boolean }>;
  /**
   * Bytes [from, to) as they become available; throws a Problem when the download fails. Only the end of the file is
   * held back, so a range that ends before it is complete before the digest is known. The reader counts from this call
   * on, so who calls it has to iterate or to `return()`; that is also how a client that has gone away leaves, at any
   * moment. Buffers are shared between readers: they are not to be written to.
   */
  read(from?: number, to?: number): DownloadReader;
  /** In bytes, when known. */
  readonly size: number | undefined;
  /** All digests that its bytes have to meet, as far as they are known. */
  readonly expected: readonly Digest[];
}

/** One client's way through a download. */
export interface DownloadReader extends AsyncIterableIterator<Buffer, undefined> {
  next(): Promise<IteratorResult<Buffer, undefined>>;
  /** Leaves. Takes effect at once, also while `next` waits: that then says it is done. */
  return(): Promise<IteratorResult<Buffer, undefined>>;
}

export interface Downloads {
  /** Joins the download of that key or starts one, on behalf of `claims`. `make` is called only in the second case, and at once. */
  start(
    key: string,
    make: () => DownloadRequest,
    claims?: Claims,
  ): { readonly download: Download; readonly joined: boolean };
  /** The download of that key, if there is one that can be joined. */
  find(key: string): Download | undefined;
  /** Downloads under way. */
  readonly active: number;
  /** Resolves when all have ended, at the latest after so many milliseconds; what is still receiving then is given up. */
  drain(deadlineMs: number): Promise<void>;
}

export interface DownloadsOptions {
  readonly stage: OpenStage;
  /** Longest piece a reader is given from the file, in bytes. */
  readonly chunkSize?: number;
  /** Times a broken body is asked to go on, per download; progress does not give them back, so that a lying upstream is not asked for ever, and five in a row without a byte end it sooner. */
  readonly maxResumes?: number;
  /** Before the first resume; doubles with each that brought no byte, up to `maxBackoffMs`. Half of it is random. */
  readonly backoffMs?: number;
  readonly maxBackoffMs?: number;
  /** Recent bytes of each download that are kept in memory for readers that keep up. */
  readonly windowBytes?: number;
  /** The same when the disk takes no bytes; the slowest reader sets the pace then. */
  readonly passWindowBytes?: number;
  /** When the disk takes no bytes: a reader that holds up the others for so long is dropped. */
  readonly readerStallMs?: number;
  /** How long bytes and the upstream connection are kept after the last reader left, for one that is on its way. */
  readonly lingerMs?: number;
  readonly random?: () => number;
}

export type DownloadSettings = Required<DownloadsOptions>;

const defaults = {
  chunkSize: 256 * 1024,
  maxResumes: 10,
  backoffMs: 200,
  maxBackoffMs: 10_000,
  windowBytes: 512 * 1024,
  passWindowBytes: 4 * 1024 * 1024,
  readerStallMs: 60_000,
  lingerMs: 500,
  random: Math.random,
} as const satisfies Omit<DownloadSettings, 'stage'>;

/** All downloads of one process. What must not be fetched twice has to have the same key. */
export function createDownloads(options: DownloadsOptions): Downloads {
  const settings: DownloadSettings = { ...defaults, ...options };
  const joinable = new Map<string, Transfer>();
  const running = new Map<Transfer, Promise<void>>();
  let active = 0;

  return {
    start(key, make, claims = createClaims({ priority: 'client' })) {
      const found = joinable.get(key);
      if (found) {
        found.claims.join(claims);
        return { download: found, joined: true };
      }
      const transfer = new Transfer(make(), claims, settings, {
        onClosed: () => {
          if (joinable.get(key) === transfer) joinable.delete(key);
        },
        onOver: () => {
          active -= 1;
        },
      });
      active += 1;
      joinable.set(key, transfer);
      running.set(
        transfer,
        transfer.run().then(() => void running.delete(transfer)),
      );
      return { download: transfer, joined: false };
    },
    find: (key) => joinable.get(key),
    get active() {
      return active;
    },
    async drain(deadlineMs) {
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, deadlineMs);
      const ended = (async () => {
        while (running.size > 0) await Promise.all(running.values());
      })();
      await Promise.race([ended, late.promise]);
      clearTimeout(timer);
      for (const transfer of running.keys()) transfer.giveUp('Larder is shutting down; ask again in a moment.');
    },
  };
}
