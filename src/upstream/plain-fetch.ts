/** Small questions to servers that are no package upstreams: issuers of identities, upstreams that are published to, receivers of webhooks. */
import { lookup } from 'node:dns';
import { Agent, EnvHttpProxyAgent, fetch, type RequestInit } from 'undici';
import { Problem } from '../core/problem.ts';
import { createGuard, publicOnly } from './guard.ts';

export type PlainRequest = RequestInit & { readonly timeoutMs?: number };

export interface PlainFetch {
  /** As the web's `fetch`, for addresses that the operator named; redirects are not followed, for they could lead anywhere. Through the proxy of the environment, if there is one. */
  fetch(url: string, init?: PlainRequest): Promise<Response>;
  /** The same for addresses that others named: to public addresses only, or to `hosts`. Rejects before it asks. */
  guarded(url: string, hosts: readonly string[], init?: PlainRequest): Promise<Response>;
  close(): Promise<void>;
}

const usualTimeoutMs = 15_000;
const connections = 8;

export function createPlainFetch(): PlainFetch {
  const anywhere = new EnvHttpProxyAgent({ connections });
  const publicly = new Agent({ connections, connect: { lookup: publicOnly(lookup as never) } });

  async function ask(url: string, dispatcher: Agent | EnvHttpProxyAgent, init: PlainRequest = {}): Promise<Response> {
    const { timeoutMs = usualTimeoutMs, ...rest } = init;
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(rest.signal ? [rest.signal] : [])]);
    return (await fetch(url, { ...rest, redirect: 'manual', signal, dispatcher })) as unknown as Response;
  }

  return {
    fetch: (url, init) => ask(url, anywhere, init),
    async guarded(url, hosts, init) {
      return ask(url, judge(url, hosts) === 'trusted' ? anywhere : publicly, init);
    },
    async close() {
      await Promise.all([anywhere.close(), publicly.close()]);
    },
  };
}

/** No address has this name (RFC 2606), so nothing is at home there. */
const nowhere = new URL('http://nowhere.invalid');

/** Whether a webhook may be sent there. Throws a Problem (`bad_request`) that says what to do. */
export function judge(url: string, hosts: readonly string[]): 'trusted' | 'public' {
  try {
    return createGuard({ name: 'webhook', home: nowhere, hosts, onlyHosts: false }).judge(new URL(url));
  } catch (error) {
    const message = `Webhooks are not sent to ${URL.canParse(url) ? new URL(url).host : 'that address'}: it is no public address. If it is right, whoever runs this server can name it under webhooks.hosts in the configuration.`;
    throw new Problem('bad_request', message, { cause: error });
  }
}
