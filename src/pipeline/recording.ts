/** What is remembered of requests: what their answers were made of, and what was asked for in vain while nobody may be asked. */
import { publish } from '../core/events.ts';
import type { Identity, Intent } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';
import type { Use } from '../core/source.ts';
import type { Answer } from './answer.ts';
import type { Request } from './handle.ts';

/** Remembers in named sets what answers were made of. */
export interface Recording {
  isName(set: string): boolean;
  /** Of what they may read. */
  mayRecord(repository: Repository, identity: Identity): boolean;
  /** On disk afterwards. Throws `storage_unavailable` and `quota_exceeded`: a set that lacks something is worse than none. */
  add(set: string, uses: readonly Use[]): Promise<void>;
}

/** Told of each request that was answered, for what is done with it later; cheap. */
export type NoteUse = (
  repository: Repository,
  request: Pick<Request, 'rawPath' | 'query' | 'headers'>,
  intent: Intent,
) => void;

/** `undefined` unless the request wants to be recorded and may not be. */
export function recordingRefused(
  recording: Recording,
  repository: Repository,
  identity: Identity,
  { record }: Request,
): 'unknown' | Problem | undefined {
  if (record === undefined) return undefined;
  if (!recording.isName(record)) {
    const message = `"${record.slice(0, 120)}" can't be the name of a set: lower-case letters, digits, ".", "_" and "-", the first a letter or digit, at most 100.`;
    return new Problem('bad_request', message);
  }
  if (recording.mayRecord(repository, identity)) return undefined;
  if (identity.kind === 'anonymous') return 'unknown';
  return new Problem(
    'forbidden',
    `Only members of ${repository.org} record what is asked of ${repository.id}; recording: everyone in the configuration of ${repository.org} would let others.`,
  );
}

/** Before anybody has the answer, so that a build that was answered is a build that is recorded. */
export async function record(recording: Recording, set: string, uses: readonly Use[], answer: Answer): Promise<void> {
  try {
    await recording.add(set, uses);
  } catch (error) {
    if (answer.body.kind === 'artifact') answer.body.artifact.close();
    if (answer.body.kind === 'stream') answer.body.discard();
    throw error;
  }
}

/** Words in a query that are nobody's business later on. */
const secretParameter = /token|key|secret|password|auth|sig/i;

/** For whoever fetches it on a connected server. What upstream was known not to have is not missing. */
export function noteMissing(repository: Repository, request: Request, intent: Intent, error: unknown): void {
  if (!(error instanceof Problem) || error.code !== 'offline' || error.wasAbsent) return;
  const of = intent.kind === 'checksum' || intent.kind === 'excerpt' ? intent.of : intent;
  // What people search for is nothing that a build lacks.
  if ((of.kind !== 'artifact' && of.kind !== 'document') || (of.kind === 'document' && of.across)) return;
  const varies = of.kind === 'document' ? of.type.representations !== undefined : of.accept !== undefined;
  const { accept } = request.headers;
  const query = new URLSearchParams([...request.query].filter(([name]) => !secretParameter.test(name)));
  publish('offline.miss', {
    repository: repository.id,
    path: `${request.rawPath}${query.size > 0 ? `?${query}` : ''}`,
    ...(varies && accept !== undefined ? { accept } : {}),
  });
}
