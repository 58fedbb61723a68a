import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { listFormats, loadFormat } from '../../src/formats/load.ts';

it('formats are listed by the names of their folders', () => {
  expect(listFormats()).toEqual(expect.arrayContaining(['generic', 'npm']));
});

it.each(listFormats())('%s has the name of its folder', async (id) => {
  expect((await loadFormat(id)).id).toBe(id);
});

it.each(['nmp', '..', '../core', 'load.ts', '', 'npm/index.ts'])(
  'the format %j does not exist, and the message lists those that do',
  async (id) => {
    await expect(loadFormat(id)).rejects.toThrow(/there are .*generic.*npm/);
  },
);

it('a format can be loaded in a worker thread', async () => {
  const url = new URL('../../src/formats/load.ts', import.meta.url).href;
  const worker = new Worker(
    `import(${JSON.stringify(url)}).then(async ({ loadFormat }) =>
       require('node:worker_threads').parentPort.postMessage((await loadFormat('npm')).id));`,
    { eval: true },
  );
  try {
    const id = await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    expect(id).toBe('npm');
  } finally {
    await worker.terminate();
  }
});
