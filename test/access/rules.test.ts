import { describe, expect, it } from 'vitest';
import { mayDo, mayKnow } from '../../src/access/rules.ts';
import type { Identity } from '../../src/core/format.ts';
import type { AccessRule, Repository } from '../../src/core/repository.ts';

function repository(access: readonly AccessRule[], name = 'npm'): Repository {
  return { name, access, teams: { web: ['alice'] } } as unknown as Repository;
}

const anonymous: Identity = { kind: 'anonymous' };
const alice: Identity = { kind: 'user', name: 'alice' };
const mallory: Identity = { kind: 'user', name: 'mallory' };

describe('access rules', () => {
  it('allow nothing when there are none', () => {
    expect(mayDo(repository([]), alice, 'read', 'x')).toBe(false);
    expect(mayKnow(repository([]), alice)).toBe(false);
  });

  it.each([
    ['everyone, without credentials', ['everyone'], anonymous, true],
    ['members, a member', ['members'], alice, true],
    ['members, a stranger', ['members'], mallory, false],
    ['members, without credentials', ['members'], anonymous, false],
    ['a team, one of it', ['team:web'], alice, true],
    ['a team, a stranger', ['team:web'], mallory, false],
    ['a team that does not exist', ['team:none'], alice, false],
    ['a user, that one', ['user:alice'], alice, true],
    ['a user, another', ['user:alice'], mallory, false],
    ['a subject of CI, a user of that name', ['ci:alice:*'], alice, false],
  ])('for %s', (_name, who, identity, allowed) => {
    expect(mayDo(repository([{ who, may: ['read'] }]), identity, 'read', 'x')).toBe(allowed);
  });

  it('add up, and grant only what they name', () => {
    const rules: AccessRule[] = [
      { who: ['everyone'], may: ['read'] },
      { who: ['team:web'], may: ['publish'], names: ['@acme/*'] },
    ];
    expect(mayDo(repository(rules), alice, 'publish', '@acme/ui')).toBe(true);
    expect(mayDo(repository(rules), alice, 'publish', 'lodash')).toBe(false);
    expect(mayDo(repository(rules), alice, 'publish', undefined)).toBe(false);
    expect(mayDo(repository(rules), anonymous, 'publish', '@acme/ui')).toBe(false);
  });

  it('hold for the repositories that they name', () => {
    const rules: AccessRule[] = [{ who: ['everyone'], may: ['read'], repositories: ['npm-*'] }];
    expect(mayDo(repository(rules, 'npm-open'), anonymous, 'read', 'x')).toBe(true);
    expect(mayDo(repository(rules, 'docker'), anonymous, 'read', 'x')).toBe(false);
    expect(mayKnow(repository(rules, 'docker'), anonymous)).toBe(false);
  });

  it('take no pattern for an expression', () => {
    const rules: AccessRule[] = [{ who: ['everyone'], may: ['read'], names: ['a.c', '@x/(y)*'] }];
    expect(mayDo(repository(rules), anonymous, 'read', 'abc')).toBe(false);
    expect(mayDo(repository(rules), anonymous, 'read', 'a.c')).toBe(true);
    expect(mayDo(repository(rules), anonymous, 'read', '@x/(y)/z')).toBe(true);
  });
});
