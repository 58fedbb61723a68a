/** What is said to those who may do a little: of what they may not know, never whether it is there. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { startFakeUpstream } from '../support/fake-upstream.ts';
import { gemFile } from '../support/gem-file.ts';
import { type HostedOptions, type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Answer, ask, type Headers } from '../support/http.ts';

async function hosted(options: HostedOptions): Promise<HostedServer> {
  const server = await startHosted(options);
  onTestFinished(() => server.close());
  return server;
}

const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` });

/** `nobody` may do everything with names that begin with `mine`, and nothing with others. */
const mineOnly = [
  { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
  { who: ['user:nobody'], may: ['read', 'publish', 'delete'], names: ['mine*', 'com.mine:*'] },
];

/** What an answer tells, once the name that was asked for is out of it. */
const told = ({ status, headers, text }: Answer, ...names: readonly string[]): unknown[] => [
  status,
  names.reduce((words, name) => words.replaceAll(name, 'NAME'), text()),
  headers['www-authenticate'],
];

describe('a name that somebody may neither read nor publish is answered as one that is not there', () => {
  it('when a gem is pushed or yanked', async () => {
    const server = await hosted({ format: 'rubygems', access: mineOnly });
    const push = (token: string, name: string, summary: string): Promise<Answer> =>
      ask(`${server.url}/api/v1/gems`, {
        method: 'POST',
        headers: { authorization: token, 'content-type': 'application/octet-stream' },
        body: gemFile({ name, version: '1.0.0', summary }),
      });
    const yank = (token: string, name: string): Promise<Answer> => {
      const body = `gem_name=${name}&version=1.0.0`;
      const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) };
      return ask(`${server.url}/api/v1/gems/yank`, {
        method: 'DELETE',
        headers: { authorization: token, ...form },
        body,
      });
    };
    const alice = await server.token('alice');
    const nobody = await server.token('nobody');
    expect((await push(alice, 'secret', 'one')).status).toBe(200);
    expect((await push(nobody, 'mine', 'one')).status).toBe(200);
    expect((await push(nobody, 'secret', 'other')).status).toBe(403);
    expect(told(await push(nobody, 'secret', 'other'), 'secret')).toEqual(
      told(await push(nobody, 'absent', 'other'), 'absent'),
    );
    expect(told(await yank(nobody, 'secret'), 'secret')).toEqual(told(await yank(nobody, 'absent'), 'absent'));
    expect((await yank(alice, 'secret')).status).toBe(200);
  });

  it('when metadata is sent to a Maven repository', async () => {
    const server = await hosted({ format: 'maven', access: mineOnly });
    const put = (token: string, path: string, body: string): Promise<Answer> =>
      ask(`${server.url}/${path}`, { method: 'PUT', headers: bearer(token), body });
    const alice = await server.token('alice');
    const nobody = await server.token('nobody');
    expect((await put(alice, 'com/secret/app/1.0/app-1.0.jar', 'jar')).status).toBe(201);
    const metadata = (token: string, group: string): Promise<Answer> =>
      put(token, `com/${group}/app/maven-metadata.xml`, '<metadata/>');
    expect(told(await metadata(nobody, 'secret'), 'secret')).toEqual(told(await metadata(nobody, 'absent'), 'absent'));
  });

  it('when the API explains it, also through another repository', async () => {
    const server = await hosted({
      format: 'npm',
      sources: [{ hosted: true, claims: ['@hidden/*'] }],
      access: [...mineOnly, { who: ['everyone'], may: ['read'], repositories: ['all', 'packages'], names: ['mine*'] }],
      repositories: {
        all: { format: 'npm', sources: [{ repository: 'packages' }, { repository: 'vault' }] },
        vault: { format: 'npm', sources: [{ hosted: true, claims: ['@vault/*'] }] },
      },
    });
    const generic = await ask(`${server.root}/api/v1/orgs/acme/repositories/all`);
    expect(generic.json()).toMatchObject({ sources: ['acme/packages'] });
    for (const repository of ['all', 'packages']) {
      const explain = async (name: string): Promise<string> =>
        (
          await ask(
            `${server.root}/api/v1/orgs/acme/repositories/${repository}/explain?name=${encodeURIComponent(name)}`,
          )
        ).text();
      const plain = (await explain('absent')).replaceAll('absent', 'NAME');
      for (const name of ['@hidden/app', '@vault/app']) {
        expect((await explain(name)).replaceAll(name, 'NAME')).toBe(plain);
      }
      expect(plain).not.toContain('vault');
    }
  });
});

it('credentials of an upstream that is another organisation’s are used for that one alone', async () => {
  const upstream = await startFakeUpstream();
  onTestFinished(() => upstream.close());
  const auth = { bearer: 'secret-of-acme' };
  const server = await hosted({
    format: 'npm',
    upstreams: {
      acmes: { url: upstream.url, format: 'npm', auth },
      everybodys: { url: upstream.url, format: 'npm', auth },
    },
    sources: [{ hosted: true }, { remote: 'acmes' }],
  });
  const promote = async (user: string, org: string, to: string): Promise<number> => {
    const at = `${server.root}/api/v1/orgs/${org}/repositories/packages/packages/x/versions/1.0.0/promote`;
    const headers = { ...bearer(await server.token(user)), 'content-type': 'application/json' };
    const answer = await ask(at, { method: 'POST', headers, body: JSON.stringify({ upstream: to }) });
    return answer.text().includes('There is no upstream') ? 0 : answer.status;
  };
  expect(await promote('olga', 'other', 'acmes')).toBe(0);
  expect(await promote('olga', 'other', 'everybodys')).toBe(404);
  expect(await promote('adam', 'acme', 'acmes')).toBe(404);
});

it('uploads that are under way take room, whether they say how long they are or not', async () => {
  const server = await hosted({ format: 'oci', sources: [{ hosted: true, maxSize: '1 MB' }] });
  const headers = bearer(await server.token('alice'));
  const at = `${server.root}/v2/acme/packages/app/blobs/uploads/`;
  const begin = async (): Promise<string> =>
    new URL(String((await ask(at, { method: 'POST', headers })).headers.location), server.root).href;
  const [first, second, third] = [await begin(), await begin(), await begin()];
  const append = async (url: string, more: Headers = {}): Promise<number> =>
    (await ask(url, { method: 'PATCH', headers: { ...headers, ...more }, body: Buffer.alloc(700_000) })).status;
  expect(await append(first)).toBe(202);
  expect(await append(second)).toBe(413);
  expect(await append(third, { 'transfer-encoding': 'chunked' })).toBe(413);
  expect((await ask(first, { method: 'DELETE', headers })).status).toBe(204);
  expect(await append(await begin())).toBe(202);
});
