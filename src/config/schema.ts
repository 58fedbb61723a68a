/**
 * The configuration twice: as it is once read (every default filled in, sizes in bytes, durations in milliseconds, paths
 * absolute), and as people write it.
 */
import { z } from 'zod';
import { parseDuration, parseListen, parseRate, parseSize } from './units.ts';

export interface Config {
  /** Absolute path of the file it was read from. */
  readonly file: string;
  readonly server: ServerConfig;
  readonly storage: StorageConfig;
  readonly index: 'sqlite' | 'memory' | `redis://${string}`;
  /** Host name (lower case, without port) to `org/repository`; `default` stands for every other name. */
  readonly hosts: Readonly<Record<string, string>>;
  /** The ones that some repository uses and the ones the file names. */
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  readonly orgs: Readonly<Record<string, OrgConfig>>;
  /** Whose ID tokens CI jobs may show, by the name that rules use. */
  readonly issuers: Readonly<Record<string, IssuerConfig>>;
  readonly signIn?: SignInConfig;
  /** No upstream is asked at all. */
  readonly offline: boolean;
  readonly webhooks: { readonly hosts: readonly string[] };
  readonly documents: DocumentsConfig;
  readonly log: LogConfig;
  /** `from`: CIDR blocks. */
  readonly metrics: { readonly enabled: boolean; readonly from: readonly string[] };
  /** Absent: requests are not traced. */
  readonly tracing?: TracingConfig;
  /** What the operator should know although it is no mistake. */
  readonly notes: readonly string[];
}

export interface ServerConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** No trailing slash; may have a path. */
  readonly publicUrl?: string;
  /** CIDR blocks, IPv4 and IPv6. */
  readonly trustedProxies: readonly string[];
  /** Large stored bytes are sent by the proxy in front. `path` begins and ends with a slash. */
  readonly handOff?: { readonly path: string; readonly fromBytes: number };
  /** PEM text of both files. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly limits: LimitsConfig;
  /** How long running transfers may go on after a signal to stop. */
  readonly drainMs: number;
  /** Memory for answers of up to 2 MiB that are asked for often. Larger files go through as much again on their way to clients. */
  readonly hotMemoryBytes: number;
}

export interface LimitsConfig {
  readonly headerBytes: number;
  readonly urlBytes: number;
  /** Of request bodies that are held in memory. */
  readonly bodyBytes: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** How long a client may take nothing of what is sent to it. */
  readonly readerTimeoutMs: number;
  /** Slowest that a request body may come, measured over the window. */
  readonly uploadBytesPerSecond: number;
  readonly uploadWindowMs: number;
  readonly connections: number;
  /** Streams of one HTTP/2 connection. */
  readonly streams: number;
  /** Addresses, and as many identities, that are kept apart. */
  readonly clients: number;
  readonly perAddress: ClientLimitsConfig & { readonly connections: number };
  readonly perIdentity: ClientLimitsConfig;
}

/** What is absent is unlimited. */
export interface ClientLimitsConfig {
  readonly requests?: { readonly perSecond: number; readonly burst: number };
  /** Per second. */
  readonly downloadBytes?: number;
  /** Per second. */
  readonly uploadBytes?: number;
  /** At the same time. */
  readonly transfers?: number;
}

/** Of one org; whole, with what the server's say filled in. */
export interface OrgLimitsConfig {
  readonly perAddress: ClientLimitsConfig;
  readonly perIdentity: ClientLimitsConfig;
  readonly total: ClientLimitsConfig;
}

export interface StorageConfig {
  readonly path: string;
  /** Absent: only the disk's own limit. */
  readonly maxSizeBytes?: number;
  readonly keepFreeBytes: number;
}

export interface UpstreamConfig {
  readonly name: string;
  /** Base URL without trailing slash. */
  readonly url: string;
  /** Where the address comes from, in words for `larder check`. */
  readonly from: string;
  readonly format?: string;
  readonly auth?: { readonly bearer: string } | { readonly username: string; readonly password: string };
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly concurrency: number;
  readonly maxQueue: number;
  readonly retries: number;
  readonly proxy?: string;
  /** PEM text. */
  readonly ca?: string;
  readonly hosts: readonly string[];
  readonly onlyHosts: boolean;
  /** It is never asked. */
  readonly offline: boolean;
  /** What mirror clients call it, lower case; its own host is always among them. */
  readonly namespaces: readonly string[];
  readonly shortNames?: string;
  /** Origins, without trailing slash. */
  readonly realms: readonly string[];
  /** What it may be told of the trace that a request is part of. */
  readonly traceContext: 'nothing' | 'traceparent' | 'all';
  readonly breaker: {
    readonly failures: number;
    readonly windowMs: number;
    readonly openMs: number;
    readonly probeTimeoutMs: number;
  };
}

export interface IssuerConfig {
  /** As it stands in `iss`. */
  readonly url: string;
  /** What `aud` may say besides this server's own name. */
  readonly audiences: readonly string[];
}

export interface SignInConfig {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret?: string;
  readonly org: string;
  readonly scopes: readonly string[];
  readonly userClaim: string;
  readonly groupsClaim: string;
  /** Group to teams; empty: a group is the team of its name. */
  readonly teams: Readonly<Record<string, readonly string[]>>;
}

export interface UserConfig {
  readonly service: boolean;
  /** In clear, or a hash as Larder writes it. */
  readonly password?: string;
}

export interface ProjectConfig {
  readonly visibility: 'public' | 'internal' | 'private';
  readonly source?: string;
  /** As in rules. */
  readonly members: Readonly<Partial<Record<'read' | 'publish' | 'delete' | 'admin', readonly string[]>>>;
  /** `REPOSITORY-PATTERN:NAME-PATTERN`. */
  readonly packages: readonly string[];
}

export interface WebhookConfig {
  readonly url: string;
  readonly secret: string;
  /** Empty: all. */
  readonly events: readonly ('publish' | 'delete' | 'yank' | 'promote' | 'admin' | 'block')[];
  /** Patterns; empty: all. */
  readonly repositories: readonly string[];
}

export interface OrgConfig {
  /** Who may have what they ask for recorded, of what they may read. */
  readonly recording: 'members' | 'everyone';
  readonly webhooks: readonly WebhookConfig[];
  /** Of everything published in its repositories. */
  readonly maxSizeBytes?: number;
  readonly limits: OrgLimitsConfig;
  readonly teams: Readonly<Record<string, readonly string[]>>;
  readonly users: Readonly<Record<string, UserConfig>>;
  readonly projects: Readonly<Record<string, ProjectConfig>>;
  readonly repositories: Readonly<Record<string, RepositoryConfig>>;
  readonly access: readonly AccessRule[];
}

export interface RepositoryConfig {
  readonly format: string;
  /** In order: the first that has it wins, and in merges the earlier one takes precedence. */
  readonly sources: readonly SourceConfig[];
  /** What to do when one of several sources to be merged can't be reached and nothing stored stands in for it. */
  readonly partial: 'refuse' | 'allow';
  /** The format's own settings. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly maxArtifactSizeBytes: number;
  /** Whether a download is finished and stored although every client that wanted it left. */
  readonly keepGoing: boolean;
  /** Absent: what is used is refreshed by those who use it. */
  readonly keepWarm?: KeepWarmConfig;
}

export interface KeepWarmConfig {
  readonly everyMs: number;
  /** What was asked for as lately as this is kept warm. */
  readonly usedWithinMs: number;
}

export type SourceConfig = RemoteSourceConfig | NestedSourceConfig | HostedSourceConfig;

export interface RemoteSourceConfig {
  readonly kind: 'remote';
  /** Key of `Config.upstreams`. */
  readonly upstream: string;
  readonly ttlMs: number;
  readonly staleWhileRevalidateMs: number;
  /** `undefined`: without limit. */
  readonly staleIfErrorMs: number | undefined;
  readonly negativeTtlMs: number;
  /** How long a client waits for a revalidation before it gets the stale copy. */
  readonly patienceMs: number;
  /** Also when the upstream or the whole server is. */
  readonly offline: boolean;
  readonly claims: readonly string[];
  /** Absent: what suits the format. */
  readonly takedown?: { readonly confirmations: number; readonly overMs: number };
}

export interface NestedSourceConfig {
  readonly kind: 'repository';
  /** `org/name`. */
  readonly repository: string;
  readonly claims: readonly string[];
}

export interface HostedSourceConfig {
  readonly kind: 'hosted';
  readonly claims: readonly string[];
  /** Name patterns of packages that other sources may add versions to. */
  readonly merge: readonly string[];
  /** Published versions may be replaced. */
  readonly overwrite: boolean;
  /** Of everything published in this repository. */
  readonly maxSizeBytes?: number;
}

export interface AccessRule {
  /** `everyone`, `members`, `team:NAME`, `user:NAME`, `ci:ISSUER-NAME:SUBJECT-PATTERN`. */
  readonly who: readonly string[];
  readonly may: readonly ('read' | 'publish' | 'delete' | 'admin')[];
  /** Names within the org; absent: all of them. */
  readonly repositories?: readonly string[];
  /** Package name patterns; absent: all names. */
  readonly names?: readonly string[];
  /** What the ID token of a CI job has to say, by claim; patterns. */
  readonly claims?: Readonly<Record<string, string>>;
}

export interface DocumentsConfig {
  /** Worker threads for big documents; 0: none, everything happens on the main thread. */
  readonly threads: number;
  /** Documents up to this size are handled on the main thread. */
  readonly inlineBytes: number;
  /** Memory for derived documents. */
  readonly memoryBytes: number;
}

export interface TracingConfig {
  /** Where traces are sent to, with its path. */
  readonly url: string;
  readonly serviceName: string;
  /** Share of the traces that begin here, from 0 to 1. */
  readonly sample: number;
  readonly headers: Readonly<Record<string, string>>;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface LogConfig {
  readonly level: LogLevel;
  /** One line per request. */
  readonly access: boolean;
  readonly pretty: boolean;
}

/*
 * The same as people write it: every option once, with its meaning and its default. The pages and the editor schema are
 * made from this (`document.ts`).
 */

/** Loopback, link-local, private and shared address space (RFC 1918, 3927, 4193, 4291, 6598): where a Prometheus of one's own is. */
const nearby = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
];

const reference = /\$\{[^}]+\}/.source;

/** Messages that start with `is` get the value put before them. */
function anyDuration() {
  return z
    .union([z.string(), z.number()], { error: 'needs a duration, such as 30s' })
    .meta({ title: 'duration', pattern: `^(0|\\d+(\\.\\d+)? ?(ms|s|m|h|d)|${reference})$` })
    .transform((value, context) => {
      const ms = parseDuration(value);
      if (ms !== undefined) return ms;
      context.addIssue('is not a duration; write a number and one of ms, s, m, h, d, such as 30s');
      return z.NEVER;
    });
}

function duration(fallback: string) {
  return anyDuration().prefault(fallback);
}

/** A duration whose name says milliseconds, so that a plain number is one too. */
function milliseconds(fallback: number) {
  return z
    .union([z.number(), z.string()], { error: 'needs milliseconds, such as 30000, or a duration, such as 30s' })
    .meta({ title: 'milliseconds, or a duration', pattern: `^(\\d+(\\.\\d+)? ?(ms|s|m|h|d)?|${reference})$` })
    .transform((value, context) => {
      const ms = /^\d+$/.test(String(value)) ? Number(value) : parseDuration(value);
      if (ms !== undefined) return ms;
      context.addIssue('is neither a number of milliseconds nor a duration such as 30s');
      return z.NEVER;
    })
    .prefault(fallback);
}

function size() {
  return z
    .union([z.string(), z.number()], { error: 'needs a size, such as 64MiB' })
    .meta({ title: 'size', pattern: `^(\\d+(\\.\\d+)? ?([kKmMgGtT][iI]?)?[bB]?|${reference})$` })
    .transform((value, context) => {
      const bytes = parseSize(value);
      if (bytes !== undefined) return bytes;
      context.addIssue('is not a size; write a number and one of KB, MB, GB, TB, KiB, MiB, GiB, TiB, such as 50GB');
      return z.NEVER;
    });
}

function count(fallback: number, least = 0, most = 1_000_000) {
  return z
    .union([z.number(), z.string()], { error: 'needs a whole number' })
    .meta({ title: 'number', pattern: `^(\\d+|${reference})$`, minimum: least, maximum: most })
    .transform((value, context) => {
      const number = /^\d+$/.test(String(value)) ? Number(value) : Number.NaN;
      if (number >= least && number <= most) return number;
      context.addIssue(`is not a whole number from ${least} to ${most}`);
      return z.NEVER;
    })
    .prefault(fallback);
}

function flag(fallback: boolean) {
  return z
    .union([z.boolean(), z.enum(['true', 'false'])], { error: 'is neither true nor false' })
    .meta({ title: 'true or false' })
    .transform((value) => value === true || value === 'true')
    .prefault(fallback);
}

function share() {
  return z
    .union([z.number(), z.string()], { error: 'needs a number from 0 to 1, such as 0.1' })
    .meta({ title: 'number from 0 to 1', pattern: `^([01]|0?\\.\\d+|1\\.0+|${reference})$`, minimum: 0, maximum: 1 })
    .transform((value, context) => {
      const number = /^\d*\.?\d+$/.test(String(value)) ? Number(value) : Number.NaN;
      if (number >= 0 && number <= 1) return number;
      context.addIssue('is not a number from 0 to 1');
      return z.NEVER;
    });
}

function text(title = 'text') {
  return z.string().min(1, { error: 'is empty' }).meta({ title });
}

function nameRecord<T extends z.ZodType>(value: T) {
  return z.record(
    z.string().regex(/^[a-z0-9][a-z0-9._-]{0,99}$/, {
      error: 'is not a name: lower-case letters, digits, "-", "." and "_", the first a letter or digit, at most 100',
    }),
    value,
  );
}

/** `undefined`: not said. */
function orUnlimited<T extends z.ZodType>(value: T, title: string) {
  return z
    .union([z.literal('unlimited'), value], { error: `needs ${title}, or unlimited` })
    .meta({ title: `${title}, or unlimited` })
    .optional();
}

/** Per second. */
function rate() {
  return z
    .union([z.string(), z.number()], { error: 'needs a rate, such as 50/s' })
    .meta({ title: 'rate', pattern: `^(\\d+(\\.\\d+)?(/[smh])?|unlimited|${reference})$` })
    .transform((value, context) => {
      const perSecond = parseRate(value);
      if (perSecond !== undefined && perSecond > 0) return perSecond;
      context.addIssue('is no rate; write a number and one of /s, /m, /h, such as 50/s or 600/m');
      return z.NEVER;
    });
}

/** With less, a client hears so little that it gives up. */
const bandwidth = () =>
  size().refine((bytes) => bytes >= 1000, {
    error: 'is less than 1KB a second; who is to have nothing needs a rule in access',
  });

const burst = z
  .union([z.number(), z.string()], { error: 'needs a whole number' })
  .meta({ title: 'number' })
  .transform((value, context) => {
    const number = /^\d+$/.test(String(value)) ? Number(value) : 0;
    if (number >= 1) return number;
    context.addIssue('is not a whole number from 1');
    return z.NEVER;
  })
  .optional();

/** What one party may take; what is left out says nothing. */
const clientLimits = {
  requests: orUnlimited(rate(), 'a rate such as 50/s').describe(
    'Requests, in the long run; more is answered 429 with `Retry-After`.',
  ),
  burst: burst.describe('Requests that may come at once before that counts. Without it, those of ten seconds.'),
  download: orUnlimited(bandwidth(), 'a size').describe(
    'Bytes per second of answers, all transfers together; more is slowed.',
  ),
  upload: orUnlimited(bandwidth(), 'a size').describe(
    'Bytes per second of request bodies, all transfers together; more is slowed.',
  ),
  transfers: orUnlimited(count(1, 1).unwrap(), 'a number').describe(
    'Requests being answered at the same time; more is answered 429.',
  ),
};

const clientLimitsSchema = z.strictObject(clientLimits);

const orgLimitsSchema = z.strictObject({
  perAddress: clientLimitsSchema
    .prefault({})
    .describe('What one address may take here, in place of what the server says of it.'),
  perIdentity: clientLimitsSchema
    .prefault({})
    .describe('What one user, service account or CI job may take here, in place of what the server says of it.'),
  total: clientLimitsSchema
    .prefault({})
    .describe('What all clients of the org may take together, so that no other org has to do without.'),
});

const limitsSchema = z.strictObject({
  headerBytes: size().prefault('16KiB').describe('Longest request headers, all together; more is answered 431.'),
  urlBytes: size().prefault('8KiB').describe('Longest request target; more is answered 414.'),
  bodyBytes: size()
    .prefault('10MB')
    .describe('Longest request body that has to be held in memory (searches, audits); more is answered 413.'),
  headersTimeout: duration('30s').describe('How long a client may take to send its request headers.'),
  requestTimeout: duration('5m').describe('How long a client may take to send a whole request.'),
  keepAliveTimeout: duration('75s').describe(
    'How long an idle connection stays open. Longer than the same setting of a load balancer in front, or requests fail now and then.',
  ),
  readerTimeout: duration('2m').describe(
    'How long a client may take nothing of the answer that is being sent to it. One that takes little may stay.',
  ),
  uploadRate: size()
    .prefault('1KB')
    .describe('Bytes per second that have to come of a request body; one that comes slower is answered 408.'),
  uploadWindow: duration('30s').describe(
    'Over how long that is measured. Only time spent waiting for the client counts.',
  ),
  connections: count(10_000, 1).describe(
    'Connections at the same time. For a further one, the one that has been idle for longest is closed; while none is idle, newcomers are.',
  ),
  streams: count(128, 1, 100_000).describe('Requests at the same time on one HTTP/2 connection.'),
  clients: count(50_000, 1, 10_000_000).describe(
    'Addresses that are kept apart while they use what they may, and as many identities; some 300 bytes each. Further ones share.',
  ),
  perAddress: z
    .strictObject({
      ...clientLimits,
      connections: orUnlimited(count(1, 1).unwrap(), 'a number').describe(
        'Connections of one address at the same time. Without it, four of five of all. Those of trusted proxies count for nobody.',
      ),
    })
    .prefault({})
    .describe('What one address may take, in each org anew. Of IPv6 the first 64 bits count. See `docs/limits.md`.'),
  perIdentity: clientLimitsSchema
    .prefault({})
    .describe('What one user, service account or CI job may take, whichever of its tokens it shows.'),
});

const serverSchema = z.strictObject({
  listen: z
    .union([z.string(), z.number()], { error: 'needs an address, such as 127.0.0.1:5273' })
    .meta({ title: 'address' })
    .transform((value, context) => {
      const listen = parseListen(value);
      if (listen) return listen;
      context.addIssue('is no address; write HOST:PORT or [IPv6]:PORT; 0.0.0.0:5273 listens on every interface');
      return z.NEVER;
    })
    .prefault('127.0.0.1:5273')
    .describe(
      'Host and port. A port alone means loopback; port 0 lets the operating system choose. Anything but loopback is reachable by others.',
    ),
  publicUrl: text('URL')
    .optional()
    .describe(
      'The address clients use, if it is another one; may have a path. Without it, the Host header counts, and Forwarded headers of trusted proxies.',
    ),
  trustedProxies: z
    .array(text('CIDR block'))
    .prefault([])
    .describe('Address blocks of proxies whose Forwarded and X-Forwarded-* headers are believed, such as 10.0.0.0/8.'),
  handOff: z
    .strictObject({
      path: text('path')
        .regex(/^\/(?:[\w.~-]+\/)+$/, {
          error: 'is no location: write such as /larder-blobs/, with a slash at both ends',
        })
        .prefault('/larder-blobs/')
        .describe('The internal location of the proxy at which it finds `blobs/v1` of `storage.path`.'),
      from: size().prefault('1MiB').describe('Anything smaller is sent by Larder.'),
    })
    .optional()
    .describe(
      'Let a trusted proxy that offers it send large stored files itself (X-Accel-Redirect); see docs/proxies.md.',
    ),
  tls: z
    .strictObject({
      cert: text('path').describe('File with the certificate and its chain, in PEM form.'),
      key: text('path').describe('File with the private key, in PEM form.'),
    })
    .optional()
    .describe('Serve HTTPS, with HTTP/2.'),
  limits: limitsSchema.prefault({}).describe('What one client may ask of the server.'),
  drain: duration('30s').describe('After a signal to stop: how long running transfers may take to finish.'),
  hotMemory: size().prefault('64MiB').describe('Memory for answers of up to 2 MiB that are asked for often. Larger files go through as much again on their way to clients.'),
});

const storageSchema = z.strictObject({
  path: text('path')
    .prefault('./data')
    .describe('Folder for everything stored. A relative path starts at the working directory.'),
  maxSize: size()
    .optional()
    .describe('What may be stored; beyond it the least recently used goes. Without it, until the disk is full.'),
  keepFree: size()
    .prefault('256MiB')
    .describe('Left free on the disk. With less than this, answers are passed on without being stored.'),
});

const breakerSchema = z.strictObject({
  failures: count(10, 1).describe(
    'Failures within the window after which the upstream is left alone, if they are at least half of its answers.',
  ),
  window: duration('30s').describe('How far back failures count.'),
  open: duration('15s').describe('How long it is left alone before one request tries again.'),
  probeTimeout: duration('10s').describe('How long that one request may take.'),
});

export const upstreamSchema = z.strictObject({
  url: text('URL')
    .optional()
    .describe('Base address. May be left out for a well-known name, to change only its other settings.'),
  format: text('format id').optional().describe('What it speaks; a repository of another format is then a mistake.'),
  auth: z
    .union(
      [
        z.strictObject({ bearer: text().describe('Token, sent as `Authorization: Bearer`.') }),
        z.strictObject({
          username: text().describe('For basic authentication.'),
          password: z.string().meta({ title: 'text' }).describe('For basic authentication.'),
        }),
      ],
      { error: 'needs either a bearer token or a username and a password' },
    )
    .optional()
    .describe('Credentials; sent to this address only, never along a redirect to another host.'),
  timeoutMs: milliseconds(30_000).describe(
    'Longest wait for the headers of an answer, and between two pieces of its body.',
  ),
  connectTimeout: duration('5s').describe('Longest wait for a connection.'),
  concurrency: count(32, 1, 10_000).describe('Requests at the same time.'),
  maxQueue: count(2000).describe(
    'Requests that may wait for their turn; beyond it the answer is 503 for whoever has more than their share of it waiting.',
  ),
  retries: count(2, 0, 20).describe('Further tries after a failure that may pass.'),
  proxy: text('URL, or none')
    .optional()
    .describe(
      'HTTP proxy to go through. Without it HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment count; `none` ignores them.',
    ),
  ca: text('path, or PEM text')
    .optional()
    .describe(
      'Certificate authorities to trust for it, besides the usual ones: a file, or the certificates themselves.',
    ),
  hosts: z
    .array(text('host, host:port or *.domain'))
    .prefault([])
    .describe('Further hosts that its links and redirects may lead to, also if their addresses are private.'),
  onlyHosts: flag(false).describe('Links and redirects may lead to its own host and `hosts` only.'),
  offline: flag(false).describe('Never ask it, whichever repository is asked; serve only what is stored.'),
  namespaces: z
    .array(text('registry name'))
    .prefault([])
    .describe(
      'What clients of a mirror call this registry (`?ns=docker.io`), besides its own host. Names to find it by, never addresses to ask.',
    ),
  shortNames: text('name')
    .optional()
    .describe('Image names of a single part stand below this one there: with `library`, `alpine` is `library/alpine`.'),
  realms: z
    .array(text('origin'))
    .prefault([])
    .describe(
      'Token servers, such as https://auth.example.com, that may be shown `auth` although they are at another address.',
    ),
  traceContext: z
    .enum(['nothing', 'traceparent', 'all'])
    .optional()
    .meta({ title: 'nothing, traceparent or all' })
    .describe(
      "What it is told of the trace a client's request is part of (W3C Trace Context), at its own address only: the ids, or `all`, with `tracestate`. Without it `traceparent`, and `nothing` for well-known addresses.",
    ),
  breaker: breakerSchema.prefault({}).describe('When to leave a failing upstream alone for a while.'),
});

const claimsSchema = z
  .array(text('name pattern'))
  .prefault([])
  .describe("Names that belong to this source alone, such as '@acme/*': no other source is asked for them.");

const remoteSchema = z.strictObject({
  remote: text('upstream').describe('Name of an upstream: a well-known one, or one of `upstreams`.'),
  ttl: duration('5m').describe('How long a document counts as fresh.'),
  staleWhileRevalidate: duration('5m').describe(
    'How long after that it is still given out at once, while it is checked in the background.',
  ),
  staleIfError: z
    .union([z.literal('unlimited'), anyDuration()], { error: 'is neither a duration nor unlimited' })
    .prefault('unlimited')
    .describe('How long after that it stands in while upstream is unreachable.'),
  negativeTtl: duration('30s').describe('How long "not found" is remembered.'),
  patience: duration('3s').describe('How long a client waits for a check before it gets the stale copy.'),
  offline: flag(false).describe('Never ask upstream; serve only what is stored.'),
  claims: claimsSchema,
  takedown: z
    .union(
      [
        z.literal('never'),
        z.strictObject({
          confirmations: count(3, 1, 1000).describe('How many times upstream must say so.'),
          over: duration('1h').describe('Over how long at least.'),
        }),
      ],
      { error: 'is neither never nor confirmations and over' },
    )
    .optional()
    .describe(
      'When upstream says that something stored is gone: how sure to be before believing it, or `never` to believe it. Without it, `never` for container images and 3 confirmations over 1h for everything else.',
    ),
});

const nestedSchema = z.strictObject({
  repository: text('repository').describe('Another repository: `org/name`, or `name` in the same org.'),
  claims: claimsSchema,
});

const hostedSchema = z.strictObject({
  hosted: z
    .literal(true, { error: 'can only be true' })
    .describe('Packages published here, by the clients themselves. One such source in a repository at most.'),
  claims: claimsSchema,
  merge: z
    .array(text('name pattern'))
    .prefault([])
    .describe(
      'Names that other sources may add versions to. Any other name that is published here is answered from here alone.',
    ),
  overwrite: flag(false).describe(
    'Published versions may be replaced by other bytes. Without it a version is what it was for ever.',
  ),
  maxSize: size().optional().describe('What may be published in this repository, all together; more is refused.'),
});

const repositorySchema = z.strictObject({
  format: text('format id').describe('What its clients speak; the names of the folders below `src/formats`.'),
  sources: z
    .array(
      z.union([remoteSchema, nestedSchema, hostedSchema], {
        error: 'needs to say where from: remote: UPSTREAM, or repository: ORG/NAME',
      }),
    )
    .min(1, { error: 'needs at least one source' })
    .describe(
      'Where its content comes from, in order: the first that has it wins, and in merged documents the earlier wins.',
    ),
  partial: z
    .enum(['refuse', 'allow'])
    .prefault('refuse')
    .meta({ title: 'refuse or allow' })
    .describe(
      'When one of several sources cannot be reached and nothing stored stands in for it: refuse the merged document, or serve what the others have.',
    ),
  options: z
    .record(z.string(), z.unknown())
    .prefault({})
    .meta({ title: 'settings' })
    .describe("The format's own settings; see its page in `docs/formats`."),
  maxArtifactSize: size().prefault('20GB').describe('A longer file is refused.'),
  keepGoing: flag(true).describe('Finish and store a download although every client that wanted it has left.'),
  keepWarm: z
    .strictObject({
      every: duration('6h').describe('How often.'),
      usedWithin: duration('14d').describe('What nobody asked for in this time is left alone.'),
    })
    .optional()
    .describe(
      'Refresh what is used before anybody asks for it again, and fetch the newest version of packages that are used; after all clients. Off unless it is there.',
    ),
});

const accessSchema = z.strictObject({
  who: z
    .array(text('everyone, members, team:NAME, user:NAME or ci:ISSUER:PATTERN'))
    .min(1, { error: 'needs at least one' })
    .describe(
      '`everyone` (also without credentials), `members`, `team:NAME`, `user:NAME`, `ci:ISSUER-NAME:SUBJECT-PATTERN`.',
    ),
  may: z
    .array(z.enum(['read', 'publish', 'delete', 'admin']))
    .min(1, { error: 'needs at least one of read, publish, delete, admin' })
    .describe('`read`, `publish`, `delete`, `admin`.'),
  repositories: z.array(text('repository name')).optional().describe('Only in these repositories of the org.'),
  names: z.array(text('name pattern')).optional().describe("Only packages with these names, such as '@acme/*'."),
  claims: z
    .record(z.string(), text('pattern'))
    .optional()
    .describe('For `ci:` only: what the ID token has to say besides, such as `ref: refs/heads/main`. All must match.'),
});

const whoList = z.array(text('everyone, members, team:NAME, user:NAME or ci:ISSUER:PATTERN'));

const userSchema = z.strictObject({
  service: flag(false).describe('An account for a machine: it never signs in with a browser.'),
  password: text()
    .optional()
    .describe('For clients and people that sign in with one. Write it as a reference to a secret, or as a hash of it.'),
});

const projectSchema = z.strictObject({
  visibility: z
    .enum(['public', 'internal', 'private'])
    .prefault('private')
    .meta({ title: 'public, internal or private' })
    .describe(
      'Who may read its packages: `public` everyone, `internal` members of the org, `private` its own members.',
    ),
  source: text('URL')
    .optional()
    .describe('Its source repository, such as https://git.example.com/acme/shop: packages that name it belong to it.'),
  members: z
    .strictObject({
      read: whoList.optional().describe('May read its packages.'),
      publish: whoList.optional().describe('May publish and read them.'),
      delete: whoList.optional().describe('May delete and read them.'),
      admin: whoList.optional().describe('May do everything with them.'),
    })
    .prefault({})
    .describe('Who belongs to it, written as in `who` of a rule.'),
  packages: z
    .array(text('REPOSITORY-PATTERN:NAME-PATTERN'))
    .prefault([])
    .describe("Packages that belong to it whatever they say themselves, such as 'npm:@acme/shop-*'."),
});

const webhookSchema = z.strictObject({
  url: text('URL').describe('Asked with POST for each event.'),
  secret: text('secret').describe('Signs what is sent: HMAC-SHA256, as Standard Webhooks has it.'),
  events: z
    .array(z.enum(['publish', 'delete', 'yank', 'promote', 'admin', 'block']))
    .prefault([])
    .describe('`publish`, `delete`, `yank`, `promote`, `admin`, `block`; none: all.'),
  repositories: z.array(text('repository pattern')).prefault([]).describe('Only of these; none: all of the org.'),
});

const orgSchema = z.strictObject({
  recording: z
    .enum(['members', 'everyone'])
    .prefault('members')
    .meta({ title: 'members or everyone' })
    .describe('Who may have what a build asks for recorded as a named set, of what they may read.'),
  webhooks: z.array(webhookSchema).prefault([]).describe('Who is told of what is published, changed and taken away.'),
  teams: z
    .record(z.string(), z.array(text('user')))
    .prefault({})
    .describe('Team names and their members.'),
  users: z
    .record(
      z.string().regex(/^[\w.@+-]{1,100}$/, { error: 'is no user name: letters, digits, "-", ".", "_", "@", "+"' }),
      userSchema,
    )
    .prefault({})
    .describe('Users and service accounts that are in no team, or have a password.'),
  projects: nameRecord(projectSchema)
    .prefault({})
    .describe('Source projects: their packages follow their visibility and members instead of the rules.'),
  repositories: nameRecord(repositorySchema).prefault({}).describe('Repositories by name; reached at `/ORG/NAME/`.'),
  maxSize: size().optional().describe('What may be published in all its repositories together; more is refused.'),
  limits: orgLimitsSchema.prefault({}).describe('What its clients may take of the server. See `docs/limits.md`.'),
  access: z
    .array(accessSchema)
    .prefault([])
    .describe('Who may do what. Rules add up; nothing is allowed that no rule allows.'),
});

const issuerSchema = z.strictObject({
  url: text('URL').optional().describe('As it stands in its tokens. May be left out for a well-known name.'),
  audience: z
    .union([text('audience'), z.array(text('audience'))], { error: 'needs an audience or a list of them' })
    .optional()
    .describe("What tokens may be made out for, besides this server's own address."),
});

const signInSchema = z.strictObject({
  issuer: text('URL').describe('OpenID Connect provider.'),
  clientId: text().describe('As the provider knows Larder. The redirect address is PUBLIC-URL/ui/login/callback.'),
  clientSecret: text()
    .optional()
    .describe('Write it as a reference to a secret. Without it Larder is a public client.'),
  org: text('org').describe('Whose members those who sign in become.'),
  scopes: z.array(text('scope')).prefault(['openid', 'profile', 'email']).describe('What is asked for.'),
  userClaim: text('claim').prefault('preferred_username').describe('Claim with the name of the user.'),
  groupsClaim: text('claim').prefault('groups').describe('Claim that lists the groups.'),
  teams: z
    .record(z.string(), z.union([text('team'), z.array(text('team'))]))
    .prefault({})
    .describe('Which group is which team. Without it a group is the team of its name.'),
});

/** The whole file. */
export const fileSchema = z.strictObject({
  server: serverSchema.prefault({}).describe('How clients reach Larder.'),
  storage: storageSchema.prefault({}).describe('Where and how much is kept.'),
  index: text('sqlite, memory or redis://HOST:PORT/DB')
    .prefault('sqlite')
    .describe(
      'Where the rebuildable index lies: `sqlite` (below `storage.path`), `memory` (lost at every stop), or a Redis server that several machines share.',
    ),
  hosts: z
    .record(z.string(), text('repository'))
    .prefault({})
    .describe(
      'Repositories for clients that cannot send a path: host name to `org/name`; `default` for any other host name.',
    ),
  upstreams: nameRecord(upstreamSchema)
    .prefault({})
    .describe('Other registries by name. Adds to the well-known names, or overrides their settings.'),
  orgs: nameRecord(orgSchema).prefault({}).describe('Organisations: who shares repositories and rules.'),
  issuers: nameRecord(issuerSchema)
    .prefault({})
    .describe(
      'OpenID Connect issuers whose ID tokens CI jobs may show instead of a secret, by the name in `ci:` rules.',
    ),
  signIn: signInSchema.optional().describe('Sign-in of people with a browser through OpenID Connect.'),
  offline: flag(false).describe('Never ask any upstream; serve only what is stored, however old.'),
  webhooks: z
    .strictObject({
      hosts: z
        .array(text('host, host:port or *.domain'))
        .prefault([])
        .describe('Hosts that webhooks may be sent to although their addresses are private.'),
    })
    .prefault({})
    .describe('Telling others of what happens.'),
  documents: z
    .strictObject({
      threads: count(1, 0, 64).describe('Worker threads for big documents, so that they hold up nobody else. 0: none.'),
      inlineBytes: size().prefault('64KiB').describe('Documents up to this size need no worker thread.'),
      memory: size().prefault('128MiB').describe('Memory for documents as they were made for clients.'),
    })
    .prefault({})
    .describe('How documents (lists of versions and the like) are worked on.'),
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .prefault('info')
        .meta({ title: 'trace, debug, info, warn, error, fatal or silent' })
        .describe('What is written at least.'),
      access: flag(true).describe('One line per request.'),
      pretty: flag(false).describe('For eyes instead of for machines (JSON).'),
    })
    .prefault({})
    .describe('What is written to standard output.'),
  metrics: z
    .strictObject({
      enabled: flag(true).describe('Serve `/metrics`.'),
      from: z
        .array(text('CIDR block'))
        .prefault(nearby)
        .describe(
          'Address blocks from which it may be read, for it names repositories: loopback and private networks; see `docs/operating.md`. `[0.0.0.0/0, "::/0"]` is everybody.',
        ),
    })
    .prefault({})
    .describe('Numbers for Prometheus.'),
  tracing: z
    .union(
      [
        text('URL'),
        z.strictObject({
          endpoint: text('URL')
            .optional()
            .describe(
              'OpenTelemetry collector, such as http://collector:4318 (OTLP over HTTP). Without it the environment variable OTEL_EXPORTER_OTLP_ENDPOINT counts.',
            ),
          sample: share()
            .prefault(1)
            .describe(
              'Share of the traces that begin here to be kept. Whether a trace that came with a request is kept is for its sender to say.',
            ),
          headers: z
            .record(z.string(), text())
            .prefault({})
            .meta({ title: 'text, by name' })
            .describe('Sent along with the traces; write secrets as references.'),
          serviceName: text('name')
            .optional()
            .describe('What the traces call this server. Without it OTEL_SERVICE_NAME counts, else `larder`.'),
        }),
      ],
      { error: 'needs the address of a collector, or endpoint, sample, headers and serviceName' },
    )
    .optional()
    .describe(
      'Send traces of requests to this OpenTelemetry collector; see `docs/tracing.md`. Off unless it is there.',
    ),
});

/** The file as written, checked and with defaults, but not yet put together. */
export type ConfigFile = z.output<typeof fileSchema>;
