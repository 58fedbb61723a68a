/** Answers that are remembered for readers who show a token: who gets them, and until when. */
import { createServer, type Server } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Issuer, startIssuer } from '../support/issuer.ts';
import { eventually } from '../support/wait.ts';

let upstream: Server;
let server: HostedServer;
let issuer: Issuer;
let asked = 0;
let clock = Date.now();

beforeAll(async () => {
  upstream = createServer((request, response) => {
    asked++;
    const body = `bytes of ${request.url}`;
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': body.length }).end(body);
  });
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done));
  const { port } = upstream.address() as AddressInfo;
  issuer = await startIssuer();
  server = await startHosted({
    format: 'generic',
    now: () => clock,
    upstreams: { files: { url: `http://127.0.0.1:${port}` } },
    repositories: {
      mirror: { format: 'generic', options: { immutable: ['**'] }, sources: [{ remote: 'files' }] },
      open: { format: 'generic', options: { immutable: ['**'] }, sources: [{ remote: 'files' }] },
    },
    access: [
      { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
      { who: ['team:readers'], may: ['read'] },
      { who: ['everyone'], may: ['read'], repositories: ['open'] },
      { who: ['ci:ci:repo:acme/*'], may: ['read'], repositories: ['mirror'], claims: { ref: 'refs/heads/main' } },
    ],
    org: { users: { alice: {}, adam: {}, rita: {}, nobody: {}, bob: { password: 'bobs password' } } },
    more: { issuers: { ci: { url: issuer.url, audience: 'larder' } } },
  });
});
afterAll(async () => {
  await server.close();
  upstream.close();
  await issuer.close();
});

const bearer = (token: string): string => `Bearer ${token}`;
const basic = (token: string): string => `Basic ${Buffer.from(`any:${token}`).toString('base64')}`;

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** It was answered without being looked into. */
  readonly isHot: boolean;
}

/** On a connection of its own: what is not hot there leaves the front for good. */
async function get(path: string, authorization?: string, root = server.root): Promise<Got> {
  let begun = 0;
  const stop = subscribe('request.start', () => begun++);
  const { hostname, port, host } = new URL(root);
  const socket = net.connect(Number(port), hostname);
  const shown = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`;
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${shown}\r\n`);
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    const length = /content-length: (\d+)/i.exec(text)?.[1];
    const end = text.indexOf('\r\n\r\n');
    if (end !== -1 && length !== undefined && text.length >= end + 4 + Number(length)) break;
  }
  stop();
  const [head = '', ...body] = text.split('\r\n\r\n');
  const [line = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((one) => [one.slice(0, one.indexOf(':')).toLowerCase(), one.slice(one.indexOf(':') + 2)]),
  );
  return { status: Number(line.split(' ')[1]), headers, body: body.join('\r\n\r\n'), isHot: begun === 0 };
}

/** Until it is stored and remembered. */
async function warm(path: string, authorization: string | undefined, root = server.root): Promise<void> {
  await eventually(`${path} is remembered`, async () =>
    (await get(path, authorization, root)).isHot ? true : undefined,
  );
}

describe('an answer for somebody who is known', () => {
  it('is given again without being made again, to them and to others who may have it', async () => {
    const [alice, rita] = [bearer(await server.token('alice')), basic(await server.token('rita'))];
    await warm('/acme/mirror/a', alice);
    expect(await get('/acme/mirror/a', alice)).toMatchObject({ status: 200, body: 'bytes of /a', isHot: true });
    // Whoever comes for the first time is looked at first.
    expect(await get('/acme/mirror/a', rita)).toMatchObject({ status: 200, isHot: false });
    expect(await get('/acme/mirror/a', rita)).toMatchObject({ status: 200, body: 'bytes of /a', isHot: true });
    // And is known from then on, whatever they ask for.
    await warm('/acme/mirror/b', alice);
    expect(await get('/acme/mirror/b', rita)).toMatchObject({ body: 'bytes of /b', isHot: true });
  });

  it('says each time that it is for nobody else’s cache', async () => {
    const alice = bearer(await server.token('alice'));
    await warm('/acme/open/a', alice);
    const known = await get('/acme/open/a', alice);
    expect(known).toMatchObject({ isHot: true, headers: { vary: expect.stringContaining('authorization') } });
    expect(known.headers['cache-control']).toMatch(/^private, /);
    const stranger = await get('/acme/open/a');
    expect(stranger).toMatchObject({ status: 200, isHot: false });
    expect(stranger.headers['cache-control']).not.toContain('private');
    expect((await get('/acme/open/a')).headers['cache-control']).not.toContain('private');
    expect(await get('/acme/open/a')).toMatchObject({ isHot: true });
    expect((await get('/acme/open/a', alice)).headers['cache-control']).toMatch(/^private, /);
  });

  it('is given to nobody who may not have it, whoever had it before', async () => {
    const alice = bearer(await server.token('alice'));
    const limited = async (limits: object) => bearer(await server.token('alice', limits));
    const others: Record<string, string | undefined> = {
      stranger: undefined,
      pass: bearer('anonymous'),
      foreign: bearer('npm_something'),
      nobody: bearer(await server.token('nobody')),
      olga: bearer(await server.token('olga')),
      'alice elsewhere': await limited({ repositories: ['open'] }),
      'alice for other names': await limited({ names: ['other/*'] }),
      'alice for no reading': await limited({ may: ['publish'] }),
    };
    // Each of them is known already, so that nothing but the answer itself can keep them from it.
    for (const shown of Object.values(others)) await get('/acme/open/known', shown);
    for (let n = 0; n < 2; n++) {
      await warm('/acme/mirror/secret', alice);
      for (const [who, shown] of Object.entries(others)) {
        const got = await get('/acme/mirror/secret', shown);
        expect([401, 404], who).toContain(got.status);
        expect(got.body, who).not.toContain('bytes of');
      }
      expect(await get('/acme/mirror/secret', alice)).toMatchObject({ isHot: true, body: 'bytes of /secret' });
    }
  });

  it('is not given any more once the token is revoked, has ended, or its owner has left', async () => {
    const { administration } = server.larder.access;
    const by = { by: 'system' };
    const idOf = async (token: string) => {
      const { body } = await get('/api/v1/whoami', bearer(token));
      return (JSON.parse(body) as { token: { id: string } }).token.id;
    };
    const revoked = await server.token('alice');
    await warm('/acme/mirror/c', bearer(revoked));
    await warm('/acme/mirror/c', basic(revoked));
    const id = await idOf(revoked);
    expect(await get('/acme/mirror/c', bearer(revoked))).toMatchObject({ isHot: true });
    await administration.revokeToken('acme', id, by);
    expect(await get('/acme/mirror/c', bearer(revoked))).toMatchObject({ status: 401 });
    expect(await get('/acme/mirror/c', basic(revoked))).toMatchObject({ status: 401 });

    const short = bearer(await server.token('rita', { expiresAt: clock + 60_000 }));
    await warm('/acme/mirror/c', short);
    expect(await get('/acme/mirror/c', short)).toMatchObject({ isHot: true });
    clock += 60_000;
    expect(await get('/acme/mirror/c', short)).toMatchObject({ status: 401 });

    await administration.createUser('acme', { name: 'carl' }, by);
    await administration.addMember('acme', 'readers', 'carl', by);
    const carl = bearer(await server.token('carl'));
    await warm('/acme/mirror/c', carl);
    await administration.removeUser('acme', 'carl', by);
    expect(await get('/acme/mirror/c', carl)).toMatchObject({ status: 401 });
  });

  it('is not given any more once they may not have it', async () => {
    const { administration } = server.larder.access;
    const by = { by: 'system' };
    const nobody = bearer(await server.token('nobody'));
    await administration.addMember('acme', 'readers', 'nobody', by);
    await warm('/acme/mirror/d', nobody);
    expect(await get('/acme/mirror/d', nobody)).toMatchObject({ isHot: true });
    await administration.removeMember('acme', 'readers', 'nobody', by);
    expect(await get('/acme/mirror/d', nobody)).toMatchObject({ status: 404 });

    const olga = bearer(await server.token('olga'));
    const rule = await administration.addRule(
      'acme',
      { who: ['everyone'], may: ['read'], repositories: ['mirror'] },
      by,
    );
    await warm('/acme/mirror/d', olga);
    expect(await get('/acme/mirror/d', olga)).toMatchObject({ isHot: true });
    await administration.removeRule('acme', rule.id ?? '', by);
    expect(await get('/acme/mirror/d', olga)).toMatchObject({ status: 404 });
  });

  it('is given for a short-lived token as long as the one that it was given for counts', async () => {
    const { administration } = server.larder.access;
    const parent = await administration.createToken('acme', { user: 'alice' }, { by: 'system' });
    const answer = await fetch(`${server.root}/token`, { headers: { authorization: basic(parent.token) } });
    const sealed = bearer(((await answer.json()) as { token: string }).token);
    await warm('/acme/mirror/g', sealed);
    expect(await get('/acme/mirror/g', sealed)).toMatchObject({ status: 200, isHot: true });
    await administration.revokeToken('acme', parent.facts.id, { by: 'system' });
    expect(await get('/acme/mirror/g', sealed)).toMatchObject({ status: 401 });
  });

  it('is given to the jobs that a rule means, until their token ends or the rule does not mean them any more', async () => {
    const exchange = async (ref: string) => {
      const token = await issuer.token({ sub: 'repo:acme/shop:ref', aud: 'larder', ref });
      const body = JSON.stringify({ token });
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`${server.root}/api/v1/oidc/exchange`, { method: 'POST', headers, body });
      return bearer(((await answer.json()) as { token?: string }).token ?? '');
    };
    const main = await exchange('refs/heads/main');
    await warm('/acme/mirror/h', main);
    expect(await get('/acme/mirror/h', main)).toMatchObject({ status: 200, isHot: true });
    const rule = await server.larder.access.administration.addRule(
      'acme',
      { who: ['ci:ci:repo:acme/*'], may: ['read'], repositories: ['open'], claims: { ref: 'refs/heads/other' } },
      { by: 'system' },
    );
    const other = await exchange('refs/heads/other');
    await warm('/acme/open/h', other);
    await warm('/acme/mirror/h', main);
    expect((await get('/acme/mirror/h', other)).status).toBe(404);
    await server.larder.access.administration.removeRule('acme', rule.id ?? '', { by: 'system' });
    expect((await get('/acme/mirror/h', other)).status).toBe(404);
    clock += 16 * 60_000;
    expect(await get('/acme/mirror/h', main)).toMatchObject({ status: 401 });
  });

  it('is the newest of what is published', async () => {
    const alice = bearer(await server.token('alice'));
    const put = (body: string) =>
      fetch(`${server.url}/notes/1.txt`, { method: 'PUT', body, headers: { authorization: alice } });
    expect((await put('first')).ok).toBe(true);
    await warm('/acme/packages/notes/1.txt', alice);
    expect(await get('/acme/packages/notes/1.txt', alice)).toMatchObject({ body: 'first', isHot: true });
    const gone = await fetch(`${server.url}/notes/1.txt`, { method: 'DELETE', headers: { authorization: alice } });
    expect(gone.ok).toBe(true);
    expect((await get('/acme/packages/notes/1.txt', alice)).status).toBe(404);
  });

  it('is not given for a password without looking at it', async () => {
    const bob = `Basic ${Buffer.from('bob:bobs password').toString('base64')}`;
    await warm('/acme/open/e', undefined);
    for (let n = 0; n < 3; n++) await get('/acme/open/e', bob);
    expect(await get('/acme/open/e', bob)).toMatchObject({ status: 200, isHot: false });
  });

  it('asks nobody upstream', async () => {
    const alice = bearer(await server.token('alice'));
    await warm('/acme/mirror/f', alice);
    const before = asked;
    for (let n = 0; n < 5; n++) expect((await get('/acme/mirror/f', alice)).body).toBe('bytes of /f');
    expect(asked).toBe(before);
  });
});

it('Two servers on one folder: a token revoked through one is refused by the other at the next request', async () => {
  const folder = await temporaryFolder();
  const settings = {
    format: 'generic',
    folder: folder.path,
    upstreams: { files: { url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` } },
    repositories: { mirror: { format: 'generic', options: { immutable: ['**'] }, sources: [{ remote: 'files' }] } },
  };
  const one = await startHosted(settings);
  const other = await startHosted(settings);
  const made = await one.larder.access.administration.createToken('acme', { user: 'alice' }, { by: 'system' });
  const shown = bearer(made.token);
  await warm('/acme/mirror/a', shown, other.root);
  expect(await get('/acme/mirror/a', shown, other.root)).toMatchObject({ status: 200, isHot: true });
  await one.larder.access.administration.revokeToken('acme', made.facts.id, { by: 'system' });
  expect(await get('/acme/mirror/a', shown, other.root)).toMatchObject({ status: 401 });
  await one.close();
  await other.close();
  await folder.remove();
});
