/** Who may read the metrics: they name repositories, organisations and upstreams. */
import type { IncomingMessage } from 'node:http';
import { Problem } from '../core/problem.ts';
import { createTrust, plainAddress } from './base.ts';
import { factsOf } from './facts.ts';

/** Headers with which a proxy says that somebody else asks. */
const forwarding = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip'] as const;

const everybody = ['0.0.0.0/0', '::/0'] as const;

export interface ReadersOptions {
  /** Address blocks; asked each time, so that a new configuration takes effect with the next request. */
  readonly from: () => readonly string[];
  /** Of the client, also behind trusted proxies. */
  readonly remoteOf: (req: IncomingMessage) => string;
}

/** Returns the function that throws `forbidden` for whoever may not read them. */
export function createReaders({ from, remoteOf }: ReadersOptions): (req: IncomingMessage) => void {
  let blocks: readonly string[] | undefined;
  let isAmong: (address: string) => boolean = () => false;
  let isOpen = false;

  return (req) => {
    const now = from();
    if (now !== blocks) {
      blocks = now;
      isAmong = createTrust(now);
      isOpen = everybody.every((block) => now.includes(block));
    }
    if (isOpen) return;
    const client = clientOf(req, remoteOf(req));
    if (client === undefined) {
      const message =
        'The metrics are not shown through a proxy that Larder does not know: name it under server.trustedProxies and have it send X-Forwarded-For, or read them without it.';
      throw new Problem('forbidden', message);
    }
    if (isAmong(client)) return;
    throw new Problem(
      'forbidden',
      `The metrics are not shown to ${client}: metrics.from in the configuration says to whom they are.`,
    );
  };
}

/**
 * `undefined` when the request was passed on and nobody who is trusted says for whom: the address of the proxy, loopback as a
 * rule, is not that of whoever asks.
 */
function clientOf(req: IncomingMessage, remote: string): string | undefined {
  const isForwarded = forwarding.some((name) => req.headers[name] !== undefined);
  return isForwarded && remote === plainAddress(factsOf(req).remoteAddress) ? undefined : remote;
}
