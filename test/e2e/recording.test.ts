/** Whatever is asked for below a recording address is answered as ever, and becomes a named set. */
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openSets, type SetLine } from '../../src/store/sets.ts';
import { command } from '../commands/larder.ts';
import { startFakeOci } from '../support/fake-oci.ts';
import { startFakeRegistry } from '../support/fake-registry.ts';
import { type HostedOptions, type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Answer, ask } from '../support/http.ts';
import { startMavenUpstream } from '../support/maven-upstream.ts';
import { eventually } from '../support/wait.ts';

const cacheOf = (answer: Answer): unknown => answer.headers['x-larder-cache'];
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

const short = ({ repository, upstream, format, type, path, representation }: SetLine): string =>
  [repository, upstream, format, type, path, representation].filter((part) => part !== undefined).join(' ');

const setsOf = ({ folder }: HostedServer) => openSets(join(folder, 'data'));

async function recordedIn(server: HostedServer, name: string): Promise<readonly string[]> {
  return ((await setsOf(server).read(name)) ?? []).map(short);
}

/** Everybody may read, and record unless told otherwise. */
async function proxy(format: string, url: string, options: Partial<HostedOptions> = {}): Promise<HostedServer> {
  const server = await startHosted({
    format,
    sources: [{ remote: 'inner' }],
    upstreams: { inner: { url } },
    access: [
      { who: ['everyone'], may: ['read'] },
      { who: ['team:admins'], may: ['admin'] },
    ],
    org: { recording: 'everyone' },
    ...options,
  });
  onTestFinished(() => server.close());
  return server;
}

async function npmScene(options: Partial<HostedOptions> = {}) {
  const registry = await startFakeRegistry();
  onTestFinished(() => registry.close());
  const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
  return { registry, path, server: await proxy('npm', registry.url, options) };
}

const lib = ['acme/packages inner npm packument lib full', 'acme/packages inner npm lib/-/lib-1.0.0.tgz'];

describe('a recording address', () => {
  it('gives the same answers, with addresses that go on recording, and each thing is in the set once', async () => {
    const { path, server } = await npmScene();
    const recording = `${server.root}/-/record/build-42/acme/packages`;
    const document = await ask(`${recording}/lib`);
    expect(document.status).toBe(200);
    const { versions } = document.json() as { versions: Record<string, { dist: { tarball: string } }> };
    expect(versions['1.0.0']?.dist.tarball).toBe(`${recording}${path}`);
    const tarball = await ask(`${recording}${path}`);
    expect(tarball.body.equals((await ask(`${server.url}${path}`)).body)).toBe(true);
    for (let again = 0; again < 3; again++) await ask(`${recording}/lib`);
    expect(await recordedIn(server, 'build-42')).toEqual(lib);
  });

  it('records what is hot as well, and what the client has already', async () => {
    const { path, server } = await npmScene();
    await ask(`${server.url}/lib`);
    await eventually('the tarball is stored', async () => cacheOf(await ask(`${server.url}${path}`)) === 'hit');
    for (const name of ['one', 'two', 'one']) {
      const recording = `${server.root}/-/record/${name}/acme/packages`;
      const { etag } = (await ask(`${server.url}/lib`)).headers;
      for (let again = 0; again < 2; again++) {
        await ask(`${recording}/lib`, { headers: { 'if-none-match': String(etag) } });
        await ask(`${recording}${path}`, { method: 'HEAD' });
      }
      expect(await recordedIn(server, name)).toEqual(lib);
    }
    await setsOf(server).remove('two');
  });

  it('records nothing of what is not there', async () => {
    const { server } = await npmScene();
    const statuses: number[] = [];
    for (const rest of ['/acme/packages/nothing', '/acme/nothing/lib', '', '/', '/api/v1/orgs', '/healthz']) {
      statuses.push((await ask(`${server.root}/-/record/build${rest}`)).status);
    }
    expect(statuses).toEqual([404, 404, 404, 404, 404, 404]);
    expect(await setsOf(server).list()).toEqual([]);
  });

  it.each(['UP', '.hidden', 'a%2fb', '..%2fx', 'x'.repeat(101)])('does not take %s for a name', async (name) => {
    const { server } = await npmScene();
    const answer = await ask(`${server.root}/-/record/${name}/acme/packages/lib`);
    expect([answer.status, answer.text()]).toEqual([400, expect.stringContaining('name of a set')]);
    expect(await setsOf(server).list()).toEqual([]);
  });

  it('records files by themselves when only their checksum or their head was asked for', async () => {
    const { upstream, publish, url } = await startMavenUpstream();
    onTestFinished(() => upstream.close());
    const { jar, pom, metadata } = publish({ group: 'com.acme', artifact: 'lib', version: '1.0.0' });
    const server = await proxy('maven', url);
    for (const path of [jar, pom]) {
      await eventually('it is stored', async () => cacheOf(await ask(`${server.url}${path}`)) === 'hit');
    }
    const recording = `${server.root}/-/record/build/acme/packages`;
    for (const path of [`${jar}.sha1`, `${metadata}.sha1`]) expect((await ask(`${recording}${path}`)).status).toBe(200);
    expect((await ask(`${recording}${pom}`, { method: 'HEAD' })).status).toBe(200);
    expect(await recordedIn(server, 'build')).toEqual([
      `acme/packages inner maven ${jar.slice(1)}`,
      `acme/packages inner maven metadata ${metadata.slice(1)}`,
      `acme/packages inner maven ${pom.slice(1)}`,
    ]);
  });

  it('stands before the address that images have, and records what a tag means', async () => {
    const registry = await startFakeOci();
    onTestFinished(() => registry.close());
    const image = registry.image('library/alpine', { tags: ['3'] });
    const server = await proxy('oci', registry.url);
    const plain = `${server.root}/v2/acme/packages/library/alpine/manifests/${image.digest}`;
    await eventually('it is stored', async () => cacheOf(await ask(plain)) === 'hit');
    const head = `${server.root}/-/record/head/v2/acme/packages/library/alpine/manifests/3`;
    expect((await ask(head, { method: 'HEAD' })).status).toBe(200);
    const answer = await ask(`${server.root}/-/record/build/v2/acme/packages/library/alpine/manifests/3`);
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, image.digest]);
    expect(await recordedIn(server, 'head')).toEqual(await recordedIn(server, 'build'));
    expect(await recordedIn(server, 'build')).toEqual([
      'acme/packages inner oci tag library/alpine/manifests/3',
      `acme/packages inner oci library/alpine/manifests/${image.digest}`,
    ]);
  });

  it('names the repository whose own source it was, and what is published there too', async () => {
    const registry = await startFakeRegistry();
    onTestFinished(() => registry.close());
    registry.publish({ name: 'lib', version: '1.0.0' });
    const server = await proxy('generic', registry.url, {
      sources: [{ hosted: true }],
      repositories: {
        npm: { format: 'npm', sources: [{ remote: 'inner' }] },
        all: { format: 'npm', sources: [{ repository: 'acme/npm' }] },
      },
    });
    const token = await server.token('adam');
    const put = await ask(`${server.url}/tools/a.txt`, { method: 'PUT', body: 'a', headers: bearer(token) });
    expect(put.status).toBeLessThan(300);
    await ask(`${server.root}/-/record/build/acme/all/lib`);
    await ask(`${server.root}/-/record/build/acme/packages/tools/a.txt`);
    expect(await recordedIn(server, 'build')).toEqual([
      'acme/npm inner npm packument lib full',
      'acme/packages hosted generic tools/a.txt',
    ]);
  });
});

it('a file that was only looked at is fetched, since it is looked at again elsewhere', async () => {
  const { path, registry, server } = await npmScene();
  const recording = `${server.root}/-/record/build/acme/packages${path}`;
  const head = await ask(recording, { method: 'HEAD' });
  expect([head.status, head.body.byteLength]).toEqual([200, 0]);
  expect(await recordedIn(server, 'build')).toContain(lib[1]);
  await eventually('it is stored', async () => cacheOf(await ask(`${server.url}${path}`)) === 'hit');
  expect(registry.upstream.count(path)).toBe(1);
});

describe('recording', () => {
  it('is for members, unless the organisation lets everyone', async () => {
    const { server } = await npmScene({ org: {} });
    const at = `${server.root}/-/record/build/acme/packages/lib`;
    expect((await ask(`${server.url}/lib`)).status).toBe(200);
    const stranger = await ask(at);
    expect([stranger.status, stranger.headers['www-authenticate']]).toEqual([401, expect.anything()]);
    expect((await ask(at, { headers: bearer(await server.token('olga', { org: 'other' })) })).status).not.toBe(200);
    expect(await setsOf(server).list()).toEqual([]);
    expect((await ask(at, { headers: bearer(await server.token('nobody')) })).status).toBe(200);
    expect(await recordedIn(server, 'build')).toHaveLength(1);
  });

  it('needs the right to read', async () => {
    const { server } = await npmScene({ access: [{ who: ['team:readers'], may: ['read'] }] });
    const at = `${server.root}/-/record/build/acme/packages/lib`;
    expect((await ask(at)).status).toBe(401);
    expect((await ask(at, { headers: bearer(await server.token('nobody')) })).status).toBe(404);
    expect(await setsOf(server).list()).toEqual([]);
    expect((await ask(at, { headers: bearer(await server.token('rita')) })).status).toBe(200);
  });

  it('is told of and ended over the API', async () => {
    const { server } = await npmScene();
    // Beforehand: whatever changes rights forgets what is hot.
    const tokens = { nobody: await server.token('nobody'), adam: await server.token('adam') };
    const call = async (user: keyof typeof tokens, method: string, path: string): Promise<Answer> =>
      ask(`${server.root}/api/v1/orgs/acme/sets${path}`, { method, headers: bearer(tokens[user]) });
    for (const name of ['one', 'two']) await ask(`${server.root}/-/record/${name}/acme/packages/lib`);
    await setsOf(server).append('foreign', [
      { repository: 'other/packages', upstream: 'inner', format: 'npm', path: 'lib' },
    ]);
    expect((await call('nobody', 'GET', '')).json()).toEqual({
      items: ['one', 'two'].map((name) => ({ name, things: 1, changedAt: expect.stringContaining('T') })),
    });
    expect((await call('nobody', 'GET', '/one')).json()).toMatchObject({ name: 'one', things: 1 });
    expect((await call('nobody', 'GET', '/foreign')).status).toBe(404);
    expect((await call('nobody', 'DELETE', '/one')).status).toBe(403);
    expect((await call('adam', 'DELETE', '/foreign')).status).toBe(404);
    await setsOf(server).append('one', [
      { repository: 'other/packages', upstream: 'inner', format: 'npm', path: 'lib' },
    ]);
    expect((await call('adam', 'DELETE', '/one')).status).toBe(409);
    expect((await call('adam', 'DELETE', '/two')).status).toBe(204);
    expect((await call('adam', 'GET', '/two')).status).toBe(404);
    await ask(`${server.root}/-/record/two/acme/packages/lib`);
    expect((await call('adam', 'GET', '/two')).json()).toMatchObject({ things: 1 });
  });
});

/** A client that takes its registry from the environment, as npm does. */
const client = `
const { LARDER_URL, npm_config_registry, PIP_INDEX_URL } = process.env;
const packument = await (await fetch(npm_config_registry + 'lib')).json();
await (await fetch(packument.versions['1.0.0'].dist.tarball)).arrayBuffer();
if (npm_config_registry !== LARDER_URL + '/acme/packages/' || PIP_INDEX_URL !== undefined) process.exit(99);
process.exit(Number(process.argv[1] ?? 0));
`;

describe('larder record', () => {
  const build = (...more: string[]): string[] => ['--', process.execPath, '--input-type=module', '-e', client, ...more];

  it('runs a command whose clients ask there, says what came of it, and ends as the command did', async () => {
    const { server } = await npmScene();
    const token = { LARDER_TOKEN: await server.token('nobody') };
    const record = (...args: string[]) => command(['record', '--url', server.root, ...args], token);
    expect(await record('--name', 'build-42', ...build())).toEqual({
      code: 0,
      out: '',
      err: '2 things were recorded as build-42.\n',
    });
    expect(await recordedIn(server, 'build-42')).toEqual(lib);
    expect(await record('-n', 'build-42', ...build('7'))).toMatchObject({
      code: 7,
      err: '0 things were recorded as build-42, which has 2 now.\n',
    });
    expect(await record('-n', 'other', '--', process.execPath, '-e', '0')).toMatchObject({
      code: 0,
      err: expect.stringContaining('Nothing was recorded as other'),
    });
  });

  it('says what is wrong before anything runs', async () => {
    const { server } = await npmScene();
    const record = (...args: string[]) => command(['record', '--url', server.root, ...args]);
    expect(await record('--', 'true')).toMatchObject({ code: 2, err: expect.stringContaining('needs a name') });
    expect(await record('-n', 'build')).toMatchObject({ code: 2, err: expect.stringContaining('a command') });
    expect(await record('-n', 'Build', '--', 'true')).toMatchObject({
      code: 2,
      err: expect.stringContaining('no name'),
    });
    expect(await record('-n', 'b', '-r', 'acme/x', '--', 'true')).toMatchObject({ code: 2 });
    expect(await record('-n', 'b', '--', 'no-such-program-here')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no such program'),
    });
  });
});
