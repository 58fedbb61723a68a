/** From what is written about upstreams, and what is well known about them, to what the program runs on. */
import { isLoopback, ownAddress, webAddress, withoutSlash } from './addresses.ts';
import { proxyFromEnvironment } from './egress.ts';
import { type Complain, type Path, withoutCredentials } from './mistakes.ts';
import { pem } from './resolve-server.ts';
import type { ConfigFile } from './schema.ts';
import { upstreamSchema } from './schema-upstream.ts';
import type { ServerConfig, UpstreamConfig } from './settings.ts';
import { type Environment, readText } from './source.ts';
import { hint } from './suggest.ts';
import { isWellKnown, npmRegistry, wellKnown } from './well-known.ts';

type UpstreamFile = ConfigFile['upstreams'][string];

/** The ones that some repository uses, and the ones the file names. */
export async function resolveUpstreams(
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
    traceContext: settings.traceContext ?? (isWellKnown(url) ? 'nothing' : 'traceparent'),
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
