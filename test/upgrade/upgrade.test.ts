/**
 * Data folders that earlier releases left behind (`write-data.ts` made them) are served by this one: what was cached, although no
 * upstream is there any more, what was published, tokens, rights, and uploads that were under way.
 */
import { readdirSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { command } from '../commands/larder.ts';
import { publishRequest } from '../formats/npm.publish.samples.ts';
import type { Answer } from '../support/http.ts';
import { hash } from './outside.ts';
import { differences, opened, serving } from './scene.ts';

const fixtures = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.tar.gz'));

describe.each(fixtures)('the data in %s', (fixture) => {
  it('is answered as it was: every byte, every token, every right, and what was said to the API', async () => {
    const scene = await opened(fixture);
    await serving(scene, async (asking) => {
      expect(await differences(scene.left, asking)).toEqual([]);
      // A password, of whom it is.
      const basic = Buffer.from('paula:correct horse battery').toString('base64');
      const signedIn = await asking(undefined, '/api/v1/whoami', { headers: { authorization: `Basic ${basic}` } });
      expect(signedIn.json()).toMatchObject({ name: 'paula', org: 'acme' });
      // Nobody can be asked for what made room for other things.
      expect(scene.left.evicted.length).toBeGreaterThan(0);
      for (const path of scene.left.evicted)
        expect([path, (await asking(undefined, path)).status]).toEqual([path, 503]);
      for (const [path, told] of Object.entries(scene.left.told)) {
        const answer = await asking('adam', `/api/v1/orgs/acme${path}`);
        expect([path, answer.json()]).toMatchObject([path, told as object]);
      }
    });
  });

  it('is answered the same without its index', async () => {
    const scene = await opened(fixture);
    await rm(join(scene.folder, 'data/index'), { recursive: true });
    await serving(scene, async (asking) => expect(await differences(scene.left, asking)).toEqual([]));
    const { code, out } = await command(['verify', '--rebuild', '--json', '--config', scene.configFile]);
    expect([code, out]).toEqual([0, expect.stringContaining('"damaged":')]);
  });

  it('is sound, and takes what is published on top of it', async () => {
    const scene = await opened(fixture);
    const { left } = scene;
    const trash = await readdir(join(scene.folder, 'data/trash/v1'), { recursive: true });
    expect(trash.filter((name) => /[0-9a-f]{64}$/.test(name))).toHaveLength(left.trashed);
    expect(left.trashed).toBeGreaterThan(0);
    expect((await command(['verify', '--config', scene.configFile])).code).toBe(0);
    await serving(scene, async (asking) => {
      // What was under way goes on where it stopped.
      const { who, path, text, sent } = left.upload;
      expect((await asking(who, path)).headers.range).toBe(`0-${sent - 1}`);
      const rest = { 'content-type': 'application/octet-stream', 'content-range': `${sent}-${text.length - 1}` };
      expect((await asking(who, path, { method: 'PATCH', body: text.slice(sent), headers: rest })).status).toBe(202);
      const done = await asking(who, `${path}?digest=sha256:${hash(text)}`, { method: 'PUT' });
      expect(done.status).toBe(201);
      expect((await asking('rita', `/v2/acme/oci/app/blobs/sha256:${hash(text)}`)).text()).toBe(text);
      // What counts against the quota was counted.
      const put = (bytes: number): Promise<Answer> =>
        asking(left.quota.who, left.quota.path, { method: 'PUT', body: Buffer.alloc(bytes, 'y') });
      expect((await put(left.quota.room + 1)).status).toBe(413);
      expect((await put(left.quota.room)).status).toBe(201);

      const again = publishRequest({ name: '@acme/app', version: '1.1.0', files: { 'other.js': 'other' } });
      const next = publishRequest({ name: '@acme/app', version: '2.0.0' });
      const send = ({ path, body, headers }: typeof next): Promise<Answer> =>
        asking('alice', `/acme/npm${path}`, {
          method: 'PUT',
          body: body as string,
          headers: headers as Record<string, string>,
        });
      expect((await send(again)).status).toBe(409);
      expect((await send(next)).status).toBe(201);
      const document = (await asking('rita', '/acme/npm/@acme%2fapp')).json() as { versions: object };
      expect(Object.keys(document.versions)).toEqual(['1.0.0', '1.1.0', '2.0.0']);
      // A version that was deleted does not come back as something else.
      const gone = publishRequest({ name: '@acme/gone', version: '1.0.0', files: { 'other.js': 'other' } });
      expect((await send(gone)).status).toBeGreaterThanOrEqual(400);
      expect(await differences(left, asking)).toEqual([]);
    });
    expect((await command(['verify', '--config', scene.configFile])).code).toBe(0);
    await serving(scene, async (asking) => expect(await differences(left, asking)).toEqual([]));
  });
});

describe('data of a release that is not out yet', () => {
  it('is refused as a whole, and nothing is changed', async () => {
    const scene = await opened(fixtures[0] ?? '');
    await writeFile(join(scene.folder, 'data/layout.json'), '{"layout":2}\n');
    const before = await readdir(join(scene.folder, 'data'), { recursive: true });
    for (const args of [['verify'], ['gc', '--delete']]) {
      const { code, err } = await command([...args, '--config', scene.configFile]);
      expect([code, err]).toEqual([1, expect.stringContaining('written by a newer release of Larder')]);
    }
    await expect(serving(scene, async () => {})).rejects.toThrow(
      /data was written by a newer release of Larder \(layout 2; this one knows 1\): run that release/,
    );
    expect(await readdir(join(scene.folder, 'data'), { recursive: true })).toEqual(before);
  });

  it('is not served from a journal with an object of it, and says which', async () => {
    const scene = await opened(fixtures[0] ?? '');
    const journal = join(scene.folder, 'data/journal/v1/acme/generic');
    const last =
      (await readdir(journal))
        .filter((name) => name.endsWith('.json'))
        .sort()
        .at(-1) ?? '';
    const next = `${String(Number(last.slice(0, -5)) + 1).padStart(20, '0')}.json`;
    await writeFile(join(journal, next), '{"v":2}');
    await serving(scene, async (asking) => {
      const answer = await asking('rita', '/acme/generic/app/1.0/app.bin');
      expect([answer.status, answer.text()]).toEqual([
        503,
        expect.stringContaining('newer version of Larder wrote it (v 2)'),
      ]);
      expect((await asking('rita', '/acme/npm/@acme%2fapp')).status).toBe(200);
    });
  });
});
