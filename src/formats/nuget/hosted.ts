/** What is published here, as an upstream that had it would tell it. */
import { hexOf } from '../../core/digest.ts';
import type { Body, Document, PackageRecord, View } from '../../core/format.ts';
import { besidePath, nupkgPath, type PackageKey } from './address.ts';
import { type Json, jsonBody } from './json.ts';

/** Where nobody is asked: what stands below it is replaced before anybody sees it. */
const nowhere = 'http://hosted.invalid/';

function bytesOf(record: PackageRecord, key: PackageKey): Json {
  const nupkg = record.files.find(({ path }) => path === nupkgPath(key));
  const digest = nupkg?.digests.find((one) => one.startsWith('sha512:'));
  if (!nupkg || !digest) return {};
  return {
    packageHash: Buffer.from(hexOf(digest), 'hex').toString('base64'),
    packageHashAlgorithm: 'SHA512',
    packageSize: nupkg.size,
  };
}

const addresses = { icon: 'iconUrl', readme: 'readmeUrl', license: 'licenseUrl' } as const;

/** What lies beside the package stands where its nuspec may have an address, too. */
function besideOf(record: PackageRecord, key: PackageKey): Json {
  const paths = new Set(record.files.map(({ path }) => path));
  return Object.fromEntries(
    Object.entries(addresses)
      .filter(([file]) => paths.has(besidePath(key, file)))
      .map(([file, field]) => [field, `${nowhere}${besidePath(key, file)}`]),
  );
}

/** A version as the catalog would have it. It keeps its date when it is withdrawn: the day is what somebody may ask about. */
export function entryOf(record: PackageRecord): Json {
  const { name: id, version, facts, publishedAt } = record;
  const key = { id, version };
  return {
    ...facts,
    ...besideOf(record, key),
    '@type': 'PackageDetails',
    listed: record.yanked !== true,
    created: publishedAt,
    published: publishedAt,
    ...bytesOf(record, key),
  };
}

function recordsOf({ name }: Document, view: View): readonly PackageRecord[] {
  return name === undefined ? [] : view.records(name);
}

/** Offers everything that is rendered, and with `hosted` that something can be published. */
export function renderIndex(): Body {
  const at = (path: string, type: string): Json => ({ '@id': `${nowhere}${path}`, '@type': type });
  return jsonBody({
    version: '3.0.0',
    hosted: true,
    resources: [
      at('v3/flat/', 'PackageBaseAddress/3.0.0'),
      at('v3/registration-semver2/', 'RegistrationsBaseUrl/3.6.0'),
      at('v3/search', 'SearchQueryService/3.5.0'),
      at('v3/autocomplete', 'SearchAutocompleteService/3.5.0'),
    ],
  });
}

export function renderVersions(want: Document, view: View): Body | undefined {
  const records = recordsOf(want, view);
  return records.length === 0 ? undefined : jsonBody({ versions: records.map(({ version }) => version) });
}

export function renderRegistration(want: Document, view: View): Body | undefined {
  const records = recordsOf(want, view);
  if (records.length === 0) return undefined;
  return jsonBody({ items: [{ items: records.map((record) => ({ catalogEntry: entryOf(record) })) }] });
}

export function renderLeaf({ name, version }: Document, view: View): Body | undefined {
  const record = name === undefined || version === undefined ? undefined : view.record(name, version);
  return record && jsonBody({ catalogEntry: entryOf(record) });
}

/** Nobody signs packages on their way in: whatever others in the same feed sign, not everything is signed. */
export const renderSignatures = (): Body => jsonBody({ allRepositorySigned: false, signingCertificates: [] });
