/** Why somebody gets what they get: which sources are asked about a name, which are not, and which rights count. */
import type { Access } from '../core/access.ts';
import type { Identity } from '../core/format.ts';
import { type Action, matchesName, type Repository, sourcesFor } from '../core/repository.ts';
import type { Source } from '../core/source.ts';

export interface ExplainContext {
  readonly access: Access;
  /** By `org/name`. */
  readonly repository: (id: string) => Repository | undefined;
}

export interface Explanation {
  readonly repository: string;
  readonly name: string;
  /** What the one who asks may do with it. */
  readonly may: readonly Action[];
  readonly sources: readonly ExplainedSource[];
}

export interface ExplainedSource {
  /** `hosted`, the name of an upstream, or `org/name` of a repository. */
  readonly source: string;
  readonly asked: boolean;
  readonly why: string;
  /** What it comes to further in. */
  readonly inner?: readonly ExplainedSource[];
}

const actions: readonly Action[] = ['read', 'publish', 'delete', 'admin'];

/** The name is spelled as the format's intents spell it. */
export async function explain(
  context: ExplainContext,
  repository: Repository,
  identity: Identity,
  name: string,
): Promise<Explanation> {
  const spelled = repository.format.spell?.(name) ?? name;
  for (const { ready } of repository.sources) await ready?.();
  return {
    repository: repository.id,
    name: spelled,
    may: actions.filter((action) => context.access.mayDo(repository, identity, action, spelled)),
    sources: explainSources(context, repository, identity, spelled),
  };
}

/** Without the repositories whose existence the one who asks may not know. */
export function knownSources(
  { access, repository }: ExplainContext,
  { sources }: Repository,
  identity: Identity,
): readonly Source[] {
  return sources.filter(({ id }) => {
    const inner = repository(id);
    return !inner || access.mayKnow(inner, identity);
  });
}

function explainSources(
  context: ExplainContext,
  repository: Repository,
  identity: Identity,
  name: string,
): readonly ExplainedSource[] {
  const { sources } = repository;
  // Where a name is, or who claims it, is told only to those who may read it.
  if (!context.access.readerOf(identity).mayRead(repository, name)) {
    const why = `whoever asks may not read ${name} in ${repository.id}`;
    return knownSources(context, repository, identity).map(({ id }) => ({ source: id, asked: false, why }));
  }
  const asked = new Set(sourcesFor(sources, { name }));
  const claiming = sources.filter((source) => claimOf(source, name) !== undefined);
  const owners = [...asked].filter((source) => source.owns?.(name));
  return knownSources(context, repository, identity).map((source): ExplainedSource => {
    const inner = context.repository(source.id);
    const hidden = inner && !context.access.readerOf(identity).mayRead(inner, name);
    return {
      source: source.id,
      asked: asked.has(source) && !hidden,
      why: hidden
        ? `whoever asks may not read ${name} in ${inner.id}`
        : whyOf(source, name, asked.has(source), claiming, owners),
      ...(inner && !hidden ? { inner: explainSources(context, inner, identity, name) } : {}),
    };
  });
}

const claimOf = (source: Source, name: string): string | undefined =>
  source.claims.find((pattern) => matchesName(pattern, name));

function whyOf(
  source: Source,
  name: string,
  isAsked: boolean,
  claiming: readonly Source[],
  owners: readonly Source[],
): string {
  const claim = claimOf(source, name);
  if (!isAsked) {
    const other = claiming.find((one) => one !== source);
    if (claim === undefined && other) return `${other.id} claims ${claimOf(other, name)}, so no other source is asked`;
    return `${name} is published in ${owners.map(({ id }) => id).join(', ')}, so no other source is asked`;
  }
  if (owners.includes(source)) return `${name} is published here`;
  if (claim !== undefined) return `it claims ${claim}`;
  return source.owns
    ? `${name} is not published here, and nobody claims it`
    : 'nobody claims the name, and it is published nowhere here';
}
