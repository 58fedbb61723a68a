/**
 * A feed as nuget.org is one: index, registrations and catalog at one address, packages at another, search at a third.
 * Registrations of 128 versions or more have their pages apart, and lie there packed, whatever a client accepts.
 */
import { isPrerelease, isSemVer2, normalVersion, sortByVersion } from '../../src/formats/nuget/version.ts';
import { type FakeUpstream, type Reply, type SeenRequest, startFakeUpstream } from './fake-upstream.ts';
import { nuspecOf, type PackageFacts, packageOf, sha512Of } from './nuget-packages.ts';

/** What a feed need not have. */
export type Optional = 'search' | 'autocomplete' | 'catalog' | 'vulnerabilities' | 'signatures';

export interface NugetUpstreamOptions {
  readonly packages?: readonly PackageFacts[];
  readonly without?: readonly Optional[];
  /** By lower id. */
  readonly vulnerable?: Readonly<Record<string, string>>;
  readonly allSigned?: boolean;
  /** Speaks the second version of the protocol too, as far as one package is concerned. */
  readonly legacy?: boolean;
}

export interface NugetUpstream {
  /** The folder of the service index. */
  readonly url: string;
  /** Index, registrations, catalog, vulnerabilities, signatures. */
  readonly api: FakeUpstream;
  /** The flat container. */
  readonly packages: FakeUpstream;
  /** Search and autocompletion. */
  readonly search: FakeUpstream;
  publish(...facts: readonly PackageFacts[]): void;
  nupkg(id: string, version: string): Buffer;
  /** Method, server and path with query of everything that was asked, in the order of each server. */
  requests(): string[];
  forget(): void;
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Kept {
  readonly facts: PackageFacts;
  readonly version: string;
  /** Packed when first asked for. */
  bytes(): Buffer;
  readonly published: string;
}

const pagedFrom = 128;
const pageSize = 64;
const unlisted = '1900-01-01T00:00:00+00:00';

const missing: Reply = {
  status: 404,
  body: '<?xml version="1.0"?><Error><Code>BlobNotFound</Code></Error>',
  contentType: 'application/xml',
};

function json(body: unknown, coding?: 'gzip'): Reply {
  const text = JSON.stringify(body);
  return {
    body: text,
    contentType: 'application/json',
    etag: `"${sha512Of(Buffer.from(text)).slice(0, 16)}"`,
    ...(coding ? { coding } : {}),
  };
}

export async function startNugetUpstream(options: NugetUpstreamOptions = {}): Promise<NugetUpstream> {
  const [api, packages, search] = await Promise.all([startFakeUpstream(), startFakeUpstream(), startFakeUpstream()]);
  const without = new Set(options.without ?? []);
  const feed = new Map<string, Kept[]>();

  function publish(...all: readonly PackageFacts[]): void {
    for (const facts of all) {
      const id = facts.id.toLowerCase();
      const version = normalVersion(facts.version);
      if (version === undefined) throw new Error(`${facts.version} is no version`);
      const kept = feed.get(id) ?? [];
      const published = facts.published ?? new Date(Date.UTC(2024, 0, 1, kept.length)).toISOString();
      let packed: Buffer | undefined;
      const bytes = (): Buffer => {
        packed ??= packageOf(facts);
        return packed;
      };
      kept.push({ facts, version, bytes, published });
      feed.set(id, kept);
    }
    for (const [id, kept] of feed) {
      const sorted = sortByVersion(kept, (one) => one.version);
      feed.set(id, sorted);
    }
  }

  function find(id: string, version: string): Kept | undefined {
    return feed.get(id)?.find((one) => one.version === version);
  }

  const hive = (semVer2: boolean): string => `${api.url}/v3/registration5-gz-semver${semVer2 ? 2 : 1}`;
  const catalogOf = (id: string, version: string): string =>
    `${api.url}/v3/catalog0/data/2024.01.01/${id}.${version}.json`;
  const contentOf = (id: string, version: string): string =>
    `${packages.url}/flat/${id}/${version}/${id}.${version}.nupkg`;

  function leaf(id: string, one: Kept, at: string): object {
    const { facts, version, published } = one;
    const listed = facts.listed !== false;
    return {
      '@id': `${at}/${id}/${version}.json`,
      '@type': 'Package',
      catalogEntry: {
        '@id': catalogOf(id, version),
        '@type': 'PackageDetails',
        id: facts.id,
        version: facts.version,
        authors: 'Alice',
        description: `${facts.id} for tests`,
        iconUrl: `${packages.url}/flat/${id}/${version}/icon`,
        listed,
        packageContent: contentOf(id, version),
        published: listed ? published : unlisted,
        tags: ['test'],
        dependencyGroups: [
          {
            '@id': `${catalogOf(id, version)}#dependencygroup/.netstandard2.0`,
            targetFramework: '.NETStandard2.0',
            dependencies: facts.dependencies?.map((dependency) => ({
              '@id': `${catalogOf(id, version)}#dependencygroup/.netstandard2.0/${dependency.id.toLowerCase()}`,
              ...dependency,
              registration: `${at}/${dependency.id.toLowerCase()}/index.json`,
            })),
          },
        ],
      },
      packageContent: contentOf(id, version),
      registration: `${at}/${id}/index.json`,
    };
  }

  function page(id: string, kept: readonly Kept[], at: string, inside: boolean, isApart: boolean): object {
    const [lower, upper] = [kept[0]?.version ?? '', kept.at(-1)?.version ?? ''];
    return {
      '@id': isApart ? `${at}/${id}/page/${lower}/${upper}.json` : `${at}/${id}/index.json#page/${lower}/${upper}`,
      count: kept.length,
      ...(inside ? { items: kept.map((one) => leaf(id, one, at)) } : {}),
      parent: `${at}/${id}/index.json`,
      lower,
      upper,
    };
  }

  function registrations(rest: string, semVer2: boolean): Reply {
    const at = hive(semVer2);
    const [id = '', ...file] = rest.split('/');
    const kept = (feed.get(id) ?? []).filter(({ facts }) => semVer2 || !isSemVer2(facts.version));
    if (kept.length === 0) return missing;
    const apart = kept.length >= pagedFrom;
    const size = apart ? pageSize : kept.length;
    const parts = Array.from({ length: Math.ceil(kept.length / size) }, (_, n) => kept.slice(n * size, (n + 1) * size));
    if (file[0] === 'index.json') {
      const items = parts.map((part) => page(id, part, at, !apart, apart));
      return json({ '@id': `${at}/${id}/index.json`, count: items.length, items }, 'gzip');
    }
    if (file[0] === 'page') {
      const part = parts.find((one) => `${one[0]?.version}/${one.at(-1)?.version}.json` === file.slice(1).join('/'));
      return part ? json(page(id, part, at, true, true), 'gzip') : missing;
    }
    const one = find(id, (file[0] ?? '').replace(/\.json$/, ''));
    if (!one) return missing;
    const alone = {
      '@id': `${at}/${id}/${one.version}.json`,
      '@type': ['Package', 'http://schema.nuget.org/catalog#Permalink'],
      ...(without.has('catalog') ? {} : { catalogEntry: catalogOf(id, one.version) }),
      listed: one.facts.listed !== false,
      packageContent: contentOf(id, one.version),
      published: one.facts.listed === false ? unlisted : one.published,
      registration: `${at}/${id}/index.json`,
    };
    return json(alone, 'gzip');
  }

  function catalog(file: string): Reply {
    for (const [id, kept] of feed) {
      const one = kept.find(({ version }) => `${id}.${version}.json` === file);
      if (!one || without.has('catalog')) continue;
      return json({
        '@id': catalogOf(id, one.version),
        id: one.facts.id,
        version: one.facts.version,
        created: one.published,
        published: one.facts.listed === false ? unlisted : one.published,
        packageHash: sha512Of(one.bytes()),
        packageHashAlgorithm: 'SHA512',
        packageSize: one.bytes().length,
      });
    }
    return missing;
  }

  function index(): object {
    const resource = (type: string, url: string, need?: Optional): object[] =>
      need !== undefined && without.has(need) ? [] : [{ '@id': url, '@type': type }];
    return {
      version: '3.0.0',
      resources: [
        ...resource('SearchQueryService', `${search.url}/query`, 'search'),
        ...resource('SearchQueryService/3.5.0', `${search.url}/query`, 'search'),
        ...resource('SearchAutocompleteService', `${search.url}/autocomplete`, 'autocomplete'),
        ...resource('Catalog/3.0.0', `${api.url}/v3/catalog0/index.json`),
        ...resource('RegistrationsBaseUrl', `${hive(false)}/`),
        ...resource('RegistrationsBaseUrl/3.4.0', `${hive(false)}/`),
        ...resource('RegistrationsBaseUrl/3.6.0', `${hive(true)}/`),
        ...resource('PackageBaseAddress/3.0.0', `${packages.url}/flat/`),
        ...resource('RepositorySignatures/5.0.0', `${api.url}/v3-index/repository-signatures/index.json`, 'signatures'),
        ...(options.legacy ? resource('LegacyGallery/2.0.0', `${packages.url}/api/v2`) : []),
        ...resource('VulnerabilityInfo/6.7.0', `${api.url}/v3/vulnerabilities/index.json`, 'vulnerabilities'),
      ],
    };
  }

  function answerApi({ path }: SeenRequest): Reply {
    if (path === '/v3/index.json') return json(index());
    const [, semVer2, rest = ''] = /^\/v3\/registration5-gz-semver([12])\/(.*)$/.exec(path) ?? [];
    if (semVer2 !== undefined) return registrations(rest, semVer2 === '2');
    if (path.startsWith('/v3/catalog0/data/')) return catalog(path.slice(path.lastIndexOf('/') + 1));
    if (path === '/v3/vulnerabilities/index.json') {
      return json([
        { '@name': 'base', '@id': `${api.url}/v3-vulnerabilities/1/base.json`, '@updated': '2024-01-01T00:00:00Z' },
      ]);
    }
    if (path === '/v3-vulnerabilities/1/base.json') {
      const known = Object.entries(options.vulnerable ?? {}).map(([id, versions]) => [
        id,
        [{ url: 'https://advisories.example/1', severity: 2, versions }],
      ]);
      return json(Object.fromEntries(known), 'gzip');
    }
    if (path === '/v3-index/repository-signatures/index.json') {
      return json({
        allRepositorySigned: options.allSigned ?? false,
        signingCertificates: [
          {
            fingerprints: { '2.16.840.1.101.3.4.2.1': 'ab'.repeat(32) },
            subject: 'CN=Feed',
            issuer: 'CN=CA',
            notBefore: '2020-01-01T00:00:00Z',
            notAfter: '2040-01-01T00:00:00Z',
            contentUrl: 'https://certificates.example/a.crt',
          },
        ],
      });
    }
    return missing;
  }

  function legacyEntry(key: string): Reply {
    const [, id = '', version = ''] = /^Packages\(Id='(.*)',Version='(.*)'\)$/.exec(key) ?? [];
    const one = find(id, version);
    if (!options.legacy || !one) return missing;
    const properties = `<d:Id>${one.facts.id}</d:Id><d:Version>${one.facts.version}</d:Version><d:PackageHash>${sha512Of(one.bytes())}</d:PackageHash><d:PackageHashAlgorithm>SHA512</d:PackageHashAlgorithm>`;
    return {
      body: `<?xml version="1.0" encoding="utf-8"?><entry xmlns="http://www.w3.org/2005/Atom" xmlns:d="d" xmlns:m="m"><m:properties>${properties}</m:properties></entry>`,
      contentType: 'application/atom+xml',
    };
  }

  function answerPackages({ path }: SeenRequest): Reply {
    if (path.startsWith('/api/v2/')) return legacyEntry(decodeURIComponent(path.slice('/api/v2/'.length)));
    const [, , id = '', version = '', file = ''] = path.split('/');
    if (version === 'index.json') {
      const kept = feed.get(id);
      return kept ? json({ versions: kept.map((one) => one.version) }) : missing;
    }
    const one = find(id, version);
    if (!one) return missing;
    if (file === `${id}.${version}.nupkg`) {
      return { body: one.bytes(), contentType: 'application/octet-stream', etag: `"${id}-${version}"` };
    }
    if (file === `${id}.nuspec`) return { body: nuspecOf(one.facts), contentType: 'application/xml' };
    return file === 'icon' ? { body: Buffer.from('PNG'), contentType: 'image/png' } : missing;
  }

  function shown(query: URLSearchParams): (readonly [string, readonly Kept[]])[] {
    const text = (query.get('q') ?? '').replace(/^packageid:/i, '').toLowerCase();
    return [...feed]
      .filter(([id]) => id.includes(text))
      .map(([id, kept]) => {
        const fitting = kept.filter(
          ({ facts, version }) =>
            facts.listed !== false &&
            (query.get('prerelease') === 'true' || !isPrerelease(version)) &&
            (query.get('semVerLevel') !== null || !isSemVer2(facts.version)),
        );
        return [id, fitting] as const;
      })
      .filter(([, kept]) => kept.length > 0);
  }

  function answerSearch({ path, query }: SeenRequest): Reply {
    const all = shown(query);
    const [skip, take] = [Number(query.get('skip') ?? 0), Number(query.get('take') ?? 20)];
    const part = all.slice(skip, skip + take);
    if (path === '/autocomplete') {
      return json({ totalHits: all.length, data: part.map(([, kept]) => kept[0]?.facts.id) });
    }
    if (path !== '/query') return missing;
    const at = hive(query.get('semVerLevel') !== null);
    return json({
      '@context': { '@base': `${at}/` },
      totalHits: all.length,
      data: part.map(([id, kept]) => ({
        '@id': `${at}/${id}/index.json`,
        registration: `${at}/${id}/index.json`,
        id: kept[0]?.facts.id,
        version: kept.at(-1)?.facts.version,
        description: `${id} for tests`,
        iconUrl: `${packages.url}/flat/${id}/${kept.at(-1)?.version}/icon`,
        authors: ['Alice'],
        tags: ['test'],
        versions: kept.map(({ facts, version }) => ({
          version: facts.version,
          downloads: 1,
          '@id': `${at}/${id}/${version}.json`,
        })),
      })),
    });
  }

  api.otherwise(answerApi);
  packages.otherwise(answerPackages);
  search.otherwise(answerSearch);
  publish(...(options.packages ?? []));

  const servers = { api, packages, search };
  const each = async (act: (server: FakeUpstream) => Promise<void>): Promise<void> => {
    await Promise.all(Object.values(servers).map(act));
  };
  return {
    ...servers,
    url: `${api.url}/v3`,
    publish,
    nupkg(id, version) {
      const one = find(id.toLowerCase(), normalVersion(version) ?? '');
      if (!one) throw new Error(`the feed has no ${id} ${version}`);
      return one.bytes();
    },
    requests: () =>
      Object.entries(servers).flatMap(([name, { requests }]) =>
        requests.map(({ method, url }) => `${method} ${name} ${url}`),
      ),
    forget() {
      for (const server of Object.values(servers)) server.forget();
    },
    stop: () => each((server) => server.stop()),
    start: () => each((server) => server.start()),
    close: () => each((server) => server.close()),
  };
}
