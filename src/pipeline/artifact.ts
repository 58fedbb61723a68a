/** Asks the sources in order for bytes; the first that has them answers. */
import type { Algorithm, Artifact, Digest } from '../core/format.ts';
import { isTrouble, type Problem } from '../core/problem.ts';
import { type Repository, sourcesFor } from '../core/repository.ts';
import type { Asking, FoundArtifact, Source } from '../core/source.ts';
import { admit } from '../policy/admit.ts';
import type { Answer } from './answer.ts';
import { notHere } from './document.ts';

/** Sources that are asked at once whether they have something; the rest waits until these said no. */
const maxProbes = 8;

/** The first source that has the bytes already. */
export async function holderOf(repository: Repository, want: Artifact): Promise<Source | undefined> {
  for (const source of sourcesFor(repository.sources, want)) {
    if (await source.holds?.(want)) return source;
  }
  return undefined;
}

/**
 * Asks the sources in their order; one that had something of the same group before comes first. A source in trouble ends
 * the search unless the repository says that later ones may stand in: they could have something else under the same name.
 */
export async function findArtifact(
  repository: Repository,
  want: Artifact,
  asking: Asking,
): Promise<FoundArtifact | Problem | undefined> {
  const sources = sourcesFor(repository.sources, want);
  if (sources.length > 1 && (want.freshness ?? 'immutable') === 'immutable') {
    // Bytes that never change and are here need nobody's word, whoever might have something under their name by now.
    const holder = await holderOf(repository, want);
    const found = await holder?.artifact(want, asking);
    if (found) return found;
  }
  let trouble: Problem | undefined;
  for await (const source of candidates(repository, sources, want, asking)) {
    try {
      const found = await source.artifact(want, asking);
      if (!found) continue;
      if (want.group !== undefined) repository.origins.set(want.group, source.id);
      return found;
    } catch (error) {
      if (!isTrouble(error)) throw error;
      if (error.code !== 'offline' && repository.partial === 'refuse') throw error;
      if (!trouble || trouble.code === 'offline') trouble = error;
    }
  }
  return trouble;
}

/**
 * Sources in the order in which they are to be asked. While the first is asked for the bytes, the others are asked whether
 * they have them, so that many sources cost two round trips and not one each; who said no is left out.
 */
async function* candidates(
  repository: Repository,
  sources: readonly Source[],
  want: Artifact,
  asking: Asking,
): AsyncGenerator<Source> {
  const remembered = want.group === undefined ? undefined : repository.origins.get(want.group);
  const known = sources.find(({ id }) => id === remembered);
  if (known) yield known;
  const [first, ...others] = sources.filter((source) => source !== known);
  if (!first) return;
  const probing = want.group !== undefined && asking.head !== true ? others.slice(0, maxProbes) : [];
  const probes = new Map(probing.map((source) => [source, mayHave(source, want, asking)]));
  yield first;
  for (const source of others) {
    if ((await probes.get(source)) !== false) yield source;
  }
}

/** False only if the source says no; trouble is for the question itself to meet. */
async function mayHave(source: Source, want: Artifact, { used: _, ...asking }: Asking): Promise<boolean> {
  try {
    const found = await source.artifact(want, { ...asking, head: true });
    found?.close();
    return found !== undefined;
  } catch {
    return true;
  }
}

/** The digest that the first source tells that has the artifact or something to say about it. */
export async function findDigest(
  repository: Repository,
  want: Artifact,
  algorithm: Algorithm,
  asking: Asking,
): Promise<Digest | undefined> {
  const holder = await holderOf(repository, want);
  const held = await holder?.digest?.(want, algorithm, asking);
  if (held) return held;
  let trouble: Problem | undefined;
  for await (const source of candidates(repository, sourcesFor(repository.sources, want), want, {
    ...asking,
    head: true,
  })) {
    try {
      const digest = await source.digest?.(want, algorithm, asking);
      if (digest) return digest;
    } catch (error) {
      if (!isTrouble(error)) throw error;
      if (error.code !== 'offline' && repository.partial === 'refuse') throw error;
      trouble ??= error;
    }
  }
  if (trouble) throw trouble;
  return undefined;
}

export async function answerArtifact(
  repository: Repository,
  want: Artifact,
  asking: Asking,
  now: () => number,
): Promise<Answer> {
  const found = await findArtifact(repository, want, {
    ...asking,
    admit: (facts) => admit(repository, facts, now()),
  });
  if (found === undefined) throw notHere(repository, want.path);
  if (found instanceof Error) throw found;
  const stored = found.readInto !== undefined;
  const { size, digests } = found;
  const contentType = want.contentType ?? found.contentType;
  const { etag = found.digest && `"${found.digest.replace(':', '-')}"`, ...more } =
    repository.format.artifactHeaders?.(want, { digests, size, contentType }) ?? {};
  return {
    status: 200,
    headers: {
      'content-type': contentType,
      'cache-control': found.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      ...more,
    },
    outcome: found.outcome,
    body: { kind: 'artifact', artifact: found },
    ...(etag ? { etag } : {}),
    ...(found.lastModified === undefined ? {} : { lastModified: found.lastModified }),
    checkedAt: found.checkedAt,
    ...(stored ? keepingOf(found) : {}),
    ...(found.touch ? { touch: found.touch } : {}),
  };
}

/** How long the same answer may be given again without asking. */
function keepingOf({ immutable, freshUntil, isCurrent }: FoundArtifact): Pick<Answer, 'keepUntil' | 'keepWhile'> {
  if (immutable) return { keepUntil: Number.POSITIVE_INFINITY };
  if (freshUntil === undefined) return {};
  return { keepUntil: freshUntil, ...(isCurrent ? { keepWhile: isCurrent } : {}) };
}
