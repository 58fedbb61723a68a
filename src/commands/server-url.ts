import type { ServerConfig } from '../config/settings.ts';

/** Where clients on this machine reach the server; no trailing slash. */
export function serverUrl({ listen, publicUrl, tls }: ServerConfig): string {
  if (publicUrl !== undefined) return publicUrl;
  const { host, port } = listen;
  // Any address of this machine will do then, and people know it by this name.
  const local = ['127.0.0.1', '0.0.0.0', '::'].includes(host);
  const name = local ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  const usual = tls ? 443 : 80;
  return `${tls ? 'https' : 'http'}://${name}${port === usual ? '' : `:${port}`}`;
}
