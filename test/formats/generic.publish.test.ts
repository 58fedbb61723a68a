import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import type { Format } from '../../src/core/format.ts';
import { format } from '../../src/formats/generic/index.ts';
import { ask, type FakeView, fakeView, type Performed, problemOf } from '../support/hosted-view.ts';

type Headers = Readonly<Record<string, string>>;

const mutable = format.configure?.({ mutable: ['**/latest/**'] }) as Format;
const put = (view: FakeView, path: string, body: string, headers: Headers = {}, to = mutable): Promise<Performed> =>
  ask(to, view, { path, body, headers });
const remove = (view: FakeView, path: string, headers: Headers = {}): Promise<Performed> =>
  ask(mutable, view, { method: 'DELETE', path, headers });
const textAt = async (view: FakeView, path: string, headers: Headers = {}): Promise<string> =>
  Buffer.from((await ask(mutable, view, { path, headers })).body.bytes).toString();

const hex = (text: string, algorithm: 'md5' | 'sha1' | 'sha256' | 'sha512' = 'sha256'): string =>
  digestOf(Buffer.from(text), algorithm).split(':')[1] ?? '';
const base64 = (text: string, algorithm: 'md5' | 'sha1' | 'sha256' | 'sha512'): string =>
  Buffer.from(hex(text, algorithm), 'hex').toString('base64');
const etag = (text: string): string => `"sha256-${hex(text)}"`;

describe('a file that is put', () => {
  it('is a package of its own by its path, with one version', async () => {
    const view = fakeView();
    const { body, change, needed } = await put(view, '/a/b%2Bc.txt', 'hello', { 'content-type': 'text/csv; x=y' });
    expect(body.status).toBe(201);
    expect(body.headers).toMatchObject({
      etag: etag('hello'),
      location: 'http://127.0.0.1:5273/acme/repo/a/b%2Bc.txt',
      'x-checksum-sha256': hex('hello'),
    });
    expect(change?.name).toBe('a/b+c.txt');
    expect(needed).toEqual(['publish']);
    expect(view.records('a/b+c.txt')).toMatchObject([{ version: 'current', files: [{ path: 'a/b+c.txt', size: 5 }] }]);
    const read = await ask(mutable, view, { path: '/a/b%2Bc.txt' });
    expect(read.body.headers).toMatchObject({ 'content-type': 'text/csv; x=y' });
  });

  it.each([
    ['', 'application/octet-stream'],
    ['application/x-www-form-urlencoded', 'application/octet-stream'],
    ['nonsense', 'application/octet-stream'],
    ['text/html;charset=utf-8', 'text/html;charset=utf-8'],
  ])('as %j is %s', async (told, kept) => {
    const view = fakeView();
    await put(view, '/a', 'hello', told === '' ? {} : { 'content-type': told });
    expect(view.entry('a')?.contentType).toBe(kept);
  });

  it('with the same bytes again is all right, with others a conflict', async () => {
    const view = fakeView();
    await put(view, '/a', 'hello');
    const { body } = await put(view, '/a', 'hello');
    expect(body.status).toBe(200);
    await expect(put(view, '/a', 'other')).rejects.toThrow('files stay as they are');
    expect(await textAt(view, '/a')).toBe('hello');
  });

  it.each<[string, FakeView, string]>([
    ['a pattern calls it mutable', fakeView(), '/x/latest/a'],
    ['the repository lets versions be replaced', fakeView({ overwrites: true }), '/x/1.0/a'],
  ])('is replaced where %s', async (_name, view, path) => {
    await put(view, path, 'hello');
    const { body } = await put(view, path, 'other');
    expect(body.status).toBe(200);
    expect(await textAt(view, path)).toBe('other');
    expect(view.records(path.slice(1))).toHaveLength(1);
  });
});

describe('a digest that is claimed', () => {
  it.each<[string, (text: string) => Headers]>([
    ['X-Checksum-Sha256', (text) => ({ 'x-checksum-sha256': hex(text) })],
    ['X-Checksum-Sha1 in capitals', (text) => ({ 'x-checksum-sha1': hex(text, 'sha1').toUpperCase() })],
    ['X-Checksum-Sha512', (text) => ({ 'x-checksum-sha512': hex(text, 'sha512') })],
    ['X-Checksum-Md5', (text) => ({ 'x-checksum-md5': hex(text, 'md5') })],
    ['Content-MD5', (text) => ({ 'content-md5': base64(text, 'md5') })],
    ['Digest', (text) => ({ digest: `unixsum=1, SHA-256=${base64(text, 'sha256')},sha=${base64(text, 'sha1')}` })],
    ['Repr-Digest', (text) => ({ 'repr-digest': `sha-512=:${base64(text, 'sha512')}:, crc32c=:AAAA:` })],
    ['Content-Digest', (text) => ({ 'content-digest': `sha-256=:${base64(text, 'sha256')}:` })],
    ['the last of several', (text) => ({ 'x-checksum-sha256': hex('hello'), 'x-checksum-sha1': hex(text, 'sha1') })],
  ])('in %s is held against the bytes', async (_name, headers) => {
    const view = fakeView();
    await put(view, '/a', 'hello', headers('hello'));
    expect(await problemOf(put(view, '/b', 'hello', headers('other')))).toBe('digest_mismatch');
    expect(view.entry('b')).toBeUndefined();
  });

  it.each<[string, Headers]>([
    ['X-Checksum-Sha256', { 'x-checksum-sha256': 'abc' }],
    ['Content-MD5', { 'content-md5': 'abc' }],
    ['Repr-Digest', { 'repr-digest': 'sha-256=:AAAA:' }],
  ])('and is none is refused (%s)', async (_name, headers) => {
    expect(await problemOf(put(fakeView(), '/a', 'hello', headers))).toBe('bad_request');
  });

  it('in an unknown way says nothing', async () => {
    const { body } = await put(fakeView(), '/a', 'hello', { 'repr-digest': 'crc32c=:AAAA:' });
    expect(body.status).toBe(201);
  });
});

describe('a condition', () => {
  const there = async (): Promise<FakeView> => {
    const view = fakeView();
    await put(view, '/latest/a', 'hello');
    return view;
  };

  it.each<[string, Headers, string]>([
    ['If-None-Match: *', { 'if-none-match': '*' }, 'precondition_failed'],
    ['If-None-Match: what is there', { 'if-none-match': `"x", W/${etag('hello')}` }, 'precondition_failed'],
    ['If-None-Match: something else', { 'if-none-match': etag('other') }, ''],
    ['If-Match: *', { 'if-match': '*' }, ''],
    ['If-Match: what is there', { 'if-match': `"x", ${etag('hello')}` }, ''],
    ['If-Match: something else', { 'if-match': etag('other') }, 'precondition_failed'],
    ['If-Match: a weak one', { 'if-match': `W/${etag('hello')}` }, 'precondition_failed'],
  ])('of a file that is there: %s', async (_name, headers, expected) => {
    expect(await problemOf(put(await there(), '/latest/a', 'other', headers))).toBe(expected);
    expect(await problemOf(remove(await there(), '/latest/a', headers))).toBe(expected);
  });

  it.each<[string, Headers, string]>([
    ['If-None-Match: *', { 'if-none-match': '*' }, ''],
    ['If-Match: *', { 'if-match': '*' }, 'precondition_failed'],
  ])('of a file that is not: %s', async (_name, headers, expected) => {
    expect(await problemOf(put(fakeView(), '/latest/a', 'other', headers))).toBe(expected);
  });
});

describe('what is refused', () => {
  it.each<[string, string, Headers, string]>([
    ['a folder', '/a/', {}, 'bad_request'],
    ['bytes that are packed', '/a', { 'content-encoding': 'gzip' }, 'unsupported_media_type'],
    ['a part of a file', '/a', { 'content-range': 'bytes 0-4/10' }, 'bad_request'],
  ])('%s', async (_name, path, headers, code) => {
    expect(await problemOf(put(fakeView(), path, 'hello', headers))).toBe(code);
  });
});

describe('a file that is deleted', () => {
  it('is gone, and its folder with it', async () => {
    const view = fakeView();
    await put(view, '/a/b', 'hello');
    const { body, needed } = await remove(view, '/a/b');
    expect(body.status).toBe(204);
    expect(needed).toEqual(['delete']);
    expect(await problemOf(textAt(view, '/a/b'))).toBe('not_found');
    expect(await problemOf(textAt(view, '/a/'))).toBe('not_found');
    expect(await problemOf(remove(view, '/a/b'))).toBe('not_found');
  });

  it('may be another one afterwards only if it is mutable', async () => {
    const view = fakeView();
    for (const path of ['/1/a', '/latest/a']) {
      await put(view, path, 'hello');
      await remove(view, path);
    }
    expect(await problemOf(put(view, '/1/a', 'other'))).toBe('conflict');
    expect(await problemOf(put(view, '/latest/a', 'other'))).toBe('');
  });
});

describe('a folder', () => {
  it('is told of in the form that is asked for', async () => {
    const view = fakeView();
    for (const path of ['/a/z%22%3Cb%3E', '/a/b', '/a/c/d', '/a/c/e', '/ab/c', '/f']) await put(view, path, 'hello');
    expect(await textAt(view, '/')).toBe('a/\nab/\nf\n');
    expect(await textAt(view, '/a/')).toBe('c/\nb\nz"<b>\n');
    expect(JSON.parse(await textAt(view, '/a/', { accept: 'application/json' }))).toEqual({
      path: 'a',
      folders: ['c'],
      files: ['b', 'z"<b>'].map((name) => ({
        name,
        size: 5,
        sha256: hex('hello'),
        contentType: 'application/octet-stream',
        publishedAt: expect.stringMatching(/^2026-/),
      })),
    });
    const page = await textAt(view, '/a/', { accept: 'text/html,*/*;q=0.8' });
    expect(page).toContain('<a href="./z%22%3Cb%3E">z&quot;&lt;b&gt;</a>');
    expect(page).toContain('<a href="./c/">c/</a>');
    expect(await problemOf(textAt(view, '/nothing/'))).toBe('not_found');
  });
});
