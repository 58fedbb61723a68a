/** The configuration as the program has it: every default filled in, sizes in bytes, durations in milliseconds, paths absolute. */
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
