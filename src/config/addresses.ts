/** Addresses in the configuration: what they may look like, and which of them are our own. */
import { networkInterfaces } from 'node:os';
import type { Complain, Path } from './mistakes.ts';
import type { Listen } from './units.ts';

/** The address that clients use, without a slash at its end. */
export function publicAddress(text: string, path: Path, complain: Complain): string | undefined {
  const url = webAddress(text, path, complain);
  if (url?.search || url?.hash) complain(path, 'has a query or a fragment; only scheme, host, port and path count');
  return url && withoutSlash(url);
}

/** As it is put before paths. */
export function withoutSlash(url: URL): string {
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/** One of the web: http or https. */
export function webAddress(text: string, path: Path, complain: Complain): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || !/^https?:\/\//i.test(text.trim())) {
    complain(path, 'is no http or https URL');
    return undefined;
  }
  return url;
}

/** Whether only this machine can reach it. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127\.\d+\.\d+\.\d+$/.test(name);
}

/** Whether a URL leads to this very server. */
export function ownAddress(listen: Listen, publicUrl: string | undefined): (url: URL) => boolean {
  const everywhere = ['0.0.0.0', '::'].includes(listen.host);
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
  const outside = publicUrl === undefined ? undefined : new URL(publicUrl);
  return (url) => {
    if (
      outside &&
      url.host === outside.host &&
      `${url.pathname}/`.startsWith(`${outside.pathname.replace(/\/$/, '')}/`)
    ) {
      return true;
    }
    const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
    const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
    if (port !== listen.port) return false;
    if (host === listen.host.toLowerCase()) return true;
    if (isLoopback(host)) return everywhere || isLoopback(listen.host);
    return everywhere && addresses.includes(host);
  };
}
