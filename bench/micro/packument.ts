/** The work on a very big packument: that of `next`, as the npm registry has it today (about 20 MB). */
import { zstdDecompressSync } from 'node:zlib';
import type { Origin } from '../../src/core/format.ts';
import { loadFormat } from '../../src/formats/load.ts';
import { type Coding, pack, typeOf } from '../../src/pipeline/derive.ts';
import { registryUrl } from '../registry.ts';
import { measure } from './measure.ts';

const answer = await fetch(new URL('next', await registryUrl()));
if (!answer.ok) throw new Error(`The npm registry answered ${answer.status}.`);
const bytes = new Uint8Array(await answer.arrayBuffer());
const base = 'http://localhost:5273/public/npm';
const origin: Origin = { url: answer.url, path: 'next', headers: {} };

const type = typeOf(await loadFormat('npm'), 'packument');
const document = type.decode(bytes, origin);
const links = [...(type.links?.(document, origin) ?? [])];
process.stdout.write(`packument of next: ${bytes.length} bytes, ${links.length} versions\n`);
measure('decode', () => type.decode(bytes, origin), { bytes: bytes.length });
measure('links', () => [...(type.links?.(document, origin) ?? [])]);
for (const variant of ['full', 'abbreviated']) {
  const made = type.encode(document, variant, base);
  if (!made) throw new Error(`No ${variant} form.`);
  const { length } = made.bytes;
  measure(`encode ${variant} (${length} bytes)`, () => type.encode(document, variant, base), { bytes: length });
  for (const coding of ['gzip', 'br', 'zstd'] satisfies Coding[]) {
    const packed = pack(coding, made.bytes);
    if (coding === 'zstd' && zstdDecompressSync(packed).length !== length) throw new Error('Packed wrongly.');
    measure(`${coding} of ${variant} to ${packed.length} bytes`, () => pack(coding, made.bytes), { bytes: length });
  }
}
