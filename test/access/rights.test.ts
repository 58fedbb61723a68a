import { describe, expect, it } from 'vitest';
import { Directory } from '../../src/access/directory.ts';
import { createRights, type Rights } from '../../src/access/rights.ts';
import type { OrgSettings, ProjectSettings } from '../../src/access/settings.ts';
import type { Identity, TokenLimits } from '../../src/core/identity.ts';
import type { AccessRule, Action } from '../../src/core/repository.ts';
import { format as pypi } from '../../src/formats/pypi/index.ts';
import { repositoryOf, settingsOf } from '../support/access.ts';

const people: Partial<OrgSettings> = {
  teams: { web: ['alice'], release: ['robot'] },
  users: { bob: {}, robot: { service: true } },
};

function rightsOf(access: readonly AccessRule[], projects: Readonly<Record<string, ProjectSettings>> = {}): Rights {
  const directories = new Map(
    Object.entries(settingsOf({ acme: { ...people, access, projects }, other: {} }).orgs).map(([org, settings]) => {
      const directory = new Directory(org, () => 0);
      directory.configure(settings);
      return [org, directory];
    }),
  );
  return createRights((org) => directories.get(org));
}

const user = (name: string, token?: Partial<TokenLimits>): Identity => ({
  kind: 'user',
  name,
  org: 'acme',
  presented: true,
  ...(token ? { token: { id: 'x', may: ['admin'], ...token } } : {}),
});
const anonymous: Identity = { kind: 'anonymous' };
const alice = user('alice');
const bob = user('bob');
const robot: Identity = { kind: 'service', name: 'robot', org: 'acme' };
const mallory = user('mallory');
/** Of the same name, of another organisation. */
const otherAlice: Identity = { kind: 'user', name: 'alice', org: 'other' };
const job: Identity = {
  kind: 'ci',
  name: 'github:repo:acme/shop:ref:refs/heads/main',
  claims: { repository: 'acme/shop', ref: 'refs/heads/main' },
};

const npm = repositoryOf('acme/npm');

describe('rules', () => {
  it('allow nothing when there are none', () => {
    const rights = rightsOf([]);
    expect(rights.mayDo(npm, alice, 'read', 'x')).toBe(false);
    expect(rights.mayKnow(npm, alice)).toBe(false);
  });

  it('of an organisation that there is not allow nothing', () => {
    const rights = rightsOf([{ who: ['everyone'], may: ['admin'] }]);
    expect(rights.mayDo(repositoryOf('gone/npm'), alice, 'read', 'x')).toBe(false);
  });

  it.each<[string, string, Identity, boolean]>([
    ['everyone, without credentials', 'everyone', anonymous, true],
    ['everyone, of another organisation', 'everyone', otherAlice, true],
    ['members, one of a team', 'members', alice, true],
    ['members, one of the list of users', 'members', bob, true],
    ['members, a service account', 'members', robot, true],
    ['members, a user that is gone', 'members', mallory, false],
    ['members, without credentials', 'members', anonymous, false],
    ['members, one of another organisation', 'members', otherAlice, false],
    ['members, a CI job', 'members', job, false],
    ['a team, one of it', 'team:web', alice, true],
    ['a team, another', 'team:web', bob, false],
    ['a team, one of that name elsewhere', 'team:web', otherAlice, false],
    ['a team that there is not', 'team:none', alice, false],
    ['a user, that one', 'user:alice', alice, true],
    ['a user, another', 'user:alice', bob, false],
    ['a user, one of that name elsewhere', 'user:alice', otherAlice, false],
    ['a user that is gone', 'user:mallory', mallory, false],
    ['a CI job, that one', 'ci:github:repo:acme/*', job, true],
    ['a CI job, of another issuer', 'ci:gitlab:repo:acme/*', job, false],
    ['a CI job, whose issuer is a part of the name', 'ci:git:hub:repo:acme/*', job, false],
    ['a CI job, of another repository', 'ci:github:repo:acme-evil/*', job, false],
    ['a CI job, a user of that name', 'ci:github:*', { kind: 'user', name: 'github:x', org: 'acme' }, false],
  ])('for %s', (_name, who, identity, allowed) => {
    expect(rightsOf([{ who: [who], may: ['read'] }]).mayDo(npm, identity, 'read', 'x')).toBe(allowed);
  });

  it.each<[string, Record<string, string>, boolean]>([
    ['all that it says', { repository: 'acme/*', ref: 'refs/heads/main' }, true],
    ['one that it says otherwise', { repository: 'acme/*', ref: 'refs/heads/other' }, false],
    ['one that it does not say', { repository: 'acme/*', environment: '*' }, false],
    ['one that every object has', { constructor: '*' }, false],
  ])('with claims of a CI job: %s', (_name, claims, allowed) => {
    const rights = rightsOf([{ who: ['ci:github:*', 'members'], may: ['publish'], claims }]);
    expect(rights.mayDo(npm, job, 'publish', 'x')).toBe(allowed);
    expect(rights.mayDo(npm, alice, 'publish', 'x')).toBe(false);
  });

  it('add up, and grant only what they name', () => {
    const rights = rightsOf([
      { who: ['everyone'], may: ['read'] },
      { who: ['team:web'], may: ['publish'], names: ['@acme/*'] },
    ]);
    expect(rights.mayDo(npm, alice, 'publish', '@acme/ui')).toBe(true);
    expect(rights.mayDo(npm, alice, 'publish', 'lodash')).toBe(false);
    expect(rights.mayDo(npm, alice, 'publish', undefined)).toBe(false);
    expect(rights.mayDoSome(npm, alice, 'publish')).toBe(true);
    expect(rights.mayDoSome(npm, alice, 'delete')).toBe(false);
    expect(rights.mayDo(npm, bob, 'publish', '@acme/ui')).toBe(false);
  });

  it.each<[Action[], Action[]]>([
    [['read'], ['read']],
    [['publish'], ['publish']],
    [['delete'], ['delete']],
    [['admin'], ['read', 'publish', 'delete', 'admin']],
  ])('that grant %j grant %j', (may, granted) => {
    const rights = rightsOf([{ who: ['members'], may }]);
    const actions: Action[] = ['read', 'publish', 'delete', 'admin'];
    expect(actions.filter((action) => rights.mayDo(npm, alice, action, 'x'))).toEqual(granted);
  });

  it('hold for the repositories that they name, and hide the others', () => {
    const rights = rightsOf([{ who: ['everyone'], may: ['read'], repositories: ['npm-*'] }]);
    expect(rights.mayDo(repositoryOf('acme/npm-open'), anonymous, 'read', 'x')).toBe(true);
    expect(rights.mayDo(repositoryOf('acme/docker'), anonymous, 'read', 'x')).toBe(false);
    expect(rights.mayKnow(repositoryOf('acme/docker'), anonymous)).toBe(false);
    expect(rights.mayDo(repositoryOf('other/npm-open'), anonymous, 'read', 'x')).toBe(false);
  });

  it('take no pattern for an expression', () => {
    const rights = rightsOf([{ who: ['everyone'], may: ['read'], names: ['a.c', '@x/(y)*'] }]);
    expect(rights.mayDo(npm, anonymous, 'read', 'abc')).toBe(false);
    expect(rights.mayDo(npm, anonymous, 'read', 'a.c')).toBe(true);
    expect(rights.mayDo(npm, anonymous, 'read', '@x/(y)/z')).toBe(true);
  });

  it('mean names as the format spells them', () => {
    const rights = rightsOf([{ who: ['everyone'], may: ['read'], names: ['Acme_*'] }]);
    expect(rights.mayDo(repositoryOf('acme/pypi', { format: pypi }), anonymous, 'read', 'acme-tools')).toBe(true);
    expect(rights.mayDo(npm, anonymous, 'read', 'acme-tools')).toBe(false);
  });

  it.each<[string, readonly AccessRule[], Identity, boolean]>([
    ['admin without limits', [{ who: ['user:alice'], may: ['admin'] }], alice, true],
    ['publish only', [{ who: ['user:alice'], may: ['publish'] }], alice, false],
    ['admin of a repository', [{ who: ['user:alice'], may: ['admin'], repositories: ['*'] }], alice, false],
    ['admin of names', [{ who: ['user:alice'], may: ['admin'], names: ['*'] }], alice, false],
    ['a token without it', [{ who: ['user:alice'], may: ['admin'] }], user('alice', { may: ['publish'] }), false],
    [
      'a token for a repository',
      [{ who: ['user:alice'], may: ['admin'] }],
      user('alice', { repositories: ['*'] }),
      false,
    ],
    ['a token for all', [{ who: ['user:alice'], may: ['admin'] }], user('alice', {}), true],
  ])('let an organisation be administered with %s: %#', (_name, access, identity, allowed) => {
    expect(rightsOf(access).mayAdminister('acme', identity)).toBe(allowed);
  });
});

describe('a token', () => {
  const rules: AccessRule[] = [{ who: ['user:alice'], may: ['read', 'publish'], names: ['@acme/*', 'free'] }];
  const rights = rightsOf([...rules, { who: ['user:alice'], may: ['delete'], repositories: ['npm'] }]);

  it.each<[string, Partial<TokenLimits>, Action, string | undefined, boolean]>([
    ['does what its owner may', { may: ['read', 'publish'] }, 'publish', '@acme/ui', true],
    ['does no more than its owner may', { may: ['admin'] }, 'publish', 'other', false],
    ['does no more than it may itself', { may: ['read'] }, 'publish', '@acme/ui', false],
    ['of admin does all that its owner may', { may: ['admin'] }, 'publish', '@acme/ui', true],
    ['for other repositories does nothing', { repositories: ['docker'] }, 'read', '@acme/ui', false],
    ['for some repositories does it there', { repositories: ['n*'] }, 'read', '@acme/ui', true],
    ['for other names does nothing', { names: ['@acme/x*'] }, 'read', '@acme/ui', false],
    ['for some names does it there', { names: ['@acme/u*'] }, 'read', '@acme/ui', true],
    ['for some names does nothing without a name', { names: ['*'] }, 'delete', undefined, false],
    ['for no names does what has none', {}, 'delete', undefined, true],
  ])('%s', (_name, limits, action, name, allowed) => {
    expect(rights.mayDo(npm, user('alice', limits), action, name)).toBe(allowed);
  });

  it.each<[string, Partial<TokenLimits>, boolean]>([
    ['for names that a rule covers, too', { names: ['@*/ui'] }, true],
    ['for names that no rule covers', { names: ['@other/*'] }, false],
    ['for a single name that a rule covers', { names: ['free'] }, true],
    ['for another repository', { repositories: ['docker'] }, false],
  ])('lets some be published or none, %s', (_name, limits, allowed) => {
    expect(rights.mayDoSome(npm, user('alice', limits), 'publish')).toBe(allowed);
    expect(rightsOf(rules).mayKnow(npm, user('alice', limits))).toBe(allowed);
  });
});

describe('a package of a project', () => {
  const shop = (more: Partial<ProjectSettings>): Record<string, ProjectSettings> => ({
    shop: { visibility: 'private', members: {}, packages: ['npm:@acme/shop-*'], ...more },
  });

  it.each<[ProjectSettings['visibility'], Identity, boolean]>([
    ['public', anonymous, true],
    ['public', otherAlice, true],
    ['internal', anonymous, false],
    ['internal', otherAlice, false],
    ['internal', bob, true],
    ['private', anonymous, false],
    ['private', bob, false],
    ['private', alice, true],
  ])('that is %s is read by who belongs there: %#', (visibility, identity, allowed) => {
    const rights = rightsOf([], shop({ visibility, members: { publish: ['team:web'] } }));
    expect(rights.mayDo(npm, identity, 'read', '@acme/shop-cart')).toBe(allowed);
    expect(rights.mayKnow(npm, identity)).toBe(allowed);
    expect(rights.mayDo(npm, identity, 'read', '@acme/other')).toBe(false);
  });

  it('gives its members what the project says, and admins all', () => {
    const rights = rightsOf([], shop({ members: { publish: ['user:alice'], admin: ['user:bob'] } }));
    const may = (identity: Identity) =>
      (['read', 'publish', 'delete', 'admin'] as const).filter((action) =>
        rights.mayDo(npm, identity, action, '@acme/shop-cart'),
      );
    expect(may(alice)).toEqual(['read', 'publish']);
    expect(may(bob)).toEqual(['read', 'publish', 'delete', 'admin']);
    expect(may(robot)).toEqual([]);
  });

  it.each<[string, AccessRule, boolean]>([
    ['one for everything', { who: ['members'], may: ['read'] }, false],
    ['one for the repository', { who: ['members'], may: ['read', 'publish', 'delete'], repositories: ['npm'] }, false],
    ['one for admins of the repository', { who: ['members'], may: ['admin'], repositories: ['npm'] }, false],
    ['one for admins of everything', { who: ['members'], may: ['admin'] }, true],
    ['one for its name', { who: ['members'], may: ['read'], names: ['@acme/*'] }, true],
    ['one for other names', { who: ['members'], may: ['read'], names: ['@acme/other'] }, false],
  ])('follows a rule of the organisation or not: %s', (_name, rule, allowed) => {
    expect(rightsOf([rule], shop({})).mayDo(npm, bob, 'read', '@acme/shop-cart')).toBe(allowed);
  });

  it('is one in the repositories that the project names', () => {
    const rights = rightsOf([{ who: ['members'], may: ['read'] }], shop({}));
    expect(rights.mayDo(repositoryOf('acme/npm-old'), bob, 'read', '@acme/shop-cart')).toBe(true);
    expect(rights.mayDo(npm, bob, 'read', '@acme/shop-cart')).toBe(false);
  });

  it.each([
    ['https://git.example.com/acme/shop', true],
    ['git+https://Git.Example.com/acme/shop.git', true],
    ['git://git.example.com/acme/shop.git/', true],
    ['git@git.example.com:acme/shop.git', true],
    ['ssh://git@git.example.com:22/acme/shop', true],
    ['scm:git:https://git.example.com/acme/shop.git', true],
    ['https://git.example.com/acme/shop#readme', true],
    ['https://git.example.com/acme/shop-evil', false],
    ['https://git.example.com/acme', false],
    ['https://evil.example.com/acme/shop', false],
    ['https://git.example.com:8443/acme/shop', false],
    ['no address', false],
  ])('is known by what it says of itself: %s', (link, belongs) => {
    const rights = rightsOf(
      [{ who: ['members'], may: ['read'] }],
      shop({ packages: [], source: 'https://git.example.com/acme/shop/' }),
    );
    const here = repositoryOf('acme/npm', { linkOf: (name) => (name === 'cart' ? link : undefined) });
    expect(rights.mayDo(here, bob, 'read', 'cart')).toBe(!belongs);
    expect(rights.mayDo(here, bob, 'read', 'other')).toBe(true);
  });

  it('belongs to whom the settings say, whatever it says itself', () => {
    const rights = rightsOf([], {
      ...shop({ members: { read: ['user:bob'] } }),
      evil: { visibility: 'public', source: 'https://git.example.com/evil', members: {}, packages: [] },
    });
    const here = repositoryOf('acme/npm', { linkOf: () => 'https://git.example.com/evil' });
    expect(rights.mayDo(here, anonymous, 'read', '@acme/shop-cart')).toBe(false);
    expect(rights.mayDo(here, anonymous, 'read', 'anything')).toBe(true);
  });

  it('is read with a token no further than the token goes', () => {
    const rights = rightsOf([], shop({ visibility: 'public' }));
    expect(rights.mayDo(npm, user('bob', { may: ['publish'] }), 'read', '@acme/shop-cart')).toBe(false);
  });
});
