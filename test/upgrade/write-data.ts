/**
 * Fills a data folder with what a release can leave behind, over HTTP, and packs it for `upgrade.test.ts`:
 *
 *     node test/upgrade/write-data.ts CHECKOUT [FILE]
 *
 * CHECKOUT is a folder with that release and its node_modules; FILE is `test/upgrade/VERSION.tar.gz` unless it is named. Made anew for
 * each release, before its version is raised; fixtures of earlier ones stay.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { publishRequest } from '../formats/npm.publish.samples.ts';
import { gemFile } from '../support/gem-file.ts';
import { type Answer, type AskOptions, ask } from '../support/http.ts';
import { formOf, packageOf as nugetPackageOf } from '../support/nuget-packages.ts';
import { wheelOf } from '../support/pypi-packages.ts';
import { uploadOf } from '../support/pypi-uploads.ts';
import { type Left, pack, type Read } from './fixture.ts';
import { hash, startOutside } from './outside.ts';

const run = promisify(execFile);
const publicUrl = 'http://larder.example.com';
const formats = ['npm', 'oci', 'maven', 'nuget', 'pypi', 'rubygems', 'generic'] as const;

function configFor(proxy: string): Record<string, unknown> {
  const upstreams = Object.fromEntries(
    [...formats, 'p2'].map((name) => {
      const path = { nuget: '/v3/index.json', pypi: '/simple' }[name] ?? '';
      return [`${name}-outside`, { url: `http://${name}.invalid${path}`, format: name, proxy, retries: 0 }];
    }),
  );
  const repositories = Object.fromEntries(
    formats.map((name) => [name, { format: name, sources: [{ hosted: true }, { remote: `${name}-outside` }] }]),
  );
  return {
    server: { listen: '127.0.0.1:0', publicUrl },
    // Three of the four large files fit beside everything else.
    storage: { path: './data', maxSize: '2MB', keepFree: '1MB' },
    upstreams,
    hosts: { default: 'acme/oci' },
    orgs: {
      acme: {
        users: { alice: {}, rita: {}, nobody: {}, adam: {} },
        teams: { developers: ['alice'], readers: ['rita'], admins: ['adam'] },
        repositories: {
          ...repositories,
          p2: { format: 'p2', sources: [{ remote: 'p2-outside' }] },
          stable: { format: 'npm', sources: [{ hosted: true }] },
          small: { format: 'generic', sources: [{ hosted: true, maxSize: '1000B' }] },
          open: { format: 'npm', sources: [{ repository: 'acme/npm' }] },
        },
        access: [
          { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
          { who: ['team:readers'], may: ['read'] },
          { who: ['team:admins'], may: ['admin'] },
          { who: ['everyone'], may: ['read'], repositories: ['open', 'p2', 'generic'] },
        ],
      },
    },
  };
}

export interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

/** The server of the release in `checkout`, as a process. */
export async function start(checkout: string, folder: string, configFile: string): Promise<Server> {
  const child = spawn(process.execPath, [join(checkout, 'src/main.ts'), '--config', configFile], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH ?? '', HOME: folder },
  });
  const exited = once(child, 'exit');
  // Whatever goes wrong, nothing is left running.
  process.once('exit', () => void child.kill('SIGKILL'));
  const listening = Promise.withResolvers<string>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
    if (msg === 'listening' && url) listening.resolve(url);
    if (process.env.DEBUG) process.stderr.write(`${line}\n`);
  });
  void exited.then(() => listening.reject(new Error('The server ended before it listened.')));
  const url = await listening.promise;
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** What is asked of one server, by people with tokens. */
class Session {
  readonly people: Record<string, string> = {};
  readonly reads: Read[] = [];
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async ask(who: string | undefined, path: string, options: AskOptions = {}): Promise<Answer> {
    const token = who === undefined ? undefined : this.people[who];
    const basic = `Basic ${Buffer.from(`token:${token}`).toString('base64')}`;
    const headers = { ...(token === undefined ? {} : { authorization: basic }), ...options.headers };
    return ask(`${this.#url}${path.replace(publicUrl, '')}`, { ...options, headers });
  }

  /** Has to go well. */
  async must(who: string | undefined, method: string, path: string, options: AskOptions = {}): Promise<Answer> {
    const answer = await this.ask(who, path, { ...options, method });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text().slice(0, 300)}`);
    return answer;
  }

  api(method: string, path: string, body?: unknown): Promise<Answer> {
    const sent =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    return this.must('adam', method, `/api/v1/orgs/acme${path}`, sent);
  }

  /** Bytes that have to be the same for ever. */
  async bytes(path: string, who: string | undefined = 'rita'): Promise<void> {
    const answer = await this.must(who, 'GET', path);
    this.reads.push({ ...named(who), path, status: answer.status, sha256: hash(answer.body) });
  }

  /** A document that has to go on naming all of these. */
  async names(path: string, has: readonly string[], accept?: string, who: string | undefined = 'rita'): Promise<void> {
    const answer = await this.must(who, 'GET', path, accept === undefined ? {} : { headers: { accept } });
    for (const word of has) if (!answer.text().includes(word)) throw new Error(`${path} does not say ${word}`);
    this.reads.push({ ...named(who), path, ...(accept === undefined ? {} : { accept }), status: answer.status, has });
  }

  /** Somebody who is refused, or something that is gone. */
  async refused(path: string, status: number, who?: string): Promise<void> {
    const answer = await this.ask(who, path);
    if (answer.status !== status) throw new Error(`${path} as ${who}: ${answer.status}, not ${status}`);
    this.reads.push({ ...named(who), path, status });
  }
}

const named = (who: string | undefined): { readonly who?: string } => (who === undefined ? {} : { who });
const simple = 'application/vnd.pypi.simple.v1+json';
const ociType = 'application/vnd.oci.image.manifest.v1+json';

async function publish(session: Session): Promise<Left['upload']> {
  const send = (path: string, body: string | Buffer, headers = {}, method = 'PUT'): Promise<Answer> =>
    session.must('alice', method, path, {
      body,
      headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
    });

  for (const [repository, name, version] of [
    ['npm', '@acme/app', '1.0.0'],
    ['npm', '@acme/app', '1.1.0'],
    ['npm', '@acme/gone', '1.0.0'],
    ['npm', '@acme/secret', '1.0.0'],
    ['stable', '@acme/app', '0.9.0'],
  ] as const) {
    const { path, body, headers } = publishRequest({ name, version });
    await send(`/acme/${repository}${path}`, body as string, headers);
  }
  await send('/acme/npm/-/package/@acme%2fapp/dist-tags/next', '"1.0.0"', { 'content-type': 'application/json' });

  const config = '{"os":"linux"}';
  const layer = Buffer.from('layer of our own image');
  for (const blob of [Buffer.from(config), layer]) {
    await send(`/v2/acme/oci/app/blobs/uploads/?digest=sha256:${hash(blob)}`, blob, {}, 'POST');
  }
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: ociType,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: `sha256:${hash(config)}`,
      size: config.length,
    },
    layers: [
      { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hash(layer)}`, size: layer.length },
    ],
  });
  await send('/v2/acme/oci/app/manifests/1.0', manifest, { 'content-type': ociType });

  const maven = '/acme/maven/com/acme/app/1.0/app-1.0';
  const pom = '<project><groupId>com.acme</groupId><artifactId>app</artifactId><version>1.0</version></project>';
  for (const [path, body] of [
    [`${maven}.jar`, 'our own jar'],
    [`${maven}.jar.sha1`, hash('our own jar', 'sha1')],
    [`${maven}.pom`, pom],
  ] as const) {
    await send(path, body);
  }

  const { resources } = (await session.must('alice', 'GET', '/acme/nuget/v3/index.json')).json() as {
    resources: readonly { '@id': string; '@type': string }[];
  };
  const at = resources.find((one) => one['@type'] === 'PackagePublish/2.0.0')?.['@id'] ?? '';
  const form = formOf(nugetPackageOf({ id: 'Acme.App', version: '1.0.0' }));
  await send(at, form.body, { 'content-type': form.contentType });

  const upload = uploadOf(wheelOf({ name: 'acme-app', version: '1.0' }));
  await send(`/acme/pypi${upload.path}`, upload.body, upload.headers, 'POST');

  const binary = { 'content-type': 'application/octet-stream' };
  for (const version of ['1.0.0', '1.1.0']) {
    await send('/acme/rubygems/api/v1/gems', gemFile({ name: 'acme-app', version }), binary, 'POST');
  }
  const yanked = new URLSearchParams({ gem_name: 'acme-app', version: '1.1.0' }).toString();
  const formType = { 'content-type': 'application/x-www-form-urlencoded' };
  await send('/acme/rubygems/api/v1/gems/yank', yanked, formType, 'DELETE');

  await send('/acme/generic/app/1.0/app.bin', 'our own file', { 'content-type': 'application/x-app' });
  await send('/acme/generic/app/0.9/app.bin', 'a file that is deleted');
  await session.must('alice', 'DELETE', '/acme/generic/app/0.9/app.bin');
  await send('/acme/small/most', Buffer.alloc(700, 'x'));

  const text = 'a layer that comes in two pieces';
  const sent = 12;
  const begun = await send('/v2/acme/oci/app/blobs/uploads/', '', {}, 'POST');
  const path = new URL(String(begun.headers.location), publicUrl).pathname;
  await send(path, text.slice(0, sent), { 'content-type': 'application/octet-stream' }, 'PATCH');
  return { who: 'alice', path, text, sent };
}

async function administer(session: Session): Promise<void> {
  await session.api('POST', '/users', { name: 'bot', service: true });
  await session.api('POST', '/users', { name: 'paula' });
  await session.api('PUT', '/users/paula/password', { password: 'correct horse battery' });
  await session.api('PUT', '/teams/readers/members/bot');
  await session.api('POST', '/rules', {
    who: ['user:paula'],
    may: ['read'],
    repositories: ['npm'],
    names: ['@acme/app'],
  });
  const { id } = (await session.api('POST', '/rules', { who: ['everyone'], may: ['read'] })).json() as { id: string };
  await session.api('DELETE', `/rules/${id}`);
  await session.api('PUT', '/projects/secret', {
    visibility: 'private',
    members: { publish: ['user:alice'] },
    packages: ['npm:@acme/secret'],
  });
  await session.api('POST', '/webhooks', {
    url: 'https://hooks.example.com/larder',
    secret: 'whsec_bGFyZGVyLXVwZ3JhZGUtdGVzdC1zZWNyZXQ=',
    events: ['delete'],
  });
  const create = async (name: string, more: object): Promise<string> => {
    const made = (await session.api('POST', '/tokens', more)).json() as { token: string; facts: { id: string } };
    session.people[name] = made.token;
    return made.facts.id;
  };
  await create('bot', { user: 'bot', description: 'for the nightly build' });
  await create('paula', { user: 'paula' });
  await create('narrow', { user: 'alice', may: ['read'], repositories: ['generic'] });
  await create('brief', { user: 'rita', expiresInDays: 3650 });
  await session.api('DELETE', `/tokens/${await create('revoked', { user: 'alice' })}`);
}

async function readAll(session: Session): Promise<void> {
  // Cached.
  await session.names('/acme/npm/lib', ['1.0.0', '/acme/npm/lib/-/lib-1.0.0.tgz']);
  await session.bytes('/acme/npm/lib/-/lib-1.0.0.tgz');
  await session.names('/v2/acme/oci/base/manifests/1.0', ['layers'], ociType);
  const layer = hash('layer of the mirrored image');
  await session.bytes(`/v2/acme/oci/base/blobs/sha256:${layer}`);
  await session.names('/acme/maven/com/example/lib/maven-metadata.xml', ['<version>1.0</version>']);
  await session.bytes('/acme/maven/com/example/lib/1.0/lib-1.0.jar');
  await session.bytes('/acme/maven/com/example/lib/1.0/lib-1.0.jar.sha1');
  await session.names('/acme/nuget/v3/index.json', ['PackageBaseAddress']);
  const { resources } = (await session.must('rita', 'GET', '/acme/nuget/v3/index.json')).json() as {
    resources: readonly { '@id': string; '@type': string }[];
  };
  const flat = new URL(
    resources.find((one) => one['@type'] === 'PackageBaseAddress/3.0.0')?.['@id'] ?? '',
  ).pathname.replace(/\/$/, '');
  await session.names(`${flat}/lib/index.json`, ['1.0.0']);
  await session.bytes(`${flat}/lib/1.0.0/lib.1.0.0.nupkg`);
  const fileOf = async (name: string): Promise<string> => {
    const page = await session.must('rita', 'GET', `/acme/pypi/simple/${name}/`, { headers: { accept: simple } });
    const { files } = page.json() as { files: readonly { url: string }[] };
    return new URL(files[0]?.url ?? '', `${publicUrl}/acme/pypi/simple/${name}/`).pathname;
  };
  await session.names('/acme/pypi/simple/lib/', ['lib-1.0-py3'], simple);
  await session.bytes(await fileOf('lib'));
  await session.names('/acme/rubygems/info/lib', ['1.0.0 |checksum:']);
  await session.bytes('/acme/rubygems/gems/lib-1.0.0.gem');
  await session.bytes('/acme/generic/tool/1.0/tool.bin', undefined);
  await session.names('/acme/p2/content.xml', ['<repository'], undefined, undefined);
  await session.bytes('/acme/p2/plugins/lib_1.0.0.jar', undefined);
  // Published.
  await session.names('/acme/npm/@acme%2fapp', ['1.0.0', '1.1.0', '"next":"1.0.0"']);
  await session.bytes('/acme/npm/@acme/app/-/app-1.0.0.tgz');
  await session.bytes('/acme/npm/@acme/app/-/app-1.1.0.tgz');
  await session.names('/acme/stable/@acme%2fapp', ['0.9.0', '1.1.0']);
  await session.names('/v2/acme/oci/app/manifests/1.0', ['layers'], ociType);
  await session.names('/v2/acme/oci/app/tags/list', ['1.0']);
  await session.bytes(`/v2/acme/oci/app/blobs/sha256:${hash('layer of our own image')}`);
  await session.names('/acme/maven/com/acme/app/maven-metadata.xml', ['<version>1.0</version>']);
  await session.bytes('/acme/maven/com/acme/app/1.0/app-1.0.jar');
  await session.bytes('/acme/maven/com/acme/app/1.0/app-1.0.jar.sha1');
  await session.names(`${flat}/acme.app/index.json`, ['1.0.0']);
  await session.bytes(`${flat}/acme.app/1.0.0/acme.app.1.0.0.nupkg`);
  await session.names('/acme/pypi/simple/acme-app/', ['acme_app-1.0'], simple);
  await session.bytes(await fileOf('acme-app'));
  await session.names('/acme/rubygems/info/acme-app', ['1.0.0 |checksum:']);
  await session.bytes('/acme/rubygems/gems/acme-app-1.0.0.gem');
  await session.bytes('/acme/generic/app/1.0/app.bin', undefined);
  await session.bytes('/acme/small/most');
  // Gone, and rights.
  await session.refused('/acme/generic/app/0.9/app.bin', 404, 'rita');
  await session.refused('/acme/npm/@acme%2fgone', 404, 'rita');
  await session.refused('/acme/npm/lib', 401);
  await session.refused('/acme/npm/lib', 401, 'revoked');
  await session.refused('/acme/npm/lib', 404, 'nobody');
  await session.refused('/acme/npm/lib', 404, 'narrow');
  await session.bytes('/acme/generic/app/1.0/app.bin', 'narrow');
  await session.bytes('/acme/npm/lib/-/lib-1.0.0.tgz', 'bot');
  await session.bytes('/acme/npm/lib/-/lib-1.0.0.tgz', 'brief');
  await session.bytes('/acme/npm/@acme/app/-/app-1.0.0.tgz', 'paula');
  await session.refused('/acme/npm/lib', 404, 'paula');
  await session.bytes('/acme/npm/@acme/secret/-/secret-1.0.0.tgz', 'alice');
  await session.refused('/acme/npm/@acme/secret/-/secret-1.0.0.tgz', 404, 'rita');
  await session.names('/acme/open/lib', ['1.0.0'], undefined, undefined);
}

async function larder(checkout: string, configFile: string, folder: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [join(checkout, 'src/cli.ts'), ...args, '--config', configFile], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: folder },
  });
  return stdout.trim();
}

/** The packed folder of the release in `checkout`. */
export async function writeData(checkout: string): Promise<{ readonly release: string; readonly archive: Buffer }> {
  const folder = await mkdtemp(join(tmpdir(), 'larder-upgrade-'));
  const outside = await startOutside();
  try {
    const config = configFor(outside.url);
    const configFile = join(folder, 'larder.yaml');
    await mkdir(join(folder, 'data'));
    await writeFile(configFile, JSON.stringify(config));
    let server = await start(checkout, folder, configFile);
    const session = new Session(server.url);
    for (const user of ['alice', 'rita', 'nobody', 'adam']) {
      const args = ['token', 'create', '--org', 'acme', '--user', user];
      session.people[user] = await larder(checkout, configFile, folder, args);
    }
    await administer(session);
    const upload = await publish(session);
    await session.api('POST', `/repositories/npm/packages/${encodeURIComponent('@acme/app')}/versions/1.1.0/promote`, {
      to: 'acme/stable',
    });
    await session.api('DELETE', `/repositories/npm/packages/${encodeURIComponent('@acme/gone')}`);
    await session.must('alice', 'GET', '/-/record/build-1/acme/npm/lib');
    await session.must('alice', 'GET', '/-/record/build-1/acme/npm/lib/-/lib-1.0.0.tgz');
    for (const name of ['a', 'b', 'c', 'd']) await session.must(undefined, 'GET', `/acme/generic/large/${name}.bin`);
    await readAll(session);
    await server.stop();
    // Bytes that a crash left behind, without anything that refers to them.
    const lost = hash('lost');
    const place = join(folder, 'data/blobs/v1/sha256', lost.slice(0, 2), lost.slice(2, 4));
    await mkdir(place, { recursive: true });
    await writeFile(join(place, lost), 'lost');
    const longAgo = new Date(Date.now() - 7_200_000);
    await utimes(join(place, lost), longAgo, longAgo);
    await larder(checkout, configFile, folder, ['gc', '--delete', '--grace', '1h']);
    // Everything is to be right once more after a restart, before anybody is told that it was.
    server = await start(checkout, folder, configFile);
    const again = new Session(server.url);
    Object.assign(again.people, session.people);
    await readAll(again);
    const told: Record<string, unknown> = {};
    for (const path of [
      '/users',
      '/teams',
      '/rules',
      '/projects',
      '/webhooks',
      '/sets/build-1',
      '/repositories/npm/packages',
    ]) {
      // When a set changed is a time of its file's, which no archive keeps.
      const { changedAt: _, ...rest } = (await again.api('GET', path)).json() as { changedAt?: string };
      told[path] = rest;
    }
    await server.stop();
    const stored = new Set(
      (await readdir(join(folder, 'data/blobs'), { recursive: true })).map((name) => name.slice(-64)),
    );
    const large = ['a', 'b', 'c', 'd'].map((name) => ({
      path: `/acme/generic/large/${name}.bin`,
      sha256: hash(Buffer.alloc(600_000, name)),
    }));
    const kept = large.filter(({ sha256 }) => stored.has(sha256));

    const { version } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as { version: string };
    const upstreams = Object.entries(config.upstreams as Record<string, object>).map(
      ([name, { proxy: _, ...rest }]: [string, { proxy?: string }]) => [name, rest],
    );
    const left: Left = {
      release: version,
      commit: process.env.COMMIT ?? (await run('git', ['rev-parse', 'HEAD'], { cwd: checkout })).stdout.trim(),
      writtenAt: Date.now(),
      config: { ...config, upstreams: Object.fromEntries(upstreams) },
      people: session.people,
      reads: [...again.reads, ...kept.map((one) => ({ ...one, status: 200 }))],
      evicted: large.filter((one) => !kept.includes(one)).map(({ path }) => path),
      upload,
      told,
      quota: { who: 'alice', path: '/acme/small/more', room: 300 },
      trashed: (await readdir(join(folder, 'data/trash/v1'), { recursive: true })).filter((name) =>
        /[0-9a-f]{64}$/.test(name),
      ).length,
    };
    return { release: version, archive: await pack(join(folder, 'data'), left) };
  } finally {
    outside.close();
    await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  process.on('uncaughtException', (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
  const [checkout, file] = process.argv.slice(2);
  if (checkout === undefined) throw new Error('usage: node test/upgrade/write-data.ts CHECKOUT [FILE]');
  const { release, archive } = await writeData(resolve(checkout));
  const to = resolve(file ?? join(import.meta.dirname, `${release}.tar.gz`));
  await writeFile(to, archive);
  process.stdout.write(`${to}: ${archive.length} bytes\n`);
}
