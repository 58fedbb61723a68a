/** What is kept per origin: connections, the queue for them, and what is known about the origin's health. */
import { createHash } from 'node:crypto';
import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { publish } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import { type AgentSettings, openAgent } from './agent.ts';
import { type Breaker, type BreakerSettings, createBreaker } from './breaker.ts';
import { publicOnly, type Trust } from './guard.ts';
import { createQueue, type Queue } from './queue.ts';

// Links may name any number of hosts; beyond this the one unused for longest is closed.
const maxLanes = 200;

const closeGraceMs = 5000;

// A request that was under way when settings changed may go on for long; it is looked at this often.
const retireEveryMs = 1000;

export interface LaneSettings extends AgentSettings {
  readonly maxQueue: number;
  readonly breaker: BreakerSettings;
}

/** One origin under one set of settings. */
export interface Lane {
  readonly agent: Dispatcher;
  readonly queue: Queue;
  readonly breaker: Breaker;
  /** From then on a connection may be an idle one that the other side is just closing. */
  hasAnswered: boolean;
}

export interface Lanes {
  /** Upstreams that ask the same origin in the same way share a lane, whatever their credentials. */
  find(origin: string, settings: LaneSettings, trust: Trust): Lane;
  /** Closes what nobody uses, and the rest once nobody uses it, unless it is asked for again: settings have changed. */
  retire(): void;
  /** Lets running requests end for a moment, then ends them. After it `find` is a problem. */
  close(): Promise<void>;
}

export interface LanesOptions {
  readonly clock: () => number;
  /** How names become addresses; default: as the system does it. */
  readonly lookup?: LookupFunction | undefined;
}

export function createLanes({ clock, lookup = systemLookup as LookupFunction }: LanesOptions): Lanes {
  const guardedLookup = publicOnly(lookup);
  // The most recently used one is last.
  const lanes = new Map<string, Lane>();
  const fingerprints = new WeakMap<LaneSettings, string>();
  /** Keys of those that were in use when settings changed last, and were not asked for since. */
  const retiring = new Set<string>();
  let retirement: NodeJS.Timeout | undefined;
  let isClosed = false;

  function fingerprintOf(settings: LaneSettings): string {
    let found = fingerprints.get(settings);
    if (found === undefined) {
      const { timeoutMs, connectTimeoutMs, concurrency, maxQueue, proxy, ca, breaker } = settings;
      const facts = JSON.stringify([timeoutMs, connectTimeoutMs, concurrency, maxQueue, proxy, ca, breaker]);
      found = createHash('sha256').update(facts).digest('base64url');
      fingerprints.set(settings, found);
    }
    return found;
  }

  function open(origin: string, settings: LaneSettings, trust: Trust): Lane {
    return {
      agent: openAgent(settings, trust === 'trusted' ? lookup : guardedLookup),
      queue: createQueue({ concurrency: settings.concurrency, maxWaiting: settings.maxQueue }),
      breaker: createBreaker(
        { ...settings.breaker, probeTimeoutMs: Math.min(settings.breaker.probeTimeoutMs, settings.timeoutMs) },
        { clock, onChange: (state) => publish('breaker', { origin, state }) },
      ),
      hasAnswered: false,
    };
  }

  function closeOldest(): void {
    for (const [key, { agent, queue }] of lanes) {
      if (queue.running > 0 || queue.waiting > 0) continue;
      lanes.delete(key);
      void agent.close();
      return;
    }
  }

  function find(origin: string, settings: LaneSettings, trust: Trust): Lane {
    if (isClosed) throw new Problem('busy', 'Larder is shutting down.', { retryAfterSeconds: 5 });
    // Trust is part of the key: a connection once made to a private address must not be there for a stranger's link.
    const key = `${trust} ${origin} ${fingerprintOf(settings)}`;
    const known = lanes.get(key);
    retiring.delete(key);
    if (known) lanes.delete(key);
    else if (lanes.size >= maxLanes) closeOldest();
    const lane = known ?? open(origin, settings, trust);
    lanes.set(key, lane);
    return lane;
  }

  function retire(): void {
    for (const key of lanes.keys()) retiring.add(key);
    closeRetired();
  }

  function closeRetired(): void {
    clearTimeout(retirement);
    for (const key of retiring) {
      const lane = lanes.get(key);
      if (lane && (lane.queue.running > 0 || lane.queue.waiting > 0)) continue;
      retiring.delete(key);
      lanes.delete(key);
      void lane?.agent.close();
    }
    if (retiring.size > 0 && !isClosed) retirement = setTimeout(closeRetired, retireEveryMs).unref();
  }

  async function close(): Promise<void> {
    isClosed = true;
    clearTimeout(retirement);
    const agents = [...lanes.values()].map(({ agent }) => agent);
    lanes.clear();
    const inTime = new AbortController();
    const tooLate = delay(closeGraceMs, undefined, { signal: inTime.signal }).catch(() => undefined);
    await Promise.race([Promise.all(agents.map((agent) => agent.close())), tooLate]);
    inTime.abort();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  return { find, retire, close };
}
