/** The two documents of rubygems.org's API that tools resolve with (Dependabot, Renovate, `bundle outdated`). */

import type { Requirement } from '../../codecs/gem-marshal.ts';
import type { Body, DocumentType, Link } from '../../core/format.ts';
import { clausesOf, type GemFacts, highestFirst, newestOf, type Release, releasesOf } from './release.ts';
import { bufferOf } from './text.ts';
import { isPrereleaseNumber } from './version.ts';

export type Fields = Readonly<Record<string, unknown>>;

const jsonType = 'application/json; charset=utf-8';

export function jsonBody(value: unknown): Body {
  return { headers: { 'content-type': jsonType }, bytes: Buffer.from(JSON.stringify(value)) };
}

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const parse = (bytes: Uint8Array): unknown => JSON.parse(bufferOf(bytes).toString('utf8'));

/** As the compact index writes it: the platform follows unless it is `ruby`. */
function fullVersion({ number, version, platform }: Fields): string {
  const plain = String(number ?? version);
  return typeof platform === 'string' && platform !== 'ruby' ? `${plain}-${platform}` : plain;
}

const clauseText = (requirement: Requirement): string => clausesOf(requirement).join(', ');

function needsOf(facts: GemFacts, wanted: 'runtime' | 'development'): readonly Fields[] {
  const needed = facts.dependencies.filter(({ type }) => type === wanted);
  return needed.map(({ name, requirement }) => ({ name, requirements: clauseText(requirement) }));
}

/** One version as rubygems.org describes it; nothing that would be about somebody's site or count its downloads. */
export function factsAbout(release: Release): Fields {
  const { name, publishedAt } = release;
  const facts = release.facts();
  const { metadata } = facts;
  return {
    name,
    version: facts.version,
    version_created_at: publishedAt,
    platform: facts.platform,
    authors: facts.authors.join(', '),
    info: facts.description ?? facts.summary,
    licenses: facts.licenses,
    metadata,
    yanked: false,
    sha: facts.sha256,
    // Ours is put in its place.
    gem_uri: '',
    homepage_uri: metadata.homepage_uri ?? facts.homepage ?? null,
    wiki_uri: metadata.wiki_uri ?? null,
    documentation_uri: metadata.documentation_uri ?? null,
    mailing_list_uri: metadata.mailing_list_uri ?? null,
    source_code_uri: metadata.source_code_uri ?? null,
    bug_tracker_uri: metadata.bug_tracker_uri ?? null,
    changelog_uri: metadata.changelog_uri ?? null,
    funding_uri: metadata.funding_uri ?? null,
    dependencies: { development: needsOf(facts, 'development'), runtime: needsOf(facts, 'runtime') },
  };
}

/** As it is in the list of a gem's versions. */
function versionFields({ publishedAt, ...release }: Release): Fields {
  const facts = release.facts();
  return {
    authors: facts.authors.join(', '),
    built_at: `${facts.date}T00:00:00.000Z`,
    created_at: publishedAt,
    description: facts.description ?? null,
    metadata: facts.metadata,
    number: facts.version,
    summary: facts.summary,
    platform: facts.platform,
    rubygems_version: clauseText(facts.requiredRubygems),
    ruby_version: clauseText(facts.requiredRuby),
    prerelease: isPrereleaseNumber(facts.version),
    licenses: facts.licenses,
    requirements: [],
    sha: facts.sha256,
  };
}

/** Its `gem_uri` leads to us. */
export function withGemUri(facts: Fields, base: string): Fields {
  if (facts.gem_uri === undefined) return facts;
  return { ...facts, gem_uri: `${base}/gems/${facts.name}-${fullVersion(facts)}.gem` };
}

/** `/api/v1/gems/{name}.json`: the newest version. */
export const gemFacts: DocumentType<Fields> = {
  id: 'gem-facts',
  limit: 8 * 1024 * 1024,
  contentType: jsonType,
  decode(bytes) {
    const doc = parse(bytes);
    if (!isFields(doc) || typeof doc.name !== 'string' || typeof doc.version !== 'string') {
      throw new Error('it has no name and version');
    }
    return doc;
  },
  render({ name = '' }, view) {
    const newest = newestOf(releasesOf(view, name));
    return newest && jsonBody(factsAbout(newest));
  },
  encode: (doc, _variant, base) => jsonBody(withGemUri(doc, base)),
};

const isPrerelease = ({ prerelease, number }: Fields): boolean => prerelease === true || /[a-z]/i.test(String(number));

/** `/api/v1/versions/{name}.json`: all versions, newest first, and when each was published. Variant `latest`: the newest alone. */
export const versionList: DocumentType<readonly Fields[]> = {
  id: 'version-list',
  limit: 64 * 1024 * 1024,
  contentType: jsonType,
  decode(bytes) {
    const doc = parse(bytes);
    if (!Array.isArray(doc) || doc.length === 0) throw new Error('it is no list of versions');
    for (const one of doc)
      if (!isFields(one) || typeof one.number !== 'string') throw new Error('a version has no number');
    return doc as readonly Fields[];
  },
  links: (doc, { path }) =>
    doc.map((one): Link => {
      const version = fullVersion(one);
      const name = path.slice(path.lastIndexOf('/') + 1, -'.json'.length);
      return {
        path: `gems/${name}-${version}.gem`,
        version,
        ...(typeof one.created_at === 'string' ? { publishedAt: one.created_at } : {}),
      };
    }),
  render({ name = '' }, view) {
    const releases = highestFirst(releasesOf(view, name));
    return releases.length === 0 ? undefined : jsonBody(releases.map(versionFields));
  },
  withhold: (doc, refused) => doc.filter((one) => !refused(fullVersion(one))),
  encode(doc, variant) {
    if (variant !== 'latest') return jsonBody(doc);
    return jsonBody({ version: doc.find((one) => !isPrerelease(one))?.number ?? 'unknown' });
  },
};
