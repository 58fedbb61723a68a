/** Where dist-tags go whose version may not be shown. */
import { compareVersions, parseVersion, type Version } from '../../codecs/semver.ts';
import type { Json } from './json.ts';

interface Candidate {
  readonly name: string;
  readonly version: Version;
  readonly deprecated: boolean;
}

function candidatesIn(versions: Json): Candidate[] {
  return Object.entries(versions).flatMap(([name, manifest]) => {
    const version = parseVersion(name);
    return version ? [{ name, version, deprecated: Boolean((manifest as Json).deprecated) }] : [];
  });
}

function best(candidates: readonly Candidate[]): string | undefined {
  const preferred = candidates.filter(({ deprecated }) => !deprecated);
  return (preferred.length > 0 ? preferred : candidates).reduce<Candidate | undefined>(
    (highest, one) => (highest && compareVersions(highest.version, one.version) >= 0 ? highest : one),
    undefined,
  )?.name;
}

/** `latest` must point somewhere as long as anything is left: clients without a range ask for it. */
function nextLatest(candidates: readonly Candidate[], from: Version | undefined): string | undefined {
  const stable = candidates.filter(({ version }) => version.prerelease.length === 0);
  const earlier = from ? stable.filter(({ version }) => compareVersions(version, from) < 0) : stable;
  return best(earlier) ?? best(stable) ?? best(candidates);
}

/** Another tag goes back within its own line (`canary` to an earlier canary, `release-2` to an earlier 2.x) or away: never to something else. */
function nextInLine(candidates: readonly Candidate[], from: Version | undefined): string | undefined {
  if (!from) return undefined;
  const line = candidates.filter(
    ({ version }) =>
      compareVersions(version, from) < 0 &&
      version.prerelease.length > 0 === from.prerelease.length > 0 &&
      (from.prerelease.length > 0 ? version.prerelease[0] === from.prerelease[0] : version.major === from.major),
  );
  return best(line);
}

/** The tags without those versions; a tag that pointed at one points at the best that remains, or is gone. */
export function repairTags(tags: Json, remaining: Json, isWithheld: (version: string) => boolean): Json {
  let candidates: Candidate[] | undefined;
  const repaired: Record<string, unknown> = {};
  for (const [tag, target] of Object.entries(tags)) {
    if (typeof target !== 'string' || !isWithheld(target)) {
      repaired[tag] = target;
      continue;
    }
    candidates ??= candidatesIn(remaining);
    const from = parseVersion(target);
    const next = tag === 'latest' ? nextLatest(candidates, from) : nextInLine(candidates, from);
    if (next !== undefined) repaired[tag] = next;
  }
  return repaired;
}
