import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Problem } from '../../src/core/problem.ts';
import { createGuard, forbiddenAddress, isPublicAddress, publicOnly } from '../../src/upstream/guard.ts';

function judged(url: string, options: { home?: string; hosts?: string[]; onlyHosts?: boolean } = {}): string {
  const guard = createGuard({
    name: 'inner',
    home: new URL(options.home ?? 'https://packages.example.com/npm'),
    hosts: options.hosts ?? [],
    onlyHosts: options.onlyHosts ?? false,
  });
  try {
    return guard.judge(new URL(url));
  } catch (error) {
    return error instanceof Problem ? error.code : String(error);
  }
}

describe('an address', () => {
  it.each([
    '8.8.8.8',
    '1.1.1.1',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.0.1',
    '172.32.0.1',
    '192.0.1.1',
    '198.17.0.1',
    '198.20.0.1',
    '223.255.255.255',
    '2606:4700::6810:84e5',
    '2a00:1450:4001:800::200e',
    '::ffff:8.8.8.8',
    '::ffff:808:808',
    '64:ff9b::8.8.8.8',
  ])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  it.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '100.64.0.1',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.1',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.7',
    '203.0.113.7',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:10.1.2.3',
    '::ffff:169.254.169.254',
    '64:ff9b::127.0.0.1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '3fff::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
    '2606:4700::1%eth0',
    'fec0::1',
    'ff02::1',
    '',
    'example.com',
    '127.1',
  ])('"%s" is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});

describe('a URL from a document', () => {
  it.each([
    ['https://cdn.example.net/a.tgz'],
    ['http://cdn.example.net:8080/a.tgz'],
    ['https://8.8.8.8/a.tgz'],
    ['https://[2606:4700::1]/a.tgz'],
  ])('%s may be asked, on public addresses', (url) => {
    expect(judged(url)).toBe('public');
  });

  it.each([
    ['https://packages.example.com/other', {}],
    ['https://packages.example.com:443/other', {}],
    ['https://PACKAGES.example.com./other', {}],
    ['http://10.0.0.5:4873/left-pad', { home: 'http://10.0.0.5:4873' }],
    ['http://127.1:4873/left-pad', { home: 'http://127.0.0.1:4873' }],
    ['http://[::1]:4873/left-pad', { home: 'http://[::1]:4873/' }],
    ['http://localhost:4873/left-pad', { home: 'http://localhost:4873/' }],
    ['http://10.0.0.6:8080/x', { hosts: ['10.0.0.6:8080'] }],
    ['http://10.0.0.6:8080/x', { hosts: ['10.0.0.6'] }],
    ['http://files.inner:8080/x', { hosts: ['Files.Inner'] }],
    ['https://a.b.inner.example/x', { hosts: ['*.inner.example'] }],
    ['https://a.inner.example:8443/x', { hosts: ['*.inner.example:8443'] }],
    ['http://[fd00::1]:81/x', { hosts: ['fd00::1'] }],
    ['http://[fd00::1]:81/x', { hosts: ['[fd00:0::1]:81'] }],
    ['https://cdn.example.net/x', { hosts: ['cdn.example.net'], onlyHosts: true }],
    ['https://packages.example.com/x', { onlyHosts: true }],
  ])('%s is trusted with %o', (url, options) => {
    expect(judged(url, options)).toBe('trusted');
  });

  it.each([
    ['file:///etc/passwd', {}],
    ['ftp://example.net/x', {}],
    ['data:text/plain,x', {}],
    ['https://user@cdn.example.net/x', {}],
    ['https://user:secret@packages.example.com/x', {}],
    ['http://127.0.0.1/', {}],
    ['http://127.1/', {}],
    ['http://0x7f000001/', {}],
    ['http://0x7f.1/', {}],
    ['http://0177.0.0.1/', {}],
    ['http://2130706433/', {}],
    ['http://127.0.0.1./', {}],
    ['http://０x7f.1/', {}],
    ['http://0/', {}],
    ['http://[::1]/', {}],
    ['http://[::ffff:127.0.0.1]/', {}],
    ['http://[::ffff:7f00:1]/', {}],
    ['http://[64:ff9b::7f00:1]/', {}],
    ['http://169.254.169.254/latest/meta-data/', {}],
    ['http://metadata.google.internal/', {}],
    ['http://localhost/', {}],
    ['http://localhost./', {}],
    ['http://foo.localhost:5273/', {}],
    ['http://redis:6379/', {}],
    ['http://printer.local/', {}],
    ['http://router.home.arpa/', {}],
    ['https://packages.example.com:8443/', { onlyHosts: true }],
    ['https://cdn.example.net/x', { onlyHosts: true }],
    ['https://inner.example/x', { hosts: ['*.inner.example'], onlyHosts: true }],
    ['https://evilinner.example/x', { hosts: ['*.inner.example'], onlyHosts: true }],
    ['http://10.0.0.6:8081/x', { hosts: ['10.0.0.6:8080'] }],
    ['http://10.0.0.5:80/', { home: 'http://10.0.0.5:4873' }],
    ['https://10.0.0.5/', { home: 'http://10.0.0.5' }],
  ])('%s is refused with %o', (url, options) => {
    expect(judged(url, options)).toBe('upstream_invalid');
  });

  it('is not named in the message a client sees', () => {
    const guard = createGuard({ name: 'inner', home: new URL('https://a.example'), hosts: [], onlyHosts: false });
    let message = '';
    try {
      guard.judge(new URL('http://10.11.12.13/secret'));
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain('inner');
    expect(message).not.toMatch(/10\.11|secret/);
  });
});

describe('a name looked up for a stranger', () => {
  function answering(...addresses: LookupAddress[]): LookupFunction {
    return (_name, options, callback) => {
      expect(options.all).toBe(true);
      callback(null, addresses);
    };
  }

  function look(lookup: LookupFunction, all: boolean): Promise<unknown> {
    return new Promise((resolve) => {
      publicOnly(lookup)('cdn.example.net', { all }, (error, address, family) => {
        resolve(error ? error.code : family === undefined ? address : [address, family]);
      });
    });
  }

  const inside = { address: '10.0.0.1', family: 4 };
  const outside = { address: '8.8.8.8', family: 4 };
  const outside6 = { address: '2606:4700::1', family: 6 };

  it.each([
    ['all its public addresses', [outside, outside6], [outside, outside6]],
    ['only the public ones of a mixed answer', [inside, outside, { address: '::1', family: 6 }], [outside]],
    ['nothing when all are private', [inside, { address: 'fd00::1', family: 6 }], forbiddenAddress],
    ['nothing when there are none', [], forbiddenAddress],
  ])('gives %s', async (_what, addresses, expected) => {
    expect(await look(answering(...addresses), true)).toEqual(expected);
  });

  it('gives one address to those who want one', async () => {
    expect(await look(answering(inside, outside), false)).toEqual(['8.8.8.8', 4]);
  });

  it('understands a resolver that answers with one address', async () => {
    const one: LookupFunction = (_name, _options, callback) => callback(null, '8.8.4.4', 4);
    expect(await look(one, true)).toEqual([{ address: '8.8.4.4', family: 4 }]);
  });

  it('passes the error of the resolver on', async () => {
    const failing: LookupFunction = (_name, _options, callback) =>
      callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), []);
    expect(await look(failing, true)).toBe('ENOTFOUND');
  });
});
