/** The largest documents that there are: every gem, a project with files of every night, a package with a thousand versions. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { TypedBody } from './bodies.ts';

export const versionsBytes = 25_000_000;
export const projectFiles = 4000;
export const packageVersions = 1000;
/** As nuget.org has them. */
const pageSize = 64;

export const simpleJson = 'application/vnd.pypi.simple.v1+json';

export interface CodedBody extends TypedBody {
  readonly coding?: 'gzip';
}

type Answers = (path: string, acceptsGzip: boolean) => CodedBody | undefined;

const hexOf = (hash: 'md5' | 'sha256', text: string): string => createHash(hash).update(text).digest('hex');

/** Bodies below `/rubygems`, `/pypi` and `/nuget` of an upstream, each made and packed when it is first asked for. */
export function indexReplies(origin: string): Answers {
  const made = new Map<string, TypedBody | undefined>();
  const packed = new Map<string, CodedBody>();

  function plain(path: string): TypedBody | undefined {
    if (!made.has(path)) made.set(path, indexBody(origin, path));
    return made.get(path);
  }

  return (path, acceptsGzip) => {
    const body = plain(path);
    // What lies packed in nuget.org's store leaves it packed, whatever a client accepts.
    if (!body || !(acceptsGzip || path.startsWith('/nuget/v3/registration'))) return body;
    const known = packed.get(path) ?? { type: body.type, parts: [gzipSync(Buffer.concat(body.parts))], coding: 'gzip' };
    packed.set(path, known);
    return known;
  };
}

function indexBody(origin: string, path: string): TypedBody | undefined {
  if (path === '/rubygems/versions') return { type: 'text/plain; charset=utf-8', parts: [versionsPage()] };
  if (path === '/pypi/simple/bench-nightly/') return { type: simpleJson, parts: [projectPage(`${origin}/pypi`)] };
  const body = path.startsWith('/nuget/') ? feedPage(`${origin}/nuget`, path.slice('/nuget/'.length)) : undefined;
  return body && { type: 'application/json', parts: [Buffer.from(JSON.stringify(body))] };
}

/** As many lines as fit, and a last one that fills the rest. */
function versionsPage(): Buffer {
  const parts = ['created_at: 2026-01-01T00:00:00Z\n---\n'];
  let left = versionsBytes - (parts[0]?.length ?? 0);
  for (let nth = 0; ; nth++) {
    const versions = Array.from({ length: 1 + (nth % 20) }, (_, at) => `${nth % 7}.${at}.${(nth + at) % 11}`);
    const digest = hexOf('md5', String(nth));
    const line = `gem-${nth} ${versions.join(',')} ${digest}\n`;
    const last = `last-${''.padEnd(left - 'last- 1.0.0 \n'.length - digest.length, 'x')} 1.0.0 ${digest}\n`;
    if (left < 1000) return Buffer.from([...parts, last].join(''));
    parts.push(line);
    left -= line.length;
  }
}

function projectPage(base: string): Buffer {
  const versions = Array.from({ length: projectFiles / 8 }, (_, nth) => `2.0.dev${20_250_000 + nth}`);
  const files = versions.flatMap((version) =>
    Array.from({ length: 8 }, (_, tag) => {
      const filename = `bench_nightly-${version}-cp3${tag}-cp3${tag}-manylinux_2_17_x86_64.manylinux2014_x86_64.whl`;
      const sha256 = hexOf('sha256', filename);
      const metadata = { sha256: hexOf('sha256', `${filename}.metadata`) };
      return {
        'core-metadata': metadata,
        'data-dist-info-metadata': metadata,
        filename,
        hashes: { sha256 },
        provenance: null,
        'requires-python': '>=3.10',
        size: 500_000_000 + tag,
        'upload-time': '2026-01-01T00:00:00.000000Z',
        url: `${base}/packages/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256.slice(4)}/${filename}`,
        yanked: false,
      };
    }),
  );
  return Buffer.from(JSON.stringify({ files, meta: { 'api-version': '1.4' }, name: 'bench-nightly', versions }));
}

/** Where things are is the same as at Larder, so that the same path may be asked for everywhere. */
function feedPage(base: string, path: string): object | undefined {
  const hive = `${base}/v3/registration-semver2/`;
  const flat = `${base}/v3/flat/`;
  if (path === 'v3/index.json') {
    const resources = [
      { '@id': flat, '@type': 'PackageBaseAddress/3.0.0' },
      { '@id': hive, '@type': 'RegistrationsBaseUrl/3.6.0' },
    ];
    return { version: '3.0.0', resources };
  }
  const [, name = ''] = /^v3\/registration-semver2\/bench\.huge\/(index|page\/.*)\.json$/.exec(path) ?? [];
  const index = `${hive}bench.huge/index.json`;
  const pages = Array.from({ length: Math.ceil(packageVersions / pageSize) }, (_, nth) => {
    const from = nth * pageSize;
    const count = Math.min(pageSize, packageVersions - from);
    const [lower, upper] = [`1.${from}.0`, `1.${from + count - 1}.0`];
    return { from, count, lower, upper, name: `page/${lower}/${upper}` };
  });
  const described = ({ count, lower, upper, name: file }: (typeof pages)[number]): object => ({
    '@id': `${hive}bench.huge/${file}.json`,
    '@type': 'catalog:CatalogPage',
    count,
    lower,
    upper,
    parent: index,
  });
  if (name === 'index') return { '@id': index, count: pages.length, items: pages.map(described) };
  const page = pages.find((one) => one.name === name);
  if (!page) return undefined;
  const leaves = Array.from({ length: page.count }, (_, nth) => leaf(page.from + nth, hive, flat));
  return { ...described(page), items: leaves };
}

function leaf(nth: number, hive: string, flat: string): object {
  const version = `1.${nth}.0`;
  const at = `${hive}bench.huge/${version}.json`;
  const packageContent = `${flat}bench.huge/${version}/bench.huge.${version}.nupkg`;
  const registration = (id: string): string => `${hive}${id.toLowerCase()}/index.json`;
  const dependencies = Array.from({ length: 8 }, (_, part) => {
    const id = `Bench.Part${part}`;
    return { '@type': 'PackageDependency', id, range: `[1.${nth}.0, )`, registration: registration(id) };
  });
  const dependencyGroups = ['.NETStandard2.0', 'net8.0', 'net9.0'].map((targetFramework) => ({
    '@type': 'PackageDependencyGroup',
    targetFramework,
    dependencies,
  }));
  const catalogEntry = {
    '@id': at,
    '@type': 'PackageDetails',
    authors: 'Bench',
    dependencyGroups,
    description: 'What everybody needs, again. '.repeat(10),
    id: 'Bench.Huge',
    listed: true,
    packageContent,
    published: '2026-01-01T00:00:00+00:00',
    tags: ['bench'],
    version,
  };
  return { '@id': at, '@type': 'Package', catalogEntry, packageContent, registration: registration('Bench.Huge') };
}
