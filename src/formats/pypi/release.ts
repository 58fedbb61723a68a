/** What `/pypi/{name}/json` says, for tools that look for updates and for known vulnerabilities; installers do not read it. */
import { parseDigest } from '../../core/digest.ts';
import type { DocumentType, Link, Origin, Refusal } from '../../core/format.ts';
import { encodePath, isSafePath } from '../../core/path.ts';
import { keyFor, pathOf } from './file.ts';
import { renderRelease } from './hosted.ts';
import { isObject, type Json, jsonBody, parseJson } from './json.ts';
import { normalized, versionOf } from './name.ts';

export interface Release {
  /** Normalised. */
  readonly name: string;
  readonly json: Json & { readonly info: Json };
}

const limit = 64 * 1024 * 1024;

/** `pypi/{name}/json` or `pypi/{name}/{version}/json` */
function nameIn(path: string): string {
  return path.split('/')[1] ?? '';
}

function files(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function releasesOf({ releases }: Json): readonly (readonly [string, readonly Json[]])[] {
  return isObject(releases) ? Object.entries(releases).map(([version, value]) => [version, files(value)]) : [];
}

function decode(bytes: Uint8Array, origin: Origin): Release {
  const json = parseJson(bytes);
  const name = nameIn(origin.path);
  if (!isObject(json.info)) throw new Error('the document has no info');
  if (typeof json.info.name !== 'string' || normalized(json.info.name) !== name) {
    throw new Error('the document has another name than was asked for');
  }
  if (!Array.isArray(json.urls)) throw new Error('the document has no list of files');
  return { name, json: json as Release['json'] };
}

/** Below the repository; `undefined` for a file that cannot be asked for. */
function pathFor(name: string, file: Json): string | undefined {
  if (typeof file.filename !== 'string' || file.filename.includes('/')) return undefined;
  const digests = isObject(file.digests) ? file.digests : {};
  const sha256 = typeof digests.sha256 === 'string' ? parseDigest(`sha256:${digests.sha256}`) : undefined;
  const md5 = parseDigest(`md5:${String(digests.md5 ?? file.md5_digest ?? '')}`);
  const path = pathOf(name, keyFor(sha256 ?? md5), file.filename);
  return isSafePath(path) ? path : undefined;
}

/** Only for the policy gate: what to fetch and how to check it the project's page says. */
function* links({ name, json }: Release): Iterable<Link> {
  const seen = new Set<string>();
  const all = [...releasesOf(json).flatMap(([, some]) => some), ...files(json.urls)];
  for (const file of all) {
    const path = pathFor(name, file);
    const version = typeof file.filename === 'string' ? versionOf(name, file.filename) : undefined;
    if (path === undefined || version === undefined || seen.has(path)) continue;
    seen.add(path);
    const publishedAt = file.upload_time_iso_8601 ?? file.upload_time;
    yield { path, version, ...(typeof publishedAt === 'string' ? { publishedAt } : {}) };
  }
}

function withhold(doc: Release, refused: (version: string) => Refusal | undefined): Release {
  const isKept = (file: Json): boolean => {
    const version = typeof file.filename === 'string' ? versionOf(doc.name, file.filename) : undefined;
    return version === undefined || !refused(version);
  };
  const { releases } = doc.json;
  const kept = releasesOf(doc.json).flatMap(([version, some]): [string, readonly Json[]][] => {
    const left = some.filter(isKept);
    return left.length === 0 && some.length > 0 ? [] : [[version, left]];
  });
  return {
    name: doc.name,
    json: {
      ...doc.json,
      ...(isObject(releases) ? { releases: Object.fromEntries(kept) } : {}),
      urls: files(doc.json.urls).filter(isKept),
    },
  };
}

function encode({ name, json }: Release, base: string): Json {
  const ours = (file: Json): Json[] => {
    const path = pathFor(name, file);
    return path === undefined ? [] : [{ ...file, url: `${base}/${encodePath(path)}` }];
  };
  return {
    ...json,
    ...(isObject(json.releases)
      ? { releases: Object.fromEntries(releasesOf(json).map(([version, some]) => [version, some.flatMap(ours)])) }
      : {}),
    urls: files(json.urls).flatMap(ours),
  };
}

/** The first source that has it answers: what is said about a release beside its files cannot be mixed. */
export const release: DocumentType<Release> = {
  id: 'release',
  limit,
  decode,
  links,
  render: renderRelease,
  withhold,
  encode: (doc, _variant, base) => jsonBody(encode(doc, base)),
};
