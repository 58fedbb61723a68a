import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Repository } from '../../src/core/repository.ts';
import type { Use } from '../../src/core/source.ts';
import { createRecording, type RecordingOptions } from '../../src/jobs/recording.ts';
import { openSets } from '../../src/store/sets.ts';
import { temporaryFolder } from '../support/folder.ts';

const use = (path: string): Use => ({ repository: 'acme/npm', upstream: 'npmjs', format: 'npm', path });

async function begin(options: Partial<RecordingOptions> = {}) {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const sets = openSets(folder.path);
  return { folder: folder.path, sets, recording: createRecording({ sets, allowed: () => 'members', ...options }) };
}

it('writes what a build asks for again and again once', async () => {
  const { sets, recording } = await begin();
  for (let again = 0; again < 3; again++) await recording.add('build', [use('a'), use('a'), use('b')]);
  await recording.add('other', [use('a')]);
  expect(await sets.list()).toMatchObject([
    { name: 'build', sizeBytes: 142 },
    { name: 'other', sizeBytes: 71 },
  ]);
});

it('refuses another set than there may be, and more of one than may be in it', async () => {
  const { recording } = await begin({ maxSets: 2, maxSetBytes: 100 });
  await recording.add('one', [use('a')]);
  await recording.add('two', [use('a')]);
  await expect(recording.add('three', [use('a')])).rejects.toMatchObject({ code: 'quota_exceeded' });
  await recording.add('one', [use('b')]);
  const last = await begin({ maxSetBytes: 100 });
  await last.sets.append('one', [use('a'), use('b')]);
  await expect(last.recording.add('one', [use('c')])).rejects.toMatchObject({ code: 'quota_exceeded' });
  await last.recording.remove('acme', 'one');
  await last.recording.add('one', [use('c')]);
  expect(await last.recording.find('acme', 'one')).toMatchObject({ things: 1 });
});

it('says so when something can not be written down', async () => {
  const { folder, recording } = await begin();
  await writeFile(join(folder, 'sets'), 'in the way');
  await expect(recording.add('build', [use('a')])).rejects.toMatchObject({ status: 503 });
});

it('is for members and, where the organisation says so, for everyone', async () => {
  const repository = { org: 'acme' } as unknown as Repository;
  const { recording } = await begin({ allowed: (org) => (org === 'open' ? 'everyone' : 'members') });
  const may = (kind: 'anonymous' | 'user' | 'ci', org?: string, of = repository): boolean =>
    recording.mayRecord(of, { kind, ...(org === undefined ? {} : { org, name: 'x' }) });
  expect([may('anonymous'), may('user', 'acme'), may('ci', 'acme'), may('user', 'other')]).toEqual([
    false,
    true,
    true,
    false,
  ]);
  expect(may('anonymous', undefined, { org: 'open' } as unknown as Repository)).toBe(true);
});
