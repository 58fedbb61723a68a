/** What belongs to the process for as long as it runs. Everything else of a configuration takes effect when it is read again. */
import type { Config } from './settings.ts';

/** By the name in the file. */
const fixed: Readonly<Record<string, (config: Config) => unknown>> = {
  'server.listen': ({ server }) => server.listen,
  'server.publicUrl': ({ server }) => server.publicUrl,
  'server.trustedProxies': ({ server }) => server.trustedProxies,
  // A new certificate is taken over, but a port does not change what it speaks.
  'server.tls': ({ server }) => server.tls !== undefined,
  'server.limits.headerBytes': ({ server }) => server.limits.headerBytes,
  'server.limits.headersTimeout': ({ server }) => server.limits.headersTimeoutMs,
  'server.limits.keepAliveTimeout': ({ server }) => server.limits.keepAliveTimeoutMs,
  'server.handOff': ({ server }) => server.handOff,
  'server.limits.streams': ({ server }) => server.limits.streams,
  'server.limits.clients': ({ server }) => server.limits.clients,
  'server.hotMemory': ({ server }) => server.hotMemoryBytes,
  'storage.path': ({ storage }) => storage.path,
  'storage.maxSize': ({ storage }) => storage.maxSizeBytes,
  'storage.keepFree': ({ storage }) => storage.keepFreeBytes,
  index: ({ index }) => index,
  documents: ({ documents }) => documents,
  log: ({ log }) => log,
  'metrics.enabled': ({ metrics }) => metrics.enabled,
};

/** Options, by their names in the file, that differ from what the process was started with and cannot be changed while it runs. */
export function needingRestart(started: Config, now: Config): string[] {
  return Object.entries(fixed)
    .filter(([, of]) => JSON.stringify(of(started)) !== JSON.stringify(of(now)))
    .map(([name]) => name);
}
