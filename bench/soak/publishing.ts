/** Steps of the load that publish, each with its format's protocol, read what was published, and take it away again. */
import { gemFile } from '../../test/support/gem-file.ts';
import { formOf as nugetFormOf, packageOf as nugetPackageOf } from '../../test/support/nuget-packages.ts';
import { wheelOf } from '../../test/support/pypi-packages.ts';
import { formOf, formType, hexOf } from '../../test/support/pypi-uploads.ts';
import { tarball } from '../../test/support/tarball.ts';
import { allOf, type Content, hashOf, held, made, numberOf } from './bytes.ts';
import type { FormatId } from './catalog.ts';
import type { Answer, Wish } from './client.ts';
import { apiPath, ask, below, credentials, type OrgId, pathOf, pickOf, type World, wrongToken } from './world.ts';

type Publishing = Exclude<FormatId, 'p2'>;
type PublishingOrg = Exclude<OrgId, 'open'>;

interface Published {
  readonly org: PublishingOrg;
  readonly format: Publishing;
  /** It is being taken away: whoever still reads it may find it or not. */
  isLeaving?: true;
  /** What must be there now, byte for byte. */
  readonly files: readonly { readonly path: string; readonly content: Content }[];
  /** What must not be there once it was taken away. */
  readonly remove?: { readonly wish: Wish; readonly statuses: readonly number[]; readonly gone: string };
}

/** Of each format in each org; older ones are taken away where that can be done. */
const mostKept = 10;

const hex = (bytes: Content | Buffer, algorithm: 'sha256' | 'sha1' | 'md5' = 'sha256'): string =>
  hashOf(bytes, algorithm);
const word = (world: World, id: number): string => `${world.seed}x${id}`;

export interface Publisher {
  publish(world: World): Promise<void>;
  readBack(world: World): Promise<void>;
  leaveUpload(world: World): Promise<void>;
  refused(world: World): Promise<void>;
  unpublished(world: World): Promise<void>;
  /** Uploads that were begun and not ended: their sessions stay for a day. */
  readonly openSessions: () => number;
}

export function createPublisher(): Publisher {
  const kept = new Map<string, Published[]>();
  let serial = 0;
  let openSessions = 0;

  const orgOf = (world: World): PublishingOrg => (world.random() < 0.75 ? 'acme' : 'beta');
  const writer = (world: World, org: PublishingOrg): string => (org === 'acme' ? world.tokens.alice : world.tokens.bob);

  function headersOf(world: World, org: PublishingOrg, format: Publishing): Readonly<Record<string, string>> {
    return credentials(format, writer(world, org));
  }

  async function send(
    world: World,
    org: PublishingOrg,
    format: Publishing,
    wish: Wish,
    statuses: readonly number[],
    step = `publish ${format}`,
  ): Promise<Answer> {
    const isWhole = wish.path.startsWith('/v2/') || wish.path.startsWith(apiPath);
    const at = isWhole ? '' : pathOf(org, format);
    const authorization = wish.path.startsWith(apiPath) ? { authorization: `Bearer ${writer(world, org)}` } : {};
    return ask(
      world,
      step,
      org,
      format,
      {
        keep: true,
        ...wish,
        path: at + wish.path,
        headers: { ...headersOf(world, org, format), ...authorization, ...wish.headers },
      },
      { statuses },
    );
  }

  type Made = Omit<Published, 'org' | 'format'> | undefined;

  async function npm(world: World, org: PublishingOrg, id: number): Promise<Made> {
    const name = `@${world.secret}/p-${word(world, id)}`;
    const bytes = tarball({
      'package.json': JSON.stringify({ name, version: '1.0.0' }),
      'index.js': allOf(made(name, 100 + numberOf(name, 60_000))).toString('base64'),
    });
    const document = {
      _id: name,
      name,
      'dist-tags': { latest: '1.0.0' },
      versions: {
        '1.0.0': {
          name,
          version: '1.0.0',
          dist: {
            integrity: `sha512-${hashOf(bytes, 'sha512', 'base64')}`,
            shasum: hex(bytes, 'sha1'),
            tarball: `http://elsewhere.example/${name}/-/${name}-1.0.0.tgz`,
          },
        },
      },
      _attachments: {
        [`${name}-1.0.0.tgz`]: {
          content_type: 'application/octet-stream',
          data: bytes.toString('base64'),
          length: bytes.length,
        },
      },
    };
    const path = `/${name.replace('/', '%2f')}`;
    const answer = await send(
      world,
      org,
      'npm',
      { path, method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify(document) },
      [201],
    );
    if (answer.status !== 201) return undefined;
    const read = await send(world, org, 'npm', { path: `${path}?write=true` }, [200]);
    if (read.status !== 200) return undefined;
    const { _rev } = JSON.parse(read.body.toString()) as { _rev: string };
    const file = `/${name}/-/p-${word(world, id)}-1.0.0.tgz`;
    return {
      files: [{ path: file, content: held(bytes) }],
      remove: { wish: { path: `${path}/-rev/${_rev}`, method: 'DELETE' }, statuses: [200], gone: file },
    };
  }

  /** Blobs come in one piece, in chunks, or with the first request; then the manifest that names them. */
  async function oci(world: World, org: PublishingOrg, id: number): Promise<Made> {
    const name = `${world.secret}/img-${word(world, id)}`;
    const at = `/v2/${org}/oci/${name}`;
    const layer = made(`${name} layer`, 1000 + numberOf(name, 900_000));
    const config = held(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', name })));
    for (const blob of [layer, config]) {
      const digest = `sha256:${hex(blob)}`;
      const way = below(world, 3);
      if (way === 0) {
        const all = await send(
          world,
          org,
          'oci',
          { path: `${at}/blobs/uploads/?digest=${digest}`, method: 'POST', body: blob },
          [201],
        );
        if (all.status !== 201) return undefined;
        continue;
      }
      const begun = await send(world, org, 'oci', { path: `${at}/blobs/uploads/`, method: 'POST' }, [202]);
      if (begun.status !== 202) return undefined;
      let location = addressOf(begun);
      if (way === 2) {
        const bytes = allOf(blob);
        const step = Math.max(1, Math.ceil(bytes.length / 3));
        for (let from = 0; from < bytes.length; from += step) {
          const chunk = bytes.subarray(from, from + step);
          const range = { 'content-range': `${from}-${from + chunk.length - 1}` };
          const sent = await send(
            world,
            org,
            'oci',
            { path: location, method: 'PATCH', headers: range, body: chunk },
            [202],
          );
          if (sent.status !== 202) {
            openSessions += 1;
            return undefined;
          }
          location = addressOf(sent);
        }
      }
      const end = `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`;
      const ended = await send(
        world,
        org,
        'oci',
        { path: end, method: 'PUT', ...(way === 2 ? {} : { body: blob, chunked: below(world, 2) === 0 }) },
        [201],
      );
      if (ended.status !== 201) {
        openSessions += 1;
        return undefined;
      }
    }
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: type,
        config: {
          mediaType: 'application/vnd.oci.image.config.v1+json',
          digest: `sha256:${hex(config)}`,
          size: config.size,
        },
        layers: [
          { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hex(layer)}`, size: layer.size },
        ],
      }),
    );
    const put = await send(
      world,
      org,
      'oci',
      { path: `${at}/manifests/v1`, method: 'PUT', headers: { 'content-type': type }, body: manifest },
      [201],
    );
    if (put.status !== 201) return undefined;
    const digest = `sha256:${hex(manifest)}`;
    return {
      files: [
        { path: `/${name}/manifests/v1`, content: held(manifest) },
        { path: `/${name}/blobs/sha256:${hex(layer)}`, content: layer },
      ],
      remove: {
        wish: { path: `${at}/manifests/${digest}`, method: 'DELETE' },
        statuses: [202],
        gone: `/${name}/manifests/v1`,
      },
    };
  }

  const addressOf = (answer: Answer): string => {
    const location = String(answer.headers.location);
    return location.startsWith('http') ? location.slice(new URL(location).origin.length) : location;
  };

  async function maven(world: World, org: PublishingOrg, id: number): Promise<Made> {
    const artifact = `lib-${word(world, id)}`;
    const folder = `/com/${world.secret}/${artifact}`;
    const stem = `${folder}/1.0/${artifact}-1.0`;
    const jar = made(stem, 200 + numberOf(stem, 200_000));
    const pom = held(
      Buffer.from(
        `<project><groupId>com.${world.secret}</groupId><artifactId>${artifact}</artifactId><version>1.0</version></project>`,
      ),
    );
    for (const [path, content] of [
      [`${stem}.jar`, jar],
      [`${stem}.pom`, pom],
    ] as const) {
      const put = await send(world, org, 'maven', { path, method: 'PUT', body: content }, [201]);
      if (put.status !== 201) return undefined;
      for (const algorithm of ['sha1', 'md5'] as const) {
        await send(
          world,
          org,
          'maven',
          { path: `${path}.${algorithm}`, method: 'PUT', body: hashOf(content, algorithm) },
          [201, 200],
        );
      }
    }
    const metadata = `<metadata><groupId>com.${world.secret}</groupId><artifactId>${artifact}</artifactId><versioning><versions><version>1.0</version></versions></versioning></metadata>`;
    await send(
      world,
      org,
      'maven',
      { path: `${folder}/maven-metadata.xml`, method: 'PUT', body: metadata },
      [201, 200],
    );
    return {
      files: [
        { path: `${stem}.jar`, content: jar },
        { path: `${stem}.pom`, content: pom },
        { path: `${stem}.jar.sha1`, content: held(Buffer.from(hex(jar, 'sha1'))) },
      ],
      remove: { wish: { path: `${folder}/1.0`, method: 'DELETE' }, statuses: [204], gone: `${stem}.jar` },
    };
  }

  async function nuget(world: World, org: PublishingOrg, id: number): Promise<Made> {
    const name = `${world.secret}.Lib${word(world, id)}`;
    const lower = name.toLowerCase();
    const bytes = nugetPackageOf({
      id: name,
      version: '1.0.0',
      library: allOf(made(name, 100 + numberOf(name, 40_000))),
    });
    const { contentType, body } = nugetFormOf(bytes);
    const put = await send(
      world,
      org,
      'nuget',
      { path: '/v3/package', method: 'PUT', headers: { 'content-type': contentType }, body, chunked: true },
      [201],
    );
    if (put.status !== 201) return undefined;
    const file = `/v3/flat/${lower}/1.0.0/${lower}.1.0.0.nupkg`;
    return {
      files: [{ path: file, content: held(bytes) }],
      remove: {
        wish: { path: `/api/v1/orgs/${org}/repositories/nuget/packages/${lower}/versions/1.0.0`, method: 'DELETE' },
        statuses: [200, 204],
        gone: file,
      },
    };
  }

  async function rubygems(world: World, org: PublishingOrg, id: number): Promise<Made> {
    const name = `${world.secret}-g${word(world, id)}`;
    const bytes = gemFile({
      name,
      version: '1.0.0',
      files: { 'lib/x.rb': allOf(made(name, 100 + numberOf(name, 40_000))).toString('hex') },
    });
    const put = await send(
      world,
      org,
      'rubygems',
      { path: '/api/v1/gems', method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: bytes },
      [200],
    );
    if (put.status !== 200) return undefined;
    const file = `/gems/${name}-1.0.0.gem`;
    const form = `gem_name=${name}&version=1.0.0`;
    return {
      files: [{ path: file, content: held(bytes) }],
      remove: {
        wish: {
          path: '/api/v1/gems/yank',
          method: 'DELETE',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: form,
        },
        statuses: [200],
        // The page no longer lists it; the file stays.
        gone: '',
      },
    };
  }

  async function pypi(world: World, org: PublishingOrg, id: number): Promise<Made> {
    const name = `${world.secret}-${word(world, id)}`;
    const wheel = wheelOf({ name, version: '1.0', paddingBytes: 100 + numberOf(name, 40_000) });
    const fields: Record<string, string> = {
      ':action': 'file_upload',
      protocol_version: '1',
      name,
      version: '1.0',
      filetype: 'bdist_wheel',
      pyversion: 'py3',
      metadata_version: '2.1',
      sha256_digest: hexOf(wheel.bytes),
    };
    const parts = Object.entries(fields).map(([key, value]) => ({ name: key, value }));
    const body = formOf([...parts, { name: 'content', filename: wheel.filename, value: wheel.bytes }]);
    const put = await send(
      world,
      org,
      'pypi',
      { path: '/legacy/', method: 'POST', headers: { 'content-type': formType }, body },
      [200],
    );
    if (put.status !== 200) return undefined;
    const file = `/files/${name}/${hexOf(wheel.bytes)}/${wheel.filename}`;
    return {
      files: [
        { path: file, content: held(wheel.bytes) },
        { path: `${file}.metadata`, content: held(wheel.metadata) },
      ],
      remove: {
        wish: { path: `/api/v1/orgs/${org}/repositories/pypi/packages/${name}/versions/1.0`, method: 'DELETE' },
        statuses: [200, 204],
        gone: file,
      },
    };
  }

  async function generic(world: World, org: PublishingOrg, id: number): Promise<Made> {
    const path = `/${world.secret}/file-${word(world, id)}.bin`;
    const content = made(path, numberOf(path, 10) === 0 ? 3_000_000 : 100 + numberOf(path, 400_000));
    const headers = { 'x-checksum-sha256': hex(content) };
    const put = await send(
      world,
      org,
      'generic',
      { path, method: 'PUT', headers, body: content, chunked: below(world, 2) === 0 },
      [201],
    );
    if (put.status !== 201) return undefined;
    return {
      files: [{ path, content }],
      remove: { wish: { path, method: 'DELETE' }, statuses: [204], gone: path },
    };
  }

  const ways = { npm, oci, maven, nuget, rubygems, pypi, generic } as const;
  const publishingFormats = Object.keys(ways) as Publishing[];

  async function readAll(world: World, published: Published, step: string): Promise<void> {
    const { org, format, files } = published;
    const token = org === 'acme' ? world.tokens.rita : world.tokens.bob;
    for (const { path, content } of files) {
      const headers = credentials(format, token);
      const isPart = below(world, 4) === 0 && content.size > 10;
      const from = isPart ? below(world, content.size) : 0;
      await ask(
        world,
        step,
        org,
        format,
        {
          path: pathOf(org, format) + path,
          headers: isPart ? { ...headers, range: `bytes=${from}-` } : headers,
          expect: content,
        },
        {
          get statuses() {
            return [200, ...(isPart ? [206] : []), ...(published.isLeaving ? [404] : [])];
          },
        },
      );
    }
  }

  return {
    openSessions: () => openSessions,

    async publish(world) {
      const org = orgOf(world);
      const format = pickOf(world, publishingFormats);
      serial += 1;
      const done = await ways[format](world, org, serial);
      if (!done) return;
      const published: Published = { org, format, ...done };
      await readAll(world, published, 'published');
      const list = kept.get(`${org} ${format}`) ?? [];
      kept.set(`${org} ${format}`, list);
      list.push(published);
      if (list.length <= mostKept) return;
      const [oldest] = list.splice(0, 1);
      if (!oldest?.remove) return;
      oldest.isLeaving = true;
      const { wish, statuses, gone } = oldest.remove;
      const removed = await send(world, org, format, wish, statuses, 'remove');
      if (gone === '' || !statuses.includes(removed.status)) return;
      await ask(
        world,
        'removed',
        org,
        format,
        { path: pathOf(org, format) + gone, headers: headersOf(world, org, format) },
        { statuses: [404] },
      );
    },

    async readBack(world) {
      const lists = [...kept.values()].filter((list) => list.length > 0);
      if (lists.length === 0) return;
      await readAll(world, pickOf(world, pickOf(world, lists)), 'read back');
    },

    /** What was sent until then must leave nothing behind. */
    async leaveUpload(world) {
      const org = orgOf(world);
      serial += 1;
      const name = `left-${word(world, serial)}`;
      const content = made(name, 50_000 + numberOf(name, 2_000_000));
      const leaveAfterSending = 1 + below(world, content.size - 1);
      const way = below(world, 3);
      const wish: Wish =
        way === 0
          ? { path: `/${world.secret}/${name}.bin`, method: 'PUT', body: content, chunked: below(world, 2) === 0 }
          : way === 1
            ? { path: `/com/${world.secret}/${name}/1.0/${name}-1.0.jar`, method: 'PUT', body: content }
            : {
                path: '/v3/package',
                method: 'PUT',
                headers: { 'content-type': 'multipart/form-data; boundary=soak' },
                body: content,
              };
      const format: Publishing = way === 0 ? 'generic' : way === 1 ? 'maven' : 'nuget';
      // Some servers' refusals come before the client leaves.
      await send(world, org, format, { ...wish, leaveAfterSending }, [400, 422, 408], 'leave upload');
    },

    async refused(world) {
      const format = pickOf(world, publishingFormats);
      const file = `/${world.secret}/refused-${below(world, 1000)}`;
      const at = (org: OrgId, to: FormatId): string => pathOf(org, to) + file;
      const put = (org: OrgId, token: string | undefined, statuses: readonly number[]): Promise<Answer> =>
        ask(
          world,
          'refused',
          org,
          'generic',
          {
            path: `${at(org, 'generic')}.bin`,
            method: 'PUT',
            headers: credentials('generic', token),
            body: made('refused', 1000 + below(world, 200_000)),
          },
          { statuses },
        );
      const hot = world.catalogs[format].file(below(world, 10), 0).path;
      const get = (org: OrgId, token: string | undefined, statuses: readonly number[]): Promise<Answer> =>
        ask(
          world,
          'refused',
          org,
          format,
          { path: pathOf(org, format) + hot, headers: credentials(format, token) },
          { statuses },
        );
      switch (below(world, 8)) {
        case 0:
          return void (await put('acme', undefined, [401]));
        case 1:
          return void (await put('acme', wrongToken, [401]));
        case 2:
          return void (await put('acme', world.tokens.rita, [403]));
        case 3:
          return void (await put('acme', world.tokens.bob, [401, 403, 404]));
        case 4:
          return void (await get('acme', undefined, [401]));
        case 5:
          return void (await get('acme', wrongToken, [401]));
        case 6:
          return void (await get('acme', world.tokens.bob, [401, 403, 404]));
        default:
          return void (await get('beta', world.tokens.alice, [401, 403, 404]));
      }
    },

    /** A private name that nobody has published is asked of nobody. */
    async unpublished(world) {
      const name = `none-${below(world, 100_000)}`;
      const paths: Readonly<Record<Publishing, string>> = {
        npm: `/@${world.secret}%2f${name}`,
        oci: `/${world.secret}/${name}/manifests/latest`,
        maven: `/com/${world.secret}/${name}/1.0/${name}-1.0.jar`,
        nuget: `/v3/flat/${world.secret}.${name}/index.json`,
        rubygems: `/info/${world.secret}-${name}`,
        pypi: `/simple/${world.secret}-${name}/`,
        generic: `/${world.secret}/${name}.bin`,
      };
      const format = pickOf(world, publishingFormats);
      await ask(
        world,
        'unpublished',
        'acme',
        format,
        { path: pathOf('acme', format) + paths[format], headers: credentials(format, world.tokens.rita) },
        { statuses: [404] },
      );
    },
  };
}
