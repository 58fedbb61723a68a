import type { ServerResponse } from 'node:http';
import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Pieces, pieceBytes } from '../../src/http/pieces.ts';
import { type StoredBytes, sendStored } from '../../src/http/send-stored.ts';

const portionBytes = 64 * 1024;

/** Bytes that say where they stand, and how often they were read. */
function file(size: number) {
  const reads: [at: number, length: number][] = [];
  const stored: StoredBytes = {
    size,
    same: {},
    async readInto(buffer, position) {
      reads.push([position, buffer.byteLength]);
      await setImmediate();
      for (let at = 0; at < buffer.byteLength; at++) buffer[at] = byteAt(position + at);
      return buffer.byteLength;
    },
  };
  return { stored, reads };
}

const byteAt = (position: number): number => (position ^ (position >> 8) ^ (position >> 16)) & 255;

/** A client that takes what it is allowed to. */
function client(allowed = Number.POSITIVE_INFINITY) {
  const waiting: (() => void)[] = [];
  let left = allowed;
  let held = 0;
  let got = 0;
  let isRight = true;
  let from = 0;
  const socket = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      held += chunk.byteLength;
      const take = (): void => {
        left -= chunk.byteLength;
        held -= chunk.byteLength;
        for (const byte of chunk) isRight &&= byte === byteAt(from + got++);
        done();
      };
      if (left > 0) take();
      else waiting.push(take);
    },
  });
  return {
    res: socket as unknown as ServerResponse,
    startingAt(position: number) {
      from = position;
      return this;
    },
    allow(bytes: number) {
      left += bytes;
      for (const take of waiting.splice(0)) take();
    },
    leave: () => socket.destroy(),
    get heldBytes() {
      return held;
    },
    get got() {
      return { bytes: got, isRight };
    },
  };
}

async function settled(): Promise<void> {
  for (let n = 0; n < 20; n++) await setImmediate();
}

function send(pieces: Pieces, to: ReturnType<typeof client>, stored: StoredBytes, from = 0, end = stored.size) {
  return sendStored(
    { res: to.res, tally: { bytesSent: 0, firstByteAt: undefined }, pieces, clock: () => clock },
    stored,
    from,
    end,
  );
}

let clock = 0;

describe('Stored bytes', () => {
  it('are read once for readers who come together', async () => {
    const pieces = new Pieces(16 * pieceBytes);
    const { stored, reads } = file(3 * pieceBytes + 5);
    const clients = [client(), client(), client()];
    await Promise.all(clients.map((one) => send(pieces, one, stored)));
    for (const one of clients) expect(one.got).toEqual({ bytes: stored.size, isRight: true });
    expect(reads).toEqual([0, 1, 2, 3].map((n) => [n * pieceBytes, n === 3 ? 5 : pieceBytes]));
  });

  it.each([
    ['across pieces', pieceBytes - 3, 2 * pieceBytes + 7],
    ['within one', 10, 400_000],
    ['short', 2 * pieceBytes - 2, 2 * pieceBytes + 2],
    ['to the end', 100, 2 * pieceBytes + 100],
  ])('are sent in part: %s', async (_name, from, to) => {
    const { stored } = file(2 * pieceBytes + 100);
    const one = client().startingAt(from);
    await send(new Pieces(16 * pieceBytes), one, stored, from, to);
    expect(one.got).toEqual({ bytes: to - from, isRight: true });
  });

  it('hold little memory for readers who are slow, and none that others wait for', async () => {
    const pieces = new Pieces(8 * pieceBytes);
    const all = Array.from({ length: 50 }, () => ({ ...file(20 * pieceBytes), slow: client(1) }));
    const sent = all.map(({ stored, slow }) => send(pieces, slow, stored));
    await settled();
    // They are not known yet, and there is no more than there is.
    expect(pieces.heldBytes).toBe(8 * pieceBytes);
    const held = () => all.reduce((sum, { slow }) => sum + slow.heldBytes, 0);
    expect(held()).toBeLessThanOrEqual(8 * pieceBytes + 50 * portionBytes);
    clock += 60_000;
    for (let n = 0; n < 4; n++) {
      for (const { slow } of all) slow.allow(1);
      await settled();
    }
    expect(held()).toBeLessThanOrEqual(50 * portionBytes);
    // Whoever is quick has all of it.
    const { stored, reads } = file(2 * pieceBytes);
    const quick = client();
    await send(pieces, quick, stored);
    expect(reads).toEqual([0, 1].map((n) => [n * pieceBytes, pieceBytes]));
    expect(pieces.heldBytes).toBeLessThanOrEqual(8 * pieceBytes);
    for (const { slow } of all) slow.leave();
    await Promise.all(sent);
  });

  it('are not mixed up with others when a client leaves in the middle', async () => {
    const pieces = new Pieces(4 * pieceBytes);
    for (let n = 0; n < 10; n++) {
      const { stored } = file(4 * pieceBytes);
      const [leaving, staying] = [client(1), client()];
      const sent = [send(pieces, leaving, stored), send(pieces, staying, stored)];
      await settled();
      leaving.leave();
      await Promise.all(sent);
      expect(staying.got).toEqual({ bytes: stored.size, isRight: true });
    }
    expect(pieces.heldBytes).toBeLessThanOrEqual(4 * pieceBytes);
  });

  it('end the connection when they can’t be read, and are read again for the next client', async () => {
    const pieces = new Pieces(4 * pieceBytes);
    const { stored } = file(2 * pieceBytes);
    let broken = true;
    const brittle: StoredBytes = {
      ...stored,
      readInto: (buffer, position) =>
        broken && position > 0 ? Promise.reject(new Error('EIO')) : stored.readInto(buffer, position),
    };
    const one = client();
    one.res.on('error', () => {});
    await send(pieces, one, brittle);
    expect(one.res.destroyed).toBe(true);
    broken = false;
    const other = client();
    await send(pieces, other, brittle);
    expect(other.got).toEqual({ bytes: stored.size, isRight: true });
  });

  it('are not read any more once nobody is there for them', async () => {
    const { stored, reads } = file(8 * pieceBytes);
    const one = client(1);
    const sent = send(new Pieces(8 * pieceBytes), one, stored);
    await settled();
    one.leave();
    await sent;
    const { length } = reads;
    await settled();
    expect(reads).toHaveLength(length);
    expect(length).toBeLessThan(6);
  });
});
