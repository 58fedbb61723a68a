/** What the upstreams of the soak have: endless packages of every format, all of it following from names, seed and time. */
import { type Algorithm, type Content, hashOf, held, made, numberOf } from './bytes.ts';

export const formats = ['npm', 'oci', 'maven', 'nuget', 'rubygems', 'pypi', 'p2', 'generic'] as const;
export type FormatId = (typeof formats)[number];

/** `artifact`: clients and Larder know its digest. `plain`: nobody does. `document`: has to be understood. */
export type Kind = 'artifact' | 'plain' | 'document' | 'sidecar' | 'token';

export interface Thing {
  readonly kind: Kind;
  readonly type: string;
  readonly content: Content;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status?: number;
}

/** Raw path below the upstream's address, to what is there at a time; milliseconds since the soak began. */
export interface Question {
  readonly path: string;
  readonly accept: string;
  readonly authorization: string | undefined;
  /** Of the upstream, no trailing slash. */
  readonly origin: string;
  readonly nowMs: number;
}

/** A file as a client asks for it. */
export interface File {
  /** Below the repository. */
  readonly path: string;
  /** Below the upstream. */
  readonly at: string;
  readonly content: Content;
}

/** A document as a client asks for it. */
export interface Page {
  readonly path: string;
  readonly accept?: string;
  /** What is wrong with it, if anything. `base`: of the repository. */
  check(body: Buffer, base: string, nowMs: number): string | undefined;
}

export interface Catalog {
  answer(question: Question): Thing | undefined;
  /** Of the package with this number. */
  file(index: number, version: number): File;
  pages(index: number): readonly Page[];
  /** Not there, and never was. */
  readonly missing: string;
}

/** New versions come to every seventh package. */
const newVersionMs = 30_000;
const mostNew = 30;

/** How many versions a package has at a time; versions are numbered from 0 and stay. */
export function versionsOf(name: string, index: number, nowMs: number): number {
  const first = 3 + numberOf(`${name} versions`, 4);
  return index % 7 === 0 ? first + Math.min(mostNew, Math.floor(Math.max(0, nowMs) / newVersionMs)) : first;
}

/** Most are small, some are large. */
export function sizeOf(name: string): number {
  const kind = numberOf(`${name} kind`, 100);
  if (kind < 70) return 300 + numberOf(name, 30_000);
  if (kind < 95) return 30_000 + numberOf(name, 270_000);
  return 300_000 + numberOf(name, 1_700_000);
}

const json = 'application/json';
const text = 'text/plain; charset=utf-8';

export function catalogsOf(seed: number): Readonly<Record<FormatId, Catalog>> {
  const digests = new Map<string, string>();

  function bytesOf(name: string, size = sizeOf(name)): Content {
    return made(`${seed} ${name}`, size);
  }

  function digestOf(name: string, algorithm: Algorithm, encoding: 'hex' | 'base64' = 'hex', size?: number): string {
    const key = `${algorithm} ${encoding} ${name}`;
    let known = digests.get(key);
    if (known === undefined) {
      known = hashOf(bytesOf(name, size), algorithm, encoding);
      if (digests.size > 200_000) digests.clear();
      digests.set(key, known);
    }
    return known;
  }

  const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
  const document = (type: string, body: string | Buffer, headers: Readonly<Record<string, string>> = {}): Thing => {
    const bytes = Buffer.from(body);
    return {
      kind: 'document',
      type,
      content: held(bytes),
      headers: { etag: `"${hashOf(bytes, 'sha1').slice(0, 20)}"`, ...headers },
    };
  };
  const artifact = (name: string, type = 'application/octet-stream', size?: number): Thing => ({
    kind: 'artifact',
    type,
    content: bytesOf(name, size),
    headers: { etag: `"${hashOf(name, 'sha1').slice(0, 20)}"` },
  });
  const numberIn = (found: RegExpExecArray | null, at: number): number => Number(found?.[at]);

  /** Whether these are the first so many versions, no more than there are. */
  function wrongVersions(told: readonly string[], expected: (nth: number) => string, most: number): string | undefined {
    if (told.length === 0 || told.length > most) return `${told.length} versions where upstream has ${most}`;
    const odd = told.findIndex((version, nth) => version !== expected(nth));
    return odd === -1 ? undefined : `version ${told[odd]} where ${expected(odd)} should be`;
  }

  // npm
  const npmVersion = (nth: number): string => `1.${nth}.0`;
  const npmName = (index: number): string => (index % 3 === 0 ? `@soak/pkg-${index}` : `soak-pkg-${index}`);
  const npmFile = (index: number, nth: number): string =>
    `${npmName(index).replace('@soak/', '')}-${npmVersion(nth)}.tgz`;
  const npmTarball = (index: number, nth: number): string => `${npmName(index)}/-/${npmFile(index, nth)}`;
  const npmDist = (index: number, nth: number, origin: string): object => ({
    tarball: `${origin}/${npmTarball(index, nth)}`,
    shasum: digestOf(npmTarball(index, nth), 'sha1'),
    integrity: `sha512-${digestOf(npmTarball(index, nth), 'sha512', 'base64')}`,
  });
  const npm: Catalog = {
    missing: '/soak-no-such-package',
    answer({ path, accept, origin, nowMs }) {
      const tarball = /^\/((?:@soak\/pkg|soak-pkg)-(\d+))\/-\/[\w-]+-1\.(\d+)\.0\.tgz$/.exec(decodeURIComponent(path));
      if (tarball) {
        const [index, nth] = [numberIn(tarball, 2), numberIn(tarball, 3)];
        return npmName(index) === tarball[1] && nth < versionsOf(npmName(index), index, nowMs)
          ? artifact(npmTarball(index, nth))
          : undefined;
      }
      const found = /^\/((?:@soak\/pkg|soak-pkg)-(\d+))$/.exec(decodeURIComponent(path));
      const index = numberIn(found, 2);
      const name = found?.[1];
      if (name === undefined || npmName(index) !== name) return undefined;
      const abbreviated = accept.includes('application/vnd.npm.install-v1+json');
      const versions = upTo(versionsOf(name, index, nowMs)).map((nth) => ({
        name,
        version: npmVersion(nth),
        ...(abbreviated ? {} : { description: 'x'.repeat(300), license: 'MIT' }),
        dist: npmDist(index, nth, origin),
      }));
      const times = versions.map(({ version }, nth) => [version, new Date(1.6e12 + nth * 1e9).toISOString()]);
      const body = {
        ...(abbreviated ? { modified: '2024-01-01T00:00:00.000Z' } : { _id: name, readme: 'r'.repeat(1000) }),
        name,
        'dist-tags': { latest: versions.at(-1)?.version },
        versions: Object.fromEntries(versions.map((one) => [one.version, one])),
        ...(abbreviated ? {} : { time: Object.fromEntries(times) }),
      };
      return document(abbreviated ? 'application/vnd.npm.install-v1+json' : json, JSON.stringify(body), {
        vary: 'accept, accept-encoding',
      });
    },
    file: (index, nth) => ({
      path: `/${npmTarball(index, nth)}`,
      at: `/${npmTarball(index, nth)}`,
      content: bytesOf(npmTarball(index, nth)),
    }),
    pages: (index) =>
      [json, 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8'].map((accept) => ({
        path: `/${npmName(index).replace('/', '%2f')}`,
        accept,
        check(body, base, nowMs) {
          const told = JSON.parse(body.toString()) as { name: string; versions: Record<string, { dist: object }> };
          if (told.name !== npmName(index)) return `it is about ${told.name}`;
          for (const [nth, { dist }] of Object.values(told.versions).entries()) {
            const wanted = JSON.stringify(npmDist(index, nth, base));
            if (JSON.stringify(dist) !== wanted) return `dist ${JSON.stringify(dist)} instead of ${wanted}`;
          }
          return wrongVersions(Object.keys(told.versions), npmVersion, versionsOf(npmName(index), index, nowMs));
        },
      })),
  };

  // OCI: every image of a name shares its first layer with the others.
  const imageName = (index: number): string => `soak/image-${index}`;
  const layers = (index: number, nth: number): { name: string; size: number }[] =>
    [`${imageName(index)} base`, `${imageName(index)} layer ${nth}`].map((name, at) => ({
      name,
      size: sizeOf(name) * (at === 0 && index % 10 === 1 ? 4 : 1),
    }));
  const configOf = (index: number, nth: number): Buffer =>
    Buffer.from(
      JSON.stringify({
        created: '2024-01-01T00:00:00Z',
        architecture: 'amd64',
        os: 'linux',
        config: { Labels: { image: `${seed} ${index} ${nth}` } },
        rootfs: { type: 'layers', diff_ids: [] },
      }),
    );
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifests = new Map<string, Buffer>();
  function manifestOf(index: number, nth: number): Buffer {
    const key = `${index} ${nth}`;
    let known = manifests.get(key);
    if (!known) {
      const config = configOf(index, nth);
      known = Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: manifestType,
          config: {
            mediaType: 'application/vnd.oci.image.config.v1+json',
            digest: `sha256:${hashOf(config, 'sha256')}`,
            size: config.length,
          },
          layers: layers(index, nth).map(({ name, size }) => ({
            mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
            digest: `sha256:${digestOf(name, 'sha256', 'hex', size)}`,
            size,
          })),
        }),
      );
      if (manifests.size > 2000) manifests.clear();
      manifests.set(key, known);
    }
    return known;
  }
  const tokenOf = (name: string): string => `token-for-${name.replaceAll('/', '.')}`;
  const oci: Catalog = {
    missing: '/soak/image-1/manifests/no-such-tag',
    answer({ path, authorization, origin, nowMs }) {
      if (path === '/token') {
        return {
          kind: 'token',
          type: json,
          content: held(Buffer.from(JSON.stringify({ token: tokenOf('soak'), expires_in: 120 }))),
        };
      }
      if (!path.startsWith('/v2/')) return undefined;
      if (authorization !== `Bearer ${tokenOf('soak')}`) {
        const scope = /^\/v2\/(.+)\/(?:manifests|blobs|tags)\//.exec(path)?.[1];
        const challenge = `Bearer realm="${origin}/token",service="soak"${scope === undefined ? '' : `,scope="repository:${scope}:pull"`}`;
        return {
          kind: 'token',
          status: 401,
          type: json,
          content: held(Buffer.from('{"errors":[{"code":"UNAUTHORIZED"}]}')),
          headers: { 'www-authenticate': challenge },
        };
      }
      const found = /^\/v2\/soak\/image-(\d+)\/(manifests|blobs|tags)\/(.+)$/.exec(path);
      if (!found) return undefined;
      const index = numberIn(found, 1);
      const rest = found[3] ?? '';
      const count = versionsOf(imageName(index), index, nowMs);
      if (found[2] === 'tags') {
        return document(json, JSON.stringify({ name: imageName(index), tags: upTo(count).map((nth) => `v${nth}`) }));
      }
      if (found[2] === 'manifests') {
        const tagged = /^v(\d+)$/.exec(rest);
        const nth = tagged
          ? numberIn(tagged, 1)
          : upTo(count).find((one) => `sha256:${hashOf(manifestOf(index, one), 'sha256')}` === rest);
        if (nth === undefined || nth >= count) return undefined;
        const bytes = manifestOf(index, nth);
        const digest = `sha256:${hashOf(bytes, 'sha256')}`;
        return {
          kind: tagged ? 'document' : 'artifact',
          type: manifestType,
          content: held(bytes),
          headers: { 'docker-content-digest': digest, etag: `"${digest}"` },
        };
      }
      for (const nth of upTo(count)) {
        const config = configOf(index, nth);
        if (`sha256:${hashOf(config, 'sha256')}` === rest)
          return { kind: 'artifact', type: 'application/octet-stream', content: held(config) };
        for (const { name, size } of layers(index, nth)) {
          if (`sha256:${digestOf(name, 'sha256', 'hex', size)}` === rest)
            return artifact(name, 'application/octet-stream', size);
        }
      }
      return undefined;
    },
    file(index, nth) {
      // What a pull takes: the layer of this version, and now and then the shared one or the manifest.
      const [base, own] = layers(index, nth);
      const layer = nth === 0 ? base : own;
      if (!layer) throw new Error('An image has layers.');
      if (nth === 2) {
        const bytes = manifestOf(index, nth);
        const path = `/${imageName(index)}/manifests/sha256:${hashOf(bytes, 'sha256')}`;
        return { path, at: `/v2${path}`, content: held(bytes) };
      }
      const path = `/${imageName(index)}/blobs/sha256:${digestOf(layer.name, 'sha256', 'hex', layer.size)}`;
      return { path, at: `/v2${path}`, content: bytesOf(layer.name, layer.size) };
    },
    pages: (index) => [
      {
        path: `/${imageName(index)}/manifests/v1`,
        accept: `${manifestType}, application/vnd.oci.image.index.v1+json`,
        check: (body) => (body.equals(manifestOf(index, 1)) ? undefined : 'another manifest'),
      },
      {
        path: `/${imageName(index)}/tags/list`,
        check(body, _base, nowMs) {
          const { tags } = JSON.parse(body.toString()) as { tags: string[] };
          const sorted = tags.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
          return wrongVersions(sorted, (nth) => `v${nth}`, versionsOf(imageName(index), index, nowMs));
        },
      },
    ],
  };

  // Maven
  const libFolder = (index: number): string => `/org/soak/lib-${index}`;
  const libFile = (index: number, nth: number, ending: string): string =>
    `${libFolder(index)}/1.${nth}/lib-${index}-1.${nth}.${ending}`;
  const pomOf = (index: number, nth: number): Buffer =>
    Buffer.from(
      `<?xml version="1.0" encoding="UTF-8"?>\n<project><modelVersion>4.0.0</modelVersion><groupId>org.soak</groupId><artifactId>lib-${index}</artifactId><version>1.${nth}</version><description>${seed}</description></project>\n`,
    );
  const maven: Catalog = {
    missing: '/org/soak/lib-1/9.9/lib-1-9.9.jar',
    answer({ path, nowMs }) {
      const found =
        /^\/org\/soak\/lib-(\d+)\/(?:1\.(\d+)\/lib-\d+-1\.\d+\.(jar|pom)|(maven-metadata\.xml))(\.sha1|\.md5)?$/.exec(
          path,
        );
      if (!found) return undefined;
      const index = numberIn(found, 1);
      const count = versionsOf(libFolder(index), index, nowMs);
      const algorithm = found[5]?.slice(1) as Algorithm | undefined;
      if (found[4] !== undefined) {
        const versions = upTo(count).map((nth) => `<version>1.${nth}</version>`);
        const body = `<?xml version="1.0" encoding="UTF-8"?>\n<metadata><groupId>org.soak</groupId><artifactId>lib-${index}</artifactId><versioning><latest>1.${count - 1}</latest><release>1.${count - 1}</release><versions>${versions.join('')}</versions><lastUpdated>20240101000000</lastUpdated></versioning></metadata>\n`;
        return algorithm
          ? { ...document('text/plain', hashOf(body, algorithm)), kind: 'sidecar' }
          : document('text/xml', body);
      }
      const nth = numberIn(found, 2);
      if (nth >= count) return undefined;
      const isPom = found[3] === 'pom';
      const name = libFile(index, nth, found[3] ?? '');
      if (algorithm) {
        const digest = isPom ? hashOf(pomOf(index, nth), algorithm) : digestOf(name, algorithm);
        return { ...document('text/plain', digest), kind: 'sidecar' };
      }
      if (isPom) return { kind: 'artifact', type: 'text/xml', content: held(pomOf(index, nth)) };
      return artifact(name, 'application/java-archive');
    },
    file(index, nth) {
      const isPom = nth === 1;
      const path = libFile(index, nth, isPom ? 'pom' : 'jar');
      return { path, at: path, content: isPom ? held(pomOf(index, nth)) : bytesOf(path) };
    },
    pages: (index) => [
      {
        path: `${libFolder(index)}/maven-metadata.xml`,
        check(body, _base, nowMs) {
          const told = [...body.toString().matchAll(/<version>(.+?)<\/version>/g)].map(([, one]) => one ?? '');
          return wrongVersions(told, (nth) => `1.${nth}`, versionsOf(libFolder(index), index, nowMs));
        },
      },
      {
        path: `${libFile(index, 0, 'jar')}.sha1`,
        check: (body) =>
          body.toString() === digestOf(libFile(index, 0, 'jar'), 'sha1')
            ? undefined
            : `digest ${body.toString().slice(0, 60)}`,
      },
    ],
  };

  // NuGet
  const id = (index: number): string => `soak.lib${index}`;
  const nupkg = (index: number, nth: number): string => `/flat/${id(index)}/1.${nth}.0/${id(index)}.1.${nth}.0.nupkg`;
  const nuget: Catalog = {
    missing: '/v3/flat/soak.lib1/9.9.9/soak.lib1.9.9.9.nupkg',
    answer({ path, origin, nowMs }) {
      const hive = `${origin}/v3/registration`;
      if (path === '/v3/index.json') {
        const resource = (type: string, url: string): object => ({ '@id': url, '@type': type });
        return document(
          json,
          JSON.stringify({
            version: '3.0.0',
            resources: [
              resource('RegistrationsBaseUrl', `${hive}/`),
              resource('RegistrationsBaseUrl/3.4.0', `${hive}/`),
              resource('RegistrationsBaseUrl/3.6.0', `${hive}/`),
              resource('PackageBaseAddress/3.0.0', `${origin}/flat/`),
            ],
          }),
        );
      }
      const file = /^\/flat\/soak\.lib(\d+)\/(?:1\.(\d+)\.0\/[^/]+\.nupkg|(index\.json))$/.exec(path);
      if (file) {
        const index = numberIn(file, 1);
        const count = versionsOf(id(index), index, nowMs);
        if (file[3]) return document(json, JSON.stringify({ versions: upTo(count).map((nth) => `1.${nth}.0`) }));
        const nth = numberIn(file, 2);
        return nth < count && path === nupkg(index, nth) ? artifact(nupkg(index, nth)) : undefined;
      }
      const found =
        /^\/v3\/(?:registration\/soak\.lib(\d+)\/(index|1\.(\d+)\.0)|catalog\/soak\.lib(\d+)\.1\.(\d+)\.0)\.json$/.exec(
          path,
        );
      if (!found) return undefined;
      const index = numberIn(found, found[4] === undefined ? 1 : 4);
      const count = versionsOf(id(index), index, nowMs);
      const leaf = (nth: number): Record<string, unknown> => ({
        '@id': `${hive}/${id(index)}/1.${nth}.0.json`,
        packageContent: `${origin}${nupkg(index, nth)}`,
        registration: `${hive}/${id(index)}/index.json`,
      });
      const entryAt = (nth: number): string => `${origin}/v3/catalog/${id(index)}.1.${nth}.0.json`;
      const facts = (nth: number): Record<string, unknown> => ({
        '@id': entryAt(nth),
        id: id(index),
        version: `1.${nth}.0`,
        listed: true,
        published: new Date(1.6e12 + nth * 1e9).toISOString(),
      });
      if (found[4] !== undefined) {
        const nth = numberIn(found, 5);
        const name = nupkg(index, nth);
        if (nth >= count) return undefined;
        const body = {
          ...facts(nth),
          packageHash: digestOf(name, 'sha512', 'base64'),
          packageHashAlgorithm: 'SHA512',
          packageSize: sizeOf(name),
        };
        return document(json, JSON.stringify(body));
      }
      if (found[2] === 'index') {
        const items = upTo(count).map((nth) => ({ ...leaf(nth), catalogEntry: facts(nth) }));
        const page = {
          '@id': `${hive}/${id(index)}/index.json#page`,
          count,
          items,
          lower: '1.0.0',
          upper: `1.${count - 1}.0`,
        };
        return document(json, JSON.stringify({ '@id': `${hive}/${id(index)}/index.json`, count: 1, items: [page] }));
      }
      const nth = numberIn(found, 3);
      return nth < count
        ? document(json, JSON.stringify({ ...leaf(nth), catalogEntry: entryAt(nth), listed: true }))
        : undefined;
    },
    file: (index, nth) => ({
      path: `/v3${nupkg(index, nth)}`,
      at: nupkg(index, nth),
      content: bytesOf(nupkg(index, nth)),
    }),
    pages: (index) => [
      {
        path: `/v3/flat/${id(index)}/index.json`,
        check(body, _base, nowMs) {
          const { versions } = JSON.parse(body.toString()) as { versions: string[] };
          return wrongVersions(versions, (nth) => `1.${nth}.0`, versionsOf(id(index), index, nowMs));
        },
      },
      {
        path: `/v3/registration-semver2/${id(index)}/index.json`,
        check(body, base, nowMs) {
          const { items } = JSON.parse(body.toString()) as {
            items: { items: { packageContent: string; catalogEntry: { version: string } }[] }[];
          };
          const all = items.flatMap((page) => page.items ?? []);
          const foreign = all.find(({ packageContent }) => !packageContent.startsWith(`${base}/`));
          if (foreign) return `a package lies at ${foreign.packageContent}`;
          return wrongVersions(
            all.map(({ catalogEntry }) => catalogEntry.version),
            (nth) => `1.${nth}.0`,
            versionsOf(id(index), index, nowMs),
          );
        },
      },
    ],
  };

  // RubyGems
  const gemName = (index: number): string => `soak-gem${index}`;
  const gemFile = (index: number, nth: number): string => `/gems/${gemName(index)}-1.${nth}.0.gem`;
  const infoOf = (index: number, count: number): string =>
    `---\n${upTo(count)
      .map((nth) => `1.${nth}.0 |checksum:${digestOf(gemFile(index, nth), 'sha256')}\n`)
      .join('')}`;
  const listedGems = 60;
  const rubygems: Catalog = {
    missing: '/gems/soak-gem1-9.9.9.gem',
    answer({ path, nowMs }) {
      const countOf = (index: number): number => versionsOf(gemName(index), index, nowMs);
      const page = (body: string): Thing =>
        document(text, body, { 'repr-digest': `sha-256=:${hashOf(body, 'sha256', 'base64')}:` });
      if (path === '/versions') {
        // It only grows: what is new is a line at the end.
        const first = upTo(listedGems).map((index) => {
          const count = versionsOf(gemName(index), index, 0);
          const versions = upTo(count).map((nth) => `1.${nth}.0`);
          return `${gemName(index)} ${versions.join(',')} ${hashOf(infoOf(index, count), 'md5')}\n`;
        });
        const later = upTo(mostNew).flatMap((step) =>
          upTo(listedGems).flatMap((index) => {
            const nth = versionsOf(gemName(index), index, 0) + step;
            return nth < countOf(index)
              ? [`${gemName(index)} 1.${nth}.0 ${hashOf(infoOf(index, nth + 1), 'md5')}\n`]
              : [];
          }),
        );
        return page(`created_at: 2024-01-01T00:00:05Z\n---\n${[...first, ...later].join('')}`);
      }
      if (path === '/names') return page(`---\n${upTo(listedGems).map(gemName).toSorted().join('\n')}\n`);
      const info = /^\/info\/soak-gem(\d+)$/.exec(path);
      if (info) return page(infoOf(numberIn(info, 1), countOf(numberIn(info, 1))));
      const gem = /^\/gems\/soak-gem(\d+)-1\.(\d+)\.0\.gem$/.exec(path);
      if (!gem || numberIn(gem, 2) >= countOf(numberIn(gem, 1))) return undefined;
      return artifact(gemFile(numberIn(gem, 1), numberIn(gem, 2)));
    },
    file: (index, nth) => ({
      path: gemFile(index, nth),
      at: gemFile(index, nth),
      content: bytesOf(gemFile(index, nth)),
    }),
    pages: (index) => [
      {
        path: `/info/${gemName(index)}`,
        check(body, _base, nowMs) {
          const lines = body.toString().trimEnd().split('\n').slice(1);
          const wanted = infoOf(index, lines.length);
          if (lines.length > versionsOf(gemName(index), index, nowMs)) return `${lines.length} versions`;
          return body.toString() === wanted ? undefined : `the page ${JSON.stringify(body.toString().slice(0, 200))}`;
        },
      },
      {
        path: '/versions',
        check: (body) => {
          const lines = body.toString().split('\n');
          return lines.filter((line) => line.startsWith('soak-gem')).length >= listedGems
            ? undefined
            : 'gems are missing';
        },
      },
    ],
  };

  // PyPI
  const project = (index: number): string => `soak-proj${index}`;
  const wheel = (index: number, nth: number): string => `soak_proj${index}-1.${nth}-py3-none-any.whl`;
  const metadataOf = (index: number, nth: number): Buffer =>
    Buffer.from(`Metadata-Version: 2.1\nName: ${project(index)}\nVersion: 1.${nth}\nSummary: ${seed}\n`);
  const wheelAt = (index: number, nth: number): string =>
    `/packages/${digestOf(wheel(index, nth), 'sha256').slice(0, 12)}/${wheel(index, nth)}`;
  const simpleJson = 'application/vnd.pypi.simple.v1+json';
  const pypi: Catalog = {
    missing: '/simple/soak-no-such-project/',
    answer({ path, accept, origin, nowMs }) {
      const page = /^\/simple\/soak-proj(\d+)\/$/.exec(path);
      if (page) {
        const index = numberIn(page, 1);
        const all = upTo(versionsOf(project(index), index, nowMs));
        if (!accept.includes(simpleJson)) {
          const rows = all.map(
            (nth) =>
              `<a href="${origin}${wheelAt(index, nth)}#sha256=${digestOf(wheel(index, nth), 'sha256')}">${wheel(index, nth)}</a><br />\n`,
          );
          return document(
            'text/html; charset=utf-8',
            `<!DOCTYPE html>\n<html><body>\n${rows.join('')}</body></html>\n`,
          );
        }
        const files = all.map((nth) => ({
          filename: wheel(index, nth),
          url: `${origin}${wheelAt(index, nth)}`,
          hashes: { sha256: digestOf(wheel(index, nth), 'sha256') },
          size: sizeOf(wheel(index, nth)),
          'upload-time': new Date(1.6e12 + nth * 1e9).toISOString(),
          yanked: false,
          'core-metadata': { sha256: hashOf(metadataOf(index, nth), 'sha256') },
        }));
        const body = {
          meta: { 'api-version': '1.1' },
          name: project(index),
          versions: all.map((nth) => `1.${nth}`),
          files,
        };
        return document(simpleJson, JSON.stringify(body), { vary: 'accept' });
      }
      const file = /^\/packages\/[0-9a-f]{12}\/soak_proj(\d+)-1\.(\d+)-py3-none-any\.whl(\.metadata)?$/.exec(path);
      if (!file) return undefined;
      const [index, nth] = [numberIn(file, 1), numberIn(file, 2)];
      if (nth >= versionsOf(project(index), index, nowMs)) return undefined;
      if (file[3]) return { kind: 'artifact', type: 'binary/octet-stream', content: held(metadataOf(index, nth)) };
      return artifact(wheel(index, nth), 'binary/octet-stream');
    },
    file(index, nth) {
      const key = digestOf(wheel(index, nth), 'sha256');
      const path = `/files/${project(index)}/${key}/${wheel(index, nth)}`;
      return nth === 1
        ? { path: `${path}.metadata`, at: `${wheelAt(index, nth)}.metadata`, content: held(metadataOf(index, nth)) }
        : { path, at: wheelAt(index, nth), content: bytesOf(wheel(index, nth)) };
    },
    pages: (index) =>
      [simpleJson, 'text/html'].map((accept) => ({
        path: `/simple/${project(index)}/`,
        accept,
        check(body, base, nowMs) {
          const told =
            accept === simpleJson
              ? (
                  JSON.parse(body.toString()) as {
                    files: { filename: string; url: string; hashes: { sha256: string } }[];
                  }
                ).files.map(({ filename, url, hashes }) => ({ filename, url: `${url}#sha256=${hashes.sha256}` }))
              : [...body.toString().matchAll(/<a href="([^"]+)"[^>]*>([^<]+)<\/a>/g)].map(
                  ([, url = '', filename = '']) => ({ filename, url }),
                );
          const odd = told.find(
            ({ url }, nth) =>
              !url.endsWith(`#sha256=${digestOf(wheel(index, nth), 'sha256')}`) ||
              new URL(url, `${base}/simple/x/`).origin !== new URL(base).origin,
          );
          if (odd) return `${odd.filename} lies at ${odd.url}`;
          return wrongVersions(
            told.map(({ filename }) => filename),
            (nth) => wheel(index, nth),
            versionsOf(project(index), index, nowMs),
          );
        },
      })),
  };

  // p2: a site is a package, its bundles are the versions.
  const bundle = (index: number, nth: number): string => `/site-${index}/plugins/org.soak.b${nth}_1.0.0.jar`;
  const artifactsOf = (index: number, count: number): string => {
    const rows = upTo(count).map((nth) => {
      const name = bundle(index, nth);
      return `    <artifact classifier='osgi.bundle' id='org.soak.b${nth}' version='1.0.0'>\n      <properties size='2'>\n        <property name='download.size' value='${sizeOf(name)}'/>\n        <property name='download.checksum.sha-256' value='${digestOf(name, 'sha256')}'/>\n      </properties>\n    </artifact>\n`;
    });
    return `<?xml version='1.0' encoding='UTF-8'?>\n<?artifactRepository version='1.1.0'?>\n<repository name='Soak' type='org.eclipse.equinox.internal.p2.artifact.repository.simple.SimpleArtifactRepository' version='1'>\n  <properties size='1'>\n    <property name='p2.timestamp' value='1715767872000'/>\n  </properties>\n  <mappings size='1'>\n    <rule filter='(&amp; (classifier=osgi.bundle))' output='\${repoUrl}/plugins/\${id}_\${version}.jar'/>\n  </mappings>\n  <artifacts size='${count}'>\n${rows.join('')}  </artifacts>\n</repository>\n`;
  };
  // Its versions do not grow: a site is made anew under another address.
  const bundles = (index: number): number => versionsOf(`site ${index}`, index, 0);
  const p2: Catalog = {
    missing: '/site-1/no-such-file.txt',
    answer({ path }) {
      const found = /^\/site-(\d+)\/(?:plugins\/org\.soak\.b(\d+)_1\.0\.0\.jar|(artifacts\.xml))$/.exec(path);
      if (!found) return undefined;
      const index = numberIn(found, 1);
      const headers = { 'last-modified': 'Wed, 15 May 2024 10:11:12 GMT' };
      if (found[3]) return document('application/xml', artifactsOf(index, bundles(index)), headers);
      const nth = numberIn(found, 2);
      return nth < bundles(index) ? artifact(bundle(index, nth), 'application/java-archive') : undefined;
    },
    file: (index, nth) => ({ path: bundle(index, nth), at: bundle(index, nth), content: bytesOf(bundle(index, nth)) }),
    pages: (index) => [
      {
        path: `/site-${index}/artifacts.xml`,
        check: (body) => {
          const ids = [...body.toString().matchAll(/<artifact classifier='osgi.bundle' id='([^']+)'/g)].map(
            ([, one]) => one ?? '',
          );
          const sums = [...body.toString().matchAll(/sha-256' value='([0-9a-f]+)'/g)].map(([, one]) => one ?? '');
          const odd = sums.findIndex((sum, nth) => sum !== digestOf(bundle(index, nth), 'sha256'));
          return odd !== -1 || ids.length !== bundles(index) || sums.length !== ids.length
            ? 'another list of bundles'
            : undefined;
        },
      },
    ],
  };

  // Generic: files that never change, and some that do.
  const fileName = (index: number, nth: number): string => `/rel/file-${index}/part-${nth}.bin`;
  const fileSize = (index: number, nth: number): number =>
    index % 11 === 3 && nth === 0
      ? 4_000_000 + numberOf(fileName(index, nth), 16_000_000)
      : sizeOf(fileName(index, nth));
  const stateOf = (index: number, step: number): string => `state ${step} of ${index} with seed ${seed}\n`.repeat(20);
  const generic: Catalog = {
    missing: '/rel/no-such-file.bin',
    answer({ path, nowMs }) {
      const found = /^\/rel\/file-(\d+)\/part-(\d+)\.bin$/.exec(path);
      if (found) {
        const [index, nth] = [numberIn(found, 1), numberIn(found, 2)];
        if (nth > 40) return undefined;
        return { ...artifact(fileName(index, nth), 'application/octet-stream', fileSize(index, nth)), kind: 'plain' };
      }
      const latest = /^\/latest\/file-(\d+)\.txt$/.exec(path);
      if (!latest) return undefined;
      const step = Math.floor(Math.max(0, nowMs) / newVersionMs);
      return { ...document('text/plain', stateOf(numberIn(latest, 1), step)), kind: 'plain' };
    },
    file: (index, nth) => ({
      path: fileName(index, nth),
      at: fileName(index, nth),
      content: bytesOf(fileName(index, nth), fileSize(index, nth)),
    }),
    pages: (index) => [
      {
        path: `/latest/file-${index}.txt`,
        check(body, _base, nowMs) {
          const step = Number(/^state (\d+) of /.exec(body.toString())?.[1]);
          if (!(step <= nowMs / newVersionMs)) return `state ${step}, which is not yet`;
          return body.toString() === stateOf(index, step) ? undefined : 'no state there ever was';
        },
      },
    ],
  };

  return { npm, oci, maven, nuget, rubygems, pypi, p2, generic };
}

/** Every package has at least so many versions, at all times. */
export const leastVersions = 3;
