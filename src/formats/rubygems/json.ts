/** The two documents of rubygems.org's API that tools resolve with (Dependabot, Renovate, `bundle outdated`). */
import type { Body, DocumentType, Link } from '../../core/format.ts';
import { bufferOf } from './text.ts';

type Fields = Readonly<Record<string, unknown>>;

const jsonType = 'application/json; charset=utf-8';

function jsonBody(value: unknown): Body {
  return { headers: { 'content-type': jsonType }, bytes: Buffer.from(JSON.stringify(value)) };
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const parse = (bytes: Uint8Array): unknown => JSON.parse(bufferOf(bytes).toString('utf8'));

/** As the compact index writes it: the platform follows unless it is `ruby`. */
function fullVersion({ number, version, platform }: Fields): string {
  const plain = String(number ?? version);
  return typeof platform === 'string' && platform !== 'ruby' ? `${plain}-${platform}` : plain;
}

/** `/api/v1/gems/{name}.json`: the newest version. Its `gem_uri` leads to us. */
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
  encode(doc, _variant, base) {
    if (doc.gem_uri === undefined) return jsonBody(doc);
    return jsonBody({ ...doc, gem_uri: `${base}/gems/${doc.name}-${fullVersion(doc)}.gem` });
  },
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
  withhold: (doc, refused) => doc.filter((one) => !refused(fullVersion(one))),
  encode(doc, variant) {
    if (variant !== 'latest') return jsonBody(doc);
    return jsonBody({ version: doc.find((one) => !isPrerelease(one))?.number ?? 'unknown' });
  },
};
