import { describe, expect, it } from 'vitest';
import type { AccessChange, TokenRecord } from '../../src/access/changes.ts';
import { Directory } from '../../src/access/directory.ts';
import { settingsOf } from '../support/access.ts';

const day = 86_400_000;
const begin = Date.parse('2026-01-01T00:00:00Z');
const iso = (days: number): string => new Date(begin + days * day).toISOString();

const token = (id: string, user: string, expiresAfterDays?: number): TokenRecord => ({
  ...{ id, user, hash: `hash of ${id}`, may: ['read'], createdAt: iso(1) },
  ...(expiresAfterDays === undefined ? {} : { expiresAt: iso(expiresAfterDays) }),
});

const changes: readonly AccessChange[] = [
  { is: 'user', name: 'carol' },
  { is: 'user', name: 'robot', service: true },
  { is: 'user', name: 'gone' },
  { is: 'password', user: 'carol', hash: 'scrypt$1' },
  { is: 'password', user: 'robot', hash: 'scrypt$2' },
  { is: 'password', user: 'robot' },
  { is: 'member', team: 'web', user: 'carol' },
  { is: 'member', team: 'web', user: 'gone' },
  { is: 'member', team: 'web', user: 'robot' },
  { is: 'member-gone', team: 'web', user: 'robot' },
  { is: 'sign-in', user: 'carol', subject: 'issuer|7', teams: ['ops'] },
  { is: 'rule', id: 'r1', rule: { who: ['everyone'], may: ['read'] } },
  { is: 'rule', id: 'r2', rule: { who: ['members'], may: ['publish'] } },
  { is: 'rule-gone', id: 'r1' },
  { is: 'project', name: 'shop', project: { visibility: 'private', members: {}, packages: ['npm:x'] } },
  { is: 'project', name: 'old', project: { visibility: 'public', members: {}, packages: [] } },
  { is: 'project-gone', name: 'old' },
  { is: 'token', token: token('t1', 'carol') },
  { is: 'token', token: token('t2', 'carol', 10) },
  { is: 'token', token: token('t3', 'carol') },
  { is: 'token', token: token('t4', 'gone') },
  { is: 'token-gone', id: 't3' },
  { is: 'user-gone', name: 'gone' },
];

function made(now: number): Directory {
  const directory = new Directory('acme', () => now);
  directory.configure(settingsOf({ acme: { teams: { web: ['alice'] } } }).orgs.acme);
  for (const [index, change] of changes.entries()) directory.apply({ change, at: iso(2 + index / 1000) });
  return directory;
}

/** As a checkpoint has it: values through JSON. */
function restored(from: Directory, now: number): Directory {
  const directory = new Directory('acme', () => now);
  directory.configure(settingsOf({ acme: { teams: { web: ['alice'] } } }).orgs.acme);
  directory.apply({ change: { is: 'user', name: 'left over' }, at: iso(0) });
  directory.restore([...from.snapshot()].map((value) => JSON.parse(JSON.stringify(value)) as unknown));
  return directory;
}

const facts = (directory: Directory) => ({
  users: directory
    .users()
    .map((name) => [name, directory.kindOf(name), directory.userSince(name), directory.password(name)]),
  teams: directory.teams(),
  signedIn: directory.signedIn('carol'),
  rules: directory.rules(),
  projects: directory.projects(),
  tokens: directory.tokens(),
  byHash: ['t1', 't2', 't3', 't4'].map((id) => directory.tokenOfHash(`hash of ${id}`)?.id),
});

describe('a directory', () => {
  it('is what its changes come to', () => {
    const directory = made(begin + 3 * day);
    expect(directory.users()).toEqual(['alice', 'carol', 'robot']);
    expect(directory.teams()).toEqual({ web: ['alice', 'carol'], ops: ['carol'] });
    expect(directory.teamsOf('carol')).toEqual(['ops', 'web']);
    expect(directory.kindOf('robot')).toBe('service');
    expect(directory.password('robot')).toBeUndefined();
    expect(directory.rules().map(({ id }) => id)).toEqual(['r2']);
    expect(directory.tokens().filter(({ revokedAt }) => revokedAt === undefined)).toHaveLength(2);
    expect(directory.token('t4')?.revokedAt).toBe(iso(2 + 22 / 1000));
  });

  it('is the same after a checkpoint', () => {
    const before = made(begin + 3 * day);
    expect(facts(restored(before, begin + 3 * day))).toEqual(facts(before));
  });

  it('leaves tokens that ended long ago out of a checkpoint, and never gives their ids again', () => {
    const now = begin + 101 * day;
    const before = made(now);
    const after = restored(restored(before, now), now);
    expect(after.tokens().map(({ id }) => id)).toEqual(['t1']);
    for (const id of ['t1', 't2', 't3', 't4']) expect(after.isUsedId(id), id).toBe(true);
    expect(JSON.stringify([...before.snapshot()])).not.toContain('hash of t2');
  });

  it('is another version after every change', () => {
    const directory = made(begin);
    const before = directory.version;
    directory.apply({ change: { is: 'user', name: 'new' }, at: iso(5) });
    expect(directory.version).toBeGreaterThan(before);
    const then = directory.version;
    directory.configure(undefined);
    expect(directory.version).toBeGreaterThan(then);
    expect(directory.kindOf('alice')).toBeUndefined();
  });
});
