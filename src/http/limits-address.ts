/** What counts as one address. */
import { isIPv6 } from 'node:net';

/**
 * IPv4 as it is; of IPv6 the first 64 bits, which is what one household or machine is given and may choose from as it
 * likes (RFC 6177, RFC 7934).
 */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const bare = address.replace(/%.*$/, '');
  if (!isIPv6(bare)) return address;
  const [head = '', tail] = bare.toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  // Where the zeros stand says how many there are.
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const length = right.at(-1)?.includes('.') ? right.length + 1 : right.length;
  const zeros = tail === undefined ? 0 : 8 - left.length - length;
  const groups = [...left, ...new Array<string>(zeros).fill('0'), ...right];
  const network = groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ''));
  return `${network.join(':')}::/64`;
}
