/** npm packages that are published, changed and found over HTTP, and what those see who may not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleFor, type NewPackage, packageOf, publishRequest } from '../formats/npm.publish.samples.ts';
import { synthetic } from '../support/bytes.ts';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Answer, type AskOptions, ask } from '../support/http.ts';

type Json = Record<string, unknown>;
interface Packument extends Json {
  readonly _rev: string;
  readonly versions: Record<string, Json & { readonly dist: Json }>;
  readonly 'dist-tags': Record<string, string>;
}

let server: HostedServer;
let merging: HostedServer;
let registry: FakeRegistry;
const tokens: Record<string, string> = {};
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  registry = await startFakeRegistry();
  closing.push(() => registry.close());
  merging = await startHosted({
    format: 'npm',
    upstreams: { outer: { url: registry.url } },
    sources: [{ hosted: true, claims: ['@acme/*'], merge: ['shared'] }, { remote: 'outer' }],
    access: [
      { who: ['everyone'], may: ['read'], names: ['public-*', 'shared', 'other'] },
      { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
    ],
  });
  closing.push(() => merging.close());
  tokens.merger = await merging.token('alice');
  server = await startHosted({
    format: 'npm',
    repositories: {
      stable: { format: 'npm', sources: [{ hosted: true }] },
      small: { format: 'npm', sources: [{ hosted: true }], maxArtifactSize: '1MB' },
    },
    upstreams: { elsewhere: { url: merging.url, format: 'npm', auth: { bearer: tokens.merger } } },
  });
  closing.push(() => server.close());
  for (const who of ['alice', 'adam', 'rita', 'nobody', 'olga']) tokens[who] = await server.token(who);
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

interface Asked extends AskOptions {
  /** Default `alice`; '' for nobody. */
  readonly who?: string;
  readonly at?: HostedServer;
}

function npm(path: string, { who = 'alice', at = server, ...options }: Asked = {}): Promise<Answer> {
  const token = tokens[who] ?? who;
  const authorization: Record<string, string> = token === '' ? {} : { authorization: `Bearer ${token}` };
  return ask(`${at.url}${path}`, { ...options, headers: { ...authorization, ...options.headers } });
}

function publish(wanted: NewPackage, asked: Asked = {}): Promise<Answer> {
  const { path, headers = {}, body = '' } = publishRequest(wanted);
  return npm(path, { method: 'PUT', headers, body: Buffer.from(body), ...asked });
}

async function read(name: string, asked: Asked = {}): Promise<Packument> {
  const answer = await npm(`/${name}?write=true`, asked);
  expect(answer.status, answer.text()).toBe(200);
  return answer.json() as Packument;
}

const put = (path: string, json: unknown, asked: Asked = {}): Promise<Answer> =>
  npm(path, { method: 'PUT', body: JSON.stringify(json), ...asked });

describe('what is published', () => {
  test.each([
    { name: 'plain', version: '1.0.0' },
    { name: '@acme/scoped', version: '1.0.0', attachmentsFirst: true },
  ])('is there at once, in every form: $name', async (wanted) => {
    const sent = await publish(wanted);
    expect(sent.status, sent.text()).toBe(201);
    const escaped = wanted.name.replace('/', '%2f');
    for (const accept of ['application/json', 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8']) {
      const answer = await npm(`/${escaped}`, { headers: { accept } });
      const { versions, 'dist-tags': tags } = answer.json() as Packument;
      expect(tags).toEqual({ latest: '1.0.0' });
      const tarball = String(versions['1.0.0']?.dist.tarball);
      expect(tarball).toMatch(new RegExp(`^${server.url}/${wanted.name}/-/`));
      const file = await npm(tarball.slice(server.url.length));
      expect(file.body.equals(packageOf(wanted))).toBe(true);
      expect(file.headers['x-larder-cache']).toBe('hosted');
      expect(answer.headers['x-larder-cache']).toBe('hosted');
    }
    expect((await npm(`/${escaped}/1.0.0`)).json()).toMatchObject(wanted.attachmentsFirst ? {} : wanted);
  });

  test('may be as large as a file may be, in pieces of any size', async () => {
    const wanted: NewPackage = {
      name: 'large',
      version: '1.0.0',
      files: { 'data.bin': Buffer.alloc(12_000_000, 'x') },
    };
    expect((await publish(wanted)).status).toBe(201);
    expect((await npm('/large/-/large-1.0.0.tgz')).body.equals(packageOf(wanted))).toBe(true);
  });

  test.each([
    ['when it has arrived', 1_200_000, /longer than the 1000000 bytes allowed in acme\/small/],
    ['before it arrives', 3_000_000, /The request body is longer than/],
  ])('is no larger than a file may be, which is said %s', async (_name, length, says) => {
    const data = Buffer.concat([...synthetic(length).read(0, length)]);
    const { body = '' } = publishRequest({ name: 'large', version: '1.0.0', files: { 'data.bin': data } });
    const url = `${server.root}/acme/small/large`;
    const headers = { authorization: `Bearer ${tokens.alice}` };
    const answer = await ask(url, { method: 'PUT', headers, body: Buffer.from(body) });
    expect(answer.status).toBe(413);
    expect((answer.json() as { error: string }).error).toMatch(says);
    expect((await ask(url, { headers })).status).toBe(404);
  });

  test('stays what it was, whoever comes later', async () => {
    await publish({ name: 'fixed', version: '1.0.0' });
    const again = await publish({ name: 'fixed', version: '1.0.0', files: { 'x.js': '' } });
    expect(again.status).toBe(409);
    expect(again.json()).toMatchObject({ error: expect.stringContaining('cannot publish over') });
    const all = await Promise.all(
      Array.from({ length: 5 }, (_, i) => publish({ name: 'raced', version: '1.0.0', files: { 'x.js': `${i}` } })),
    );
    expect(all.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409]);
  });

  test('comes with its versions all at once, none lost', async () => {
    const versions = Array.from({ length: 10 }, (_, i) => `1.${i}.0`);
    const all = await Promise.all(versions.map((version) => publish({ name: 'many', version })));
    expect(all.map(({ status }) => status)).toEqual(versions.map(() => 201));
    expect(Object.keys((await read('many')).versions).sort()).toEqual(versions);
  });

  test('is seen changed at once, by those who read it before', async () => {
    await publish({ name: 'changing', version: '1.0.0' });
    await publish({ name: 'changing', version: '1.1.0' });
    const seen = async (): Promise<unknown> => {
      const { versions, 'dist-tags': tags } = (await npm('/changing')).json() as Packument;
      return { ...tags, ...Object.fromEntries(Object.entries(versions).map(([v, { deprecated }]) => [v, deprecated])) };
    };
    expect(await seen()).toEqual({ latest: '1.1.0' });
    const document = await read('changing');
    Object.assign(document.versions['1.0.0'] ?? {}, { deprecated: 'Use 1.1.' });
    expect((await put('/changing', document)).status).toBe(200);
    expect(await seen()).toEqual({ latest: '1.1.0', '1.0.0': 'Use 1.1.' });
    expect((await put('/-/package/changing/dist-tags/old', '1.0.0')).status).toBe(200);
    expect(await seen()).toEqual({ latest: '1.1.0', old: '1.0.0', '1.0.0': 'Use 1.1.' });
    expect((await put('/changing', document)).status, 'a state that is gone').toBe(409);
    const now = await read('changing');
    delete now.versions['1.1.0'];
    expect((await put(`/changing/-rev/${now._rev}`, now)).status).toBe(200);
    expect(await seen()).toEqual({ latest: '1.0.0', old: '1.0.0', '1.0.0': 'Use 1.1.' });
    const { _rev } = await read('changing');
    const file = `/changing/-/changing-1.1.0.tgz`;
    expect((await npm(file)).status).toBe(404);
    expect((await npm(`${file}/-rev/${_rev}`, { method: 'DELETE' })).status).toBe(200);
    expect((await npm(`/changing/-rev/${_rev}`, { method: 'DELETE' })).status).toBe(200);
    expect((await npm('/changing')).status).toBe(404);
    expect((await publish({ name: 'changing', version: '1.1.0', files: { x: '' } })).status, 'other bytes').toBe(409);
    expect((await publish({ name: 'changing', version: '1.1.0' })).status).toBe(201);
  });

  test('keeps its provenance', async () => {
    const wanted = { name: 'proven', version: '1.0.0' };
    const data = bundleFor('proven', '1.0.0', packageOf(wanted));
    expect((await publish({ ...wanted, attachments: { 'proven-1.0.0.sigstore': { data } } })).status).toBe(201);
    expect((await npm('/-/npm/v1/attestations/proven@1.0.0')).json()).toMatchObject({
      attestations: [{ bundle: JSON.parse(data) }],
    });
  });

  test('is what it says it is', async () => {
    const other = { name: 'honest', version: '1.0.0', tarball: packageOf({ name: 'other', version: '1.0.0' }) };
    const answer = await publish(other);
    expect(answer.status).toBe(422);
    expect(answer.json()).toMatchObject({ error: expect.stringContaining('names "other", and not honest') });
    expect((await npm('/honest')).status).toBe(404);
  });
});

describe('those who may not', () => {
  const secret: NewPackage = { name: '@acme/secret', version: '1.0.0' };

  beforeAll(async () => {
    await publish(secret);
  });

  test.each([
    ['nobody', '', 401, 401],
    ['a wrong token', wrongToken, 401, 401],
    ['somebody of another organisation', 'olga', 404, 404],
    ['somebody whom no rule mentions', 'nobody', 404, 404],
    ['a reader', 'rita', 200, 403],
  ])('%s', async (_name, who, reading, writing) => {
    for (const path of ['/@acme%2fsecret', '/@acme/secret/-/secret-1.0.0.tgz', '/-/package/@acme%2fsecret/dist-tags']) {
      expect((await npm(path, { who })).status, path).toBe(reading);
    }
    const { _rev } = await read('@acme%2fsecret');
    const changes: [string, string, unknown][] = [
      ['PUT', '/@acme%2fsecret', JSON.parse(String(publishRequest({ ...secret, version: '2.0.0' }).body))],
      ['PUT', `/@acme%2fsecret/-rev/${_rev}`, { versions: {} }],
      ['DELETE', `/@acme%2fsecret/-rev/${_rev}`, undefined],
      ['DELETE', `/@acme/secret/-/secret-1.0.0.tgz/-rev/${_rev}`, undefined],
      ['PUT', '/-/package/@acme%2fsecret/dist-tags/x1', '1.0.0'],
      ['DELETE', '/-/package/@acme%2fsecret/dist-tags/latest', undefined],
      ['POST', '/-/package/@acme%2fsecret/access', { access: 'public' }],
    ];
    for (const [method, path, json] of changes) {
      const body = json === undefined ? {} : { body: JSON.stringify(json) };
      const answer = await npm(path, { who, method, ...body });
      expect(answer.status, `${method} ${path}`).toBe(writing);
      const { error } = answer.json() as { error: string };
      expect(error).toMatch(/\w/);
      if (answer.status === 401) {
        expect(answer.headers['www-authenticate']).toBe(`Bearer realm="${server.url}"`);
        expect(answer.headers['npm-notice']).toBe(error);
      }
    }
    expect(Object.keys((await read('@acme%2fsecret')).versions)).toEqual(['1.0.0']);
  });

  test('owners and access are for owners and those who administer', async () => {
    await publish({ name: 'owned', version: '1.0.0' });
    const by = async (who: string, to = 'adam'): Promise<number> => {
      const { _id, _rev } = await read('owned', { who: 'alice' });
      return (await put(`/owned/-rev/${_rev}`, { _id, _rev, maintainers: [{ name: to }] }, { who })).status;
    };
    expect(await by('rita')).toBe(403);
    expect(await by('alice')).toBe(200);
    expect(await by('alice', 'alice'), 'no owner any more').toBe(403);
    expect((await npm('/-/package/owned/collaborators')).json()).toEqual({ adam: 'read-write' });
    expect((await npm('/-/package/owned/access', { method: 'POST', body: '{"access":"public"}' })).status).toBe(403);
  });

  test('a token does no more than it is for', async () => {
    const narrow = await server.token('alice', { may: ['read', 'publish'], names: ['@acme/*'] });
    expect((await publish({ name: 'outside', version: '1.0.0' }, { who: narrow })).status).toBe(404);
    expect((await publish({ name: '@acme/inside', version: '1.0.0' }, { who: narrow })).status).toBe(201);
    const document = await read('@acme%2finside', { who: narrow });
    const emptied = await put(`/@acme%2finside/-rev/${document._rev}`, { ...document, versions: {} }, { who: narrow });
    expect(emptied.status, 'taking away').toBe(403);
  });

  test('an ended token is called so', async () => {
    const answer = await npm('/@acme%2fsecret', { who: await server.expiredToken() });
    expect(answer.status).toBe(401);
    expect(answer.headers['npm-notice']).toMatch(/expired|ended/i);
  });

  test('a token is taken as the password of anybody, and as a user', async () => {
    const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
    for (const text of [`anybody:${tokens.alice}`, `${tokens.alice}:`]) {
      expect((await npm('/@acme%2fsecret', { who: '', headers: basic(text) })).status, text.slice(0, 9)).toBe(200);
    }
  });
});

describe('beside an upstream', () => {
  const at = () => ({ at: merging, who: 'merger' });

  test('own names are asked of nobody, there or not', async () => {
    registry.publish({ name: '@acme/inner', version: '9.0.0' });
    await publish({ name: '@acme/inner', version: '1.0.0' }, at());
    await publish({ name: 'unclaimed', version: '1.0.0' }, at());
    registry.upstream.forget();
    expect(Object.keys((await read('@acme%2finner', at())).versions)).toEqual(['1.0.0']);
    for (const path of [
      '/@acme%2fabsent',
      '/@acme/absent/-/absent-1.0.0.tgz',
      '/-/package/@acme%2fabsent/dist-tags',
      '/-/npm/v1/attestations/@acme%2fabsent@1.0.0',
      '/@acme%2fabsent/1.0.0',
      '/unclaimed/2.0.0',
      '/unclaimed/-/unclaimed-2.0.0.tgz',
    ]) {
      expect((await npm(path, at())).status, path).toBe(404);
    }
    await npm('/-/v1/search?text=@acme/inner', at());
    await npm('/-/npm/v1/security/advisories/bulk', {
      ...at(),
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"@acme/inner":["1.0.0"],"unclaimed":["1.0.0"],"other":["1.0.0"]}',
    });
    const sent = JSON.stringify(registry.upstream.requests.map(({ path, body }) => [path, body?.toString()]));
    expect(sent).not.toMatch(/acme|unclaimed|absent/);
    expect(sent).toContain('other');
  });

  test('a name that is merged has the versions of both, ours first', async () => {
    registry.publish({ name: 'shared', version: '1.0.0' });
    const theirs = registry.publish({ name: 'shared', version: '3.0.0' });
    const own = { name: 'shared', version: '1.0.0', files: { 'own.js': '' } };
    expect((await publish(own, at())).status).toBe(201);
    const document = await read('shared', at());
    expect(Object.keys(document.versions).sort()).toEqual(['1.0.0', '3.0.0']);
    expect(document['dist-tags']).toEqual({ latest: '1.0.0' });
    expect((await npm('/shared/-/shared-1.0.0.tgz', at())).body.equals(packageOf(own))).toBe(true);
    expect((await npm('/shared/-/shared-3.0.0.tgz', at())).body.equals(theirs.bytes as Buffer)).toBe(true);
    // Changed as a client would change it, with everything that it read.
    Object.assign(document.versions['1.0.0'] ?? {}, { deprecated: 'Use 3.' });
    expect((await put('/shared', document, at())).status).toBe(200);
    expect((await read('shared', at())).versions['1.0.0']?.deprecated).toBe('Use 3.');
  });

  test('a search finds what is published here and what upstream finds, as far as it may be seen', async () => {
    registry.publish({ name: 'public-outer', version: '1.0.0' });
    await publish({ name: 'public-inner', version: '1.0.0' }, at());
    await publish({ name: '@acme/public-hidden', version: '1.0.0' }, at());
    const found = async (who: string): Promise<unknown[]> => {
      const { objects } = (await npm('/-/v1/search?text=public', { at: merging, who })).json() as {
        objects: { package: Json }[];
      };
      return objects.map((one) => one.package.name);
    };
    expect(await found('merger')).toEqual(['public-inner', '@acme/public-hidden', 'public-outer']);
    expect(await found('')).not.toContain('@acme/public-hidden');
    expect(await found('')).toContain('public-inner');
    expect(await found('merger')).toContain('@acme/public-hidden');
  });
});

describe('going elsewhere', () => {
  const promote = (name: string, version: string, to: Json, who = 'adam'): Promise<Answer> => {
    const path = `/api/v1/orgs/acme/repositories/packages/packages/${encodeURIComponent(name)}/versions/${version}/promote`;
    const headers = { authorization: `Bearer ${tokens[who]}`, 'content-type': 'application/json' };
    return ask(`${server.root}${path}`, { method: 'POST', headers, body: JSON.stringify(to) });
  };

  test('to another repository, which then has it with a latest version', async () => {
    for (const version of ['1.0.0', '1.1.0', '2.0.0-rc.1']) await publish({ name: '@acme/staged', version });
    for (const version of ['1.1.0', '1.0.0', '2.0.0-rc.1']) {
      const answer = await promote('@acme/staged', version, { to: 'stable' });
      expect(answer.status, answer.text()).toBe(200);
      expect(answer.json()).toMatchObject({ changed: true });
    }
    const authorization = `Bearer ${tokens.alice}`;
    const url = `${server.root}/acme/stable/@acme%2fstaged`;
    const document = (await ask(url, { headers: { authorization } })).json() as Packument;
    expect(document['dist-tags']).toEqual({ latest: '1.1.0' });
    const tarball = String(document.versions['1.0.0']?.dist.tarball);
    expect(tarball).toBe(`${server.root}/acme/stable/@acme/staged/-/staged-1.0.0.tgz`);
    const { body } = await ask(tarball, { headers: { authorization } });
    expect(body.equals(packageOf({ name: '@acme/staged', version: '1.0.0' }))).toBe(true);
  });

  test('to another registry, as a client would publish it there', async () => {
    const wanted = { name: '@acme/released', version: '1.0.0', files: { 'data.bin': Buffer.alloc(300_001, 'x') } };
    await publish(wanted);
    expect((await promote('@acme/released', '1.0.0', { upstream: 'elsewhere' }, 'alice')).status).toBe(403);
    for (const said of [/is published at/, /was there already/]) {
      const answer = await promote('@acme/released', '1.0.0', { upstream: 'elsewhere' });
      expect(answer.status, answer.text()).toBe(200);
      expect(answer.text()).toMatch(said);
    }
    const there = await npm('/@acme/released/-/released-1.0.0.tgz', { at: merging, who: 'merger' });
    expect(there.body.equals(packageOf(wanted))).toBe(true);
  });
});

describe('signing in', () => {
  test('with a token in place of the password, then out', async () => {
    const body = { _id: 'org.couchdb.user:alice', name: 'alice', password: tokens.alice, type: 'user', roles: [] };
    const answer = await put('/-/user/org.couchdb.user:alice', body, { who: '' });
    expect(answer.status, answer.text()).toBe(201);
    const { token } = answer.json() as { token: string };
    expect(token).toMatch(/^lrd_/);
    expect((await npm('/-/whoami', { who: token })).json()).toEqual({ username: 'alice' });
    expect((await npm('/-/npm/v1/user', { who: token })).json()).toMatchObject({ name: 'alice' });
    const list = (await npm('/-/npm/v1/tokens', { who: token })).json() as { objects: Json[] };
    expect(list.objects.length).toBeGreaterThan(1);
    expect(JSON.stringify(list)).not.toContain(token);
    expect((await npm(`/-/user/token/${token}`, { who: token, method: 'DELETE' })).status).toBe(200);
    expect((await npm('/-/whoami', { who: token })).status).toBe(401);
  });

  test('with a wrong password is 401', async () => {
    const body = { name: 'alice', password: 'wrong' };
    expect((await put('/-/user/org.couchdb.user:alice', body, { who: '' })).status).toBe(401);
  });

  test('whoami, profile and tokens are for those who are known', async () => {
    for (const path of ['/-/whoami', '/-/npm/v1/user', '/-/npm/v1/tokens']) {
      expect((await npm(path, { who: '' })).status, path).toBe(401);
      expect((await npm(path, { who: wrongToken })).status, path).toBe(401);
    }
  });

  test('a token that only reads is made, used and revoked', async () => {
    const body = JSON.stringify({ password: tokens.alice, readonly: true, cidr_whitelist: [] });
    const answer = await npm('/-/npm/v1/tokens', { method: 'POST', body });
    expect(answer.status, answer.text()).toBe(201);
    const { token, key } = answer.json() as { token: string; key: string };
    expect((await publish({ name: 'read-only', version: '1.0.0' }, { who: token })).status).toBe(403);
    expect((await npm(`/-/npm/v1/tokens/token/${key}`, { method: 'DELETE' })).status).toBe(200);
    expect((await npm('/-/whoami', { who: token })).status).toBe(401);
    const limited = JSON.stringify({ password: 'x', cidr_whitelist: ['10.0.0.0/8'] });
    expect((await npm('/-/npm/v1/tokens', { method: 'POST', body: limited })).status).toBe(400);
  });

  test('with a browser waits until somebody has signed in there', async () => {
    const answer = await npm('/-/v1/login', { method: 'POST', body: '{}', who: '' });
    expect(answer.status, answer.text()).toBe(200);
    const { loginUrl, doneUrl } = answer.json() as Record<string, string>;
    expect(loginUrl).toMatch(new RegExp(`^${server.root}/`));
    expect(doneUrl).toMatch(new RegExp(`^${server.url}/-/v1/done\\?session=`));
    const done = await ask(String(doneUrl));
    expect(done.status).toBe(202);
    expect(Number(done.headers['retry-after'])).toBeGreaterThan(0);
  });
});
