import { describe, expect, it } from 'vitest';
import { Problem } from '../../src/core/problem.ts';
import { type BaseOptions, createBase, type RequestFacts } from '../../src/http/base.ts';

type Headers = RequestFacts['headers'];

function ask(options: Partial<BaseOptions>, headers: Headers, facts: Partial<RequestFacts> = {}) {
  const base = createBase({ trustedProxies: [], ...options });
  return base({ encrypted: false, remoteAddress: '192.0.2.1', headers, ...facts });
}

function codeOf(options: Partial<BaseOptions>, headers: Headers): string {
  try {
    return ask(options, headers).base;
  } catch (error) {
    return error instanceof Problem ? error.code : `no problem but ${String(error)}`;
  }
}

describe('without a proxy, the base', () => {
  it.each<[string, Headers, boolean, string]>([
    ['a name', { host: 'larder.example.com' }, false, 'http://larder.example.com'],
    ['a port', { host: 'localhost:5273' }, false, 'http://localhost:5273'],
    ['TLS', { host: 'larder.example.com' }, true, 'https://larder.example.com'],
    ['the port of the scheme', { host: 'larder.example.com:80' }, false, 'http://larder.example.com'],
    ['the port of the scheme, with TLS', { host: 'larder.example.com:443' }, true, 'https://larder.example.com'],
    ['the port of the other scheme', { host: 'larder.example.com:443' }, false, 'http://larder.example.com:443'],
    ['IPv4', { host: '127.0.0.1:5273' }, false, 'http://127.0.0.1:5273'],
    ['IPv6', { host: '[::1]:5273' }, false, 'http://[::1]:5273'],
    ['IPv6 without a port', { host: '[2001:DB8::1]' }, true, 'https://[2001:db8::1]'],
    ['upper case', { host: 'Larder.Example.COM' }, false, 'http://larder.example.com'],
    ['an underscore, as in compose files', { host: 'my_larder:5273' }, false, 'http://my_larder:5273'],
    ['HTTP/2', { ':authority': 'larder.example.com', host: 'other' }, true, 'https://larder.example.com'],
    [
      'forwarded headers of a stranger',
      {
        host: 'real:1',
        forwarded: 'host=evil;proto=https',
        'x-forwarded-host': 'evil',
        'x-forwarded-proto': 'https',
        'x-forwarded-prefix': '/evil',
        'x-forwarded-for': '203.0.113.9',
      },
      false,
      'http://real:1',
    ],
  ])('of a request with %s', (_name, headers, encrypted, base) => {
    expect(ask({}, headers, { encrypted })).toEqual({ base, remote: '192.0.2.1' });
  });

  it.each<[string, string | undefined]>([
    ['no host', undefined],
    ['an empty host', ''],
    ['user info', 'user@example.com'],
    ['a path', 'example.com/x'],
    ['a blank', 'example.com x'],
    ['a quote', 'example.com"'],
    ['a list', 'a.example.com, b.example.com'],
    ['no port behind the colon', 'example.com:'],
    ['port zero', 'example.com:0'],
    ['a port that is too high', 'example.com:65536'],
    ['a port of letters', 'example.com:http'],
    ['bare IPv6', '::1'],
    ['IPv6 with a zone', '[fe80::1%eth0]'],
    ['brackets around something else', '[example.com]'],
    ['an open bracket', '[::1'],
    ['an IPv4 address out of range', '256.1.1.1'],
    ['an empty label', 'a..example.com'],
    ['a hyphen at the start', '-a.example.com'],
    ['letters outside ASCII', 'caf\u00e9.example.com'],
    ['too many letters', `${'a.'.repeat(200)}example.com`],
  ])('of a request with %s is refused', (_name, host) => {
    expect(codeOf({}, { host })).toBe('bad_request');
  });

  it('is the public URL when one is set, even without a host', () => {
    const options = { publicUrl: 'https://example.com/larder/', trustedProxies: ['192.0.2.1'] };
    expect(ask(options, { 'x-forwarded-host': 'x' }).base).toBe('https://example.com/larder');
    expect(ask(options, {}).base).toBe('https://example.com/larder');
  });
});

/** With `passHostHeader`, at an entry point with TLS. */
const traefik: Headers = {
  host: 'l.example.com',
  'x-forwarded-for': '203.0.113.9',
  'x-forwarded-host': 'l.example.com',
  'x-forwarded-proto': 'https',
  'x-forwarded-server': 'edge-1',
  'x-real-ip': '203.0.113.9',
};

describe('behind a trusted proxy, the base', () => {
  const trustedProxies = ['192.0.2.0/24', '2001:db8::/32'];

  it.each<[string, Headers, string]>([
    ['no headers of its own', { host: 'inner:8080' }, 'http://inner:8080'],
    ['a protocol', { host: 'l.example.com', 'x-forwarded-proto': 'https' }, 'https://l.example.com'],
    [
      'a host and a protocol',
      { host: 'inner:8080', 'x-forwarded-host': 'l.example.com', 'x-forwarded-proto': 'https' },
      'https://l.example.com',
    ],
    [
      'a host with a port',
      { host: 'inner', 'x-forwarded-host': 'l.example.com:8443', 'x-forwarded-proto': 'https' },
      'https://l.example.com:8443',
    ],
    [
      'a port of its own',
      { host: 'l.example.com', 'x-forwarded-proto': 'https', 'x-forwarded-port': '8443' },
      'https://l.example.com:8443',
    ],
    [
      "a port that is the scheme's",
      { host: 'l.example.com', 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' },
      'https://l.example.com',
    ],
    [
      'the port of an inner hop',
      { host: 'l.example.com', 'x-forwarded-proto': 'https', 'x-forwarded-port': '80' },
      'https://l.example.com',
    ],
    [
      'a port beside one in the host',
      { host: 'l.example.com:8443', 'x-forwarded-proto': 'https', 'x-forwarded-port': '9000' },
      'https://l.example.com:8443',
    ],
    [
      'a prefix',
      { host: 'l.example.com', 'x-forwarded-prefix': '/tools/larder/' },
      'http://l.example.com/tools/larder',
    ],
    ['a prefix of one slash', { host: 'l.example.com', 'x-forwarded-prefix': '/' }, 'http://l.example.com'],
    ['IPv6', { host: 'x', 'x-forwarded-host': '[2001:db8::5]:8080' }, 'http://[2001:db8::5]:8080'],
    ['what Traefik 3 sends', { ...traefik, 'x-forwarded-port': '443' }, 'https://l.example.com'],
    [
      'what Traefik 3 sends at another port',
      { ...traefik, host: 'l.example.com:8443', 'x-forwarded-host': 'l.example.com:8443', 'x-forwarded-port': '8443' },
      'https://l.example.com:8443',
    ],
    [
      'what Traefik 3 sends of a path that it took off',
      { ...traefik, 'x-forwarded-port': '443', 'x-forwarded-prefix': '/larder' },
      'https://l.example.com/larder',
    ],
    [
      'the standard header',
      { host: 'x', forwarded: 'for=203.0.113.9;host=l.example.com;proto=https' },
      'https://l.example.com',
    ],
    [
      'the standard header with quotes',
      { host: 'x', forwarded: 'For="[2001:db9::1]:4711"; Proto=HTTPS ;Host="l.example.com:8443"' },
      'https://l.example.com:8443',
    ],
    [
      'both kinds: the standard one may be the client’s own',
      { host: 'x', forwarded: 'host=evil', 'x-forwarded-host': 'l.example.com' },
      'http://l.example.com',
    ],
    [
      'a list, where the client made up the first item',
      { host: 'x', 'x-forwarded-for': 'made-up, 203.0.113.9', 'x-forwarded-host': 'evil, l.example.com' },
      'http://l.example.com',
    ],
    [
      'a list of two trusted hops',
      {
        host: 'x',
        'x-forwarded-for': '203.0.113.9, 192.0.2.7',
        'x-forwarded-host': 'l.example.com, inner',
        'x-forwarded-proto': 'https, http',
      },
      'https://l.example.com',
    ],
    [
      'a list of two trusted hops before which the client made something up',
      {
        host: 'x',
        'x-forwarded-for': '198.51.100.1, 203.0.113.9, 192.0.2.7',
        'x-forwarded-host': 'evil, l.example.com, inner',
      },
      'http://l.example.com',
    ],
    [
      'standard elements of two hops',
      { host: 'x', forwarded: 'host=evil, for=203.0.113.9;host=l.example.com;proto=https, for=192.0.2.7;proto=http' },
      'https://l.example.com',
    ],
    ['headers on several lines', { host: 'x', 'x-forwarded-host': ['evil', 'l.example.com'] }, 'http://l.example.com'],
  ])('with %s', (_name, headers, base) => {
    expect(ask({ trustedProxies }, headers).base).toBe(base);
  });

  it.each<[string, Headers]>([
    ['a protocol that is none', { 'x-forwarded-proto': 'javascript' }],
    ['a malformed host', { 'x-forwarded-host': 'a/b' }],
    ['a port that is none', { 'x-forwarded-port': '8443x' }],
    ['a prefix that climbs', { 'x-forwarded-prefix': '/a/../b' }],
    ['a prefix that is another host', { 'x-forwarded-prefix': '//evil.example.com' }],
    ['a prefix without a slash', { 'x-forwarded-prefix': 'larder' }],
    ['a prefix with markup', { 'x-forwarded-prefix': '/<script>' }],
    ['a standard header without end', { forwarded: 'for=a,'.repeat(1000) }],
  ])('with %s is refused', (_name, headers) => {
    expect(codeOf({ trustedProxies }, { host: 'x', ...headers })).toBe('bad_request');
  });

  it.each([
    ['an address in the block', '192.0.2.200', true],
    ['an IPv4 address on an IPv6 socket', '::ffff:192.0.2.200', true],
    ['an IPv6 address in the block', '2001:db8:1::5', true],
    ['an address outside', '192.0.3.1', false],
    ['an IPv4 address outside, on an IPv6 socket', '::ffff:192.0.3.1', false],
    ['an IPv6 address outside', '2001:db9::1', false],
    ['a socket without address', '', false],
  ])('believes %s (%s): %s', (_name, remoteAddress, believed) => {
    const { base } = ask({ trustedProxies }, { host: 'x', 'x-forwarded-host': 'y' }, { remoteAddress });
    expect(base).toBe(believed ? 'http://y' : 'http://x');
  });

  it.each(['10.0.0.0/33', '10.0.0/8', 'fd00::/129', 'proxy.example.com', '10.0.0.0/8/8', '10.0.0.0/x', ''])(
    'is not computed with %s for a proxy',
    (entry) => {
      expect(() => createBase({ trustedProxies: [entry] })).toThrow('CIDR');
    },
  );

  it('stays right over more hosts than are remembered', () => {
    const base = createBase({ trustedProxies });
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 1200; i++) {
        const host = `h${i}.example.com`;
        expect(base({ encrypted: false, remoteAddress: '10.0.0.1', headers: { host } }).base).toBe(`http://${host}`);
      }
    }
  });
});

describe('the client', () => {
  const trustedProxies = ['192.0.2.0/24'];

  it.each<[string, Headers, string]>([
    ['the socket, when nothing is forwarded', {}, '192.0.2.1'],
    ['what the proxy saw', { 'x-forwarded-for': '203.0.113.9' }, '203.0.113.9'],
    ['what the proxy saw, not what the client says', { 'x-forwarded-for': '198.51.100.1, 203.0.113.9' }, '203.0.113.9'],
    ['beyond all trusted hops', { 'x-forwarded-for': '203.0.113.9, 192.0.2.8, 192.0.2.7' }, '203.0.113.9'],
    ['the outermost, when all are trusted', { 'x-forwarded-for': '192.0.2.9, 192.0.2.8' }, '192.0.2.9'],
    ['without its port', { 'x-forwarded-for': '203.0.113.9:4711' }, '203.0.113.9'],
    ['IPv6 with a port', { 'x-forwarded-for': '[2001:DB8::9]:4711' }, '2001:db8::9'],
    ['IPv4 in IPv6', { 'x-forwarded-for': '::ffff:203.0.113.9' }, '203.0.113.9'],
    ['the last one known, before garbage', { 'x-forwarded-for': 'unknown, 192.0.2.8' }, '192.0.2.8'],
    ['of the standard header', { forwarded: 'for="[2001:db8::9]:4711"' }, '2001:db8::9'],
    ['the proxy, when the standard header hides it', { forwarded: 'for=_hidden' }, '192.0.2.1'],
    [
      'what the proxy saw, not what the client says in a header that the proxy passes on',
      { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=10.0.0.1' },
      '203.0.113.9',
    ],
  ])('is %s', (_name, headers, remote) => {
    expect(ask({ trustedProxies }, { host: 'x', ...headers }).remote).toBe(remote);
  });

  it('is the socket when no proxy is trusted', () => {
    expect(ask({}, { host: 'x', 'x-forwarded-for': '203.0.113.9' }, { remoteAddress: '::ffff:10.1.2.3' }).remote).toBe(
      '10.1.2.3',
    );
  });
});
