/** What NuGet's clients ask for that find a package in a lockfile. */
import type { Wanted, WarmStep } from '../../core/warm.ts';
import {
  indexPath,
  lowerId,
  nupkgPath,
  packageKey,
  registrationPath,
  signaturesPath,
  versionsPath,
  vulnerabilitiesPath,
} from './address.ts';
import { parseObject } from './json.ts';
import { normalVersion } from './version.ts';

const listBytes = 64 * 1024 * 1024;

/** Every restore looks for known vulnerabilities, and warns when it can't. */
function* vulnerabilityPagesIn(bytes: Uint8Array): Iterable<WarmStep> {
  const pages: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
  for (const page of Array.isArray(pages) ? (pages as readonly unknown[]) : []) {
    const [, path] = /(v3\/vulnerabilities\/[\w-]+\.json)$/.exec(String((page as { '@id'?: unknown })['@id'])) ?? [];
    if (path !== undefined) yield { path, optional: true };
  }
}

function* newestIn(id: string, bytes: Uint8Array): Iterable<WarmStep> {
  const { versions } = parseObject(bytes);
  const listed = Array.isArray(versions) ? versions.filter((one) => typeof one === 'string') : [];
  // Lowest first.
  const newest = listed.findLast((one) => !one.includes('-')) ?? listed.at(-1);
  const version = normalVersion(newest ?? '');
  if (version === undefined) throw new Error(`${id} has no version`);
  yield { path: nupkgPath({ id, version }) };
}

/**
 * The digests of a lockfile are of the package before it was signed, so who reads them gives none. Throws an Error on what can be no
 * package.
 */
export function* warm({ name, version, digests }: Wanted): Iterable<WarmStep> {
  const id = lowerId(name);
  if (id === undefined) throw new Error(`${name} is no id of a package`);
  yield { path: indexPath, headersOnly: true };
  yield { path: signaturesPath, headersOnly: true, optional: true };
  yield { path: vulnerabilitiesPath, optional: true, read: { limit: listBytes, next: vulnerabilityPagesIn } };
  if (version === undefined) {
    yield { path: versionsPath(id), read: { limit: listBytes, next: (bytes) => newestIn(id, bytes) } };
  } else {
    const key = packageKey(name, version);
    if (!key) throw new Error(`${version} is no version of ${name}`);
    yield { path: versionsPath(id), headersOnly: true };
    yield { path: nupkgPath(key), digests };
  }
  // Only what lists or updates packages reads it.
  yield { path: registrationPath(id, 'registration-semver2'), headersOnly: true, optional: true, further: true };
}
