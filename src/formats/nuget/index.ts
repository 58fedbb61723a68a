/** NuGet's protocol: the third version, and of the second what its clients read (nuget.exe 2, Chocolatey, PowerShellGet 2). */
import type { Artifact, Body, Call, Document, DocumentType, Format, Intent, Route } from '../../core/format.ts';
import type { ProblemFacts } from '../../core/problem.ts';
import {
  autocompletePath,
  besidePath,
  type Hive,
  indexPath,
  isHive,
  leafPath,
  lowerId,
  nupkgPath,
  type PackageKey,
  packageKey,
  registrationPath,
  searchPath,
  symbolsPath,
  versionsPath,
} from './address.ts';
import { escapeXml } from './atom.ts';
import { jsonBody } from './json.ts';
import { packageLeaf } from './leaf.ts';
import { longestNuspecBytes, nuspec } from './nuspec.ts';
import { idInFilter, isKnownFilter, metadataXml, parameter, readCall, serviceXml, unquoted, whichIn } from './odata.ts';
import { listing, publishPackage, publishSymbols } from './publish.ts';
import { keyOf, knowsSemVer2, nameIn, type Query, queryOf } from './query.ts';
import { registration } from './registration.ts';
import { locate, serviceIndex } from './resources.ts';
import { autocomplete, search } from './search.ts';
import { repositorySignatures, signatures } from './signatures.ts';
import { normalVersion } from './version.ts';
import { versionList } from './versions.ts';
import { vulnerabilities, vulnerabilityIndex, vulnerabilityPage } from './vulnerabilities.ts';
import { warm } from './warm.ts';

function param(call: Call, name: string): string {
  return call.params[name] ?? '';
}

function text(message: string, contentType = 'text/plain; charset=utf-8', status = 200): Body {
  return { status, headers: { 'content-type': contentType }, bytes: Buffer.from(message) };
}

/** A sign-in page or an error with status 200. Packages come as all kinds of bytes, but never as one of these. */
const isPackageType = (contentType: string): boolean => !/^text\/html$|[/+](?:json|xml|xhtml)/.test(contentType);
const isNoPage = (contentType: string): boolean => !/html/.test(contentType);

const index: Document = { kind: 'document', type: serviceIndex, path: indexPath };

function versions(call: Call): Document | undefined {
  const id = lowerId(param(call, 'id'));
  return id === undefined ? undefined : { kind: 'document', type: versionList, path: versionsPath(id), name: id };
}

function leafOf(key: PackageKey, hive?: Hive): Document {
  return {
    kind: 'document',
    type: packageLeaf,
    path: leafPath(key),
    name: key.id,
    version: key.version,
    ...(hive === undefined ? {} : { variant: hive }),
  };
}

function nupkg(key: PackageKey): Artifact {
  return {
    kind: 'artifact',
    path: nupkgPath(key),
    name: key.id,
    version: key.version,
    describedBy: leafOf(key),
    contentType: 'application/octet-stream',
    accepts: isPackageType,
  };
}

function keyIn(call: Call): PackageKey | undefined {
  return packageKey(param(call, 'id'), param(call, 'version'));
}

/** The file repeats what its folders say; in whatever spelling. */
function readNupkg(call: Call): Artifact | undefined {
  const key = keyIn(call);
  const file = param(call, 'file').toLowerCase();
  if (!key || !file.startsWith(`${key.id}.`)) return undefined;
  return normalVersion(file.slice(key.id.length + 1)) === key.version ? nupkg(key) : undefined;
}

function readNuspec(call: Call): Artifact | undefined {
  const key = keyIn(call);
  if (!key || param(call, 'file').toLowerCase() !== key.id) return undefined;
  return {
    kind: 'artifact',
    path: besidePath(key, `${key.id}.nuspec`),
    name: key.id,
    version: key.version,
    contentType: 'application/xml',
    accepts: isNoPage,
    reads: nuspec,
    limit: longestNuspecBytes,
  };
}

/** Pictures and texts beside a package. */
function readBeside(call: Call, file: 'icon' | 'readme' | 'license'): Artifact | undefined {
  const key = keyIn(call);
  if (!key) return undefined;
  return {
    kind: 'artifact',
    path: besidePath(key, file),
    name: key.id,
    version: key.version,
    accepts: isNoPage,
    limit: 16 * 1024 * 1024,
    ...(file === 'icon' ? {} : { contentType: `text/${file === 'readme' ? 'markdown' : 'plain'}; charset=utf-8` }),
  };
}

function registrationOf(id: string, variant: string): Document {
  return { kind: 'document', type: registration, path: registrationPath(id), name: id, variant };
}

function readRegistration(call: Call): Document | undefined {
  const id = lowerId(param(call, 'id'));
  const hive = param(call, 'hive');
  return id !== undefined && isHive(hive) ? registrationOf(id, `index ${hive}`) : undefined;
}

function readPage(call: Call): Document | undefined {
  const id = lowerId(param(call, 'id'));
  const hive = param(call, 'hive');
  const lower = normalVersion(param(call, 'lower'));
  const upper = normalVersion(param(call, 'upper'));
  if (id === undefined || !isHive(hive) || lower === undefined || upper === undefined) return undefined;
  return registrationOf(id, `page ${hive} ${lower} ${upper}`);
}

function readLeaf(call: Call): Document | undefined {
  const key = keyIn(call);
  const hive = param(call, 'hive');
  return key && isHive(hive) ? leafOf(key, hive) : undefined;
}

const hiveOf = ({ semVer2 }: Pick<Query, 'semVer2'>): Hive => (semVer2 ? 'registration-semver2' : 'registration-gz');

/** A search for one package by its name goes to who claims or has it, and to nobody else; there it is a search like any other. */
function asked(type: DocumentType<unknown>, service: string, query: Query, variant: string): Document {
  const name = nameIn(query);
  const path = `${service}/${keyOf(query)}`;
  return { kind: 'document', type, path, variant, across: true, ...(name === undefined ? {} : { otherNames: [name] }) };
}

function readSearch(call: Call): Document {
  const query = queryOf(call.query);
  return asked(search, searchPath, query, `v3 ${hiveOf(query)} ${query.skip} ${query.take}`);
}

/** With an id in place of a text it is about the versions of that package. */
function readAutocomplete(call: Call): Document | undefined {
  const query = queryOf(call.query);
  const id = call.query.get('id');
  if (id === null) return asked(autocomplete, autocompletePath, query, `${query.skip} ${query.take}`);
  const lower = lowerId(id);
  const shown = query.prerelease ? ' prerelease' : '';
  return lower === undefined ? undefined : registrationOf(lower, `listed ${hiveOf(query)}${shown}`);
}

/** Its address changes with its contents. */
function readVulnerabilityPage(call: Call): Artifact | undefined {
  const file = param(call, 'file');
  if (!/^[A-Za-z0-9_-]{1,80}$/.test(file)) return undefined;
  return {
    kind: 'artifact',
    path: `v3/vulnerabilities/${file}.json`,
    describedBy: vulnerabilityIndex,
    contentType: 'application/json',
    accepts: isNoPage,
    reads: vulnerabilityPage,
    limit: vulnerabilityPage.limit,
  };
}

function number(query: URLSearchParams, name: string, usual: number): number {
  const told = parameter(query, name);
  return told !== undefined && /^\d{1,6}$/.test(told) ? Number(told) : usual;
}

/** More than any package has versions. */
const everything = 100_000;

const hiveIn = (query: URLSearchParams): Hive =>
  hiveOf({ semVer2: knowsSemVer2(parameter(query, 'semVerLevel') ?? null) });

function find(id: string | undefined, query: URLSearchParams): Document | undefined {
  const lower = lowerId(id ?? '');
  const filter = parameter(query, '$filter') ?? '';
  if (lower === undefined || !isKnownFilter(filter)) return undefined;
  const part = `${number(query, '$skip', 0)} ${number(query, '$top', everything)}`;
  const which = whichIn(filter);
  // nuget.exe 2.8 asks for the latest one as the first one of them in this order.
  const order = /^(?:Normalized)?Version\s+desc\b/i.test(parameter(query, '$orderby') ?? '') ? ' desc' : '';
  return registrationOf(lower, `v2-find ${hiveIn(query)} ${part} ${which}${order}`);
}

function findById(call: Call): Document | undefined {
  const called = readCall(param(call, 'call'));
  if (called?.name !== 'FindPackagesById') return undefined;
  return find(called.parameters.id ?? unquoted(parameter(call.query, 'id') ?? ''), call.query);
}

/** One version by its key, all of one package by a filter, or else a search for anything. */
function readPackages(call: Call): Document | undefined {
  const called = readCall(param(call, 'call'));
  if (called?.name !== 'Packages') return undefined;
  const { id, version } = called.parameters;
  if (id === undefined && version === undefined) {
    const filtered = idInFilter(parameter(call.query, '$filter') ?? '');
    return filtered === undefined ? searched(call, 'v2') : find(filtered, call.query);
  }
  const key = packageKey(id ?? '', version ?? '');
  // Whoever names a version can read it.
  return key && registrationOf(key.id, `v2-entry registration-semver2 ${key.version}`);
}

function searched({ query }: Call, kind: 'v2' | 'v2-count'): Document | undefined {
  const latest = parameter(query, '$filter') ?? '';
  if (!isKnownFilter(latest)) return undefined;
  const told: Query = {
    text: unquoted(parameter(query, 'searchTerm') ?? '') ?? '',
    prerelease: parameter(query, 'includePrerelease') === 'true' || /IsAbsoluteLatestVersion/i.test(latest),
    semVer2: knowsSemVer2(parameter(query, 'semVerLevel') ?? null),
    narrowed: {},
    skip: Math.min(number(query, '$skip', 0), 3000),
    take: Math.min(number(query, '$top', 30), 1000),
  };
  const which = kind === 'v2' && whichIn(latest) === 'all' ? ' all' : '';
  return asked(search, searchPath, told, `${kind} ${hiveOf(told)} ${told.skip} ${told.take}${which}`);
}

function readSearchV2(call: Call): Document | undefined {
  return readCall(param(call, 'call'))?.name === 'Search' ? searched(call, 'v2') : undefined;
}

function countSearch(call: Call): Document | undefined {
  const name = readCall(param(call, 'call'))?.name;
  return name === 'Search' || name === 'Packages' ? searched(call, 'v2-count') : undefined;
}

function download(call: Call): Artifact | undefined {
  const key = keyIn(call);
  return key && nupkg(key);
}

function welcome({ base }: Call): Intent {
  return { kind: 'answer', body: text(`Add this source to NuGet: ${base}/v3/index.json\n`) };
}

function odataRoot({ base }: Call): Intent {
  return { kind: 'answer', body: text(serviceXml(escapeXml(base)), 'application/xml;charset=utf-8') };
}

/** Debuggers' own protocol is not spoken; the package is here for whoever unpacks it. */
function readSymbols(call: Call): Artifact | undefined {
  const key = keyIn(call);
  const file = param(call, 'file').toLowerCase();
  if (!key || file !== `${key.id}.${key.version}`) return undefined;
  return {
    kind: 'artifact',
    path: symbolsPath(key),
    name: key.id,
    version: key.version,
    contentType: 'application/octet-stream',
    accepts: isPackageType,
  };
}

/** Clients add a slash to where they are told to publish; those of the second version know an address below the source, or the source itself. */
const publishing: readonly Route[] = [
  ['push', '/v3/package'],
  ['v2-push', '/v2/package'],
  ['v2-push-api', '/api/v2/package'],
  ['v2-push-source', '/v2'],
].flatMap(([id = '', path = '']): Route[] => {
  const key = (make: (key: PackageKey) => Intent) => (call: Call) => {
    const found = keyIn(call);
    return found && make(found);
  };
  return [
    { id, method: 'PUT', path, intent: () => publishPackage },
    { id: `${id}-slash`, method: 'PUT', path: `${path}/`, intent: () => publishPackage },
    {
      id: id.replace('push', 'unlist'),
      method: 'DELETE',
      path: `${path}/{id}/{version}`,
      intent: key((at) => listing(at, false)),
    },
    {
      id: id.replace('push', 'relist'),
      method: 'POST',
      path: `${path}/{id}/{version}`,
      intent: key((at) => listing(at, true)),
    },
  ];
});

/** Also matches what is no call, which is what each of them looks at first. */
const odata = '/v2/{call}';

const routes: readonly Route[] = [
  { id: 'root', method: 'GET', path: '/', intent: welcome },
  { id: 'service-index', method: 'GET', path: '/v3/index.json', intent: () => index },
  { id: 'versions', method: 'GET', path: '/v3/flat/{id}/index.json', intent: versions },
  { id: 'nupkg', method: 'GET', path: '/v3/flat/{id}/{version}/{file}.nupkg', intent: readNupkg },
  { id: 'nuspec', method: 'GET', path: '/v3/flat/{id}/{version}/{file}.nuspec', intent: readNuspec },
  { id: 'icon', method: 'GET', path: '/v3/flat/{id}/{version}/icon', intent: (call) => readBeside(call, 'icon') },
  { id: 'readme', method: 'GET', path: '/v3/flat/{id}/{version}/readme', intent: (call) => readBeside(call, 'readme') },
  {
    id: 'license',
    method: 'GET',
    path: '/v3/flat/{id}/{version}/license',
    intent: (call) => readBeside(call, 'license'),
  },
  { id: 'symbols', method: 'GET', path: '/v3/flat/{id}/{version}/{file}.snupkg', intent: readSymbols },
  { id: 'search', method: 'GET', path: '/v3/search', intent: readSearch },
  { id: 'autocomplete', method: 'GET', path: '/v3/autocomplete', intent: readAutocomplete },
  { id: 'vulnerabilities', method: 'GET', path: '/v3/vulnerabilities/index.json', intent: () => vulnerabilityIndex },
  { id: 'vulnerability-page', method: 'GET', path: '/v3/vulnerabilities/{file}.json', intent: readVulnerabilityPage },
  {
    id: 'repository-signatures',
    method: 'GET',
    path: '/v3/repository-signatures/index.json',
    intent: () => repositorySignatures,
  },
  { id: 'registration', method: 'GET', path: '/v3/{hive}/{id}/index.json', intent: readRegistration },
  { id: 'registration-page', method: 'GET', path: '/v3/{hive}/{id}/page/{lower}/{upper}.json', intent: readPage },
  { id: 'registration-leaf', method: 'GET', path: '/v3/{hive}/{id}/{version}.json', intent: readLeaf },
  { id: 'v2-root', method: 'GET', path: '/v2', intent: odataRoot },
  { id: 'v2-root-slash', method: 'GET', path: '/v2/', intent: odataRoot },
  {
    id: 'v2-metadata',
    method: 'GET',
    path: '/v2/$metadata',
    intent: () => ({ kind: 'answer', body: text(metadataXml, 'application/xml;charset=utf-8') }),
  },
  { id: 'v2-find', method: 'GET', path: odata, intent: findById },
  { id: 'v2-packages', method: 'GET', path: odata, intent: readPackages },
  { id: 'v2-search', method: 'GET', path: odata, intent: readSearchV2 },
  { id: 'v2-count', method: 'GET', path: '/v2/{call}/$count', intent: countSearch },
  { id: 'v2-package', method: 'GET', path: '/v2/package/{id}/{version}', intent: download },
  ...publishing,
  { id: 'push-symbols', method: 'PUT', path: '/v3/symbolpackage', intent: () => publishSymbols },
  { id: 'push-symbols-slash', method: 'PUT', path: '/v3/symbolpackage/', intent: () => publishSymbols },
];

/**
 * Codes about which clients that see no status line (behind a proxy, or with HTTP/2) say no more than a number, unless they are
 * given a sentence to print. Not `unauthorized`: that is how every client is asked for its credentials.
 */
const worthSaying =
  /^(?:refused|forbidden|busy|offline|upstream_|invalid_package|bad_request|too_large|quota_exceeded|storage_|method_not_allowed)/;

/** NuGet 4 and later print this header as a warning (ServerWarningLogHandler), and all of them the status line; of a body they show nothing. */
function warning({ code, message }: ProblemFacts): Readonly<Record<string, string>> {
  if (!worthSaying.test(code)) return {};
  return {
    'x-nuget-warning': message
      .replace(/[^\x21-\x7e]+/g, ' ')
      .trim()
      .slice(0, 500),
  };
}

function problem(facts: ProblemFacts): Body {
  const { status, code, message } = facts;
  const headers = warning(facts);
  if (facts.route?.startsWith('v2')) {
    const xml = `<?xml version="1.0" encoding="utf-8"?>\n<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><code>${code}</code><message xml:lang="en-US">${escapeXml(message)}</message></error>`;
    return {
      status,
      reason: message,
      headers: { 'content-type': 'application/xml;charset=utf-8', ...headers },
      bytes: Buffer.from(xml),
    };
  }
  const body = jsonBody({ error: message, code });
  return { ...body, status, reason: message, headers: { ...body.headers, ...headers } };
}

export const format: Format = {
  id: 'nuget',
  spell: (pattern) => pattern.toLowerCase(),
  digests: ['sha512'],
  upstream: { discover: index, locate },
  auth: { from: ['basic', 'bearer', 'header:x-nuget-apikey'], challenge: () => 'Basic realm="Larder"' },
  routes,
  documents: [
    serviceIndex,
    versionList,
    registration,
    packageLeaf,
    nuspec,
    search,
    autocomplete,
    vulnerabilities,
    vulnerabilityPage,
    signatures,
  ],
  problem,
  warm,
};
