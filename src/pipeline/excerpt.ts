/** Takes something out of an artifact that is stored, or that is fetched for it. */
import type { Excerpt, ReadableFile } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';
import type { Asking, FoundArtifact } from '../core/source.ts';
import { admit } from '../policy/admit.ts';
import type { Answer } from './answer.ts';
import { findArtifact } from './artifact.ts';
import { notHere } from './document.ts';

export async function answerExcerpt(
  repository: Repository,
  { of, take }: Excerpt,
  { head: _, ...asking }: Asking,
  now: () => number,
): Promise<Answer> {
  const whole = { ...asking, admit: (facts: Parameters<typeof admit>[1]) => admit(repository, facts, now()) };
  let found = await find(repository, of, whole);
  if (!found.readInto) {
    // It is on its way: what is taken out of it must not be of bytes that nobody has checked yet.
    found.close();
    await found.landed;
    found = await find(repository, of, whole);
  }
  try {
    const body = await take(fileOf(found, of.path));
    if (!body) throw notHere(repository, `${of.path}, or what was to be taken out of it,`);
    return {
      status: body.status ?? 200,
      headers: {
        'cache-control': found.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
        ...body.headers,
      },
      outcome: found.outcome,
      body: { kind: 'bytes', bytes: body.bytes },
      checkedAt: found.checkedAt,
      ...(found.digest ? { etag: `"${found.digest.replace(':', '-')}-excerpt"` } : {}),
      ...(found.immutable && found.readInto ? { keepUntil: Number.POSITIVE_INFINITY } : {}),
    };
  } finally {
    found.close();
  }
}

async function find(repository: Repository, want: Excerpt['of'], asking: Asking): Promise<FoundArtifact> {
  const found = await findArtifact(repository, want, asking);
  if (found === undefined) throw notHere(repository, want.path);
  if (found instanceof Error) throw found;
  return found;
}

function fileOf({ readInto, size }: FoundArtifact, path: string): ReadableFile {
  if (!readInto || size === undefined) {
    throw new Problem(
      'upstream_unavailable',
      `${path} is not stored yet, so nothing can be taken out of it; ask again.`,
      {
        retryAfterSeconds: 2,
      },
    );
  }
  return {
    size,
    async read(offset, length) {
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - offset)));
      let at = 0;
      while (at < buffer.byteLength) {
        const read = await readInto(buffer.subarray(at), offset + at);
        if (read === 0) throw new Error(`Stored bytes of ${path} end at ${offset + at} of ${size}.`);
        at += read;
      }
      return buffer;
    },
  };
}
