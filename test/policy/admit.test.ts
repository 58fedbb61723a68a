import { describe, expect, it } from 'vitest';
import type { PolicyRule } from '../../src/core/repository.ts';
import { admit, refusedVersions } from '../../src/policy/admit.ts';

const young: PolicyRule = {
  rule: 'age',
  refuses: ({ publishedAt, firstSeenAt }, nowMs) => {
    const at = publishedAt === undefined ? firstSeenAt : Date.parse(publishedAt);
    return at !== undefined && nowMs - at < 1_000 ? { rule: 'age', reason: 'too young', until: 'tomorrow' } : undefined;
  },
};

describe('the policy gate', () => {
  it('lets everything through without rules', () => {
    expect(() => admit({ id: 'acme/npm', policy: [] }, { name: 'a', version: '1.0.0' }, 0)).not.toThrow();
    expect(refusedVersions([], 'a', [{ path: 'p', version: '1.0.0' }], {}, 0)).toEqual({});
  });

  it('refuses with the rule, the reason and the end of it', () => {
    expect(() =>
      admit(
        { id: 'acme/npm', policy: [young] },
        { name: 'a', version: '1.0.0', publishedAt: '1970-01-01T00:00:01Z' },
        1_500,
      ),
    ).toThrow(/a 1\.0\.0 is held back by rule "age": too young\. It lifts at tomorrow/);
  });

  it('judges each version of a document by its publication, else by when it was first seen', () => {
    const links = [
      { path: 'old', version: '1.0.0', publishedAt: '1970-01-01T00:00:01Z' },
      { path: 'new', version: '2.0.0', publishedAt: '1970-01-01T00:00:09Z' },
      { path: 'seen', version: '3.0.0' },
      { path: 'unknown', version: '4.0.0' },
      { path: 'no version' },
    ];
    expect(Object.keys(refusedVersions([young], 'a', links, { '3.0.0': 9_500 }, 9_600))).toEqual(['2.0.0', '3.0.0']);
  });
});
