/** Every example in the README and on the pages of the formats is run, in order, the way a reader would. */

import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, root, spawnLarder } from '../support/larder.ts';
import { findProgram, missing, run } from './package-managers.ts';

interface Block {
  readonly code: string;
  /** Why it can't be run here. */
  readonly notRun: string | undefined;
}

interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
}

const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs/formats'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/formats/${name}`),
];

/** The `sh` blocks of a page below its second-level headings. */
function sectionsOf(page: string): Section[] {
  const sections: { title: string; blocks: Block[] }[] = [{ title: page, blocks: [] }];
  const text = readFileSync(join(root, page), 'utf8');
  for (const match of text.matchAll(/^## (.+)$|^```sh\b([^\n]*)\n([\s\S]*?)^```$/gm)) {
    const [, title, info = '', code = ''] = match;
    if (title !== undefined) sections.push({ title, blocks: [] });
    else sections.at(-1)?.blocks.push({ code, notRun: /\bnot-run="([^"]+)"/.exec(info)?.[1] });
  }
  return sections.filter(({ blocks }) => blocks.length > 0);
}

/** Which of the pinned programs a reader's word for it means; the two yarns share a name. */
function programsFor({ title, blocks }: Section): Record<string, string> {
  const all: Record<string, string> = {
    npm: 'npm',
    pnpm: 'pnpm12',
    yarn: /\b1\b/.test(title) ? 'yarn1' : 'yarn4',
    bun: 'bun',
    deno: 'deno',
  };
  const said = blocks.filter(({ notRun }) => notRun === undefined).flatMap(({ code }) => code.match(/^\w+/gm) ?? []);
  return Object.fromEntries(Object.entries(all).filter(([word]) => said.includes(word)));
}

let registry: FakeRegistry;
let larder: LarderProcess;
let folder: TemporaryFolder;

beforeAll(async () => {
  registry = await startFakeRegistry();
  registry.publish({ name: 'left-pad', version: '1.3.0' });
  registry.upstream.at('/v1.0.0/tool.tar.gz', { body: 'a tool' });
  registry.upstream.at('/v1.0.0/tool.tar.gz.sha256', { body: 'its checksum' });
  const tools = { format: 'generic', sources: [{ remote: 'inner' }] };
  larder = await spawnLarder({ upstreamUrl: registry.url, repositories: { tools } });
  folder = await temporaryFolder('larder-docs');
});

afterAll(async () => {
  await larder?.close();
  await registry?.close();
  await folder?.remove();
});

async function runSection(section: Section): Promise<void> {
  const place = join(folder.path, section.title.replace(/\W+/g, '-'));
  const [project, home, bin] = ['project', 'home', 'bin'].map((name) => join(place, name)) as [string, string, string];
  for (const path of [project, home, bin]) await mkdir(path, { recursive: true });
  await writeFile(join(project, 'package.json'), '{ "name": "project", "version": "1.0.0", "private": true }');
  for (const [word, id] of Object.entries(programsFor(section))) {
    const program = findProgram(id);
    if (program) await symlink(program, join(bin, word));
  }
  for (const { code, notRun } of section.blocks) {
    if (notRun !== undefined) continue;
    const script = join(place, 'block.sh');
    const address = larder.url.replace('127.0.0.1', 'localhost');
    await writeFile(script, `export PATH="${bin}:$PATH"\n${code.replaceAll('http://localhost:5273', address)}`);
    const ran = await run('/bin/bash', ['-euo', 'pipefail', script], { folder: project, home });
    expect(ran, `${code}\n${ran.output}`).toMatchObject({ code: 0 });
  }
}

describe.each(pages)('%s', (page) => {
  for (const section of sectionsOf(page)) {
    const runnable = section.blocks.some(({ notRun }) => notRun === undefined);
    for (const { code, notRun } of section.blocks)
      if (notRun !== undefined) test.skip(`${section.title}: ${code.split('\n')[0]} (${notRun})`, () => {});
    if (!runnable) continue;
    const reason = Object.values(programsFor(section))
      .map(missing)
      .find((why) => why !== undefined);
    test.skipIf(reason)(`${section.title}${reason === undefined ? '' : `: ${reason}`}`, () => runSection(section));
  }
});

test('no page shows a shell example without saying whether it can be run', async () => {
  for (const page of pages) {
    const text = await readFile(join(root, page), 'utf8');
    expect([page, text.match(/^```(?:bash|shell|console|shellsession)\b/gm)]).toEqual([page, null]);
    expect([page, text.match(/^```sh(?!\n| not-run="[^"]{5,}"\n)/gm)]).toEqual([page, null]);
  }
});
