/** Whose gem a full name is that has several readings: the page of each name is asked until one lists it. */
import type { Document, DocumentType, Heard, Link, Step } from '../../core/format.ts';
import { findLine, type Line, linkOf, readLine } from './info.ts';
import { readingsOf } from './name.ts';
import { lineOf, releasesOf } from './release.ts';
import { bufferOf, textBody, textType } from './text.ts';

/** The name on a line of its own, and below it the line of its page. */
interface FullName {
  readonly name: string;
  readonly line: Line;
}

const prefix = 'full/';

export function fullNamePath(full: string): string {
  return `${prefix}${full}`;
}

function obtain({ path }: Document, heard: readonly Heard[]): Step {
  const readings = readingsOf(path.slice(prefix.length));
  for (const [index, { name, version }] of readings.entries()) {
    const answer = heard[index];
    if (!answer) return { ask: { path: `info/${name}` } };
    const line = answer.status === 200 ? findLine(answer.bytes, version) : undefined;
    if (line) return { bytes: Buffer.from(`${name}\n${line.text}\n`), contentType: textType };
  }
  return { absent: true };
}

function decode(bytes: Uint8Array): FullName {
  const [name = '', text = '', end, ...more] = bufferOf(bytes).toString('utf8').split('\n');
  if (name === '' || end !== '' || more.length > 0) throw new Error('it is no name and version');
  return { name, line: readLine(text) };
}

/** Never answered: it is read for what it links to. */
export const fullName: DocumentType<FullName> = {
  id: 'full-name',
  limit: 64 * 1024 * 1024,
  contentType: textType,
  obtain,
  decode,
  render({ path, name = '' }, view) {
    const full = path.slice(prefix.length);
    const found = releasesOf(view, name).find((one) => !one.isYanked && `${name}-${one.fullVersion}` === full);
    return found && textBody(`${name}\n${lineOf(found)}\n`);
  },
  links: ({ name, line }): Link[] => [linkOf(name, line)],
  encode: ({ name, line }) => textBody(`${name}\n${line.text}\n`),
};
