/** Pushing images to a server: sessions, rights, mounts, and images beside those of an upstream. */
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { sessionMs } from '../../src/store/uploads.ts';
import { startFakeOci } from '../support/fake-oci.ts';
import { type HostedOptions, type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Answer, type AskOptions, ask } from '../support/http.ts';
import { eventually } from '../support/wait.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
const bytes = Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * 7) & 255));
const digest = digestOf(bytes);

async function started(options: Partial<HostedOptions> = {}): Promise<HostedServer> {
  const server = await startHosted({ format: 'oci', ...options });
  onTestFinished(() => server.close());
  return server;
}

type Send = (path: string, options?: AskOptions) => Promise<Answer>;

/** Somebody's requests below `/v2/acme/packages`, or at an address that an answer named. */
function as(server: HostedServer, token: string | undefined): Send {
  return (path, options = {}) => {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const at = path.startsWith('/v2/') ? path : `/v2/acme/packages${path}`;
    return ask(`${server.root}${at}`, { ...options, headers: { ...authorization, ...options.headers } });
  };
}

const codeOf = (answer: Answer): [number, string] => {
  const { errors } = answer.json() as { errors: readonly { code: string }[] };
  return [answer.status, errors[0]?.code ?? ''];
};

/** What is answered to the head of a request of alice's whose body never comes. */
async function beforeBody(method: string, path: string, length: number): Promise<[number, string]> {
  const authorization = `Bearer ${await shared.token('alice')}`;
  const outgoing = httpRequest(`${shared.root}${path}`, {
    method,
    headers: { authorization, 'content-length': length },
  });
  outgoing.flushHeaders();
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  outgoing.destroy();
  const { errors } = JSON.parse(Buffer.concat(pieces).toString()) as { errors: readonly { code: string }[] };
  return [incoming.statusCode ?? 0, errors[0]?.code ?? ''];
}

async function begin(send: Send, name = 'app', query = ''): Promise<string> {
  const answer = await send(`/${name}/blobs/uploads/${query}`, { method: 'POST' });
  expect([answer.status, answer.text()]).toEqual([202, '']);
  return String(answer.headers.location);
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

async function blob(send: Send, name: string, content: Buffer, mediaType = layerType): Promise<Descriptor> {
  const own = digestOf(content);
  const answer = await send(`/${name}/blobs/uploads/?digest=${own}`, { method: 'POST', body: content });
  expect([answer.status, answer.text()]).toEqual([201, '']);
  return { mediaType, digest: own, size: content.length };
}

function putManifest(send: Send, name: string, reference: string, layers: readonly Descriptor[], config?: Descriptor) {
  const json = { schemaVersion: 2, mediaType: manifestType, config, layers };
  return send(`/${name}/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'content-type': manifestType },
    body: JSON.stringify(json),
  });
}

async function image(send: Send, name: string, tag: string, mark = 'layer'): Promise<string> {
  const config = await blob(send, name, Buffer.from('{}'), 'application/vnd.oci.image.config.v1+json');
  const layer = await blob(send, name, Buffer.from(mark));
  const answer = await putManifest(send, name, tag, [layer], config);
  expect([answer.status, answer.text()]).toEqual([201, '']);
  return String(answer.headers['docker-content-digest']);
}

/** Has what several tests need; each has names of its own. */
let shared: HostedServer;
let alice: Send;

beforeAll(async () => {
  const sources = [{ hosted: true }];
  shared = await startHosted({
    format: 'oci',
    repositories: {
      more: { format: 'oci', sources },
      small: { format: 'oci', sources, maxArtifactSize: '1000B' },
      tight: { format: 'oci', sources: [{ hosted: true, maxSize: '4000B' }] },
      fixed: { format: 'oci', sources, options: { immutableTags: ['v*'] } },
    },
    more: { hosts: { default: 'acme/packages' }, webhooks: { hosts: ['127.0.0.1'] } },
  });
  alice = as(shared, await shared.token('alice'));
});

afterAll(() => shared.close());

describe('a session', () => {
  it('goes on after a restart', async () => {
    const server = await started();
    const token = await server.token('alice');
    const location = await begin(as(server, token));
    await as(server, token)(location, { method: 'PATCH', body: bytes.subarray(0, 3000) });
    await server.stop();
    const again = await started({ folder: server.folder });
    const send = as(again, token);
    expect((await send(location)).headers.range).toBe('0-2999');
    const patched = await send(location, {
      method: 'PATCH',
      headers: { 'content-range': '3000-4999' },
      body: bytes.subarray(3000),
    });
    expect([patched.status, patched.headers.range]).toEqual([202, '0-4999']);
    expect((await send(`${location}?digest=${digest}`, { method: 'PUT' })).status).toBe(201);
    expect((await send(`/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
  });

  it('is over after a day', async () => {
    let aheadMs = 0;
    const server = await started({ now: () => Date.now() + aheadMs });
    const send = as(server, await server.token('alice'));
    const location = await begin(send);
    aheadMs = sessionMs + 1000;
    expect(codeOf(await send(location))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
  });

  it("is nobody else's, and of no other image or repository", async () => {
    const adam = as(shared, await shared.token('adam'));
    const location = await begin(alice);
    for (const [send, path] of [
      [adam, location],
      [alice, location.replace('/app/', '/other/')],
      [alice, location.replace('/packages/', '/more/')],
    ] as const) {
      expect(codeOf(await send(path))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
      expect(codeOf(await send(path, { method: 'PATCH', body: 'x' }))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
      expect(codeOf(await send(`${path}?digest=${digest}`, { method: 'PUT' }))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
      expect(codeOf(await send(path, { method: 'DELETE' }))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    }
    // Another token of the same person goes on with it.
    expect((await as(shared, await shared.token('alice'))(location)).status).toBe(204);
  });

  it('keeps what came before the connection broke', async () => {
    const token = await shared.token('alice');
    const send = as(shared, token);
    const location = await begin(send);
    const outgoing = httpRequest(`${shared.root}${location}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${token}`, 'content-length': '5000' },
    });
    outgoing.on('error', () => {});
    outgoing.write(bytes.subarray(0, 2000));
    await eventually('2000 bytes arrived', async () => (await send(location)).headers.range === '0-1999');
    expect(codeOf(await send(location, { method: 'PATCH', body: 'x' }))).toEqual([409, 'BLOB_UPLOAD_INVALID']);
    outgoing.destroy();
    const rest = await eventually('it can be gone on with', async () => {
      const answer = await send(`${location}?digest=${digest}`, {
        method: 'PUT',
        headers: { 'content-range': '2000-4999' },
        body: bytes.subarray(2000),
      });
      return answer.status === 409 ? undefined : answer;
    });
    expect(rest.status).toBe(201);
    expect((await send(`/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
  });

  it('of a file that is too long ends, before it is read if it says so', async () => {
    const send = alice;
    const start = await send('/v2/acme/small/app/blobs/uploads/', { method: 'POST' });
    const location = String(start.headers.location);
    expect(codeOf(await send(location, { method: 'PATCH', body: bytes }))).toEqual([413, 'SIZE_INVALID']);
    const whole = await send(`/v2/acme/small/app/blobs/uploads/?digest=${digest}`, {
      method: 'POST',
      headers: { 'transfer-encoding': 'chunked' },
      body: bytes,
    });
    expect(codeOf(whole)).toEqual([413, 'SIZE_INVALID']);
  });
});

describe('who may not push', () => {
  beforeAll(() => image(alice, 'refused', '1'));

  it.each([
    ['shows nothing', undefined, 401, 'UNAUTHORIZED'],
    ['shows a token that is none', wrongToken, 401, 'UNAUTHORIZED'],
    ['shows one that has expired', 'expired', 401, 'UNAUTHORIZED'],
    ['belongs to another organisation', 'olga', 404, 'NAME_UNKNOWN'],
    ['is mentioned by no rule', 'nobody', 404, 'NAME_UNKNOWN'],
    ['may read only', 'rita', 403, 'DENIED'],
  ])('and %s is told so before anything is sent', async (_who, who, status, code) => {
    const token =
      who === undefined || who === wrongToken
        ? who
        : who === 'expired'
          ? await shared.expiredToken()
          : await shared.token(who);
    const send = as(shared, token);
    const location = await begin(alice, 'refused');
    const tries: readonly [string, AskOptions][] = [
      ['/refused/blobs/uploads/', { method: 'POST' }],
      [`/refused/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes }],
      [location, { method: 'PATCH', body: bytes }],
      [`${location}?digest=${digest}`, { method: 'PUT', body: bytes }],
      ['/refused/manifests/2', { method: 'PUT', body: '{}', headers: { 'content-type': manifestType } }],
      ['/refused/manifests/1', { method: 'DELETE' }],
      [`/refused/blobs/${digest}`, { method: 'DELETE' }],
    ];
    for (const [path, options] of tries) {
      const answer = await send(path, options);
      expect(answer.status).toBe(status);
      if (status !== 404) expect(codeOf(answer)).toEqual([status, code]);
      const challenge = answer.headers['www-authenticate'];
      if (status === 401) expect(challenge).toMatch(/^Bearer realm="http:\/\/localhost:\d+\/token",service="/);
      else expect(challenge).toBeUndefined();
    }
    expect((await alice(location)).headers.range).toBe('0-0');
  });

  it('may log in all the same, if it is anybody', async () => {
    const ping = async (token: string | undefined, path = '/v2/'): Promise<number> =>
      (await as(shared, token)(path)).status;
    for (const who of ['alice', 'rita', 'nobody', 'olga']) expect(await ping(await shared.token(who))).toBe(200);
    for (const token of [undefined, wrongToken, await shared.expiredToken()]) expect(await ping(token)).toBe(401);
    // An address that names a repository tells strangers nothing of it.
    expect(await ping(await shared.token('olga'), '/v2/acme/packages/')).toBe(404);
    expect(await ping(await shared.token('alice'), '/v2/acme/packages/')).toBe(200);
  });

  it('all names may push some', async () => {
    const send = as(shared, await shared.token('alice', { may: ['read', 'publish'], names: ['team/*'] }));
    await image(send, 'team/app', '1');
    expect((await send('/refused/blobs/uploads/', { method: 'POST' })).status).toBe(404);
    expect((await send('/team/app/manifests/1', { method: 'DELETE' })).status).toBe(403);
  });
});

describe('a mount', () => {
  const more = { more: { format: 'oci', sources: [{ hosted: true }] } };

  it('takes a blob from another repository, if its reader may', async () => {
    const server = await started({
      repositories: more,
      access: [
        { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
        { who: ['team:readers'], may: ['read', 'publish'], repositories: ['packages'] },
      ],
    });
    const alice = as(server, await server.token('alice'));
    const rita = as(server, await server.token('rita'));
    const pushed = await alice(`/v2/acme/more/base/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes });
    expect(pushed.status).toBe(201);
    const path = `/app/blobs/uploads/?mount=${digest}&from=acme/more/base`;
    const refused = await rita(path, { method: 'POST' });
    expect(refused.status).toBe(202);
    expect((await rita(`/app/blobs/${digest}`, { method: 'HEAD' })).status).toBe(404);
    const mounted = await alice(path, { method: 'POST' });
    expect([mounted.status, mounted.headers.location]).toEqual([201, `/v2/acme/packages/app/blobs/${digest}`]);
    expect((await rita(`/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
    // It stays when it goes where it came from.
    await alice(`/v2/acme/more/base/blobs/${digest}`, { method: 'DELETE' });
    expect((await rita(`/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
  });

  it('takes nothing from a name that its reader may not see', async () => {
    const own = Buffer.from('of a secret image');
    const secret = digestOf(own);
    await blob(alice, 'secret/image', own);
    const names = { may: ['read', 'publish'] as const, names: ['mine/*'] };
    const limited = as(shared, await shared.token('alice', names));
    for (const query of ['', '&from=secret/image', '&from=acme/packages/secret/image']) {
      await begin(limited, 'mine/app', `?mount=${secret}${query}`);
    }
  });

  it('takes nothing from another organisation', async () => {
    const own = Buffer.from('of another organisation');
    const secret = digestOf(own);
    const olga = as(shared, await shared.token('olga'));
    const pushed = await olga(`/v2/other/packages/base/blobs/uploads/?digest=${secret}`, {
      method: 'POST',
      body: own,
    });
    expect(pushed.status).toBe(201);
    for (const query of [`?mount=${secret}&from=other/packages/base`, `?mount=${secret}`])
      await begin(alice, 'app', query);
  });
});

describe('beside an upstream', () => {
  async function merged(source: Readonly<Record<string, unknown>> = {}) {
    const registry = await startFakeOci();
    onTestFinished(() => registry.close());
    const server = await started({
      upstreams: { hub: { url: registry.url, hosts: registry.hosts, format: 'oci' } },
      sources: [{ hosted: true, ...source }, { remote: 'hub' }],
    });
    return { registry, server, send: as(server, await server.token('alice')) };
  }

  it('an image is whole, although its layer is to be had elsewhere', async () => {
    const { registry, server, send } = await merged();
    const layer = registry.blob('library/app', bytes);
    registry.image('library/app', { tags: ['theirs'] });
    const path = `/library/app/blobs/${layer.digest}`;
    expect((await send(path)).body.equals(bytes)).toBe(true);
    // Who may not push is told of it; who may has to send it.
    expect((await as(server, await server.token('rita'))(path, { method: 'HEAD' })).status).toBe(200);
    expect((await send(path, { method: 'HEAD' })).status).toBe(404);
    const parts = [{ ...layer, mediaType: layerType }];
    const config = await blob(send, 'library/app', Buffer.from('{}'), 'application/vnd.oci.image.config.v1+json');
    expect(codeOf(await putManifest(send, 'library/app', 'ours', parts, config))).toEqual([
      400,
      'MANIFEST_BLOB_UNKNOWN',
    ]);
    await blob(send, 'library/app', bytes);
    expect((await putManifest(send, 'library/app', 'ours', parts, config)).status).toBe(201);
    await registry.stop();
    expect((await send(path)).body.equals(bytes)).toBe(true);
  });

  it('a name that was pushed is answered from here alone', async () => {
    const { registry, send } = await merged();
    const theirs = registry.image('library/app', { tags: ['1', 'theirs'] });
    expect((await send('/library/app/manifests/1')).headers['docker-content-digest']).toBe(theirs.digest);
    const ours = await image(send, 'library/app', '1');
    registry.forget();
    expect((await send('/library/app/manifests/1')).headers['docker-content-digest']).toBe(ours);
    expect((await send('/library/app/manifests/theirs')).status).toBe(404);
    expect((await send(`/library/app/manifests/${theirs.digest}`)).status).toBe(404);
    expect((await send('/library/app/tags/list')).json()).toMatchObject({ tags: ['1'] });
    expect((await send(`/library/app/referrers/${ours}`)).json()).toMatchObject({ manifests: [] });
    expect((await send('/_catalog')).json()).toEqual({ repositories: ['acme/packages/library/app'] });
    expect(registry.log()).toEqual([]);
    // Others are had as before.
    const other = registry.image('library/other', { tags: ['1'] });
    expect((await send('/library/other/manifests/1')).headers['docker-content-digest']).toBe(other.digest);
  });

  it('a name that is claimed is never asked for', async () => {
    const { registry, send } = await merged({ claims: ['apps/*'] });
    registry.image('apps/web', { tags: ['1'] });
    for (const path of ['manifests/1', 'tags/list', `blobs/${digest}`, `referrers/${digest}`]) {
      for (const method of ['GET', 'HEAD']) await send(`/apps/web/${path}`, { method });
    }
    await image(send, 'apps/web', '2');
    expect((await send('/apps/web/tags/list')).json()).toMatchObject({ tags: ['2'] });
    expect(registry.log()).toEqual([]);
  });

  it('of which the list is merged, both are told', async () => {
    const { registry, send } = await merged({ merge: ['library/*'] });
    const theirs = registry.image('library/app', { tags: ['theirs'] });
    const ours = await image(send, 'library/app', 'ours');
    expect((await send('/library/app/tags/list')).json()).toMatchObject({ tags: ['ours', 'theirs'] });
    expect((await send('/library/app/manifests/ours')).headers['docker-content-digest']).toBe(ours);
    expect((await send('/library/app/manifests/theirs')).headers['docker-content-digest']).toBe(theirs.digest);
  });
});

describe('a repository', () => {
  it('lists to each reader the images that they may read', async () => {
    const server = await started({
      access: [
        { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
        { who: ['team:readers'], may: ['read'], names: ['open/*'] },
      ],
    });
    const alice = as(server, await server.token('alice'));
    const rita = as(server, await server.token('rita'));
    for (const name of ['open/b', 'secret/a', 'open/a']) await image(alice, name, '1');
    const listed = async (send: Send): Promise<unknown> => (await send('/_catalog')).json();
    const full = (...names: readonly string[]) => ({ repositories: names.map((name) => `acme/packages/${name}`) });
    expect(await listed(alice)).toEqual(full('open/a', 'open/b', 'secret/a'));
    expect(await listed(rita)).toEqual(full('open/a', 'open/b'));
    expect((await rita('/secret/a/tags/list')).status).toBe(404);
    expect((await as(server, await server.token('nobody'))('/_catalog')).status).toBe(404);
  });

  it('keeps tags that were said to stay', async () => {
    const send: Send = (path, options) => alice(`/v2/acme/fixed${path}`, options);
    const first = await image(send, 'app', 'v1', 'first');
    const config = await blob(send, 'app', Buffer.from('{}'), 'application/vnd.oci.image.config.v1+json');
    const layer = await blob(send, 'app', Buffer.from('second'));
    expect(codeOf(await putManifest(send, 'app', 'v1', [layer], config))).toEqual([409, 'DENIED']);
    expect((await putManifest(send, 'app', 'latest', [layer], config)).status).toBe(201);
    expect((await send('/app/manifests/v1')).headers['docker-content-digest']).toBe(first);
  });

  it('takes no more than there is room for, and says so before it reads', async () => {
    const at = '/v2/acme/tight/app';
    const begun = async (): Promise<string> =>
      String((await alice(`${at}/blobs/uploads/`, { method: 'POST' })).headers.location);
    for (const [method, path] of [
      ['POST', `${at}/blobs/uploads/?digest=${digest}`],
      ['PATCH', await begun()],
      ['PUT', `${await begun()}?digest=${digest}`],
    ] as const) {
      expect(await beforeBody(method, path, 5000)).toEqual([413, 'DENIED']);
    }
    const location = await begun();
    expect((await alice(location, { method: 'PATCH', body: bytes.subarray(0, 3000) })).status).toBe(202);
    const headers = { 'transfer-encoding': 'chunked' };
    const rest = await alice(`${location}?digest=${digest}`, { method: 'PUT', headers, body: bytes.subarray(3000) });
    expect(codeOf(rest)).toEqual([413, 'DENIED']);
    expect((await alice(location)).status).toBe(404);
  });

  it('hands on an image as a whole: what an index lists, what its tag means, what is about it', async () => {
    const api = async (method: string, path: string, body?: unknown): Promise<Answer> =>
      ask(`${shared.root}/api/v1/orgs/acme/repositories/packages/packages/ready%2Fapp/versions/${path}`, {
        method,
        headers: { authorization: `Bearer ${await shared.token('adam')}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    const childDigest = await image(alice, 'ready/app', 'child', 'layer of the child');
    await image(alice, 'ready/app', 'other', 'layer of another');
    const child = {
      mediaType: manifestType,
      digest: childDigest,
      size: (await alice(`/ready/app/manifests/${childDigest}`)).body.length,
    };
    const config = await blob(alice, 'ready/app', Buffer.from('{}'), 'application/vnd.oci.empty.v1+json');
    const put = async (reference: string, mediaType: string, more: object): Promise<string> => {
      const answer = await alice(`/ready/app/manifests/${reference}`, {
        method: 'PUT',
        headers: { 'content-type': mediaType },
        body: JSON.stringify({ schemaVersion: 2, mediaType, ...more }),
      });
      expect([answer.status, answer.text()]).toEqual([201, '']);
      return String(answer.headers['docker-content-digest']);
    };
    const indexDigest = await put('all', 'application/vnd.oci.image.index.v1+json', { manifests: [child] });
    await put('signature', manifestType, { config, layers: [], subject: child });

    const promoted = await api('POST', 'all/promote', { to: 'more' });
    expect([promoted.status, promoted.json()]).toEqual([200, { changed: true, message: expect.any(String) }]);
    const there: Send = (path, options) => alice(`/v2/acme/more/ready/app${path}`, options);
    expect((await there('/manifests/all')).headers['docker-content-digest']).toBe(indexDigest);
    const got = await there(`/manifests/${childDigest}`);
    const { layers } = got.json() as { layers: readonly Descriptor[] };
    expect((await there(`/blobs/${layers[0]?.digest}`)).text()).toBe('layer of the child');
    expect((await there(`/referrers/${childDigest}`)).json()).toMatchObject({
      manifests: [{ mediaType: manifestType }],
    });
    expect((await there('/tags/list')).json()).toMatchObject({ tags: ['all'] });

    expect((await api('DELETE', encodeURIComponent(childDigest))).status).toBe(405);
    expect((await api('DELETE', encodeURIComponent(indexDigest))).status).toBe(204);
    expect((await alice('/ready/app/manifests/all')).status).toBe(404);
    expect((await alice('/ready/app/manifests/child')).status).toBe(200);
    expect((await there('/manifests/all')).status).toBe(200);
  });

  it('keeps such a tag also if it was handed on', async () => {
    const promote = async (): Promise<number> => {
      const path = '/api/v1/orgs/acme/repositories/packages/packages/kept/versions/v1/promote';
      const headers = { authorization: `Bearer ${await shared.token('adam')}`, 'content-type': 'application/json' };
      return (await ask(`${shared.root}${path}`, { method: 'POST', headers, body: '{"to":"fixed"}' })).status;
    };
    const first = await image(alice, 'kept', 'v1', 'first');
    expect(await promote()).toBe(200);
    await image(alice, 'kept', 'v1', 'second');
    expect(await promote()).toBe(409);
    expect((await alice('/v2/acme/fixed/kept/manifests/v1')).headers['docker-content-digest']).toBe(first);
  });

  it('tells others of images, not of each layer on its way', async () => {
    const told: { readonly package: string; readonly versions: readonly string[] }[] = [];
    const listener = createServer((req, res) => {
      const pieces: Buffer[] = [];
      req.on('data', (piece: Buffer) => pieces.push(piece));
      req.on('end', () => {
        told.push(JSON.parse(Buffer.concat(pieces).toString()));
        res.writeHead(204).end();
      });
    });
    await new Promise<void>((done) => listener.listen(0, '127.0.0.1', done));
    onTestFinished(() => void listener.close());
    const { port } = listener.address() as AddressInfo;
    const made = await ask(`${shared.root}/api/v1/orgs/acme/webhooks`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await shared.token('adam')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ url: `http://127.0.0.1:${port}/`, secret: 'a secret of sufficient length' }),
    });
    expect([made.status, made.text()]).toEqual([201, expect.any(String)]);
    const pushed = await image(alice, 'app/told', '1');
    await alice('/app/told/manifests/1', { method: 'DELETE' });
    await eventually('both are told', () => told.length === 2);
    expect(told.map(({ package: name, versions }) => [name, versions])).toEqual([
      ['app/told', [pushed, '1']],
      ['app/told', ['1']],
    ]);
  });

  it('without a place for them takes no images', async () => {
    const registry = await startFakeOci();
    onTestFinished(() => registry.close());
    const server = await started({
      upstreams: { hub: { url: registry.url, hosts: registry.hosts, format: 'oci' } },
      sources: [{ remote: 'hub' }],
    });
    for (const token of [undefined, await server.token('alice')]) {
      const answer = await as(server, token)('/app/blobs/uploads/', { method: 'POST' });
      if (token === undefined) expect(answer.status).toBeOneOf([401, 405]);
      else expect(codeOf(answer)).toEqual([405, 'UNSUPPORTED']);
    }
    expect(registry.log()).toEqual([]);
  });

  it('has everything again after a restart', async () => {
    const server = await started();
    const token = await server.token('alice');
    const pushed = await image(as(server, token), 'app', '1');
    const before = await as(server, token)('/app/manifests/1');
    await server.stop();
    const send = as(await started({ folder: server.folder }), token);
    const after = await send('/app/manifests/1');
    expect(after.body.equals(before.body)).toBe(true);
    expect(after.headers['docker-content-digest']).toBe(pushed);
    expect((await send('/app/tags/list')).json()).toMatchObject({ tags: ['1'] });
    expect((await send('/_catalog')).json()).toEqual({ repositories: ['acme/packages/app'] });
  });

  it('is pushed to at every address that it has', async () => {
    const headers = {
      authorization: `Basic ${Buffer.from(`alice:${await shared.token('alice')}`).toString('base64')}`,
    };
    for (const at of ['/acme/packages/v2', '/v2/acme/packages', '/v2']) {
      const answer = await ask(`${shared.root}${at}/team/app/blobs/uploads/`, { method: 'POST', headers });
      expect([answer.status, answer.headers.location]).toEqual([
        202,
        expect.stringMatching(new RegExp(`^${at}/team/app/blobs/uploads/[0-9a-f-]{36}$`)),
      ]);
      const url = `${shared.root}${answer.headers.location}?digest=${digest}`;
      const done = await ask(url, { method: 'PUT', headers, body: bytes });
      expect([done.status, done.headers.location]).toEqual([201, `${at}/team/app/blobs/${digest}`]);
    }
  });
});
