/** Reads what people write for sizes, durations, addresses and address blocks. `undefined` means that it is none. */
import { isIP, isIPv6 } from 'node:net';

const sizeUnits: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1000,
  mb: 1000 ** 2,
  gb: 1000 ** 3,
  tb: 1000 ** 4,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

function amount(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const parts = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text.trim());
  const unit = units[parts?.[2]?.toLowerCase() ?? '-'];
  if (!parts || unit === undefined) return undefined;
  const value = Math.round(Number(parts[1]) * unit);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Bytes: `50GB` (powers of 1000), `64MiB` (powers of 1024), or a plain number of bytes. */
export function parseSize(text: string | number): number | undefined {
  return amount(String(text), sizeUnits);
}

/** Milliseconds: `500ms`, `30s`, `5m`, `2h`, `7d`. A plain number is refused, because nobody can tell which unit was meant; 0 is 0 in every unit. */
export function parseDuration(text: string | number): number | undefined {
  if (Number(text) === 0 && String(text).trim() !== '') return 0;
  return amount(String(text), durationUnits);
}

const rateUnits: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600 };

/** Per second: `50/s`, `600/m`, `1000/h`, or a plain number. */
export function parseRate(text: string | number): number | undefined {
  const [, value, unit = ''] = /^(\d+(?:\.\d+)?)(?:\/([smh]))?$/.exec(String(text).trim()) ?? [];
  return value === undefined ? undefined : Number(value) / (rateUnits[unit] ?? 1);
}

export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[v6]:port`, or a port alone, which means loopback. Port 0 lets the operating system choose. */
export function parseListen(text: string | number): Listen | undefined {
  const parts = /^(?:\[([0-9a-f:.]+(?:%\w+)?)\]:|([^\s:/[\]]+):)?(\d{1,5})$/i.exec(String(text).trim());
  const port = Number(parts?.[3]);
  if (!parts || port > 65_535) return undefined;
  const [, v6, name] = parts;
  if (v6 !== undefined) return isIPv6(v6) ? { host: v6, port } : undefined;
  if (name === undefined) return { host: '127.0.0.1', port };
  // Four numbers that are no address are a slip, not a host name.
  if (/^[\d.]+$/.test(name) && !isIP(name)) return undefined;
  return /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i.test(name) ? { host: name, port } : undefined;
}

/** `10.0.0.0/8`, `fd00::/8`, or one address; always with its prefix length in the result. */
export function parseBlock(text: string): string | undefined {
  const [address = '', prefix, ...rest] = text.trim().split('/');
  const family = isIP(address);
  if (!family || rest.length > 0) return undefined;
  const longest = family === 4 ? 32 : 128;
  if (prefix === undefined) return `${address}/${longest}`;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= longest ? `${address}/${prefix}` : undefined;
}

/** For people: `1.5 GB`, `200 B`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`;
}
