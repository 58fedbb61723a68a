/** `dotnet restore` as far as it asks a feed: the service index, versions of what is needed, packages, and what is known against them. */
import { gunzipSync } from 'node:zlib';
import { unzipSync } from 'fflate';
import { readXml, type XmlElement } from '../../src/codecs/xml.ts';
import { compareParsed, parseVersion } from '../../src/formats/nuget/version.ts';
import { ask } from './http.ts';
import type { Dependency } from './nuget-packages.ts';
import { sha512Of } from './nuget-packages.ts';

export interface Restored {
  /** Lower id to version and SHA-512 of the package, as a lock file has them. */
  readonly packages: Readonly<Record<string, string>>;
  readonly vulnerable: readonly string[];
  /** Path of everything that was asked. */
  readonly asked: readonly string[];
}

/** NuGet gives up on anything but 200 and, where it may mean "not here", 404. */
export class RestoreError extends Error {
  readonly status: number;
  readonly warning: string | undefined;

  constructor(url: string, status: number, warning: string | undefined) {
    super(`${url} answered ${status}`);
    this.status = status;
    this.warning = warning;
  }
}

/** No conditions and no ranges: NuGet has a cache of its own, which is empty here. */
const headers = {
  'user-agent': 'NuGet .NET Core MSBuild Task/6.12.0 (Debian)',
  'accept-encoding': 'gzip, deflate',
  'x-nuget-session-id': 'f5c4a8d2-0000-4000-8000-000000000000',
};

interface Client {
  readonly asked: string[];
  bytes(url: string): Promise<Buffer | undefined>;
  json(url: string): Promise<unknown>;
}

export interface RestoreOptions {
  /** Shown once it is asked for, and not before (HttpSourceAuthenticationHandler). */
  readonly token?: string;
  readonly ca?: string;
}

function createClient({ token, ca }: RestoreOptions): Client {
  const asked: string[] = [];
  const trust = ca === undefined ? {} : { ca };
  async function bytes(url: string): Promise<Buffer | undefined> {
    asked.push(new URL(url).pathname);
    let answer = await ask(url, { headers, ...trust });
    if (answer.status === 401 && token !== undefined && /^Basic /.test(answer.headers['www-authenticate'] ?? '')) {
      const authorization = `Basic ${Buffer.from(`token:${token}`).toString('base64')}`;
      answer = await ask(url, { headers: { ...headers, authorization }, ...trust });
    }
    if (answer.status === 404) return undefined;
    const warning = answer.headers['x-nuget-warning'];
    if (answer.status !== 200 || !answer.complete) {
      throw new RestoreError(url, answer.status, typeof warning === 'string' ? warning : undefined);
    }
    return answer.headers['content-encoding'] === 'gzip' ? gunzipSync(answer.body) : answer.body;
  }
  return {
    asked,
    bytes,
    async json(url) {
      const body = await bytes(url);
      return body && JSON.parse(body.toString());
    },
  };
}

function dependenciesIn(nupkg: Buffer): Dependency[] {
  const files = unzipSync(nupkg, { filter: ({ name }) => /^[^/]+\.nuspec$/.test(name) });
  const [nuspec] = Object.values(files);
  if (!nuspec) throw new Error('the package has no nuspec');
  const found: Dependency[] = [];
  const walk = ({ name, attributes, children }: XmlElement): void => {
    if (name === 'dependency') found.push({ id: attributes.id ?? '', range: attributes.version ?? '' });
    children.forEach(walk);
  };
  walk(readXml(nuspec));
  return found;
}

/** The lowest version that is not below the range's lower bound: what NuGet takes for `[1.0.0, )` and for `1.0.0`. */
function lowest(versions: readonly string[], range: string): string | undefined {
  const bound = parseVersion(
    range
      .replace(/^[[(]/, '')
      .split(/[,\])]/)[0]
      ?.trim() ?? '',
  );
  return versions.find((version) => {
    const parsed = parseVersion(version);
    return parsed && bound && compareParsed(parsed, bound) >= 0;
  });
}

/** `source` is the service index's URL. */
export async function restore(
  source: string,
  wanted: readonly Dependency[],
  options: RestoreOptions = {},
): Promise<Restored> {
  const client = createClient(options);
  const index = (await client.json(source)) as { resources: { '@id': string; '@type': string }[] } | undefined;
  const at = (type: string): string | undefined => index?.resources.find((one) => one['@type'] === type)?.['@id'];
  const base = at('PackageBaseAddress/3.0.0');
  if (base === undefined) throw new Error('the source has no packages');
  const packages: Record<string, string> = {};
  const open = [...wanted];
  for (let next = open.shift(); next; next = open.shift()) {
    const id = next.id.toLowerCase();
    if (packages[id] !== undefined) continue;
    const list = (await client.json(`${base}${id}/index.json`)) as { versions: string[] } | undefined;
    const version = list && lowest(list.versions, next.range);
    if (version === undefined) throw new RestoreError(`NU1101 ${next.id}`, 404, undefined);
    const nupkg = await client.bytes(`${base}${id}/${version}/${id}.${version}.nupkg`);
    if (!nupkg) throw new RestoreError(`a version that is listed is missing: ${id} ${version}`, 404, undefined);
    packages[id] = `${version} ${sha512Of(nupkg)}`;
    open.push(...dependenciesIn(nupkg));
  }
  return { packages, vulnerable: await audit(client, at('VulnerabilityInfo/6.7.0'), packages), asked: client.asked };
}

async function audit(
  client: Client,
  at: string | undefined,
  packages: Readonly<Record<string, string>>,
): Promise<string[]> {
  if (at === undefined) return [];
  const pages = (await client.json(at)) as { '@id': string }[];
  const found: string[] = [];
  for (const page of pages) {
    const known = (await client.json(page['@id'])) as Record<string, unknown>;
    found.push(...Object.keys(known).filter((id) => packages[id] !== undefined));
  }
  return found.sort();
}
