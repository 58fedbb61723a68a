/** The service index: what upstream says about where it has things, and what we say about ourselves. Never one for the other. */
import type { DocumentType, UpstreamFacts } from '../../core/format.ts';
import { encodePath } from '../../core/path.ts';
import {
  autocompletePath,
  indexPath,
  publishPath,
  searchPath,
  signaturesPath,
  symbolsPublishPath,
  vulnerabilitiesPath,
} from './address.ts';
import { renderIndex } from './hosted.ts';
import { type Json, jsonBody, objectsOf, parseObject, textOf } from './json.ts';

/** What is where at upstream: absolute URLs without trailing slash. What it does not offer is absent. */
export interface Resources {
  readonly flat: string;
  readonly registration: string;
  readonly search?: string;
  readonly autocomplete?: string;
  readonly signatures?: string;
  readonly vulnerabilities?: string;
  /** The second version of the protocol. */
  readonly gallery?: string;
  /** Something can be published. Of an upstream that says so it is not true, and then nothing comes of trying. */
  readonly hosted?: true;
  /** Pages for people, by the type that names them. */
  readonly pages: Readonly<Record<string, string>>;
}

/** Types in our order of preference. Of registrations the one that leaves nothing out: the older ones are filtered from it. */
const wanted = {
  flat: ['PackageBaseAddress/Versioned', 'PackageBaseAddress/3.0.0'],
  registration: [
    'RegistrationsBaseUrl/Versioned',
    'RegistrationsBaseUrl/3.6.0',
    'RegistrationsBaseUrl/3.4.0',
    'RegistrationsBaseUrl/3.0.0-rc',
    'RegistrationsBaseUrl/3.0.0-beta',
    'RegistrationsBaseUrl',
  ],
  search: [
    'SearchQueryService/Versioned',
    'SearchQueryService/3.5.0',
    'SearchQueryService/3.4.0',
    'SearchQueryService/3.0.0-rc',
    'SearchQueryService/3.0.0-beta',
    'SearchQueryService',
  ],
  autocomplete: [
    'SearchAutocompleteService/Versioned',
    'SearchAutocompleteService/3.5.0',
    'SearchAutocompleteService/3.0.0-rc',
    'SearchAutocompleteService/3.0.0-beta',
    'SearchAutocompleteService',
  ],
  signatures: ['RepositorySignatures/5.0.0', 'RepositorySignatures/4.9.0', 'RepositorySignatures/4.7.0'],
  vulnerabilities: ['VulnerabilityInfo/6.7.0'],
  gallery: ['LegacyGallery/2.0.0', 'LegacyGallery'],
} as const satisfies Record<string, readonly string[]>;

/** Templates that lead a person to a page; no client asks there by itself. */
const pageTypes = [
  'PackageDetailsUriTemplate/5.1.0',
  'ReportAbuseUriTemplate/3.0.0',
  'OwnerDetailsUriTemplate/6.11.0',
] as const;

/** By type; of several at one type (nuget.org's search in two regions) the first. */
function resourcesByType(json: Json, from: string): ReadonlyMap<string, string> {
  const version = textOf(json.version);
  if (version === undefined || !/^3\.\d/.test(version)) throw new Error('its version is not 3');
  const found = new Map<string, string>();
  for (const resource of objectsOf(json.resources, 'resources')) {
    const types = Array.isArray(resource['@type']) ? resource['@type'] : [resource['@type']];
    const at = textOf(resource['@id']);
    if (at === undefined || !URL.canParse(at, from)) continue;
    for (const type of types) if (typeof type === 'string' && !found.has(type)) found.set(type, at);
  }
  return found;
}

function decode(bytes: Uint8Array, { url }: { readonly url: string }): Resources {
  const json = parseObject(bytes);
  const byType = resourcesByType(json, url);
  const first = (types: readonly string[]): string | undefined => {
    for (const type of types) {
      const at = byType.get(type);
      if (at !== undefined) return new URL(at, url).href.replace(/\/+$/, '');
    }
    return undefined;
  };
  const { flat, registration, ...others } = wanted;
  const packages = first(flat);
  const registrations = first(registration);
  if (packages === undefined) throw new Error('it names no PackageBaseAddress');
  if (registrations === undefined) throw new Error('it names no RegistrationsBaseUrl');
  const optional = Object.entries(others).flatMap(([need, types]) => {
    const at = first(types);
    return at === undefined ? [] : [[need, at] as const];
  });
  const pages = pageTypes.flatMap((type) => {
    const at = byType.get(type);
    return at?.startsWith('https://') ? [[type, at] as const] : [];
  });
  return {
    flat: packages,
    registration: registrations,
    ...Object.fromEntries(optional),
    pages: Object.fromEntries(pages),
    ...(json.hosted === true ? { hosted: true } : {}),
  };
}

interface Resource {
  readonly '@id': string;
  readonly '@type': string;
  /** Clients below this version look past it. */
  readonly clientVersion?: string;
}

/** Everything that clients look for, under every name that they look for it by (NuGet.Client's ServiceTypes, 6.12; Paket's templates). */
function resourcesAt(base: string, has: Resources): Resource[] {
  const at = (path: string, ...types: readonly string[]) =>
    types.map((type) => ({ '@id': `${base}/${path}`, '@type': type }));
  // Clients refuse to read signatures from an address without TLS, and then they refuse to restore anything.
  const signed = has.signatures !== undefined && base.startsWith('https://');
  return [
    ...at('v3/flat/', 'PackageBaseAddress/3.0.0'),
    ...at(
      'v3/registration/',
      'RegistrationsBaseUrl',
      'RegistrationsBaseUrl/3.0.0-beta',
      'RegistrationsBaseUrl/3.0.0-rc',
    ),
    ...at('v3/registration-gz/', 'RegistrationsBaseUrl/3.4.0'),
    ...at('v3/registration-semver2/', 'RegistrationsBaseUrl/3.6.0'),
    {
      '@id': `${base}/v3/registration-semver2/`,
      '@type': 'RegistrationsBaseUrl/Versioned',
      clientVersion: '4.3.0-alpha',
    },
    ...at('v3/registration-gz/{id-lower}/index.json', 'PackageDisplayMetadataUriTemplate/3.0.0-rc'),
    ...at('v3/registration-gz/{id-lower}/{version-lower}.json', 'PackageVersionDisplayMetadataUriTemplate/3.0.0-rc'),
    ...(has.search === undefined
      ? []
      : at(
          searchPath,
          'SearchQueryService',
          'SearchQueryService/3.0.0-beta',
          'SearchQueryService/3.0.0-rc',
          'SearchQueryService/3.4.0',
          'SearchQueryService/3.5.0',
        )),
    ...(has.autocomplete === undefined
      ? []
      : at(
          autocompletePath,
          'SearchAutocompleteService',
          'SearchAutocompleteService/3.0.0-beta',
          'SearchAutocompleteService/3.0.0-rc',
          'SearchAutocompleteService/3.5.0',
        )),
    ...(signed
      ? at(signaturesPath, 'RepositorySignatures/4.7.0', 'RepositorySignatures/4.9.0', 'RepositorySignatures/5.0.0')
      : []),
    ...(has.vulnerabilities === undefined ? [] : at(vulnerabilitiesPath, 'VulnerabilityInfo/6.7.0')),
    ...at('v3/flat/{lower_id}/{lower_version}/readme', 'ReadmeUriTemplate/6.13.0'),
    ...at('v2', 'LegacyGallery', 'LegacyGallery/2.0.0'),
    ...(has.hosted ? at(publishPath, 'PackagePublish/2.0.0') : []),
    ...(has.hosted ? at(symbolsPublishPath, 'SymbolPackagePublish/4.9.0') : []),
    ...Object.entries(has.pages).map(([type, url]) => ({ '@id': url, '@type': type })),
  ];
}

/** What one source offers is offered; of pages for people those of the earlier source. */
function merge(docs: readonly Resources[]): Resources {
  const earlierLast = docs.toReversed();
  const pages: Record<string, string> = Object.assign({}, ...earlierLast.map((doc) => doc.pages));
  const all: Resources = Object.assign({}, ...earlierLast);
  return { ...all, pages };
}

export const serviceIndex: DocumentType<Resources> = {
  id: 'service-index',
  limit: 1024 * 1024,
  decode,
  merge,
  render: renderIndex,
  encode: (doc, _variant, base) => jsonBody({ version: '3.0.0', resources: resourcesAt(base, doc) }),
};

const prefixes: readonly (readonly [string, keyof Resources])[] = [
  ['v3/flat/', 'flat'],
  ['v3/registration/', 'registration'],
];

const places: Readonly<Record<string, keyof Resources>> = {
  [searchPath]: 'search',
  [autocompletePath]: 'autocomplete',
  [vulnerabilitiesPath]: 'vulnerabilities',
  [signaturesPath]: 'signatures',
};

/**
 * The URL of a path at upstream. What upstream does not offer leads to its index once more, which whoever asked knows
 * from an answer by `isIndex`.
 */
export function locate(path: string, { base, discovered }: UpstreamFacts): string {
  const index = base.endsWith('.json') ? base : `${base}/index.json`;
  if (path === indexPath) return index;
  const resources = discovered as Resources;
  const place = Object.hasOwn(places, path) ? places[path] : undefined;
  const at = place === undefined ? undefined : resources[place];
  if (typeof at === 'string') return at;
  for (const [prefix, need] of prefixes) {
    if (path.startsWith(prefix)) return `${String(resources[need])}/${encodePath(path.slice(prefix.length))}`;
  }
  const [, id, version] = /^v2\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
  if (id === undefined || resources.gallery === undefined) return index;
  return `${resources.gallery}/Packages(Id='${encodePath(id)}',Version='${version}')`;
}

/** Whether upstream answered with its index, because there was no other place to ask. */
export function isIndex(bytes: Uint8Array): boolean {
  if (bytes.byteLength > 1024 * 1024 || !Buffer.from(bytes).includes('"resources"')) return false;
  try {
    return Array.isArray(parseObject(bytes).resources);
  } catch {
    return false;
  }
}
