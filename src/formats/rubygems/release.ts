/** A version that is published here: what is kept of it, and how the pages of the index tell it. */
import { createHash, type Hash } from 'node:crypto';
import type { Requirement, Specification } from '../../codecs/gem-marshal.ts';
import type { Digest, PackageRecord, View } from '../../core/format.ts';
import { gemPath } from './name.ts';
import { compareParts, isPrereleaseNumber, partsOf } from './version.ts';

/** What the format keeps of a version beside its files. */
export interface GemFacts extends Omit<Specification, 'name' | 'platformParts' | 'rubygemsVersion'> {
  /** Of the `.gem`, in hexadecimal; it outlives the file. */
  readonly sha256: string;
}

export interface Release {
  readonly name: string;
  /** With the platform where it is not `ruby`. */
  readonly fullVersion: string;
  readonly number: string;
  readonly platform: string;
  /** ISO 8601, to the millisecond. */
  readonly publishedAt: string;
  readonly changedAt: string;
  readonly isYanked: boolean;
  /** Of the `.gem`, while it is there; tells this release from all others. */
  readonly digest: () => Digest | undefined;
  /** Read from where they are kept, which takes its time. */
  readonly facts: () => GemFacts;
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

/** Of the page of its gem, without its newline. */
export function lineOf({ fullVersion, publishedAt, facts: read }: Release): string {
  const facts = read();
  const needs = runtimeOf(facts).map(({ name, requirement }) => `${name}:${clausesOf(requirement).join('&')}`);
  const told = [
    `checksum:${facts.sha256}`,
    ...(isAny(facts.requiredRuby) ? [] : [`ruby:${clausesOf(facts.requiredRuby).join('&')}`]),
    ...(isAny(facts.requiredRubygems) ? [] : [`rubygems:${clausesOf(facts.requiredRubygems).join('&')}`]),
    `created_at:${secondsOf(publishedAt)}`,
  ];
  return `${fullVersion} ${needs.join(',')}|${told.join(',')}`;
}

function releaseOf(record: PackageRecord): Release {
  const { name, version, publishedAt, changedAt } = record;
  const dash = version.indexOf('-');
  return {
    name,
    fullVersion: version,
    number: dash === -1 ? version : version.slice(0, dash),
    platform: dash === -1 ? 'ruby' : version.slice(dash + 1),
    publishedAt,
    changedAt,
    isYanked: record.yanked ?? false,
    digest: () => record.files.find(({ path }) => path === gemPath(`${name}-${version}`))?.digest,
    facts: () => record.facts as unknown as GemFacts,
  };
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
  const lines = releases.filter(({ isYanked }) => !isYanked).map((release) => `${lineOf(release)}\n`);
  return `---\n${lines.join('')}`;
}

/** Highest first; of the same number the one for any platform. */
export function highestFirst(releases: readonly Release[]): readonly Release[] {
  return releases
    .filter(({ isYanked }) => !isYanked)
    .map((release) => ({ release, parts: partsOf(release.number) }))
    .toSorted(
      (one, other) =>
        compareParts(other.parts, one.parts) ||
        Number(one.release.platform !== 'ruby') - Number(other.release.platform !== 'ruby'),
    )
    .map(({ release }) => release);
}

/** The one that people get who do not ask for another. */
export function newestOf(releases: readonly Release[]): Release | undefined {
  const all = highestFirst(releases);
  return all.find(({ number }) => !isPrereleaseNumber(number)) ?? all[0];
}

interface Happened {
  readonly at: string;
  readonly release: Release;
  readonly isYank: boolean;
}

interface Line {
  readonly at: string;
  readonly text: string;
}

/** Line by line what `/versions` says of one gem, each with the MD5 that its page had then. */
function linesOf(name: string, releases: readonly Release[]): readonly Line[] {
  const happened = releases.flatMap((release): Happened[] => [
    { at: release.publishedAt, release, isYank: false },
    ...(release.isYanked ? [{ at: release.changedAt, release, isYank: true }] : []),
  ]);
  const listed = new Map<Release, string>();
  const start = (): Hash => createHash('md5').update('---\n');
  let page = start();
  return happened
    .toSorted((one, other) => compareTimes(one.at, other.at))
    .map(({ at, release, isYank }) => {
      if (isYank) {
        listed.delete(release);
        page = start();
        for (const line of listed.values()) page.update(line);
      } else {
        const line = `${lineOf(release)}\n`;
        listed.set(release, line);
        page.update(line);
      }
      return { at, text: `${name} ${isYank ? '-' : ''}${release.fullVersion} ${page.copy().digest('hex')}\n` };
    });
}

/**
 * Lines by everything that they are made of, so that a push makes new ones of its own gem alone. The digest of a gem stands for
 * what it says.
 */
const known = new Map<string, readonly Line[]>();
const mostKnown = 20_000;

function keyOf(name: string, releases: readonly Release[]): string | undefined {
  const hash = createHash('sha256').update(name);
  for (const release of releases) {
    const digest = release.digest();
    if (digest === undefined) return undefined;
    const { fullVersion, publishedAt, changedAt, isYanked } = release;
    hash.update(`\n${fullVersion} ${digest} ${publishedAt} ${isYanked ? changedAt : ''}`);
  }
  return hash.digest('base64');
}

function linesFor(name: string, releases: readonly Release[]): readonly Line[] {
  const key = keyOf(name, releases);
  if (key === undefined) return linesOf(name, releases);
  const lines = known.get(key) ?? linesOf(name, releases);
  known.delete(key);
  known.set(key, lines);
  const [oldest] = known.size > mostKnown ? known.keys() : [];
  if (oldest !== undefined) known.delete(oldest);
  return lines;
}

/**
 * `/versions`: what happened, in the order in which it did, so that what clients have stays the beginning of it. The last line of
 * a gem has the MD5 of its page.
 */
export function versionsText(view: View): string {
  const lines = [...view.names()].flatMap((name) => linesFor(name, releasesOf(view, name)));
  const inOrder = lines.toSorted((one, other) => compareTimes(one.at, other.at));
  return `---\n${inOrder.map(({ text }) => text).join('')}`;
}
