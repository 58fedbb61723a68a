import { expect, it } from 'vitest';
import { addressKey } from '../../src/http/limits-address.ts';

it.each([
  ['IPv4', '192.0.2.7', '192.0.2.7'],
  ['IPv4 on a socket for both', '::ffff:192.0.2.7', '192.0.2.7'],
  ['IPv6', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['IPv6 with its zeros left out at the end', '2001:db8::', '2001:db8:0:0::/64'],
  ['IPv6 with its zeros left out in the middle', '2001:db8:0:2::9', '2001:db8:0:2::/64'],
  ['the same with fewer left out', '2001:db8::2:0:0:0:9', '2001:db8:0:2::/64'],
  ['the same in capitals, with leading zeros', '2001:0DB8:0000:0002::9', '2001:db8:0:2::/64'],
  ['loopback', '::1', '0:0:0:0::/64'],
  ['one with an interface', 'fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['one that ends as IPv4 does', '2001:db8:a:b::192.0.2.7', '2001:db8:a:b::/64'],
  ['the same early', '64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ['nothing', '', ''],
  ['garbage', 'a:b', 'a:b'],
])('%s', (_what, address, key) => {
  expect(addressKey(address)).toBe(key);
});
