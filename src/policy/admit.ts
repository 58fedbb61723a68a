/** The one gate for versions, asked in two places: over a document before it is encoded, and before any artifact byte leaves. */
import { publish } from '../core/events.ts';
import type { Link, Refusal } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import type { PolicyRule } from '../core/repository.ts';
import type { VersionFacts } from '../core/source.ts';

/** The first rule that refuses, in the order of the configuration. */
export function refusalOf(rules: readonly PolicyRule[], facts: VersionFacts, nowMs: number): Refusal | undefined {
  for (const rule of rules) {
    const refusal = rule.refuses(facts, nowMs);
    if (refusal) return refusal;
  }
  return undefined;
}

/** Throws 403 with the reason and, where it is known, when it lifts. */
export function admit(
  { id, policy }: { readonly id: string; readonly policy: readonly PolicyRule[] },
  facts: VersionFacts,
  nowMs: number,
): void {
  const refusal = refusalOf(policy, facts, nowMs);
  if (!refusal) return;
  const { name = '', version = '' } = facts;
  publish('policy.block', { repository: id, name, version, rule: refusal.rule, reason: refusal.reason });
  const until = refusal.until ? ` It lifts at ${refusal.until}.` : '';
  throw new Problem(
    'refused',
    `${facts.name ?? 'This package'} ${facts.version ?? ''} is held back by rule "${refusal.rule}": ${refusal.reason}.${until}`,
  );
}

/** Refused versions of a document, by version. Empty without rules, which costs nothing. */
export function refusedVersions(
  rules: readonly PolicyRule[],
  name: string | undefined,
  links: readonly Link[],
  firstSeen: Readonly<Record<string, number>>,
  nowMs: number,
): Readonly<Record<string, Refusal>> {
  const refused: Record<string, Refusal> = {};
  if (rules.length === 0) return refused;
  for (const { version, publishedAt } of links) {
    if (version === undefined || Object.hasOwn(refused, version)) continue;
    const seen = firstSeen[version];
    const refusal = refusalOf(
      rules,
      {
        version,
        ...(name === undefined ? {} : { name }),
        ...(publishedAt === undefined ? {} : { publishedAt }),
        ...(seen === undefined ? {} : { firstSeenAt: seen }),
      },
      nowMs,
    );
    if (refusal) refused[version] = refusal;
  }
  return refused;
}
