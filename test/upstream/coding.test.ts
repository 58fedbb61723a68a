import { randomBytes } from 'node:crypto';
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Problem } from '../../src/core/problem.ts';
import { decodeBody } from '../../src/upstream/coding.ts';

const plain = Buffer.concat([Buffer.from('{"name":"left-pad"}'.repeat(3000)), randomBytes(3000)]);
const plenty = 1024 * 1024 * 1024;

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function decode(bytes: Buffer, coding: string | undefined, maxBytes = plenty, size = 1000): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of decodeBody(inPieces(bytes, size), coding, { maxBytes })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof Problem ? error.code : String(error);
}

const coded: readonly (readonly [header: string, bytes: Buffer])[] = [
  ['gzip', gzipSync(plain)],
  ['x-gzip', gzipSync(plain)],
  ['deflate', deflateSync(plain)],
  ['br', brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })],
  ['zstd', zstdCompressSync(plain)],
];

describe('a coded body', () => {
  it.each([...coded, ['deflate', deflateRawSync(plain)] as const])(
    'in %s comes out as it was',
    async (header, bytes) => {
      expect((await decode(bytes, header)).equals(plain)).toBe(true);
      expect((await decode(bytes, header, plenty, 1)).equals(plain)).toBe(true);
    },
  );

  it.each([
    ['gzip, br', brotliCompressSync(gzipSync(plain))],
    ['GZIP , identity', gzipSync(plain)],
    ['zstd,deflate', deflateSync(zstdCompressSync(plain))],
    ['identity', plain],
    ['', plain],
    [undefined, plain],
  ])('with the codings "%s" loses them in the right order', async (header, bytes) => {
    expect((await decode(bytes, header)).equals(plain)).toBe(true);
  });

  it('of several gzip members is one body', async () => {
    expect((await decode(Buffer.concat([gzipSync('one '), gzipSync('two')]), 'gzip')).toString()).toBe('one two');
  });

  it.each([...coded, ['deflate', deflateRawSync(plain)] as const])(
    'in %s that was cut short is an error',
    async (header, bytes) => {
      for (const length of [0, 1, 2, 12, Math.floor(bytes.length / 2), bytes.length - 1]) {
        expect(await codeOf(decode(bytes.subarray(0, length), header))).toBe('upstream_invalid');
      }
    },
  );

  it.each(coded)('in %s with bytes after its end is an error', async (header, bytes) => {
    expect(await codeOf(decode(Buffer.concat([bytes, Buffer.from('more')]), header))).toBe('upstream_invalid');
  });

  it.each(coded)('in %s with damaged bytes is an error', async (header, bytes) => {
    const damaged = Buffer.from(bytes);
    damaged.fill(0xa5, 0, 40);
    expect(await codeOf(decode(damaged, header))).toBe('upstream_invalid');
  });

  it.each(['compress', 'gzip, rot13', 'constructor', 'aes128gcm'])('in the codings "%s" is refused', async (header) => {
    expect(await codeOf(decode(plain, header))).toBe('upstream_invalid');
  });
});

describe('the limits', () => {
  it.each([
    [4, 'hello'],
    [5, 'upstream_invalid'],
  ])('allow four codings, so %i of them are %s', async (times, expected) => {
    let bytes = Buffer.from('hello');
    for (let n = 0; n < times; n += 1) bytes = gzipSync(bytes);
    const header = Array(times).fill('gzip').join(',');
    const text = decode(bytes, header).then(String);
    expect(expected === 'hello' ? await text : await codeOf(text)).toBe(expected);
  });

  it.each([
    ['gzip', gzipSync(plain)],
    ['identity', plain],
  ])('let exactly as many bytes through as allowed (%s)', async (header, bytes) => {
    expect((await decode(bytes, header, plain.length)).length).toBe(plain.length);
    expect(await codeOf(decode(bytes, header, plain.length - 1))).toBe('upstream_invalid');
  });

  const zeros = Buffer.alloc(64 * 1024 * 1024);

  it.each([
    ['gzip', gzipSync(zeros)],
    ['br', brotliCompressSync(zeros, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
    ['zstd', zstdCompressSync(zeros)],
    ['gzip, gzip', gzipSync(gzipSync(zeros), { level: 1 })],
  ])('stop a bomb in %s long before it is through', async (header, bytes) => {
    let size = 0;
    const read = async (): Promise<void> => {
      for await (const chunk of decodeBody(inPieces(bytes, 65536), header, { maxBytes: plenty })) size += chunk.length;
    };
    expect(await codeOf(read())).toBe('upstream_invalid');
    expect(size).toBeLessThan(20 * 1024 * 1024);
  });

  it('refuse a zstd window larger than the content coding allows', async () => {
    const text = Buffer.from('hello');
    // RFC 8878: magic number, no frame flags, the window as an exponent, one last raw block.
    const frame = (windowLog: number): Buffer =>
      Buffer.concat([
        Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (windowLog - 10) << 3, (text.length << 3) | 1, 0, 0]),
        text,
      ]);
    expect((await decode(frame(23), 'zstd')).toString()).toBe('hello');
    expect(await codeOf(decode(frame(24), 'zstd'))).toBe('upstream_invalid');
  });
});

describe('the body below', () => {
  function watched(bytes: Buffer, error?: Error) {
    const seen = { left: false };
    const body: AsyncIterable<Buffer> = {
      [Symbol.asyncIterator]() {
        let sent = false;
        return {
          async next() {
            if (!sent) {
              sent = true;
              return { value: bytes, done: false };
            }
            if (error) throw error;
            // Upstream stalls: this never settles.
            return new Promise(() => undefined);
          },
          async return() {
            seen.left = true;
            return { value: undefined, done: true };
          },
        };
      },
    };
    return { body, seen };
  }

  it.each(['gzip', 'gzip, br', 'identity'])('breaks with its own error, not as damaged bytes (%s)', async (header) => {
    const cut = Object.assign(new Error('cut'), { code: 'UPSTREAM_CUT' });
    const bytes =
      header === 'gzip' ? gzipSync(plain) : header === 'identity' ? plain : brotliCompressSync(gzipSync(plain));
    const { body } = watched(bytes.subarray(0, 500), cut);
    const read = async (): Promise<void> => {
      for await (const _ of decodeBody(body, header, { maxBytes: plenty }));
    };
    await expect(read()).rejects.toBe(cut);
  });

  it('is left at once when the reader leaves, even while it stalls', async () => {
    const { body, seen } = watched(gzipSync(Buffer.alloc(300_000)));
    for await (const _ of decodeBody(body, 'gzip', { maxBytes: plenty })) break;
    expect(seen.left).toBe(true);
  });

  it.each(['gzip', 'rot13'])('is left when decoding fails (%s)', async (header) => {
    const { body, seen } = watched(Buffer.from('certainly not compressed'));
    const read = async (): Promise<void> => {
      for await (const _ of decodeBody(body, header, { maxBytes: plenty }));
    };
    expect(await codeOf(read())).toBe('upstream_invalid');
    expect(seen.left).toBe(true);
  });
});
