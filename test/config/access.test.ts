import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/settings.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';

let folder: TemporaryFolder;

beforeAll(async () => {
  folder = await temporaryFolder('larder-config-access');
});

afterAll(() => folder.remove());

async function load(text: string, environment: Record<string, string> = {}): Promise<Config> {
  const file = join(folder.path, 'larder.yaml');
  await writeFile(file, text);
  return loadConfig(file, environment);
}

async function mistakes(text: string): Promise<string[]> {
  const error = await load(text).catch((thrown: unknown) => thrown);
  if (!(error instanceof ConfigError)) throw new Error('It was taken.');
  return error.mistakes.map(({ path, message }) => `${path}: ${message}`);
}

describe('users, projects and issuers', () => {
  it('are read with every default filled in', async () => {
    const config = await load(
      `
orgs:
  acme:
    teams: { web: [alice] }
    users: { bob: { password: \${BOB} }, robot: { service: true } }
    projects:
      shop:
        visibility: internal
        source: https://git.example.com/acme/shop
        members: { publish: [team:web], admin: [user:bob] }
        packages: ['npm:@acme/shop-*']
      hidden: {}
    access:
      - { who: ['ci:github:repo:acme/*'], may: [publish], claims: { ref: refs/heads/main } }
issuers:
  github: { audience: larder }
  own: { url: 'https://ci.example.com', audience: [a, b] }
signIn:
  issuer: https://login.example.com
  clientId: larder
  clientSecret: s
  org: acme
  teams: { engineers: web, leads: [web] }
`,
      { BOB: 'secret' },
    );
    expect(config.orgs.acme).toMatchObject({
      users: { bob: { service: false, password: 'secret' }, robot: { service: true } },
      projects: {
        shop: {
          visibility: 'internal',
          source: 'https://git.example.com/acme/shop',
          members: { publish: ['team:web'], admin: ['user:bob'] },
          packages: ['npm:@acme/shop-*'],
        },
        hidden: { visibility: 'private', members: {}, packages: [] },
      },
      access: [{ who: ['ci:github:repo:acme/*'], may: ['publish'], claims: { ref: 'refs/heads/main' } }],
    });
    expect(config.issuers).toEqual({
      github: { url: 'https://token.actions.githubusercontent.com', audiences: ['larder'] },
      own: { url: 'https://ci.example.com', audiences: ['a', 'b'] },
    });
    expect(config.signIn).toEqual({
      issuer: 'https://login.example.com',
      clientId: 'larder',
      clientSecret: 's',
      org: 'acme',
      scopes: ['openid', 'profile', 'email'],
      userClaim: 'preferred_username',
      groupsClaim: 'groups',
      teams: { engineers: ['web'], leads: ['web'] },
    });
  });

  it.each([
    [
      'an issuer without an address',
      'issuers: { mine: {} }',
      'issuers.mine: needs a url, because it is none of the well-known issuers',
    ],
    [
      'an issuer that anybody on the way could answer for',
      'issuers: { mine: { url: http://ci.example.com } }',
      'issuers.mine.url: "http://ci.example.com" is not https',
    ],
    [
      'claims of people',
      'orgs: { acme: { access: [{ who: [members], may: [read], claims: { ref: main } }] } }',
      'orgs.acme.access[0].claims: only CI jobs have claims',
    ],
    [
      'a package of a project without its repository',
      "orgs: { acme: { projects: { shop: { packages: ['@acme/*'] } } } }",
      'orgs.acme.projects.shop.packages[0]: "@acme/*" is no REPOSITORY-PATTERN:NAME-PATTERN',
    ],
    [
      'a team in a project that there is not',
      "orgs: { acme: { projects: { shop: { members: { read: ['team:web'] } } } } }",
      'orgs.acme.projects.shop.members.read[0]: there is no team "web"',
    ],
    [
      'sign-in to an org that there is not',
      'signIn: { issuer: https://login.example.com, clientId: x, org: acme }',
      'signIn.org: there is no org "acme"',
    ],
    [
      'a user of no such name',
      "orgs: { acme: { users: { 'a b': {} } } }",
      'orgs.acme.users["a b"]: "a b" is no user name',
    ],
  ])('refuse %s', async (_name, text, expected) => {
    const found = await mistakes(text);
    expect(found.join('\n')).toContain(expected);
    expect(found).toHaveLength(1);
  });

  it('note a rule about an issuer that nobody named', async () => {
    const config = await load("orgs: { acme: { access: [{ who: ['ci:github:repo:acme/*'], may: [read] }] } }");
    expect(config.notes).toContainEqual(expect.stringContaining('issuer "github", which is none of issuers:'));
  });
});
