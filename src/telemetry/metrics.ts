/**
 * Prometheus metrics, fed by events only. Every label has few values: names from the configuration, ids of routes, codes from a table;
 * never the name of a package, which may be nobody else's business. What is counted stands in `count-<subject>.ts`, one line here for each.
 */
import { Registry } from 'prom-client';
import { type EventName, type Events, subscribe } from '../core/events.ts';
import type { Counting, Known } from './count.ts';
import { countAccess } from './count-access.ts';
import { countDocuments } from './count-documents.ts';
import { countDownloads } from './count-downloads.ts';
import { countHandOff } from './count-hand-off.ts';
import { countHosted } from './count-hosted.ts';
import { countLimits } from './count-limits.ts';
import { countOffline } from './count-offline.ts';
import { countProcess, processMetrics } from './count-process.ts';
import { countReloads } from './count-reloads.ts';
import { countRequests } from './count-requests.ts';
import { countShares } from './count-shares.ts';
import { countStore } from './count-store.ts';
import { countTracing } from './count-tracing.ts';
import { countUpstreams } from './count-upstreams.ts';

export interface Metrics {
  readonly registry: Registry;
  text(): Promise<{ readonly contentType: string; readonly text: string }>;
  stop(): void;
}

export type MetricsOptions = Known;

const subjects: readonly ((counting: Counting) => void)[] = [
  countRequests,
  countUpstreams,
  countShares,
  countDownloads,
  countDocuments,
  countHandOff,
  countLimits,
  countOffline,
  countStore,
  countHosted,
  countAccess,
  countProcess,
  countReloads,
  countTracing,
];

export function startMetrics(known: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const ends: (() => void)[] = [];
  const texts: (() => readonly string[])[] = [];
  const on = <N extends EventName>(name: N, listener: (event: Events[N]) => void): void => {
    ends.push(subscribe(name, listener));
  };
  for (const count of subjects) {
    count({
      registry,
      registers: [registry],
      on,
      text: (lines) => texts.push(lines),
      atEnd: (end) => ends.push(end),
      known,
    });
  }
  const aboutProcess = processMetrics();
  return {
    registry,
    async text() {
      const made = await Promise.all([registry.metrics(), aboutProcess.metrics()]);
      const written = texts.flatMap((lines) => lines());
      return { contentType: registry.contentType, text: `${[...made, ...written].join('\n')}\n` };
    },
    stop() {
      for (const end of ends.splice(0)) end();
      registry.clear();
    },
  };
}
