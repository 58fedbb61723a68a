/** A document that upstream does not hand out with one GET: asked for in the steps that its kind dictates. */
import { claimsOf } from '../core/claims.ts';
import { publish } from '../core/events.ts';
import type { Document, Heard, Step } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import type { Asking } from '../core/source.ts';
import type { Reply, Upstream } from '../upstream/client.ts';
import { decodeBody } from '../upstream/coding.ts';
import { type Locate, viaOf } from './asking.ts';

export interface ObtainParts {
  readonly upstream: Upstream;
  readonly locate: Locate;
}

export interface Obtained {
  readonly bytes: Uint8Array;
  /** The one answered last. */
  readonly url: string;
  /** Of that one, without what speaks about its coding. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly contentType?: string;
}

type Question = Extract<Step, { ask: unknown }>;

/** More pages than any list of tags has; a list that goes on for ever ends here. */
const maxSteps = 1000;

/** `undefined`: upstream has no such document. Trouble on the way is thrown. */
export async function obtain(
  parts: ObtainParts,
  want: Document,
  step: (heard: readonly Heard[]) => Step,
  asking: Asking,
): Promise<Obtained | undefined> {
  const { upstream } = parts;
  const heard: Heard[] = [];
  let left = want.type.limit;
  for (;;) {
    const next = stepAfter(upstream.name, want, step, heard);
    if ('absent' in next) return undefined;
    if ('bytes' in next) {
      const last = heard.at(-1);
      const url = last?.url ?? (await parts.locate(want.path, asking));
      const { 'content-encoding': _, 'content-length': __, ...headers } = last?.headers ?? {};
      return {
        bytes: next.bytes,
        url,
        headers,
        ...(next.contentType === undefined ? {} : { contentType: next.contentType }),
      };
    }
    if (heard.length >= maxSteps) {
      throw new Problem('upstream_invalid', `The upstream "${upstream.name}" goes on for ever about ${want.path}.`);
    }
    const answer = await askFor(parts, want, next, heard.at(-1)?.url, left, asking);
    left -= answer.bytes.byteLength;
    heard.push(answer);
  }
}

function stepAfter(
  upstream: string,
  want: Document,
  step: (heard: readonly Heard[]) => Step,
  heard: readonly Heard[],
): Step {
  try {
    return step(heard);
  } catch (error) {
    if (error instanceof Problem) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    publish('document.invalid', { url: heard.at(-1)?.url ?? want.path, reason });
    const message = `The upstream "${upstream}" sent something for ${want.path} that is no ${want.type.id}: ${reason}`;
    throw new Problem('upstream_invalid', message, { cause: error });
  }
}

async function askFor(
  { upstream, locate }: ObtainParts,
  want: Document,
  { ask, method = 'GET', accept }: Question,
  from: string | undefined,
  limitBytes: number,
  asking: Asking,
): Promise<Heard> {
  const url =
    'path' in ask ? withQuery(await locate(ask.path, asking), ask.query) : resolved(ask.url, from, upstream.name);
  for (let isLast = false; ; isLast = true) {
    const reply = await upstream.ask({
      method,
      url,
      linked: 'url' in ask,
      headers: {
        'accept-encoding': method === 'HEAD' ? 'identity' : 'gzip, br, zstd',
        ...(accept === undefined ? {} : { accept }),
        ...viaOf(asking),
      },
      claims: claimsOf(asking),
      requestId: asking.requestId,
      ...(want.name === undefined ? {} : { about: want.name }),
    });
    if (reply.status === 206) {
      reply.discard();
      throw new Problem('upstream_invalid', `The upstream "${upstream.name}" sent a part although all was asked for.`);
    }
    if (method === 'HEAD') {
      reply.discard();
      return { status: reply.status, headers: reply.headers, url: reply.url, bytes: Buffer.alloc(0) };
    }
    try {
      const bytes = await wholeBody(reply, limitBytes);
      return { status: reply.status, headers: reply.headers, url: reply.url, bytes };
    } catch (error) {
      if (error instanceof Problem) throw error;
      if (isLast) {
        const message = `The upstream "${upstream.name}" broke off its answer about ${want.path}; try again in a moment.`;
        throw new Problem('upstream_unavailable', message, { retryAfterSeconds: 5, cause: error });
      }
    }
  }
}

/** The decoded body of an answer that has to be short; throws `upstream_invalid` when it is longer, and the body's own error when it breaks. */
export async function wholeBody(reply: Reply, limitBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  const coded = reply.headers['content-encoding'];
  for await (const piece of coded === undefined
    ? reply.body
    : decodeBody(reply.body, coded, { maxBytes: limitBytes })) {
    size += piece.byteLength;
    if (size > limitBytes) {
      throw new Problem(
        'upstream_invalid',
        `An answer of upstream's is longer than the ${limitBytes} bytes allowed here.`,
      );
    }
    pieces.push(piece);
  }
  const length = reply.headers['content-length'];
  if (coded === undefined && length !== undefined && Number(length) !== size) throw new Error('The body ended early.');
  return Buffer.concat(pieces, size);
}

const withQuery = (url: string, query: string | undefined): string => (query === undefined ? url : `${url}?${query}`);

function resolved(url: string, from: string | undefined, upstream: string): string {
  if (!URL.canParse(url, from)) {
    throw new Problem('upstream_invalid', `The upstream "${upstream}" led to an address that is none.`);
  }
  return new URL(url, from).href;
}
