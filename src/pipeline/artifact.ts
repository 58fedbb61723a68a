/** Asks the sources in order for bytes; the first that has them answers. */
import type { Artifact } from '../core/format.ts';
import { isTrouble, type Problem } from '../core/problem.ts';
import { type Repository, sourcesFor } from '../core/repository.ts';
import type { Asking, FoundArtifact } from '../core/source.ts';
import { admit } from '../policy/admit.ts';
import type { Answer } from './answer.ts';
import { notHere } from './document.ts';

/**
 * A source in trouble ends the search unless the repository says that later ones may stand in: they could have
 * something else under the same name.
 */
export async function findArtifact(
  repository: Repository,
  want: Artifact,
  asking: Asking,
): Promise<FoundArtifact | Problem | undefined> {
  let trouble: Problem | undefined;
  for (const source of sourcesFor(repository.sources, want.name)) {
    try {
      const found = await source.artifact(want, asking);
      if (found) return found;
    } catch (error) {
      if (!isTrouble(error)) throw error;
      if (error.code !== 'offline' && repository.partial === 'refuse') throw error;
      if (!trouble || trouble.code === 'offline') trouble = error;
    }
  }
  return trouble;
}

export async function answerArtifact(
  repository: Repository,
  want: Artifact,
  asking: Asking,
  now: () => number,
): Promise<Answer> {
  const found = await findArtifact(repository, want, {
    ...asking,
    admit: (facts) => admit(repository.policy, facts, now()),
  });
  if (found === undefined) throw notHere(repository, want.path);
  if (found instanceof Error) throw found;
  const stored = found.readInto !== undefined;
  return {
    status: 200,
    headers: {
      'content-type': want.contentType ?? found.contentType,
      'cache-control': found.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    },
    outcome: found.outcome,
    body: { kind: 'artifact', artifact: found },
    ...(found.digest ? { etag: `"${found.digest.replace(':', '-')}"` } : {}),
    ...(found.lastModified === undefined ? {} : { lastModified: found.lastModified }),
    checkedAt: found.checkedAt,
    ...(stored && found.immutable ? { keepUntil: Number.POSITIVE_INFINITY } : {}),
    ...(found.touch ? { touch: found.touch } : {}),
  };
}
