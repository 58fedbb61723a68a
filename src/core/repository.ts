/** A name, a format and an ordered list of sources. Hosted, proxy and group are lists of different length. */
import type { Format, Refusal } from './format.ts';
import type { Router } from './route.ts';
import type { Source, VersionFacts } from './source.ts';

export interface Repository {
  /** `org/name`. */
  readonly id: string;
  readonly org: string;
  readonly name: string;
  readonly format: Format;
  readonly router: Router;
  readonly sources: readonly Source[];
  /** Whether the remaining sources may answer while one is silent. */
  readonly partial: 'refuse' | 'allow';
  /** Bytes; a longer file is refused, whoever sends it. */
  readonly maxFileBytes: number;
  /** URL of the source project that a package published here names itself. */
  readonly linkOf?: (name: string) => string | undefined;
  readonly policy: readonly PolicyRule[];
  /** Which source had something of a group last. */
  readonly origins: Origins;
  /** Changes whenever settings that shape answers change; part of every derived key. */
  readonly epoch: string;
}

/** Group to source id; may forget. */
export interface Origins {
  get(group: string): string | undefined;
  set(group: string, source: string): void;
}

export type Action = 'read' | 'publish' | 'delete' | 'admin';

export interface AccessRule {
  readonly who: readonly string[];
  readonly may: readonly Action[];
  /** Patterns with `*`; absent: all. */
  readonly repositories?: readonly string[];
  readonly names?: readonly string[];
  /** What the issuer of a CI job's identity has to say of it, by claim; patterns with `*`, all of which must match. */
  readonly claims?: Readonly<Record<string, string>>;
}

/** Which versions may be seen and taken. No kinds of rule exist yet; the gate does. */
export interface PolicyRule {
  readonly rule: string;
  refuses(facts: VersionFacts, nowMs: number): Refusal | undefined;
}

/** What a question is about; the names that its path does not tell apart. */
export interface About {
  readonly name?: string | undefined;
  readonly otherNames?: readonly string[] | undefined;
}

export function namesOf({ name, otherNames = [] }: About): readonly string[] {
  return name === undefined ? otherNames : [name, ...otherNames];
}

/**
 * The sources that may be asked about something: those that claim it, if any does; among them those that it was published in,
 * if there are such. Whoever may not be asked is not asked on any route.
 */
export function sourcesFor(sources: readonly Source[], about: About): readonly Source[] {
  const names = namesOf(about);
  if (names.length === 0) return sources;
  const claiming = sources.filter((source) => names.some((name) => claims(source, name)));
  const candidates = claiming.length > 0 ? claiming : sources;
  const owners = candidates.filter((source) => names.some((name) => source.owns?.(name)));
  return owners.length > 0 ? owners : candidates;
}

const claims = (source: Source, name: string): boolean => source.claims.some((pattern) => matchesName(pattern, name));

/** The repository with only those sources that hold what is called by this registry's name. */
export function within(repository: Repository, namespace: string): Repository {
  const sources = repository.sources.filter((source) => source.answersFor?.(namespace) ?? true);
  return sources.length === repository.sources.length ? repository : { ...repository, sources };
}

/** Whether some source keeps this name to itself. */
export function isClaimed(sources: readonly Source[], name: string): boolean {
  return sources.some((source) => claims(source, name) || (source.owns?.(name) ?? false));
}

/** Whether there may be names here that nobody outside is to hear of. */
export const hasPrivateNames = (sources: readonly Source[]): boolean =>
  sources.some((source) => source.claims.length > 0 || source.owns !== undefined);

/**
 * What the sources are at, as far as answers about this name go; `undefined` when one of them may have news. Two equal ones
 * mean that an answer made from what is published here is still right.
 */
export function stampOf(sources: readonly Source[], about: About): string | undefined {
  const names = namesOf(about);
  let all = '';
  for (const { stamp } of sources) {
    if (!stamp) continue;
    for (const name of names.length > 0 ? names : [undefined]) {
      const one = stamp(name);
      if (one === undefined) return undefined;
      all += `${one} `;
    }
  }
  return all;
}

/**
 * `*` stands for any run of characters, the slash included; everything else for itself. Whoever may have a token or a rule can
 * think of a pattern, so it is no regular expression: each piece between stars is looked for once.
 */
export function matchesName(pattern: string, name: string): boolean {
  const first = pattern.indexOf('*');
  if (first === -1) return pattern === name;
  const last = pattern.lastIndexOf('*');
  const [head, tail] = [pattern.slice(0, first), pattern.slice(last + 1)];
  if (name.length < head.length + tail.length || !name.startsWith(head) || !name.endsWith(tail)) return false;
  const end = name.length - tail.length;
  let at = head.length;
  for (const piece of first === last ? [] : pattern.slice(first + 1, last).split('*')) {
    const found = name.indexOf(piece, at);
    if (found === -1 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
