/** What a configuration comes to once it is read: every default filled in, sizes in bytes, durations in milliseconds, paths absolute. */

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
  readonly documents: DocumentsConfig;
  readonly log: LogConfig;
  readonly metrics: { readonly enabled: boolean };
}

export interface ServerConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** No trailing slash; may have a path. */
  readonly publicUrl?: string;
  /** CIDR blocks, IPv4 and IPv6. */
  readonly trustedProxies: readonly string[];
  /** PEM text of both files. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly limits: LimitsConfig;
  /** How long running transfers may go on after a signal to stop. */
  readonly drainMs: number;
  /** Memory for small answers that are asked for often. */
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
  readonly connections: number;
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
  readonly breaker: {
    readonly failures: number;
    readonly windowMs: number;
    readonly openMs: number;
    readonly probeTimeoutMs: number;
  };
}

export interface OrgConfig {
  readonly teams: Readonly<Record<string, readonly string[]>>;
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
  readonly offline: boolean;
  readonly claims: readonly string[];
  readonly takedown: { readonly confirmations: number; readonly overMs: number };
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
}

export interface AccessRule {
  /** `everyone`, `members`, `team:NAME`, `user:NAME`, `ci:ISSUER-NAME:SUBJECT-PATTERN`. */
  readonly who: readonly string[];
  readonly may: readonly ('read' | 'publish' | 'delete' | 'admin')[];
  /** Names within the org; absent: all of them. */
  readonly repositories?: readonly string[];
  /** Package name patterns; absent: all names. */
  readonly names?: readonly string[];
}

export interface DocumentsConfig {
  /** Worker threads for big documents; 0: none, everything happens on the main thread. */
  readonly threads: number;
  /** Documents up to this size are handled on the main thread. */
  readonly inlineBytes: number;
  /** Memory for derived documents. */
  readonly memoryBytes: number;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface LogConfig {
  readonly level: LogLevel;
  /** One line per request. */
  readonly access: boolean;
  readonly pretty: boolean;
}
