import { describe, expect, it } from 'vitest';
import { type Part, type PartsLimits, parts } from '../../src/codecs/multipart.ts';
import { Problem } from '../../src/core/problem.ts';

const contentType = 'multipart/form-data; boundary=edge';

async function* inPieces(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield Uint8Array.from(bytes.subarray(at, at + size));
}

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}

interface Read extends Omit<Part, 'bytes'> {
  readonly text: string;
}

async function readAll(body: AsyncIterable<Uint8Array>, limits?: PartsLimits, type = contentType): Promise<Read[]> {
  const found: Read[] = [];
  for await (const { bytes, ...part } of parts(type, body, limits)) found.push({ ...part, text: await textOf(bytes) });
  return found;
}

const form = Buffer.from(
  [
    'preamble that nobody reads',
    '--edge',
    'Content-Disposition: form-data; name="version"',
    '',
    '1.0',
    '--edge',
    'Content-Disposition: form-data; name="classifiers"',
    '',
    '',
    '--edge',
    'Content-Disposition: form-data; name="classifiers"',
    'Content-Type: text/plain; charset=utf-8',
    '',
    'Grün\r\n--edg and more',
    '--edge',
    'Content-Disposition: form-data; name="content"; filename="a/b.tar.gz"',
    'Content-Type: application/octet-stream',
    '',
    `\0\r\n\r\n--edg--edge\n--edge--\xff${'x'.repeat(300)}\r\n`,
    '--edge',
    'Content-Disposition: form-data; name="empty"; filename=""',
    '',
    '',
    '--edge--',
    '',
  ].join('\r\n'),
  'latin1',
);

const expected: readonly Read[] = [
  { name: 'version', contentType: 'text/plain', text: '1.0' },
  { name: 'classifiers', contentType: 'text/plain', text: '' },
  { name: 'classifiers', contentType: 'text/plain', text: 'Grün\r\n--edg and more' },
  {
    name: 'content',
    filename: 'b.tar.gz',
    contentType: 'application/octet-stream',
    text: `\0\r\n\r\n--edg--edge\n--edge--\xff${'x'.repeat(300)}\r\n`,
  },
  { name: 'empty', filename: '', contentType: 'text/plain', text: '' },
];

const problem = (code: string): unknown => expect.objectContaining({ code });

describe('a form', () => {
  it.each([1, 2, 3, 7, 64, 100_000])('is the same when it arrives in pieces of %d bytes', async (size) => {
    expect(await readAll(inPieces(form, size))).toEqual(expected);
  });

  it('may have a boundary in quotes, and something behind its end', async () => {
    const body = Buffer.concat([form, Buffer.from('epilogue\r\n--edge\r\n')]);
    expect(await readAll(inPieces(body, 10), {}, 'Multipart/Form-Data; charset=utf-8; boundary="edge"')).toEqual(
      expected,
    );
  });

  it('is never taken for complete when it was cut', async () => {
    const end = form.lastIndexOf('--edge--') + '--edge--'.length;
    for (let cut = 0; cut < end; cut++) {
      const error = await readAll(inPieces(form.subarray(0, cut), 50)).then(
        (found) => found,
        (reason: unknown) => reason,
      );
      expect(error, `cut after ${cut} bytes`).toBeInstanceOf(Problem);
      expect(error).toMatchObject({ code: 'bad_request' });
    }
  });

  it('that was cut in a file ends that file with an error, however late it is read', async () => {
    const file = Buffer.concat([
      Buffer.from('--edge\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'),
      Buffer.alloc(50_000, 1),
    ]);
    for await (const { bytes } of parts(contentType, inPieces(file, 10_000))) {
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      await expect(textOf(bytes)).rejects.toEqual(problem('bad_request'));
      return;
    }
    expect.unreachable();
  });

  it('whose sender goes away passes that error on', async () => {
    const gone = new Error('gone');
    async function* body(): AsyncIterable<Uint8Array> {
      yield form.subarray(0, form.indexOf('xxx') + 10);
      throw gone;
    }
    await expect(readAll(body())).rejects.toBe(gone);
  });

  it('whose sender goes away while a file is read ends that file with the error', async () => {
    const gone = new Error('gone');
    const begun = Promise.withResolvers<void>();
    async function* body(): AsyncIterable<Uint8Array> {
      yield Buffer.from(`--edge\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n${'x'.repeat(100)}`);
      await begun.promise;
      throw gone;
    }
    for await (const { bytes } of parts(contentType, body())) {
      const reading = (async () => {
        for await (const _chunk of bytes) begun.resolve();
      })();
      await expect(reading).rejects.toBe(gone);
      return;
    }
    expect.unreachable();
  });
});

describe('parts', () => {
  it('that nobody reads are thrown away', async () => {
    const big = Buffer.alloc(400_000, 'y').toString();
    const body = ['a', 'b', 'c'].map(
      (name) => `--edge\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${big}`,
    );
    const names: string[] = [];
    for await (const part of parts(contentType, inPieces(Buffer.from(`${body.join('\r\n')}\r\n--edge--`), 70_000))) {
      if (part.name === 'b') for await (const _chunk of part.bytes) break;
      names.push(part.name);
    }
    expect(names).toEqual(['a', 'b', 'c']);
  });

  it('hold the body back while they are not read', async () => {
    let taken = 0;
    async function* body(): AsyncIterable<Uint8Array> {
      yield Buffer.from('--edge\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n');
      for (; taken < 1000; taken++) yield Buffer.alloc(64 * 1024);
      yield Buffer.from('\r\n--edge--');
    }
    let size = 0;
    for await (const { bytes } of parts(contentType, body())) {
      for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(taken).toBeLessThan(5);
      for await (const chunk of bytes) {
        size += chunk.length;
        expect(taken * 64 * 1024 - size).toBeLessThan(5 * 64 * 1024);
      }
    }
    expect(size).toBe(1000 * 64 * 1024);
  });

  it('may be left in the middle, and then no more is taken', async () => {
    let isClosed = false;
    async function* body(): AsyncIterable<Uint8Array> {
      try {
        yield Buffer.from('--edge\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n');
        for (let chunk = 0; chunk < 1000; chunk++) yield Buffer.alloc(1024);
        expect.unreachable();
      } finally {
        isClosed = true;
      }
    }
    for await (const { bytes } of parts(contentType, body())) {
      for await (const _chunk of bytes) break;
      break;
    }
    await expect.poll(() => isClosed).toBe(true);
  });
});

describe('what is refused', () => {
  it.each([
    ['another content type', 'application/json', form],
    ['no boundary', 'multipart/form-data', form],
    ['an empty boundary', 'multipart/form-data; boundary=', form],
    ['another boundary', 'multipart/form-data; boundary=other', form],
    ['nothing at all', contentType, Buffer.alloc(0)],
    ['no form', contentType, Buffer.from('{"name":"acme"}')],
    [
      'a part with a name without end',
      contentType,
      Buffer.from(form.toString('latin1').replace('name="version"', `name="${'v'.repeat(300)}"`), 'latin1'),
    ],
  ])('%s', async (_name, type, body) => {
    await expect(readAll(inPieces(body, 1000), {}, type)).rejects.toEqual(problem('bad_request'));
  });

  it('more parts than are expected', async () => {
    await expect(readAll(inPieces(form, 1000), { parts: 4 })).rejects.toEqual(problem('bad_request'));
    expect(await readAll(inPieces(form, 1000), { parts: 5 })).toHaveLength(5);
  });

  it('a field that is longer than fields are, while a file may be', async () => {
    await expect(readAll(inPieces(form, 10), { fieldBytes: 10 })).rejects.toEqual(problem('too_large'));
    expect(await readAll(inPieces(form, 10), { fieldBytes: 40 })).toHaveLength(5);
  });
});
