/** Answers that are remembered on their way out, and given again to whoever asks the same. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isAnonymous } from '../access/identify.ts';
import type { Identity } from '../core/identity.ts';
import type { Repository } from '../core/repository.ts';
import type { FoundArtifact } from '../core/source.ts';
import type { Answer } from '../pipeline/answer.ts';
import type { Handled } from '../pipeline/handle.ts';
import type { Base } from './base.ts';
import { codingFor } from './coding.ts';
import { traceOf } from './course.ts';
import { factsOf, single } from './facts.ts';
import { type HotAnswer, type HotAnswers, type HotQuestion, isShownBeside, isUnmodified, publishHit } from './hot.ts';
import { headersIn, type Recognition } from './recognition.ts';
import { requestIdOf } from './request-id.ts';
import { headersOf } from './respond.ts';

/** Small stored answers are taken into memory on the way out, so that the next request for them finds them ready. */
export async function keepIfHot(
  now: () => number,
  hot: HotAnswers,
  repository: Repository,
  handled: Handled,
  question: HotQuestion,
  method: string,
): Promise<Answer> {
  const { answer } = handled;
  if (method !== 'GET' || !handled.repeatable || answer.status !== 200) return answer;
  if (answer.keepUntil === undefined || answer.keepUntil <= now()) return answer;
  const bytes = answer.body.kind === 'bytes' ? answer.body.bytes.byteLength : sizeOf(answer);
  if (bytes === undefined || !hot.wants(question, bytes)) return answer;
  // A crowd that asks at once does not read a copy each.
  const release = hot.reserve(bytes);
  const ready = await inMemory(answer).finally(release);
  if (ready.body.kind !== 'bytes') return ready;
  const { outcome } = answer;
  const repeated: Answer = { ...ready, outcome: outcome === 'offline' || outcome === 'hosted' ? outcome : 'hit' };
  const headers = headersOf(repeated, now());
  delete headers.age;
  if (ready.body.ranges) headers['accept-ranges'] = 'bytes';
  headers['content-length'] = String(ready.body.bytes.byteLength);
  hot.keep(question, {
    headers,
    body: ready.body.bytes,
    etag: answer.etag,
    until: answer.keepUntil,
    repository: repository.id,
    format: repository.format.id,
    route: handled.route,
    outcome: repeated.outcome,
    keepWhile: answer.keepWhile,
    ...(question.known ? { isFor: handled.isFor } : {}),
    shownIn: headersIn(repository.format.auth.from),
    touch: answer.touch,
  });
  return ready;
}

/** Of a stored file. */
function sizeOf({ body }: Answer): number | undefined {
  return body.kind === 'artifact' && body.artifact.readInto ? body.artifact.size : undefined;
}

async function inMemory(answer: Answer): Promise<Answer> {
  if (answer.body.kind !== 'artifact') return answer;
  const { artifact } = answer.body;
  if (!artifact.readInto || artifact.size === undefined) return answer;
  return {
    ...answer,
    body: { kind: 'bytes', bytes: await readStored(artifact, artifact.readInto, artifact.size), ranges: true },
  };
}

async function readStored(
  artifact: FoundArtifact,
  readInto: NonNullable<FoundArtifact['readInto']>,
  size: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  try {
    for (let at = 0; at < size; ) {
      const read = await readInto(bytes.subarray(at), at);
      if (read === 0) throw new Error(`Stored bytes end at ${at} of ${size}.`);
      at += read;
    }
  } finally {
    artifact.close();
  }
  return bytes;
}

/** What the wire does not take (another protocol, a connection handed over, a few more headers) may still be hot. */
export function answerHot(
  req: IncomingMessage,
  res: ServerResponse,
  hot: HotAnswers,
  baseOf: (facts: ReturnType<typeof factsOf>) => Base,
  recognition: Recognition,
  mayHave: (answer: HotAnswer, remote: string, bytes: number, reader: Identity | undefined) => boolean,
): boolean {
  const { headers } = req;
  if (req.method !== 'GET' || headers.range !== undefined) return false;
  const isKnown = !isAnonymous(headers.authorization);
  const reader = isKnown ? recognition.find(headers.authorization ?? '') : undefined;
  if (isKnown && !reader) return false;
  if (
    headers.via !== undefined ||
    headers['x-larder-refresh'] !== undefined ||
    headers['if-modified-since'] !== undefined ||
    headers['if-unmodified-since'] !== undefined ||
    headers['content-length'] !== undefined
  )
    return false;
  if (headers['transfer-encoding'] !== undefined) return false;
  let facts: Base;
  try {
    facts = baseOf(factsOf(req));
  } catch {
    return false;
  }
  const url = req.url ?? '/';
  const question: HotQuestion = {
    known: isKnown,
    base: facts.base,
    url,
    accept: headers.accept,
    coding: codingFor(single(headers['accept-encoding'])),
  };
  const answer = hot.find(question, reader);
  if (!answer || isShownBeside(answer, headers)) return false;
  const unmodified = isUnmodified(answer, headers['if-none-match']);
  if (!mayHave(answer, facts.remote, unmodified ? 0 : answer.body.byteLength, reader)) return false;
  const startedAt = performance.now();
  const id = requestIdOf(headers['x-request-id']);
  res.writeHead(unmodified ? 304 : 200, {
    ...(unmodified ? answer.unmodifiedHeaders : answer.headers),
    'x-request-id': id,
  });
  if (!unmodified) res.once('close', hot.lend(answer.body));
  res.end(unmodified ? undefined : answer.body);
  publishHit(answer, {
    id,
    method: 'GET',
    url,
    remote: facts.remote,
    userAgent: headers['user-agent'] ?? '',
    startedAt,
    status: unmodified ? 304 : 200,
    bytesSent: unmodified ? 0 : answer.body.byteLength,
    who: reader?.kind,
    ...traceOf(req),
  });
  return true;
}
