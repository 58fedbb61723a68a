/** Packages of source projects: who has the project has its packages, on every route that tells of them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publishRequest } from '../formats/npm.publish.samples.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';

let server: HostedServer;
const tokens: Record<string, string> = {};

const source = (name: string): string => `https://git.example.com/acme/${name}`;

beforeAll(async () => {
  server = await startHosted({
    format: 'npm',
    access: [
      { who: ['members'], may: ['read', 'publish'] },
      { who: ['team:admins'], may: ['admin'] },
    ],
    org: {
      projects: {
        secret: { visibility: 'private', source: source('secret'), members: { read: ['user:rita'] } },
        open: { visibility: 'public', source: `git@git.example.com:acme/open.git` },
      },
    },
  });
  for (const who of ['alice', 'adam', 'rita', 'olga']) tokens[who] = await server.token(who);
  tokens.nobody = '';
  for (const [name, repository] of [
    ['@acme/secret', `git+${source('secret')}.git`],
    ['@acme/open', source('open')],
    ['@acme/plain', source('plain')],
  ] as const) {
    const answer = await publish('alice', name, '1.0.0', { repository: { type: 'git', url: repository } });
    expect(answer.status, answer.text).toBe(201);
  }
});
afterAll(() => server.close());

async function npm(path: string, who: string, options: Parameters<typeof ask>[1] = {}) {
  const token = tokens[who] ?? '';
  const authorization: Record<string, string> = token === '' ? {} : { authorization: `Bearer ${token}` };
  const answer = await ask(`${server.url}${path}`, { ...options, headers: { ...authorization, ...options.headers } });
  return { status: answer.status, text: answer.body.toString() };
}

function publish(who: string, name: string, version: string, manifest: Readonly<Record<string, unknown>> = {}) {
  const { path, body = '', headers = {} } = publishRequest({ name, version, manifest });
  return npm(path, who, { method: 'PUT', body: Buffer.from(body), headers });
}

describe('a package that names a project', () => {
  it.each([
    ['rita', 'secret', 200],
    ['adam', 'secret', 200],
    ['alice', 'secret', 404],
    ['olga', 'secret', 404],
    ['nobody', 'secret', 401],
    ['olga', 'open', 200],
    ['nobody', 'open', 200],
    ['alice', 'plain', 200],
    ['olga', 'plain', 404],
    ['nobody', 'plain', 401],
  ])('lets %s read %s or not: %d', async (who, name, status) => {
    expect((await npm(`/@acme%2f${name}`, who)).status).toBe(status);
    expect((await npm(`/@acme/${name}/-/${name}-1.0.0.tgz`, who)).status).toBe(status);
    expect((await npm(`/-/package/@acme%2f${name}/dist-tags`, who)).status).toBe(status);
  });

  it.each([
    ['rita', ['open', 'plain', 'secret']],
    ['alice', ['open', 'plain']],
  ])('is found by %s or not', async (who, names) => {
    const { objects } = JSON.parse((await npm('/-/v1/search?text=acme', who)).text) as {
      objects: { package: { name: string } }[];
    };
    expect(objects.map(({ package: { name } }) => name).sort()).toEqual(names.map((name) => `@acme/${name}`));
  });

  it('is not replaced or taken away by who published it, once it belongs to others', async () => {
    expect((await publish('alice', '@acme/secret', '2.0.0')).status).toBe(404);
    expect((await publish('rita', '@acme/secret', '2.0.0')).status).toBe(403);
    expect((await publish('adam', '@acme/secret', '2.0.0')).status).toBe(201);
  });
});
