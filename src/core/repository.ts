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
  readonly access: readonly AccessRule[];
  /** The organisation's teams, by name. */
  readonly teams: Readonly<Record<string, readonly string[]>>;
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
}

/** Which versions may be seen and taken. No kinds of rule exist yet; the gate does. */
export interface PolicyRule {
  readonly rule: string;
  refuses(facts: VersionFacts, nowMs: number): Refusal | undefined;
}

/** The sources that may be asked for a name: those that claim it, if any does, else those without a say in it. */
export function sourcesFor(sources: readonly Source[], name: string | undefined): readonly Source[] {
  if (name === undefined) return sources;
  const owners = sources.filter((source) => source.claims.some((pattern) => matchesName(pattern, name)));
  return owners.length > 0 ? owners : sources;
}

/** The repository with only those sources that hold what is called by this registry's name. */
export function within(repository: Repository, namespace: string): Repository {
  const sources = repository.sources.filter((source) => source.answersFor?.(namespace) ?? true);
  return sources.length === repository.sources.length ? repository : { ...repository, sources };
}

/** Whether some source keeps this name to itself. */
export function isClaimed(sources: readonly Source[], name: string): boolean {
  return sources.some((source) => source.claims.some((pattern) => matchesName(pattern, name)));
}

const compiled = new Map<string, RegExp>();

/** `*` stands for any run of characters, the slash included; everything else for itself. */
export function matchesName(pattern: string, name: string): boolean {
  let expression = compiled.get(pattern);
  if (!expression) {
    expression = new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`, 's');
    compiled.set(pattern, expression);
  }
  return expression.test(name);
}
