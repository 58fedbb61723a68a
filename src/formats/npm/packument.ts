/** The document npm calls packument: everything a registry knows of one package, in a full and an abbreviated form. */
import { fromIntegrity, parseDigest } from '../../core/digest.ts';
import type { Body, Digest, DocumentType, Link, Origin, Refusal } from '../../core/format.ts';
import { isSafePath } from '../../core/path.ts';
import { renderPackument } from './hosted.ts';
import { isObject, type Json, jsonBody, parseJson } from './json.ts';
import { escapeName, tarballPath, tarballUrl } from './name.ts';
import { repairTags } from './tags.ts';

export const abbreviatedType = 'application/vnd.npm.install-v1+json';

/** What upstream said, untouched, and which of the two forms it is. */
export interface Packument {
  readonly json: Json & { readonly name: string };
  readonly form: 'full' | 'abbreviated';
}

/** Several of the biggest known ones (40 MB) would fit; it exists so that nobody can fill the memory. */
const limit = 128 * 1024 * 1024;

/** Of each version, what the abbreviated form keeps. `libc` came later than npm's list of them; npm and pnpm read it. */
const abbreviatedFields = [
  'name',
  'version',
  'deprecated',
  'dependencies',
  'optionalDependencies',
  'devDependencies',
  'bundleDependencies',
  'bundledDependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'acceptDependencies',
  'bin',
  'directories',
  'dist',
  'engines',
  'os',
  'cpu',
  'libc',
  'funding',
  '_hasShrinkwrap',
  'hasInstallScript',
] as const;

const installScripts = ['preinstall', 'install', 'postinstall'];

/** Own keys only, so that a version called `__proto__` is a version. */
function dictionary(): Record<string, unknown> {
  return Object.create(null) as Record<string, unknown>;
}

function objectAt(json: Json, key: string): Json {
  const value = json[key];
  return isObject(value) ? value : {};
}

function decode(bytes: Uint8Array, origin: Origin): Packument {
  const json = parseJson(bytes);
  if (json.name !== origin.path) throw new Error('the document has another name than was asked for');
  const unpublished = 'unpublished' in objectAt(json, 'time');
  if (!isObject(json.versions) && !(unpublished && json.versions === undefined)) {
    throw new Error('the document has no versions');
  }
  for (const manifest of Object.values(objectAt(json, 'versions'))) {
    if (!isObject(manifest)) throw new Error('a version in the document is no object');
  }
  const tags = json['dist-tags'];
  if (tags !== undefined && !isObject(tags)) throw new Error('the dist-tags of the document are no object');
  const isAbbreviated = json._id === undefined && typeof json.modified === 'string';
  return { json: json as Packument['json'], form: isAbbreviated ? 'abbreviated' : 'full' };
}

/** The strongest that the registry tells; several of one strength mean "any of them", which is no expectation to check against. */
function digestsOf(dist: Json): readonly Digest[] {
  const told = typeof dist.integrity === 'string' ? fromIntegrity(dist.integrity) : [];
  for (const algorithm of ['sha512', 'sha256', 'sha1']) {
    const same = [...new Set(told.filter((digest) => digest.startsWith(algorithm)))];
    if (same.length === 1) return same;
  }
  const shasum = typeof dist.shasum === 'string' ? parseDigest(`sha1:${dist.shasum}`) : undefined;
  return shasum ? [shasum] : [];
}

/** Registries behind a TLS proxy that was set up wrongly hand out `http:` addresses of themselves. */
function locate(tarball: string, from: URL): string | undefined {
  const url = URL.parse(tarball, from.href);
  if (!url) return undefined;
  if (url.protocol === 'http:' && from.protocol === 'https:' && url.host === from.host) url.protocol = 'https:';
  return url.href;
}

/** The path under which a lockfile written elsewhere may ask for the same bytes: upstream's own file name, or one without build metadata (pnpm). */
function aliasesOf(name: string, version: string, url: string | undefined): string[] {
  const aliases: string[] = [];
  if (version.includes('+')) aliases.push(tarballPath(name, version.slice(0, version.indexOf('+'))));
  const file = url && /\/-\/(?:[^?#]*\/)?([^/?#]+\.tgz)$/.exec(url)?.[1];
  if (file) {
    try {
      const decoded = decodeURIComponent(file);
      if (!decoded.includes('/')) aliases.push(`${name}/-/${decoded}`);
    } catch {
      // A file name that can't be decoded can't be asked for.
    }
  }
  return aliases.filter((alias) => alias !== tarballPath(name, version) && isSafePath(alias));
}

function* links({ json }: Packument, origin: Origin): Iterable<Link> {
  const versions = Object.entries(objectAt(json, 'versions')) as [string, Json][];
  const time = objectAt(json, 'time');
  const from = new URL(origin.url);
  const taken = new Set(versions.map(([version]) => tarballPath(json.name, version)));
  for (const [version, manifest] of versions) {
    const dist = objectAt(manifest, 'dist');
    const url = typeof dist.tarball === 'string' ? locate(dist.tarball, from) : undefined;
    const digests = digestsOf(dist);
    const publishedAt = time[version];
    const link = {
      ...(url === undefined ? {} : { url }),
      ...(digests.length > 0 ? { digests } : {}),
      version,
      ...(typeof publishedAt === 'string' ? { publishedAt } : {}),
    };
    const path = tarballPath(json.name, version);
    if (isSafePath(path)) yield { path, ...link };
    for (const alias of aliasesOf(json.name, version, url)) {
      if (taken.has(alias)) continue;
      taken.add(alias);
      yield { path: alias, ...link };
    }
  }
}

/** ISO times sort as text. */
function timesOf(docs: readonly Packument[], key: 'created' | 'modified'): string[] {
  return docs
    .map(({ json }) => objectAt(json, 'time')[key] ?? (key === 'modified' ? json.modified : undefined))
    .filter((at) => typeof at === 'string')
    .sort();
}

/** A version's time comes from the document its manifest comes from, or not at all. */
function mergeTimes(docs: readonly Packument[], owners: ReadonlyMap<string, Packument>): Json {
  const time = dictionary();
  for (const doc of docs) {
    for (const [key, at] of Object.entries(objectAt(doc.json, 'time'))) {
      const owner = owners.get(key);
      if (owner ? owner === doc : !(key in time)) time[key] = at;
    }
  }
  if (owners.size > 0) delete time.unpublished;
  if ('created' in time) time.created = timesOf(docs, 'created')[0];
  if ('modified' in time) time.modified = timesOf(docs, 'modified').at(-1);
  return time;
}

function merge(docs: readonly Packument[]): Packument {
  const [first, ...others] = docs;
  if (!first) throw new Error('there is nothing to merge');
  if (others.length === 0) return first;
  const versions = dictionary();
  const tags = dictionary();
  const owners = new Map<string, Packument>();
  for (const doc of docs) {
    for (const [version, manifest] of Object.entries(objectAt(doc.json, 'versions'))) {
      if (owners.has(version)) continue;
      owners.set(version, doc);
      versions[version] = manifest;
    }
    for (const [tag, version] of Object.entries(objectAt(doc.json, 'dist-tags'))) {
      if (!(tag in tags)) tags[tag] = version;
    }
  }
  const modified = timesOf(docs, 'modified').at(-1);
  return {
    form: docs.every(({ form }) => form === 'abbreviated') ? 'abbreviated' : 'full',
    json: {
      ...first.json,
      'dist-tags': tags,
      versions,
      ...(docs.some(({ json }) => isObject(json.time)) ? { time: mergeTimes(docs, owners) } : {}),
      ...('modified' in first.json && modified !== undefined ? { modified } : {}),
    },
  };
}

/** npm shows this text when somebody asks for a version that is in `policyRestrictions`. */
function messageFor(reasons: ReadonlyMap<string, readonly string[]>): string {
  const shown = 10;
  return [...reasons]
    .map(([reason, versions]) => {
      const more = versions.length > shown ? ` and ${versions.length - shown} more` : '';
      return `${versions.slice(-shown).join(', ')}${more}: ${reason}`;
    })
    .join('\n');
}

function withhold(doc: Packument, refused: (version: string) => Refusal | undefined): Packument {
  const { json } = doc;
  const versions = dictionary();
  const restricted = dictionary();
  const reasons = new Map<string, string[]>();
  for (const [version, manifest] of Object.entries(objectAt(json, 'versions'))) {
    const refusal = refused(version);
    if (!refusal) {
      versions[version] = manifest;
      continue;
    }
    restricted[version] = { name: json.name, version };
    const reason = refusal.until === undefined ? refusal.reason : `${refusal.reason} (until ${refusal.until})`;
    reasons.set(reason, [...(reasons.get(reason) ?? []), version]);
  }
  if (reasons.size === 0) return doc;
  const time = Object.fromEntries(Object.entries(objectAt(json, 'time')).filter(([key]) => !(key in restricted)));
  const before = objectAt(json, 'policyRestrictions');
  const message = [before.message, messageFor(reasons)].filter((text) => typeof text === 'string').join('\n');
  return {
    form: doc.form,
    json: {
      ...json,
      'dist-tags': repairTags(objectAt(json, 'dist-tags'), versions, (version) => version in restricted),
      versions,
      ...(isObject(json.time) ? { time } : {}),
      policyRestrictions: { ...before, versions: { ...objectAt(before, 'versions'), ...restricted }, message },
    },
  };
}

/** Whatever a client might fetch from points at us; signatures and integrity are upstream's. */
function rewritten(manifest: Json, name: string, version: string, base: string): Json {
  const dist = objectAt(manifest, 'dist');
  const tarball = tarballUrl(base, name, version);
  const attestations = isObject(dist.attestations)
    ? { attestations: { ...dist.attestations, url: attestationUrl(base, name, version) } }
    : {};
  // Left behind by the client that published it, with the address it was once fetched from.
  const resolved =
    typeof manifest._resolved === 'string' && /^https?:/.test(manifest._resolved) ? { _resolved: tarball } : {};
  return { ...manifest, ...resolved, dist: { ...dist, tarball, ...attestations } };
}

function attestationUrl(base: string, name: string, version: string): string {
  return `${base}/-/npm/v1/attestations/${escapeName(name)}@${encodeURIComponent(version)}`;
}

/** The registry tells it only in the abbreviated form, so it has to be worked out for ours. */
function hasInstallScript(manifest: Json): boolean {
  if (typeof manifest.hasInstallScript === 'boolean') return manifest.hasInstallScript;
  const scripts = objectAt(manifest, 'scripts');
  return manifest.gypfile === true || installScripts.some((script) => Boolean(scripts[script]));
}

function abbreviated(manifest: Json): Json {
  const short: Record<string, unknown> = {};
  for (const field of abbreviatedFields) if (field in manifest) short[field] = manifest[field];
  if (hasInstallScript(manifest)) short.hasInstallScript = true;
  return short;
}

function allVersions({ json }: Packument, base: string, project: (manifest: Json) => Json): Json {
  const versions = dictionary();
  for (const [version, manifest] of Object.entries(objectAt(json, 'versions')) as [string, Json][]) {
    versions[version] = rewritten(project(manifest), json.name, version, base);
  }
  return versions;
}

function modifiedAt(json: Json): string | undefined {
  const modified = objectAt(json, 'time').modified ?? json.modified;
  return typeof modified === 'string' && !Number.isNaN(Date.parse(modified)) ? modified : undefined;
}

/** pnpm takes `Last-Modified` of a packument for its `time.modified`, so it is that or nothing. */
function withModified(json: Json, contentType: string, of: Json): Body {
  const modified = modifiedAt(of);
  return jsonBody(json, {
    'content-type': contentType,
    ...(modified === undefined ? {} : { 'last-modified': new Date(modified).toUTCString() }),
  });
}

function encodeAbbreviated(doc: Packument, base: string): Body {
  const { json } = doc;
  if (doc.form === 'abbreviated') {
    const versions = allVersions(doc, base, (manifest) => manifest);
    return withModified(json.versions === undefined ? json : { ...json, versions }, abbreviatedType, json);
  }
  const modified = modifiedAt(json);
  const short: Json = {
    name: json.name,
    ...(modified === undefined ? {} : { modified }),
    'dist-tags': json['dist-tags'] ?? {},
    versions: allVersions(doc, base, abbreviated),
    ...(json.policyRestrictions === undefined ? {} : { policyRestrictions: json.policyRestrictions }),
    // Not in the registry's own abbreviated form; clients that hold back young versions are spared a second request.
    ...(isObject(json.time) ? { time: json.time } : {}),
  };
  return withModified(short, abbreviatedType, json);
}

function encodeVersion({ json }: Packument, wanted: string, base: string): Body | undefined {
  const versions = objectAt(json, 'versions');
  const tags = objectAt(json, 'dist-tags');
  const tagged = tags[wanted];
  const version = Object.hasOwn(versions, wanted) ? wanted : typeof tagged === 'string' ? tagged : undefined;
  if (version === undefined || !Object.hasOwn(versions, version)) return undefined;
  return jsonBody(rewritten(versions[version] as Json, json.name, version, base));
}

/** Whoever maintains it, and nobody else: who may read is no secret of the document's. */
function collaborators({ maintainers }: Json): Json {
  const names = (Array.isArray(maintainers) ? maintainers : []).flatMap((one) => {
    const name = isObject(one) ? one.name : one;
    return typeof name === 'string' ? [[name.replace(/\s*<.*$/, ''), 'read-write']] : [];
  });
  return Object.fromEntries(names);
}

function encode(doc: Packument, variant: string, base: string): Body | undefined {
  const { json } = doc;
  if (variant === 'abbreviated') return encodeAbbreviated(doc, base);
  if (variant === 'tags') return jsonBody(objectAt(json, 'dist-tags'));
  if (variant === 'visibility') return jsonBody({ public: json.access === undefined || json.access === 'public' });
  if (variant === 'access') return jsonBody({ package: json.name, access: json.access ?? 'public' });
  if (variant === 'collaborators') return jsonBody(collaborators(json));
  if (variant.startsWith('version:')) return encodeVersion(doc, variant.slice('version:'.length), base);
  const versions = allVersions(doc, base, (manifest) => manifest);
  return withModified(json.versions === undefined ? json : { ...json, versions }, 'application/json', json);
}

export const packument: DocumentType<Packument> = {
  id: 'packument',
  limit,
  representations: {
    all: ['full', 'abbreviated'],
    of: (variant) => (variant === 'abbreviated' ? 'abbreviated' : 'full'),
    accept: (representation) =>
      representation === 'abbreviated' ? `${abbreviatedType}; q=1.0, application/json; q=0.8, */*` : 'application/json',
    coveredBy: (representation) => (representation === 'abbreviated' ? ['full'] : []),
    arrived: (_asked, origin) => (origin.headers['content-type']?.includes(abbreviatedType) ? 'abbreviated' : 'full'),
  },
  decode,
  links,
  merge,
  render: renderPackument,
  withhold,
  encode,
};
