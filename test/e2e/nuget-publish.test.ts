/** Packages are published as `dotnet nuget push` does it, and restored elsewhere; beside an upstream, and by people who may not. */
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type HostedOptions, type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';
import { type PackageFacts, packageOf, sha512Of, symbolsOf } from '../support/nuget-packages.ts';
import { type PushOptions, push, remove, type Said } from '../support/nuget-push.ts';
import { RestoreError, restore } from '../support/nuget-restore.ts';
import { type NugetUpstream, startNugetUpstream } from '../support/nuget-upstream.ts';

async function hosted(options: Omit<HostedOptions, 'format'> = {}): Promise<HostedServer> {
  const server = await startHosted({ format: 'nuget', ...options });
  onTestFinished(() => server.close());
  return server;
}

const sourceOf = ({ url }: HostedServer): string => `${url}/v3/index.json`;
const basic = (token: string) => ({ authorization: `Basic ${Buffer.from(`token:${token}`).toString('base64')}` });
const tools: PackageFacts = { id: 'Acme.Tools', version: '1.0.0', dependencies: [{ id: 'Acme.Core', range: '1.0.0' }] };
const core: PackageFacts = { id: 'Acme.Core', version: '1.0.0' };
const wanted = [{ id: 'Acme.Tools', range: '1.0.0' }];

async function pushAll(server: HostedServer, packages: readonly PackageFacts[], more: PushOptions = {}): Promise<void> {
  const password = await server.token('alice');
  for (const one of packages) {
    expect(await push(sourceOf(server), packageOf(one), { password, ...more })).toMatchObject({ ok: true, lines: [] });
  }
}

async function beside(options: { readonly source?: Record<string, unknown> }) {
  const feed = await startNugetUpstream({
    packages: [
      { id: 'Acme.Core', version: '1.0.0' },
      { id: 'Acme.Core', version: '9.0.0' },
      { id: 'Acme.Tools', version: '9.0.0' },
      { id: 'Other', version: '1.0.0' },
    ],
  });
  onTestFinished(() => feed.close());
  const server = await hosted({
    upstreams: { feed: { url: feed.url, format: 'nuget', hosts: ['127.0.0.1'], retries: 0 } },
    sources: [{ hosted: true, ...options.source }, { remote: 'feed' }],
  });
  return { feed, server };
}

/** Everything that was asked of it, in lower case. */
const askedOf = (feed: NugetUpstream): string => feed.requests().join('\n').toLowerCase();

it('What somebody may see who shows an API key is not what is remembered for strangers', async () => {
  const access = [
    { who: ['team:developers'], may: ['read', 'publish'] },
    { who: ['everyone'], may: ['read'], names: ['Open.*'] },
  ];
  const server = await hosted({ access });
  await pushAll(server, [{ id: 'Open.One', version: '1.0.0' }, core]);
  const hits = async (headers: Record<string, string> = {}): Promise<unknown> =>
    JSON.parse((await ask(`${server.url}/v3/search?q=`, { headers })).text()).totalHits;
  const key = { 'x-nuget-apikey': await server.token('alice') };
  expect([await hits(), await hits(), await hits(key), await hits(key), await hits()]).toEqual([1, 1, 2, 2, 1]);
});

describe('a push', () => {
  it('is restored elsewhere byte for byte, with its symbols beside it', async () => {
    const server = await hosted();
    const symbols = symbolsOf(tools);
    await pushAll(server, [core]);
    await pushAll(server, [tools], { symbols });
    const token = await server.token('rita');
    const { packages } = await restore(sourceOf(server), wanted, { token });
    expect(packages).toEqual({
      'acme.tools': `1.0.0 ${sha512Of(packageOf(tools))}`,
      'acme.core': `1.0.0 ${sha512Of(packageOf(core))}`,
    });
    const kept = await ask(`${server.url}/v3/flat/acme.tools/1.0.0/acme.tools.1.0.0.snupkg`, { headers: basic(token) });
    expect(kept.body.equals(symbols)).toBe(true);
  });

  it('is read at once from every address that was read before it', async () => {
    const server = await hosted();
    await pushAll(server, [core]);
    const headers = basic(await server.token('rita'));
    const addresses = [
      '/v3/flat/acme.core/index.json',
      '/v3/registration/acme.core/index.json',
      '/v3/registration-gz/acme.core/index.json',
      '/v3/registration-semver2/acme.core/index.json',
      '/v3/search?q=acme.core',
      '/v3/autocomplete?id=acme.core',
      "/v2/FindPackagesById()?id='acme.core'",
      "/v2/Packages()?$filter=Id%20eq%20'Acme.Core'",
    ];
    const read = () => Promise.all(addresses.map(async (at) => (await ask(`${server.url}${at}`, { headers })).text()));
    for (const text of await read()) expect(text).not.toContain('1.5.0');
    await pushAll(server, [{ id: 'Acme.Core', version: '1.5.0' }]);
    for (const text of await read()) expect(text).toContain('1.5.0');
    expect((await remove(sourceOf(server), 'Acme.Core', '1.5.0', { password: await server.token('alice') })).ok).toBe(
      true,
    );
    const after = await read();
    expect(after[4]).not.toContain('1.5.0');
    expect(after[0]).toContain('1.5.0');
    const relisted = await ask(`${server.url}/v3/package/acme.core/1.5.0`, {
      method: 'POST',
      headers: { 'x-nuget-apikey': await server.token('alice') },
    });
    expect(relisted.status).toBe(200);
    expect((await read())[4]).toContain('1.5.0');
  });

  it.each<[string, (token: string) => PushOptions]>([
    ['a password', (token) => ({ password: token })],
    ['a key and a password', (token) => ({ apiKey: token, password: token })],
    [
      'a key that is only there because the client wants one, and a password',
      (token) => ({ apiKey: 'az', password: token }),
    ],
  ])('is let in with %s', async (_what, shown) => {
    const server = await hosted();
    expect(await push(sourceOf(server), packageOf(core), shown(await server.token('alice')))).toMatchObject({
      ok: true,
    });
  });

  it('is let in with a key alone where anybody may read', async () => {
    const access = [
      { who: ['everyone'], may: ['read'] },
      { who: ['user:alice'], may: ['publish', 'delete'] },
    ];
    const server = await hosted({ access });
    expect(await push(sourceOf(server), packageOf(core), { apiKey: await server.token('alice') })).toMatchObject({
      ok: true,
      asked: ['GET /acme/packages/v3/index.json 200', 'PUT /acme/packages/v3/package/ 201'],
    });
    const { packages } = await restore(sourceOf(server), [{ id: 'acme.core', range: '1.0.0' }]);
    expect(Object.keys(packages)).toEqual(['acme.core']);
  });

  it('says that the version is there; with --skip-duplicate that is no trouble', async () => {
    const server = await hosted();
    await pushAll(server, [core]);
    const password = await server.token('alice');
    expect((await push(sourceOf(server), packageOf(core), { password })).lines).toEqual([
      'error: Response status code does not indicate success: 409 (Acme.Core 1.0.0 is published already. A version never changes: publish another one.).',
    ]);
    expect((await push(sourceOf(server), packageOf(core), { password, skipDuplicate: true })).ok).toBe(true);
  });

  it('replaces the version where the repository says so, for who may delete', async () => {
    const server = await hosted({ sources: [{ hosted: true, overwrite: true }] });
    await pushAll(server, [core], { symbols: symbolsOf(core) });
    const token = await server.token('rita');
    const seen = async () =>
      (await restore(sourceOf(server), [{ id: 'Acme.Core', range: '1.0.0' }], { token })).packages['acme.core'];
    expect(await seen()).toBe(`1.0.0 ${sha512Of(packageOf(core))}`);
    const other = packageOf({ ...core, library: Buffer.from('MZ another build') });
    const mayNotDelete = await server.token('alice', { may: ['read', 'publish'] });
    const refused = await push(sourceOf(server), other, { password: mayNotDelete });
    expect(refused.lines.at(-1)).toContain('403 (alice may not delete acme.core in acme/packages');
    expect(await seen()).toBe(`1.0.0 ${sha512Of(packageOf(core))}`);
    expect((await push(sourceOf(server), other, { password: await server.token('alice') })).ok).toBe(true);
    expect(await seen()).toBe(`1.0.0 ${sha512Of(other)}`);
    const headers = basic(token);
    const leaf = await ask(`${server.url}/v3/registration-semver2/acme.core/1.0.0.json`, { headers });
    expect(leaf.json()).toMatchObject({ packageHash: sha512Of(other), packageSize: other.length });
    const symbols = await ask(`${server.url}/v3/flat/acme.core/1.0.0/acme.core.1.0.0.snupkg`, { headers });
    expect(symbols.status).toBe(404);
  });

  it('of something else says what is wrong with it', async () => {
    const server = await hosted();
    const said = await push(sourceOf(server), Buffer.from('MZ this is no package'), {
      password: await server.token('alice'),
    });
    const why = 'This is no NuGet package that can be published: the archive is damaged: it is too short.';
    expect(said.lines).toEqual([
      `warn : ${why}`,
      `error: Response status code does not indicate success: 422 (${why}).`,
    ]);
  });

  it('without credentials is refused before its body is asked for', async () => {
    const server = await hosted();
    const { port } = new URL(server.root);
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(Number(port), 'localhost', () =>
        socket.write(
          'PUT /acme/packages/v3/package/ HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000000\r\n\r\n',
        ),
      );
      socket.on('data', (chunk) => {
        text += chunk.toString();
        if (text.includes('\r\n\r\n')) socket.destroy();
      });
      socket.on('close', () => resolve(text));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).toMatch(/^www-authenticate: Basic realm="Larder"\r$/im);
  });
});

describe('pushes at once', () => {
  it('of one version are one push and conflicts', async () => {
    const server = await hosted();
    const password = await server.token('alice');
    const builds = Array.from({ length: 8 }, (_, at) => packageOf({ ...core, library: Buffer.from(`MZ build ${at}`) }));
    const said = await Promise.all(builds.map((bytes) => push(sourceOf(server), bytes, { password })));
    expect(said.filter(({ ok }) => ok)).toHaveLength(1);
    for (const { ok, lines } of said) if (!ok) expect(lines.at(-1)).toMatch(/: 409 \(Acme\.Core 1\.0\.0 is published/);
    const { packages } = await restore(sourceOf(server), [{ id: 'acme.core', range: '1.0.0' }], { token: password });
    const won = builds[said.findIndex(({ ok }) => ok)] ?? Buffer.alloc(0);
    expect(packages['acme.core']).toBe(`1.0.0 ${sha512Of(won)}`);
  });

  it('of many versions are all there, in every list', async () => {
    const server = await hosted();
    const versions = Array.from({ length: 20 }, (_, at) => `1.${at}.0`);
    const password = await server.token('alice');
    const said = await Promise.all(
      versions.map((version) => push(sourceOf(server), packageOf({ id: 'Acme.Core', version }), { password })),
    );
    expect(said.filter(({ ok }) => !ok)).toEqual([]);
    const headers = basic(password);
    const json = async (at: string) => (await ask(`${server.url}${at}`, { headers })).json() as Record<string, unknown>;
    expect(await json('/v3/flat/acme.core/index.json')).toEqual({ versions });
    const { items } = (await json('/v3/registration-semver2/acme.core/index.json')) as { items: { count: number }[] };
    expect(items.map(({ count }) => count)).toEqual([20]);
    expect(await json('/v3/search?q=acme')).toMatchObject({ totalHits: 1, data: [{ version: '1.19.0' }] });
  });
});

describe('somebody who may not', () => {
  type Key = (server: HostedServer) => Promise<string>;
  const expired: Key = (server) => server.expiredToken();
  const keys: readonly (readonly [string, Key, string])[] = [
    ['a wrong token', async () => wrongToken, 'token'],
    ['an expired token', expired, 'expired'],
    ['a token of another organisation', (server) => server.token('olga'), 'acme'],
    [
      'a token of somebody whom no rule mentions',
      (server) => server.token('nobody'),
      'There is no repository acme/packages here.',
    ],
  ];

  it.each(keys)('with %s is told so when the index is read', async (_what, key, said) => {
    const server = await hosted();
    const pushed = await push(sourceOf(server), packageOf(core), { password: await key(server) });
    expect(pushed.ok).toBe(false);
    expect(pushed.lines[0]).toBe(`error: Unable to load the service index for source ${sourceOf(server)}.`);
    expect(pushed.lines.at(-1)).toMatch(/^error: Response status code does not indicate success: 40[14] \(/);
    expect(pushed.lines.at(-1)).toContain(said);
  });

  const access = [
    { who: ['everyone'], may: ['read'] },
    { who: ['user:alice'], may: ['publish', 'delete'] },
  ];
  const open: readonly (readonly [string, Key, number, string])[] = [
    ['a wrong key', async () => wrongToken, 401, 'token'],
    ['an expired key', expired, 401, 'expired'],
    ['a key of another organisation', (server) => server.token('olga'), 403, 'but not publish it'],
    ['a key of somebody who may only read', (server) => server.token('rita'), 403, 'but not publish it'],
  ];

  it.each(open)('with %s is told so when the package is sent', async (_what, key, status, said) => {
    const server = await hosted({ access });
    const asked: readonly Said[] = [
      await push(sourceOf(server), packageOf(core), { apiKey: await key(server) }),
      await remove(sourceOf(server), 'Acme.Core', '1.0.0', { apiKey: await key(server) }),
    ];
    for (const one of asked) {
      expect(one.ok).toBe(false);
      expect(one.lines.at(-1)).toContain(`error: Response status code does not indicate success: ${status} (`);
      expect(one.lines.at(-1)).toContain(said.replace('publish', one === asked[0] ? 'publish' : 'delete'));
    }
    expect((await ask(`${server.url}/v3/flat/acme.core/index.json`)).status).toBe(404);
  });

  it('publishes only what a token is for', async () => {
    const server = await hosted();
    const password = await server.token('alice', { names: ['acme.*'] });
    expect((await push(sourceOf(server), packageOf(core), { password })).ok).toBe(true);
    const said = await push(sourceOf(server), packageOf({ id: 'Other', version: '1.0.0' }), { password });
    expect(said.lines.at(-1)).toMatch(/: 403 \(alice may not publish other in acme\/packages/);
  });

  it('finds nothing of what others keep to themselves', async () => {
    const access = [
      { who: ['user:alice'], may: ['read', 'publish', 'delete'] },
      { who: ['user:rita'], may: ['read'], names: ['acme.*'] },
    ];
    const server = await hosted({ access });
    await pushAll(server, [core, { id: 'Acme.Core.Extra', version: '1.0.0' }, { id: 'Secret.Core', version: '1.0.0' }]);
    const headers = basic(await server.token('rita'));
    const textOf = async (at: string) => (await ask(`${server.url}${at}`, { headers })).text();
    for (const at of [
      '/v3/search?q=core',
      '/v3/search?q=secret.core',
      '/v3/autocomplete?q=',
      '/v2/Search()',
      "/v2/Search()?searchTerm='core'",
    ]) {
      expect(await textOf(at)).not.toContain('Secret');
    }
    // A name that is searched for is a word like others.
    for (const words of ['core', 'acme.core']) {
      const { data } = JSON.parse(await textOf(`/v3/search?q=${words}`)) as { data: { id: string }[] };
      expect(data.map(({ id }) => id)).toEqual(['Acme.Core', 'Acme.Core.Extra']);
    }
    expect(JSON.parse(await textOf('/v3/search?q=secret.core'))).toEqual({ totalHits: 0, data: [] });
    for (const at of [
      '/v3/flat/secret.core/index.json',
      '/v3/registration/secret.core/index.json',
      '/v3/flat/secret.core/1.0.0/secret.core.1.0.0.nupkg',
      "/v2/FindPackagesById()?id='secret.core'",
      '/v3/flat/secret.core/1.0.0/secret.core.nuspec',
    ]) {
      expect((await ask(`${server.url}${at}`, { headers })).status, at).toBe(404);
    }
  });
});

describe('beside an upstream', () => {
  it('has the say about its own names, and upstream never hears of them', async () => {
    const { feed, server } = await beside({});
    await pushAll(server, [tools, core]);
    feed.forget();
    const token = await server.token('rita');
    const { packages } = await restore(sourceOf(server), [{ id: 'Acme.Tools', range: '[1.0.0, )' }], { token });
    expect(Object.values(packages)).toEqual([
      `1.0.0 ${sha512Of(packageOf(tools))}`,
      `1.0.0 ${sha512Of(packageOf(core))}`,
    ]);
    const headers = basic(token);
    const json = async (at: string) => (await ask(`${server.url}${at}`, { headers })).json() as Record<string, unknown>;
    expect(await json('/v3/flat/acme.core/index.json')).toEqual({ versions: ['1.0.0'] });
    expect(await json('/v3/search?q=acme.core')).toMatchObject({ totalHits: 1 });
    await json('/v3/registration-semver2/acme.core/index.json');
    await json('/v3/autocomplete?q=acme.core');
    await ask(`${server.url}/v2/FindPackagesById()?id='Acme.Core'`, { headers });
    for (const at of ['acme.core.9.0.0.nupkg', 'acme.core.nuspec', 'icon']) {
      expect((await ask(`${server.url}/v3/flat/acme.core/9.0.0/${at}`, { headers })).status).toBe(404);
    }
    expect(askedOf(feed)).not.toContain('acme');
    expect(await json('/v3/flat/other/index.json')).toEqual({ versions: ['1.0.0'] });
    const found = (await json('/v3/search?q=')).data as { id: string; versions: { version: string }[] }[];
    expect(found.map(({ id, versions }) => [id.toLowerCase(), versions.map(({ version }) => version)]).sort()).toEqual([
      ['acme.core', ['1.0.0']],
      ['acme.tools', ['1.0.0']],
      ['other', ['1.0.0']],
    ]);
  });

  it('keeps to itself what it claims, also what is not there yet', async () => {
    const { feed, server } = await beside({ source: { claims: ['Acme.*'] } });
    const headers = basic(await server.token('rita'));
    await ask(sourceOf(server), { headers });
    feed.forget();
    const failed = await restore(sourceOf(server), wanted, { token: await server.token('rita') }).catch(
      (error) => error,
    );
    expect(failed).toBeInstanceOf(RestoreError);
    for (const at of [
      '/v3/search?q=acme.secret',
      '/v3/registration-semver2/acme.secret/index.json',
      '/v3/flat/acme.secret/1.0.0/acme.secret.1.0.0.nupkg',
      "/v2/FindPackagesById()?id='Acme.Secret'",
    ]) {
      await ask(`${server.url}${at}`, { headers });
    }
    expect(askedOf(feed)).not.toContain('acme');
  });

  it('takes upstream’s versions in where it is told to', async () => {
    const { server } = await beside({ source: { merge: ['acme.core'] } });
    await pushAll(server, [{ ...core, library: Buffer.from('MZ ours') }]);
    const token = await server.token('rita');
    const list = await ask(`${server.url}/v3/flat/acme.core/index.json`, { headers: basic(token) });
    expect(list.json()).toEqual({ versions: ['1.0.0', '9.0.0'] });
    const { packages } = await restore(sourceOf(server), [{ id: 'Acme.Core', range: '1.0.0' }], { token });
    expect(packages['acme.core']).toBe(`1.0.0 ${sha512Of(packageOf({ ...core, library: Buffer.from('MZ ours') }))}`);
  });

  it('is itself an upstream like others, with dates and digests', async () => {
    const first = await hosted({
      access: [
        { who: ['everyone'], may: ['read'] },
        { who: ['user:alice'], may: ['publish', 'delete'] },
      ],
    });
    await pushAll(first, [core, { id: 'Acme.Core', version: '1.1.0' }]);
    expect((await remove(sourceOf(first), 'Acme.Core', '1.1.0', { apiKey: await first.token('alice') })).ok).toBe(true);
    const second = await hosted({
      upstreams: { first: { url: `${first.url}/v3`, format: 'nuget', hosts: ['localhost', '127.0.0.1'], retries: 0 } },
      sources: [{ remote: 'first' }],
      access: [{ who: ['everyone'], may: ['read'] }],
    });
    const { packages } = await restore(sourceOf(second), [{ id: 'Acme.Core', range: '[1.0.0, )' }]);
    expect(packages).toEqual({ 'acme.core': `1.0.0 ${sha512Of(packageOf(core))}` });
    const registrations = await Promise.all(
      [first, second].map(async ({ url }) =>
        (await ask(`${url}/v3/registration-semver2/acme.core/index.json`)).text().replaceAll(url, ''),
      ),
    );
    expect(registrations[1]).toBe(registrations[0]);
    expect(registrations[0]).toContain('"listed":false');
    expect((await ask(sourceOf(second))).text()).not.toContain('PackagePublish');
    expect((await ask(`${second.url}/v3/search?q=acme.core`)).json()).toMatchObject({
      totalHits: 1,
      data: [{ id: 'Acme.Core', version: '1.0.0' }],
    });
  });

  it('says that nothing can be published where nothing is hosted', async () => {
    const feed = await startNugetUpstream({ packages: [] });
    onTestFinished(() => feed.close());
    const server = await hosted({
      upstreams: { feed: { url: feed.url, format: 'nuget', hosts: ['127.0.0.1'], retries: 0 } },
      sources: [{ remote: 'feed' }],
      access: [{ who: ['user:alice'], may: ['read', 'publish', 'delete'] }],
    });
    const password = await server.token('alice');
    const { lines } = await push(sourceOf(server), packageOf(core), { password });
    expect(lines).toEqual([`error: Source '${sourceOf(server)}' does not support package push.`]);
    const straight = await ask(`${server.url}/v3/package/`, {
      method: 'PUT',
      headers: basic(password),
      body: packageOf(core),
    });
    expect(straight.status).toBe(405);
  });
});

it('is published and restored over TLS', async () => {
  const server = await hosted({ tls: true });
  const ca = await readFile(server.caFile, 'utf8');
  await pushAll(server, [core], { ca });
  const { packages } = await restore(sourceOf(server), [{ id: 'Acme.Core', range: '1.0.0' }], {
    token: await server.token('rita'),
    ca,
  });
  expect(Object.keys(packages)).toEqual(['acme.core']);
});
