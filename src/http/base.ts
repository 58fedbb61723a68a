/** Under which address the client reached us, and who the client is: from the configuration, from proxies that are trusted, or from the request itself. */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { Problem } from '../core/problem.ts';

export interface BaseOptions {
  /** Wins over everything a request says; may have a path. */
  readonly publicUrl?: string | undefined;
  /** Addresses and CIDR blocks, IPv4 and IPv6. Only what comes from these is asked for forwarded headers. */
  readonly trustedProxies: readonly string[];
}

export interface RequestFacts {
  readonly encrypted: boolean;
  /** Of the socket. */
  readonly remoteAddress: string;
  /** Names in lower case, as Node gives them; HTTP/2's `:authority` stands for `host`. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

export interface Base {
  /** Scheme, host, port unless it is the scheme's own, and the path that a proxy removed; no trailing slash. */
  readonly base: string;
  /** The client's address: the nearest one that is no trusted proxy. */
  readonly remote: string;
}

/** What a chain of proxies said about the request as the client sent it. */
interface Forwarded {
  readonly proto?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: string | undefined;
  readonly prefix?: string | undefined;
  readonly remote: string;
}

const rememberedBases = 500;
/** A name of DNS (253), a bracketed address, and a port. */
const maxHostLength = 262;
/** A chain of ten proxies says less. Keeps the reading of a made-up one cheap. */
const maxForwardedLength = 2048;
const hostName = /^(?!-)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?$/;
const prefixPath = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~@+-]+)*$/;
const ownPort: Readonly<Record<string, string>> = { http: '80', https: '443' };
const otherPort: Readonly<Record<string, string>> = { http: '443', https: '80' };

function refuse(what: string): never {
  throw new Problem('bad_request', `${what} Larder can't tell under which address it was asked.`);
}

function single(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'object' ? value.join(',') : value;
}

function listed(value: string | readonly string[] | undefined): string[] {
  return (single(value) ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** An IPv4 address that a dual-stack socket reports as IPv6 is that IPv4 address. */
export function plainAddress(address: string): string {
  const inner = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return inner ?? address.toLowerCase();
}

/** The address of a `for=` or of an item of X-Forwarded-For, without its port; `undefined` for `unknown`, obfuscated names and garbage. */
function addressOf(text: string): string | undefined {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  return isIP(bare) ? plainAddress(bare) : undefined;
}

/** Host and port in canonical form; `undefined` if it is not the syntax of RFC 3986's authority without user info. */
function canonicalHost(text: string, proto: string, forwardedPort: string | undefined): string | undefined {
  if (text.length > maxHostLength) return undefined;
  const [, bracketed, named = '', explicitPort] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  let host: string;
  if (bracketed !== undefined) {
    if (!isIPv6(bracketed) || bracketed.includes('%')) return undefined;
    host = `[${bracketed.toLowerCase()}]`;
  } else {
    host = named.toLowerCase();
    if (!hostName.test(host)) return undefined;
    if (/^[\d.]+$/.test(host) && !isIPv4(host)) return undefined;
  }
  // An inner proxy reports the port it was reached on, which says nothing once TLS has ended further out.
  const port = explicitPort ?? (forwardedPort === otherPort[proto] ? undefined : forwardedPort);
  if (port === undefined) return host;
  const number = /^\d{1,5}$/.test(port) ? Number(port) : 0;
  if (number < 1 || number > 65535) return undefined;
  return String(number) === ownPort[proto] ? host : `${host}:${number}`;
}

/** The elements of a `Forwarded` header (RFC 7239), parameter names in lower case. A quoted string may hold commas. */
function forwardedElements(header: string): Record<string, string>[] {
  const elements: Record<string, string>[] = [{}];
  for (const [, name, quoted, token, separator] of header.matchAll(
    /\s*(?:([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?\s*([;,]|$)/g,
  )) {
    if (name !== undefined) {
      const element = elements.at(-1) as Record<string, string>;
      element[name.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? token ?? '';
    }
    if (separator === ',') elements.push({});
  }
  return elements.filter((element) => Object.keys(element).length > 0);
}

/** Whether an address lies in one of the blocks. */
export function createTrust(blocks: readonly string[]): (address: string) => boolean {
  const list = blockList(blocks);
  return (address) => {
    const plain = plainAddress(address);
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4');
  };
}

function blockList(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits, ...more] = entry.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const widest = family === 'ipv6' ? 128 : 32;
    const length = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    if (!isIP(address) || more.length > 0 || length < 0 || length > widest) {
      throw new Error(`${entry} is neither an address nor a CIDR block such as 10.0.0.0/8 or fd00::/8`);
    }
    list.addSubnet(address, length, family);
  }
  return list;
}

/**
 * With several proxies in a row a list grows from the left, so the item that the outermost trusted proxy wrote stands as
 * far from the right end as there are trusted proxies; anything further left the client may have made up. A
 * proxy that overwrites instead leaves a short list.
 */
function atHop(items: readonly string[], hops: number): string | undefined {
  return items[Math.max(0, items.length - hops)];
}

/**
 * Returns the function that tells base and client of a request. It throws a `bad_request` problem when the host is
 * missing or malformed and the configuration names no public URL.
 *
 * X-Forwarded-* is read before `Forwarded`, which is only read when no X-Forwarded-Host or -Proto is there, and for the client's
 * address when there is no X-Forwarded-For either: most proxies set the former and pass the latter on as the client sent it.
 */
export function createBase({ publicUrl, trustedProxies }: BaseOptions): (facts: RequestFacts) => Base {
  const isTrusted = createTrust(trustedProxies);
  const fixed = publicUrl?.replace(/\/+$/, '');
  const bases = new Map<string, string>();

  /** Walks from the nearest proxy outwards; `addresses` are left to right. Tells the client and how many trusted proxies it passed. */
  function walk(nearest: string, addresses: readonly string[]): { readonly remote: string; readonly hops: number } {
    let remote = nearest;
    let hops = 1;
    for (const item of addresses.toReversed()) {
      const address = addressOf(item);
      if (address === undefined) break;
      remote = address;
      if (!isTrusted(address)) break;
      hops++;
    }
    return { remote, hops };
  }

  function readForwarded(nearest: string, headers: RequestFacts['headers']): Forwarded {
    const hosts = listed(headers['x-forwarded-host']);
    const protos = listed(headers['x-forwarded-proto']);
    const prefixes = listed(headers['x-forwarded-prefix']);
    const standard = single(headers.forwarded);
    const addresses = listed(headers['x-forwarded-for']);
    if (hosts.length === 0 && protos.length === 0 && standard !== undefined) {
      if (standard.length > maxForwardedLength) refuse('The Forwarded header is too long.');
      const elements = forwardedElements(standard);
      const { remote, hops } = walk(
        nearest,
        elements.map((element) => element.for ?? ''),
      );
      // A proxy that says nothing but the address says it in the one, and passes the other on as the client wrote it.
      const told = addresses.length > 0 ? walk(nearest, addresses).remote : remote;
      // Inner proxies may leave out what an outer one has said already.
      const seen = elements.slice(Math.max(0, elements.length - hops));
      const proto = seen.find((element) => element.proto !== undefined)?.proto;
      const host = seen.find((element) => element.host !== undefined)?.host;
      return { proto, host, prefix: atHop(prefixes, hops), remote: told };
    }
    const { remote, hops } = walk(nearest, addresses);
    return {
      proto: atHop(protos, hops),
      host: atHop(hosts, hops),
      port: atHop(listed(headers['x-forwarded-port']), hops),
      prefix: atHop(prefixes, hops),
      remote,
    };
  }

  function compose(encrypted: boolean, asked: string | undefined, forwarded: Forwarded | undefined): string {
    const proto = (forwarded?.proto ?? (encrypted ? 'https' : 'http')).toLowerCase();
    if (proto !== 'http' && proto !== 'https') refuse('The forwarded protocol is neither http nor https.');
    const host = forwarded?.host ?? asked;
    if (host === undefined || host === '') refuse('The request has no Host header.');
    const canonical = canonicalHost(host, proto, forwarded?.port);
    if (canonical === undefined) refuse('The host of the request is malformed.');
    const prefix = (forwarded?.prefix ?? '').replace(/\/+$/, '');
    if (!prefixPath.test(prefix)) refuse('The forwarded path prefix is malformed.');
    return `${proto}://${canonical}${prefix}`;
  }

  function remembered(encrypted: boolean, asked: string | undefined, forwarded: Forwarded | undefined): string {
    const key = [encrypted, asked, forwarded?.proto, forwarded?.host, forwarded?.port, forwarded?.prefix].join('\n');
    const known = bases.get(key);
    if (known !== undefined) return known;
    const base = compose(encrypted, asked, forwarded);
    // Whoever makes up host names pushes out nothing that is expensive to make again.
    if (bases.size >= rememberedBases) bases.delete(bases.keys().next().value ?? '');
    bases.set(key, base);
    return base;
  }

  return ({ encrypted, remoteAddress, headers }) => {
    const nearest = plainAddress(remoteAddress);
    const forwarded = trustedProxies.length > 0 && isTrusted(nearest) ? readForwarded(nearest, headers) : undefined;
    const remote = forwarded?.remote ?? nearest;
    if (fixed !== undefined) return { base: fixed, remote };
    return { base: remembered(encrypted, single(headers[':authority'] ?? headers.host), forwarded), remote };
  };
}
