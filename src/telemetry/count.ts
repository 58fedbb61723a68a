/** What every file that counts something needs. Each is called `count-<subject>.ts`, hears events and fills metrics; metrics.ts lists them. */
import type { Registry } from 'prom-client';
import type { EventName, Events } from '../core/events.ts';

/** Subscribes for as long as the metrics live. */
export type On = <N extends EventName>(name: N, listener: (event: Events[N]) => void) => void;

/** What is known before anything happens. Counters that exist from the start make the first failure an increase and not a new line. */
export interface Known {
  readonly version?: string;
  readonly maxSizeBytes?: number;
  readonly upstreams?: readonly string[];
  /** What is published at this moment, by organisation. */
  readonly hosted?: () => Iterable<{ readonly org: string; readonly bytes: number; readonly maxBytes?: number }>;
  /** Tokens at this moment. */
  readonly tokens?: () => Iterable<{
    readonly org: string;
    readonly kind: 'user' | 'service';
    readonly state: 'valid' | 'expiring' | 'expired' | 'revoked';
    readonly count: number;
  }>;
}

export interface Counting {
  readonly registry: Registry;
  /** For the library's own metrics. */
  readonly registers: Registry[];
  readonly on: On;
  /** For families that are written without the library: their lines in Prometheus' text format, made when somebody reads them. */
  readonly text: (lines: () => readonly string[]) => void;
  /** For what has to be ended beside subscriptions. */
  readonly atEnd: (end: () => void) => void;
  readonly known: Known;
}

/** Lets the first so many values through; whatever comes after them is `other`. */
/** Lets the first so many values through; whatever comes after them is `other`. */
export function bounded(most: number): (value: string) => string {
  const seen = new Set<string>();
  return (value) => {
    if (seen.has(value)) return value;
    if (seen.size >= most) return 'other';
    seen.add(value);
    return value;
  };
}

export function statusClass(status: number): string {
  return `${Math.floor(status / 100)}xx`;
}
