import { createHmac } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { operations } from '../../src/http/api/operations.ts';
import type { Operation } from '../../src/http/api/route.ts';
import { startFakeUpstream } from '../support/fake-upstream.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Answer, ask } from '../support/http.ts';
import { eventually } from '../support/wait.ts';

interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Takes webhooks; refuses the first few. */
async function receiver(refusals: number) {
  const received: Received[] = [];
  let left = refusals;
  const server: Server = createServer((req, res) => {
    const pieces: Buffer[] = [];
    req.on('data', (piece: Buffer) => pieces.push(piece));
    req.on('end', () => {
      received.push({ headers: req.headers as Record<string, string>, body: Buffer.concat(pieces).toString() });
      res.statusCode = left-- > 0 ? 503 : 204;
      res.end();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return { received, url: `http://127.0.0.1:${port}/hook`, close: () => server.close() };
}

describe('the administration API', () => {
  let server: HostedServer;
  let alice: string;
  let rita: string;
  let adam: string;
  let olga: string;
  let now = Date.now();

  async function call(token: string, method: string, path: string, body?: unknown): Promise<Answer> {
    return ask(`${server.root}/api/v1${path}`, {
      method,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** The answer has to be what the document says of it. */
  async function good<T>(id: string, token: string, path: string, body?: unknown): Promise<T> {
    const operation = operations.find((one) => one.id === id) as Operation;
    const answer = await call(token, operation.method.toUpperCase(), path, body);
    expect([id, answer.status, answer.status === operation.status ? '' : answer.text()]).toEqual([
      id,
      operation.status,
      '',
    ]);
    if (!operation.answer) return undefined as T;
    expect(operation.answer.safeParse(answer.json()).error).toBeUndefined();
    return answer.json() as T;
  }

  const publish = (token: string, path: string, bytes: string, repository = 'packages'): Promise<Answer> =>
    ask(`${server.root}/acme/${repository}/${path}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${token}` },
      body: bytes,
    });

  beforeAll(async () => {
    server = await startHosted({
      format: 'generic',
      now: () => now,
      repositories: {
        release: { format: 'generic', sources: [{ hosted: true }] },
        packed: { format: 'npm', sources: [{ hosted: true }] },
        all: { format: 'generic', sources: [{ repository: 'packages' }, { repository: 'release' }] },
      },
      more: { webhooks: { hosts: ['127.0.0.1'] } },
    });
    [alice, rita, adam, olga] = await Promise.all([
      server.token('alice'),
      server.token('rita'),
      server.token('adam'),
      server.token('olga'),
    ]);
  });
  afterAll(() => server?.close());

  it('describes itself, with every operation and schemas that stand by themselves', async () => {
    const answer = await ask(`${server.root}/api/v1/openapi.json`);
    const document = answer.json() as {
      openapi: string;
      paths: Record<string, Record<string, { operationId: string }>>;
    };
    expect(document.openapi).toBe('3.1.0');
    const told = Object.values(document.paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    );
    expect(told.sort()).toEqual(operations.map(({ id }) => id).sort());
    expect(answer.text()).not.toContain('$ref":"#/definitions');
    for (const [path, methods] of Object.entries(document.paths)) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const one of Object.values(methods) as unknown as { parameters: { in: string; name: string }[] }[]) {
        expect(one.parameters.filter(({ in: place }) => place === 'path').map(({ name }) => name)).toEqual(named);
      }
    }
  });

  it('asks for credentials, and says that there is nothing to those of another organisation', async () => {
    for (const { path, method, needs } of operations) {
      if (needs === 'nothing') continue;
      const real = path.replaceAll('{org}', 'acme').replaceAll(/\{\w+\}/g, 'x');
      const body = method === 'get' || method === 'delete' ? undefined : {};
      expect([path, (await call('', method.toUpperCase(), real, body)).status]).toEqual([path, 401]);
      expect([path, (await call(olga, method.toUpperCase(), real, body)).status]).toEqual([path, 404]);
      const forReader = (await call(rita, method.toUpperCase(), real, body)).status;
      if (needs === 'admin') expect([path, forReader]).toEqual([path, 403]);
    }
  });

  it('lists packages to those who may read them, with versions and digests', async () => {
    await publish(alice, 'tools/a.txt', 'one');
    await publish(alice, 'tools/b.txt', 'two');
    const path = '/orgs/acme/repositories/packages/packages';
    const { items, next } = await good<{ items: { name: string }[]; next?: string }>(
      'packages.list',
      rita,
      `${path}?limit=1`,
    );
    expect([items.map(({ name }) => name), next]).toEqual([['tools/a.txt'], 'tools/a.txt']);
    const rest = await good<{ items: { name: string }[] }>(
      'packages.list',
      rita,
      `${path}?after=${encodeURIComponent('tools/a.txt')}`,
    );
    expect(rest.items.map(({ name }) => name)).toEqual(['tools/b.txt']);
    const one = await good<{ published: { files: { digests: string[] }[] }[] }>(
      'packages.get',
      rita,
      `${path}/${encodeURIComponent('tools/a.txt')}`,
    );
    expect(one.published[0]?.files[0]?.digests[0]).toBe(
      'sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed',
    );
    expect((await call(olga, 'GET', path)).status).toBe(404);
    expect((await call('', 'GET', path)).status).toBe(404);
  });

  it('gives out tokens, lists them without the token, and ends them at once', async () => {
    const made = await good<{ token: string; facts: { id: string } }>('tokens.create', adam, '/orgs/acme/tokens', {
      user: 'alice',
      may: ['read'],
      expiresInDays: 1,
    });
    expect(made.token).toMatch(/^lrd_/);
    expect((await publish(made.token, 'tools/c.txt', 'three')).status).toBe(403);
    const listed = await call(adam, 'GET', '/orgs/acme/tokens');
    expect(listed.text()).toContain(made.facts.id);
    expect(listed.text()).not.toContain(made.token);
    expect(
      (await ask(`${server.url}/tools/a.txt`, { headers: { authorization: `Bearer ${made.token}` } })).status,
    ).toBe(200);
    expect((await call(rita, 'DELETE', `/orgs/acme/tokens/${made.facts.id}`)).status).toBe(404);
    await good('tokens.revoke', adam, `/orgs/acme/tokens/${made.facts.id}`);
    expect(
      (await ask(`${server.url}/tools/a.txt`, { headers: { authorization: `Bearer ${made.token}` } })).status,
    ).toBe(401);
    expect((await call(alice, 'POST', '/orgs/acme/tokens', { user: 'adam' })).status).toBe(403);
  });

  it('creates users, teams and rules, which count at once and until they are taken back', async () => {
    await good('users.create', adam, '/orgs/acme/users', { name: 'nora' });
    const nora = await server.token('nora');
    const read = async (): Promise<number> =>
      (await ask(`${server.url}/tools/a.txt`, { headers: { authorization: `Bearer ${nora}` } })).status;
    expect(await read()).toBe(404);
    await good('teams.add', adam, '/orgs/acme/teams/readers/members/nora');
    expect(await read()).toBe(200);
    await good('teams.remove', adam, '/orgs/acme/teams/readers/members/nora');
    expect(await read()).toBe(404);
    const rule = await good<{ id: string }>('rules.create', adam, '/orgs/acme/rules', {
      who: ['user:nora'],
      may: ['read'],
      names: ['tools/a*'],
    });
    expect(await read()).toBe(200);
    await good('rules.delete', adam, `/orgs/acme/rules/${rule.id}`);
    expect(await read()).toBe(404);
    await good('users.delete', adam, '/orgs/acme/users/nora');
    expect(await read()).toBe(401);
  });

  it('lets a package belong to a project, which then decides who sees it', async () => {
    const readAs = async (token: string): Promise<number> =>
      (await ask(`${server.url}/tools/b.txt`, { headers: token === '' ? {} : { authorization: `Bearer ${token}` } }))
        .status;
    expect(await readAs(rita)).toBe(200);
    await good('projects.set', adam, '/orgs/acme/projects/secret', {
      visibility: 'private',
      packages: ['packages:tools/b.txt'],
      members: { read: ['user:alice'] },
    });
    expect([await readAs(rita), await readAs(alice)]).toEqual([404, 200]);
    const list = await call(rita, 'GET', '/orgs/acme/repositories/packages/packages');
    expect(list.text()).not.toContain('tools/b.txt');
    await good('projects.set', adam, '/orgs/acme/projects/secret', {
      visibility: 'public',
      packages: ['packages:tools/b.txt'],
    });
    expect([await readAs(rita), await readAs('')]).toEqual([200, 200]);
    // Who may read it can change again, which no shared cache would hear of.
    const open = await ask(`${server.url}/tools/b.txt`);
    expect([open.headers['cache-control'], open.headers.vary]).toEqual(['public, no-cache', 'authorization']);
    await good('projects.delete', adam, '/orgs/acme/projects/secret');
    expect([await readAs(rita), await readAs('')]).toEqual([200, 401]);
  });

  it('promotes a version without its bytes being sent again, and only for who may', async () => {
    const path = `/orgs/acme/repositories/packages/packages/${encodeURIComponent('tools/a.txt')}`;
    const { published } = (await call(alice, 'GET', path)).json() as { published: { version: string }[] };
    const promote = `${path}/versions/${published[0]?.version}/promote`;
    expect((await call(rita, 'POST', promote, { to: 'release' })).status).toBe(403);
    expect((await call(alice, 'POST', promote, { to: 'packed' })).status).toBe(400);
    const done = await good<{ changed: boolean }>('versions.promote', alice, promote, { to: 'release' });
    expect(done.changed).toBe(true);
    expect((await good<{ changed: boolean }>('versions.promote', alice, promote, { to: 'acme/release' })).changed).toBe(
      false,
    );
    const got = await ask(`${server.root}/acme/release/tools/a.txt`, { headers: { authorization: `Bearer ${rita}` } });
    expect([got.status, got.text()]).toEqual([200, 'one']);
  });

  it('explains who is asked and who is not', async () => {
    const told = await good<{ may: string[]; sources: { source: string; asked: boolean; why: string }[] }>(
      'explain.name',
      rita,
      `/orgs/acme/repositories/all/explain?name=${encodeURIComponent('tools/b.txt')}`,
    );
    expect(told.may).toEqual(['read']);
    expect(told.sources.map(({ source, asked }) => [source, asked])).toEqual([
      ['acme/packages', true],
      ['acme/release', false],
    ]);
    expect(told.sources[1]?.why).toContain('published in acme/packages');
  });

  it('tells others what happened: signed, again until it is taken, and no more when it is over', async () => {
    const hook = await receiver(1);
    try {
      const secret = 'a secret of sufficient length';
      const made = await good<{ id: string }>('webhooks.create', adam, '/orgs/acme/webhooks', {
        url: hook.url,
        secret,
        events: ['publish', 'delete'],
      });
      await publish(alice, 'tools/d.txt', 'four');
      await eventually('the first delivery', () => hook.received.length === 1);
      const deliveries = async () =>
        (
          await good<{ items: { id: string; state: string; attempts: number }[] }>(
            'webhooks.deliveries',
            adam,
            `/orgs/acme/webhooks/${made.id}/deliveries`,
          )
        ).items;
      await eventually('an attempt', async () => (await deliveries())[0]?.attempts === 1);
      expect((await deliveries()).map(({ state }) => state)).toEqual(['waiting']);
      now += 60_000;
      await publish(alice, 'tools/e.txt', 'five');
      await eventually('all delivered', async () => (await deliveries()).every(({ state }) => state === 'delivered'));
      const [first, ...others] = hook.received;
      expect(others.map(({ headers }) => headers['webhook-id'])).toContain(first?.headers['webhook-id']);
      for (const { headers, body } of hook.received) {
        const signed = createHmac('sha256', secret)
          .update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`)
          .digest('base64');
        expect(headers['webhook-signature']).toBe(`v1,${signed}`);
      }
      expect(JSON.parse(first?.body ?? '')).toMatchObject({
        event: 'publish',
        repository: 'packages',
        package: 'tools/d.txt',
        by: 'user:acme/alice',
      });
      const id = (await deliveries())[0]?.id ?? '';
      const before = hook.received.length;
      await good('webhooks.redeliver', adam, `/orgs/acme/webhooks/${made.id}/deliveries/${id}`);
      expect(hook.received.length).toBe(before + 1);
      await good('webhooks.delete', adam, `/orgs/acme/webhooks/${made.id}`);
      const after = hook.received.length;
      await publish(alice, 'tools/f.txt', 'six');
      expect(hook.received.length).toBe(after);
    } finally {
      hook.close();
    }
  });

  it('sends webhooks to no private address that the operator did not name', async () => {
    const answer = await call(adam, 'POST', '/orgs/acme/webhooks', {
      url: 'http://169.254.169.254/latest',
      secret: 'a secret of sufficient length',
    });
    expect([answer.status, answer.text()]).toEqual([400, expect.stringContaining('webhooks.hosts')]);
  });

  it('takes versions away for good, and yanks them without', async () => {
    await publish(alice, 'tools/g.txt', 'seven');
    const path = `/orgs/acme/repositories/packages/packages/${encodeURIComponent('tools/g.txt')}`;
    const { published } = (await call(alice, 'GET', path)).json() as { published: { version: string }[] };
    const version = `${path}/versions/${published[0]?.version}`;
    expect((await call(rita, 'PATCH', version, { yanked: true })).status).toBe(403);
    await good('versions.yank', alice, version, { yanked: true });
    expect((await call(rita, 'DELETE', version)).status).toBe(403);
    await good('versions.delete', alice, version);
    expect((await ask(`${server.url}/tools/g.txt`, { headers: { authorization: `Bearer ${alice}` } })).status).toBe(
      404,
    );
  });

  it('keeps a log of all of it that nobody can change', async () => {
    const { items } = await good<{ items: { action: string; by: string; at: string; journal: string }[] }>(
      'events.list',
      adam,
      '/orgs/acme/events?limit=1000',
    );
    expect(new Set(items.map(({ action }) => action))).toEqual(
      new Set([
        'publish',
        'promote',
        'yank',
        'delete',
        'token',
        'token-gone',
        'user',
        'user-gone',
        'member',
        'member-gone',
        'rule',
        'rule-gone',
        'project',
        'project-gone',
        'webhook',
        'webhook-gone',
      ]),
    );
    expect(items.map(({ at }) => at)).toEqual(
      items
        .map(({ at }) => at)
        .sort()
        .reverse(),
    );
    expect(items.find(({ action }) => action === 'promote')?.by).toBe('user:acme/alice');
    const own = await good<{ items: { journal: string }[] }>(
      'events.list',
      adam,
      '/orgs/acme/events?repository=release',
    );
    expect(new Set(own.items.map(({ journal }) => journal))).toEqual(new Set(['acme/release']));
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      expect((await call(adam, method, '/orgs/acme/events', {})).status).toBe(404);
    }
  });

  it.each([
    ['no JSON', 'application/json', '{', 400],
    ['another type', 'text/plain', '{}', 415],
    ['an unknown key', 'application/json', '{"user":"alice","admin":true}', 400],
    ['a wrong right', 'application/json', '{"user":"alice","may":["everything"]}', 400],
  ])('refuses %s', async (_, type, body, status) => {
    const answer = await ask(`${server.root}/api/v1/orgs/acme/tokens`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adam}`, 'content-type': type },
      body,
    });
    expect(answer.status).toBe(status);
    expect(answer.json()).toMatchObject({ error: expect.any(String), code: expect.any(String) });
  });
});

describe('a name whose last version was deleted', () => {
  it('is asked for nowhere else, also after a restart', async () => {
    const upstream = await startFakeUpstream();
    upstream.at('/tools/secret.txt', { body: 'of somebody else' });
    const folder = await temporaryFolder();
    const start = (): Promise<HostedServer> =>
      startHosted({
        format: 'generic',
        folder: folder.path,
        upstreams: { inner: { url: upstream.url } },
        sources: [{ hosted: true }, { remote: 'inner' }],
      });
    let server = await start();
    onTestFinished(async () => {
      await server.close();
      await upstream.close();
      await folder.remove();
    });
    const headers = { authorization: `Bearer ${await server.token('alice')}` };
    const read = async (): Promise<number> => (await ask(`${server.url}/tools/secret.txt`, { headers })).status;
    await ask(`${server.url}/tools/secret.txt`, { method: 'PUT', headers, body: 'own' });
    expect((await ask(`${server.url}/tools/secret.txt`, { method: 'DELETE', headers })).status).toBeLessThan(300);
    expect(await read()).toBe(404);
    await server.stop();
    server = await start();
    expect(await read()).toBe(404);
    expect(upstream.requests).toEqual([]);
  });
});
