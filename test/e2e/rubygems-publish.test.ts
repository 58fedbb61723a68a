/** Gems are pushed, yanked and read over HTTP: by those who may, by those who may not, and beside an upstream with the same names. */
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readSpecTuples } from '../../src/codecs/gem-marshal.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type GemContents, gemFile, gemForm } from '../support/gem-file.ts';
import { type HostedOptions, type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Answer, ask, type Headers } from '../support/http.ts';
import { type GemsUpstream, startGemsUpstream } from '../support/rubygems-upstream.ts';

async function hosted(options: Omit<HostedOptions, 'format'> = {}): Promise<HostedServer> {
  const server = await startHosted({ format: 'rubygems', ...options });
  onTestFinished(() => server.close());
  return server;
}

const md5Of = (bytes: string | Buffer): string => createHash('md5').update(bytes).digest('hex');
const basic = (user: string, password = ''): Headers => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});
const key = (token: string): Headers => ({ authorization: token });

const gem = (name: string, version: string, more: Partial<GemContents> = {}): GemContents => ({
  name,
  version,
  ...more,
});

function push(server: HostedServer, contents: GemContents, headers: Headers, path = '/api/v1/gems'): Promise<Answer> {
  return ask(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', ...headers },
    body: gemFile(contents),
  });
}

function yank(server: HostedServer, form: Readonly<Record<string, string>>, headers: Headers): Promise<Answer> {
  const body = new URLSearchParams(form).toString();
  return ask(`${server.url}/api/v1/gems/yank`, {
    method: 'DELETE',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(body.length),
      ...headers,
    },
    body,
  });
}

async function pushed(server: HostedServer, ...gems: readonly GemContents[]): Promise<void> {
  const headers = key(await server.token('alice'));
  for (const one of gems) {
    const answer = await push(server, one, headers);
    expect(answer.status, answer.text()).toBe(200);
  }
}

/** Reads as rita does unless told otherwise. */
async function reader(
  server: HostedServer,
  user = 'rita',
): Promise<(path: string, headers?: Headers) => Promise<Answer>> {
  const shown = basic('token', await server.token(user));
  return (path, headers = {}) => ask(`${server.url}${path}`, { headers: { ...shown, ...headers } });
}

const tuplesIn = ({ body }: Answer): string[] =>
  [...readSpecTuples(gunzipSync(body))].map(({ name, version, platform }) => `${name} ${version} ${platform}`);

const linesIn = (answer: Answer): string[] =>
  answer
    .text()
    .split('\n')
    .slice(answer.text().split('\n').indexOf('---') + 1, -1);

describe('a push', () => {
  it('is taken however its key is shown, and with a slash too many', async () => {
    const server = await hosted();
    const token = await server.token('alice');
    const ways: Headers[] = [
      key(token),
      key(`Bearer ${token}`),
      basic('token', token),
      basic('alice', token),
      basic(token),
    ];
    for (const [index, headers] of ways.entries()) {
      const answer = await push(
        server,
        gem('acme', `1.${index}`),
        headers,
        index % 2 === 0 ? '/api/v1/gems' : '//api/v1/gems',
      );
      expect(answer.text()).toBe(`Successfully registered gem: acme (1.${index})\n`);
      expect(answer.status).toBe(200);
    }
    expect((await push(server, gem('acme', '2'), key(token), '///api/v1/gems')).status).toBe(400);
    expect((await push(server, gem('acme', '2'), key(token), '/api//v1/gems')).status).toBe(400);
  });

  it('is there for the next request, byte for byte, in every document', async () => {
    const server = await hosted();
    const get = await reader(server);
    const tool = gem('acme-tool', '1.0.0', { needs: { rack: ['>= 2'] } });
    expect((await get('/info/acme-tool')).status).toBe(404);
    expect((await get('/versions')).text()).toBe('---\n');
    await pushed(server, tool);
    const file = await get('/gems/acme-tool-1.0.0.gem');
    expect(file.body.equals(gemFile(tool))).toBe(true);
    const info = await get('/info/acme-tool');
    expect(info.text()).toMatch(
      /^---\n1\.0\.0 rack:>= 2\|checksum:[0-9a-f]{64},created_at:20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\n$/,
    );
    expect(info.headers.etag).toBe(`"${md5Of(info.body)}"`);
    expect(linesIn(await get('/versions'))).toEqual([`acme-tool 1.0.0 ${md5Of(info.body)}`]);
    expect(linesIn(await get('/names'))).toEqual(['acme-tool']);
    expect(tuplesIn(await get('/specs.4.8.gz'))).toEqual(['acme-tool 1.0.0 ruby']);
    expect(tuplesIn(await get('/latest_specs.4.8.gz'))).toEqual(['acme-tool 1.0.0 ruby']);
    expect(tuplesIn(await get('/prerelease_specs.4.8.gz'))).toEqual([]);
    expect((await get('/quick/Marshal.4.8/acme-tool-1.0.0.gemspec.rz')).status).toBe(200);
    expect((await get('/api/v1/versions/acme-tool.json')).json()).toMatchObject([{ number: '1.0.0' }]);
    expect((await get('/api/v1/gems/acme-tool.json')).json()).toMatchObject({
      gem_uri: `${server.url}/gems/acme-tool-1.0.0.gem`,
    });
    expect((await get('/api/v1/search.json?query=tool')).json()).toMatchObject([{ name: 'acme-tool' }]);
    await pushed(server, gem('acme-tool', '1.1.0.rc1'));
    expect(linesIn(await get('/versions'))).toHaveLength(2);
    expect(tuplesIn(await get('/prerelease_specs.4.8.gz'))).toEqual(['acme-tool 1.1.0.rc1 ruby']);
  });

  it('grows the list of versions at its end, so that clients take only what is new', async () => {
    const server = await hosted();
    const get = await reader(server);
    await pushed(server, gem('b', '1.0'), gem('a', '1.0'));
    const before = await get('/versions');
    await pushed(server, gem('b', '2.0'));
    await yank(server, { gem_name: 'a', version: '1.0' }, key(await server.token('alice')));
    const range = { range: `bytes=${before.body.length - 1}-`, 'if-none-match': before.headers.etag ?? '' };
    const rest = await get('/versions', range);
    expect(rest.status).toBe(206);
    const whole = await get('/versions');
    expect(Buffer.concat([before.body, rest.body.subarray(1)]).equals(whole.body)).toBe(true);
    expect(rest.headers['repr-digest']).toBe(whole.headers['repr-digest']);
    expect((await get('/versions', { 'if-none-match': whole.headers.etag ?? '' })).status).toBe(304);
  });

  it('with attestations keeps them', async () => {
    const server = await hosted();
    const { type, body } = gemForm(gemFile(gem('acme', '1.0')), '[{"a":1}]');
    const headers = { ...key(await server.token('alice')), 'content-type': type };
    const answer = await ask(`${server.url}/api/v1/gems`, { method: 'POST', headers, body });
    expect(answer.text()).toBe('Successfully registered gem: acme (1.0)\n');
    const get = await reader(server);
    expect((await get('/api/v1/attestations/acme-1.0.json')).text()).toBe('[{"a":1}]');
    expect((await get('/gems/acme-1.0.gem')).status).toBe(200);
  });

  it('again is no news, with other bytes a conflict, and after a yank, too', async () => {
    const server = await hosted();
    const headers = key(await server.token('alice'));
    const [first, other] = [gem('acme', '1.0'), gem('acme', '1.0', { summary: 'Other' })];
    await pushed(server, first);
    const again = await push(server, first, headers);
    expect([again.status, again.text()]).toEqual([200, 'Gem was already pushed: acme (1.0)\n']);
    expect((await push(server, other, headers)).status).toBe(409);
    expect((await yank(server, { gem_name: 'acme', version: '1.0' }, headers)).status).toBe(200);
    for (const one of [first, other]) expect((await push(server, one, headers)).status).toBe(409);
    expect((await push(server, gem('acme', '1.0.0'), headers)).status).toBe(409);
    expect((await push(server, gem('acme', '1.1'), headers)).status).toBe(200);
  });

  it('of twenty at once is twenty, and they are there after a restart', async () => {
    const folder = await temporaryFolder();
    onTestFinished(() => folder.remove());
    const server = await hosted({ folder: folder.path });
    const headers = key(await server.token('alice'));
    const gems = Array.from({ length: 20 }, (_, i) => gem(i % 2 === 0 ? 'acme' : `acme-${i}`, `1.${i}`));
    const answers = await Promise.all(gems.map((one) => push(server, one, headers)));
    expect(answers.map(({ status }) => status)).toEqual(gems.map(() => 200));
    const list = (await (await reader(server))('/versions')).text();
    expect(list.split('\n')).toHaveLength(22);
    await server.stop();
    const next = await hosted({ folder: folder.path });
    const get = await reader(next);
    expect((await get('/versions')).text()).toBe(list);
    for (const { name, version } of gems) expect((await get(`/gems/${name}-${version}.gem`)).status).toBe(200);
  });

  it('of what is no gem says what is wrong with it', async () => {
    const server = await hosted();
    const headers = key(await server.token('alice'));
    const answer = await ask(`${server.url}/api/v1/gems`, { method: 'POST', headers, body: 'no gem' });
    expect([answer.status, answer.headers['content-type']]).toEqual([422, 'text/plain; charset=utf-8']);
    expect(answer.text()).toMatch(/^This is no gem that can be published: .*\n$/);
    expect((await (await reader(server))('/versions')).text()).toBe('---\n');
  });
});

describe('who may not', () => {
  it('hears why, and changes nothing', async () => {
    const server = await hosted();
    await pushed(server, gem('acme', '1.0'));
    const cases: readonly [string, Headers, number, RegExp][] = [
      ['nobody', {}, 401, /asks for credentials/],
      ['a wrong token', key(wrongToken), 401, /^This token/],
      ['another org', key(await server.token('olga')), 404, /^There is no repository acme\/packages here/],
      ['no rule', key(await server.token('nobody')), 404, /^There is no repository acme\/packages here/],
      ['a reader', key(await server.token('rita')), 403, /^rita may read .* but not /],
      [
        'a token for reading',
        key(await server.token('alice', { may: ['read'] })),
        403,
        /^alice may read .* not with this token/,
      ],
      ['a token for other names', key(await server.token('alice', { names: ['other-*'] })), 403, /^alice may not /],
    ];
    const list = (await (await reader(server))('/versions')).text();
    for (const [who, headers, status, said] of cases) {
      const answer = await push(server, gem('acme', '2.0'), headers);
      expect([who, answer.status]).toEqual([who, status]);
      expect(answer.text(), who).toMatch(said);
      if (status === 401) expect(answer.headers['www-authenticate']).toBe('Basic realm="Larder"');
      const yanked = await yank(server, { gem_name: 'acme', version: '1.0' }, headers);
      // With that token nobody may read it either, so it is not there.
      expect([who, yanked.status]).toEqual([who, who === 'a token for other names' ? 404 : status]);
      // Neither of these is how RubyGems begins a dialogue about codes and scopes.
      expect(answer.text()).not.toMatch(/^You have enabled multifactor|^The API key doesn't have access/);
    }
    expect((await (await reader(server))('/versions')).text()).toBe(list);
  });

  it('sees nothing of gems that they may not read, on any route', async () => {
    const server = await hosted({
      access: [
        { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
        { who: ['team:readers'], may: ['read'], names: ['open-*'] },
      ],
    });
    await pushed(
      server,
      gem('open-tool', '1.0'),
      gem('closed-tool', '1.0', { summary: 'open' }),
      gem('open-tool', '2.0.pre'),
    );
    const get = await reader(server);
    expect(linesIn(await get('/names'))).toEqual(['open-tool']);
    expect(linesIn(await get('/versions')).map((line) => line.split(' ')[0])).toEqual(['open-tool', 'open-tool']);
    for (const list of ['specs', 'latest_specs']) {
      expect(tuplesIn(await get(`/${list}.4.8.gz`))).toEqual(['open-tool 1.0 ruby']);
    }
    for (const path of ['/versions', '/names', '/specs.4.8.gz', '/api/v1/search.json?query=open-tool']) {
      const { body } = await get(path);
      expect(body.includes('closed') || (path.endsWith('gz') && gunzipSync(body).includes('closed')), path).toBe(false);
    }
    for (const path of [
      '/info/closed-tool',
      '/gems/closed-tool-1.0.gem',
      '/quick/Marshal.4.8/closed-tool-1.0.gemspec.rz',
      '/api/v1/gems/closed-tool.json',
      '/api/v1/versions/closed-tool.json',
      '/api/v1/versions/closed-tool/latest.json',
      '/api/v1/gems/closed-tool/owners.yaml',
      '/api/v1/attestations/closed-tool-1.0.json',
    ]) {
      expect((await get(path)).status, path).toBe(404);
    }
    const all = await reader(server, 'alice');
    expect(linesIn(await all('/names'))).toEqual(['closed-tool', 'open-tool']);
    expect(linesIn(await get('/names'))).toEqual(['open-tool']);
  });
});

describe('beside an upstream', () => {
  async function beside(source: Record<string, unknown> = {}): Promise<{ server: HostedServer; feed: GemsUpstream }> {
    const feed = await startGemsUpstream();
    onTestFinished(() => feed.upstream.close());
    for (const [name, version] of [
      ['acme-tool', '98.0.0'],
      ['rack', '3.0.9'],
      ['acme-tool', '99.0.0.pre'],
      ['acme-later', '99.0.0'],
    ] as const) {
      feed.publish({ name, version, bytes: gemFile(gem(name, version)) });
    }
    const server = await hosted({
      upstreams: { feed: { url: feed.url, format: 'rubygems', hosts: ['127.0.0.1'], retries: 0 } },
      sources: [{ hosted: true, ...source }, { remote: 'feed' }],
    });
    return { server, feed };
  }

  it('a name is answered by whoever publishes it here, in every list', async () => {
    const { server } = await beside();
    const get = await reader(server);
    expect((await get('/info/acme-tool')).text()).toContain('98.0.0');
    expect(linesIn(await get('/versions')).some((line) => line.startsWith('acme-tool 98.0.0 '))).toBe(true);
    await pushed(server, gem('acme-tool', '1.0'));
    const info = await get('/info/acme-tool');
    expect(info.text()).toMatch(/^---\n1\.0 [^\n]*\n$/);
    const lines = linesIn(await get('/versions')).filter((line) => line.startsWith('acme-tool '));
    expect(lines).toEqual([`acme-tool 1.0 ${md5Of(info.body)}`]);
    expect(linesIn(await get('/versions')).some((line) => line.startsWith('rack 3.0.9 '))).toBe(true);
    const found = await Promise.all(
      ['specs', 'latest_specs', 'prerelease_specs'].map((list) => get(`/${list}.4.8.gz`)),
    );
    expect(found.flatMap(tuplesIn).filter((tuple) => tuple.startsWith('acme-tool '))).toEqual([
      'acme-tool 1.0 ruby',
      'acme-tool 1.0 ruby',
    ]);
    for (const path of ['/gems/acme-tool-98.0.0.gem', '/quick/Marshal.4.8/acme-tool-99.0.0.pre.gemspec.rz']) {
      expect((await get(path)).status, path).toBe(404);
    }
    const rack = await get('/gems/rack-3.0.9.gem');
    expect(rack.body.equals(gemFile(gem('rack', '3.0.9')))).toBe(true);
  });

  it('nobody there hears of names that are claimed or published here', async () => {
    const { server, feed } = await beside({ claims: ['acme-*'] });
    const get = await reader(server);
    await pushed(server, gem('acme-tool', '1.0'), gem('unclaimed', '1.0'));
    feed.upstream.forget();
    for (const name of ['acme-tool', 'acme-later', 'unclaimed']) {
      for (const path of [
        `/info/${name}`,
        `/gems/${name}-1.0.gem`,
        `/gems/${name}-99.0.0.gem`,
        `/gems/${name}-2-linux-1.0.gem`,
        `/quick/Marshal.4.8/${name}-99.0.0.gemspec.rz`,
        `/api/v1/gems/${name}.json`,
        `/api/v1/versions/${name}.json`,
        `/api/v1/versions/${name}/latest.json`,
        `/api/v1/gems/${name}/owners.json`,
        `/api/v1/attestations/${name}-99.0.0.json`,
        `/api/v1/search.json?query=${name}`,
        `/api/v1/search/autocomplete?query=${name}`,
      ]) {
        await get(path);
      }
      await push(server, gem(name, '5.0'), key(await server.token('alice')));
      await yank(server, { gem_name: name, version: '5.0' }, key(await server.token('alice')));
    }
    const asked = feed.upstream.requests.map(({ method, url }) => `${method} ${url}`);
    expect(asked.filter((request) => /acme|unclaimed/.test(request))).toEqual([]);
  });
});

describe('a version that was pushed', () => {
  it('is published in another repository, and at another server, as it is', async () => {
    const there = await hosted();
    const server = await hosted({
      upstreams: { there: { url: there.url, format: 'rubygems', auth: { bearer: await there.token('alice') } } },
      repositories: { production: { format: 'rubygems', sources: [{ hosted: true }] } },
    });
    const tool = gem('acme-tool', '1.0.0', { needs: { rack: ['>= 2'] }, platform: 'java' });
    await pushed(server, tool);
    const authorization = `Bearer ${await server.token('adam')}`;
    for (const [body, changed] of [
      [{ to: 'production' }, true],
      [{ upstream: 'there' }, true],
      [{ upstream: 'there' }, true],
    ] as const) {
      const answer = await ask(
        `${server.root}/api/v1/orgs/acme/repositories/packages/packages/acme-tool/versions/1.0.0-java/promote`,
        {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        },
      );
      expect(answer.status, answer.text()).toBe(200);
      expect(answer.json()).toMatchObject({ changed });
    }
    const production: HostedServer = { ...server, url: `${server.root}/acme/production` };
    for (const one of [production, there]) {
      const get = await reader(one);
      expect((await get('/gems/acme-tool-1.0.0-java.gem')).body.equals(gemFile(tool))).toBe(true);
      expect((await get('/info/acme-tool')).text()).toMatch(/^---\n1\.0\.0-java rack:>= 2\|checksum:/);
      expect((await get('/quick/Marshal.4.8/acme-tool-1.0.0-java.gemspec.rz')).status).toBe(200);
      expect(linesIn(await get('/versions'))).toEqual([
        `acme-tool 1.0.0-java ${md5Of((await get('/info/acme-tool')).body)}`,
      ]);
    }
  });
});

describe('signing in', () => {
  it('gives a key that may do what was asked for', async () => {
    const server = await hosted();
    const form = new URLSearchParams({ name: 'laptop', push_rubygem: 'true' }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const signIn = (shown: Headers): Promise<Answer> =>
      ask(`${server.url}/api/v1/api_key`, { method: 'POST', headers: { ...headers, ...shown }, body: form });
    const answer = await signIn(basic('alice', await server.token('alice')));
    expect(answer.status).toBe(200);
    expect(answer.text()).toMatch(/^lrd_\w+$/);
    expect((await push(server, gem('acme', '1.0'), key(answer.text()))).status).toBe(200);
    expect((await yank(server, { gem_name: 'acme', version: '1.0' }, key(answer.text()))).status).toBe(403);
    const wrong = await signIn(basic('alice', 'wrong'));
    expect([wrong.status, wrong.text()]).toEqual([
      401,
      expect.stringMatching(/^There is no user alice with this password/),
    ]);
    expect((await signIn({})).status).toBe(401);
  });
});
