/**
 * Large stored bytes leave through the web server in front: it is told the name of the file (`X-Accel-Redirect`) and sends it
 * without a byte passing through here. Who may have them is decided as for every other answer. See docs/proxies.md.
 */
import type { IncomingMessage } from 'node:http';
import type { FoundArtifact } from '../core/source.ts';

export interface HandOffSettings {
  /** Where the proxy keeps the stored bytes for itself; begins and ends with a slash. */
  readonly path: string;
  readonly fromBytes: number;
}

/**
 * With the path from the configuration as its value a proxy says that it knows what to do. A trusted one that does not say so
 * (another kind, another port, a load balancer) gets the bytes: it would pass on the name and an empty answer.
 */
export const offerHeader = 'x-larder-hand-off';
/** What a proxy says that was given a name and could not open the file. */
const returned = 'returned';

/** Proxies read these otherwise than we do, or against the age of the file. */
const ours = ['if-match', 'if-modified-since', 'if-unmodified-since'] as const;

/** From the answer until the proxy opens the file. It does so at once, unless its machine has no time for it. */
const heldMs = 10_000;
/** Each may keep a file open. */
const mostHeld = 256;

interface Held {
  readonly until: number;
  readonly artifact: FoundArtifact;
}

export class HandOff {
  readonly #settings: HandOffSettings;
  readonly #isTrusted: (address: string) => boolean;
  /** The oldest first. */
  #held: Held[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `isTrusted` says of an address whether it is one of the proxies whose headers are believed. */
  constructor(settings: HandOffSettings, isTrusted: (address: string) => boolean) {
    this.#settings = settings;
    this.#isTrusted = isTrusted;
  }

  /** The address at the proxy at which it finds all the bytes; `undefined`: they have to be sent. `part`: of them was asked for, and will be answered. */
  async addressOf(req: IncomingMessage, artifact: FoundArtifact, isPart: boolean): Promise<string | undefined> {
    const { path, fromBytes } = this.#settings;
    const { headers } = req;
    if (headers[offerHeader] !== path || !this.#isTrusted(req.socket.remoteAddress ?? '')) return undefined;
    if (req.method !== 'GET' || artifact.size === undefined || artifact.size < fromBytes) return undefined;
    if (ours.some((name) => headers[name] !== undefined)) return undefined;
    // A range that we do not honour may be one that the proxy does.
    if (headers.range !== undefined && !isPart) return undefined;
    const name = await artifact.share?.();
    return name === undefined ? undefined : `${path}${name}`;
  }

  /** Whether the proxy was given a name for this very request and could not use it. */
  isReturned(req: IncomingMessage): boolean {
    return req.headers[offerHeader] === returned && this.#isTrusted(req.socket.remoteAddress ?? '');
  }

  /** Keeps the bytes from being evicted until the proxy has the file open, and closes them then. */
  hold(artifact: FoundArtifact): void {
    this.#held.push({ until: performance.now() + heldMs, artifact });
    if (this.#held.length > mostHeld) this.#held.shift()?.artifact.close();
    this.#watch();
  }

  /** Lets go of everything. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { artifact } of this.#held.splice(0)) artifact.close();
  }

  #watch(): void {
    const [oldest] = this.#held;
    if (!oldest || this.#timer) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const now = performance.now();
        const first = this.#held.findIndex(({ until }) => until > now);
        for (const { artifact } of this.#held.splice(0, first === -1 ? this.#held.length : first)) artifact.close();
        this.#watch();
      },
      Math.max(0, oldest.until - performance.now()) + 1,
    );
    this.#timer.unref();
  }
}
