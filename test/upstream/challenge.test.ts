import { describe, expect, it } from 'vitest';
import { parseChallenges, tokenChallengeOf, tokenUrl } from '../../src/upstream/challenge.ts';

/** A challenge as `scheme name=value name=value`. */
function read(header: string | undefined): string[] {
  return parseChallenges(header).map(({ scheme, parameters }) =>
    [scheme, ...[...parameters].map(([name, value]) => `${name}=${value}`)].join(' '),
  );
}

describe('the header', () => {
  it.each<[string, string | undefined, string[]]>([
    ['that is absent', undefined, []],
    ['that is empty', '', []],
    ['of commas', ' , ,', []],
    ['with a scheme and nothing else', 'Negotiate', ['negotiate']],
    ['with two schemes and nothing else', 'Basic, Bearer', ['basic', 'bearer']],
    ['with a parameter', 'Basic realm="a"', ['basic realm=a']],
    [
      'of a registry',
      'Bearer realm="https://t.example/token",service="r.example",scope="repository:a/b:pull"',
      ['bearer realm=https://t.example/token service=r.example scope=repository:a/b:pull'],
    ],
    ['with other letter case', 'BEARER Realm="a",SERVICE="B"', ['bearer realm=a service=B']],
    ['with space wherever there may be some', '\tBearer  realm = "a" ,\tservice= "b"  ', ['bearer realm=a service=b']],
    ['without commas', 'Bearer realm="a" service="b"', ['bearer realm=a service=b']],
    [
      'without quotes',
      'Bearer realm=https://t.example/x?y=z,service=b',
      ['bearer realm=https://t.example/x?y=z service=b'],
    ],
    ['with an empty value', 'Bearer realm="",service=,scope="c"', ['bearer realm= service= scope=c']],
    [
      'with commas and equals signs in quotes',
      'Bearer scope="a:b:pull,push",x="y=z"',
      ['bearer scope=a:b:pull,push x=y=z'],
    ],
    [
      'with escapes',
      String.raw`Bearer realm="a\"b\\c\d, Basic realm=\"e"`,
      [String.raw`bearer realm=a"b\cd, Basic realm="e`],
    ],
    ['with a parameter twice', 'Bearer realm="a",realm="b"', ['bearer realm=a']],
    ['with a parameter that objects have too', 'Bearer __proto__="a"', ['bearer __proto__=a']],
    [
      'with two challenges',
      'Basic realm="a", Bearer realm="b",service="c"',
      ['basic realm=a', 'bearer realm=b service=c'],
    ],
    ['with a token of 68 characters', 'Negotiate YII/+a==, Bearer realm="b"', ['negotiate', 'bearer realm=b']],
    ['with the same scheme twice', 'Bearer realm="a", Bearer realm="b"', ['bearer realm=a', 'bearer realm=b']],
    ['that is cut in quotes', 'Basic realm="a", Bearer realm="b', ['basic realm=a']],
    ['that is cut in an escape', 'Basic realm="a", Bearer realm="b\\', ['basic realm=a']],
    ['with a parameter first', 'realm="a"', []],
    ['with rubbish in the middle', 'Basic realm="a", Bearer realm="b", {}, Digest', ['basic realm=a']],
    ['of any length', `Basic realm="a", Bearer realm="${'b'.repeat(17_000)}"`, []],
  ])('%s', (_what, header, expected) => {
    expect(read(header)).toEqual(expected);
  });

  it.each([
    ['quotes that do not end', `Bearer realm="${'\\"'.repeat(8000)}`],
    ['names without values', 'a='.repeat(8000)],
    ['schemes', 'a,'.repeat(8000)],
    ['half a token of 68 characters', `Bearer ${'='.repeat(16_000)}`],
    ['space', `Bearer${' '.repeat(16_000)}x`],
    ['half tokens of 68 characters', `${'a '.repeat(8000)}"`],
  ])('of 16,000 characters of %s is read without getting lost', (_what, header) => {
    expect(parseChallenges(header).length).toBeLessThan(8001);
  });
});

describe('the challenge that a token answers', () => {
  const pull = 'repository:library/alpine:pull';

  it.each<[string, string, string | undefined]>([
    [
      'is a bearer one',
      `Bearer realm="https://t.example/token",service="r",scope="${pull}"`,
      `service=r&scope=${pull}`,
    ],
    ['is found beside Basic', `Basic realm="r", Bearer realm="https://t.example/token"`, ''],
    ['is found before Basic', `Bearer realm="https://t.example/token", Basic realm="r"`, ''],
    [
      'may have several scopes',
      'Bearer realm="https://t.example/token",scope=" a:b:pull  c:d:pull,push a:b:pull "',
      'scope=a:b:pull&scope=c:d:pull,push',
    ],
    ['may have a realm with a query', 'Bearer realm="https://t.example/token?x=1#y",service="r"', 'x=1&service=r'],
    ['may be the second of its kind', 'Bearer realm="users", Bearer realm="https://t.example/token"', ''],
    ['is none without a realm', 'Bearer service="r"', undefined],
    ['is none of another scheme', 'Basic realm="https://t.example/token"', undefined],
    ['is none when the realm is only a name', 'Bearer realm="our users"', undefined],
    ['is none when the realm has no host', 'Bearer realm="/token"', undefined],
    ['is none when the realm is no web address', 'Bearer realm="file:///token"', undefined],
    ['is none when the realm is no address', 'Bearer realm="https://[/token"', undefined],
    [
      'is none when it is too long for an address',
      `Bearer realm="https://t.example/token",scope="${'a'.repeat(7000)}"`,
      undefined,
    ],
    [
      'is none when it becomes too long',
      `Bearer realm="https://t.example/token",scope="${'€'.repeat(3000)}"`,
      undefined,
    ],
  ])('%s', (_what, header, query) => {
    const challenge = tokenChallengeOf(header);
    const url = challenge && tokenUrl(challenge);
    expect(url && decodeURIComponent(url.href)).toBe(
      query === undefined ? undefined : `https://t.example/token${query && '?'}${query}`,
    );
  });

  it('cannot put a parameter into the address by way of another', () => {
    const challenge = tokenChallengeOf('Bearer realm="https://t.example/token",service="a&scope=b#c"');
    expect(challenge && [...tokenUrl(challenge).searchParams]).toEqual([['service', 'a&scope=b#c']]);
  });

  it('has the same key as others that the same token answers', () => {
    const keys = [
      'Bearer realm="https://t.example/token",service="r",scope="a b"',
      'Bearer scope="a  b",service="r",realm="https://t.example/token",error="invalid_token"',
      'Bearer realm="https://t.example/token",service="r",scope="a"',
      'Bearer realm="https://t.example/token",service="r a",scope="b"',
      'Bearer realm="https://t.example/token",scope="r a b"',
      'Bearer realm="https://t.example/other",service="r",scope="a b"',
    ].map((header) => tokenChallengeOf(header)?.key);
    expect(keys[1]).toBe(keys[0]);
    expect(new Set(keys).size).toBe(5);
  });
});
