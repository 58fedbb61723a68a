import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { createToken } from '../support/tokens.ts';
import { command, larder, type Run } from './larder.ts';

let server: HostedServer;

beforeAll(async () => {
  server = await startHosted({ format: 'generic' });
});
afterAll(() => server.close());

const token = (...args: readonly string[]): Promise<Run> => command(['token', ...args, '--config', server.configFile]);
const whoami = (secret: string, ...args: readonly string[]): Promise<Run> =>
  command(['whoami', '--url', server.root, ...args], { LARDER_TOKEN: secret });

describe('token create', () => {
  it('prints the token alone, which the running server accepts at once', async () => {
    const made = await larder(['token', 'create', '--org', 'acme', '--user', 'alice', '--config', server.configFile]);
    expect(made).toEqual({ code: 0, err: '', out: expect.stringMatching(/^lrd_[0-9A-Za-z]{36}\n$/) });
    const who = await whoami(made.out.trim());
    expect(who.out).toContain('alice (user of acme)\nTeams         developers\n');
    expect(who.out).toContain(
      'May           read, publish, delete, admin\nRepositories  all\nNames         all\nExpires       never',
    );
  });

  it('limits it as it is told', async () => {
    const made = await token(
      ...['create', '--org', 'acme', '--user', 'alice', '--may', 'read, publish', '--repositories', 'npm,docker'],
      ...['--names', '@acme/*', '--expires', '90d', '--description', 'for the build', '--json'],
    );
    const facts = JSON.parse(made.out) as { id: string; expiresAt: string; createdAt: string; token: string };
    expect(facts).toMatchObject({
      org: 'acme',
      user: 'alice',
      may: ['read', 'publish'],
      repositories: ['npm', 'docker'],
      names: ['@acme/*'],
      description: 'for the build',
    });
    expect((Date.parse(facts.expiresAt) - Date.parse(facts.createdAt)) / 86_400_000).toBeCloseTo(90, 2);
    expect(JSON.parse((await whoami(facts.token, '--json')).out)).toMatchObject({
      kind: 'user',
      name: 'alice',
      org: 'acme',
      teams: ['developers'],
      token: { id: facts.id, may: ['read', 'publish'], names: ['@acme/*'] },
      expiresAt: facts.expiresAt,
    });
  });

  it('creates users and service accounts that there are not yet, and says so', async () => {
    const made = await token('create', '--org', 'acme', '--user', 'ci-release', '--service');
    expect(made.err).toBe('larder: ci-release is new in acme\n');
    expect((await whoami(made.out.trim())).out).toMatch(/^ci-release \(service account of acme\)/);
    const again = await token('create', '--org', 'acme', '--user', 'ci-release');
    expect(again.err).toBe('');
    expect((await whoami(again.out.trim())).out).toMatch(/^ci-release \(service account of acme\)/);
  });

  it.each<[string, readonly string[], string]>([
    ['what to do', [], 'token needs to know what to do: create, list or revoke ID'],
    ['something it knows', ['make'], 'token knows no "make": create, list or revoke ID'],
    ['an org', ['create', '--user', 'alice'], 'token create needs --org ORG'],
    ['a user', ['create', '--org', 'acme'], 'token create needs --user USER'],
    ['an org that there is', ['create', '--org', 'acne', '--user', 'x'], 'there is no org "acne" in'],
    ['rights that there are', ['create', '--org', 'acme', '--user', 'x', '--may', 'write'], '--may knows no "write"'],
    ['a duration', ['create', '--org', 'acme', '--user', 'x', '--expires', '90'], '--expires 90 is no duration'],
    ['no more than that', ['create', 'x', '--org', 'acme', '--user', 'x'], 'token create takes no "x"'],
    ['one id', ['revoke'], 'token revoke takes the id of one token'],
  ])('needs %s', async (_name, args, message) => {
    const { code, out, err } = await token(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(`larder: ${message}`);
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  it('fails with one line for a user of no such name', async () => {
    const { code, err } = await token('create', '--org', 'acme', '--user', 'a b');
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^larder: .*"a b" is no user name.*\n$/) });
  });
});

describe('token list and revoke', () => {
  it('name tokens, and end one at once', async () => {
    const secret = await server.token('rita');
    const listed = JSON.parse((await token('list', '--org', 'acme', '--user', 'rita', '--json')).out) as {
      id: string;
    }[];
    expect(listed).toHaveLength(1);
    const id = listed[0]?.id ?? '';
    const table = (await token('list')).out;
    expect(table).toMatch(/^ID +USER +MAY +FOR +EXPIRES +LAST USED +STATE +DESCRIPTION\n/);
    expect(table).toMatch(new RegExp(`^${id} +acme/rita +all +all +never +never +valid$`, 'm'));
    expect(table).not.toContain(secret);
    expect(await token('revoke', id)).toEqual({ code: 0, err: '', out: `Token ${id} of acme is revoked.\n` });
    const { code, err } = await whoami(secret);
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringMatching(/^larder: This token was revoked on .* UTC\.\n$/),
    });
    expect((await token('list', '--user', 'rita')).out).toBe('There are no tokens.\n');
    expect((await token('list', '--user', 'rita', '--all')).out).toContain('revoked');
  });

  it('end a token that somebody found', async () => {
    const secret = await server.token('nobody');
    expect((await token('revoke', secret)).code).toBe(0);
    expect((await whoami(secret)).code).toBe(1);
  });

  it('say that there is no such token', async () => {
    expect(await token('revoke', 'nosuch')).toEqual({
      code: 1,
      out: '',
      err: 'larder: there is no token nosuch; larder token list names them\n',
    });
  });
});

describe('whoami', () => {
  it('says that nobody is asking', async () => {
    expect(await command(['whoami', '--url', server.root])).toEqual({
      code: 0,
      err: '',
      out: 'Nobody: no token was shown.\n',
    });
  });

  it('fails for a server that is not there or is no Larder', async () => {
    const { code, err } = await command(['whoami', '--url', 'http://127.0.0.1:1']);
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringMatching(/^larder: http:\/\/127\.0\.0\.1:1 can't be asked: .+\n$/),
    });
    const file = join(server.folder, 'other.yaml');
    await writeFile(file, 'server: { listen: 127.0.0.1:1 }\n');
    expect((await command(['whoami', '--config', file])).err).toContain("http://localhost:1 can't be asked");
  });
});

it('a token that was written into the folder counts', async () => {
  const secret = await createToken(join(server.folder, 'data'), { org: 'acme', user: 'alice', may: ['read'] });
  expect((await whoami(secret)).out).toContain('alice (user of acme)');
});
