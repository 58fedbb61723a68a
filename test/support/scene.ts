/** A fake registry and a Larder in front of it, both gone when the test ends. */
import { expect, onTestFinished } from 'vitest';

import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from './fake-registry.ts';
import type { FakeUpstream } from './fake-upstream.ts';
import { type Larder, type LarderProcess, type Settings, spawnLarder, startLarder } from './larder.ts';
import { eventually } from './wait.ts';

export interface SceneOptions extends Omit<Settings, 'upstreamUrl'> {
  readonly registry?: FakeRegistryOptions;
  readonly upstreamUrl?: string;
}

export interface Scene {
  readonly registry: FakeRegistry;
  readonly upstream: FakeUpstream;
  readonly larder: Larder;
}

/** Like a patient operator's settings, only that nothing is waited for long: retries and time-outs are short. */
const impatient = { timeoutMs: 2000, connectTimeout: '2s', retries: 0, breaker: { failures: 1000 } };

function settingsFor(registry: FakeRegistry, options: SceneOptions): Settings {
  return { upstreamUrl: registry.url, ...options, upstream: { ...impatient, ...options.upstream } };
}

/** A client has its last byte a moment before the file is where others find it. */
export async function untilStored(larder: Larder, path: string, repository: 'npm' | 'files' = 'npm'): Promise<void> {
  const answer = await eventually(`${path} is stored`, async () => {
    const asked = await larder[repository](path);
    return asked.headers['x-larder-cache'] === 'joined' ? undefined : asked;
  });
  expect(answer.headers['x-larder-cache']).toBe('hit');
}

/** Larder in the test's own process. Outside a test, say `afterAll` for when it may go. */
export async function scene(
  options: SceneOptions = {},
  later: (close: () => Promise<void>) => void = onTestFinished,
): Promise<Scene> {
  const registry = await startFakeRegistry(options.registry);
  later(() => registry.close());
  const larder = await startLarder(settingsFor(registry, options));
  later(() => larder.close());
  return { registry, upstream: registry.upstream, larder };
}

/** Larder as a process. */
export async function sceneWithProcess(
  options: SceneOptions = {},
  nodeOptions: readonly string[] = [],
): Promise<Scene & { readonly larder: LarderProcess }> {
  const registry = await startFakeRegistry(options.registry);
  onTestFinished(() => registry.close());
  const larder = await spawnLarder(settingsFor(registry, options), nodeOptions);
  onTestFinished(() => larder.close());
  return { registry, upstream: registry.upstream, larder };
}
