/** Files that nobody has asked for before, one under each name, in the formats whose upstream says something about a file besides its bytes. */
import { createHash } from 'node:crypto';
import { strToU8, zipSync } from 'fflate';
import { fresh, type TypedBody } from './bodies.ts';
import { simpleJson } from './index-bodies.ts';
import type { Place } from './server.ts';

export const coldFormats = ['jar', 'nupkg', 'gem', 'wheel', 'bundle'] as const;
export type ColdFormat = (typeof coldFormats)[number];

/** Where a file is, as its clients find it. */
export interface ColdPlace {
  readonly place: Place;
  /** What clients have read when they ask for the file, by path. */
  readonly before?: string;
  /** Absent: `before` says where the file is. */
  readonly path?: string;
}

export interface ColdReply extends TypedBody {
  /** What is read before a file takes no time: it is warm when the file is asked for. */
  readonly latencyMs: number;
  readonly isFile: boolean;
}

/** The same in every format: no hyphen and no dot, which some of them read something into. */
export function coldName(latencyMs: number, sizeBytes: number, id: string): string {
  return `cold${latencyMs}x${sizeBytes}x${id.replaceAll('-', 'x')}`;
}

export function coldPlace(format: ColdFormat, name: string): ColdPlace {
  switch (format) {
    // Maven asks for a file that a pom names, and for its checksum afterwards.
    case 'jar':
      return { place: 'maven', path: `/org/example/${name}/1.0/${name}-1.0.jar` };
    // `dotnet restore` reads which versions there are, and no registration.
    case 'nupkg':
      return {
        place: 'nuget',
        before: `/v3/flat/${name}/index.json`,
        path: `/v3/flat/${name}/1.0.0/${name}.1.0.0.nupkg`,
      };
    case 'gem':
      return { place: 'rubygems', before: `/info/${name}`, path: `/gems/${name}-1.0.0.gem` };
    case 'wheel':
      return { place: 'pypi', before: `/simple/${name}/` };
    // A site of its own for each file.
    case 'bundle':
      return { place: 'p2', before: `/${name}/artifacts.jar`, path: `/${name}/plugins/org.example.cold_1.0.0.jar` };
  }
}

/** Bodies of such names below `/maven`, `/nuget`, `/rubygems`, `/pypi` and `/p2` of an upstream. */
export function coldReply(origin: string, path: string): ColdReply | undefined {
  const [name = '', latency, size] = /\bcold(\d+)x(\d+)x[0-9a-z]+/.exec(path) ?? [];
  if (name === '') return undefined;
  const latencyMs = Number(latency);
  const parts = fresh(name, Number(size));
  const digest = (hash: 'sha1' | 'sha256' | 'sha512', as: 'hex' | 'base64' = 'hex'): string =>
    parts.reduce((sum, part) => sum.update(part), createHash(hash)).digest(as);
  const file = (type: string): ColdReply => ({ type, parts, latencyMs, isFile: true });
  const beside = (type: string, text: string): ColdReply => {
    return { type, parts: [Buffer.from(text)], latencyMs, isFile: false };
  };
  const before = (type: string, bytes: Uint8Array | string): ColdReply => {
    return { type, parts: [Buffer.from(bytes)], latencyMs: 0, isFile: false };
  };
  const octets = 'application/octet-stream';
  const json = 'application/json';

  switch (path) {
    case `/maven/org/example/${name}/1.0/${name}-1.0.jar`:
      return file('application/java-archive');
    case `/maven/org/example/${name}/1.0/${name}-1.0.jar.sha1`:
      return beside('text/plain', digest('sha1'));
    case `/nuget/v3/flat/${name}/index.json`:
      return before(json, '{"versions":["1.0.0"]}');
    // As nuget.org has it: only the entry in the catalog, to which the leaf leads, tells the digest.
    case `/nuget/v3/registration-semver2/${name}/1.0.0.json`:
      return beside(json, JSON.stringify(leafOf(`${origin}/nuget/v3`, name)));
    case `/nuget/v3/catalog/${name}.1.0.0.json`: {
      const told = {
        packageHash: digest('sha512', 'base64'),
        packageHashAlgorithm: 'SHA512',
        packageSize: Number(size),
      };
      return beside(json, JSON.stringify({ id: name, version: '1.0.0', listed: true, ...told }));
    }
    case `/nuget/v3/flat/${name}/1.0.0/${name}.1.0.0.nupkg`:
      return file(octets);
    case `/rubygems/info/${name}`:
      return before('text/plain; charset=utf-8', `---\n1.0.0 |checksum:${digest('sha256')}\n`);
    case `/rubygems/gems/${name}-1.0.0.gem`:
      return file(octets);
    case `/pypi/simple/${name}/`:
      return before(simpleJson, JSON.stringify(projectOf(`${origin}/pypi`, name, digest('sha256'), Number(size))));
    case `/pypi/packages/${wheelOf(name)}`:
      return file(octets);
    case `/p2/${name}/artifacts.jar`: {
      const xml = artifactsXml(digest('sha256'), Number(size));
      return before('application/java-archive', zipSync({ 'artifacts.xml': strToU8(xml) }));
    }
    case `/p2/${name}/plugins/org.example.cold_1.0.0.jar`:
      return file('application/java-archive');
    default:
      return undefined;
  }
}

function leafOf(base: string, name: string): object {
  return {
    '@id': `${base}/registration-semver2/${name}/1.0.0.json`,
    '@type': ['Package', 'http://schema.nuget.org/catalog#Permalink'],
    catalogEntry: `${base}/catalog/${name}.1.0.0.json`,
    listed: true,
    packageContent: `${base}/flat/${name}/1.0.0/${name}.1.0.0.nupkg`,
    published: '2026-01-01T00:00:00+00:00',
    registration: `${base}/registration-semver2/${name}/index.json`,
  };
}

export const wheelOf = (name: string): string => `${name}-1.0-py3-none-any.whl`;

function projectOf(base: string, name: string, sha256: string, size: number): object {
  const filename = wheelOf(name);
  const url = `${base}/packages/${filename}`;
  const files = [{ filename, hashes: { sha256 }, size, url, 'upload-time': '2026-01-01T00:00:00.000000Z' }];
  return { files, meta: { 'api-version': '1.1' }, name, versions: ['1.0'] };
}

function artifactsXml(sha256: string, size: number): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<?artifactRepository version="1.1.0"?>
<repository name="Cold" type="org.eclipse.equinox.p2.artifact.repository.simpleRepository" version="1">
  <artifacts size="1">
    <artifact classifier="osgi.bundle" id="org.example.cold" version="1.0.0">
      <properties size="2">
        <property name="download.size" value="${size}"/>
        <property name="download.checksum.sha-256" value="${sha256}"/>
      </properties>
    </artifact>
  </artifacts>
</repository>
`;
}
