/** Python distributions that are published, over HTTP: who may, what they are told, and what is there afterwards. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Answer, ask, type Headers } from '../support/http.ts';
import { sourceOf, wheelOf } from '../support/pypi-packages.ts';
import { attestationOf, hexOf, type UploadOptions, uploadOf } from '../support/pypi-uploads.ts';
import { startPyPiUpstream } from '../support/pypi-upstream.ts';

const jsonType = 'application/vnd.pypi.simple.v1+json';

let server: HostedServer;
let alice: string;
const closing: (() => Promise<void>)[] = [];

const basic = (token: string, user = '__token__'): Headers => ({
  authorization: `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`,
});

function send(
  file: ReturnType<typeof wheelOf>,
  headers: Headers,
  options?: UploadOptions,
  to = server,
): Promise<Answer> {
  const request = uploadOf(file, options);
  return ask(`${to.url}${request.path}`, {
    method: 'POST',
    headers: { ...request.headers, ...headers, 'content-length': String(request.body.length) },
    body: request.body,
  });
}

async function filesOf(name: string, token = alice): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const page = await ask(`${server.url}/simple/${name}/`, { headers: { accept: jsonType, ...basic(token) } });
  return page.status === 200 ? (page.json() as { files: Readonly<Record<string, unknown>>[] }).files : [];
}

beforeAll(async () => {
  server = await startHosted({ format: 'pypi' });
  closing.push(() => server.close());
  alice = await server.token('alice');
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

test('what was published is there at once, with all that lies beside it', async () => {
  const wheel = wheelOf({ name: 'Acme.Whole', version: '1.0', paddingBytes: 300_000 });
  const source = sourceOf({ name: 'Acme.Whole', version: '1.0' });
  expect((await filesOf('acme-whole')).length).toBe(0);
  const attestations = JSON.stringify([attestationOf(wheel)]);
  const sent = await send(wheel, basic(alice), { fields: { attestations } });
  expect(sent.status, sent.text()).toBe(200);
  expect((await filesOf('acme-whole')).length).toBe(1);
  await send(source, basic(alice), { signature: '-----BEGIN PGP SIGNATURE-----\n' });
  const files = await filesOf('acme-whole');
  expect(files.map(({ filename }) => filename)).toEqual([wheel.filename, source.filename]);
  const at = (index: number): string => new URL(String(files[index]?.url), `${server.url}/simple/acme-whole/`).href;
  const read = async (url: string): Promise<Buffer> => (await ask(url, { headers: basic(alice) })).body;
  expect(await read(at(0))).toEqual(wheel.bytes);
  expect(await read(`${at(0)}.metadata`)).toEqual(wheel.metadata);
  expect(await read(`${at(0).replace('/files/', '/wheels/')}.metadata`)).toEqual(wheel.metadata);
  expect(await read(at(1))).toEqual(source.bytes);
  expect((await read(`${at(1)}.asc`)).toString()).toContain('PGP');
  expect(JSON.parse(String(await read(String(files[0]?.provenance))))).toMatchObject({ version: 1 });
  const part = await ask(at(0), { headers: { ...basic(alice), range: 'bytes=-100' } });
  expect(part).toMatchObject({ status: 206, body: wheel.bytes.subarray(-100) });
  const release = await ask(`${server.url}/pypi/acme-whole/json`, { headers: basic(alice) });
  expect(release.json()).toMatchObject({ info: { name: 'Acme.Whole' } });
  expect((await ask(`${server.url}/simple/`, { headers: basic(alice) })).text()).toContain('acme-whole');
});

test('the same file again is all right, another one by its name is not', async () => {
  const made = { name: 'acme-again', version: '1.0' };
  for (let i = 0; i < 2; i++) expect((await send(wheelOf(made), basic(alice))).status).toBe(200);
  const other = await send(wheelOf({ ...made, requires: ['x'] }), basic(alice));
  expect(other.status).toBe(409);
  expect(other.text()).toContain('File already exists');
  expect(await filesOf('acme-again')).toMatchObject([{ hashes: { sha256: hexOf(wheelOf(made).bytes) } }]);
});

describe('somebody', () => {
  const file = wheelOf({ name: 'acme-who', version: '1.0' });

  test.each<[string, () => Promise<Headers> | Headers, number]>([
    ['who shows nothing', () => ({}), 401],
    ['with a token of nobody', () => basic(wrongToken), 401],
    ['with a token that has expired', async () => basic(await server.expiredToken()), 401],
    ['who only reads', async () => basic(await server.token('rita')), 403],
    ['with a token to read with', async () => basic(await server.token('alice', { may: ['read'] })), 403],
    ['with a token for other names', async () => basic(await server.token('alice', { names: ['other-*'] })), 403],
    ['whom no rule knows', async () => basic(await server.token('nobody')), 404],
    ['of another organisation', async () => basic(await server.token('olga')), 404],
  ])('%s publishes nothing and is told why in the status line', async (_name, credentials, status) => {
    const { path, headers, body } = uploadOf(file);
    const answer = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { ...headers, ...(await credentials()) },
      body: new Uint8Array(body),
    });
    expect(answer.status).toBe(status);
    const text = await answer.text();
    expect(text).toMatch(/\w{3,} \w/);
    expect(text.trim()).toContain(answer.statusText.slice(0, 60));
    expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Basic realm="Larder"' : null);
    expect(await filesOf('acme-who')).toEqual([]);
  });

  test.each<[string, (token: string) => Headers]>([
    ['as a password for __token__', (token) => basic(token)],
    ['as a password for anybody', (token) => basic(token, 'alice')],
    ['as a user without a password', (token) => basic('', token)],
    ['as a bearer', (token) => ({ authorization: `Bearer ${token}` })],
  ])('shows the token %s', async (way, headers) => {
    const made = wheelOf({ name: `acme-${hexOf(Buffer.from(way)).slice(0, 8)}`, version: '1.0' });
    expect((await send(made, headers(alice))).status).toBe(200);
  });
});

describe('what can not be taken', () => {
  test('is refused in words', async () => {
    const file = wheelOf({ name: 'acme-wrong', version: '1.0' });
    const answers = [
      await send(file, basic(alice), { fields: { sha256_digest: '0'.repeat(64) } }),
      await send(file, basic(alice), { fields: { name: 'other' } }),
      await send({ ...file, bytes: file.bytes.subarray(0, -10) }, basic(alice)),
    ];
    expect(answers.map(({ status }) => status)).toEqual([400, 422, 422]);
    expect(await filesOf('acme-wrong')).toEqual([]);
  });

  test('and leaves nothing, when the client goes away in the middle', async () => {
    const file = wheelOf({ name: 'acme-cut', version: '1.0', paddingBytes: 300_000 });
    const { path, headers, body } = uploadOf(file);
    const abort = new AbortController();
    const stream = new ReadableStream({
      async pull(controller) {
        controller.enqueue(new Uint8Array(body.subarray(0, 200_000)));
        await new Promise((resolve) => setImmediate(resolve));
        abort.abort();
      },
    });
    const sent = fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { ...headers, ...basic(alice) },
      body: stream,
      duplex: 'half',
      signal: abort.signal,
    } as RequestInit);
    await expect(sent).rejects.toThrow('abort');
    expect(await filesOf('acme-cut')).toEqual([]);
    expect((await send(file, basic(alice))).status).toBe(200);
    expect((await filesOf('acme-cut')).length).toBe(1);
  });
});

test('a name that is published here is nobody else to ask for, and others are', async () => {
  const index = await startPyPiUpstream();
  closing.push(() => index.close());
  index.publish({ name: 'acme-mine', version: '99.0' });
  index.publish({ name: 'public', version: '1.0' });
  const both = await startHosted({
    format: 'pypi',
    upstreams: { index: { url: index.url, format: 'pypi', hosts: [new URL(index.files.url).host] } },
    sources: [{ hosted: true }, { remote: 'index' }],
  });
  closing.push(() => both.close());
  const headers = basic(await both.token('alice'));
  const mine = wheelOf({ name: 'acme-mine', version: '1.0' });
  expect((await send(mine, headers, {}, both)).status).toBe(200);
  index.forget();
  const page = await ask(`${both.url}/simple/acme-mine/`, { headers: { ...headers, accept: jsonType } });
  expect(page.json()).toMatchObject({ versions: ['1.0'] });
  expect(index.log()).toEqual([]);
  const other = await ask(`${both.url}/simple/public/`, { headers: { ...headers, accept: jsonType } });
  expect(other.json()).toMatchObject({ versions: ['1.0'] });
  expect(index.log()).toEqual(['GET /simple/public/']);
});

test('a version is yanked, promoted and deleted over the administration API', async () => {
  const both = await startHosted({
    format: 'pypi',
    repositories: { staging: { format: 'pypi', sources: [{ hosted: true }] } },
  });
  closing.push(() => both.close());
  const headers = basic(await both.token('alice'));
  const made = { name: 'acme-life', version: '1.0' };
  const [wheel, source] = [wheelOf(made), sourceOf(made)];
  const staging = { ...both, url: `${both.root}/acme/staging` };
  for (const file of [wheel, source]) expect((await send(file, headers, {}, staging)).status).toBe(200);
  const api = (repository: string, rest: string, method: string, body?: unknown): Promise<Answer> =>
    ask(`${both.root}/api/v1/orgs/acme/repositories/${repository}/packages/acme-life${rest}`, {
      method,
      headers: { ...headers, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const pageOf = async (): Promise<Answer> =>
    ask(`${both.url}/simple/acme-life/`, { headers: { ...headers, accept: jsonType } });

  const promoted = await api('staging', '/versions/1.0/promote', 'POST', { to: 'acme/packages' });
  expect(promoted.status, promoted.text()).toBe(200);
  expect((await pageOf()).json()).toMatchObject({
    versions: ['1.0'],
    files: [
      { filename: wheel.filename, yanked: false, 'core-metadata': { sha256: hexOf(wheel.metadata) } },
      { filename: source.filename, yanked: false },
    ],
  });
  expect((await api('packages', '/versions/1.0', 'PATCH', { yanked: true })).status).toBe(204);
  expect((await pageOf()).json()).toMatchObject({ files: [{ yanked: true }, { yanked: true }] });
  expect((await api('packages', '/versions/1.0', 'DELETE')).status).toBe(204);
  expect((await pageOf()).status).toBe(404);
  const other = wheelOf({ ...made, requires: ['x'] });
  expect((await send(other, headers, {}, both)).status).toBe(409);
  expect((await send(wheel, headers, {}, both)).status).toBe(200);
});

test('a version is published at another index, once', async () => {
  const there = await startHosted({ format: 'pypi' });
  closing.push(() => there.close());
  const password = await there.token('alice');
  const here = await startHosted({
    format: 'pypi',
    upstreams: { there: { url: `${there.url}/legacy`, format: 'pypi', auth: { username: '__token__', password } } },
  });
  closing.push(() => here.close());
  const made = { name: 'acme-out', version: '1.0', paddingBytes: 200_000 };
  for (const file of [wheelOf(made), sourceOf(made)]) {
    expect((await send(file, basic(await here.token('alice')), {}, here)).status).toBe(200);
  }
  const release = async (): Promise<Answer> =>
    ask(`${here.root}/api/v1/orgs/acme/repositories/packages/packages/acme-out/versions/1.0/promote`, {
      method: 'POST',
      headers: { ...basic(await here.token('adam')), 'content-type': 'application/json' },
      body: JSON.stringify({ upstream: 'there' }),
    });
  for (let i = 0; i < 2; i++) {
    const released = await release();
    expect(released.status, released.text()).toBe(200);
  }
  const page = await ask(`${there.url}/simple/acme-out/`, { headers: { ...basic(password), accept: jsonType } });
  expect(page.json()).toMatchObject({
    files: [wheelOf(made), sourceOf(made)].map(({ filename, bytes }) => ({
      filename,
      hashes: { sha256: hexOf(bytes) },
    })),
  });
});

test('what was acknowledged is there after a restart', async () => {
  const first = await startHosted({ format: 'pypi' });
  closing.push(() => first.close());
  const token = await first.token('alice');
  const file = wheelOf({ name: 'acme-kept', version: '1.0' });
  expect((await send(file, basic(token), {}, first)).status).toBe(200);
  await first.stop();
  const second = await startHosted({ format: 'pypi', folder: first.folder });
  closing.push(() => second.close());
  const answer = await ask(`${second.url}/files/acme-kept/${hexOf(file.bytes)}/${file.filename}`, {
    headers: basic(token),
  });
  expect(answer.body).toEqual(file.bytes);
});
