/** A version that is published here: what is kept of it, and how the pages of the index tell it. */
import { createHash, type Hash } from 'node:crypto';
import type { Requirement, Specification } from '../../codecs/gem-marshal.ts';
import type { PackageRecord, View } from '../../core/format.ts';
import { canonicalNumber, compareNumbers, fullVersionOf, isPrereleaseNumber } from './version.ts';

/** What the format keeps of a version beside its files. */
export interface GemFacts extends Omit<Specification, 'name' | 'platformParts' | 'rubygemsVersion'> {
  /** Of the `.gem`, in hexadecimal; it outlives the file. */
  readonly sha256: string;
}

export interface Release {
  readonly name: string;
  /** With the platform where it is not `ruby`. */
  readonly fullVersion: string;
  readonly facts: GemFacts;
  /** ISO 8601, to the millisecond. */
  readonly publishedAt: string;
  readonly changedAt: string;
  readonly isYanked: boolean;
  /** The same for all spellings of its number. */
  readonly canonical: string;
  /** Of the page of its gem, without its newline. */
  readonly line: string;
}

export function factsOf(spec: Specification, sha256: string): GemFacts {
  const { name: _, platformParts: _parts, rubygemsVersion: _version, ...kept } = spec;
  return { ...kept, sha256 };
}

/** In the order in which rubygems.org has them. */
export function clausesOf(requirement: Requirement): readonly string[] {
  return requirement.map(([operator, version]) => `${operator} ${version}`).toSorted();
}

const isAny = (requirement: Requirement): boolean =>
  requirement.length === 1 && requirement[0]?.[0] === '>=' && requirement[0][1] === '0';

export function runtimeOf({ dependencies }: GemFacts): GemFacts['dependencies'] {
  const needed = dependencies.filter(({ type }) => type === 'runtime');
  return needed.toSorted((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
}

/** Seconds are as exact as the compact index is. */
export function secondsOf(time: string): string {
  return `${time.slice(0, 19)}Z`;
}

function lineOf(facts: GemFacts, publishedAt: string): string {
  const needs = runtimeOf(facts).map(({ name, requirement }) => `${name}:${clausesOf(requirement).join('&')}`);
  const told = [
    `checksum:${facts.sha256}`,
    ...(isAny(facts.requiredRuby) ? [] : [`ruby:${clausesOf(facts.requiredRuby).join('&')}`]),
    ...(isAny(facts.requiredRubygems) ? [] : [`rubygems:${clausesOf(facts.requiredRubygems).join('&')}`]),
    `created_at:${secondsOf(publishedAt)}`,
  ];
  return `${fullVersionOf(facts.version, facts.platform)} ${needs.join(',')}|${told.join(',')}`;
}

/** Records are never changed, so what was made of one once is right as long as it is there. */
const known = new WeakMap<PackageRecord, Release>();

function releaseOf(record: PackageRecord): Release {
  const before = known.get(record);
  if (before) return before;
  const facts = record.facts as unknown as GemFacts;
  const { name, version, publishedAt, changedAt } = record;
  const release: Release = {
    name,
    fullVersion: version,
    facts,
    publishedAt,
    changedAt,
    isYanked: record.yanked ?? false,
    canonical: canonicalNumber(facts.version),
    line: lineOf(facts, publishedAt),
  };
  known.set(record, release);
  return release;
}

/** All versions of a gem, yanked ones too, in the order in which they came. */
export function releasesOf(view: View, name: string): readonly Release[] {
  return view
    .records(name)
    .map(releaseOf)
    .toSorted((one, other) => compareTimes(one.publishedAt, other.publishedAt));
}

export function compareTimes(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Whether there is a version of it that was not yanked. */
export function isListed(view: View, name: string): boolean {
  return view.records(name).some(({ yanked }) => !yanked);
}

/** The page of a gem with these versions, as `/info/{gem}` has it. */
export function pageText(releases: readonly Release[]): string {
  const lines = releases.filter(({ isYanked }) => !isYanked).map(({ line }) => `${line}\n`);
  return `---\n${lines.join('')}`;
}

/** Highest first; of the same number the one for any platform. */
export function highestFirst(releases: readonly Release[]): readonly Release[] {
  const order = (one: Release, other: Release): number =>
    compareNumbers(other.facts.version, one.facts.version) ||
    Number(one.facts.platform !== 'ruby') - Number(other.facts.platform !== 'ruby');
  return releases.filter(({ isYanked }) => !isYanked).toSorted(order);
}

/** The one that people get who do not ask for another. */
export function newestOf(releases: readonly Release[]): Release | undefined {
  const all = highestFirst(releases);
  return all.find(({ facts }) => !isPrereleaseNumber(facts.version)) ?? all[0];
}

interface Happened {
  readonly at: string;
  readonly release: Release;
  readonly isYank: boolean;
}

/** Line by line what `/versions` says of one gem, each with the MD5 that its page had then. */
function linesFor(view: View, name: string): readonly { readonly at: string; readonly text: string }[] {
  const happened = releasesOf(view, name).flatMap((release): Happened[] => [
    { at: release.publishedAt, release, isYank: false },
    ...(release.isYanked ? [{ at: release.changedAt, release, isYank: true }] : []),
  ]);
  const listed = new Set<Release>();
  const start = (): Hash => createHash('md5').update('---\n');
  let page = start();
  return happened
    .toSorted((one, other) => compareTimes(one.at, other.at))
    .map(({ at, release, isYank }) => {
      if (isYank) {
        listed.delete(release);
        page = start();
        for (const { line } of listed) page.update(`${line}\n`);
      } else {
        listed.add(release);
        page.update(`${release.line}\n`);
      }
      return { at, text: `${name} ${isYank ? '-' : ''}${release.fullVersion} ${page.copy().digest('hex')}\n` };
    });
}

/**
 * `/versions`: what happened, in the order in which it did, so that what clients have stays the beginning of it. The last line of
 * a gem has the MD5 of its page.
 */
export function versionsText(view: View): string {
  const lines = [...view.names()].flatMap((name) => linesFor(view, name));
  const inOrder = lines.toSorted((one, other) => compareTimes(one.at, other.at));
  return `---\n${inOrder.map(({ text }) => text).join('')}`;
}
