/** Every example in the README, on the page about deployment and on those of the formats is run, in order, the way a reader would. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import type { FakeUpstream } from '../support/fake-upstream.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, root, spawnLarder } from '../support/larder.ts';
import { missingPrograms } from './image-clients.ts';
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
  'docs/deployment.md',
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
    helm: 'helm',
  };
  const said = blocks.filter(({ notRun }) => notRun === undefined).flatMap(({ code }) => code.match(/^\w+/gm) ?? []);
  return Object.fromEntries(Object.entries(all).filter(([word]) => said.includes(word)));
}

/** Those that come with the system and not from the npm registry. */
function missingSystemPrograms({ blocks }: Section): string | undefined {
  const run = blocks.filter(({ notRun }) => notRun === undefined);
  return run.some(({ code }) => /^skopeo\b/m.test(code)) ? missingPrograms('skopeo') : undefined;
}

/** As much of an image as clients look at without unpacking it. */
function putImage(upstream: FakeUpstream, name: string, tag: string): void {
  const put = (text: string): { digest: string; size: number } => {
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    upstream.at(`/v2/${name}/blobs/${digest}`, { body: text, contentType: 'application/octet-stream' });
    return { digest, size: text.length };
  };
  const contentType = 'application/vnd.oci.image.manifest.v1+json';
  const kind = 'application/vnd.oci.image';
  const diffIds = [`sha256:${'0'.repeat(64)}`];
  const config = put(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } }),
  );
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: contentType,
    config: { mediaType: `${kind}.config.v1+json`, ...config },
    layers: [{ mediaType: `${kind}.layer.v1.tar`, ...put('a layer') }],
  });
  const { digest } = put(body);
  const headers = { 'docker-content-digest': digest };
  for (const reference of [tag, digest])
    upstream.at(`/v2/${name}/manifests/${reference}`, { body, contentType, headers });
  upstream.at(`/v2/${name}/tags/list`, { body: { name, tags: [tag] } });
}

let registry: FakeRegistry;
let larder: LarderProcess;
let folder: TemporaryFolder;

beforeAll(async () => {
  registry = await startFakeRegistry();
  registry.publish({ name: 'left-pad', version: '1.3.0' });
  registry.upstream.at('/v1.0.0/tool.tar.gz', { body: 'a tool' });
  registry.upstream.at('/v1.0.0/tool.tar.gz.sha256', { body: 'its checksum' });
  putImage(registry.upstream, 'library/alpine', '3.20');
  const tools = { format: 'generic', sources: [{ remote: 'inner' }] };
  const docker = { format: 'oci', sources: [{ remote: 'hub' }] };
  larder = await spawnLarder({
    upstreamUrl: registry.url,
    upstreams: { hub: { url: registry.url, namespaces: ['docker.io'], shortNames: 'library' } },
    repositories: { tools, docker },
  });
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
  // As if the reader stood in a checkout.
  if (section.blocks.some(({ code }) => code.includes('config/deploy')))
    for (const name of ['bin', 'config']) await symlink(join(root, name), join(project, name));
  for (const [word, id] of Object.entries(programsFor(section))) {
    const program = findProgram(id);
    if (program) await symlink(program, join(bin, word));
  }
  for (const { code, notRun } of section.blocks) {
    if (notRun !== undefined) continue;
    const script = join(place, 'block.sh');
    await writeFile(
      script,
      `export PATH="${bin}:$PATH"\n${code.replaceAll('localhost:5273', `localhost:${larder.port}`)}`,
    );
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
    const reason =
      missingSystemPrograms(section) ??
      Object.values(programsFor(section))
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
