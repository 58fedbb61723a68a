/** Puts the parts together; with main.ts and site.ts the only place that knows them all. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Tinypool } from 'tinypool';
import { type AccessControl, createAccess } from './access/access.ts';
import { readOrCreateKey } from './access/keys.ts';
import type { AccessSettings } from './access/settings.ts';
import type { Config, TracingConfig } from './config/settings.ts';
import type { Claims } from './core/claims.ts';
import { Problem } from './core/problem.ts';
import type { Repository } from './core/repository.ts';
import { collectWhileBytesPass } from './garbage.ts';
import type { ApiContext } from './http/api/route.ts';
import { apiRoutes } from './http/api/routes.ts';
import { exchangeRoutes, isExchange } from './http/exchange.ts';
import type { LimitSettings } from './http/limits.ts';
import type { Clock } from './http/limits-pacer.ts';
import { loginRoutes } from './http/login.ts';
import { createServer, type HttpServer } from './http/server.ts';
import { tokenRoutes } from './http/token.ts';
import { whoamiRoutes } from './http/whoami.ts';
import { createAudit } from './jobs/audit.ts';
import { createKeepWarm } from './jobs/keep-warm.ts';
import { createMissing } from './jobs/missing.ts';
import { createRecording } from './jobs/recording.ts';
import { createRelease } from './jobs/release.ts';
import { createWebhooks } from './jobs/webhooks.ts';
import { createCompute } from './pipeline/compute.ts';
import type { Job } from './pipeline/derive.ts';
import { createDerivedDocuments } from './pipeline/derived.ts';
import { buildSite, type Site } from './site.ts';
import type { Disk } from './store/disk.ts';
import type { Hosting } from './store/hosting.ts';
import { startMeasuring } from './store/measuring.ts';
import { openSets } from './store/sets.ts';
import { openStore } from './store/store.ts';
import { type Metrics, startMetrics } from './telemetry/metrics.ts';
import { passTracesOn } from './telemetry/trace-context.ts';
import { createUpstreams } from './upstream/client.ts';
import { createDownloads } from './upstream/download.ts';
import { createPlainFetch, judge } from './upstream/plain-fetch.ts';
import { createQueue } from './upstream/queue.ts';
import { sendRelease } from './upstream/release.ts';
import { version } from './version.ts';

export interface Larder {
  /** Users, tokens and rights. */
  readonly access: AccessControl;
  listen(): Promise<{ readonly url: string; readonly port: number }>;
  /** Takes over everything but what `needingRestart` names. What can't be put to use rejects and changes nothing. One at a time. */
  reload(config: Config): Promise<void>;
  /** Running transfers may end within the configured time. */
  close(): Promise<void>;
}

export interface LarderParts {
  /** Tests fail disk operations through it. */
  readonly disk?: Disk;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** What limits of clients are measured by. */
  readonly clock?: Clock;
}

/** A worker must be able to hold a document at its limit decoded, and no more. */
const workerHeapMegabytes = 2048;
/** Bytes that nobody looks at any more stay in memory until their generation is full. Less slows big documents down. */
const workerYoungMegabytes = 32;
const idleWorkerMs = 30_000;

function createPool(threads: number) {
  const pool = new Tinypool({
    filename: new URL('./worker.ts', import.meta.url).href,
    name: 'work',
    minThreads: 0,
    maxThreads: threads,
    idleTimeout: idleWorkerMs,
    // Otherwise a thread that waits for work sleeps: no timer runs in it, and nothing that V8 has to do later.
    useAtomics: false,
    resourceLimits: { maxOldGenerationSizeMb: workerHeapMegabytes, maxYoungGenerationSizeMb: workerYoungMegabytes },
  });
  // The pool's own queue knows no organisations, so that nobody is to wait there.
  const turns = createQueue({ concurrency: threads, maxWaiting: Number.POSITIVE_INFINITY });
  return {
    async run(job: Job, moved: readonly ArrayBuffer[], claims: Claims): Promise<unknown> {
      const leave = await turns.enter({ claims, continued: true });
      try {
        return await pool.run(job, { transferList: [...moved] });
      } finally {
        leave?.();
      }
    },
    close: () => pool.destroy(),
  };
}

export async function createLarder(config: Config, parts: LarderParts = {}): Promise<Larder> {
  const now = parts.now ?? Date.now;
  const via = `larder-${randomBytes(6).toString('hex')}`;
  const metrics: Metrics | undefined = config.metrics.enabled
    ? startMetrics({
        version,
        upstreams: Object.keys(config.upstreams),
        tokens: () => access.tokenCounts(),
        hosted: () => site.published(),
        ...(config.storage.maxSizeBytes === undefined ? {} : { maxSizeBytes: config.storage.maxSizeBytes }),
      })
    : undefined;
  let tracing = await traced(config.tracing);
  const leaveGarbage = collectWhileBytesPass();
  const store = await openStore({
    ...config.storage,
    index: config.index,
    clock: now,
    ...(parts.disk ? { disk: parts.disk } : {}),
  });
  const measuring =
    metrics && startMeasuring({ path: config.storage.path, ...(parts.disk ? { disk: parts.disk } : {}) });
  const upstreams = createUpstreams({ via, userAgent: `larder/${version}` });
  const pool = config.documents.threads > 0 ? createPool(config.documents.threads) : undefined;
  const compute = createCompute({
    inlineBytes: config.documents.inlineBytes,
    ...(pool ? { elsewhere: pool.run } : {}),
  });
  const downloads = {
    artifacts: createDownloads({ stage: store.stage }),
    documents: createDownloads({ stage: store.stage }),
  };
  const derived = createDerivedDocuments({
    compute,
    blobs: store.blobs,
    facts: store.facts('derived'),
    memoryBytes: config.documents.memoryBytes,
    keepAboveBytes: config.documents.inlineBytes,
  });
  const plain = createPlainFetch();
  const sealingKey = await readOrCreateKey(join(config.storage.path, 'keys/sealing'));
  const access = await createAccess({
    settings: accessSettings(config),
    openJournal: store.openJournal,
    facts: store.facts('access'),
    sealingKey,
    fetch: plain.fetch,
    now,
  });
  const siteParts = { store, upstreams, downloads, compute, access, now };
  let current = config;
  let site: Site = await buildSite(config, siteParts);

  const repositoryOf = (id: string): Repository | undefined => site.repositories.get(id);
  const hostingOf = (repository: Repository): Hosting | undefined => site.hostingOf(repository);
  const webhooks = await createWebhooks({
    openJournal: store.openJournal,
    facts: store.facts('webhooks'),
    key: sealingKey,
    check: (url) => void judge(url, current.webhooks.hosts),
    fetch: (url, init) => plain.guarded(url, current.webhooks.hosts, init),
    now,
    orgs: () => access.orgs,
    configured: (org) => current.orgs[org]?.webhooks ?? [],
    repositories: (org) => [...site.repositories.values()].filter((one) => one.org === org),
    hostingOf,
  });
  const packages = {
    access,
    blobs: store.blobs,
    roomFor: (one: Repository) => site.roomFor(one),
    hostingOf,
    repository: repositoryOf,
  };
  const missing = createMissing({ facts: store.facts('missing'), now });
  const recording = createRecording({
    sets: openSets(config.storage.path, parts.disk),
    allowed: (org) => (Object.hasOwn(current.orgs, org) ? current.orgs[org]?.recording : undefined) ?? 'members',
  });
  const optionsOf = (repository: Repository) => site.optionsOf(repository);
  const keepWarm = createKeepWarm({
    facts: store.facts('keep-warm'),
    repositories: () => site.repositories.values(),
    settings: (id) => keepWarmOf(current, id),
    documents: { derived, now, optionsOf },
    origin: () => current.server.publicUrl ?? 'http://localhost',
    now,
  });
  const api: ApiContext = {
    access,
    packages,
    repositories: () => site.repositories.values(),
    audit: createAudit({
      repositories: () => site.repositories.values(),
      hostingOf,
      orgHistory: access.history,
      webhookHistory: webhooks.history,
    }),
    webhooks,
    missing,
    recordings: recording,
    keepWarm,
    release: createRelease({
      hostingOf,
      blobs: store.blobs,
      upstream: (name, org) => {
        const isTheirs = Object.hasOwn(current.upstreams, name) && mayUseUpstream(current, name, org);
        const target = isTheirs ? current.upstreams[name] : undefined;
        if (target && (target.offline || current.offline)) throw offlineTo(name);
        return target && { ...target, send: (request) => sendRelease(plain, target, request) };
      },
    }),
  };

  const server: HttpServer = createServer({
    ...config.server,
    orgLimits: orgLimits(config),
    clock: parts.clock,
    via,
    now,
    addresses: () => site,
    overrides: isExchange,
    routes: ({ originOf, remoteOf, idOf }) => [
      tokenRoutes({ access, remoteOf }),
      whoamiRoutes({ access, remoteOf }),
      loginRoutes({ access, originOf, remoteOf }),
      exchangeRoutes({ access, originOf }),
      apiRoutes({ context: api, version, originOf, idOf, remoteOf }),
    ],
    context: {
      access,
      derived,
      now,
      blobs: store.blobs,
      stage: store.stage,
      uploads: store.uploads,
      optionsOf,
      hostingOf,
      recording,
      noteUse: keepWarm.note,
      roomFor: packages.roomFor,
      repository: repositoryOf,
    },
    readiness: () => {
      const { usable, writable, reason } = store.health();
      return { ready: usable, caching: writable, ...(reason === undefined ? {} : { reason }) };
    },
    ...(metrics
      ? {
          metrics: () => {
            server.tellConnections();
            return metrics.text();
          },
        }
      : {}),
    metricsFrom: () => current.metrics.from,
  });

  return {
    access,
    listen: () => server.listen(),
    async reload(next) {
      // Whatever may fail comes first: what can't be put to use changes nothing.
      const built = await buildSite(next, siteParts);
      await access.update(accessSettings(next));
      site = built;
      server.renew(next.server.tls);
      server.relimit(next.server.limits, orgLimits(next));
      if (JSON.stringify(next.tracing) !== JSON.stringify(current.tracing)) {
        const before = tracing;
        tracing = await traced(next.tracing);
        void before(next.server.drainMs);
      }
      current = next;
      server.forget();
      upstreams.retire();
    },
    async close() {
      const { drainMs } = current.server;
      await server.close(drainMs);
      await Promise.all([downloads.artifacts.drain(drainMs), downloads.documents.drain(drainMs)]);
      await measuring?.close();
      await webhooks.close();
      await keepWarm.close();
      await missing.close();
      await upstreams.close();
      await plain.close();
      await pool?.close();
      await store.close();
      await tracing(drainMs);
      leaveGarbage();
      metrics?.stop();
    },
  };
}

/** Returns what ends it. The libraries are loaded only where they are wanted: they take as long as all the rest. */
async function traced(config: TracingConfig | undefined): Promise<(deadlineMs: number) => Promise<void>> {
  if (!config) {
    const end = passTracesOn();
    return async () => end();
  }
  const { startTracing } = await import('./telemetry/tracing.ts');
  return startTracing({ ...config, version }).stop;
}

function keepWarmOf({ orgs }: Config, id: string) {
  const [org = '', name = ''] = id.split('/');
  const repositories = Object.hasOwn(orgs, org) ? orgs[org]?.repositories : undefined;
  return repositories && Object.hasOwn(repositories, name) ? repositories[name]?.keepWarm : undefined;
}

const offlineTo = (upstream: string): Problem =>
  new Problem('conflict', `${upstream} is set to offline, so nothing is sent there: do it on a connected server.`);

/** Credentials of an upstream that only others have among their sources are theirs. */
function mayUseUpstream({ orgs }: Config, name: string, org: string): boolean {
  const users = Object.entries(orgs).filter(([, { repositories }]) =>
    Object.values(repositories).some(({ sources }) =>
      sources.some((source) => source.kind === 'remote' && source.upstream === name),
    ),
  );
  return users.length === 0 || users.some(([user]) => user === org);
}

/** Names that this server surely has; what else a request calls it is the word of whoever sent it. */
function hostsOf({ server, hosts }: Config): string[] {
  const own = server.publicUrl === undefined ? [] : [new URL(server.publicUrl).hostname];
  return [...own, ...Object.keys(hosts).filter((host) => host !== 'default')];
}

function orgLimits({ orgs }: Config): LimitSettings['orgs'] {
  return Object.fromEntries(Object.entries(orgs).map(([name, { limits }]) => [name, limits]));
}

function accessSettings(config: Config): AccessSettings {
  const { orgs, issuers, signIn } = config;
  return { orgs, issuers, signIn, hosts: hostsOf(config) };
}
