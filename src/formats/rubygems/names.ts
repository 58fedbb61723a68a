/** `/names`: every name there is, in alphabetical order. */
import type { DocumentType, Origin } from '../../core/format.ts';
import { isName } from './name.ts';
import { isListed } from './release.ts';
import { bodyStart, bufferOf, checkDigest, pageBody, textBody, textType } from './text.ts';

interface Names {
  readonly bytes: Uint8Array;
  readonly names: readonly string[];
}

function decode(bytes: Uint8Array, origin: Origin): Names {
  checkDigest(bytes, origin);
  const page = bufferOf(bytes);
  const names = page
    .toString('latin1', bodyStart(page))
    .split('\n')
    .filter((line) => line !== '');
  const wrong = names.find((name) => !isName(name));
  if (wrong !== undefined) throw new Error(`"${wrong.slice(0, 100)}" is no name`);
  return { bytes, names };
}

function merge(pages: readonly Names[]): Names {
  const [first] = pages;
  if (!first) throw new Error('there is nothing to merge');
  const all = new Set(pages.flatMap(({ names }) => names));
  if (all.size === new Set(first.names).size) return first;
  const names = [...all].sort();
  return { bytes: Buffer.from(`---\n${names.join('\n')}\n`), names };
}

export const names: DocumentType<Names> = {
  id: 'names',
  limit: 64 * 1024 * 1024,
  contentType: textType,
  ranges: true,
  decode,
  merge,
  render(_want, view) {
    const listed = [...view.names()].filter((name) => isListed(view, name)).sort();
    return textBody(`---\n${listed.map((name) => `${name}\n`).join('')}`);
  },
  encode: ({ bytes }) => pageBody(bytes),
};
