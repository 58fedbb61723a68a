/** What the pipeline hands to whoever speaks HTTP. */
import type { Outcome } from '../core/events.ts';
import type { FoundArtifact } from '../core/source.ts';

export interface Answer {
  readonly status: number;
  /** Lower case. Length, coding, validators and caching are told apart below. */
  readonly headers: Readonly<Record<string, string>>;
  readonly outcome: Outcome;
  readonly body: AnswerBody;
  /** Quoted, as it goes on the wire. */
  readonly etag?: string;
  readonly lastModified?: string;
  /** Milliseconds since 1970: for `Age` of what could not be confirmed. */
  readonly checkedAt?: number;
  /** Until when the very same bytes may be answered again without asking anybody; milliseconds since 1970 or `Infinity`. */
  readonly keepUntil?: number;
  /** Asked each time a remembered answer is about to be used; cheap. */
  readonly keepWhile?: () => boolean;
  /** Keeps what lies behind a remembered answer from looking unused. */
  readonly touch?: () => void;
}

export type AnswerBody =
  /** `ranges`: parts of it may be asked for. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly ranges?: boolean }
  /** Bytes in a file, or still arriving. Ranges are the speaker's business. */
  | { readonly kind: 'artifact'; readonly artifact: FoundArtifact }
  /** Passed through as it comes; the length is unknown. */
  | { readonly kind: 'stream'; readonly stream: AsyncIterable<Buffer>; readonly discard: () => void };
