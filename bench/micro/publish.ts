/** Publishing many versions of one package: each costs what the first did, and finding one among them stays a look-up. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Digester } from '../../src/core/digest.ts';
import type { StagedFile } from '../../src/core/format.ts';
import type { Stage } from '../../src/core/staging.ts';
import type { Hosting } from '../../src/store/hosting.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { measure } from './measure.ts';

const signature = { by: 'user:acme/bench' };
/** As large as the package.json of a usual package. */
const facts = { description: 'x'.repeat(1500), dependencies: { 'left-pad': '^1.0.0' } };

async function publish(store: Store, hosting: Hosting, n: number): Promise<void> {
  const bytes = Buffer.from(`the bytes of version 1.0.${n}`);
  const stage: Stage = await store.stage({ expectedSize: bytes.length });
  await stage.write(bytes);
  const digester = new Digester();
  digester.update(bytes);
  const digests = digester.digests();
  const file: StagedFile = { size: bytes.length, digests, read: (...at) => stage.read(...at) };
  const version = `1.0.${n}`;
  const path = `package/-/package-${version}.tgz`;
  await hosting.commit({
    decide: (view) => ({
      name: 'package',
      put: [{ path, file, contentType: 'application/octet-stream' }],
      records: view.record('package', version) ? [] : [{ version, facts: { ...facts, version }, files: [path] }],
      about: { latest: version },
      reply: { bytes: new Uint8Array() },
    }),
    judge() {},
    land: async () => stage.commit(digests[0] as `sha256:${string}`),
    signature,
    action: 'publish',
  });
}

for (const count of [1000, 4000]) {
  const path = await mkdtemp(join(tmpdir(), 'larder-publish-'));
  try {
    const store = await openStore({ path, keepFreeBytes: 0, index: 'memory' });
    const hosting = await store.hosting('acme/npm', { overwrites: false });
    const quarters: string[] = [];
    for (let quarter = 0; quarter < 4; quarter += 1) {
      const [from, cpu] = [performance.now(), process.cpuUsage()];
      for (let n = 0; n < count / 4; n += 1) await publish(store, hosting, quarter * (count / 4) + n);
      const { user, system } = process.cpuUsage(cpu);
      const each = (milliseconds: number) => (milliseconds / (count / 4)).toFixed(2);
      quarters.push(`${each(performance.now() - from)} (${each((user + system) / 1000)})`);
    }
    process.stdout.write(
      `${count} versions in turn; ms for each (of processor), by quarter:  ${quarters.join(', ')}\n`,
    );
    const view = hosting.view();
    measure(`one record of ${count}, with its facts`, () => view.record('package', '1.0.500')?.facts);
    measure(`one file of ${count}`, () => view.entry('package/-/package-1.0.500.tgz'));
    measure(`whether nobody published since`, () => hosting.isCurrent());
    measure(`all ${count} records, without their facts`, () => view.records('package'));
    await store.close();
    const from = performance.now();
    const again = await openStore({ path, keepFreeBytes: 0, index: 'memory' });
    process.stdout.write(`a start with ${count} versions  ${(performance.now() - from).toFixed(0)} ms\n`);
    await again.close();
  } finally {
    await rm(path, { recursive: true });
  }
}
