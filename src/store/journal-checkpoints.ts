/**
 * Checkpoints of journals: everything that was made of the objects up to a number, one JSON value a line, so that a start
 * need not read them all. The first line says what it is, the last one how many values there are and their digest: one that
 * was cut off or spoiled is not believed, and costs only a longer start.
 */
import { createHash } from 'node:crypto';
import { publish } from '../core/events.ts';
import { checkpointName, checkpointsPrefix, numberOfName } from './layout.ts';
import type { Objects } from './objects.ts';

export interface Checkpoint {
  readonly number: number;
  readonly lines: number;
  values(): Iterable<unknown>;
}

interface Header {
  readonly v: number;
  readonly journal: string;
  readonly number: number;
}

interface Footer {
  readonly count: number;
  readonly sha256: string;
}

const version = 1;
const pieceBytes = 256 * 1024;
/** Then requests get their turn. */
const sliceMs = 8;
const kept = 2;

/** `done` is told how many values there were. */
export async function* encodeCheckpoint(
  journal: string,
  number: number,
  values: Iterable<unknown>,
  done: (count: number) => void,
): AsyncIterable<Uint8Array> {
  const hash = createHash('sha256');
  const header: Header = { v: version, journal, number };
  let text = `${JSON.stringify(header)}\n`;
  let count = 0;
  let from = performance.now();
  for (const value of values) {
    text += `${JSON.stringify(value)}\n`;
    count += 1;
    if (text.length >= pieceBytes) {
      const piece = Buffer.from(text);
      hash.update(piece);
      yield piece;
      text = '';
    }
    if (performance.now() - from < sliceMs) continue;
    await new Promise(setImmediate);
    from = performance.now();
  }
  hash.update(text);
  const footer: Footer = { count, sha256: hash.digest('hex') };
  yield Buffer.from(`${text}${JSON.stringify(footer)}\n`);
  done(count);
}

/** The newest that is whole, of an object up to `most`. */
export async function newestCheckpoint(
  objects: Objects,
  journal: string,
  most: number,
): Promise<Checkpoint | undefined> {
  try {
    for (const number of await numbers(objects, journal)) {
      const bytes = number <= most ? await objects.read(checkpointName(journal, number)) : undefined;
      const found = bytes && parse(bytes, journal, number);
      if (found) return found;
    }
  } catch (error) {
    publish('fault', { where: 'journal', error });
  }
  return undefined;
}

export async function removeOldCheckpoints(objects: Objects, journal: string): Promise<void> {
  for (const number of (await numbers(objects, journal)).slice(kept)) {
    await objects.delete(checkpointName(journal, number));
  }
}

/** Returns how many there were. */
export async function removeCheckpoints(objects: Objects, journal: string): Promise<number> {
  const all = await numbers(objects, journal);
  for (const number of all) await objects.delete(checkpointName(journal, number));
  return all.length;
}

/** Newest first. */
async function numbers(objects: Objects, journal: string): Promise<number[]> {
  const found: number[] = [];
  for await (const name of objects.names(checkpointsPrefix(journal))) {
    const number = numberOfName(name);
    if (number !== undefined) found.push(number);
  }
  return found.sort((one, other) => other - one);
}

function parse(bytes: Buffer, journal: string, number: number): Checkpoint | undefined {
  const footerAt = bytes.lastIndexOf(0x0a, bytes.length - 2) + 1;
  const headerEnd = bytes.indexOf(0x0a);
  if (footerAt <= 0 || bytes.at(-1) !== 0x0a) return undefined;
  try {
    const header: Header = JSON.parse(bytes.toString('utf8', 0, headerEnd));
    const { count, sha256 }: Footer = JSON.parse(bytes.toString('utf8', footerAt));
    const isOurs = header.v === version && header.journal === journal && header.number === number;
    const body = bytes.subarray(0, footerAt);
    if (!isOurs || createHash('sha256').update(body).digest('hex') !== sha256) return undefined;
    return { number, lines: count, values: () => linesOf(body.subarray(headerEnd + 1)) };
  } catch {
    return undefined;
  }
}

function* linesOf(bytes: Buffer): Iterable<unknown> {
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0x0a, from);
    yield JSON.parse(bytes.toString('utf8', from, end));
    from = end + 1;
  }
}
