/** What one address, one identity or one organisation has used of what it may. */
import { type Clock, Pacer } from './limits-pacer.ts';

/** What is absent is unlimited. */
export interface ClientLimits {
  /** In the long run, and how many may come at once. */
  readonly requests?: { readonly perSecond: number; readonly burst: number };
  /** Per second, of answers. */
  readonly downloadBytes?: number;
  /** Per second, of request bodies. */
  readonly uploadBytes?: number;
  /** At the same time. */
  readonly transfers?: number;
}

/** Whose account it is. */
export type By = 'address' | 'identity' | 'org';

export class Account {
  readonly by: By;
  readonly org: string;
  readonly #clock: Clock;
  #limits: ClientLimits;
  #tokens: number;
  #at: number;
  /** Requests that are being answered. */
  running = 0;
  download: Pacer | undefined;
  upload: Pacer | undefined;
  /** Another one may stand in its place by now. */
  isForgotten = false;

  constructor(by: By, org: string, limits: ClientLimits, time: Clock) {
    this.by = by;
    this.org = org;
    this.#clock = time;
    this.#limits = limits;
    this.#tokens = limits.requests?.burst ?? 0;
    this.#at = time.now();
    this.limits = limits;
  }

  get limits(): ClientLimits {
    return this.#limits;
  }

  /** What was used stays used; pacers that are in use go on at the new pace. */
  set limits(limits: ClientLimits) {
    this.#refill();
    if (!this.#limits.requests && limits.requests) this.#tokens = limits.requests.burst;
    this.#limits = limits;
    this.#refill();
    this.download = paced(this.download, limits.downloadBytes, this.#clock);
    this.upload = paced(this.upload, limits.uploadBytes, this.#clock);
  }

  mayRequest(now = this.#clock.now()): boolean {
    if (this.#limits.requests === undefined) return true;
    this.#refill(now);
    return this.#tokens >= 1;
  }

  takeRequest(): void {
    if (this.#limits.requests !== undefined) this.#tokens -= 1;
  }

  get mayTransfer(): boolean {
    return this.#limits.transfers === undefined || this.running < this.#limits.transfers;
  }

  /** Until there may be a request again; at least 1. */
  get secondsToWait(): number {
    const { requests } = this.#limits;
    return requests ? Math.max(1, Math.ceil((1 - this.#tokens) / requests.perSecond)) : 1;
  }

  /** Whether nothing is lost when it is forgotten: nobody could tell it from a new one. */
  get isAtRest(): boolean {
    this.#refill();
    const { requests } = this.#limits;
    if (this.running > 0 || (requests && this.#tokens < requests.burst)) return false;
    return (this.download?.isAtRest ?? true) && (this.upload?.isAtRest ?? true);
  }

  #refill(now = this.#clock.now()): void {
    const { requests } = this.#limits;
    if (!requests) return;
    this.#tokens = Math.min(requests.burst, this.#tokens + ((now - this.#at) * requests.perSecond) / 1000);
    this.#at = now;
  }
}

function paced(pacer: Pacer | undefined, bytesPerSecond: number | undefined, time: Clock): Pacer | undefined {
  if (bytesPerSecond === undefined) {
    pacer?.end();
    return undefined;
  }
  if (!pacer) return new Pacer(bytesPerSecond, time);
  pacer.bytesPerSecond = bytesPerSecond;
  return pacer;
}
