/** A release is called the same wherever it is named. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { version } from '../../src/version.ts';
import { root } from '../support/larder.ts';

it.each([
  ['package-lock.json', (text: string) => JSON.parse(text).packages[''].version],
  ['Dockerfile', (text: string) => /org\.opencontainers\.image\.version="([^"]+)"/.exec(text)?.[1]],
  ['config/deploy/helm/larder/Chart.yaml', (text: string) => /^appVersion: "?([^"\n]+)/m.exec(text)?.[1]],
  ['CHANGELOG.md', (text: string) => /^## (\d\S*)/m.exec(text)?.[1]],
])('%s names the version of package.json', async (file, find) => {
  expect(find(await readFile(join(root, file), 'utf8'))).toBe(version);
});
