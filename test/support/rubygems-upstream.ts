/**
 * A gem server over the fake upstream: gems that Ruby built, or that a test made up, behind a compact index of our own and
 * the lists in Marshal, with faults that a test switches on and off.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import { readSpecTuples, type SpecTuple, writeSpecTuples } from '../../src/codecs/gem-marshal.ts';
import { type FakeUpstream, type FakeUpstreamOptions, gate, type Reply, startFakeUpstream } from './fake-upstream.ts';

export interface GemFile {
  readonly name: string;
  readonly version: string;
  /** Default: `ruby`. */
  readonly platform?: string;
  /** Runtime dependencies as the compact index writes them: `rack:>= 2.0&< 4,tilt:>= 0`. */
  readonly needs?: string;
  /** Default: none, as `>= 0` is left out. */
  readonly ruby?: string;
  readonly bytes?: Buffer;
  /** Default: a little later than the one before. */
  readonly createdAt?: string;
  /** The `.gemspec.rz`. Default: one with nothing but name and version. */
  readonly gemspec?: Buffer;
}

export type FileKind = 'versions' | 'names' | 'info' | 'gem' | 'gemspec' | 'list' | 'other';

export type Fault =
  | '401'
  | '403'
  | '404'
  | '429'
  | '500'
  | '503'
  | 'stall'
  | 'sign-in page'
  | 'wrong bytes'
  | 'truncated'
  | 'cut';

export interface GemsUpstreamOptions extends FakeUpstreamOptions {
  /** Path of the server's URL, e.g. `/acme/gems`. Default: none. */
  readonly prefix?: string;
  /** Default: all three. Without `compact` there are only the lists, as in a folder that `gem generate_index` made. */
  readonly compact?: boolean;
}

export interface GemsUpstream {
  readonly upstream: FakeUpstream;
  /** With the prefix, no trailing slash. */
  readonly url: string;
  /** Adds a version at the end of everything; the full name. */
  publish(gem: GemFile): string;
  yank(full: string): void;
  /** Puts any bytes anywhere. */
  put(path: string, bytes: Buffer | string): void;
  /** What an honest answer for this path holds; throws when there is none. */
  bytes(path: string): Buffer;
  /** From now on every answer for such files is this. */
  misbehave(target: FileKind | ((path: string) => boolean), fault: Fault): void;
  /** From now on it is honest again. */
  heal(): void;
  /** Requests for a path, prefix left out. */
  count(path: string, method?: string): number;
  /** `GET /path` of every request so far, in order. */
  log(): string[];
}

export interface NewGem {
  readonly name: string;
  readonly version: string;
  readonly platform?: string;
  readonly needs?: Readonly<Record<string, readonly string[]>>;
  readonly ruby?: string;
  readonly files?: Readonly<Record<string, string>>;
}

interface BuiltGem {
  readonly full: string;
  readonly name: string;
  readonly version: string;
  readonly platform: string;
  readonly needs: string;
  readonly ruby: string;
  readonly sha256: string;
}

const buildScript = fileURLToPath(new URL('rubygems-build.rb', import.meta.url));

/** Has Ruby build them in an empty folder; what `gem generate_index` makes of them lies there too. */
export function buildGems(folder: string, gems: readonly NewGem[]): GemFile[] {
  const said = execFileSync('ruby', [buildScript, folder], {
    input: JSON.stringify(gems),
    maxBuffer: 64 * 1024 * 1024,
  });
  return (JSON.parse(said.toString()) as BuiltGem[]).map((built) => ({
    name: built.name,
    version: built.version,
    platform: built.platform,
    needs: built.needs,
    ...(built.ruby === '>= 0' ? {} : { ruby: built.ruby }),
    bytes: readFileSync(join(folder, 'gems', `${built.full}.gem`)),
    gemspec: readFileSync(join(folder, 'quick/Marshal.4.8', `${built.full}.gemspec.rz`)),
  }));
}

const md5Of = (bytes: string | Buffer): string => createHash('md5').update(bytes).digest('hex');
const sha256Of = (bytes: string | Buffer, encoding: 'hex' | 'base64' = 'hex'): string =>
  createHash('sha256').update(bytes).digest(encoding);

export function kindOf(path: string): FileKind {
  if (path === '/versions') return 'versions';
  if (path === '/names') return 'names';
  if (path.startsWith('/info/')) return 'info';
  if (path.startsWith('/gems/')) return 'gem';
  if (path.startsWith('/quick/')) return 'gemspec';
  return path.endsWith('specs.4.8.gz') ? 'list' : 'other';
}

const isPage = (path: string): boolean => ['versions', 'names', 'info'].includes(kindOf(path));

/** A text as Marshal has it, short ones only. */
const marshalled = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0x22, text.length + 5]), Buffer.from(text, 'latin1')]);

/** What RubyGems reads first of a specification, and no more: no client can install with it. */
export function briefGemspec(name: string, version: string): Buffer {
  const symbol = (text: string): Buffer => Buffer.concat([Buffer.from([0x3a, text.length + 5]), Buffer.from(text)]);
  const inner = Buffer.concat([
    Buffer.from([4, 8, 0x5b, 9]),
    marshalled('3.3.15'),
    Buffer.from([0x69, 9]),
    marshalled(name),
    Buffer.from('U'),
    symbol('Gem::Version'),
    Buffer.from([0x5b, 6]),
    marshalled(version),
  ]);
  const length = inner.length < 123 ? [inner.length + 5] : [1, inner.length];
  return deflateSync(
    Buffer.concat([Buffer.from([4, 8, 0x75]), symbol('Gem::Specification'), Buffer.from(length), inner]),
  );
}

interface Listed {
  readonly gem: GemFile;
  readonly full: string;
  /** As the compact index writes it. */
  readonly version: string;
  readonly line: string;
  isYanked: boolean;
}

const epoch = Date.UTC(2024, 0, 1, 12);

function server({ compact = true }: GemsUpstreamOptions) {
  const listed: Listed[] = [];
  const put = new Map<string, Buffer>();
  const log: string[] = [];
  let clock = epoch;

  const of = (name: string): Listed[] => listed.filter(({ gem, isYanked }) => gem.name === name && !isYanked);
  const info = (name: string): string =>
    `---\n${of(name)
      .map(({ line }) => `${line}\n`)
      .join('')}`;
  const note = (name: string, version: string): void => void log.push(`${name} ${version} ${md5Of(info(name))}`);

  function publish(gem: GemFile): string {
    clock += 60_000;
    const platform = gem.platform ?? 'ruby';
    const version = platform === 'ruby' ? gem.version : `${gem.version}-${platform}`;
    const facts = [
      `checksum:${sha256Of(gem.bytes ?? Buffer.alloc(0))}`,
      ...(gem.ruby === undefined ? [] : [`ruby:${gem.ruby}`]),
      `created_at:${gem.createdAt ?? new Date(clock).toISOString().replace('.000', '')}`,
    ];
    const full = `${gem.name}-${version}`;
    listed.push({ gem, full, version, line: `${version} ${gem.needs ?? ''}|${facts.join(',')}`, isYanked: false });
    note(gem.name, version);
    return full;
  }

  function yank(full: string): void {
    const one = listed.find((known) => known.full === full);
    if (!one) throw new Error(`There is no ${full}`);
    one.isYanked = true;
    note(one.gem.name, `-${one.version}`);
  }

  function tuples(path: string): SpecTuple[] {
    const all = listed
      .filter(({ isYanked }) => !isYanked)
      .map(({ gem }) => ({ name: gem.name, version: gem.version, platform: gem.platform ?? 'ruby' }));
    const isPrerelease = ({ version }: SpecTuple): boolean => /[a-z]/i.test(version);
    if (path.startsWith('/prerelease')) return all.filter(isPrerelease);
    const released = all.filter((one) => !isPrerelease(one));
    if (path.startsWith('/specs')) return released;
    return [...new Map(released.map((one) => [`${one.name} ${one.platform}`, one])).values()];
  }

  function find(path: string): Buffer | undefined {
    const own = put.get(path);
    if (own) return own;
    const text = (page: string): Buffer | undefined => (compact ? Buffer.from(page) : undefined);
    switch (kindOf(path)) {
      case 'versions':
        return text(`created_at: 2024-01-01T00:00:05Z\n---\n${log.map((line) => `${line}\n`).join('')}`);
      case 'names':
        return text(`---\n${[...new Set(listed.map(({ gem }) => gem.name))].sort().join('\n')}\n`);
      case 'info': {
        const name = path.slice('/info/'.length);
        return listed.some(({ gem }) => gem.name === name) ? text(info(name)) : undefined;
      }
      case 'gem':
        return listed.find(({ full }) => path === `/gems/${full}.gem`)?.gem.bytes;
      case 'gemspec': {
        const one = listed.find(({ full }) => path === `/quick/Marshal.4.8/${full}.gemspec.rz`);
        return one && (one.gem.gemspec ?? briefGemspec(one.gem.name, one.gem.version));
      }
      case 'list':
        return gzipSync(writeSpecTuples(tuples(path)));
      case 'other':
        return path === '/' ? Buffer.from('gems\n') : undefined;
    }
  }

  return { publish, yank, find, put: (path: string, bytes: Buffer) => void put.set(path, bytes), clock: () => clock };
}

const never = gate();
const signInPage = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in</body></html>\n';

/** Other bytes of the same kind, so that only a digest or a length can tell; a list that is one, with other things in it. */
function spoiled(path: string, bytes: Buffer): Buffer {
  if (kindOf(path) === 'list') {
    const others = [...readSpecTuples(gunzipSync(bytes))].map((one) => ({ ...one, version: '99.0' }));
    return gzipSync(writeSpecTuples(others));
  }
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}

function faulty(fault: Fault, path: string, good: Reply, bytes: Buffer): Reply {
  switch (fault) {
    case '401':
      return {
        status: 401,
        headers: { 'www-authenticate': 'Basic realm="x"' },
        body: signInPage,
        contentType: 'text/html',
      };
    case '403':
    case '404':
    case '500':
    case '503':
      return { status: Number(fault), body: `<html>${fault}</html>`, contentType: 'text/html' };
    case '429':
      return { status: 429, headers: { 'retry-after': '1' } };
    case 'stall':
      return { holdHeaders: never };
    case 'sign-in page':
      return { body: signInPage, contentType: 'text/html' };
    case 'wrong bytes':
      return { ...good, body: spoiled(path, bytes) };
    case 'truncated': {
      const { etag: _, headers: __, codings: ___, ...rest } = good;
      return { ...rest, body: bytes.subarray(0, (bytes.length >> 1) + 1) };
    }
    case 'cut': {
      const { codings: _, ...rest } = good;
      return { ...rest, truncateAt: bytes.length >> 1, length: bytes.length };
    }
  }
}

/** Starts it; a test must close its `upstream`. */
export async function startGemsUpstream(options: GemsUpstreamOptions = {}): Promise<GemsUpstream> {
  const upstream = await startFakeUpstream(options);
  const held = server(options);
  const prefix = options.prefix ?? '';
  const faults: { readonly applies: (path: string) => boolean; readonly fault: Fault }[] = [];

  function honest(path: string, bytes: Buffer): Reply {
    if (!isPage(path)) {
      const lastModified = new Date(held.clock()).toUTCString();
      return { body: bytes, contentType: 'application/octet-stream', etag: `"${md5Of(bytes)}"`, lastModified };
    }
    const digest = sha256Of(bytes, 'base64');
    return {
      body: bytes,
      contentType: 'text/plain; charset=utf-8',
      etag: `"${md5Of(bytes)}"`,
      codings: ['gzip'],
      headers: { 'repr-digest': `sha-256=:${digest}:`, digest: `sha-256=${digest}` },
    };
  }

  const pathOf = (raw: string): string | undefined =>
    raw.startsWith(`${prefix}/`) ? decodeURIComponent(raw.slice(prefix.length)) : undefined;

  upstream.otherwise((request): Reply => {
    const path = pathOf(request.path);
    const bytes = path === undefined ? undefined : held.find(path);
    const fault = path === undefined ? undefined : faults.findLast(({ applies }) => applies(path))?.fault;
    if (path === undefined || (!bytes && fault === undefined))
      return { status: 404, body: 'This gem could not be found', contentType: 'text/plain' };
    const good: Reply = bytes ? honest(path, bytes) : { status: 404 };
    return fault === undefined ? good : faulty(fault, path, good, bytes ?? Buffer.alloc(0));
  });

  return {
    upstream,
    get url() {
      return `${upstream.url}${prefix}`;
    },
    publish: held.publish,
    yank: held.yank,
    put: (path, bytes) => held.put(path, Buffer.from(bytes)),
    bytes(path) {
      const bytes = held.find(path);
      if (!bytes) throw new Error(`There is no ${path}`);
      return bytes;
    },
    misbehave(target, fault) {
      faults.push({ applies: typeof target === 'function' ? target : (path) => kindOf(path) === target, fault });
    },
    heal() {
      faults.length = 0;
    },
    count: (path, method) =>
      upstream.requests.filter((seen) => pathOf(seen.path) === path && (method === undefined || seen.method === method))
        .length,
    log: () => upstream.requests.map((seen) => `${seen.method} ${pathOf(seen.path) ?? seen.path}`),
  };
}
