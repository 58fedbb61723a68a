/** Who does a document's work: small documents here and now, big ones in a worker thread. */
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip, zstdCompress } from 'node:zlib';
import { type Claims, createClaims } from '../core/claims.ts';
import { publish } from '../core/events.ts';
import type { Format, Link } from '../core/format.ts';
import {
  type Coding,
  type Derivation,
  type DeriveJob,
  derive,
  type Job,
  type LearnJob,
  learn,
  typeOf,
  undecoded,
} from './derive.ts';

export interface Compute {
  /** `claims` wait for it, here as below; absent: nobody in particular. */
  learn(format: Format, job: Omit<LearnJob, 'kind'>, claims?: Claims): Promise<readonly Link[]>;
  derive(
    format: Format,
    job: Omit<DeriveJob, 'kind'>,
    requestId?: string,
    claims?: Claims,
  ): Promise<Derivation | undefined>;
  pack(coding: Coding, bytes: Uint8Array, claims?: Claims): Promise<Uint8Array>;
}

export interface ComputeOptions {
  /** Documents up to this size are worked on where they are. */
  readonly inlineBytes: number;
  /** Runs a job in a worker thread; the buffers named are moved there. Absent: there are no threads. */
  readonly elsewhere?: (job: Job, moved: readonly ArrayBuffer[], claims: Claims) => Promise<unknown>;
}

const nobody = { priority: 'client' } as const;

const zlib = { gzip: promisify(gzip), br: promisify(brotliCompress), zstd: promisify(zstdCompress) };

/** On zlib's own threads: off the event loop, for what is too small for a worker. */
async function packSmall(coding: Coding, bytes: Uint8Array): Promise<Uint8Array> {
  switch (coding) {
    case 'identity':
      return bytes;
    case 'gzip':
      return zlib.gzip(bytes, { level: 6 });
    case 'br':
      return zlib.br(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
    case 'zstd':
      return zlib.zstd(bytes);
  }
}

/** Only memory that nobody else looks at may move to another thread. */
function movable(bytes: Uint8Array): ArrayBuffer[] {
  return bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength ? [bytes.buffer] : [];
}

export function createCompute({ inlineBytes, elsewhere }: ComputeOptions): Compute {
  return {
    async learn(format, job, claims = createClaims(nobody)) {
      if (!elsewhere || (job.input.bytes.byteLength <= inlineBytes && !typeOf(format, job.type).heavy)) {
        return learn(format, { kind: 'learn', ...job }, undecoded);
      }
      return (await elsewhere({ kind: 'learn', ...job }, movable(job.input.bytes), claims)) as readonly Link[];
    },

    async derive(format, job, requestId, claims = createClaims(nobody)) {
      const startedAt = performance.now();
      const size = job.inputs.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
      const small = !elsewhere || (size <= inlineBytes && !typeOf(format, job.type).heavy);
      let made: Derivation | undefined;
      if (small) {
        const plain = derive(format, { kind: 'derive', ...job, coding: 'identity' }, undecoded);
        made =
          plain && job.coding !== 'identity' ? { ...plain, packed: await packSmall(job.coding, plain.bytes) } : plain;
      } else {
        const moved = job.inputs.flatMap(({ bytes }) => movable(bytes));
        made = (await elsewhere({ kind: 'derive', ...job }, moved, claims)) as Derivation | undefined;
      }
      publish('document.derived', {
        format: format.id,
        type: job.type,
        durationMs: performance.now() - startedAt,
        where: small ? 'inline' : 'worker',
        bytes: size,
        ...(requestId === undefined ? {} : { requestId }),
      });
      return made;
    },

    async pack(coding, bytes, claims = createClaims(nobody)) {
      if (!elsewhere || bytes.byteLength <= inlineBytes) return packSmall(coding, bytes);
      return (await elsewhere({ kind: 'pack', coding, bytes }, [], claims)) as Uint8Array;
    },
  };
}
