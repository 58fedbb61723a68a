/** From a checked file to the configuration the program runs on; says what does not fit together. */
import { networkInterfaces } from 'node:os';
import { resolve as resolvePath } from 'node:path';
import { createSecureContext } from 'node:tls';
import { shown } from './check-file.ts';
import { proxyFromEnvironment } from './egress.ts';
import { clientLimitsOf, connectionsPerAddress, limitsOfOrg } from './limits.ts';
import { type Path, type PlacedMistake, printPath, withoutCredentials } from './mistakes.ts';
import {
  type Config,
  type ConfigFile,
  type IssuerConfig,
  type NestedSourceConfig,
  type OrgConfig,
  type RepositoryConfig,
  type ServerConfig,
  type SignInConfig,
  type SourceConfig,
  type TracingConfig,
  type UpstreamConfig,
  upstreamSchema,
} from './schema.ts';
import { type Environment, Missing, readText, type SourceTree } from './source.ts';
import { guess, hint } from './suggest.ts';
import { type Listen, parseBlock } from './units.ts';
import { npmRegistry, wellKnown, wellKnownIssuers } from './well-known.ts';

type UpstreamFile = ConfigFile['upstreams'][string];
type RepositoryFile = ConfigFile['orgs'][string]['repositories'][string];
/** `missing`: only that it is not here. */
type Complain = (path: Path, message: string, missing?: string) => void;

export interface ResolveOptions {
  readonly filePath: string;
  readonly environment: Environment;
  /** Ids of the formats there are. */
  readonly formats: readonly string[];
}

/** First path segments that mean something else. */
const reservedOrgs: readonly string[] = [
  'v2',
  '-',
  'api',
  'ui',
  'healthz',
  'readyz',
  'metrics',
  'token',
  '.well-known',
];

export async function resolveConfig(
  file: ConfigFile,
  tree: SourceTree,
  options: ResolveOptions,
): Promise<{ readonly config: Config; readonly mistakes: readonly PlacedMistake[] }> {
  const mistakes: PlacedMistake[] = [];
  const notes: string[] = [];
  const complain: Complain = (at, message, missing) => {
    const only = missing === undefined ? {} : { missing };
    mistakes.push({ path: printPath(at), at, message: shown(message, at, tree), ...only, ...tree.place(at) });
  };

  const names = namesIn(tree);
  const server = await resolveServer(file.server, complain);
  const upstreams = await resolveUpstreams(file, server, options.environment, complain, notes);
  const orgs: Record<string, OrgConfig> = {};
  for (const [name, org] of Object.entries(file.orgs)) {
    if (reservedOrgs.includes(name)) complain(['orgs', name], `"${name}" is reserved; name the org differently`);
    orgs[name] = {
      recording: org.recording,
      ...(org.maxSize === undefined ? {} : { maxSizeBytes: org.maxSize }),
      limits: limitsOfOrg(org.limits, file.server.limits),
      teams: org.teams,
      webhooks: org.webhooks,
      repositories: Object.fromEntries(
        Object.entries(org.repositories).map(([repository, settings]) => [
          repository,
          resolveRepository(settings, name, repository, { upstreams, offline: file.offline }, options, complain),
        ]),
      ),
      users: usersOf(org),
      projects: projectsOf(org),
      access: org.access.map(({ who, may, repositories, names, claims }) => ({
        who,
        may,
        ...(repositories && { repositories }),
        ...(names && { names }),
        ...(claims && { claims }),
      })),
    };
    checkProjects(name, org, complain);
    checkAccess(name, org, names.repositories, complain);
    notes.push(...accessNotes(name, org, file.issuers));
  }
  const repositories = repositoriesOf(orgs);
  checkNesting(repositories, names, complain);
  const hosts = resolveHosts(file.hosts, names, complain);
  const issuers = resolveIssuers(file.issuers, complain);
  const signIn = resolveSignIn(file, complain);
  if (repositories.size === 0 && mistakes.length === 0) {
    notes.push('there is no repository; add one under orgs.NAME.repositories');
  }
  return {
    config: {
      file: options.filePath,
      server,
      storage: {
        path: resolvePath(file.storage.path),
        keepFreeBytes: file.storage.keepFree,
        ...(file.storage.maxSize !== undefined && { maxSizeBytes: file.storage.maxSize }),
      },
      index: resolveIndex(file.index, complain),
      hosts,
      upstreams,
      orgs,
      issuers,
      ...(signIn && { signIn }),
      offline: file.offline,
      webhooks: file.webhooks,
      documents: {
        threads: file.documents.threads,
        inlineBytes: file.documents.inlineBytes,
        memoryBytes: file.documents.memory,
      },
      log: file.log,
      metrics: { ...file.metrics, from: blocks(file.metrics.from, ['metrics', 'from'], complain) },
      ...resolveTracing(file.tracing, options.environment, complain),
      notes,
    },
    mistakes,
  };
}

function blocks(texts: readonly string[], at: Path, complain: Complain): readonly string[] {
  return texts.flatMap((text, index) => {
    const block = parseBlock(text);
    if (block !== undefined) return [block];
    complain([...at, index], `"${text}" is no address block; write such as 10.0.0.0/8 or fd00::/8`);
    return [];
  });
}

async function resolveServer(server: ConfigFile['server'], complain: Complain): Promise<ServerConfig> {
  const at = (...path: (string | number)[]): Path => ['server', ...path];
  const publicUrl =
    server.publicUrl === undefined ? undefined : publicAddress(server.publicUrl, at('publicUrl'), complain);
  const trustedProxies = blocks(server.trustedProxies, at('trustedProxies'), complain);
  const { handOff } = server;
  if (handOff && server.trustedProxies.length === 0) {
    complain(at('handOff'), 'needs `server.trustedProxies`: nobody else is told where files are');
  }
  const cert = server.tls && (await pem(server.tls.cert, at('tls', 'cert'), /-----BEGIN CERTIFICATE-----/, complain));
  const key =
    server.tls && (await pem(server.tls.key, at('tls', 'key'), /-----BEGIN [A-Z ]*PRIVATE KEY-----/, complain));
  if (cert !== undefined && key !== undefined) checkPair(cert, key, at('tls', 'key'), complain);
  const { limits } = server;
  return {
    listen: server.listen,
    ...(publicUrl !== undefined && { publicUrl }),
    trustedProxies,
    ...(handOff && { handOff: { path: handOff.path, fromBytes: handOff.from } }),
    ...(cert !== undefined && key !== undefined && { tls: { cert, key } }),
    limits: {
      headerBytes: limits.headerBytes,
      urlBytes: limits.urlBytes,
      bodyBytes: limits.bodyBytes,
      headersTimeoutMs: limits.headersTimeout,
      requestTimeoutMs: limits.requestTimeout,
      keepAliveTimeoutMs: limits.keepAliveTimeout,
      readerTimeoutMs: limits.readerTimeout,
      uploadBytesPerSecond: limits.uploadRate,
      uploadWindowMs: limits.uploadWindow,
      connections: limits.connections,
      streams: limits.streams,
      clients: limits.clients,
      perAddress: { ...clientLimitsOf(limits.perAddress), connections: connectionsPerAddress(limits) },
      perIdentity: clientLimitsOf(limits.perIdentity),
    },
    drainMs: server.drain,
    hotMemoryBytes: server.hotMemory,
  };
}

/** Of two files that are renewed together one may be the old one still. */
function checkPair(cert: string, key: string, path: Path, complain: Complain): void {
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    complain(path, `cannot be used with the certificate: ${(error as Error).message}`);
  }
}

const tracesPath = '/v1/traces';

/** The environment says where to, never whether: what is set for other programs would send traces unasked. */
function resolveTracing(
  tracing: ConfigFile['tracing'],
  environment: Environment,
  complain: Complain,
): { readonly tracing?: TracingConfig } {
  if (tracing === undefined) return {};
  const settings = typeof tracing === 'string' ? { endpoint: tracing, sample: 1, headers: {} } : tracing;
  const named = environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  const general = environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  const endpoint = settings.endpoint ?? (named || general);
  const path: Path =
    typeof tracing === 'string' || tracing.endpoint === undefined ? ['tracing'] : ['tracing', 'endpoint'];
  if (!endpoint) {
    complain(path, 'needs an endpoint, such as http://collector:4318, because the environment names none either');
    return {};
  }
  const url = webAddress(endpoint, path, complain);
  if (!url) return {};
  if (url.username || url.password) {
    complain(path, 'has credentials in it; write them under headers');
    return {};
  }
  // OTLP: the general address has the path of each signal added; what is meant for traces alone is taken as it is.
  const isWhole = url.pathname.endsWith(tracesPath) || (settings.endpoint === undefined && Boolean(named));
  if (!isWhole) url.pathname = `${url.pathname.replace(/\/+$/, '')}${tracesPath}`;
  for (const [name, value] of Object.entries(settings.headers)) {
    const fine = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && /^[\x20-\x7e]+$/.test(value);
    if (!fine)
      complain(
        ['tracing', 'headers', name],
        'is no header: a name of letters, digits and "-", and a value on one line',
      );
  }
  const { sample, headers } = settings;
  const serviceName = ('serviceName' in settings ? settings.serviceName : undefined) ?? environment.OTEL_SERVICE_NAME;
  return { tracing: { url: url.href, serviceName: serviceName || 'larder', sample, headers } };
}

function publicAddress(text: string, path: Path, complain: Complain): string | undefined {
  const url = webAddress(text, path, complain);
  if (url?.search || url?.hash) complain(path, 'has a query or a fragment; only scheme, host, port and path count');
  return url && withoutSlash(url);
}

function withoutSlash(url: URL): string {
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

function webAddress(text: string, path: Path, complain: Complain): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || !/^https?:\/\//i.test(text.trim())) {
    complain(path, 'is no http or https URL');
    return undefined;
  }
  return url;
}

async function pem(file: string, path: Path, shape: RegExp, complain: Complain): Promise<string | undefined> {
  try {
    const text = await readText(file);
    if (shape.test(text)) return text;
    complain(
      path,
      `${resolvePath(file)} holds no ${path.at(-1) === 'key' ? 'private key' : 'certificate'} in PEM form`,
    );
  } catch (error) {
    complain(path, (error as Error).message, error instanceof Missing ? error.what : undefined);
  }
  return undefined;
}

async function resolveUpstreams(
  file: ConfigFile,
  server: ServerConfig,
  environment: Environment,
  complain: Complain,
  notes: string[],
): Promise<Record<string, UpstreamConfig>> {
  const isOurs = ownAddress(server.listen, server.publicUrl);
  const used = new Set(Object.keys(file.upstreams));
  for (const org of Object.values(file.orgs)) {
    for (const repository of Object.values(org.repositories)) {
      for (const source of repository.sources) if ('remote' in source) used.add(source.remote);
    }
  }
  const found: Record<string, UpstreamConfig> = {};
  const defaults = upstreamSchema.parse({});
  for (const name of used) {
    const known = Object.hasOwn(wellKnown, name) ? wellKnown[name] : undefined;
    const settings = Object.hasOwn(file.upstreams, name) ? file.upstreams[name] : undefined;
    if (!known && !settings) continue;
    const path: Path = ['upstreams', name];
    const inherited = name === 'npmjs' ? npmRegistry(environment, isOurs) : undefined;
    const address = settings?.url
      ? { url: settings.url, from: known ? 'configuration, instead of the well-known address' : 'configuration' }
      : (inherited ?? (known && { url: known.url, from: 'well known' }));
    if (!address) {
      complain(
        path,
        `needs a url, because it is none of the well-known upstreams${hint(name, Object.keys(wellKnown))}`,
      );
      continue;
    }
    if (inherited?.note !== undefined && address === inherited) notes.push(inherited.note);
    const url = upstreamAddress(address.url, settings?.url ? [...path, 'url'] : path, complain);
    if (!url) continue;
    if (isOurs(url)) {
      complain(
        settings?.url ? [...path, 'url'] : path,
        'points to Larder itself, which would ask itself for ever; to put repositories together write repository: ORG/NAME as a source',
      );
    }
    found[name] = await finishUpstream(name, url, address.from, settings ?? defaults, {
      ...(known && { known }),
      path,
      environment,
      complain,
      notes,
    });
  }
  return found;
}

interface Finish {
  readonly known?: (typeof wellKnown)[string];
  readonly path: Path;
  readonly environment: Environment;
  readonly complain: Complain;
  readonly notes: string[];
}

async function finishUpstream(
  name: string,
  url: URL,
  from: string,
  settings: UpstreamFile,
  { known, path, environment, complain, notes }: Finish,
): Promise<UpstreamConfig> {
  const proxy = egress(name, url, settings, environment, path, complain, notes);
  const ca = await authorities(name, settings, environment, path, complain, notes);
  const format = settings.format ?? known?.format;
  const { breaker } = settings;
  const realms = [...(known?.realms ?? []), ...realmsOf(settings.realms, [...path, 'realms'], complain)];
  if (settings.auth && url.protocol === 'http:' && !isLoopback(url.hostname)) {
    notes.push(`upstream ${name}: its credentials travel unencrypted, because its address is http`);
  }
  return {
    name,
    url: withoutSlash(url),
    from,
    ...(format !== undefined && { format }),
    ...(settings.auth && { auth: settings.auth }),
    timeoutMs: settings.timeoutMs,
    connectTimeoutMs: settings.connectTimeout,
    concurrency: settings.concurrency,
    maxQueue: settings.maxQueue,
    retries: settings.retries,
    ...(proxy !== undefined && { proxy }),
    ...(ca !== undefined && { ca }),
    // A token server that is named may be asked wherever it is.
    hosts: [
      ...(known?.hosts ?? []),
      ...upstreamHosts(settings.hosts, [...path, 'hosts'], complain),
      ...realms.map((realm) => new URL(realm).host),
    ],
    onlyHosts: settings.onlyHosts,
    offline: settings.offline,
    namespaces: [
      ...new Set([url.host, ...(known?.namespaces ?? []), ...settings.namespaces.map((one) => one.toLowerCase())]),
    ],
    ...shortNamesOf(settings.shortNames ?? known?.shortNames),
    realms,
    // Public registries are told nothing of who asks here, unless the configuration says so.
    traceContext: settings.traceContext ?? (from === 'well known' ? 'nothing' : 'traceparent'),
    breaker: {
      failures: breaker.failures,
      windowMs: breaker.window,
      openMs: breaker.open,
      probeTimeoutMs: breaker.probeTimeout,
    },
  };
}

function upstreamAddress(text: string, path: Path, complain: Complain): URL | undefined {
  const url = webAddress(text, path, complain);
  if (!url) return undefined;
  if (url.username || url.password) {
    complain(path, 'has credentials in it; write them under auth: { username, password }');
    return undefined;
  }
  if (url.search || url.hash) complain(path, 'has a query or a fragment, which a base address cannot have');
  return url;
}

function shortNamesOf(shortNames: string | undefined): { readonly shortNames?: string } {
  return shortNames === undefined ? {} : { shortNames };
}

function realmsOf(realms: readonly string[], path: Path, complain: Complain): string[] {
  return realms.flatMap((text, index) => webAddress(text, [...path, index], complain)?.origin ?? []);
}

function upstreamHosts(hosts: readonly string[], path: Path, complain: Complain): string[] {
  return hosts.map((host, index) => {
    const fine = /^(\*\.)?[a-z0-9_]([a-z0-9._-]*[a-z0-9])?(:\d{1,5})?$|^\[[0-9a-f:.]+\](:\d{1,5})?$/i.test(host);
    if (!fine)
      complain([...path, index], `"${withoutCredentials(host)}" is no host; write HOST, HOST:PORT or *.DOMAIN`);
    return host.toLowerCase();
  });
}

function egress(
  name: string,
  url: URL,
  settings: UpstreamFile,
  environment: Environment,
  path: Path,
  complain: Complain,
  notes: string[],
): string | undefined {
  if (settings.proxy === 'none') return undefined;
  if (settings.proxy !== undefined) return webAddress(settings.proxy, [...path, 'proxy'], complain)?.href;
  const found = proxyFromEnvironment(url, environment);
  if (!found) return undefined;
  const proxy = webAddress(found.url, path, (at, message) => complain(at, `the proxy in ${found.from} ${message}`));
  if (proxy) notes.push(`upstream ${name}: goes through the proxy in ${found.from}; proxy: none would not`);
  return proxy?.href;
}

async function authorities(
  name: string,
  settings: UpstreamFile,
  environment: Environment,
  path: Path,
  complain: Complain,
  notes: string[],
): Promise<string | undefined> {
  if (settings.ca?.trimStart().startsWith('-----BEGIN')) return settings.ca;
  if (settings.ca !== undefined) return pem(settings.ca, [...path, 'ca'], /-----BEGIN CERTIFICATE-----/, complain);
  // Whoever set npm up for a network that looks into TLS needs the same authorities here.
  const file = name === 'npmjs' ? environment.npm_config_cafile : undefined;
  if (!file) return undefined;
  const text = await readText(file).catch(() => undefined);
  if (text !== undefined)
    notes.push(`upstream ${name}: also trusts the authorities in ${file}, as npm is set to (cafile)`);
  return text;
}

function resolveRepository(
  settings: RepositoryFile,
  org: string,
  name: string,
  { upstreams, offline }: { readonly upstreams: Readonly<Record<string, UpstreamConfig>>; readonly offline: boolean },
  { formats }: ResolveOptions,
  complain: Complain,
): RepositoryConfig {
  const path: Path = ['orgs', org, 'repositories', name];
  const known = formats.includes(settings.format);
  if (!known) {
    complain([...path, 'format'], `there is no format "${settings.format}"${hint(settings.format, formats)}`);
  }
  const seen = new Map<string, number>();
  const sources = settings.sources.map((source, index): SourceConfig => {
    const at = [...path, 'sources', index];
    const key = 'remote' in source ? `remote ${source.remote}` : 'repository' in source ? source.repository : 'hosted';
    const before = seen.get(key);
    if (before !== undefined) complain(at, `is the same as sources[${before}]; a source can be named once only`);
    seen.set(key, index);
    if ('hosted' in source) {
      const { claims, merge, overwrite, maxSize } = source;
      return {
        kind: 'hosted',
        claims,
        merge,
        overwrite,
        ...(maxSize === undefined ? {} : { maxSizeBytes: maxSize }),
      };
    }
    if ('repository' in source) {
      const repository = source.repository.includes('/') ? source.repository : `${org}/${source.repository}`;
      return { kind: 'repository', repository, claims: source.claims };
    }
    const upstream = Object.hasOwn(upstreams, source.remote) ? upstreams[source.remote] : undefined;
    if (known && upstream?.format !== undefined && ![upstream.format, 'generic'].includes(settings.format)) {
      complain(
        [...at, 'remote'],
        `upstream "${source.remote}" speaks ${upstream.format}, but this repository is for ${settings.format} clients`,
      );
    }
    return {
      kind: 'remote',
      upstream: source.remote,
      ttlMs: source.ttl,
      staleWhileRevalidateMs: source.staleWhileRevalidate,
      staleIfErrorMs: source.staleIfError === 'unlimited' ? undefined : source.staleIfError,
      negativeTtlMs: source.negativeTtl,
      patienceMs: source.patience,
      offline: source.offline || offline || upstream?.offline === true,
      claims: source.claims,
      ...takedownOf(source.takedown),
    };
  });
  return {
    format: settings.format,
    sources,
    partial: settings.partial,
    options: settings.options,
    maxArtifactSizeBytes: settings.maxArtifactSize,
    keepGoing: settings.keepGoing,
    ...(settings.keepWarm && {
      keepWarm: { everyMs: settings.keepWarm.every, usedWithinMs: settings.keepWarm.usedWithin },
    }),
  };
}

function takedownOf(settings: 'never' | { readonly confirmations: number; readonly over: number } | undefined) {
  if (settings === undefined) return {};
  if (settings === 'never') return { takedown: { confirmations: Number.POSITIVE_INFINITY, overMs: 0 } };
  return { takedown: { confirmations: settings.confirmations, overMs: settings.over } };
}

function checkAccess(
  org: string,
  { teams, access }: ConfigFile['orgs'][string],
  known: readonly string[],
  complain: Complain,
): void {
  for (const [index, rule] of access.entries()) {
    for (const [place, name] of (rule.repositories ?? []).entries()) {
      if (known.includes(`${org}/${name}`)) continue;
      const names = known.filter((full) => full.startsWith(`${org}/`)).map((full) => full.slice(org.length + 1));
      const message = `there is no repository "${name}" in org "${org}"${hint(name, names)}`;
      complain(['orgs', org, 'access', index, 'repositories', place], message);
    }
    for (const [place, who] of rule.who.entries()) {
      const problem = whoProblem(who, Object.keys(teams));
      if (problem !== undefined) complain(['orgs', org, 'access', index, 'who', place], problem);
    }
    if (rule.claims && !rule.who.every((who) => who.startsWith('ci:'))) {
      complain(['orgs', org, 'access', index, 'claims'], 'only CI jobs have claims; write a rule of its own for `ci:`');
    }
  }
}

function whoProblem(who: string, teams: readonly string[]): string | undefined {
  if (who === 'everyone' || who === 'members') return undefined;
  if (/^user:\S+$/.test(who) || /^ci:[^:\s]+:.+$/.test(who)) return undefined;
  const team = /^team:(.+)$/.exec(who)?.[1];
  if (team !== undefined) return teams.includes(team) ? undefined : `there is no team "${team}"${hint(team, teams)}`;
  const kinds = ['everyone', 'members', 'team:NAME', 'user:NAME', 'ci:ISSUER-NAME:SUBJECT-PATTERN'];
  return `"${who}" is none of ${kinds.join(', ')}${guess(who, ['everyone', 'members'])}`;
}

function accessNotes(name: string, org: ConfigFile['orgs'][string], issuers: ConfigFile['issuers']): string[] {
  const nobody = Object.keys(org.repositories)
    .filter((repository) => !org.access.some((rule) => rule.repositories?.includes(repository) ?? true))
    .filter(() => Object.keys(org.projects).length === 0)
    .map((repository) => `${name}/${repository}: no access rule is about it, so nobody may read it`);
  const unknown = org.access
    .flatMap(({ who }) => who.map((one) => /^ci:([^:]+):/.exec(one)?.[1]))
    .filter((issuer) => issuer !== undefined && !Object.hasOwn(issuers, issuer));
  return [
    ...nobody,
    ...[...new Set(unknown)].map(
      (issuer) => `${name}: a rule is about CI jobs of issuer "${issuer}", which is none of issuers:`,
    ),
  ];
}

type OrgFile = ConfigFile['orgs'][string];

function usersOf({ users }: OrgFile): OrgConfig['users'] {
  return Object.fromEntries(
    Object.entries(users).map(([name, { service, password }]) => [
      name,
      { service, ...(password !== undefined && { password }) },
    ]),
  );
}

function projectsOf({ projects }: OrgFile): OrgConfig['projects'] {
  return Object.fromEntries(
    Object.entries(projects).map(([name, { visibility, source, members, packages }]) => {
      const { read, publish, delete: remove, admin } = members;
      return [
        name,
        {
          visibility,
          ...(source !== undefined && { source }),
          members: {
            ...(read && { read }),
            ...(publish && { publish }),
            ...(remove && { delete: remove }),
            ...(admin && { admin }),
          },
          packages,
        },
      ];
    }),
  );
}

function checkProjects(org: string, { projects, teams }: OrgFile, complain: Complain): void {
  for (const [name, { packages, members }] of Object.entries(projects)) {
    const at: Path = ['orgs', org, 'projects', name];
    for (const [index, pattern] of packages.entries()) {
      if (/^[^:]+:.+$/.test(pattern)) continue;
      complain([...at, 'packages', index], "is no REPOSITORY-PATTERN:NAME-PATTERN, such as 'npm:@acme/shop-*'");
    }
    for (const [action, list] of Object.entries(members)) {
      for (const [index, who] of (list ?? []).entries()) {
        const problem = whoProblem(who, Object.keys(teams));
        if (problem !== undefined) complain([...at, 'members', action, index], problem);
      }
    }
  }
}

function resolveIssuers(issuers: ConfigFile['issuers'], complain: Complain): Config['issuers'] {
  const found: Record<string, IssuerConfig> = {};
  for (const [name, { url: given, audience }] of Object.entries(issuers)) {
    const path: Path = ['issuers', name];
    const text = given ?? (Object.hasOwn(wellKnownIssuers, name) ? wellKnownIssuers[name] : undefined);
    if (text === undefined) {
      complain(
        path,
        `needs a url, because it is none of the well-known issuers${hint(name, Object.keys(wellKnownIssuers))}`,
      );
      continue;
    }
    const url = issuerAddress(text, given === undefined ? path : [...path, 'url'], complain);
    if (url) found[name] = { url, audiences: typeof audience === 'string' ? [audience] : (audience ?? []) };
  }
  return found;
}

/** It is compared letter by letter with what tokens say, so nothing is added or taken away. */
function issuerAddress(text: string, path: Path, complain: Complain): string | undefined {
  const url = webAddress(text, path, complain);
  if (!url) return undefined;
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    complain(path, 'is not https, so anybody on the way could answer for the issuer');
    return undefined;
  }
  return text;
}

function resolveSignIn({ signIn, orgs }: ConfigFile, complain: Complain): SignInConfig | undefined {
  if (!signIn) return undefined;
  const issuer = issuerAddress(signIn.issuer, ['signIn', 'issuer'], complain);
  if (!Object.hasOwn(orgs, signIn.org)) {
    complain(['signIn', 'org'], `there is no org "${signIn.org}"${hint(signIn.org, Object.keys(orgs))}`);
  }
  if (issuer === undefined) return undefined;
  return {
    issuer,
    clientId: signIn.clientId,
    ...(signIn.clientSecret !== undefined && { clientSecret: signIn.clientSecret }),
    org: signIn.org,
    scopes: signIn.scopes,
    userClaim: signIn.userClaim,
    groupsClaim: signIn.groupsClaim,
    teams: Object.fromEntries(
      Object.entries(signIn.teams).map(([group, teams]) => [group, typeof teams === 'string' ? [teams] : teams]),
    ),
  };
}

interface Named {
  readonly path: Path;
  readonly settings: RepositoryConfig;
}

function repositoriesOf(orgs: Readonly<Record<string, OrgConfig>>): ReadonlyMap<string, Named> {
  const all = new Map<string, Named>();
  for (const [org, { repositories }] of Object.entries(orgs)) {
    for (const [name, settings] of Object.entries(repositories)) {
      all.set(`${org}/${name}`, { path: ['orgs', org, 'repositories', name], settings });
    }
  }
  return all;
}

/** Every repository and upstream the file names, also those that have mistakes of their own. */
function namesIn(tree: SourceTree): {
  readonly repositories: readonly string[];
  readonly upstreams: readonly string[];
} {
  const keys = (value: unknown): [string, unknown][] =>
    typeof value === 'object' && value !== null ? Object.entries(value) : [];
  const top = Object.fromEntries(keys(tree.value));
  const repositories = keys(top.orgs).flatMap(([org, settings]) =>
    keys(Object.fromEntries(keys(settings)).repositories).map(([name]) => `${org}/${name}`),
  );
  return { repositories, upstreams: keys(top.upstreams).map(([name]) => name) };
}

function checkNesting(
  repositories: ReadonlyMap<string, Named>,
  names: ReturnType<typeof namesIn>,
  complain: Complain,
): void {
  for (const [name, { path, settings }] of repositories) {
    for (const [index, source] of settings.sources.entries()) {
      const at = [...path, 'sources', index];
      if (source.kind === 'remote') {
        const known = [...names.upstreams, ...Object.keys(wellKnown)];
        if (!known.includes(source.upstream)) {
          complain([...at, 'remote'], `there is no upstream "${source.upstream}"${hint(source.upstream, known)}`);
        }
      }
      if (source.kind !== 'repository') continue;
      if (!names.repositories.includes(source.repository)) {
        const message = `there is no repository "${source.repository}"${hint(source.repository, names.repositories)}`;
        complain([...at, 'repository'], message);
        continue;
      }
      const other = repositories.get(source.repository);
      if (other && other.settings.format !== settings.format) {
        complain(
          [...at, 'repository'],
          `"${source.repository}" is of format ${other.settings.format}, not ${settings.format}`,
        );
      }
      const way = wayBack(source, name, repositories);
      if (way) complain([...at, 'repository'], `goes in a circle: ${[name, ...way].join(' > ')}`);
    }
  }
}

/** The repositories on the way from a nested source back to where it is a source. */
function wayBack(
  source: NestedSourceConfig,
  goal: string,
  repositories: ReadonlyMap<string, Named>,
  seen: ReadonlySet<string> = new Set(),
): string[] | undefined {
  if (source.repository === goal) return [goal];
  if (seen.has(source.repository)) return undefined;
  for (const inner of repositories.get(source.repository)?.settings.sources ?? []) {
    if (inner.kind !== 'repository') continue;
    const rest = wayBack(inner, goal, repositories, new Set([...seen, source.repository]));
    if (rest) return [source.repository, ...rest];
  }
  return undefined;
}

function resolveHosts(
  hosts: ConfigFile['hosts'],
  names: ReturnType<typeof namesIn>,
  complain: Complain,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [host, repository] of Object.entries(hosts)) {
    const path = ['hosts', host];
    if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$|^\[[0-9a-f:.]+\]$/i.test(host)) {
      complain(path, `"${host}" is no host name; write it without scheme, port and path, or "default"`);
    }
    if (!names.repositories.includes(repository)) {
      complain(path, `there is no repository "${repository}"${hint(repository, names.repositories)}`);
    }
    found[host.toLowerCase()] = repository;
  }
  return found;
}

function resolveIndex(text: string, complain: Complain): Config['index'] {
  if (text === 'sqlite' || text === 'memory') return text;
  if (/^redis:\/\/[^\s/]/.test(text) && URL.canParse(text)) return text as `redis://${string}`;
  complain(['index'], 'is none of sqlite, memory, redis://HOST:PORT/DB');
  return 'sqlite';
}

function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127\.\d+\.\d+\.\d+$/.test(name);
}

/** Whether a URL leads to this very server. */
export function ownAddress(listen: Listen, publicUrl: string | undefined): (url: URL) => boolean {
  const everywhere = ['0.0.0.0', '::'].includes(listen.host);
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
  const outside = publicUrl === undefined ? undefined : new URL(publicUrl);
  return (url) => {
    if (
      outside &&
      url.host === outside.host &&
      `${url.pathname}/`.startsWith(`${outside.pathname.replace(/\/$/, '')}/`)
    ) {
      return true;
    }
    const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
    const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
    if (port !== listen.port) return false;
    if (host === listen.host.toLowerCase()) return true;
    if (isLoopback(host)) return everywhere || isLoopback(listen.host);
    return everywhere && addresses.includes(host);
  };
}
