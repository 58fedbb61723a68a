/**
 * Where we let documents and redirects send us. What they say is a stranger's word: without a guard a package document
 * could make Larder ask the cloud's metadata service, a database next door, or itself.
 */
import { BlockList, isIP, isIPv4, isIPv6, type LookupFunction } from 'node:net';
import { Problem } from '../core/problem.ts';

/** Code of the error with which a name fails that stands for private addresses only. */
export const forbiddenAddress = 'ERR_FORBIDDEN_ADDRESS';

export interface GuardSettings {
  /** Name of the upstream, for messages. */
  readonly name: string;
  readonly home: URL;
  /** `host`, `host:port`, `*.domain` or `*.domain:port`. */
  readonly hosts: readonly string[];
  readonly onlyHosts: boolean;
}

/** `trusted`: the upstream's own address or one the operator named. `public`: any other; only public addresses may be connected to. */
export type Trust = 'trusted' | 'public';

export interface Guard {
  /** A URL we do not go to at all is a problem. */
  judge(url: URL): Trust;
}

export function createGuard(settings: GuardSettings): Guard {
  const home = placeOf(settings.home);
  const named = settings.hosts.map(parsePlace);

  function refuse(url: URL, why: string): Problem {
    return new Problem(
      'upstream_invalid',
      `The upstream "${settings.name}" led to an address that Larder does not go to (${why}). If it is right, allow it under "hosts" of this upstream.`,
      { cause: new Error(`Refused to go to ${url.protocol}//${url.host}`) },
    );
  }

  function judge(url: URL): Trust {
    if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refuse(url, 'neither http nor https');
    if (url.username !== '' || url.password !== '') throw refuse(url, 'it carries credentials');
    const place = placeOf(url);
    if (place.host === home.host && place.port === home.port) return 'trusted';
    if (named.some((pattern) => matches(pattern, place))) return 'trusted';
    if (settings.onlyHosts) throw refuse(url, 'a host that is not among the named ones');
    if (isIP(place.host) === 0 ? isInternalName(place.host) : !isPublicAddress(place.host)) {
      throw refuse(url, 'not a public address');
    }
    return 'public';
  }

  return { judge };
}

interface Place {
  readonly host: string;
  /** Empty in a pattern: any port. */
  readonly port: string;
}

/** The URL parser has already read odd ways to write an IPv4 address (`127.1`, `0x7f000001`, `2130706433`). */
function placeOf(url: URL): Place {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
  return { host, port: url.port || (url.protocol === 'https:' ? '443' : '80') };
}

function parsePlace(entry: string): Place {
  const text = entry.trim().toLowerCase();
  if (isIPv6(text)) return { host: placeOf(new URL(`http://[${text}]`)).host, port: '' };
  const [, host = text, port = ''] = /^(.*?)(?::(\d+))?$/.exec(text) ?? [];
  if (host.startsWith('*.')) return { host: host.replace(/\.$/, ''), port };
  const parsed = URL.canParse(`http://${host}`) ? placeOf(new URL(`http://${host}`)).host : host;
  return { host: parsed, port };
}

function matches(pattern: Place, place: Place): boolean {
  if (pattern.port !== '' && pattern.port !== place.port) return false;
  if (pattern.host.startsWith('*.')) return isIP(place.host) === 0 && place.host.endsWith(pattern.host.slice(1));
  return pattern.host === place.host;
}

const internalSuffixes = ['localhost', 'localdomain', 'local', 'internal', 'intranet', 'home.arpa'];

/** Matters behind an egress proxy, which resolves names where we cannot see the address. */
function isInternalName(host: string): boolean {
  return !host.includes('.') || internalSuffixes.some((suffix) => host === suffix || host.endsWith(`.${suffix}`));
}

// IANA's special-purpose address registries: whatever is not globally reachable, and multicast.
const privateIPv4 = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  privateIPv4.addSubnet(network, prefix, 'ipv4');
}

const globalIPv6 = new BlockList();
globalIPv6.addSubnet('2000::', 3, 'ipv6');

const privateIPv6 = new BlockList();
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  privateIPv6.addSubnet(network, prefix, 'ipv6');
}

/** Addresses that stand for an IPv4 address, which is then what counts: mapped ones, and NAT64, which IPv6-only networks cannot do without. */
const embeddings = new BlockList();
embeddings.addSubnet('::ffff:0:0', 96, 'ipv6');
embeddings.addSubnet('64:ff9b::', 96, 'ipv6');

/** False for everything that is not an address of the public internet, and for what is no address at all. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !privateIPv4.check(address, 'ipv4');
  // A zone (`fe80::1%eth0`) exists only on links, so it is never public.
  if (!isIPv6(address) || address.includes('%')) return false;
  if (embeddings.check(address, 'ipv6')) return !privateIPv4.check(lastFourBytes(address), 'ipv4');
  return globalIPv6.check(address, 'ipv6') && !privateIPv6.check(address, 'ipv6');
}

function lastFourBytes(address: string): string {
  // The URL parser writes a mixed form (`::ffff:127.0.0.1`) as plain groups.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split(':');
  const [high, low] = groups.slice(-2).map((group) => Number.parseInt(group || '0', 16));
  return [(high ?? 0) >> 8, (high ?? 0) & 0xff, (low ?? 0) >> 8, (low ?? 0) & 0xff].join('.');
}

/**
 * Looks names up as `lookup` does, but leaves private addresses out. The socket connects to what this answers, so a
 * name that resolves differently the second time gains nothing.
 */
export function publicOnly(lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, []);
      const all = typeof found === 'string' ? [{ address: found, family: isIP(found) }] : found;
      const addresses = all.filter(({ address }) => isPublicAddress(address));
      const [first] = addresses;
      if (!first) {
        const refused = new Error(`${hostname} has no public address`);
        return callback(Object.assign(refused, { code: forbiddenAddress }), []);
      }
      if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}
