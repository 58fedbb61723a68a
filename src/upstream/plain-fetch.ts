/** Small questions to servers that the operator names and that are no package upstreams: issuers of identities, receivers of webhooks. */
import { EnvHttpProxyAgent, fetch, type RequestInit } from 'undici';

export interface PlainFetch {
  /** As the web's `fetch`; redirects are not followed, for they could lead anywhere. Through the proxy of the environment, if there is one. */
  fetch(url: string, init?: RequestInit & { readonly timeoutMs?: number }): Promise<Response>;
  close(): Promise<void>;
}

const usualTimeoutMs = 15_000;

export function createPlainFetch(): PlainFetch {
  const dispatcher = new EnvHttpProxyAgent({ connections: 8 });
  return {
    async fetch(url, { timeoutMs = usualTimeoutMs, ...init } = {}) {
      const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(init.signal ? [init.signal] : [])]);
      return (await fetch(url, { ...init, redirect: 'manual', signal, dispatcher })) as unknown as Response;
    },
    close: () => dispatcher.close(),
  };
}
