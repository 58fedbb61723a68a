/** What the digests of a download cost, chunk by chunk as it arrives. */
import { type Algorithm, Digester, fromIntegrity } from '../../src/core/digest.ts';
import { filler, sizes } from '../bodies.ts';
import { measure } from './measure.ts';

const bytes = filler(sizes['300k'], 'digest');
const sets: readonly (readonly Algorithm[])[] = [
  [],
  ['sha1'],
  ['sha512'],
  ['sha512', 'sha1'],
  ['md5', 'sha1', 'sha512'],
];
for (const algorithms of sets) {
  measure(
    `digests of 300 KB: ${['sha256', ...algorithms].join(', ')}`,
    () => {
      const digester = new Digester(algorithms);
      for (let at = 0; at < bytes.length; at += 65_536) digester.update(bytes.subarray(at, at + 65_536));
      return digester.digests();
    },
    { bytes: bytes.length },
  );
}

const integrity = `sha512-${Buffer.alloc(64, 7).toString('base64')}`;
measure('digests in an integrity string', () => fromIntegrity(integrity));
