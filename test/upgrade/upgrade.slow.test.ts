/** Going back, as docs/operating.md promises it: the earlier release on the same folder, after this one has written to it. */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { publishRequest } from '../formats/npm.publish.samples.ts';
import { temporaryFolder } from '../support/folder.ts';
import { root } from '../support/larder.ts';
import { askAt, differences, opened, serving } from './scene.ts';
import { start } from './write-data.ts';

const run = promisify(execFile);
const fixtures = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.tar.gz'));

/** Its files out of the history, with the libraries of today. */
async function checkoutOf(commit: string): Promise<string> {
  const folder = await temporaryFolder('larder-earlier');
  onTestFinished(() => folder.remove());
  const archive = join(folder.path, 'files.tar');
  await run('git', ['archive', '--output', archive, commit, 'src', 'package.json', 'config'], { cwd: root });
  await run('tar', ['-xf', archive], { cwd: folder.path });
  await symlink(join(root, 'node_modules'), join(folder.path, 'node_modules'));
  return folder.path;
}

it.each(fixtures)('the release of %s serves its data again, with what was published since', async (fixture) => {
  const scene = await opened(fixture);
  const { left } = scene;
  const isHere = await run('git', ['cat-file', '-e', left.commit], { cwd: root }).then(
    () => true,
    () => false,
  );
  if (!isHere) return console.warn(`the history here does not go back to ${left.commit}, so nothing can go back to it`);
  await serving(scene, async (asking) => {
    const { path, body, headers } = publishRequest({ name: '@acme/app', version: '2.0.0' });
    const sent = await asking('alice', `/acme/npm${path}`, {
      method: 'PUT',
      body: body as string,
      headers: headers as Record<string, string>,
    });
    expect(sent.status).toBe(201);
    expect(await differences(left, asking)).toEqual([]);
  });
  const earlier = await start(await checkoutOf(left.commit), scene.folder, scene.configFile);
  try {
    const asking = askAt(earlier.url, left);
    expect(await differences(left, asking)).toEqual([]);
    expect((await asking('rita', '/acme/npm/@acme%2fapp')).text()).toContain('"2.0.0"');
    expect((await asking('rita', '/acme/npm/@acme/app/-/app-2.0.0.tgz')).status).toBe(200);
  } finally {
    await earlier.stop();
  }
});
